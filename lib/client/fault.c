/* SPDX-License-Identifier: MIT
 *
 * fault: see fault.h.  Also the general texts of the error codes.
 */
#include "fault.h"

#include "pool.h"
#include "process.h"
#include "shm/slot.h"
#include "shm/supply.h"
#include "shm/survey.h"
#include "thread.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HOLDERS_NAMED 5u

/* ------------------------------------------------------- codes in general */

struct code_text {
    const char *name, *text;
};

static const struct code_text texts[-FASTALLOC_E_LAST + 1] = {
#define TEXT(code, words) [-(code)] = {#code, words}
    TEXT(FASTALLOC_OK, "no error"),
    TEXT(FASTALLOC_E_INVALID, "an argument is NULL or out of range"),
    TEXT(FASTALLOC_E_NAME, "not a name a pool can have"),
    TEXT(FASTALLOC_E_SIZE, "the object size is 0"),
    TEXT(FASTALLOC_E_CAPACITY, "the capacity is 0"),
    TEXT(FASTALLOC_E_OVERFLOW, "object size times capacity overflows"),
    TEXT(FASTALLOC_E_LIMIT, "beyond what the machine or the format allows"),
    TEXT(FASTALLOC_E_ALIGNMENT, "the alignment is not a power of two up to a page"),
    TEXT(FASTALLOC_E_TYPE, "the pool holds objects of another type"),
    TEXT(FASTALLOC_E_TYPE_SIZE, "the pool holds objects of another size or alignment"),
    TEXT(FASTALLOC_E_TYPE_VERSION, "the pool holds objects of another version"),
    TEXT(FASTALLOC_E_EXISTS, "a pool of that name exists already"),
    TEXT(FASTALLOC_E_NOT_FOUND, "there is no pool of that name"),
    TEXT(FASTALLOC_E_PERMISSION, "permission denied"),
    TEXT(FASTALLOC_E_NO_DAEMON, "no fastallocd answers"),
    TEXT(FASTALLOC_E_NOT_FASTALLOC, "what answers is not fastallocd"),
    TEXT(FASTALLOC_E_VERSION, "versions do not fit together"),
    TEXT(FASTALLOC_E_PROTOCOL, "the peer broke the protocol"),
    TEXT(FASTALLOC_E_TIMEOUT, "no answer in time"),
    TEXT(FASTALLOC_E_TOO_MANY, "a limit on their number is reached"),
    TEXT(FASTALLOC_E_NO_MEMORY, "not enough memory"),
    TEXT(FASTALLOC_E_SYSTEM, "a system call failed"),
    TEXT(FASTALLOC_E_EXHAUSTED, "no free slot"),
    TEXT(FASTALLOC_E_STALLED, "free slots are behind a stopped or dying thread"),
    TEXT(FASTALLOC_E_STALE, "the handle is stale"),
    TEXT(FASTALLOC_E_DOUBLE_FREE, "the slot was freed already"),
    TEXT(FASTALLOC_E_HANDLE, "not a handle of this pool"),
    TEXT(FASTALLOC_E_SESSION, "no live session of that number"),
    TEXT(FASTALLOC_E_DESTROYED, "the pool was destroyed"),
    TEXT(FASTALLOC_E_BUSY, "in use by another thread, or being made just now"),
    TEXT(FASTALLOC_E_CHANGED, "somebody else has changed it meanwhile"),
    TEXT(FASTALLOC_E_POISONED, "the pool's shared memory is damaged"),
    TEXT(FASTALLOC_E_NAMESPACE, "the pool serves another PID namespace"),
    TEXT(FASTALLOC_E_GROWTH, "growth by nothing, or by no number"),
    TEXT(FASTALLOC_E_MAX_CAPACITY, "no free slot, and the pool has grown to its maximum"),
    TEXT(FASTALLOC_E_SHARING, "shared where it must not be, or not shared where it must be"),
    TEXT(FASTALLOC_E_HOOK, "a function of the program refused the slot"),
    TEXT(FASTALLOC_E_SEALED, "the pool is sealed: no new allocations until it is unsealed"),
#undef TEXT
};

static const struct code_text *text_of(int code)
{
    static const struct code_text unknown = {"unknown", "unknown error code"};

    return code <= 0 && code >= FASTALLOC_E_LAST ? &texts[-code] : &unknown;
}

const char *fastalloc_strerror(int code)
{
    return text_of(code)->text;
}

const char *fastalloc_error_name(int code)
{
    return text_of(code)->name;
}

/* --------------------------------------------------------------- noting */

int fault_say(const struct reason *why)
{
    struct thread *thread = thread_self();

    if (thread) {
        thread->fault.code = why->code;
        thread->fault.worded = true;
        thread->fault.reason = *why;
    }
    return why->code;
}

int fault_note(int code, const char *operation, const fastalloc_pool *pool, fastalloc_handle handle)
{
    struct thread *thread = thread_self();

    if (thread) {
        thread->fault.code = code;
        thread->fault.worded = false;
        thread->fault.operation = operation;
        thread->fault.pool = pool->serial;
        thread->fault.handle = handle;
        thread->fault.instead = FASTALLOC_OK;
    }
    return code;
}

int fault_timeout(int instead, const fastalloc_pool *pool)
{
    struct thread *thread = thread_self();

    fault_note(FASTALLOC_E_TIMEOUT, "alloc_wait", pool, FASTALLOC_NONE);
    if (thread)
        thread->fault.instead = instead;
    return FASTALLOC_E_TIMEOUT;
}

int fault_set(int code, const char *format, ...)
{
    struct reason why;
    va_list arguments;

    why.code = code;
    va_start(arguments, format);
    vsnprintf(why.text, sizeof why.text, format, arguments);
    va_end(arguments);
    return fault_say(&why);
}

/* --------------------------------------------------------------- wording */

/* `code` is what an allocation came to, `prefix` what to say before it. */
static void word_supply(struct fault *fault, int code, const char *prefix,
                        const fastalloc_pool *pool)
{
    const struct segment *segment = &pool->segment;
    char holders[256];
    struct survey survey;
    uint64_t in_use;

    survey_slots(segment, &survey, NULL);
    survey_holders(segment, HOLDERS_NAMED, holders, sizeof holders);
    in_use = survey.live + survey.anyone + survey.shared + survey.quarantined;
    if (code == FASTALLOC_E_STALLED)
        reason_set(&fault->reason, fault->code,
                   "%sstalled: pool \"%s\" %" PRIu64 "/%" PRIu64 " in use; for %d ms what is free "
                   "stood behind a stopped or dying thread (%" PRIu64 " slots in caches, %" PRIu64
                   " in depots): try again; top holders: %s",
                   prefix, pool->spec.name, in_use, survey.capacity, SUPPLY_PATIENCE_US / 1000,
                   survey.cached, survey.stocked, holders[0] ? holders : "none");
    else
        reason_set(&fault->reason, fault->code,
                   "%s%s: pool \"%s\" %" PRIu64 "/%" PRIu64 " in use; top holders: %s", prefix,
                   code == FASTALLOC_E_MAX_CAPACITY ? "exhausted, and grown to its maximum"
                                                    : "exhausted",
                   pool->spec.name, in_use, survey.capacity, holders[0] ? holders : "none by now");
}

static void word_sealed(struct fault *fault, const fastalloc_pool *pool)
{
    reason_set(&fault->reason, fault->code,
               "%s: pool \"%s\" is sealed, %" PRIu64 "/%" PRIu64
               " still in use: no allocations until fastalloc_pool_unseal()",
               fault->operation, pool->spec.name, survey_allocated(&pool->segment),
               segment_capacity(&pool->segment));
}

/* An allocation that waited in vain: for what, as far as a look at the slots can tell. */
static void word_timeout(struct fault *fault, const fastalloc_pool *pool)
{
    if (fault->instead == FASTALLOC_E_EXHAUSTED || fault->instead == FASTALLOC_E_STALLED ||
        fault->instead == FASTALLOC_E_MAX_CAPACITY)
        word_supply(fault, fault->instead, "no slot until the deadline: ", pool);
    else
        reason_set(&fault->reason, fault->code,
                   "no slot until the deadline, and pool \"%s\" could not grow: %s",
                   pool->spec.name, fastalloc_strerror(fault->instead));
}

static void word_handle(struct fault *fault, const fastalloc_pool *pool)
{
    const struct segment *segment = &pool->segment;
    uint64_t index = slot_index(segment, fault->handle);
    uint64_t generation = slot_generation_in(segment, fault->handle), word;

    if (index >= segment_reserved(segment) || fault->handle == FASTALLOC_NONE) {
        reason_set(
            &fault->reason, fault->code,
            "%s: 0x%" PRIx64 " is no handle of pool \"%s\": it names slot %" PRIu64 " of %" PRIu64,
            fault->operation, fault->handle, pool->spec.name, index, segment_capacity(segment));
        return;
    }
    word = shm_load(&segment->words[index]);
    reason_set(&fault->reason, fault->code,
               "%s: handle 0x%" PRIx64 " of pool \"%s\": %s (slot %" PRIu64
               " has generation %" PRIu64 " now, owner %u; the handle %" PRIu64 ")",
               fault->operation, fault->handle, pool->spec.name, fastalloc_strerror(fault->code),
               index, slot_generation_of(segment, word), slot_owner_of(word), generation);
}

static void word(struct fault *fault, const fastalloc_pool *pool)
{
    if (!pool)
        reason_set(&fault->reason, fault->code, "%s: %s (the pool is closed by now)",
                   fault->operation, fastalloc_strerror(fault->code));
    else if (fault->code == FASTALLOC_E_EXHAUSTED || fault->code == FASTALLOC_E_STALLED ||
             fault->code == FASTALLOC_E_MAX_CAPACITY)
        word_supply(fault, fault->code, "", pool);
    else if (fault->instead)
        word_timeout(fault, pool);
    else if (fault->code == FASTALLOC_E_SEALED)
        word_sealed(fault, pool);
    else if (fault->code == FASTALLOC_E_SHARING)
        reason_set(&fault->reason, fault->code,
                   "%s: handle 0x%" PRIx64 " of pool \"%s\": the slot is shared: "
                   "fastalloc_unref() lets go of it",
                   fault->operation, fault->handle, pool->spec.name);
    else if (fault->code == FASTALLOC_E_STALE || fault->code == FASTALLOC_E_DOUBLE_FREE ||
             fault->code == FASTALLOC_E_HANDLE)
        word_handle(fault, pool);
    else
        reason_set(&fault->reason, fault->code, "%s: pool \"%s\": %s", fault->operation,
                   pool->spec.name, fastalloc_strerror(fault->code));
}

const char *fastalloc_last_error(void)
{
    struct thread *thread = thread_self();
    const fastalloc_pool *pool;
    struct process *process;

    if (!thread || thread->fault.code == 0)
        return "";
    if (!thread->fault.worded) {
        process = process_lock();
        for (pool = process->pools; pool && pool->serial != thread->fault.pool; pool = pool->next)
            ;
        word(&thread->fault, pool);
        process_unlock(process);
        thread->fault.worded = true;
    }
    return thread->fault.reason.text;
}
