/* SPDX-License-Identifier: MIT
 *
 * check_supply: exact capacity.  EXHAUSTED means that no slot is idle anywhere;
 * what is barred is STALLED, in time; a free never fails.
 */
#include "tests/support/pool.h"

#include "shm/bitmap.h"
#include "shm/depot.h"
#include "shm/magazine.h"
#include "shm/revoke.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "shm/sweep.h"

#include <stdlib.h>
#include <time.h>

static const uint64_t capacities[] = {1, 2, 15, 100, 255, 256, 300, 5000, 40000};
enum { CAPACITIES = sizeof capacities / sizeof capacities[0] };

static struct test_pool pool;

static void make(uint64_t capacity)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = capacity, .object_size = 8});
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* An allocation that must fail with `error` within the bound. */
static void assert_fails(const struct actor *actor, int error)
{
    uint64_t index = 77, word = 78;
    double begun = now();

    ck_assert_int_eq(supply_alloc(&pool.segment, actor, SUPPLY_PATIENCE_US, &index, &word), error);
    ck_assert_double_le(now() - begun, 0.25 * (getenv("CK_TIMEOUT_MULTIPLIER") ? 5 : 1));
    ck_assert_uint_eq(index, 77);
    ck_assert_uint_eq(word, 78);
}

/* --------------------------------------------------------- exact capacity */

START_TEST(one_thread_gets_every_slot_once_and_again)
{
    struct actor actor;
    int round;

    make(capacities[_i]);
    actor = test_pool_actor(&pool, 1);
    for (round = 0; round < 3; round++) {
        ck_assert_uint_eq(test_pool_drain(&pool, &actor), capacities[_i]);
        test_pool_assert_clean(&pool);
        test_pool_refill(&pool, &actor);
        test_pool_assert_clean(&pool);
    }
    test_pool_end(&pool);
}
END_TEST

START_TEST(one_thread_without_a_cache_gets_every_slot_once_and_again)
{
    struct actor actor;
    int round;

    make(capacities[_i]);
    actor = test_pool_bare_actor(&pool, 1);
    for (round = 0; round < 2; round++) {
        ck_assert_uint_eq(test_pool_drain(&pool, &actor), capacities[_i]);
        test_pool_refill(&pool, &actor);
        test_pool_assert_clean(&pool);
    }
    test_pool_end(&pool);
}
END_TEST

/* Some with and some without caches, in turn, some of them of one session. */
START_TEST(many_threads_get_every_slot_once_and_again)
{
    struct actor actors[6];
    uint64_t i, k, got;
    int round;

    make(capacities[_i]);
    for (i = 0; i < 6; i++)
        actors[i] = i < 4 ? test_pool_actor(&pool, (uint32_t)i / 2 + 1)
                          : test_pool_bare_actor(&pool, (uint32_t)i);
    for (round = 0; round < 3; round++) {
        for (got = 0; got < capacities[_i]; got++)
            test_pool_alloc(&pool, &actors[got % 6]);
        for (i = 0; i < 6; i++)
            assert_fails(&actors[i], FASTALLOC_E_EXHAUSTED);
        for (k = 0; k < capacities[_i]; k++)
            test_pool_free(&pool, &actors[(k * 7 + (uint64_t)round) % 6], k);
        test_pool_assert_clean(&pool);
        /* Now that all of them have something cached, one gets it all. */
        ck_assert_uint_eq(test_pool_drain(&pool, &actors[round]), capacities[_i]);
        test_pool_refill(&pool, &actors[5]);
    }
    test_pool_end(&pool);
}
END_TEST

START_TEST(capacity_that_is_not_published_is_not_given_out)
{
    struct actor actor;
    uint64_t index, word;

    test_pool_make(&pool, &(struct test_shape){.capacity = 300, .max_capacity = 1000});
    actor = test_pool_actor(&pool, 1);
    ck_assert_uint_eq(test_pool_drain(&pool, &actor), 300);
    pool.segment.header->reserved = 500;
    ck_assert_int_eq(supply_alloc(&pool.segment, &actor, 0, &index, &word), FASTALLOC_E_EXHAUSTED);
    pool.segment.header->published = 500;
    ck_assert_uint_eq(test_pool_drain(&pool, &actor), 200);
    test_pool_refill(&pool, &actor);
    test_pool_end(&pool);
}
END_TEST

START_TEST(generations_that_wrap_do_not_matter)
{
    struct actor actor;
    int round;

    test_pool_make(
        &pool, &(struct test_shape){.capacity = 300, .first_generation = (UINT64_C(1) << 48) - 2});
    actor = test_pool_actor(&pool, 1);
    for (round = 0; round < 5; round++) {
        ck_assert_uint_eq(test_pool_drain(&pool, &actor), 300);
        test_pool_refill(&pool, &actor);
        test_pool_assert_clean(&pool);
    }
    test_pool_end(&pool);
}
END_TEST

/* ------------------------------------------------------- others' idle slots */

START_TEST(slots_idle_in_a_quiet_cache_are_found_before_exhausted)
{
    struct actor holder, seeker;
    uint64_t i;

    make(300);
    holder = test_pool_actor(&pool, 1);
    seeker = _i ? test_pool_bare_actor(&pool, 2) : test_pool_actor(&pool, 2);
    test_pool_drain(&pool, &holder);
    for (i = 0; i < 23; i++)
        test_pool_free(&pool, &holder, i * 13);
    ck_assert_uint_eq(test_pool_drain(&pool, &seeker), 23);
    assert_fails(&holder, FASTALLOC_E_EXHAUSTED);
    test_pool_refill(&pool, &holder);
    test_pool_end(&pool);
}
END_TEST

START_TEST(slots_in_a_cache_whose_process_died_quietly_are_found)
{
    struct actor dead, seeker;
    uint64_t i;

    make(300);
    dead = test_pool_actor(&pool, 1);
    seeker = test_pool_actor(&pool, 2);
    test_pool_drain(&pool, &dead);
    for (i = 0; i < 20; i++)
        test_pool_free(&pool, &dead, i);
    ck_assert_uint_eq(test_pool_drain(&pool, &seeker), 20);
    test_pool_end(&pool);
}
END_TEST

START_TEST(the_robbed_notices_and_goes_on)
{
    struct actor holder, seeker;
    uint64_t i;

    make(300);
    holder = test_pool_actor(&pool, 1);
    seeker = test_pool_actor(&pool, 2);
    test_pool_drain(&pool, &holder);
    for (i = 0; i < 12; i++)
        test_pool_free(&pool, &holder, i);
    test_pool_alloc(&pool, &seeker); /* takes the whole magazine */
    for (i = 0; i < 11; i++)
        test_pool_alloc(&pool, &holder); /* and is robbed in turn */
    assert_fails(&holder, FASTALLOC_E_EXHAUSTED);
    assert_fails(&seeker, FASTALLOC_E_EXHAUSTED);
    test_pool_refill(&pool, &seeker);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_cache_claimed_after_the_mark_is_not_robbed_unmarked)
{
    struct actor holder, seeker, late;
    struct revocation round = {.notes = NULL};
    uint32_t magazine;
    uint64_t word;

    make(300);
    holder = test_pool_actor(&pool, 1);
    seeker = test_pool_actor(&pool, 2);
    test_pool_drain(&pool, &holder);
    ck_assert(revoke_begin(&pool.segment, &seeker, &round));
    late = test_pool_actor(&pool, 1);
    test_pool_free(&pool, &late, 5);
    test_pool_free(&pool, &late, 6);
    ck_assert(revoke_take(&pool.segment, &seeker, &round, &magazine, &word) != REVOKE_TOOK ||
              cache_revoked(&pool.segment, &late));
    revoke_end(&round);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_cache_claimed_after_a_sweep_is_not_robbed_unmarked)
{
    struct actor holder, seeker, dead, late;
    struct revocation round = {.notes = NULL};
    uint32_t magazine;
    uint64_t word;

    make(300);
    holder = test_pool_actor(&pool, 1);
    seeker = test_pool_actor(&pool, 2);
    dead = test_pool_actor(&pool, 3);
    test_pool_drain(&pool, &holder);
    ck_assert(revoke_begin(&pool.segment, &seeker, &round));
    sweep_session(&pool.segment, 3, NULL, NULL);
    late = test_pool_actor(&pool, 1);
    ck_assert_uint_eq(late.cache, dead.cache);
    test_pool_free(&pool, &late, 5);
    ck_assert(revoke_take(&pool.segment, &seeker, &round, &magazine, &word) != REVOKE_TOOK ||
              cache_revoked(&pool.segment, &late));
    revoke_end(&round);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_round_in_which_something_moved_proves_nothing)
{
    struct actor holder, seeker;
    struct revocation round = {.notes = NULL};
    uint32_t magazine;
    uint64_t word;

    make(300);
    holder = test_pool_actor(&pool, 1);
    seeker = test_pool_actor(&pool, 2);
    test_pool_drain(&pool, &holder);
    ck_assert(revoke_begin(&pool.segment, &seeker, &round));
    ck_assert_int_eq(revoke_take(&pool.segment, &seeker, &round, &magazine, &word), REVOKE_NONE);
    ck_assert(revoke_begin(&pool.segment, &seeker, &round));
    test_pool_free(&pool, &holder, 5);
    cache_flush(&pool.segment, &holder);
    ck_assert_int_eq(revoke_take(&pool.segment, &seeker, &round, &magazine, &word), REVOKE_AGAIN);
    revoke_end(&round);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_second_thief_with_old_notes_gets_nothing)
{
    struct actor holder, first, second;
    struct revocation one = {.notes = NULL}, two = {.notes = NULL};
    uint32_t magazine, other;
    uint64_t i, word, other_word;

    make(300);
    holder = test_pool_actor(&pool, 1);
    first = test_pool_actor(&pool, 2);
    second = test_pool_actor(&pool, 3);
    test_pool_drain(&pool, &holder);
    for (i = 0; i < 5; i++)
        test_pool_free(&pool, &holder, i);
    ck_assert(revoke_begin(&pool.segment, &first, &one));
    ck_assert(revoke_begin(&pool.segment, &second, &two));
    ck_assert_int_eq(revoke_take(&pool.segment, &first, &one, &magazine, &word), REVOKE_TOOK);
    ck_assert_int_eq(revoke_take(&pool.segment, &second, &two, &other, &other_word), REVOKE_AGAIN);
    revoke_end(&one);
    revoke_end(&two);
    test_pool_discard(&pool);
}
END_TEST

/* ----------------------------------------------------------------- STALLED */

START_TEST(a_busy_gate_is_stalled_in_time)
{
    struct actor holder, seeker;

    make(300);
    holder = test_pool_actor(&pool, 1);
    seeker = _i ? test_pool_bare_actor(&pool, 2) : test_pool_actor(&pool, 2);
    test_pool_drain(&pool, &holder);
    test_pool_free(&pool, &holder, 5);
    pool.segment.caches[holder.cache].gate.busy = 1; /* stopped in an operation */
    assert_fails(&seeker, FASTALLOC_E_STALLED);
    pool.segment.caches[holder.cache].gate.busy = 0;
    ck_assert_uint_eq(test_pool_drain(&pool, &seeker), 1);
    test_pool_end(&pool);
}
END_TEST

START_TEST(locked_depots_are_stalled_in_time)
{
    struct actor actor;
    pid_t stopped;

    make(300);
    actor = _i ? test_pool_bare_actor(&pool, 2) : test_pool_actor(&pool, 2);
    test_pool_drain(&pool, &actor);
    stopped = test_pool_lock_all(&pool);
    assert_fails(&actor, FASTALLOC_E_STALLED);
    test_pool_release(stopped);
    assert_fails(&actor, FASTALLOC_E_EXHAUSTED);
    test_pool_end(&pool);
}
END_TEST

/* An uncached thread died between taking a depot's magazine and giving it back. */
static uint32_t die_with_a_magazine(uint32_t session)
{
    uint32_t magazine;
    uint64_t word;

    session_open(&pool.segment, session, 0, 0, "dead");
    ck_assert_int_eq(depot_lock(&pool.segment, 0, NULL), LOCK_TAKEN);
    ck_assert(depot_take_stock_locked(&pool.segment, 0, session, &magazine, &word));
    depot_unlock(&pool.segment, 0);
    return magazine;
}

START_TEST(a_magazine_lost_in_transit_is_stalled_until_the_sweep)
{
    struct actor actor;

    make(300);
    actor = test_pool_actor(&pool, 4); /* whose depot is 0 */
    test_pool_drain(&pool, &actor);
    test_pool_refill(&pool, &actor);
    cache_flush(&pool.segment, &actor);
    die_with_a_magazine(3);
    test_pool_forget(&pool);
    while (depot_has_stock(&pool.segment, 0))
        test_pool_alloc(&pool, &actor);
    while (magazine_count(&pool.segment, cache_loaded(&pool.segment, &actor)))
        test_pool_alloc(&pool, &actor);
    while (pool.holding < 285)
        test_pool_alloc(&pool, &actor);
    assert_fails(&actor, FASTALLOC_E_STALLED);
    sweep_session(&pool.segment, 3, NULL, NULL);
    ck_assert_uint_eq(test_pool_drain(&pool, &actor), 15);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_magazine_lost_in_transit_is_not_hidden_by_stale_notes)
{
    struct actor actor, robbed;

    make(300);
    actor = test_pool_actor(&pool, 4);
    robbed = test_pool_actor(&pool, 1);
    test_pool_drain(&pool, &actor);
    test_pool_refill(&pool, &actor);
    cache_flush(&pool.segment, &actor);
    die_with_a_magazine(3);
    test_pool_forget(&pool);
    test_pool_alloc(&pool, &robbed);
    while (pool.holding < 285)
        test_pool_alloc(&pool, &actor);
    assert_fails(&actor, FASTALLOC_E_STALLED);
    sweep_session(&pool.segment, 3, NULL, NULL);
    ck_assert_uint_eq(test_pool_drain(&pool, &actor), 15);
    test_pool_end(&pool);
}
END_TEST

/* -------------------------------------------------------------------- free */

START_TEST(frees_go_to_the_bitmap_when_every_depot_is_locked)
{
    struct actor actor;
    pid_t stopped;
    double begun;
    uint64_t i;

    make(300);
    actor = test_pool_actor(&pool, 1);
    test_pool_drain(&pool, &actor);
    stopped = test_pool_lock_all(&pool);
    begun = now();
    for (i = 0; i < 300; i++)
        test_pool_free(&pool, &actor, i);
    ck_assert_double_le(now() - begun, 0.25);
    ck_assert_uint_gt(bitmap_count(&pool.segment), 200);
    test_pool_assert_clean(&pool);
    ck_assert_uint_ge(test_pool_alloc(&pool, &actor), 0); /* and come from there */
    test_pool_release(stopped);
    test_pool_assert_exact(&pool, &actor);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(frees_of_uncached_threads_are_found_by_cached_ones)
{
    struct actor cached, bare;

    make(5000);
    cached = test_pool_actor(&pool, 1);
    bare = test_pool_bare_actor(&pool, 2);
    test_pool_drain(&pool, &bare);
    test_pool_refill(&pool, &bare);
    ck_assert_uint_eq(bitmap_count(&pool.segment), 5000);
    ck_assert_uint_eq(test_pool_drain(&pool, &cached), 5000);
    test_pool_refill(&pool, &cached);
    ck_assert_uint_eq(test_pool_drain(&pool, &bare), 5000);
    test_pool_end(&pool);
}
END_TEST

START_TEST(room_is_never_wanting_while_depots_can_be_had)
{
    struct actor actors[8];
    uint64_t random = test_seed("room"), i;
    int round;

    make(1000);
    for (i = 0; i < 8; i++)
        actors[i] = test_pool_actor(&pool, (uint32_t)i + 1);
    for (round = 0; round < 20; round++) {
        for (i = 0; i < 1000; i++)
            test_pool_alloc(&pool, &actors[test_random(&random) % 8]);
        for (i = 0; i < 1000; i++)
            test_pool_free(&pool, &actors[test_random(&random) % 8], i);
        TEST_REQUIRE(!bitmap_count(&pool.segment), "a free went to the bitmap in round %d", round);
    }
    test_pool_end(&pool);
}
END_TEST

int main(void)
{
    const TTest *const each_capacity[] = {
        one_thread_gets_every_slot_once_and_again,
        one_thread_without_a_cache_gets_every_slot_once_and_again,
        many_threads_get_every_slot_once_and_again,
    };
    const TTest *const cached_and_not[] = {
        slots_idle_in_a_quiet_cache_are_found_before_exhausted,
        a_busy_gate_is_stalled_in_time,
        locked_depots_are_stalled_in_time,
    };
    const TTest *const tests[] = {
        capacity_that_is_not_published_is_not_given_out,
        generations_that_wrap_do_not_matter,
        slots_in_a_cache_whose_process_died_quietly_are_found,
        the_robbed_notices_and_goes_on,
        a_cache_claimed_after_the_mark_is_not_robbed_unmarked,
        a_cache_claimed_after_a_sweep_is_not_robbed_unmarked,
        a_round_in_which_something_moved_proves_nothing,
        a_second_thief_with_old_notes_gets_nothing,
        a_magazine_lost_in_transit_is_stalled_until_the_sweep,
        a_magazine_lost_in_transit_is_not_hidden_by_stale_notes,
        frees_go_to_the_bitmap_when_every_depot_is_locked,
        frees_of_uncached_threads_are_found_by_cached_ones,
        room_is_never_wanting_while_depots_can_be_had,
    };
    Suite *suite = TEST_SUITE("supply", tests, 20);
    TCase *sized = tcase_create("capacities"), *both = tcase_create("cached and not");
    size_t i;

    tcase_set_timeout(sized, 30);
    for (i = 0; i < sizeof each_capacity / sizeof each_capacity[0]; i++)
        tcase_add_loop_test(sized, each_capacity[i], 0, CAPACITIES);
    suite_add_tcase(suite, sized);
    for (i = 0; i < sizeof cached_and_not / sizeof cached_and_not[0]; i++)
        tcase_add_loop_test(both, cached_and_not[i], 0, 2);
    suite_add_tcase(suite, both);
    return test_run(suite);
}
