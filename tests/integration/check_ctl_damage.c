/* SPDX-License-Identifier: MIT
 *
 * check_ctl_damage: what fastallocctl check finds, and that no damage to a pool's memory
 * hurts fastallocctl.
 */
#include "ctl.h"
#include "os/backing.h"
#include "shm/slot.h"
#include "tests/support/pool.h"

#include <check.h>
#include <jansson.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------------------------- check */

START_TEST(a_pool_at_work_is_clean)
{
    struct ctl_holder holder;
    json_t *pools, *pool;

    ctl_start();
    ctl_create("orders", "64", "1000");
    holder = ctl_hold("orders", 12);
    ck_assert_int_eq(ctl_run("check", "orders", NULL), 0);
    ck_assert_str_eq(ctl_result.out, "orders: clean (1000 slots, 12 in use)\n");
    pools = ctl_json(0, "check", "--json", NULL);
    pool = json_array_get(pools, 0);
    ck_assert_str_eq(ctl_string(pool, "result"), "clean");
    ck_assert_int_eq(ctl_number(pool, "in_use"), 12);
    json_decref(pools);
    ctl_let_go(&holder);
    ctl_stop();
}
END_TEST

START_TEST(a_slot_of_nobody_is_found)
{
    struct segment segment;
    json_t *pools, *pool, *finding;
    uint64_t size;
    void *mapped;

    ctl_start();
    ctl_create("orders", "64", "1000");
    ctl_map_segment(&segment, &mapped, &size);
    /* In the hands of a session that never was. */
    segment.words[17] = slot_word(&segment, 5, 9);
    backing_unmap(mapped, size);
    ctl_create("sound", "64", "1000");

    ck_assert_int_eq(ctl_run("check", NULL), 1);
    ctl_assert_has(ctl_result.out, "orders: slot of a dead owner: slot 17, ");
    ctl_assert_has(ctl_result.out, "sound: clean (1000 slots, 0 in use)\n");
    pools = ctl_json(1, "check", "--json", "orders", NULL);
    ck_assert_uint_eq(json_array_size(pools), 1);
    pool = json_array_get(pools, 0);
    ck_assert_str_eq(ctl_string(pool, "result"), "damaged");
    ck_assert_int_eq(ctl_number(pool, "anomalies"), 1);
    finding = json_array_get(json_object_get(pool, "findings"), 0);
    ck_assert_str_eq(ctl_string(finding, "kind"), "slot of a dead owner");
    ck_assert_int_eq(ctl_number(finding, "place"), 17);
    ck_assert_int_eq(ctl_run("check", "sound", NULL), 0);
    json_decref(pools);
    ctl_stop();
}
END_TEST

START_TEST(a_poisoned_pool_is_not_clean)
{
    struct segment segment;
    uint64_t size;
    void *mapped;

    ctl_start();
    ctl_create("orders", "64", "1000");
    ctl_map_segment(&segment, &mapped, &size);
    segment_set_state(&segment, POOL_POISONED);
    backing_unmap(mapped, size);
    ck_assert_int_eq(ctl_run("check", NULL), 1);
    ctl_assert_has(ctl_result.out, "orders: poisoned: ");
    ctl_stop();
}
END_TEST

/* Cut in the middle of what is looked at, and to nothing: a report, no SIGBUS. */
START_TEST(a_truncated_pool_is_reported)
{
    static const off_t left[] = {8192, 64, 0};
    int file;

    ctl_start();
    ctl_create("orders", "64", "100000");
    file = ctl_open_segment();
    ck_assert_int_eq(ftruncate(file, left[_i]), 0);
    ck_assert_int_eq(ctl_run("check", NULL), 1);
    ctl_assert_has(ctl_result.out, "orders: ");
    ck_assert_int_eq(ctl_run("stat", "orders", NULL), 1);
    ctl_assert_has(ctl_result.err, "orders");
    ck_assert_int_eq(ctl_run("list", NULL), 0);
    ctl_assert_has(ctl_result.out, "100000       -  ");
    close(file);
    ctl_stop();
}
END_TEST

/* Cut while check looks again and again at an anomaly: still a report. */
START_TEST(a_pool_truncated_while_it_is_checked_is_reported)
{
    struct segment segment;
    uint64_t size;
    void *mapped;
    pid_t cutter;
    int file;

    ctl_start();
    ctl_create("orders", "64", "100000");
    ctl_map_segment(&segment, &mapped, &size);
    segment.words[17] = slot_word(&segment, 5, 9);
    backing_unmap(mapped, size);
    file = ctl_open_segment();
    cutter = fork();
    if (cutter == 0) {
        usleep(500000);
        _exit(ftruncate(file, 8192) != 0);
    }
    ck_assert_int_eq(ctl_run("check", NULL), 1);
    ctl_assert_has(ctl_result.out, "was truncated by one of its users");
    ck_assert_int_eq(waitpid(cutter, NULL, 0), cutter);
    close(file);
    ctl_stop();
}
END_TEST

START_TEST(the_memory_of_another_pool_is_refused)
{
    struct segment segment;
    uint64_t size;
    void *mapped;

    ctl_start();
    ctl_create("orders", "64", "100");
    ctl_map_segment(&segment, &mapped, &size);
    segment.header->pool_id++;
    ck_assert_int_eq(ctl_run("stat", "orders", NULL), 1);
    ck_assert_int_eq(ctl_run("check", NULL), 1);
    segment.header->pool_id--;
    ck_assert_int_eq(ctl_run("check", NULL), 0);
    backing_unmap(mapped, size);
    ctl_stop();
}
END_TEST

/* Each header byte overwritten: an answer, whatever it is. */
START_TEST(a_garbled_header_ends_in_an_answer)
{
    struct segment segment;
    uint64_t size, at;
    void *mapped;

    ctl_start();
    ctl_create("orders", "64", "100");
    ctl_map_segment(&segment, &mapped, &size);
    for (at = 0; at < 256; at += 8) {
        unsigned char before = ((unsigned char *)mapped)[at];

        ((unsigned char *)mapped)[at] = (unsigned char)~before;
        ctl_run("stat", "orders", NULL);
        ck_assert_msg(ctl_result.status == 0 || ctl_result.status == 1, "byte %d: %d", (int)at,
                      ctl_result.status);
        ((unsigned char *)mapped)[at] = before;
    }
    backing_unmap(mapped, size);
    ctl_stop();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_pool_at_work_is_clean,
        a_slot_of_nobody_is_found,
        a_poisoned_pool_is_not_clean,
        a_pool_truncated_while_it_is_checked_is_reported,
        the_memory_of_another_pool_is_refused,
        a_garbled_header_ends_in_an_answer,
    };
    Suite *suite = TEST_SUITE("ctl damage", tests, 30);
    TCase *loops = tcase_create("each of");

    tcase_set_timeout(loops, 30);
    tcase_add_loop_test(loops, a_truncated_pool_is_reported, 0, 3);
    suite_add_tcase(suite, loops);
    return test_run(suite);
}
