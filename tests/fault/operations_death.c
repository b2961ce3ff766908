/* SPDX-License-Identifier: MIT
 *
 * operations_death: crash points of those who recover from another's death.
 */
#include "stage.h"

#include "shm/bitmap.h"
#include "shm/depot.h"
#include "shm/magazine.h"
#include "shm/session.h"
#include "shm/sweep.h"

/* A holder of every depot's lock has died. */
static void prepare_holder_died(struct stage *stage)
{
    prepare_stocked(stage);
    test_pool_release(test_pool_lock_all(&stage->pool));
}

static void prepare_dirty(struct stage *stage)
{
    uint32_t d;

    prepare_stocked(stage);
    for (d = 0; d < stage->pool.segment.geometry.depots; d++)
        stage->pool.segment.depots[d].dirty = 1;
}

/* A session died in the middle of things: it owns slots and magazines. */
static void prepare_dead(struct stage *stage)
{
    struct actor dead = test_pool_actor(&stage->pool, DEAD);

    prepare_stocked(stage);
    stage_own(stage, &dead, 20);
    stage->pool.segment.caches[dead.cache].gate.busy = 1;
}

/* A session died in a free, after the count: its top entry has an owner. */
static struct actor die_in_a_free(struct stage *stage)
{
    struct actor dead = test_pool_actor(&stage->pool, DEAD);
    uint32_t *words;

    stage_own(stage, &dead, 5);
    words = magazine_at(&stage->pool.segment, cache_loaded(&stage->pool.segment, &dead));
    words[words[0] + 1] = (uint32_t)stage_index(stage);
    words[0]++;
    stage->pool.segment.caches[dead.cache].gate.busy = 1;
    return dead;
}

/* ... or in an alloc, before the count: that looks the same. */
static void prepare_dead_in_an_alloc(struct stage *stage)
{
    prepare_stocked(stage);
    die_in_a_free(stage);
}

static void prepare_dead_in_a_free(struct stage *stage)
{
    prepare_dead_in_an_alloc(stage);
    adopt_and_free(stage);
}

/* A session without a cache died in an alloc, after the word and before the count: no gate
 * tells of it. */
static void prepare_dead_uncached(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    uint32_t magazine, d = 0, *words;
    uint64_t word;

    prepare_stocked(stage);
    session_open(segment, DEAD, 0, 0, "dead");
    while (!depot_has_stock(segment, d))
        d++;
    TEST_REQUIRE(depot_lock(segment, d, NULL) == LOCK_TAKEN, "the lock is taken");
    TEST_REQUIRE(depot_take_stock_locked(segment, d, DEAD, &magazine, &word), "nothing there");
    depot_unlock(segment, d);
    words = magazine_at(segment, magazine);
    slot_take(segment, words[words[0]], segment->words[words[words[0]]], DEAD);
}

/* A session died in a free and was swept: its magazine lies in the doomed's depot, with fewer
 * entries than the dead one's count says. */
static void prepare_swept(struct stage *stage)
{
    uint64_t index;

    prepare_stocked(stage);
    test_pool_alloc(&stage->pool, &stage->living);
    die_in_a_free(stage);
    sweep_session(&stage->pool.segment, DEAD, NULL, NULL);
    /* What it took back is idle in the living's cache by now. */
    while ((index = bitmap_take(&stage->pool.segment, LIVING, 0)) != BITMAP_NONE)
        supply_free(&stage->pool.segment, &stage->living, index, stage->pool.segment.words[index]);
    stage->doomed.depot = DEAD;
    stage->doomed_bare.depot = DEAD;
}

static void act_alloc(void *argument)
{
    struct stage *stage = argument;
    fastalloc_handle handle;

    fastalloc_alloc_inline_(&stage->lane, &handle, NULL);
}

static void act_alloc_bare(void *argument)
{
    struct stage *stage = argument;
    uint64_t index, word;

    supply_alloc(&stage->pool.segment, &stage->doomed_bare, SUPPLY_PATIENCE_US, &index, &word);
}

static void act_sweep(void *argument)
{
    struct stage *stage = argument;

    sweep_session(&stage->pool.segment, DEAD, NULL, NULL);
}

static void act_reopen(void *argument)
{
    struct stage *stage = argument;

    sweep_session(&stage->pool.segment, DEAD, NULL, NULL);
    session_reuse(&stage->pool.segment, DEAD);
    session_open(&stage->pool.segment, DEAD, 1, 1, "again");
}

const struct operation death_operations[] = {
    {.name = "rebuild after a holder's death", .prepare = prepare_holder_died, .act = act_alloc},
    {
        .name = "rebuild after a holder's death, uncached",
        .prepare = prepare_holder_died,
        .act = act_alloc_bare,
    },
    {.name = "rebuild of a dirty depot", .prepare = prepare_dirty, .act = act_alloc},
    {.name = "alloc from what was swept", .prepare = prepare_swept, .act = act_alloc},
    {.name = "alloc uncached from what was swept", .prepare = prepare_swept, .act = act_alloc_bare},
    {.name = "sweep of another", .prepare = prepare_dead, .act = act_sweep},
    {
        .name = "sweep of another who died in an alloc",
        .prepare = prepare_dead_in_an_alloc,
        .act = act_sweep,
    },
    {
        .name = "sweep of another who died uncached",
        .prepare = prepare_dead_uncached,
        .act = act_sweep,
    },
    {
        .name = "sweep of another who died in a free",
        .prepare = prepare_dead_in_a_free,
        .act = act_sweep,
    },
    {.name = "sweep and reuse of another", .prepare = prepare_dead, .act = act_reopen},
    {.name = NULL},
};
