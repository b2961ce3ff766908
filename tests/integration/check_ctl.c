/* SPDX-License-Identifier: MIT
 *
 * check_ctl: fastallocctl against a real daemon and real pools: what it shows, to
 * people and to programs, and what it makes of wrong command lines.
 */
#include "ctl.h"
#include "tests/support/pool.h"

#include <check.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------ list, create */

START_TEST(no_pools_is_a_friendly_line_and_an_empty_array)
{
    json_t *pools;

    ctl_start();
    ck_assert_int_eq(ctl_run("list", NULL), 0);
    ck_assert_str_eq(ctl_result.out, "no pools\n");
    ck_assert_int_eq(ctl_run("check", NULL), 0);
    ck_assert_str_eq(ctl_result.out, "no pools\n");
    pools = ctl_json(0, "check", "--json", NULL);
    ck_assert(json_is_array(pools) && json_array_size(pools) == 0);
    json_decref(pools);
    pools = ctl_json(0, "--json", "list", NULL);
    ck_assert(json_is_array(pools) && json_array_size(pools) == 0);
    json_decref(pools);
    ctl_stop();
}
END_TEST

START_TEST(a_created_pool_is_listed_for_people_and_for_programs)
{
    json_t *made, *pools, *pool;

    ctl_start();
    made = ctl_json(0, "create", "orders", "--size", "3K", "--capacity", "1000", "--alignment",
                    "64", "--type-name", "struct order", "--type-version", "7", "--mode", "0660",
                    "--max-threads", "9", "--max-sessions", "11", "--json", NULL);
    ck_assert_int_eq(ctl_number(made, "object_size"), 3072);
    ck_assert_int_eq(ctl_number(made, "alignment"), 64);
    ck_assert(json_is_true(json_object_get(made, "persistent")));
    json_decref(made);

    pools = ctl_json(0, "list", "--json", NULL);
    ck_assert_uint_eq(json_array_size(pools), 1);
    pool = json_array_get(pools, 0);
    ck_assert_str_eq(ctl_string(pool, "name"), "orders");
    ck_assert_str_eq(ctl_string(pool, "type_name"), "struct order");
    ck_assert_int_eq(ctl_number(pool, "type_version"), 7);
    ck_assert_int_eq(ctl_number(pool, "capacity"), 1000);
    ck_assert_int_eq(ctl_number(pool, "in_use"), 0);
    ck_assert_int_gt(ctl_number(pool, "bytes"), 3072 * 1000);
    json_decref(pools);

    ck_assert_int_eq(ctl_run("list", NULL), 0);
    ctl_assert_has(ctl_result.out,
                   "NAME    TYPE           SIZE  CAPACITY   MAX  IN USE  SESSIONS   "
                   "MEMORY  LIFETIME\n"
                   "orders  struct order  3 KiB      1000  1000       0         0  ");
    ctl_assert_has(ctl_result.out, " MiB  persistent\n");
    ck_assert_ptr_null(strchr(ctl_result.out, '\033'));

    ck_assert_int_eq(ctl_run("create", "orders", "--size", "8", "--capacity", "8", NULL), 1);
    ctl_assert_has(ctl_result.err, "orders");
    ctl_stop();
}
END_TEST

START_TEST(more_pools_than_a_page_holds_are_all_listed_by_name)
{
    char name[16];
    json_t *pools;
    int i;

    ctl_start();
    for (i = 29; i >= 0; i--) {
        snprintf(name, sizeof name, "pool-%02d", i);
        ctl_create(name, "8", "8");
    }
    pools = ctl_json(0, "list", "--json", NULL);
    ck_assert_uint_eq(json_array_size(pools), 30);
    for (i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "pool-%02d", i);
        ck_assert_str_eq(ctl_string(json_array_get(pools, (size_t)i), "name"), name);
    }
    json_decref(pools);
    ctl_stop();
}
END_TEST

START_TEST(a_pool_until_last_detach_goes_with_fastallocctl)
{
    ctl_start();
    ck_assert_int_eq(
        ctl_run("create", "short", "--size", "8", "--capacity", "8", "--until-last-detach", NULL),
        0);
    ctl_assert_has(ctl_result.out, "it goes again now");
    ck_assert(test_daemon_segments_become(&ctl_daemon, 0));
    ctl_stop();
}
END_TEST

START_TEST(nothing_is_cut)
{
    char name[256];

    ctl_start();
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ctl_create(name, "8", "8");
    setenv("COLUMNS", "40", 1);
    ck_assert_int_eq(ctl_run("list", NULL), 0);
    ctl_assert_has(ctl_result.out, name);
    ck_assert_int_eq(ctl_run("stat", name, NULL), 0);
    ctl_assert_has(ctl_result.out, name);
    ctl_assert_has(ctl_on_a_terminal("list", NULL), name);
    ctl_stop();
}
END_TEST

START_TEST(names_reach_a_terminal_only_as_what_prints)
{
    static const char odd[] = "caf\xc3\xa9\xe2\x80\xae\\x";

    ctl_start();
    ctl_create(odd, "8", "8");
    ck_assert_int_eq(ctl_run("list", NULL), 0);
    ctl_assert_has(ctl_result.out, "caf\xc3\xa9\\xe2\\x80\\xae\\\\x ");
    setenv("LC_ALL", "C", 1);
    ck_assert_int_eq(ctl_run("list", NULL), 0);
    ctl_assert_has(ctl_result.out, "caf\\xc3\\xa9\\xe2\\x80\\xae\\\\x ");
    ck_assert_int_eq(ctl_run("list", "--json", NULL), 0);
    ctl_assert_has(ctl_result.out, "\"caf\\u00E9\\u202E\\\\x\"");
    ck_assert_int_eq(ctl_run("stat", "no\033such", NULL), 2);
    ck_assert_ptr_null(strchr(ctl_result.err, '\033'));
    ctl_stop();
}
END_TEST

START_TEST(only_terminals_that_want_it_get_colour)
{
    ctl_start();
    ctl_create("orders", "8", "8");
    ck_assert_ptr_nonnull(strchr(ctl_on_a_terminal("list", NULL), '\033'));
    setenv("NO_COLOR", "1", 1);
    ck_assert_ptr_null(strchr(ctl_on_a_terminal("list", NULL), '\033'));
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    ck_assert_ptr_null(strchr(ctl_on_a_terminal("list", NULL), '\033'));
    ctl_stop();
}
END_TEST

/* -------------------------------------------------------------------------- stat */

START_TEST(stat_tells_the_slots_and_who_holds_most)
{
    struct ctl_holder few, many;
    json_t *stat, *slots, *sessions;

    ctl_start();
    ctl_create("orders", "64", "1000");
    few = ctl_hold("orders", 3);
    many = ctl_hold("orders", 50);

    stat = ctl_json(0, "stat", "orders", "--json", NULL);
    ck_assert_str_eq(ctl_string(stat, "state"), "live");
    ck_assert_str_eq(ctl_string(stat, "mode"), "0600");
    ck_assert_int_eq(ctl_number(stat, "capacity"), 1000);
    ck_assert_int_lt(ctl_number(stat, "metadata_bytes"), ctl_number(stat, "bytes"));
    slots = json_object_get(stat, "slots");
    ck_assert_int_eq(ctl_number(slots, "in_use"), 53);
    ck_assert_int_eq(ctl_number(slots, "in_use") + ctl_number(slots, "cached") +
                         ctl_number(slots, "depots") + ctl_number(slots, "returned") +
                         ctl_number(slots, "never_used"),
                     1000);
    sessions = json_object_get(stat, "sessions");
    ck_assert_uint_eq(json_array_size(sessions), 2);
    ck_assert_int_eq(ctl_number(json_array_get(sessions, 0), "slots"), 50);
    ck_assert_int_eq(ctl_number(json_array_get(sessions, 0), "pid"), many.pid);
    ck_assert_int_eq(ctl_number(json_array_get(sessions, 0), "uid"), geteuid());
    ck_assert_int_eq(ctl_number(json_array_get(sessions, 1), "slots"), 3);
    ck_assert_int_eq(ctl_number(json_array_get(sessions, 1), "pid"), few.pid);
    json_decref(stat);

    ck_assert_int_eq(ctl_run("stat", "orders", NULL), 0);
    ctl_assert_has(ctl_result.out, "in use       53\n");
    ck_assert_int_eq(ctl_run("list", NULL), 0);
    ctl_assert_has(ctl_result.out, "      1000  1000      53         2 ");
    ctl_let_go(&few);
    ctl_let_go(&many);
    ctl_stop();
}
END_TEST

START_TEST(stat_of_no_pool_fails)
{
    ctl_start();
    ck_assert_int_eq(ctl_run("stat", "orders", NULL), 1);
    ctl_assert_has(ctl_result.err, "orders");
    ck_assert_str_eq(ctl_result.out, "");
    ctl_stop();
}
END_TEST

/* ----------------------------------------------------------------------- destroy */

START_TEST(destroy_goes_on_after_a_failure)
{
    json_t *pools;

    ctl_start();
    ctl_create("a", "8", "8");
    ctl_create("b", "8", "8");
    pools = ctl_json(1, "destroy", "a", "missing", "b", "--json", NULL);
    ck_assert(json_is_true(json_object_get(json_array_get(pools, 0), "destroyed")));
    ck_assert(json_is_false(json_object_get(json_array_get(pools, 1), "destroyed")));
    ck_assert(json_is_true(json_object_get(json_array_get(pools, 2), "destroyed")));
    ctl_assert_has(ctl_result.err, "missing");
    json_decref(pools);
    ck_assert(test_daemon_segments_become(&ctl_daemon, 0));
    ctl_stop();
}
END_TEST

START_TEST(a_destroyed_pool_in_use_is_listed_and_not_checked)
{
    struct ctl_holder holder;

    ctl_start();
    ctl_create("orders", "64", "1000");
    holder = ctl_hold("orders", 5);
    ck_assert_int_eq(ctl_run("destroy", "orders", NULL), 0);
    ck_assert_str_eq(ctl_result.out, "orders: destroyed\n");
    ck_assert_int_eq(ctl_run("list", NULL), 0);
    ctl_assert_has(ctl_result.out, "destroyed\n");
    ck_assert_int_eq(ctl_run("check", NULL), 0);
    ctl_create("orders", "128", "10");
    ctl_let_go(&holder);
    ctl_stop();
}
END_TEST

/* ------------------------------------------------------------------ command lines */

struct line {
    const char *arguments[6];
    const char *says;
};

static const struct line wrong_lines[] = {
    {{NULL}, "a command is missing"},
    {{"explode"}, "there is no command \"explode\""},
    {{"list", "--explode"}, "--explode"},
    {{"list", "orders"}, "\"orders\" is one argument too many"},
    {{"list", "--size", "4"}, "--size is an option of create, not of list"},
    {{"stat"}, "which pool?"},
    {{"stat", "a", "b"}, "\"b\" is one argument too many"},
    {{"stat", "a/b"}, "\"/\" at byte 1"},
    {{"stat", ""}, "name"},
    {{"destroy"}, "which pool?"},
    {{"create", "a"}, "--size is missing"},
    {{"create", "a", "--size", "8"}, "--capacity is missing"},
    {{"create", "a", "--size", "eight"}, "--size \"eight\""},
    {{"create", "a", "--size", "-8"}, "--size \"-8\""},
    {{"create", "a", "--size", "99999999999999999999"}, "--size \"99999999999999999999\""},
    {{"create", "a", "--capacity", "1M"}, "--capacity \"1M\""},
    {{"create", "a", "--mode", "0899"}, "--mode \"0899\""},
    {{"--socket"}, "socket"},
    {{"create", "a", "--growth", "linear"}, "--growth \"linear\""},
    {{"create", "a", "--growth", "linear:x"}, "--growth \"linear:x\""},
    {{"create", "a", "--growth", "exponential:2x"}, "\"2x\" is no factor"},
    {{"create", "a", "--growth", "exponential:-2"}, "--growth \"exponential:-2\""},
    {{"create", "a", "--low-water", "some"}, "--low-water \"some\""},
    {{"create", "a", "--on-death", "mourn"}, "--on-death \"mourn\""},
    {{"create", "a", "--on-death", "quarantine:soon"}, "--on-death \"quarantine:soon\""},
    {{"stat", "--json"}, "which pool?"},
    {{"stat", "--format", "line"}, "which pool?"},
    {{"stat", "a", "--format", "verse"}, "--format \"verse\""},
    {{"stat", "a", "--format"}, "format"},
    {{"stat", "--openmetrics", "a/b"}, "\"/\" at byte 1"},
    {{"stat", "--openmetrics", "--json"}, "--openmetrics and --json"},
    {{"stat", "a", "--format=line", "--json"}, "--format and --json"},
    {{"stat", "a", "--openmetrics", "--format=line"}, "--openmetrics and --format"},
    {{"list", "--openmetrics"}, "--openmetrics is an option of stat, not of list"},
    {{"list", "--format", "line"}, "--format is an option of stat, not of list"},
    {{"stat", "a", "--strict"}, "--strict is an option of create, not of stat"},
    {{"stat", "a", "--destroy"}, "--destroy is an option of shutdown, not of stat"},
    {{"create", "a", "--all"}, "--all is an option of release, not of create"},
    {{"grow"}, "which pool?"},
    {{"grow", "a", "many"}, "\"many\" is no number of slots"},
    {{"grow", "a", "0"}, "\"0\" is no number of slots"},
    {{"grow", "a", "1", "2"}, "\"2\" is one argument too many"},
    {{"shrink", "a"}, "to how many slots?"},
    {{"release", "a"}, "a handle is wanted"},
    {{"release", "a", "0x1", "--all"}, "a handle is wanted"},
    {{"release", "a", "orders"}, "\"orders\" is no handle"},
    {{"quarantine", "a", "b"}, "\"b\" is one argument too many"},
    {{"shutdown", "a"}, "\"a\" is one argument too many"},
};

START_TEST(a_wrong_command_line_says_what_is_wrong)
{
    const struct line *line = &wrong_lines[_i];
    const char *arguments[8] = {"fastallocctl"};

    memcpy(arguments + 1, line->arguments, sizeof line->arguments);
    setenv("FASTALLOC_SOCKET", "/nowhere", 1);
    ctl_run_onto(-1, (char *const *)arguments);
    ck_assert_msg(ctl_result.status == 2, "status %d: %s", ctl_result.status, ctl_result.err);
    ctl_assert_has(ctl_result.err, line->says);
    ck_assert_str_eq(ctl_result.out, "");
}
END_TEST

START_TEST(options_may_stand_before_and_after_the_command)
{
    ctl_start();
    setenv("FASTALLOC_SOCKET", "/nowhere", 1);
    ck_assert_int_eq(ctl_run("--socket", ctl_daemon.socket, "--json", "list", NULL), 0);
    ck_assert_int_eq(ctl_run("list", "-j", "-s", ctl_daemon.socket, NULL), 0);
    ck_assert_str_eq(ctl_result.out, "[]\n");
    setenv("FASTALLOC_SOCKET", ctl_daemon.socket, 1);
    ctl_stop();
}
END_TEST

START_TEST(help_and_version_need_no_daemon)
{
    setenv("FASTALLOC_SOCKET", "/nowhere", 1);
    ck_assert_int_eq(ctl_run("--help", NULL), 0);
    ctl_assert_has(ctl_result.out, "Usage: fastallocctl");
    ck_assert_int_eq(ctl_run("create", "--help", NULL), 0);
    ck_assert_int_eq(ctl_run("--version", NULL), 0);
    ctl_assert_has(ctl_result.out, "fastallocctl ");
}
END_TEST

START_TEST(without_a_daemon_it_says_so_and_starts_none)
{
    char path[] = "/tmp/fastalloc-ctl-XXXXXX", socket[64];

    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(socket, sizeof socket, "%s/socket", path);
    setenv("FASTALLOC_AUTOSPAWN", "1", 1);
    if (getenv("FASTALLOCD"))
        setenv("FASTALLOC_DAEMON", getenv("FASTALLOCD"), 1);
    ck_assert_int_eq(ctl_run("--socket", socket, "list", NULL), 1);
    unsetenv("FASTALLOC_AUTOSPAWN");
    ctl_assert_has(ctl_result.err, socket);
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(output_that_cannot_be_written_is_a_failure)
{
    char *const arguments[] = {(char *)"fastallocctl", (char *)"list", NULL};
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    ctl_start();
    ctl_run_onto(full, arguments);
    ck_assert_int_eq(ctl_result.status, 1);
    ctl_assert_has(ctl_result.err, "cannot write");
    ctl_stop();
    close(full);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        no_pools_is_a_friendly_line_and_an_empty_array,
        a_created_pool_is_listed_for_people_and_for_programs,
        more_pools_than_a_page_holds_are_all_listed_by_name,
        a_pool_until_last_detach_goes_with_fastallocctl,
        nothing_is_cut,
        names_reach_a_terminal_only_as_what_prints,
        only_terminals_that_want_it_get_colour,
        stat_tells_the_slots_and_who_holds_most,
        stat_of_no_pool_fails,
        destroy_goes_on_after_a_failure,
        a_destroyed_pool_in_use_is_listed_and_not_checked,
        options_may_stand_before_and_after_the_command,
        help_and_version_need_no_daemon,
        without_a_daemon_it_says_so_and_starts_none,
        output_that_cannot_be_written_is_a_failure,
    };
    Suite *suite = TEST_SUITE("ctl", tests, 30);
    TCase *loops = tcase_create("each of");

    tcase_set_timeout(loops, 30);
    tcase_add_loop_test(loops, a_wrong_command_line_says_what_is_wrong, 0,
                        (int)(sizeof wrong_lines / sizeof *wrong_lines));
    suite_add_tcase(suite, loops);
    return test_run(suite);
}
