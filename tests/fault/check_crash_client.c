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

START_TEST(each_slot_says_truly_how_far_the_dead_had_come)
{
    family_play(&lifecycle_operations[_i]);
}
END_TEST

START_TEST(a_death_leaves_the_pool_sealed_or_open_and_nothing_else)
{
    family_play(&client_seal_operations[_i]);
}
END_TEST

static int count(const struct family_operation *operations)
{
    int count = 0;

    while (operations[count].name)
        count++;
    return count;
}

int main(int argc, char **argv)
{
    Suite *suite = suite_create("crash points of the client library");
    TCase *cases = tcase_create("crash points of the client library");
    TCase *stages = tcase_create("lifecycle"), *seals = tcase_create("seal");

    (void)argc;
    crash_bind_now(argv);
    if (!tracer_can())
        return 77;
    crash_print_head("operation of the client library");
    tcase_set_timeout(cases, crash_time_limit());
    tcase_add_loop_test(cases, no_slot_is_lost_or_doubled_by_a_death_inside_the_library, 0,
                        count(client_operations));
    tcase_set_timeout(stages, crash_time_limit());
    tcase_add_loop_test(stages, each_slot_says_truly_how_far_the_dead_had_come, 0,
                        count(lifecycle_operations));
    tcase_set_timeout(seals, crash_time_limit());
    tcase_add_loop_test(seals, a_death_leaves_the_pool_sealed_or_open_and_nothing_else, 0,
                        count(client_seal_operations));
    suite_add_tcase(suite, cases);
    suite_add_tcase(suite, stages);
    suite_add_tcase(suite, seals);
    return test_run(suite);
}
