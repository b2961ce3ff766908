/* SPDX-License-Identifier: MIT
 *
 * crashpoints: every operation on a segment, killed between any two of its
 * instructions.  The survivors sweep, as the daemon would, the integrity check has to
 * be clean, and all slots that no live session owns can be allocated, each once, by
 * one with a cache and by one without.
 *
 * Each death is met twice: by a sweep at once, and after the living have gone on
 * working for a while.
 */
#include "stage.h"

START_TEST(killed_at_any_instruction_of_an_alloc)
{
    stage_play(&alloc_operations[_i]);
}
END_TEST

START_TEST(killed_at_any_instruction_of_a_free)
{
    stage_play(&free_operations[_i]);
}
END_TEST

START_TEST(killed_at_any_instruction_of_a_change_of_owner)
{
    stage_play(&owner_operations[_i]);
}
END_TEST

START_TEST(a_thief_and_his_victim_killed_at_any_instruction)
{
    stage_play(&theft_operations[_i]);
}
END_TEST

START_TEST(one_who_recovers_from_anothers_death_killed_at_any_instruction)
{
    stage_play(&death_operations[_i]);
}
END_TEST

START_TEST(a_waiter_killed_before_in_and_after_its_sleep)
{
    stage_play(&wait_operations[_i]);
}
END_TEST

START_TEST(killed_at_any_instruction_of_a_change_of_capacity)
{
    stage_play(&capacity_operations[_i]);
}
END_TEST

START_TEST(an_allocation_killed_at_any_instruction_while_another_seals)
{
    stage_play(&seal_operations[_i]);
}
END_TEST

/* One run of the test for each operation of the table. */
static void add(Suite *suite, const char *name, const TTest *test, const struct operation *table)
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
    Suite *suite = suite_create("crash points");

    (void)argc;
    crash_bind_now(argv);
    if (!tracer_can())
        return 77;
    crash_print_head("operation on a segment");
    add(suite, "alloc", killed_at_any_instruction_of_an_alloc, alloc_operations);
    add(suite, "free", killed_at_any_instruction_of_a_free, free_operations);
    add(suite, "owner", killed_at_any_instruction_of_a_change_of_owner, owner_operations);
    add(suite, "theft", a_thief_and_his_victim_killed_at_any_instruction, theft_operations);
    add(suite, "death", one_who_recovers_from_anothers_death_killed_at_any_instruction,
        death_operations);
    add(suite, "wait", a_waiter_killed_before_in_and_after_its_sleep, wait_operations);
    add(suite, "capacity", killed_at_any_instruction_of_a_change_of_capacity, capacity_operations);
    add(suite, "seal", an_allocation_killed_at_any_instruction_while_another_seals,
        seal_operations);
    return test_run(suite);
}
