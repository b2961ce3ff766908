/* SPDX-License-Identifier: MIT
 *
 * operations_capacity: crash points of a client that makes a pool smaller or larger: it
 * withdraws idle slots, or in a local pool publishes new ones.
 */
#include "stage.h"

#include "shm/growth.h"

enum { TARGET = 150, GROWN = 600 };

/* Idle slots are in depots, in a cache, returned, and never used. */
static void prepare_mixed(struct stage *stage)
{
    struct actor bare = test_pool_bare_actor(&stage->pool, LIVING);
    unsigned i, freed = 0;

    for (i = 0; i < 250; i++)
        test_pool_alloc(&stage->pool, &stage->living);
    for (i = 0; i < STAGE_SLOTS; i++)
        if (stage->pool.held[i] && i % 9)
            test_pool_free(&stage->pool, ++freed % 3 ? &stage->living : &bare, i);
    stage_own(stage, &stage->doomed, 3);
}

static void act_withdraw(void *argument)
{
    struct stage *stage = argument;

    growth_withdraw(&stage->pool.segment, &stage->doomed, TARGET);
    growth_end_withdrawing(&stage->pool.segment, &stage->doomed);
}

/* ... and as the holder of the role it lowers the capacity. */
static void act_shrink(void *argument)
{
    struct stage *stage = argument;

    growth_withdraw(&stage->pool.segment, &stage->doomed, TARGET);
    growth_retreat(&stage->pool.segment, TARGET);
    growth_end_withdrawing(&stage->pool.segment, &stage->doomed);
}

static void prepare_shrunk(struct stage *stage)
{
    prepare_stocked(stage);
    growth_withdraw(&stage->pool.segment, &stage->living, TARGET);
    growth_retreat(&stage->pool.segment, TARGET);
    growth_end_withdrawing(&stage->pool.segment, &stage->living);
    stage_own(stage, &stage->doomed, 3);
}

static void act_publish(void *argument)
{
    struct stage *stage = argument;

    growth_publish(&stage->pool.segment, GROWN);
}

/* What the next to take the role does: it mends, and the rest is there again. */
static void grow_to_the_end(struct stage *stage, struct crash_verdict *verdict)
{
    growth_publish(&stage->pool.segment, GROWN);
    if (segment_capacity(&stage->pool.segment) != GROWN)
        crash_find(verdict, "%llu slots, not %d",
                   (unsigned long long)segment_capacity(&stage->pool.segment), GROWN);
}

const struct operation capacity_operations[] = {
    {
        .name = "withdraw",
        .prepare = prepare_mixed,
        .act = act_withdraw,
        .shape = {.max_capacity = GROWN},
    },
    {
        .name = "withdraw and shrink",
        .prepare = prepare_mixed,
        .act = act_shrink,
        .shape = {.max_capacity = GROWN},
    },
    {
        .name = "withdraw and shrink, then grow",
        .prepare = prepare_mixed,
        .act = act_shrink,
        .survive = grow_to_the_end,
        .shape = {.max_capacity = GROWN},
    },
    {
        .name = "grow again",
        .prepare = prepare_shrunk,
        .act = act_publish,
        .survive = grow_to_the_end,
        .shape = {.max_capacity = GROWN},
    },
    {.name = NULL},
};
