/* SPDX-License-Identifier: MIT
 *
 * check_growth_daemon: how the real fastallocd grows and shrinks pools, and how these and their
 * sessions get over its death.
 */
#include "os/backing.h"
#include "shm/slot.h"
#include "user.h"

#include <check.h>
#include <fastalloc/fastalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---------------------------------------------------------------------- growing */

START_TEST(a_pool_grows_by_its_strategy_and_to_its_maximum_exactly)
{
    struct pool_spec spec = user_growing(100, 1000, 2);
    struct user user;
    uint64_t before;

    user_create(&user, &spec);
    before = user_filled(&user);
    ck_assert_int_eq(raw_capacity(user.socket, "orders"), 100);
    ck_assert_int_eq(user_step(&user, 100, 0), 200);
    ck_assert_uint_eq(segment_capacity(&user.segment), 200);
    ck_assert_uint_eq(segment_reserved(&user.segment), 200);
    ck_assert_int_eq(raw_capacity(user.socket, "orders"), 200);
    ck_assert_int_eq(user_step(&user, 200, 50), 250);
    ck_assert_int_eq(user_step(&user, 250, 0), 500);
    ck_assert_uint_ge(user_filled(&user), before + 300 * 64);
    ck_assert_int_eq(raw_grow(user.socket, &user.attached, 1001, 0, 0, &reply),
                     FASTALLOC_E_MAX_CAPACITY);
    ck_assert_ptr_nonnull(strstr(reply.message, "1001"));
    ck_assert_int_eq(raw_grow(user.socket, &user.attached, 400, 0, 0, &reply), 500);
    ck_assert_int_eq(raw_grow(user.socket, &user.attached, 501, 0, 0, &reply), 501);
    ck_assert_int_eq(user_step(&user, 501, 0), 1000);
    ck_assert_int_eq(user_step(&user, 1000, 0), FASTALLOC_E_MAX_CAPACITY);
    ck_assert_int_eq(user_step(&user, 1000, 7), FASTALLOC_E_MAX_CAPACITY);
    ck_assert_int_eq(user_step(&user, 999, 0), 1000);
    user_leave(&user);
}
END_TEST

START_TEST(linear_growth_and_none)
{
    struct pool_spec spec = raw_spec("orders", 64, 10);
    struct user user;

    spec.max_capacity = 100;
    user_create(&user, &spec);
    ck_assert_int_eq(user_step(&user, 10, 0), FASTALLOC_E_GROWTH);
    ck_assert_int_eq(raw_grow(user.socket, &user.attached, 20, 0, 0, &reply), 20);
    ck_assert_int_eq(user_step(&user, 20, 5), 25);
    user_leave(&user);
    spec.growth = FASTALLOC_GROWTH_LINEAR;
    spec.growth_amount = 30;
    user_create(&user, &spec);
    ck_assert_int_eq(user_step(&user, 10, 0), 40);
    ck_assert_int_eq(user_step(&user, UINT64_MAX, 0), 70);
    ck_assert_int_eq(user_step(&user, 70, UINT64_MAX), 100);
    user_leave(&user);
}
END_TEST

#define ASKERS 8

START_TEST(many_askers_are_answered_by_one_step)
{
    struct pool_spec spec = user_growing(1000, 1000000, 2);
    struct wire_request request = {.op = WIRE_GROW};
    struct user users[ASKERS];
    uint8_t bytes[WIRE_MAX];
    unsigned i;

    user_create(&users[0], &spec);
    for (i = 1; i < ASKERS; i++)
        user_attach(&users[i], "orders");
    for (i = 0; i < ASKERS; i++) {
        request.grow.pool_id = users[i].attached.attached.pool_id;
        request.grow.session = users[i].attached.attached.session;
        request.grow.nonce = users[i].attached.attached.nonce;
        request.grow.from = 1000;
        raw_send(users[i].socket, bytes, wire_pack_request(&request, bytes));
    }
    for (i = 0; i < ASKERS; i++) {
        ck_assert(raw_receive(users[i].socket, &reply, NULL));
        ck_assert_int_eq(reply.error, 0);
        ck_assert_uint_eq(reply.capacity, 2000);
    }
    ck_assert_uint_eq(shm_load(&users[0].segment.header->growths), 1);
    for (i = 0; i < ASKERS; i++)
        user_leave(&users[i]);
}
END_TEST

START_TEST(asking_ahead_gets_no_answer_and_more_slots)
{
    struct pool_spec spec = user_growing(1000, 100000, 2);
    struct user user, other;

    user_create(&user, &spec);
    raw_grow_ahead(user.socket, &user.attached, 1000, 0);
    ck_assert(user_capacity_becomes(&user, 2000));
    /* From a capacity that is past: nothing. */
    raw_grow_ahead(user.socket, &user.attached, 1000, 0);
    ck_assert_int_eq(raw_capacity(user.socket, "orders"), 2000);

    /* While an answer is waited for: the fence of what is closed stays closed for a moment. */
    other.socket = user.socket;
    user_map(&other, raw_open(user.socket, "orders", &reply));
    {
        struct wire_request request = {.op = WIRE_CLOSE, .id = 77};
        uint8_t bytes[WIRE_MAX];

        request.close.pool_id = other.attached.attached.pool_id;
        request.close.session = other.attached.attached.session;
        request.close.nonce = other.attached.attached.nonce;
        raw_send(user.socket, bytes, wire_pack_request(&request, bytes));
    }
    raw_grow_ahead(user.socket, &user.attached, 2000, 0);
    ck_assert(user_capacity_becomes(&user, 4000));
    ck_assert(raw_receive(user.socket, &reply, NULL));
    ck_assert_uint_eq(reply.id, 77);
    ck_assert_int_eq(reply.error, 0);
    backing_unmap(other.mapped, other.attached.attached.bytes);
    ck_assert(user_sessions_become(&user, 1));
    user_leave(&user);
}
END_TEST

START_TEST(refusals_of_what_nobody_waits_for_are_logged_once)
{
    struct pool_spec spec = raw_spec("orders", 1 << 20, 16);
    struct user user;
    char line[512];
    unsigned lines = 0;
    FILE *log;
    int i;

    spec.max_capacity = 1 << 20; /* a TiB */
    user_create(&user, &spec);
    for (i = 0; i < 20; i++)
        raw_grow_ahead(user.socket, &user.attached, 16, 1 << 20);
    raw_grow_ahead(user.socket, &user.attached, 0, 0);
    ck_assert_int_eq(raw_capacity(user.socket, "orders"), 16);
    ck_assert_int_eq(raw_grow(user.socket, &user.attached, 1 << 20, 0, 0, &reply),
                     FASTALLOC_E_NO_MEMORY);
    user_leave(&user);
    log = fopen(daemon_.log, "re");
    ck_assert_ptr_nonnull(log);
    while (fgets(line, sizeof line, log))
        lines += strstr(line, "cannot grow") != NULL;
    fclose(log);
    ck_assert_uint_eq(lines, 1);
}
END_TEST

START_TEST(growth_without_memory_is_refused_with_the_numbers_and_the_pool_stays_whole)
{
    struct pool_spec spec = raw_spec("orders", 1 << 20, 16);
    struct user user;
    uint64_t before;

    spec.max_capacity = 1 << 20;
    user_create(&user, &spec);
    before = user_filled(&user);
    ck_assert_int_eq(raw_grow(user.socket, &user.attached, 1 << 20, 0, 0, &reply),
                     FASTALLOC_E_NO_MEMORY);
    ck_assert_msg(strstr(reply.message, "pool \"orders\" cannot grow from 16 to 1048576 slots of "
                                        "1048576 bytes: needs 1023 GiB of shared memory"),
                  "%s", reply.message);
    ck_assert_uint_eq(user_filled(&user), before);
    ck_assert_int_eq(raw_capacity(user.socket, "orders"), 16);
    /* Who asks for less is served. */
    ck_assert_int_eq(raw_grow(user.socket, &user.attached, 20, 0, 0, &reply), 20);
    ck_assert_uint_ge(user_filled(&user), before + (4 << 20));
    user_leave(&user);
}
END_TEST

START_TEST(who_has_no_session_grows_and_shrinks_nothing)
{
    struct pool_spec spec = user_growing(100, 1000, 2);
    struct user user;
    int stranger = raw_client(daemon_.socket);
    struct wire_reply wrong;

    user_create(&user, &spec);
    wrong = user.attached;
    ck_assert_int_eq(raw_grow(stranger, &wrong, 0, 100, 0, &reply), FASTALLOC_E_SESSION);
    ck_assert_int_eq(raw_shrink(stranger, &wrong, 1), FASTALLOC_E_SESSION);
    wrong.attached.nonce++;
    ck_assert_int_eq(raw_grow(user.socket, &wrong, 0, 100, 0, &reply), FASTALLOC_E_SESSION);
    ck_assert_int_eq(raw_shrink(user.socket, &wrong, 1), FASTALLOC_E_SESSION);
    raw_grow_ahead(user.socket, &wrong, 100, 0);
    ck_assert_int_eq(raw_capacity(user.socket, "orders"), 100);
    ck_assert_int_eq(raw_destroy(user.socket, "orders"), 0);
    ck_assert_int_eq(user_step(&user, 100, 0), FASTALLOC_E_DESTROYED);
    user_leave(&user);
    close(stranger);
}
END_TEST

/* -------------------------------------------------------------------- shrinking */

/* Withdraws slots never used, as the asking client does with whatever lies idle. */
static void withdraw_fresh(struct user *user, uint64_t from, uint64_t to)
{
    for (; from < to; from++)
        ck_assert(slot_withdraw(&user->segment, from, 0));
}

START_TEST(shrinking_gives_memory_back_and_growing_takes_it_again)
{
    struct pool_spec spec = user_growing(20000, 100000, 2);
    struct user user;
    uint64_t before, grown;

    user_create(&user, &spec);
    before = user_filled(&user);
    ck_assert_int_eq(user_step(&user, 20000, 0), 40000);
    grown = user_filled(&user);
    memset(user.segment.objects + 30000 * 64, 0x5a, 64);
    ck_assert(slot_claim_fresh(&user.segment, 29999, user.attached.attached.session));
    withdraw_fresh(&user, 25000, 29999);
    withdraw_fresh(&user, 30000, 40000);
    ck_assert_int_eq(raw_shrink(user.socket, &user.attached, 25000), 30000);
    ck_assert_uint_eq(segment_capacity(&user.segment), 30000);
    ck_assert_uint_eq(segment_reserved(&user.segment), 40000);
    ck_assert_int_eq(raw_capacity(user.socket, "orders"), 30000);
    ck_assert_uint_lt(user_filled(&user), grown);
    /* What was withdrawn below the new capacity is back. */
    ck_assert_uint_eq(slot_owner_of(shm_load(&user.segment.words[25000])), SLOT_RETURNED);
    ck_assert_uint_eq(slot_owner_of(shm_load(&user.segment.words[30000])), SLOT_WITHDRAWN);
    ck_assert_uint_eq(user.segment.objects[30001 * 64], 0);

    /* Not below a slot that is not withdrawn. */
    ck_assert_int_eq(raw_shrink(user.socket, &user.attached, 1), 30000);

    ck_assert_int_eq(raw_grow(user.socket, &user.attached, 40000, 0, 0, &reply), 40000);
    ck_assert_uint_eq(user_filled(&user), grown);
    ck_assert_uint_gt(grown, before);
    ck_assert_uint_eq(slot_owner_of(shm_load(&user.segment.words[39999])), SLOT_RETURNED);
    user_leave(&user);
}
END_TEST

/* ---------------------------------------------------------------------- restarts */

START_TEST(a_restarted_daemon_has_the_capacity_there_was)
{
    struct pool_spec spec = user_growing(20000, 100000, 2);
    struct user user, other;
    uint64_t before;

    user_create(&user, &spec);
    ck_assert_int_eq(user_step(&user, 20000, 0), 40000);
    withdraw_fresh(&user, 30000, 40000);
    ck_assert_int_eq(raw_shrink(user.socket, &user.attached, 30000), 30000);
    before = user_filled(&user);
    test_daemon_kill(&daemon_);
    test_daemon_run(&daemon_);
    user_attach(&other, "orders");
    ck_assert_int_eq(raw_capacity(other.socket, "orders"), 30000);
    ck_assert_uint_eq(segment_capacity(&other.segment), 30000);
    ck_assert_uint_eq(user_filled(&other), before);
    ck_assert_int_eq(user_step(&other, 30000, 0), 60000);
    user_leave(&other);
    close(user.socket);
    user.socket = raw_client(daemon_.socket);
    ck_assert_int_eq(raw_resume(user.socket, &user.attached), 0);
    user_leave(&user);
}
END_TEST

START_TEST(a_session_comes_back_over_another_connection)
{
    struct pool_spec spec = user_growing(100, 1000, 2);
    struct wire_reply wrong;
    struct user user;
    int first, second;

    user_create(&user, &spec);
    first = user.socket;
    /* Over a living connection, too. */
    second = raw_client(daemon_.socket);
    wrong = user.attached;
    wrong.attached.nonce++;
    ck_assert_int_eq(raw_resume(second, &wrong), FASTALLOC_E_SESSION);
    wrong = user.attached;
    wrong.attached.session++;
    ck_assert_int_eq(raw_resume(second, &wrong), FASTALLOC_E_SESSION);
    ck_assert_int_eq(raw_resume(second, &user.attached), 0);
    ck_assert_int_eq(raw_resume(second, &user.attached), 0);
    user.socket = second;
    ck_assert_int_eq(user_step(&user, 100, 0), 200);
    close(first);

    test_daemon_kill(&daemon_);
    test_daemon_run(&daemon_);
    close(second);
    user.socket = raw_client(daemon_.socket);
    ck_assert_int_eq(user_step(&user, 200, 0), FASTALLOC_E_SESSION);
    ck_assert_int_eq(raw_resume(user.socket, &user.attached), 0);
    ck_assert_int_eq(user_step(&user, 200, 0), 400);

    /* Its end of stream is a reason to look at once, the fence what decides. */
    close(user.socket);
    user.socket = raw_client(daemon_.socket);
    ck_assert_int_eq(raw_sessions(user.socket, "orders"), 1);
    backing_unmap(user.mapped, user.attached.attached.bytes);
    ck_assert(test_daemon_segments_become(&daemon_, 0));
    ck_assert_int_eq(raw_resume(user.socket, &user.attached), FASTALLOC_E_SESSION);
    close(user.socket);
}
END_TEST

START_TEST(the_dead_do_not_come_back)
{
    struct pool_spec spec = user_growing(100, 1000, 2);
    struct user user;

    spec.lifetime = FASTALLOC_PERSISTENT;
    user_create(&user, &spec);
    test_daemon_kill(&daemon_);
    backing_unmap(user.mapped, user.attached.attached.bytes);
    test_daemon_run(&daemon_);
    close(user.socket);
    user.socket = raw_client(daemon_.socket);
    ck_assert_int_eq(raw_resume(user.socket, &user.attached), FASTALLOC_E_SESSION);
    ck_assert(user_sessions_become(&user, 0));
    ck_assert_int_eq(raw_destroy(user.socket, "orders"), 0);
    close(user.socket);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("growth in the daemon");
    TCase *tests = tcase_create("capacity"), *restarts = tcase_create("restarts");

    tcase_add_checked_fixture(tests, user_start, user_stop);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, a_pool_grows_by_its_strategy_and_to_its_maximum_exactly);
    tcase_add_test(tests, linear_growth_and_none);
    tcase_add_test(tests, many_askers_are_answered_by_one_step);
    tcase_add_test(tests, asking_ahead_gets_no_answer_and_more_slots);
    tcase_add_test(tests, refusals_of_what_nobody_waits_for_are_logged_once);
    tcase_add_test(tests,
                   growth_without_memory_is_refused_with_the_numbers_and_the_pool_stays_whole);
    tcase_add_test(tests, who_has_no_session_grows_and_shrinks_nothing);
    tcase_add_test(tests, shrinking_gives_memory_back_and_growing_takes_it_again);
    suite_add_tcase(suite, tests);

    tcase_add_checked_fixture(restarts, user_start, user_stop);
    tcase_set_timeout(restarts, 30);
    tcase_add_test(restarts, a_restarted_daemon_has_the_capacity_there_was);
    tcase_add_test(restarts, a_session_comes_back_over_another_connection);
    tcase_add_test(restarts, the_dead_do_not_come_back);
    suite_add_tcase(suite, restarts);

    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(make_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
