/* SPDX-License-Identifier: MIT
 *
 * operations_owner: crash points of changing whose a slot is: adopting, giving, leaving,
 * sharing.
 */
#include "stage.h"

#include "shm/notes.h"
#include "shm/session.h"
#include "shm/share.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "shm/wait.h"

static void prepare_living_owns(struct stage *stage)
{
    prepare_owning(stage);
    stage_own(stage, &stage->living, 3);
}

static void act_adopt(void *argument)
{
    struct stage *stage = argument;
    uint64_t word;

    slot_own(&stage->pool.segment, stage->handle, DOOMED, &word);
}

static void act_give(void *argument)
{
    struct stage *stage = argument;

    session_give(&stage->pool.segment, DOOMED, LIVING, stage->handle);
}

/* ----------------------------------------------------------- left, shared */

static void act_leave(void *argument)
{
    struct stage *stage = argument;

    notes_leave(&stage->pool.segment, stage->handle, DOOMED, 1,
                notes_time(1)); /* no clock: the same way each time */
}

/* The time of what was left is up, as the sweeper finds. */
static void expire(struct stage *stage, struct crash_verdict *verdict)
{
    (void)verdict;
    notes_expire(&stage->pool.segment, notes_clock(wait_now() + 1000000000), true);
}

/* The doomed's slot is shared; or the living's is, with the doomed as a holder or not. */
static void prepare_sharing(struct stage *stage)
{
    prepare_owning(stage);
    TEST_REQUIRE(share_make(&stage->pool.segment, stage->handle, DOOMED, NULL) == 0, "not shared");
}

static void prepare_living_shares(struct stage *stage)
{
    prepare_living_owns(stage);
    TEST_REQUIRE(share_make(&stage->pool.segment, stage->handle, LIVING, NULL) == 0, "not shared");
}

static void prepare_both_share(struct stage *stage)
{
    prepare_living_shares(stage);
    TEST_REQUIRE(share_join(&stage->pool.segment, stage->handle, DOOMED, NULL) == 0, "not joined");
}

static void act_share(void *argument)
{
    struct stage *stage = argument;

    share_make(&stage->pool.segment, stage->handle, DOOMED, NULL);
}

static void act_ref(void *argument)
{
    struct stage *stage = argument;

    share_join(&stage->pool.segment, stage->handle, DOOMED, NULL);
}

static void act_unref(void *argument)
{
    struct stage *stage = argument;
    uint64_t index = stage_index(stage), word;

    if (share_drop(&stage->pool.segment, index, DOOMED, &word))
        supply_free(&stage->pool.segment, &stage->doomed, index, word);
}

/* The living lets go of the slot, or takes hold of it, while the doomed is about to. */
static void let_go(struct stage *stage)
{
    uint64_t index = stage_index(stage), word;

    if (share_has(&stage->pool.segment, index, LIVING) &&
        share_drop(&stage->pool.segment, index, LIVING, &word))
        supply_free(&stage->pool.segment, &stage->living, index, word);
}

static void join_in(struct stage *stage)
{
    share_join(&stage->pool.segment, stage->handle, LIVING, NULL);
}

/* In the end nobody holds it. */
static void let_go_at_last(struct stage *stage, struct crash_verdict *verdict)
{
    struct survey survey;

    let_go(stage);
    survey_slots(&stage->pool.segment, &survey, NULL);
    if (survey.shared)
        crash_find(verdict, "%llu slots are shared by nobody", (unsigned long long)survey.shared);
}

const struct operation owner_operations[] = {
    {
        .name = "adopt",
        .prepare = prepare_living_owns,
        .act = act_adopt,
        .interlude = adopt_and_free,
    },
    {
        .name = "give",
        .prepare = prepare_owning,
        .act = act_give,
        .interlude = adopt_and_free,
    },
    {
        .name = "leave",
        .prepare = prepare_owning,
        .act = act_leave,
        .interlude = adopt_and_free,
        .survive = expire,
        .shape = {.flags = SPEC_NOTES},
    },
    {
        .name = "share",
        .prepare = prepare_owning,
        .act = act_share,
        .interlude = join_in,
        .verify = let_go_at_last,
        .shape = {.flags = SPEC_SHARING},
    },
    {
        .name = "ref",
        .prepare = prepare_living_shares,
        .act = act_ref,
        .interlude = let_go,
        .verify = let_go_at_last,
        .shape = {.flags = SPEC_SHARING},
    },
    {
        .name = "ref, when the other lets go",
        .prepare = prepare_living_shares,
        .act = act_ref,
        .meet = let_go,
        .verify = let_go_at_last,
        .shape = {.flags = SPEC_SHARING},
    },
    {
        .name = "unref",
        .prepare = prepare_both_share,
        .act = act_unref,
        .interlude = let_go,
        .verify = let_go_at_last,
        .shape = {.flags = SPEC_SHARING},
    },
    {
        .name = "unref, when the other lets go",
        .prepare = prepare_both_share,
        .act = act_unref,
        .meet = let_go,
        .verify = let_go_at_last,
        .shape = {.flags = SPEC_SHARING},
    },
    {
        .name = "unref of the last hold",
        .prepare = prepare_sharing,
        .act = act_unref,
        .interlude = join_in,
        .verify = let_go_at_last,
        .shape = {.flags = SPEC_SHARING},
    },
    {
        .name = "unref of the last hold, when another joins",
        .prepare = prepare_sharing,
        .act = act_unref,
        .meet = join_in,
        .verify = let_go_at_last,
        .shape = {.flags = SPEC_SHARING},
    },
    {.name = NULL},
};
