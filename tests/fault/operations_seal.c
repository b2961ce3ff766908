/* SPDX-License-Identifier: MIT
 *
 * operations_seal: crash points of an allocation in a pool that another seals while it is under
 * way: what it had got, and what it was putting back, is idle when the dead is swept.
 */
#include "stage.h"

#include "shm/seal.h"
#include "shm/sweep.h"

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

static void seal(struct stage *stage)
{
    seal_close(&stage->pool.segment);
    TEST_REQUIRE(seal_mark(&stage->pool.segment), "no barrier");
}

/* Sealed before it begins: it goes all the way to being refused. */
static void prepare_sealed(struct stage *stage)
{
    prepare_stocked(stage);
    seal(stage);
}

static void prepare_sealed_and_returned(struct stage *stage)
{
    prepare_returned(stage);
    seal(stage);
}

/* Whoever drains finds nothing when the dead has been swept. */
static void drain(struct stage *stage, struct crash_verdict *verdict)
{
    struct segment *segment = &stage->pool.segment;
    uint32_t cache = 0;
    uint64_t slot = 0;

    sweep_session(segment, DOOMED, NULL, NULL);
    if (!seal_is_closed(segment))
        crash_find(verdict, "the seal is gone");
    if (!seal_is_quiet(segment, &cache))
        crash_find(verdict, "cache %u is busy for ever", cache);
    if (!seal_is_empty(segment, &slot))
        crash_find(verdict, "slot %llu is never empty", (unsigned long long)slot);
    seal_open(segment);
}

const struct operation seal_operations[] = {
    {
        .name = "alloc, sealed on the way",
        .prepare = prepare_stocked,
        .act = act_alloc,
        .meet = seal,
        .survive = drain,
    },
    {
        .name = "alloc of a returned slot, sealed on the way",
        .prepare = prepare_returned,
        .act = act_alloc_bare,
        .meet = seal,
        .survive = drain,
    },
    {
        .name = "alloc in a sealed pool",
        .prepare = prepare_sealed,
        .act = act_alloc,
        .survive = drain,
    },
    {
        .name = "alloc uncached in a sealed pool",
        .prepare = prepare_sealed_and_returned,
        .act = act_alloc_bare,
        .survive = drain,
    },
    {.name = NULL},
};
