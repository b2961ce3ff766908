/* SPDX-License-Identifier: MIT
 *
 * lifecycle: see lifecycle.h.
 */
#include "lifecycle.h"

#include "fault.h"
#include "pool.h"
#include "process.h"
#include "shm/slot.h"
#include "shm/stages.h"
#include "shm/supply.h"
#include "shm/tally.h"
#include "thread.h"

#include <stdlib.h>

bool lifecycle_is_wanted(const fastalloc_pool_config *config)
{
    return config->initialize || config->reset || config->on_acquire || config->on_release;
}

void lifecycle_init(struct lifecycle *lifecycle, const fastalloc_pool_config *config)
{
    *lifecycle = (struct lifecycle){
        config->initialize, config->reset,         config->on_acquire,
        config->on_release, config->hook_argument, 0,
    };
}

bool lifecycle_is_due(const struct segment *segment)
{
    return segment->geometry.flags & (SPEC_STAGES | SPEC_ZERO_ALLOC);
}

/* --------------------------------------------------- the program's functions */

/* What lies round a call of theirs. */
struct visit {
    uint64_t generation; /* of the process when it began */
    int cancel_state;
};

/* Nobody may close the pool. */
static void announce(fastalloc_pool *pool)
{
    __atomic_add_fetch(&pool->lifecycle.running, 1, __ATOMIC_SEQ_CST);
}

void lifecycle_announce(fastalloc_pool *pool)
{
    if (lifecycle_is_due(&pool->segment))
        announce(pool);
}

/* After announce(): nor may the thread be cancelled, which would take the slot along. */
static void enter(struct visit *visit)
{
    visit->generation = process_here()->generation;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &visit->cancel_state);
}

static void leave(const struct visit *visit)
{
    pthread_setcancelstate(visit->cancel_state, NULL);
}

/* Ends announce().  A child forked meanwhile has begun to count anew. */
static void take_back(fastalloc_pool *pool, const struct visit *visit)
{
    if (process_here()->generation == visit->generation)
        __atomic_sub_fetch(&pool->lifecycle.running, 1, __ATOMIC_SEQ_CST);
}

bool lifecycle_is_running(const fastalloc_pool *pool)
{
    return pool_is_ours(pool) && __atomic_load_n(&pool->lifecycle.running, __ATOMIC_SEQ_CST);
}

void lifecycle_become_child(fastalloc_pool *pool)
{
    __atomic_store_n(&pool->lifecycle.running, 0u, __ATOMIC_SEQ_CST);
}

static void *object_at(const fastalloc_pool *pool, uint64_t index)
{
    return pool->face.objects + index * pool->face.stride;
}

/* A slot on its way to be handed out. */
struct passage {
    fastalloc_pool *pool;
    const char *operation;
    fastalloc_handle handle;
    uint64_t index;
};

static int call(const struct passage *passage, fastalloc_prepare_function *function,
                const char *name, uint32_t flags, struct reason *why)
{
    fastalloc_pool *pool = passage->pool;
    int answer;

    if (!function)
        return 0;
    answer = function(pool, passage->handle, object_at(pool, passage->index), flags,
                      pool->lifecycle.argument);
    if (!answer)
        return 0;
    return reason_set(why, FASTALLOC_E_HOOK,
                      "%s: %s of pool \"%s\" answered %d for slot %llu, which therefore went back",
                      passage->operation, name, pool->spec.name, answer,
                      (unsigned long long)passage->index);
}

/* ------------------------------------------------------------------ acquiring */

/* Initialises the object, or resets it, whichever is due: *stage is what that made of it. */
static int make_ready(const struct passage *passage, uint32_t *stage, uint32_t flags,
                      struct reason *why)
{
    const struct lifecycle *lifecycle = &passage->pool->lifecycle;
    struct segment *segment = &passage->pool->segment;
    int error;

    /* Whatever is written from now on is to be wiped, whoever finds it. */
    if (segment->geometry.flags & SPEC_ZERO_FREE)
        stages_set(segment, passage->index, *stage | STAGE_USED);
    if (!(*stage & STAGE_INITIALISED) && lifecycle->initialize) {
        error = call(passage, lifecycle->initialize, "initialize", 0, why);
        *stage |= error ? STAGE_NEW : STAGE_INITIALISED;
        return error;
    }
    return *stage & STAGE_USED ? call(passage, lifecycle->reset, "reset", flags, why) : 0;
}

/* HELD stays as it was until all is well: who had the slot last is who had it, not who could
 * not have it.  On failure *refused is the stage to give the slot back with. */
static int prepare(const struct passage *passage, uint32_t *refused, struct reason *why)
{
    struct segment *segment = &passage->pool->segment;
    uint32_t stage = stages_of(segment, passage->index);
    uint32_t held = stage & STAGE_HELD, flags = held ? FASTALLOC_RECLAIMED : 0;
    int error;

    if ((segment->geometry.flags & SPEC_ZERO_ALLOC) || stages_owe_wiping(segment, stage))
        stages_wipe(segment, passage->index);
    if (!segment->stages)
        return 0;
    stage = stages_of(segment, passage->index);
    error = make_ready(passage, &stage, flags, why);
    if (!error) {
        stage |= STAGE_USED;
        stages_set(segment, passage->index, stage | STAGE_HELD);
        error = call(passage, passage->pool->lifecycle.on_acquire, "on_acquire", flags, why);
    }
    if (error && (segment->geometry.flags & SPEC_ZERO_FREE))
        stage |= STAGE_USED;
    *refused = (stage & ~STAGE_HELD) | held;
    return error;
}

/* A slot that was refused.  The function that did may have let its handle be known. */
static void give_back(fastalloc_pool *pool, uint64_t index, uint64_t word, uint32_t stage)
{
    struct thread *thread;
    int error;

    thread = thread_begin(pool, &error);
    if (!thread)
        return;
    if (slot_renew(&pool->segment, index, word, pool->face.session, &word)) {
        struct actor actor = thread_actor(thread, pool);

        if (pool->segment.stages)
            stages_set(&pool->segment, index, stage);
        supply_free(&pool->segment, &actor, index, word);
    }
    tally_failure(&pool->segment, pool->face.session);
    thread_end(thread, pool);
}

int lifecycle_acquire(fastalloc_pool *pool, const char *operation, uint64_t index, uint64_t word)
{
    const struct passage passage = {pool, operation, slot_handle(&pool->segment, word, index),
                                    index};
    uint32_t stage = STAGE_NEW;
    struct reason why;
    struct visit visit;
    int error;

    if (!lifecycle_is_due(&pool->segment))
        return 0;
    enter(&visit);
    error = prepare(&passage, &stage, &why);
    if (error)
        give_back(pool, index, word, stage);
    leave(&visit);
    take_back(pool, &visit);
    return error ? fault_say(&why) : 0;
}

/* ------------------------------------------------------------------ releasing */

struct thread *lifecycle_free(fastalloc_pool *pool, struct thread *thread, fastalloc_handle handle,
                              uint64_t index, uint64_t word)
{
    struct segment *segment = &pool->segment;
    struct actor actor;
    struct visit visit;
    int error;

    if (segment->stages && pool->lifecycle.on_release) {
        announce(pool);
        thread_end(thread, pool);
        enter(&visit);
        pool->lifecycle.on_release(pool, handle, object_at(pool, index), pool->lifecycle.argument);
        if (pool_is_ours(pool))
            stages_end_hold(segment, index);
        leave(&visit);
        thread = thread_begin(pool, &error);
        take_back(pool, &visit);
        /* A child forked meanwhile has no part in its parent's slot. */
        if (!thread || pool->face.session != slot_owner_of(word))
            return thread;
    }
    if (segment->stages)
        stages_release(segment, index);
    /* Whoever met the slot on a walk meanwhile, and adopted it, has it. */
    if (segment->stages && !slot_renew(segment, index, word, pool->face.session, &word))
        return thread;
    actor = thread_actor(thread, pool);
    supply_free(segment, &actor, index, word);
    return thread;
}

/* -------------------------------------------------------------- ahead of use */

/* A slot taken for the session, to be freed when all are initialised. */
struct taken {
    uint64_t index, word;
};

static int take_one(fastalloc_pool *pool, struct taken *taken)
{
    struct thread *thread;
    struct actor actor;
    int error;

    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    actor = thread_actor(thread, pool);
    error = supply_alloc(&pool->segment, &actor, SUPPLY_PATIENCE_US, &taken->index, &taken->word);
    thread_end(thread, pool);
    return error;
}

/* One that others had already is theirs to initialise. */
static int initialise(fastalloc_pool *pool, uint64_t index, struct reason *why)
{
    const struct passage passage = {pool, "create", FASTALLOC_NONE, index};
    uint32_t stage = stages_of(&pool->segment, index);
    struct visit visit;
    int error;

    if (stage != STAGE_NEW)
        return 0;
    announce(pool);
    enter(&visit);
    error = make_ready(&passage, &stage, 0, why);
    leave(&visit);
    take_back(pool, &visit);
    if (!error)
        stages_set(&pool->segment, index, STAGE_READY);
    return error;
}

/* By compare-and-swap: another process may have met one on a walk, and adopted it. */
static int free_taken(fastalloc_pool *pool, struct taken *taken, uint64_t count)
{
    struct thread *thread;
    int error;

    while (count-- > 0) {
        thread = thread_begin(pool, &error);
        if (!thread)
            return error;
        if (slot_renew(&pool->segment, taken[count].index, taken[count].word, pool->face.session,
                       &taken[count].word)) {
            struct actor actor = thread_actor(thread, pool);

            supply_free(&pool->segment, &actor, taken[count].index, taken[count].word);
        }
        thread_end(thread, pool);
    }
    return 0;
}

/* As many as the first capacity has, where others do not have some. */
int lifecycle_begin(fastalloc_pool *pool, struct reason *why)
{
    uint64_t capacity = pool->segment.geometry.capacity, count = 0;
    struct taken *taken = calloc(capacity, sizeof *taken);
    bool refused = false;
    int error = taken ? 0 : FASTALLOC_E_NO_MEMORY;

    while (!error && count < capacity) {
        error = take_one(pool, &taken[count]);
        if (error)
            break;
        error = initialise(pool, taken[count++].index, why);
        refused = error;
    }
    if (!error || error == FASTALLOC_E_EXHAUSTED || error == FASTALLOC_E_STALLED)
        error = free_taken(pool, taken, count);
    free(taken);
    if (!error)
        tally_reset(&pool->segment); /* statistics begin when the pool is ready */
    return error && !refused ? reason_set(why, error, "initialising the slots of pool \"%s\": %s",
                                          pool->spec.name, fastalloc_strerror(error))
                             : error;
}
