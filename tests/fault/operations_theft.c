/* SPDX-License-Identifier: MIT
 *
 * operations_theft: crash points of revocation: the thief's, and his victim's.
 */
#include "stage.h"

/* A thief has marked the doomed, whose loaded one is empty and previous is not, and has
 * gone away; or he is still there, and takes when the doomed has died. */
static void prepare_marked(struct stage *stage)
{
    prepare_previous(stage);
    mark(stage);
}

static void prepare_marked_owning(struct stage *stage)
{
    prepare_owning(stage);
    mark(stage);
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

static void act_free(void *argument)
{
    struct stage *stage = argument;

    fastalloc_free_inline_(&stage->lane, stage->handle);
}

const struct operation theft_operations[] = {
    {.name = "alloc of a stolen slot (thief)", .prepare = prepare_robbable, .act = act_alloc},
    {
        .name = "alloc uncached of a stolen slot (thief)",
        .prepare = prepare_robbable,
        .act = act_alloc_bare,
    },
    {
        .name = "alloc as a victim, marked before",
        .prepare = prepare_marked,
        .act = act_alloc,
        .interlude = take,
    },
    {
        .name = "alloc as a victim, marked meanwhile",
        .prepare = prepare_owning,
        .act = act_alloc,
        .meet = mark,
        .interlude = take,
    },
    {
        .name = "free as a victim, marked before",
        .prepare = prepare_marked_owning,
        .act = act_free,
        .interlude = take,
    },
    {
        .name = "free as a victim, marked meanwhile",
        .prepare = prepare_owning,
        .act = act_free,
        .meet = mark,
        .interlude = take,
    },
    {.name = NULL},
};
