/* SPDX-License-Identifier: MIT
 *
 * operations_alloc: crash points of allocating, from every source there is but others' caches.
 */
#include "stage.h"

#include "shm/cache.h"

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

static void act_claim(void *argument)
{
    struct stage *stage = argument;
    struct actor another = stage->doomed;
    uint64_t index, word;

    another.cache = cache_claim(&stage->pool.segment, DOOMED, 99);
    supply_alloc(&stage->pool.segment, &another, SUPPLY_PATIENCE_US, &index, &word);
}

const struct operation alloc_operations[] = {
    {.name = "alloc from the loaded magazine", .prepare = prepare_owning, .act = act_alloc},
    {.name = "alloc from the previous magazine", .prepare = prepare_previous, .act = act_alloc},
    {.name = "alloc from a depot (refill)", .prepare = prepare_stocked, .act = act_alloc},
    {.name = "alloc of a fresh slot", .prepare = prepare_nothing, .act = act_alloc},
    {.name = "alloc of a returned slot", .prepare = prepare_returned, .act = act_alloc},
    {
        .name = "alloc in a small pool",
        .prepare = prepare_nothing,
        .act = act_alloc_bare,
        .shape = {.capacity = 100},
    },
    {.name = "alloc uncached from a depot", .prepare = prepare_stocked, .act = act_alloc_bare},
    {.name = "alloc uncached of a fresh slot", .prepare = prepare_nothing, .act = act_alloc_bare},
    {
        .name = "alloc uncached of a returned slot",
        .prepare = prepare_returned,
        .act = act_alloc_bare,
    },
    {.name = "claim of a cache", .prepare = prepare_stocked, .act = act_claim},
    {.name = NULL},
};
