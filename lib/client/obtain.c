/* SPDX-License-Identifier: MIT
 *
 * obtain: see obtain.h.
 *
 * A pool that can still grow is not waited for: a look everywhere, and if that finds
 * nothing, or nothing that is not behind a stopped thread, it grows.  Growing names the capacity
 * that was looked at, so of many who find nothing one makes the step.
 */
#include "obtain.h"

#include "growth.h"
#include "local.h"
#include "pool.h"
#include "shm/supply.h"

#define FRUITLESS_MAX 8u /* steps that somebody else took back before they could be used */

static int state_error(const struct segment *segment)
{
    switch (segment_state(segment)) {
    case POOL_LIVE:
        return 0;
    case POOL_DESTROYED:
        return FASTALLOC_E_DESTROYED;
    case POOL_SEALED:
        return FASTALLOC_E_SEALED;
    default:
        return FASTALLOC_E_POISONED;
    }
}

static int look(fastalloc_pool *pool, const struct actor *actor, uint64_t patience_us,
                uint64_t *index, uint64_t *word)
{
    int error = state_error(&pool->segment);

    return error ? error : supply_alloc(&pool->segment, actor, patience_us, index, word);
}

/* As look(); in a local pool, where nobody but its users sweeps, again after a sweep. */
static int look_and_sweep(fastalloc_pool *pool, const struct actor *actor, uint64_t patience_us,
                          uint64_t *index, uint64_t *word)
{
    int error = look(pool, actor, patience_us, index, word);

    if ((error == FASTALLOC_E_EXHAUSTED || error == FASTALLOC_E_STALLED) && !pool->client &&
        local_sweep(pool))
        error = look(pool, actor, patience_us, index, word);
    return error;
}

int obtain_slot(fastalloc_pool *pool, const struct actor *actor, const struct urgency *urgency,
                uint64_t *index, uint64_t *word, struct reason *why)
{
    uint64_t maximum = pool->segment.geometry.max_capacity, from;
    bool grows = pool->spec.growth != FASTALLOC_GROWTH_NONE;
    unsigned fruitless = 0;
    int error, refusal;

    why->code = 0;
    if (!grows)
        return look_and_sweep(pool, actor, urgency->patience_us, index, word);
    for (;;) {
        /* Before the look: a step taken meanwhile is told from one that is needed. */
        from = segment_capacity(&pool->segment);
        if (from >= maximum || fruitless > FRUITLESS_MAX)
            break;
        error = look_and_sweep(pool, actor, 0, index, word);
        if (error != FASTALLOC_E_EXHAUSTED && error != FASTALLOC_E_STALLED)
            return error;
        refusal = growth_ask(pool, from, urgency, why);
        if (refusal && refusal != FASTALLOC_E_MAX_CAPACITY) {
            /* That took its time: what was stalled may be there now. */
            error = look(pool, actor, urgency->patience_us, index, word);
            return error ? refusal : 0;
        }
        why->code = 0;
        fruitless += segment_capacity(&pool->segment) <= from;
    }
    error = look_and_sweep(pool, actor, urgency->patience_us, index, word);
    if (error != FASTALLOC_E_EXHAUSTED)
        return error;
    return from >= maximum ? FASTALLOC_E_MAX_CAPACITY : FASTALLOC_E_STALLED;
}
