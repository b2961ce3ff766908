/* SPDX-License-Identifier: MIT
 *
 * seal: no more allocations, and waiting until nothing is allocated.  What a seal is, step by
 * step, stands in shm/seal.h.
 */
#include "shm/seal.h"

#include "fault.h"
#include "local.h"
#include "pool.h"
#include "shm/reason.h"
#include "shm/revoke.h"
#include "shm/session.h"
#include "shm/survey.h"
#include "shm/wait.h"
#include "thread.h"

#include <inttypes.h>
#include <time.h>

#define NS_PER_MS UINT64_C(1000000)
#define QUIET_NS (1000 * NS_PER_MS) /* for those in the middle of a call */
#define LEAST_NS (20 * NS_PER_MS)   /* the same, of a drain whose deadline has passed */
#define PAUSE_FIRST_NS 20000u
#define PAUSE_LAST_NS 2000000u
#define SLICE_FIRST_NS (2 * NS_PER_MS)
#define SLICE_LAST_NS (100 * NS_PER_MS)
#define HOLDERS_NAMED 5u

struct sealing {
    fastalloc_pool *pool;
    const char *operation;
    uint64_t deadline;
    uint32_t closings; /* the pool's, when it began */
    uint32_t count;    /* the seal's */
    struct reason why;
};

static int state_error(struct sealing *sealing)
{
    uint32_t state = segment_state(&sealing->pool->segment);
    int error = state == POOL_DESTROYED ? FASTALLOC_E_DESTROYED : FASTALLOC_E_POISONED;

    if (state == POOL_LIVE || state == POOL_SEALED)
        return 0;
    return reason_set(&sealing->why, error, "%s: pool \"%s\": %s", sealing->operation,
                      sealing->pool->spec.name, fastalloc_strerror(error));
}

/* Whether somebody in this process wants to close the pool. */
static int closing_error(struct sealing *sealing)
{
    if (shm_load_ordered(&sealing->pool->closings) == sealing->closings)
        return 0;
    return reason_set(&sealing->why, FASTALLOC_E_BUSY,
                      "%s: pool \"%s\" is sealed; another thread wants to close it",
                      sealing->operation, sealing->pool->spec.name);
}

static int stalled(struct sealing *sealing, uint32_t cache)
{
    const struct segment *segment = &sealing->pool->segment;
    uint64_t holder = shm_load(&segment->caches[cache].holder);
    uint32_t session = cache_session_of(holder);
    char comm[SESSION_COMM_MAX] = "";
    uint32_t pid = 0;

    if (session_state(segment, session) != SESSION_FREE) {
        session_comm(segment, session, comm);
        pid = shm_load(&segment->sessions[session].pid);
    }
    return reason_set(&sealing->why, FASTALLOC_E_STALLED,
                      "%s: pool \"%s\" is sealed, but thread %u of %s[%u] stands stopped in the "
                      "middle of a call: if that is an allocation it may still succeed; "
                      "seal again to wait for it",
                      sealing->operation, sealing->pool->spec.name, (uint32_t)holder, comm, pid);
}

/* Step 3.  In a local pool the sealer himself takes the dead away. */
static int await_quiet(struct sealing *sealing)
{
    struct timespec pause = {0, PAUSE_FIRST_NS};
    uint64_t least = wait_now() + LEAST_NS;
    uint64_t until = sealing->deadline > least ? sealing->deadline : least;
    uint32_t cache = 0;
    int error = 0;

    while (!seal_is_quiet(&sealing->pool->segment, &cache)) {
        if (wait_now() >= until)
            return stalled(sealing, cache);
        error = closing_error(sealing);
        if (error)
            return error;
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        if (pause.tv_nsec < PAUSE_LAST_NS)
            pause.tv_nsec *= 2;
        else if (!sealing->pool->client)
            local_sweep(sealing->pool);
    }
    return 0;
}

/* Steps 1 to 3. */
static int seal(struct sealing *sealing)
{
    struct segment *segment = &sealing->pool->segment;
    int error = state_error(sealing);

    if (error)
        return error;
    sealing->count = seal_close(segment);
    if (!seal_mark(segment))
        return reason_set(&sealing->why, FASTALLOC_E_SYSTEM,
                          "%s: pool \"%s\" is sealed, but the kernel refuses membarrier() here "
                          "(seccomp?): let another process seal it",
                          sealing->operation, sealing->pool->spec.name);
    return await_quiet(sealing);
}

static int still_held(struct sealing *sealing)
{
    const struct segment *segment = &sealing->pool->segment;
    char holders[256];
    struct survey survey;

    survey_slots(segment, &survey, NULL);
    survey_holders(segment, HOLDERS_NAMED, holders, sizeof holders);
    return reason_set(
        &sealing->why, FASTALLOC_E_TIMEOUT,
        "drain: pool \"%s\" is sealed, and %" PRIu64 " of %" PRIu64
        " slots were still allocated at the deadline (%" PRIu64 " left to anyone, %" PRIu64
        " shared, %" PRIu64 " quarantined); top holders: %s",
        sealing->pool->spec.name, survey.live + survey.anyone + survey.shared + survey.quarantined,
        survey.capacity, survey.anyone, survey.shared, survey.quarantined,
        holders[0] ? holders : "none");
}

static int opened(struct sealing *sealing)
{
    return reason_set(&sealing->why, FASTALLOC_E_CHANGED,
                      "drain: somebody has unsealed pool \"%s\" meanwhile",
                      sealing->pool->spec.name);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Steps 4 and 5. */
static int await_empty(struct sealing *sealing)
{
    struct segment *segment = &sealing->pool->segment;
    uint64_t slot = 0, slice = SLICE_FIRST_NS, now;
    bool empty = false;
    uint32_t epoch;
    int error = 0;

    while (!error && !empty) {
        if (!sealing->pool->client)
            local_sweep(sealing->pool);
        /* Before the look, and seen by all before it: what is freed after it wakes. */
        epoch = wait_begin(segment);
        revoke_barrier();
        empty = seal_is_empty(segment, &slot);
        error = state_error(sealing);
        if (!error && !seal_holds(segment, sealing->count))
            error = opened(sealing);
        if (!error && !empty)
            error = closing_error(sealing);
        if (error || empty)
            continue;
        now = wait_now();
        if (now >= sealing->deadline)
            error = still_held(sealing);
        if (error)
            continue;
        /* Not for ever: a slot that changes magazines looks allocated, and wakes nobody. */
        wait_sleep(segment, epoch, earlier(sealing->deadline, now + slice));
        slice = earlier(2 * slice, SLICE_LAST_NS);
    }
    /* Nobody waits here any more: threads get their lanes back. */
    wait_wake(segment);
    return error;
}

static struct sealing begin(fastalloc_pool *pool, const char *operation, uint64_t deadline)
{
    return (struct sealing){.pool = pool,
                            .operation = operation,
                            .deadline = deadline,
                            .closings = shm_load_ordered(&pool->closings)};
}

int fastalloc_pool_seal(fastalloc_pool *pool)
{
    struct sealing sealing;
    struct thread *thread;
    int error;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_seal: pool is NULL");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    sealing = begin(pool, "seal", wait_now() + QUIET_NS);
    error = seal(&sealing);
    thread_end(thread, pool);
    return error ? fault_say(&sealing.why) : 0;
}

int fastalloc_pool_unseal(fastalloc_pool *pool)
{
    struct sealing sealing;
    struct thread *thread;
    int error;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_unseal: pool is NULL");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    sealing = begin(pool, "unseal", 0);
    error = state_error(&sealing);
    if (!error)
        seal_open(&pool->segment);
    thread_end(thread, pool);
    return error ? fault_say(&sealing.why) : 0;
}

int fastalloc_pool_drain(fastalloc_pool *pool, uint64_t deadline)
{
    struct sealing sealing;
    struct thread *thread;
    int error;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_drain: pool is NULL");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    sealing = begin(pool, "drain", deadline);
    error = seal(&sealing);
    if (!error)
        error = await_empty(&sealing);
    thread_end(thread, pool);
    return error ? fault_say(&sealing.why) : 0;
}
