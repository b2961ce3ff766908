/* SPDX-License-Identifier: MIT
 *
 * crash_client: what the public functions do, in a forked child that is killed between any
 * two instructions.  Another child has to find the pool whole, and its parent's slots
 * untouched.
 */
#include "family.h"

#include "tests/support/pool.h"

START_TEST(no_slot_is_lost_or_doubled_by_a_death_inside_the_library)
{
    family_play(&client_operations[_i]);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("crash points of the client library");
    TCase *cases = tcase_create("crash points of the client library");
    int operations = 0;

    (void)argc;
    crash_bind_now(argv);
    if (!tracer_can())
        return 77;
    while (client_operations[operations].name)
        operations++;
    crash_print_head("operation of the client library");
    tcase_set_timeout(cases, crash_time_limit());
    tcase_add_loop_test(cases, no_slot_is_lost_or_doubled_by_a_death_inside_the_library, 0,
                        operations);
    suite_add_tcase(suite, cases);
    return test_run(suite);
}
