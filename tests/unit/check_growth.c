/* SPDX-License-Identifier: MIT
 *
 * growth: what a pool's capacity does to its slots, up and down.
 */
#include "shm/bitmap.h"
#include "shm/growth.h"
#include "shm/magazine.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/supply.h"
#include "shm/sweep.h"
#include "tests/support/pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ME 1
#define OTHER 2

static struct test_pool pool;

static void make(uint64_t capacity, uint64_t maximum)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = capacity, .max_capacity = maximum});
}

/* As a client and the role's holder do it together. */
static uint64_t shrink(const struct actor *actor, uint64_t target)
{
    uint64_t capacity;

    growth_withdraw(&pool.segment, actor, target);
    capacity = growth_retreat(&pool.segment, target);
    growth_end_withdrawing(&pool.segment, actor);
    return capacity;
}

/* ------------------------------------------------------------- strategies */

START_TEST(strategies_step_and_stop_at_the_maximum)
{
    struct pool_spec spec = {.max_capacity = 64};

    spec.growth = FASTALLOC_GROWTH_LINEAR;
    spec.growth_amount = 5;
    ck_assert_uint_eq(spec_next_capacity(&spec, 10, 0), 15);
    ck_assert_uint_eq(spec_next_capacity(&spec, 62, 0), 64);
    ck_assert_uint_eq(spec_next_capacity(&spec, 64, 0), 64);
    spec.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    spec.growth_factor = 2;
    ck_assert_uint_eq(spec_next_capacity(&spec, 2, 0), 4);
    ck_assert_uint_eq(spec_next_capacity(&spec, 32, 0), 64);
    spec.growth_factor = 1.0001;
    ck_assert_uint_eq(spec_next_capacity(&spec, 2, 0), 3);
    spec.growth_factor = 1e300;
    ck_assert_uint_eq(spec_next_capacity(&spec, 2, 0), 64);
    spec.growth = FASTALLOC_GROWTH_NONE;
    ck_assert_uint_eq(spec_next_capacity(&spec, 10, 0), 10);
    ck_assert_uint_eq(spec_next_capacity(&spec, 10, 7), 17);
    ck_assert_uint_eq(spec_next_capacity(&spec, 10, UINT64_MAX), 64);
}
END_TEST

START_TEST(growth_that_is_none_is_refused)
{
    struct pool_spec good = {.object_size = 8, .capacity = 10}, spec;
    struct reason why;
    const double factors[] = {1, 0.5, 0, -2, 0.0 / 0.0, 1.0 / 0.0};
    size_t i;

    for (i = 0; i < sizeof factors / sizeof factors[0]; i++) {
        spec = good;
        spec.growth = FASTALLOC_GROWTH_EXPONENTIAL;
        spec.growth_factor = factors[i];
        ck_assert_int_eq(spec_complete(&spec, &why), FASTALLOC_E_GROWTH);
        ck_assert_ptr_nonnull(strstr(why.text, "factor"));
    }
    spec = good;
    spec.growth = FASTALLOC_GROWTH_LINEAR;
    ck_assert_int_eq(spec_complete(&spec, &why), FASTALLOC_E_GROWTH);
    spec.growth = 17;
    ck_assert_int_eq(spec_complete(&spec, &why), FASTALLOC_E_GROWTH);
    spec = good;
    spec.growth = FASTALLOC_GROWTH_LINEAR;
    spec.growth_amount = 5;
    ck_assert_int_eq(spec_complete(&spec, &why), 0);
    ck_assert_uint_ge(spec.max_capacity, 65536);
}
END_TEST

/* ----------------------------------------------------------------- extents */

/* What is named for one step after another is what is named for all at once. */
START_TEST(extents_leave_no_gap)
{
    const uint64_t steps[] = {100, 101, 250, 4096, 10000};
    struct extent extents[EXTENTS_MAX];
    struct pool_spec spec = {.object_size = 24,
                             .alignment = 8,
                             .capacity = 100,
                             .max_capacity = 10000,
                             .flags = SPEC_SHARING | SPEC_NOTES};
    struct geometry g;
    struct reason why;
    uint64_t from = 0, at;
    uint8_t *covered;
    size_t s, i;

    ck_assert_int_eq(spec_complete(&spec, &why), 0);
    ck_assert_int_eq(geometry_plan(&g, &spec, &why), 0);
    covered = calloc(1, g.total);
    for (s = 0; s < sizeof steps / sizeof steps[0]; from = steps[s++]) {
        unsigned count = geometry_extents(&g, from, steps[s], extents);

        for (i = 0; i < count; i++) {
            ck_assert_uint_le(extents[i].from + extents[i].length, g.total);
            memset(covered + extents[i].from, 1, extents[i].length);
        }
        /* Every slot, word, note, row and magazine below is there. */
        for (at = 0; at < steps[s]; at++) {
            ck_assert(covered[g.words_at + at * 8] && covered[g.words_at + at * 8 + 7]);
            ck_assert(covered[g.notes_at + at * 8 + 7]);
            ck_assert(covered[g.holders_at + (at + 1) * g.row_words * 8 - 1]);
            ck_assert(covered[g.objects_at + (at + 1) * g.stride - 1]);
        }
        at = geometry_magazines(&g, steps[s]);
        ck_assert(covered[g.magazines_at + at * (g.magazine_size + 1) * 4 - 1]);
    }
    ck_assert(!memchr(covered, 0, g.magazines_at));
    ck_assert(!covered[g.guard_at]);
    free(covered);
}
END_TEST

/* No page beyond what is reserved is touched by anything that works on the pool. */
START_TEST(memory_beyond_the_capacity_is_not_touched)
{
    struct extent had[EXTENTS_MAX], later[EXTENTS_MAX];
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    struct actor me;
    unsigned count, i;

    (void)had;
    make(1000, 100000);
    count = geometry_extents(&pool.segment.geometry, 1000, 100000, later);
    for (i = 0; i < count; i++) {
        uint64_t from = (later[i].from + page - 1) / page * page;
        uint64_t end = (later[i].from + later[i].length) / page * page;

        if (end > from)
            ck_assert_int_eq(mprotect(pool.segment.base + from, end - from, PROT_NONE), 0);
    }
    me = test_pool_actor(&pool, ME);
    ck_assert_uint_eq(test_pool_drain(&pool, &me), 1000);
    test_pool_refill(&pool, &me);
    cache_release(&pool.segment, &me);
    sweep_session(&pool.segment, ME, NULL, NULL);
    ck_assert(session_reuse(&pool.segment, ME));
    me = test_pool_actor(&pool, ME);
    test_pool_assert_exact(&pool, &me);
    ck_assert_int_eq(slot_diagnose(&pool.segment, UINT64_C(1000) << 17 | 99999),
                     FASTALLOC_E_HANDLE);
    ck_assert_uint_eq(shrink(&me, 500), 500);
    test_pool_assert_exact(&pool, &me);
    test_pool_end(&pool);
}
END_TEST

/* -------------------------------------------------------------------- up */

START_TEST(grown_slots_can_be_had_at_once)
{
    struct actor me;
    uint64_t steps[] = {200, 201, 5000, 20000}, i;

    make(100, 20000);
    me = test_pool_actor(&pool, ME);
    ck_assert_uint_eq(test_pool_drain(&pool, &me), 100);
    for (i = 0; i < 4; i++) {
        uint64_t before = segment_capacity(&pool.segment);

        growth_publish(&pool.segment, steps[i]);
        ck_assert_uint_eq(test_pool_drain(&pool, &me), steps[i] - before);
    }
    ck_assert_uint_eq(pool.segment.header->growths, 4);
    test_pool_refill(&pool, &me);
    test_pool_assert_exact(&pool, &me);
    test_pool_end(&pool);
}
END_TEST

START_TEST(publishing_less_than_there_is_changes_nothing)
{
    make(1000, 5000);
    growth_publish(&pool.segment, 3000);
    growth_publish(&pool.segment, 2000);
    ck_assert_uint_eq(segment_capacity(&pool.segment), 3000);
    test_pool_end(&pool);
}
END_TEST

/* ------------------------------------------------------------------- down */

START_TEST(idle_slots_go_from_wherever_they_lie)
{
    struct actor me, other, bare;
    uint64_t i;

    make(10000, 10000);
    me = test_pool_actor(&pool, ME);
    other = test_pool_actor(&pool, OTHER);
    bare = test_pool_bare_actor(&pool, OTHER);
    ck_assert_uint_eq(test_pool_drain(&pool, &me), 10000);
    /* Depots, two caches and the bitmap. */
    for (i = 0; i < 10000; i++)
        test_pool_free(&pool, i % 3 == 0 ? &bare : i % 3 == 1 ? &other : &me, i);
    ck_assert_uint_eq(shrink(&me, 4000), 4000);
    ck_assert_uint_eq(segment_reserved(&pool.segment), 10000);
    test_pool_assert_clean(&pool);
    ck_assert_uint_eq(test_pool_drain(&pool, &other), 4000);
    test_pool_refill(&pool, &other);
    growth_publish(&pool.segment, 7000);
    ck_assert_uint_eq(test_pool_drain(&pool, &me), 7000);
    test_pool_refill(&pool, &me);
    test_pool_assert_exact(&pool, &other);
    test_pool_end(&pool);
}
END_TEST

START_TEST(slots_in_use_stop_it)
{
    struct actor me;
    uint64_t i;

    make(2000, 2000);
    me = test_pool_actor(&pool, ME);
    test_pool_drain(&pool, &me);
    for (i = 0; i < 2000; i++)
        if (i != 1500)
            test_pool_free(&pool, &me, i);
    ck_assert_uint_eq(shrink(&me, 1000), 1501);
    ck_assert_uint_eq(segment_capacity(&pool.segment), 1501);
    test_pool_assert_exact(&pool, &me);
    test_pool_end(&pool);
}
END_TEST

START_TEST(handles_stay_stale_over_shrinking_and_growing)
{
    fastalloc_handle stale[2000];
    struct actor me;
    uint64_t i, word;

    make(2000, 2000);
    me = test_pool_actor(&pool, ME);
    test_pool_drain(&pool, &me);
    for (i = 0; i < 2000; i++)
        stale[i] = test_pool_handle(&pool, i);
    test_pool_refill(&pool, &me);
    ck_assert_uint_eq(shrink(&me, 1), 1);
    for (i = 0; i < 2000; i++)
        ck_assert_int_ne(slot_own(&pool.segment, stale[i], ME, &word), 0);
    growth_publish(&pool.segment, 2000);
    ck_assert_uint_eq(test_pool_drain(&pool, &me), 2000);
    for (i = 0; i < 2000; i++)
        TEST_REQUIRE(slot_own(&pool.segment, stale[i], ME, &word) != 0, "slot %llu",
                     (unsigned long long)i);
    test_pool_refill(&pool, &me);
    test_pool_end(&pool);
}
END_TEST

/* What is withdrawn may be given back: nobody hears that there is none meanwhile. */
START_TEST(nothing_is_exhausted_while_somebody_withdraws)
{
    struct actor me, other;
    uint64_t index, word;

    make(_i ? 1000 : 100, _i ? 1000 : 100);
    me = test_pool_actor(&pool, ME);
    other = test_pool_actor(&pool, OTHER);
    test_pool_drain(&pool, &other);
    test_pool_free(&pool, &other, 5);
    growth_withdraw(&pool.segment, &me, 1);
    ck_assert_int_eq(supply_alloc(&pool.segment, &other, 0, &index, &word), FASTALLOC_E_STALLED);
    ck_assert_uint_eq(growth_retreat(&pool.segment, 1), segment_capacity(&pool.segment));
    growth_end_withdrawing(&pool.segment, &me);
    ck_assert_uint_eq(test_pool_drain(&pool, &other), 1);
    test_pool_refill(&pool, &other);
    test_pool_end(&pool);
}
END_TEST

/* The daemon died between lowering `published` and giving back what is below it. */
START_TEST(the_next_daemon_gives_back_what_is_withdrawn)
{
    struct actor me;
    uint64_t i;

    make(2000, 2000);
    me = test_pool_actor(&pool, ME);
    test_pool_drain(&pool, &me);
    for (i = 0; i < 2000; i++)
        if (i != 1500)
            test_pool_free(&pool, &me, i);
    growth_withdraw(&pool.segment, &me, 1000);
    growth_end_withdrawing(&pool.segment, &me);
    pool.segment.header->published = 1501;
    /* and between a word and its bit */
    ck_assert(slot_mark(&pool.segment, 1200, pool.segment.words[1200], SLOT_RETURNED));
    growth_publish(&pool.segment, 2000);
    test_pool_assert_exact(&pool, &me);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_dead_shrinkers_slots_come_back)
{
    struct actor me, other;

    make(5000, 5000);
    me = test_pool_actor(&pool, ME);
    other = test_pool_actor(&pool, OTHER);
    test_pool_drain(&pool, &other);
    test_pool_refill(&pool, &other);
    growth_withdraw(&pool.segment, &me, 100);
    /* and dies before it could ask for the rest. */
    sweep_session(&pool.segment, ME, NULL, NULL);
    test_pool_assert_exact(&pool, &other);
    test_pool_end(&pool);
}
END_TEST

START_TEST(small_pools_shrink_too)
{
    struct actor me;

    make(50, 100);
    me = test_pool_bare_actor(&pool, ME);
    test_pool_drain(&pool, &me);
    test_pool_refill(&pool, &me);
    ck_assert_uint_eq(shrink(&me, 20), 20);
    ck_assert_uint_eq(test_pool_drain(&pool, &me), 20);
    growth_publish(&pool.segment, 100);
    ck_assert_uint_eq(test_pool_drain(&pool, &me), 80);
    test_pool_refill(&pool, &me);
    test_pool_end(&pool);
}
END_TEST

/* --------------------------------------------------------------- low water */

START_TEST(one_asks_when_the_water_is_low)
{
    struct actor me;

    make(2000, 4000);
    me = test_pool_actor(&pool, ME);
    ck_assert(!growth_is_due(&pool.segment, 250));
    while (pool.segment.header->bump < 1800)
        test_pool_alloc(&pool, &me);
    ck_assert(growth_is_due(&pool.segment, 250));
    ck_assert_msg(!growth_is_due(&pool.segment, 250), "asked twice at one capacity");
    growth_publish(&pool.segment, 4000);
    ck_assert(!growth_is_due(&pool.segment, 250));
    ck_assert_msg(!growth_is_due(&pool.segment, 4000), "asked at the maximum");
    test_pool_refill(&pool, &me);
    test_pool_end(&pool);
}
END_TEST

START_TEST(idle_slots_in_depots_and_bitmap_count)
{
    struct actor me, bare;
    uint64_t i;

    make(2000, 4000);
    me = test_pool_actor(&pool, ME);
    bare = test_pool_bare_actor(&pool, OTHER);
    test_pool_drain(&pool, &me);
    for (i = 0; i < 400; i++)
        test_pool_free(&pool, &bare, i);
    ck_assert(!growth_is_due(&pool.segment, 250));
    while (pool.holding < 2000)
        test_pool_alloc(&pool, &me);
    for (i = 0; i < 400; i++)
        test_pool_free(&pool, &me, i);
    cache_flush(&pool.segment, &me);
    ck_assert(!growth_is_due(&pool.segment, 250));
    while (pool.holding < 1900)
        test_pool_alloc(&pool, &me);
    ck_assert(growth_is_due(&pool.segment, 250));
    test_pool_refill(&pool, &me);
    test_pool_end(&pool);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {
        strategies_step_and_stop_at_the_maximum,
        growth_that_is_none_is_refused,
        extents_leave_no_gap,
        memory_beyond_the_capacity_is_not_touched,
        grown_slots_can_be_had_at_once,
        publishing_less_than_there_is_changes_nothing,
        idle_slots_go_from_wherever_they_lie,
        slots_in_use_stop_it,
        handles_stay_stale_over_shrinking_and_growing,
        the_next_daemon_gives_back_what_is_withdrawn,
        a_dead_shrinkers_slots_come_back,
        small_pools_shrink_too,
        one_asks_when_the_water_is_low,
        idle_slots_in_depots_and_bitmap_count,
    };

    Suite *suite = TEST_SUITE("growth", tests, 30);
    TCase *cases = tcase_create("withdrawing");

    tcase_add_loop_test(cases, nothing_is_exhausted_while_somebody_withdraws, 0, 2);
    suite_add_tcase(suite, cases);
    return test_run(suite);
}
