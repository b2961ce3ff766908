/* SPDX-License-Identifier: MIT
 *
 * stages: what a slot's byte says after each thing that is done to it, and where its memory is.
 */
#include "shm/growth.h"
#include "shm/slot.h"
#include "shm/spec.h"
#include "shm/stages.h"
#include "tests/support/pool.h"

#include <string.h>

enum { SLOTS = 100, SIZE = 24, ME = 1 };

static struct test_pool pool;
static struct segment *const segment = &pool.segment;

static void make(uint64_t capacity, uint32_t flags)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = capacity,
                                               .max_capacity = SLOTS,
                                               .object_size = SIZE,
                                               .flags = flags});
}

static char *object_at(uint64_t index)
{
    return segment->objects + index * segment->geometry.stride;
}

START_TEST(a_byte_a_slot_between_the_other_parts)
{
    struct extent extents[EXTENTS_MAX];
    uint64_t index;
    unsigned count, i, within = 0;

    make(SLOTS, SPEC_STAGES);
    ck_assert_ptr_nonnull(segment->stages);
    for (index = 0; index < SLOTS; index++) {
        ck_assert_uint_eq(stages_of(segment, index), STAGE_NEW);
        stages_set(segment, index, STAGE_IN_USE);
    }
    for (index = 0; index < SLOTS; index++)
        ck_assert_uint_eq(stages_of(segment, index), STAGE_IN_USE);
    /* It has its memory reserved with the slots. */
    count = geometry_extents(&segment->geometry, 0, SLOTS, extents);
    for (i = 0; i < count; i++)
        within += extents[i].from <= segment->geometry.stages_at &&
                  extents[i].from + extents[i].length >= segment->geometry.stages_at + SLOTS;
    ck_assert_uint_eq(within, 1);
    test_pool_end(&pool);
    make(SLOTS, 0);
    ck_assert_ptr_null(segment->stages);
    ck_assert_uint_eq(stages_of(segment, 5), STAGE_NEW);
    test_pool_end(&pool);
}
END_TEST

START_TEST(bits_that_are_none_of_it_are_not_seen)
{
    make(SLOTS, SPEC_STAGES);
    segment->stages[3] = 0xf8 | STAGE_HELD;
    ck_assert_uint_eq(stages_of(segment, 3), STAGE_HELD);
    test_pool_end(&pool);
}
END_TEST

START_TEST(wiping_zeroes_the_object_and_keeps_who_held_it)
{
    make(SLOTS, SPEC_STAGES);
    memset(object_at(4), 1, 3 * segment->geometry.stride);
    stages_set(segment, 5, STAGE_IN_USE);
    stages_wipe(segment, 5);
    ck_assert_uint_eq(stages_of(segment, 5), STAGE_HELD);
    ck_assert(object_at(5)[0] == 0 && memcmp(object_at(5), object_at(5) + 1, SIZE - 1) == 0);
    ck_assert_int_eq(object_at(5)[-1], 1);
    ck_assert_int_eq(object_at(6)[0], 1);
    stages_set(segment, 5, STAGE_RELEASED);
    stages_wipe(segment, 5);
    ck_assert_uint_eq(stages_of(segment, 5), STAGE_NEW);
    test_pool_end(&pool);
    /* In a pool that has none. */
    make(SLOTS, SPEC_ZERO_ALLOC);
    memset(object_at(5), 1, SIZE);
    stages_wipe(segment, 5);
    ck_assert_int_eq(object_at(5)[SIZE - 1], 0);
    test_pool_end(&pool);
}
END_TEST

START_TEST(releasing_wipes_where_that_is_asked_for)
{
    make(SLOTS, SPEC_STAGES);
    memset(object_at(5), 1, SIZE);
    stages_set(segment, 5, STAGE_IN_USE);
    ck_assert(!stages_owe_wiping(segment, STAGE_IN_USE));
    stages_release(segment, 5);
    ck_assert_uint_eq(stages_of(segment, 5), STAGE_RELEASED);
    ck_assert_int_eq(object_at(5)[0], 1);
    test_pool_end(&pool);
    make(SLOTS, SPEC_ZERO_FREE);
    memset(object_at(5), 1, SIZE);
    stages_set(segment, 5, STAGE_IN_USE);
    ck_assert(stages_owe_wiping(segment, STAGE_IN_USE));
    ck_assert(stages_owe_wiping(segment, STAGE_RELEASED));
    ck_assert(!stages_owe_wiping(segment, STAGE_READY));
    ck_assert(!stages_owe_wiping(segment, STAGE_HELD));
    stages_release(segment, 5);
    ck_assert_uint_eq(stages_of(segment, 5), STAGE_NEW);
    ck_assert_int_eq(object_at(5)[0], 0);
    test_pool_end(&pool);
}
END_TEST

/* Slots of [10, 20) are shrunk away, and come back. */
static void shrink_and_grow(uint32_t stage)
{
    struct actor actor = test_pool_bare_actor(&pool, ME);
    uint64_t index;

    for (index = 0; index < 20; index++)
        stages_set(segment, index, stage);
    growth_withdraw(segment, &actor, 10);
    ck_assert_uint_eq(growth_retreat(segment, 10), 10);
    growth_end_withdrawing(segment, &actor);
    for (index = 0; index < 20; index++)
        ck_assert_uint_eq(stages_of(segment, index), stage);
    growth_publish(segment, 20);
}

START_TEST(slots_that_grow_back_are_new_but_for_who_held_them)
{
    uint64_t index;

    make(20, SPEC_STAGES);
    shrink_and_grow(STAGE_RELEASED);
    for (index = 0; index < 20; index++)
        ck_assert_uint_eq(stages_of(segment, index), index < 10 ? STAGE_RELEASED : STAGE_NEW);
    shrink_and_grow(STAGE_IN_USE);
    for (index = 0; index < 20; index++)
        ck_assert_uint_eq(stages_of(segment, index), index < 10 ? STAGE_IN_USE : STAGE_HELD);
    test_pool_end(&pool);
    /* Where it may hold what a dead process wrote, if giving it back failed. */
    make(20, SPEC_ZERO_FREE);
    shrink_and_grow(STAGE_IN_USE);
    for (index = 0; index < 20; index++)
        ck_assert_uint_eq(stages_of(segment, index),
                          index < 10 ? STAGE_IN_USE : STAGE_HELD | STAGE_USED);
    test_pool_end(&pool);
}
END_TEST

/* Published before it is complete, or withdrawn in vain: nothing was given other memory. */
START_TEST(publishing_what_there_is_changes_no_stage)
{
    struct actor actor;
    uint64_t index;

    make(20, SPEC_STAGES);
    actor = test_pool_bare_actor(&pool, ME);
    for (index = 0; index < 20; index++)
        stages_set(segment, index, STAGE_RELEASED);
    growth_withdraw(segment, &actor, 10);
    growth_publish(segment, 20);
    growth_end_withdrawing(segment, &actor);
    for (index = 0; index < 20; index++)
        ck_assert_uint_eq(stages_of(segment, index), STAGE_RELEASED);
    test_pool_end(&pool);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_byte_a_slot_between_the_other_parts,
        bits_that_are_none_of_it_are_not_seen,
        wiping_zeroes_the_object_and_keeps_who_held_it,
        releasing_wipes_where_that_is_asked_for,
        slots_that_grow_back_are_new_but_for_who_held_them,
        publishing_what_there_is_changes_no_stage,
    };

    return test_run(TEST_SUITE("stages", tests, 10));
}
