/* SPDX-License-Identifier: MIT
 *
 * crash_daemon: the daemon, killed between any two of its instructions, and the next one,
 * which has to find every pool whole, with the capacity and the memory its manifest
 * says, and nothing in /dev/shm that no manifest names.
 */
#include "house.h"

#include "tests/support/pool.h"

/* Reserving, publishing, the reply: no orphan segment; with everybody else dead as well, nothing
 * at all. */
START_TEST(a_creation_killed_anywhere_leaves_no_segment_that_nobody_knows)
{
    house_play(&creation_operations[_i]);
}
END_TEST

START_TEST(a_daemon_killed_in_a_sweep_or_in_growth_is_followed_by_one_that_mends)
{
    house_play(&upkeep_operations[_i]);
}
END_TEST

START_TEST(a_daemon_killed_while_it_takes_up_its_pools_is_followed_by_one_that_does)
{
    house_play(&restart_operations[_i]);
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *test,
                const struct house_operation *table)
{
    TCase *cases = tcase_create(name);
    int operations = 0;

    while (table[operations].name)
        operations++;
    tcase_set_timeout(cases, crash_time_limit());
    tcase_add_loop_test(cases, test, 0, operations);
    suite_add_tcase(suite, cases);
}

int main(int argc, char **argv)
{
    Suite *suite = suite_create("crash points of the daemon");

    (void)argc;
    crash_bind_now(argv);
    if (!tracer_can())
        return 77;
    crash_print_head("operation of the daemon");
    add(suite, "creation", a_creation_killed_anywhere_leaves_no_segment_that_nobody_knows,
        creation_operations);
    add(suite, "upkeep", a_daemon_killed_in_a_sweep_or_in_growth_is_followed_by_one_that_mends,
        upkeep_operations);
    add(suite, "restart", a_daemon_killed_while_it_takes_up_its_pools_is_followed_by_one_that_does,
        restart_operations);
    return test_run(suite);
}
