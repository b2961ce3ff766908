/* SPDX-License-Identifier: MIT
 *
 * operations_free: crash points of freeing, to wherever a slot may go, and of giving a
 * cache back.
 */
#include "stage.h"

#include "shm/magazine.h"
#include "shm/slot.h"

/* Both of the doomed's magazines are full, and it owns the chosen slot. */
static void prepare_full(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    uint32_t size = segment->geometry.magazine_size;

    prepare_stocked(stage);
    stage_own(stage, &stage->doomed, 4 * size);
    while (magazine_count(segment, cache_loaded(segment, &stage->doomed)) < size ||
           cache_previous(segment, &stage->doomed) == CACHE_NONE ||
           magazine_count(segment, cache_previous(segment, &stage->doomed)) < size) {
        test_pool_free(&stage->pool, &stage->doomed, stage_index(stage));
        for (uint64_t i = 0; i < STAGE_SLOTS; i++)
            if (stage->pool.held[i])
                stage_choose(stage, i);
    }
    ck_assert_uint_eq(slot_owner_of(stage->word), DOOMED);
}

static void prepare_living_owns(struct stage *stage)
{
    prepare_owning(stage);
    stage_own(stage, &stage->living, 3);
}

/* The doomed has a loaded and a previous, both partial, and so has the depot. */
static void prepare_partials(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    struct actor other = test_pool_actor(&stage->pool, LIVING);

    prepare_stocked(stage);
    other.depot = stage->doomed.depot;
    stage_own(stage, &other, 5);
    cache_release(segment, &other);
    prepare_previous(stage);
    stage_own(stage, &stage->doomed, 1);
    test_pool_free(&stage->pool, &stage->doomed, stage_index(stage));
}

static void act_free(void *argument)
{
    struct stage *stage = argument;

    fastalloc_free_inline_(&stage->lane, stage->handle);
}

static void act_free_bare(void *argument)
{
    struct stage *stage = argument;

    supply_free(&stage->pool.segment, &stage->doomed_bare, stage_index(stage), stage->word);
}

static void act_release(void *argument)
{
    struct stage *stage = argument;

    cache_release(&stage->pool.segment, &stage->doomed);
}

const struct operation free_operations[] = {
    {
        .name = "free into the loaded magazine",
        .prepare = prepare_owning,
        .act = act_free,
        .interlude = adopt_and_free,
    },
    {
        .name = "free into the loaded magazine, then adopted",
        .prepare = prepare_owning,
        .act = act_free,
        .interlude = adopt,
    },
    {
        .name = "free with a flush",
        .prepare = prepare_full,
        .act = act_free,
        .interlude = adopt_and_free,
    },
    {
        .name = "free into the return bitmap",
        .prepare = prepare_owning,
        .act = act_free_bare,
        .interlude = adopt_and_free,
    },
    {
        .name = "free of another's slot",
        .prepare = prepare_living_owns,
        .act = act_free,
        .interlude = adopt_and_free,
    },
    {.name = "release of a cache", .prepare = prepare_partials, .act = act_release},
    {.name = NULL},
};
