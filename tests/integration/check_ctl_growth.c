/* SPDX-License-Identifier: MIT
 *
 * check_ctl_growth: fastallocctl on pools that grow and keep: create's options for them,
 * grow, shrink, quarantine, release; and shutdown.
 */
#include "ctl.h"
#include "tests/support/pool.h"

#include <check.h>
#include <fastalloc/fastalloc.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool flag(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

START_TEST(what_was_asked_for_is_shown)
{
    json_t *value, *pool;

    ctl_start();
    value = ctl_json(0, "create", "orders", "--size", "64", "--capacity", "2000", "--max-capacity",
                     "10000", "--growth", "exponential:1.5", "--low-water", "100", "--on-death",
                     "quarantine:60000", "--sharing", "--json", NULL);
    ck_assert_int_eq(ctl_number(value, "capacity"), 2000);
    ck_assert_int_eq(ctl_number(value, "max_capacity"), 10000);
    /* Of its slots now, not of those it may have. */
    ck_assert_int_lt(ctl_number(value, "bytes"), 10000 * 64);
    json_decref(value);

    value = ctl_json(0, "list", "--json", NULL);
    pool = json_array_get(value, 0);
    ck_assert_int_eq(ctl_number(pool, "capacity"), 2000);
    ck_assert_int_eq(ctl_number(pool, "max_capacity"), 10000);
    ck_assert_str_eq(ctl_string(pool, "growth"), "exponential:1.5");
    ck_assert_str_eq(ctl_string(pool, "on_death"), "quarantine:60000");
    json_decref(value);

    value = ctl_json(0, "stat", "orders", "--json", NULL);
    ck_assert_int_eq(ctl_number(value, "max_capacity"), 10000);
    ck_assert_str_eq(ctl_string(value, "growth"), "exponential:1.5");
    ck_assert_int_eq(ctl_number(value, "low_water"), 100);
    ck_assert_int_eq(ctl_number(value, "growths"), 0);
    ck_assert_str_eq(ctl_string(value, "on_death"), "quarantine:60000");
    ck_assert_int_eq(ctl_number(value, "heir"), 0);
    ck_assert(flag(value, "sharing"));
    ck_assert(flag(value, "deadlines")); /* quarantine has need of them */
    json_decref(value);
    ck_assert_int_eq(ctl_run("stat", "orders", NULL), 0);
    ctl_assert_has(ctl_result.out, "2000 slots, of at most 10000\n");
    ctl_assert_has(ctl_result.out, "exponential:1.5, ahead of need below 100 free slots\n");
    ctl_assert_has(ctl_result.out, "sharing, deadlines\n");
    ctl_stop();
}
END_TEST

START_TEST(other_strategies_and_policies)
{
    json_t *value;

    ctl_start();
    ck_assert_int_eq(ctl_run("create", "a", "--size", "8", "--capacity", "2000", "--growth",
                             "linear:7", "--low-water", "never", "--on-death", "heir", NULL),
                     0);
    value = ctl_json(0, "stat", "a", "--json", NULL);
    ck_assert_str_eq(ctl_string(value, "growth"), "linear:7");
    ck_assert_int_eq(ctl_number(value, "low_water"), 0);
    ck_assert_str_eq(ctl_string(value, "on_death"), "heir");
    ck_assert_int_gt(ctl_number(value, "max_capacity"), 2000);
    json_decref(value);
    ck_assert_int_eq(ctl_run("create", "b", "--size", "8", "--capacity", "2000", "--growth", "none",
                             "--on-death", "reclaim", "--deadlines", NULL),
                     0);
    value = ctl_json(0, "stat", "b", "--json", NULL);
    ck_assert_str_eq(ctl_string(value, "growth"), "none");
    ck_assert_str_eq(ctl_string(value, "on_death"), "reclaim");
    ck_assert(flag(value, "deadlines") && !flag(value, "sharing"));
    json_decref(value);
    ck_assert_int_eq(
        ctl_run("create", "c", "--size", "8", "--capacity", "8", "--growth", "exponential:1", NULL),
        1);
    ctl_assert_has(ctl_result.err, "growth factor 1");
    ctl_stop();
}
END_TEST

START_TEST(a_pool_grows_and_shrinks_by_hand)
{
    struct ctl_holder holder;
    json_t *value;

    ctl_start();
    ck_assert_int_eq(ctl_run("create", "orders", "--size", "64", "--capacity", "1000",
                             "--max-capacity", "5000", "--growth", "exponential:2", NULL),
                     0);
    ctl_assert_has(ctl_result.out, "orders: created: 1000 slots, up to 5000 of 64 bytes, ");
    ck_assert_int_eq(ctl_run("grow", "orders", NULL), 0);
    ck_assert_str_eq(ctl_result.out, "orders: 2000 slots, before 1000\n");
    value = ctl_json(0, "grow", "orders", "3000", "--json", NULL);
    ck_assert_int_eq(ctl_number(value, "capacity"), 3000);
    ck_assert_int_eq(ctl_number(value, "before"), 2000);
    ck_assert_int_eq(ctl_number(value, "max_capacity"), 5000);
    json_decref(value);
    ck_assert_int_eq(ctl_run("grow", "orders", "2500", NULL), 0);
    ck_assert_str_eq(ctl_result.out, "orders: 3000 slots, as before\n");
    ck_assert_int_eq(ctl_run("grow", "orders", "5001", NULL), 1);
    ctl_assert_has(ctl_result.err, "5000 at most");
    ck_assert_int_eq(ctl_run("list", NULL), 0);
    ctl_assert_has(ctl_result.out, "      3000  5000  ");

    ck_assert_int_eq(ctl_run("shrink", "orders", "1200", NULL), 0);
    ck_assert_str_eq(ctl_result.out, "orders: 1200 slots, before 3000\n");
    /* As far as slots are free. */
    holder = ctl_hold("orders", 50);
    ck_assert_int_eq(ctl_run("shrink", "orders", "1", NULL), 0);
    ctl_let_go(&holder);
    value = ctl_json(0, "stat", "orders", "--json", NULL);
    ck_assert_int_ge(ctl_number(value, "capacity"), 50);
    json_decref(value);
    ck_assert_int_eq(ctl_run("check", NULL), 0);
    ck_assert_int_eq(ctl_run("grow", "none", NULL), 1);
    ctl_assert_has(ctl_result.err, "none");
    ctl_stop();
}
END_TEST

/* As ctl_let_go() would, but by SIGKILL. */
static void kill_holder(struct ctl_holder *holder)
{
    kill(holder->pid, SIGKILL);
    ck_assert_int_eq(waitpid(holder->pid, NULL, 0), holder->pid);
    close(holder->pipe);
}

struct kept {
    size_t slots;
    json_t *list;
};

static bool is_kept(void *argument)
{
    struct kept *kept = argument;

    json_decref(kept->list);
    kept->list = ctl_json(0, "quarantine", "orders", "--json", NULL);
    return json_array_size(kept->list) == kept->slots;
}

START_TEST(what_the_dead_had_is_listed_and_released)
{
    struct kept kept = {7, NULL};
    struct ctl_holder holder;
    json_t *one, *value;
    char handle[32];
    size_t i;

    ctl_start();
    ck_assert_int_eq(ctl_run("create", "orders", "--size", "64", "--capacity", "1000", "--on-death",
                             "quarantine", NULL),
                     0);
    ck_assert_int_eq(ctl_run("quarantine", "orders", NULL), 0);
    ck_assert_str_eq(ctl_result.out, "none\n");
    ck_assert_int_eq(ctl_run("release", "orders", "--all", NULL), 0);
    ck_assert_str_eq(ctl_result.out, "orders: 0 released\n");
    holder = ctl_hold("orders", 7);
    kill_holder(&holder);
    ck_assert(test_eventually(is_kept, &kept));
    json_array_foreach(kept.list, i, one)
    {
        ck_assert_int_eq(ctl_number(one, "pid"), holder.pid);
        ck_assert_int_lt(ctl_number(one, "index"), 1000);
        ck_assert(json_is_null(json_object_get(one, "until")));
    }
    snprintf(handle, sizeof handle, "%s", ctl_string(json_array_get(kept.list, 3), "handle"));
    ck_assert_int_eq(strncmp(handle, "0x", 2), 0);
    ck_assert_int_eq(ctl_run("quarantine", "orders", NULL), 0);
    ctl_assert_has(ctl_result.out, "HANDLE              SLOT");
    ctl_assert_has(ctl_result.out, handle);
    value = ctl_json(0, "stat", "orders", "--json", NULL);
    ck_assert_int_eq(ctl_number(json_object_get(value, "slots"), "quarantined"), 7);
    json_decref(value);

    value = ctl_json(0, "release", "orders", handle, "--json", NULL);
    ck_assert_int_eq(ctl_number(value, "released"), 1);
    json_decref(value);
    ck_assert_int_eq(ctl_run("release", "orders", handle, NULL), 1);
    ctl_assert_has(ctl_result.err, handle);
    ck_assert_int_eq(ctl_run("release", "--all", "orders", NULL), 0);
    ck_assert_str_eq(ctl_result.out, "orders: 6 released\n");
    ck_assert_int_eq(ctl_run("quarantine", "orders", NULL), 0);
    ck_assert_str_eq(ctl_result.out, "none\n");
    ck_assert_int_eq(ctl_run("quarantine", "none", NULL), 1);
    json_decref(kept.list);
    ctl_stop();
}
END_TEST

START_TEST(until_when_is_shown)
{
    struct kept kept = {3, NULL};
    struct ctl_holder holder;
    json_int_t until, now = (json_int_t)time(NULL);

    ctl_start();
    ck_assert_int_eq(ctl_run("create", "orders", "--size", "64", "--capacity", "1000", "--on-death",
                             "quarantine:100000", NULL),
                     0);
    holder = ctl_hold("orders", 3);
    kill_holder(&holder);
    ck_assert(test_eventually(is_kept, &kept));
    until = ctl_number(json_array_get(kept.list, 0), "until");
    ck_assert_int_ge(until, now + 95);
    ck_assert_int_le(until, now + 115);
    json_decref(kept.list);
    ctl_stop();
}
END_TEST

START_TEST(a_shutdown_keeps_pools_or_destroys_them)
{
    json_t *value;

    ctl_start();
    ctl_create("orders", "64", "1000");
    ck_assert_int_eq(ctl_run("shutdown", NULL), 0);
    ck_assert_str_eq(ctl_result.out, "fastallocd has ended\n");
    test_daemon_wait(&ctl_daemon);
    ck_assert_uint_eq(test_daemon_segments(&ctl_daemon), 1);
    ck_assert_int_eq(ctl_run("shutdown", NULL), 1);
    ctl_assert_has(ctl_result.err, "no fastallocd listens");
    test_daemon_run(&ctl_daemon);
    ck_assert_int_eq(ctl_run("stat", "orders", NULL), 0);
    value = ctl_json(0, "shutdown", "--destroy", "--json", NULL);
    ck_assert(flag(value, "ended") && flag(value, "destroyed"));
    json_decref(value);
    ck_assert_uint_eq(test_daemon_segments(&ctl_daemon), 0);
    test_daemon_wait(&ctl_daemon);
    test_daemon_stop(&ctl_daemon);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_was_asked_for_is_shown,
        other_strategies_and_policies,
        a_pool_grows_and_shrinks_by_hand,
        what_the_dead_had_is_listed_and_released,
        until_when_is_shown,
        a_shutdown_keeps_pools_or_destroys_them,
    };

    return test_run(TEST_SUITE("ctl growth", tests, 30));
}
