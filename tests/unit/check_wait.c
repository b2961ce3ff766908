/* SPDX-License-Identifier: MIT
 *
 * wait: sleepers are woken by whatever makes a slot free, whoever dies meanwhile.
 */
#include "shm/growth.h"
#include "shm/revoke.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/supply.h"
#include "shm/sweep.h"
#include "shm/wait.h"
#include "tests/support/pool.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ME 1
#define OTHER 2
#define MS UINT64_C(1000000)

static struct test_pool pool;

static void make(uint64_t capacity, uint64_t maximum)
{
    test_pool_make(
        &pool, &(struct test_shape){
                   .capacity = capacity, .max_capacity = maximum, .sessions = 40, .threads = 40});
}

/* Waits for a slot as a client does. */
static int alloc_wait(const struct actor *actor, uint64_t deadline, uint64_t *index)
{
    uint64_t word;
    int error;

    for (;;) {
        uint32_t epoch = wait_begin(&pool.segment);

        error = supply_alloc(&pool.segment, actor, SUPPLY_PATIENCE_US, index, &word);
        if (error == 0)
            return 0;
        if (error == FASTALLOC_E_EXHAUSTED && !wait_sleep(&pool.segment, epoch, deadline))
            return FASTALLOC_E_TIMEOUT;
        if (error == FASTALLOC_E_STALLED && wait_now() > deadline)
            return FASTALLOC_E_TIMEOUT;
    }
}

/* A child that waits for a slot, for at most 20 s, and ends with 0 when it has got one. */
static pid_t start_waiter(uint32_t session, bool cached)
{
    struct actor actor =
        cached ? test_pool_actor(&pool, session) : test_pool_bare_actor(&pool, session);
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        uint64_t index;

        revoke_register();
        _exit(alloc_wait(&actor, wait_now() + 20000 * MS, &index) ? 1 : 0);
    }
    return child;
}

static void pause_until_anybody_waits(void)
{
    int tries;

    for (tries = 0; tries < 2000 && !wait_anybody(&pool.segment); tries++)
        usleep(1000);
    ck_assert(wait_anybody(&pool.segment));
    usleep(20000);
}

static void assert_success(pid_t child)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}

START_TEST(a_free_wakes)
{
    struct actor me;
    bool cached = _i & 1;
    pid_t child;

    make(_i & 2 ? 100 : 1000, 1000);
    me = _i & 4 ? test_pool_bare_actor(&pool, ME) : test_pool_actor(&pool, ME);
    test_pool_drain(&pool, &me);
    child = start_waiter(OTHER, cached);
    pause_until_anybody_waits();
    test_pool_free(&pool, &me, 7);
    assert_success(child);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_sweep_wakes)
{
    struct actor dead;
    pid_t child;

    make(1000, 1000);
    dead = test_pool_actor(&pool, ME);
    test_pool_drain(&pool, &dead);
    child = start_waiter(OTHER, true);
    pause_until_anybody_waits();
    sweep_session(&pool.segment, ME, NULL, NULL);
    assert_success(child);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(growth_wakes)
{
    struct actor me;
    pid_t child;

    make(1000, 2000);
    me = test_pool_actor(&pool, ME);
    test_pool_drain(&pool, &me);
    child = start_waiter(OTHER, true);
    pause_until_anybody_waits();
    growth_publish(&pool.segment, 1001);
    assert_success(child);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(the_deadline_passes)
{
    struct actor me, other;
    uint64_t index, begun = wait_now(), took;

    make(300, 300);
    me = test_pool_actor(&pool, ME);
    other = test_pool_actor(&pool, OTHER);
    test_pool_drain(&pool, &me);
    ck_assert_int_eq(alloc_wait(&other, begun + 50 * MS, &index), FASTALLOC_E_TIMEOUT);
    took = wait_now() - begun;
    ck_assert_uint_ge(took, 50 * MS);
    ck_assert_uint_le(took, 1000 * MS);
    test_pool_refill(&pool, &me);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_killed_waiter_costs_one_wake)
{
    struct actor me;
    uint32_t epoch;
    pid_t child;

    make(1000, 1000);
    me = test_pool_actor(&pool, ME);
    test_pool_drain(&pool, &me);
    child = start_waiter(OTHER, true);
    pause_until_anybody_waits();
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    epoch = pool.segment.header->free_epoch;
    test_pool_free(&pool, &me, 1);
    ck_assert(!wait_anybody(&pool.segment));
    test_pool_free(&pool, &me, 2);
    test_pool_free(&pool, &me, 3);
    ck_assert_uint_eq(pool.segment.header->free_epoch, epoch + 1);
    sweep_session(&pool.segment, OTHER, NULL, NULL);
    test_pool_refill(&pool, &me);
    test_pool_assert_exact(&pool, &me);
    test_pool_end(&pool);
}
END_TEST

/* The freer dies between putting the slot somewhere and waking: its sweep wakes. */
START_TEST(a_killed_freer_wakes_by_its_sweep)
{
    struct actor me;
    pid_t child;

    make(1000, 1000);
    me = test_pool_bare_actor(&pool, ME);
    test_pool_drain(&pool, &me);
    child = start_waiter(OTHER, true);
    pause_until_anybody_waits();
    ck_assert(slot_return(&pool.segment, 5, pool.segment.words[5]));
    usleep(20000);
    ck_assert_int_eq(waitpid(child, NULL, WNOHANG), 0);
    sweep_session(&pool.segment, ME, NULL, NULL);
    assert_success(child);
    test_pool_discard(&pool);
}
END_TEST

/* Far more processes than slots, each waits for one, frees it and begins again: a single wake-up
 * lost leaves somebody asleep until its deadline. */
START_TEST(no_wake_up_is_lost)
{
    enum { PROCESSES = 12, TURNS = 400 };
    struct actor holder;
    pid_t children[PROCESSES];
    uint32_t i, turn;

    make(300, 300);
    holder = test_pool_bare_actor(&pool, 1);
    while (pool.holding < 297)
        test_pool_alloc(&pool, &holder);
    for (i = 0; i < PROCESSES; i++) {
        struct actor actor =
            i % 4 ? test_pool_actor(&pool, 2 + i) : test_pool_bare_actor(&pool, 2 + i);

        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0) {
            uint64_t index, word;

            revoke_register();
            for (turn = 0; turn < TURNS; turn++) {
                if (alloc_wait(&actor, wait_now() + 10000 * MS, &index))
                    _exit(1);
                if (slot_own(&pool.segment, test_pool_handle(&pool, index), actor.session, &word))
                    _exit(2);
                supply_free(&pool.segment, &actor, index, word);
            }
            if (actor.cache != CACHE_NONE)
                cache_release(&pool.segment, &actor);
            _exit(0);
        }
    }
    for (i = 0; i < PROCESSES; i++)
        assert_success(children[i]);
    test_pool_refill(&pool, &holder);
    test_pool_assert_exact(&pool, &holder);
    test_pool_end(&pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wait");
    TCase *cases = tcase_create("wait");

    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, a_free_wakes, 0, 8);
    tcase_add_test(cases, a_sweep_wakes);
    tcase_add_test(cases, growth_wakes);
    tcase_add_test(cases, the_deadline_passes);
    tcase_add_test(cases, a_killed_waiter_costs_one_wake);
    tcase_add_test(cases, a_killed_freer_wakes_by_its_sweep);
    tcase_add_test(cases, no_wake_up_is_lost);
    suite_add_tcase(suite, cases);
    return test_run(suite);
}
