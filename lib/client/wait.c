/* SPDX-License-Identifier: MIT
 *
 * wait: see wait.h, and shm/wait.h for why no wake-up is lost.
 *
 * Each round takes the free epoch first, then tries as any allocation does, and sleeps on
 * that epoch only with proof that there was nothing.  What nobody would wake it from (a thread
 * that is stopped, memory that is short, a daemon that is gone, a death in a local pool)
 * it looks at again after a while; and at proof too, for who freed a slot may be stopped
 * before he could wake anybody.
 */
#include "wait.h"

#include "event.h"
#include "fault.h"
#include "growth.h"
#include "obtain.h"
#include "pool.h"
#include "shm/slot.h"
#include "shm/supply.h"
#include "shm/tally.h"
#include "shm/wait.h"
#include "thread.h"

#define NS_PER_MS UINT64_C(1000000)
#define SLICE_NS (100 * NS_PER_MS)
#define PROOF_NS (1000 * NS_PER_MS)
#define STALLED_FIRST_NS (2 * NS_PER_MS)
#define STALLED_LAST_NS (50 * NS_PER_MS)

bool wait_is_for(int error)
{
    switch (error) {
    case FASTALLOC_E_EXHAUSTED:
    case FASTALLOC_E_MAX_CAPACITY:
    case FASTALLOC_E_STALLED:
    case FASTALLOC_E_NO_MEMORY:
    case FASTALLOC_E_NO_DAEMON:
    case FASTALLOC_E_TIMEOUT:
        return true;
    default:
        return false;
    }
}

static uint64_t later(uint64_t now, uint64_t ns)
{
    return ns < UINT64_MAX - now ? now + ns : UINT64_MAX;
}

/* How long to sleep without being woken, after `error`. */
static uint64_t slice(const fastalloc_pool *pool, int error, uint64_t *stalled)
{
    uint64_t ns = SLICE_NS;

    switch (error) {
    case FASTALLOC_E_EXHAUSTED:
    case FASTALLOC_E_MAX_CAPACITY:
        return pool->client ? PROOF_NS : SLICE_NS;
    case FASTALLOC_E_STALLED:
        ns = *stalled;
        *stalled = 2 * ns < STALLED_LAST_NS ? 2 * ns : STALLED_LAST_NS;
        return ns;
    default:
        return ns;
    }
}

static uint64_t patience_us(uint64_t now, uint64_t deadline)
{
    uint64_t left = deadline > now ? (deadline - now) / 1000 : 0;

    return left < SUPPLY_PATIENCE_US ? left : SUPPLY_PATIENCE_US;
}

/* Whether to give up waiting: looked at after wait_begin(), so that who says so wakes it. */
static bool is_called_off(const fastalloc_pool *pool, const struct waiting *waiting,
                          uint32_t closings)
{
    return shm_load_ordered(&pool->closings) != closings ||
           (waiting->stop && shm_load_ordered(waiting->stop));
}

int wait_for_slot(fastalloc_pool *pool, const struct actor *actor, const struct waiting *waiting,
                  uint64_t *index, uint64_t *word)
{
    uint32_t closings = shm_load_ordered(&pool->closings), epoch;
    struct urgency urgency = {.deadline = waiting->deadline, .once = true};
    uint64_t stalled = STALLED_FIRST_NS, now, until;
    bool counted = waiting->stop != NULL; /* the event's helper waits for nobody's allocation */
    struct reason why;
    int error;

    error = obtain_slot(pool, actor, &urgency, index, word, &why);
    while (wait_is_for(error) && (now = wait_now()) < waiting->deadline) {
        epoch = wait_begin(&pool->segment);
        if (is_called_off(pool, waiting, closings))
            return FASTALLOC_E_BUSY;
        urgency.patience_us = patience_us(now, waiting->deadline);
        error = obtain_slot(pool, actor, &urgency, index, word, &why);
        if (!wait_is_for(error))
            break;
        until = later(wait_now(), slice(pool, error, &stalled));
        if (!counted)
            tally_wait(&pool->segment, actor->session);
        counted = true;
        wait_sleep(&pool->segment, epoch, until < waiting->deadline ? until : waiting->deadline);
    }
    return error;
}

int fastalloc_alloc_wait(fastalloc_pool *pool, fastalloc_handle *handle, void **object,
                         uint64_t deadline)
{
    struct waiting waiting = {deadline, NULL};
    uint64_t index = 0, word = 0;
    struct thread *thread;
    struct actor actor;
    int error;

    if (!pool || !handle)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_alloc_wait: %s is NULL",
                         !pool ? "pool" : "handle");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    actor = thread_actor(thread, pool);
    error = wait_for_slot(pool, &actor, &waiting, &index, &word);
    if (!error)
        growth_ask_ahead(pool);
    else
        tally_failure(&pool->segment, actor.session);
    if (wait_is_for(error))
        event_arm(pool);
    if (!error)
        lifecycle_announce(pool);
    thread_end(thread, pool);
    if (wait_is_for(error))
        return fault_timeout(error, pool);
    if (error)
        return fault_note(error, "alloc_wait", pool, FASTALLOC_NONE);
    error = lifecycle_acquire(pool, "alloc_wait", index, word);
    if (error)
        return error;
    *handle = slot_handle(&pool->segment, word, index);
    if (object)
        *object = pool->face.objects + index * pool->face.stride;
    return 0;
}

uint64_t fastalloc_deadline(uint64_t milliseconds)
{
    return milliseconds < UINT64_MAX / NS_PER_MS ? later(wait_now(), milliseconds * NS_PER_MS)
                                                 : FASTALLOC_FOREVER;
}
