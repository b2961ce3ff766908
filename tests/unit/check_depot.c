/* SPDX-License-Identifier: MIT
 *
 * check_depot: magazines between depots and sessions, and the lock: its deadline,
 * and what is done after a holder's death.
 */
#include "tests/support/pool.h"

#include "shm/depot.h"
#include "shm/magazine.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/sweep.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ME = 1, D = 2 };

static struct test_pool pool;
static struct segment *segment;
static struct shm_depot *depot;
static struct actor me;

/* Gives the depot a magazine of `n` entries, slots never used before. */
static uint32_t stock(uint32_t n)
{
    uint32_t magazine;
    uint64_t word;

    ck_assert(magazine_fresh(segment, ME, &magazine, &word));
    while (n--) {
        uint64_t at = segment->header->bump++;

        ck_assert(slot_claim_fresh(segment, at, ME));
        magazine_push(segment, magazine, at, segment->words[at], true);
    }
    ck_assert_int_eq(depot_lock(segment, D, NULL), LOCK_TAKEN);
    depot_give_locked(segment, D, magazine, word);
    depot_unlock(segment, D);
    return magazine;
}

static void begin(void)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = 300});
    segment = &pool.segment;
    depot = &segment->depots[D];
    me = test_pool_actor(&pool, ME);
}

static uint32_t length(uint32_t at)
{
    uint32_t count = 0;

    for (; at && count < 100; count++)
        at = segment->magazine_links[at - 1];
    return count;
}

static void assert_lists(uint32_t full, uint32_t partial, uint32_t empty)
{
    ck_assert_uint_eq(length(depot->full), full);
    ck_assert_uint_eq(length(depot->partial), partial);
    ck_assert_uint_eq(length(depot->empty), empty);
}

static void lock(void)
{
    ck_assert_int_eq(depot_lock(segment, D, NULL), LOCK_TAKEN);
}

static void unlock(void)
{
    depot_unlock(segment, D);
}

START_TEST(what_is_given_is_in_the_list_for_its_count)
{
    begin();
    ck_assert(!depot_has_stock(segment, D));
    ck_assert(!depot_has_room(segment, D));
    stock(15);
    assert_lists(1, 0, 0);
    ck_assert(depot_has_stock(segment, D));
    ck_assert(!depot_has_room(segment, D));
    stock(1);
    stock(14);
    stock(0);
    assert_lists(1, 2, 1);
    ck_assert(depot_has_room(segment, D));
    test_pool_end(&pool);
}
END_TEST

START_TEST(stock_comes_from_partial_before_full)
{
    uint32_t full, partial, magazine;
    uint64_t word;

    begin();
    partial = stock(3);
    full = stock(15);
    stock(0);
    lock();
    ck_assert(depot_take_stock_locked(segment, D, ME, &magazine, &word));
    ck_assert_uint_eq(magazine, partial);
    ck_assert_uint_eq(segment->magazine_words[magazine], word);
    ck_assert_uint_eq(magazine_owner(word), ME);
    ck_assert_uint_eq(magazine_count(segment, magazine), 3);
    ck_assert(depot_take_stock_locked(segment, D, ME, &magazine, &word));
    ck_assert_uint_eq(magazine, full);
    ck_assert(!depot_take_stock_locked(segment, D, ME, &magazine, &word));
    unlock();
    assert_lists(0, 0, 1);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(room_comes_from_empty_before_partial_and_never_from_full)
{
    uint32_t empty, partial, magazine;
    uint64_t word;

    begin();
    partial = stock(3);
    stock(15);
    empty = stock(0);
    lock();
    ck_assert(depot_take_room_locked(segment, D, ME, &magazine, &word));
    ck_assert_uint_eq(magazine, empty);
    ck_assert(depot_take_room_locked(segment, D, ME, &magazine, &word));
    ck_assert_uint_eq(magazine, partial);
    ck_assert(!depot_take_room_locked(segment, D, ME, &magazine, &word));
    unlock();
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_magazine_that_was_stolen_is_not_given)
{
    uint32_t magazine;
    uint64_t word, stolen;

    begin();
    ck_assert(magazine_fresh(segment, ME, &magazine, &word));
    stolen = word;
    ck_assert(magazine_pass(segment, magazine, &stolen, 3, 0));
    lock();
    depot_give_locked(segment, D, magazine, word);
    unlock();
    assert_lists(0, 0, 0);
    ck_assert_uint_eq(segment->magazine_words[magazine], stolen);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_dirty_depot_is_rebuilt_by_its_next_locker)
{
    begin();
    stock(15);
    stock(15);
    stock(4);
    stock(0);
    depot->full = depot->partial = depot->empty = 0;
    depot->dirty = 1;
    ck_assert(depot_has_stock(segment, D));
    lock();
    unlock();
    assert_lists(2, 1, 1);
    ck_assert_uint_eq(depot->dirty, 0);
    ck_assert_uint_eq(depot->rebuilds, 1);
    lock();
    unlock();
    ck_assert_uint_eq(depot->rebuilds, 1);
    test_pool_end(&pool);
}
END_TEST

START_TEST(lists_that_lead_astray_are_rebuilt_when_met)
{
    uint32_t magazine;
    uint64_t word;

    begin();
    stock(15);
    stock(15);
    depot->full = 999999;
    lock();
    ck_assert(depot_take_stock_locked(segment, D, ME, &magazine, &word));
    unlock();
    ck_assert_uint_eq(depot->rebuilds, 1);
    depot->full = magazine + 1; /* which is ME's now */
    lock();
    ck_assert(depot_take_stock_locked(segment, D, ME, &magazine, &word));
    ck_assert(!depot_take_stock_locked(segment, D, ME, &magazine, &word));
    unlock();
    test_pool_discard(&pool);
}
END_TEST

/* ----------------------------------------------------- deaths of holders */

enum point { HOLDING, UNLINKED, COUNTED, TAKEN, GIVEN, LINKED, HALF_REBUILT, POINTS };

/* What a holder did when it died. */
static void go_to(enum point point)
{
    uint32_t first = depot->full - 1;
    uint64_t word = segment->magazine_words[first];

    if (depot_lock(segment, D, NULL) != LOCK_TAKEN)
        _exit(1);
    switch (point) {
    case HOLDING:
        break;
    case UNLINKED:
        depot->full = segment->magazine_links[first];
        break;
    case COUNTED:
        depot->full = segment->magazine_links[first];
        magazine_at(segment, first)[0] = 15;
        break;
    case TAKEN:
        depot_take_stock_locked(segment, D, 5, &first, &word);
        break;
    case GIVEN:
        depot_take_stock_locked(segment, D, 5, &first, &word);
        magazine_pass(segment, first, &word, MAGAZINE_DEPOT_BASE + D,
                      magazine_count(segment, first));
        break;
    case LINKED:
        depot_take_stock_locked(segment, D, 5, &first, &word);
        depot_give_locked(segment, D, first, word);
        break;
    case HALF_REBUILT:
        depot->partial = depot->empty = 0;
        segment->magazine_links[first] = 0;
        break;
    case POINTS:
        break;
    }
}

START_TEST(a_holder_killed_at_any_point_leaves_a_depot_that_is_rebuilt)
{
    pid_t child;

    begin();
    session_open(segment, 5, 0, 0, "holder");
    stock(15);
    stock(15);
    stock(4);
    stock(0);
    child = fork();
    if (child == 0) {
        go_to((enum point)_i);
        if (_i % 2)
            _exit(0);
        kill(getpid(), SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    lock(); /* not BUSY, not LOST */
    ck_assert_uint_eq(depot->rebuilds, 1);
    assert_lists(2, _i == TAKEN ? 0 : 1, 1); /* partial ones go first */
    unlock();
    lock(); /* and it was mended */
    unlock();
    ck_assert_uint_eq(depot->rebuilds, 1);
    sweep_session(segment, 5, NULL, NULL);
    test_pool_assert_exact(&pool, &me);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_second_death_while_repairing_is_repaired_too)
{
    int deaths;

    begin();
    stock(15);
    stock(3);
    for (deaths = 0; deaths < 3; deaths++) {
        pid_t child = fork();

        if (child == 0) {
            lock_try(depot); /* LOCK_DIED from the second on, and not mended */
            depot->full = 12345;
            depot->dirty = 0;
            _exit(0);
        }
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
    }
    lock();
    assert_lists(1, 1, 0);
    unlock();
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_lock_that_is_held_is_busy_at_the_deadline)
{
    struct timespec begun, now, deadline;
    pid_t stopped;
    double waited;

    begin();
    stock(15);
    stopped = test_pool_lock_all(&pool);
    ck_assert_int_eq(depot_lock(segment, D, NULL), LOCK_BUSY);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    deadline = lock_deadline(30000);
    ck_assert_int_eq(depot_lock(segment, D, &deadline), LOCK_BUSY);
    clock_gettime(CLOCK_MONOTONIC, &now);
    waited = (double)(now.tv_sec - begun.tv_sec) + (double)(now.tv_nsec - begun.tv_nsec) / 1e9;
    ck_assert_double_ge(waited, 0.029);
    ck_assert(lock_passed(&deadline));
    test_pool_release(stopped);
    lock();
    unlock();
    assert_lists(1, 0, 0);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_mutex_that_was_not_mended_bars_only_its_depot)
{
    uint64_t index, word;
    pid_t child;
    int error;

    begin();
    stock(15);
    child = fork();
    if (child == 0) {
        lock_try(depot);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(lock_try(depot), LOCK_DIED);
    lock_release(depot);
    ck_assert_int_eq(depot_lock(segment, D, NULL), LOCK_LOST);
    /* The others go on, and in the end it is not EXHAUSTED.  (glibc says
     * ENOTRECOVERABLE once to each way of locking, and EBUSY from then on.) */
    while (pool.holding < 285)
        test_pool_alloc(&pool, &me);
    error = supply_alloc(segment, &me, SUPPLY_PATIENCE_US, &index, &word);
    ck_assert(error == FASTALLOC_E_POISONED || error == FASTALLOC_E_STALLED);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(deadlines_carry_over_seconds)
{
    struct timespec now, later = lock_deadline(1999999);

    clock_gettime(CLOCK_MONOTONIC, &now);
    ck_assert_int_lt(later.tv_nsec, 1000000000);
    ck_assert_int_le(later.tv_sec - now.tv_sec, 2);
    ck_assert_int_ge(later.tv_sec - now.tv_sec, 1);
    ck_assert(!lock_passed(&later));
    ck_assert(lock_passed(&now));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_is_given_is_in_the_list_for_its_count,
        stock_comes_from_partial_before_full,
        room_comes_from_empty_before_partial_and_never_from_full,
        a_magazine_that_was_stolen_is_not_given,
        a_dirty_depot_is_rebuilt_by_its_next_locker,
        lists_that_lead_astray_are_rebuilt_when_met,
        a_second_death_while_repairing_is_repaired_too,
        a_lock_that_is_held_is_busy_at_the_deadline,
        a_mutex_that_was_not_mended_bars_only_its_depot,
        deadlines_carry_over_seconds,
    };
    Suite *suite = TEST_SUITE("depot", tests, 10);
    TCase *deaths = tcase_create("deaths");

    tcase_add_loop_test(deaths, a_holder_killed_at_any_point_leaves_a_depot_that_is_rebuilt, 0,
                        POINTS);
    suite_add_tcase(suite, deaths);
    return test_run(suite);
}
