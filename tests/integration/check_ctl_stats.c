/* SPDX-License-Identifier: MIT
 *
 * check_ctl_stats: the statistics that fastallocctl stat shows to people and as JSON, against
 * what programs did; and that features and seals are shown.
 */
#include "ctl_stats.h"
#include "tests/support/pool.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

START_TEST(json_has_what_a_program_did)
{
    json_t *stat, *stats, *session;
    struct child program;

    ctl_start();
    stats_work(&program);
    stat = stats_stat("orders");
    stats = stats_of(stat);
    ck_assert_int_eq(ctl_number(stats, "total_allocations"), 100);
    ck_assert_int_eq(ctl_number(stats, "total_deallocations"), 40);
    ck_assert_int_eq(ctl_number(stats, "allocation_failures"), 3);
    ck_assert_int_eq(ctl_number(stats, "waits"), 0);
    ck_assert_int_eq(ctl_number(stats, "current_usage"), 60);
    ck_assert_int_eq(ctl_number(stats, "peak_usage"), 100);
    ck_assert_int_eq(ctl_number(stats, "capacity"), 100);
    ck_assert_int_eq(ctl_number(stats, "max_capacity"), 100);
    ck_assert_int_eq(ctl_number(stats, "available"), 40);
    ck_assert_int_eq(ctl_number(stats, "growth_count"), 0);
    ck_assert_int_eq(ctl_number(stats, "exchanges"), 100); /* there are no caches */
    ck_assert_int_eq(ctl_number(stats, "reclaimed"), 0);
    ck_assert_int_eq(ctl_number(stats, "deaths"), 1);
    ck_assert_int_eq(ctl_number(stats, "reclaims"), 0);
    ck_assert_double_eq(stats_real(stats, "hit_rate"), 100.0 / 103.0);
    ck_assert_double_eq(stats_real(stats, "cache_rate"), 0.0);
    ck_assert_double_eq(stats_real(stats, "utilization_rate"), 60.0);
    ck_assert_double_eq(stats_real(stats, "peak_utilization_rate"), 100.0);

    session = json_array_get(json_object_get(stat, "sessions"), 0);
    ck_assert_int_eq(ctl_number(session, "pid"), program.pid);
    ck_assert_int_eq(ctl_number(session, "slots"), 60);
    ck_assert_int_eq(ctl_number(session, "total_allocations"), 100);
    ck_assert_int_eq(ctl_number(session, "total_deallocations"), 40);
    ck_assert_int_eq(ctl_number(session, "allocation_failures"), 3);
    ck_assert_int_eq(ctl_number(session, "waits"), 0);
    json_decref(stat);
    child_kill(&program);
    ctl_stop();
}
END_TEST

START_TEST(the_text_lines_up)
{
    const char *line, *next, *number, *end, *header, *row;
    ptrdiff_t ends_at = 0, column;
    struct child program;
    int lines = 0;

    ctl_start();
    stats_work(&program);
    ck_assert_int_eq(ctl_run("stat", "orders", NULL), 0);
    ctl_assert_has(ctl_result.out, "\nstatistics\nallocations   100\n");
    ctl_assert_has(ctl_result.out, "\nfailures        3  97.09 % of allocations succeeded\n");
    ctl_assert_has(ctl_result.out, "\nin use         60  60.00 % of the capacity\n");
    ctl_assert_has(ctl_result.out, "\npeak          100  100.00 % of the capacity\n");
    for (line = strstr(ctl_result.out, "\nstatistics\n") + 12; *line != '\n'; line = next) {
        next = strchr(line, '\n') + 1;
        number = strstr(line, "  ");
        ck_assert(number && number < next);
        number += strspn(number, " ");
        end = number + strspn(number, "0123456789");
        ck_assert_msg(end > number && (!lines || end - line == ends_at), "%.*s", (int)(next - line),
                      line);
        ck_assert(*end == '\n' || (strncmp(end, "  ", 2) == 0 && end[2] != ' '));
        ends_at = end - line;
        lines++;
    }
    ck_assert_int_eq(lines, 10);

    header = strstr(ctl_result.out, "\nSESSION ") + 1;
    row = strchr(header, '\n') + 1;
    column = strstr(header, " ALLOCATIONS ") - header;
    ck_assert_int_eq(strncmp(row + column, "         100 ", 13), 0);
    column = strstr(header, " FREES ") - header;
    ck_assert_int_eq(strncmp(row + column, "    40 ", 7), 0);
    column = strstr(header, " FAILURES ") - header;
    ck_assert_int_eq(strncmp(row + column, "        3 ", 10), 0);
    child_kill(&program);
    ctl_stop();
}
END_TEST

START_TEST(a_death_is_counted_and_timed)
{
    json_t *stat, *stats, *samples;
    struct child program;
    json_int_t last;

    ctl_start();
    stats_work(&program);
    child_kill(&program);
    stats_await("deaths", 2);
    stats_await("reclaims", 1);
    stat = stats_stat("orders");
    stats = stats_of(stat);
    ck_assert_int_eq(ctl_number(stats, "current_usage"), 0);
    ck_assert_int_eq(ctl_number(stats, "peak_usage"), 100);
    ck_assert_int_eq(ctl_number(stats, "reclaimed"), 60);
    ck_assert_int_eq(ctl_number(stats, "total_allocations"), 100);
    ck_assert_int_eq(ctl_number(stats, "total_deallocations"), 40);
    ck_assert_uint_eq(json_array_size(json_object_get(stat, "sessions")), 0);
    last = ctl_number(stats, "reclaim_last_ns");
    ck_assert_int_gt(last, 0);
    ck_assert_int_ge(ctl_number(stats, "reclaim_most_ns"), last);
    ck_assert_int_ge(ctl_number(stats, "reclaim_most_ns"), ctl_number(stats, "reclaim_mean_ns"));

    samples = metrics_now();
    assert_metric(samples, "fastalloc_deaths_total", "orders", 2);
    assert_metric(samples, "fastalloc_reclaimed_slots_total", "orders", 60);
    assert_metric(samples, "fastalloc_sessions", "orders", 0);
    assert_metric(samples, "fastalloc_reclaim_seconds_count", "orders",
                  (double)ctl_number(stats, "reclaims"));
    ck_assert_double_eq_tol(metrics_value(samples, "fastalloc_reclaim_last_seconds", "orders"),
                            (double)last / 1e9, 1e-12);
    ck_assert_double_eq_tol(metrics_value(samples, "fastalloc_reclaim_most_seconds", "orders"),
                            (double)ctl_number(stats, "reclaim_most_ns") / 1e9, 1e-12);
    json_decref(samples);
    json_decref(stat);
    ck_assert_int_eq(ctl_run("stat", "orders", NULL), 0);
    ctl_assert_has(ctl_result.out, "\ntime to reclaim  ");
    ctl_assert_has(ctl_result.out, "  the last of ");
    ctl_stop();
}
END_TEST

START_TEST(waits_are_counted_for_the_pool_and_the_session)
{
    struct child program;
    json_t *stat, *samples;

    ctl_start();
    stats_work(&program);
    program_tell(&program, ORDER_ALLOC, 40);
    program_tell(&program, ORDER_WAIT, 2);
    stat = stats_stat("orders");
    ck_assert_int_eq(ctl_number(stats_of(stat), "waits"), 2);
    ck_assert_int_eq(ctl_number(stats_of(stat), "allocation_failures"), 5);
    ck_assert_int_eq(ctl_number(json_array_get(json_object_get(stat, "sessions"), 0), "waits"), 2);
    json_decref(stat);
    samples = metrics_now();
    assert_metric(samples, "fastalloc_waits_total", "orders", 2);
    json_decref(samples);
    child_kill(&program);
    ctl_stop();
}
END_TEST

START_TEST(caches_and_growth_are_counted)
{
    json_t *stat, *stats, *samples;
    struct child program;

    ctl_start();
    ck_assert_int_eq(ctl_run("create", "orders", "--size", "64", "--capacity", "1000", "--growth",
                             "linear:1000", "--max-capacity", "3000", NULL),
                     0);
    program_start(&program, "orders");
    program_tell(&program, ORDER_ALLOC, 1500);
    program_tell(&program, ORDER_FREE, 1400);
    stat = stats_stat("orders");
    stats = stats_of(stat);
    ck_assert_int_eq(ctl_number(stats, "total_allocations"), 1500);
    ck_assert_int_ge(ctl_number(stats, "growth_count"), 1);
    ck_assert_int_eq(ctl_number(stats, "growth_count"), ctl_number(stat, "growths"));
    ck_assert_int_gt(ctl_number(stats, "exchanges"), 0);
    ck_assert_int_lt(ctl_number(stats, "exchanges"), 750);
    ck_assert_double_eq_tol(stats_real(stats, "cache_rate"),
                            1 - (double)ctl_number(stats, "exchanges") / 1500, 1e-9);
    ck_assert_int_eq(ctl_number(json_object_get(stat, "slots"), "in_use"), 100);
    samples = metrics_now();
    assert_metric(samples, "fastalloc_growths_total", "orders",
                  (double)ctl_number(stats, "growth_count"));
    assert_metric(samples, "fastalloc_caches", "orders", 1);
    assert_metric(samples, "fastalloc_max_capacity_slots", "orders", 3000);
    json_decref(samples);
    json_decref(stat);
    child_kill(&program);
    ctl_stop();
}
END_TEST

START_TEST(the_librarys_reports)
{
    struct child program;

    ctl_start();
    stats_work(&program);
    ck_assert_int_eq(ctl_run("stat", "orders", "--format", "line", NULL), 0);
    ck_assert_str_eq(ctl_result.out,
                     "Pool: 60/100 (60.0%) | Allocs: 100 | Deallocs: 40 | Failures: 3\n");
    ck_assert_int_eq(ctl_run("stat", "--format=pairs", "orders", NULL), 0);
    ctl_assert_has(ctl_result.out, "name=orders\n");
    ctl_assert_has(ctl_result.out, "\ntotal_allocations=100\n");
    ctl_assert_has(ctl_result.out, "\ntotal_deallocations=40\n");
    ctl_assert_has(ctl_result.out, "\nallocation_failures=3\n");
    ctl_assert_has(ctl_result.out, "\ncurrent_usage=60\n");
    ck_assert_int_eq(ctl_run("stat", "orders", "--format=text", NULL), 0);
    ctl_assert_has(ctl_result.out, "orders");
    ctl_assert_has(ctl_result.out, " 60 ");
    ck_assert_int_eq(ctl_run("stat", "none", "--format=line", NULL), 1);
    ck_assert_str_eq(ctl_result.out, "");
    child_kill(&program);
    ctl_stop();
}
END_TEST

/* ----------------------------------------------------------- what a pool is */

static bool flag(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

START_TEST(features_are_shown)
{
    json_t *stat;

    ctl_start();
    ck_assert_int_eq(ctl_run("create", "a", "--size", "64", "--capacity", "100", "--strict",
                             "--zero-on-alloc", "--zero-on-free", NULL),
                     0);
    ck_assert_int_eq(ctl_run("create", "b", "--size", "64", "--capacity", "100", "--lifecycle",
                             "--sharing", NULL),
                     0);
    ctl_create("c", "64", "100");
    ck_assert_int_eq(ctl_run("stat", "a", NULL), 0);
    ctl_assert_has(ctl_result.out,
                   "\nfeatures     strict, zero-on-alloc, zero-on-free, lifecycle\n");
    ck_assert_int_eq(ctl_run("stat", "b", NULL), 0);
    ctl_assert_has(ctl_result.out, "\nfeatures     sharing, lifecycle\n");
    ck_assert_int_eq(ctl_run("stat", "c", NULL), 0);
    ck_assert_ptr_null(strstr(ctl_result.out, "features"));
    stat = stats_stat("a");
    ck_assert(flag(stat, "strict") && flag(stat, "zero_on_alloc") && flag(stat, "zero_on_free"));
    ck_assert(!flag(stat, "sharing") && !flag(stat, "deadlines"));
    json_decref(stat);
    stat = stats_stat("b");
    ck_assert(flag(stat, "lifecycle") && flag(stat, "sharing"));
    ck_assert(!flag(stat, "strict") && !flag(stat, "zero_on_alloc") && !flag(stat, "zero_on_free"));
    json_decref(stat);
    ctl_stop();
}
END_TEST

START_TEST(a_sealed_pool_says_so)
{
    struct child program;
    json_t *stat, *samples;

    ctl_start();
    stats_work(&program);
    program_tell(&program, ORDER_SEAL, 0);
    stat = stats_stat("orders");
    ck_assert_str_eq(ctl_string(stat, "state"), "sealed");
    json_decref(stat);
    samples = metrics_now();
    ck_assert_double_eq(
        metrics_value_of(samples, "fastalloc_state", "orders", "fastalloc_state", "sealed"), 1);
    ck_assert_double_eq(
        metrics_value_of(samples, "fastalloc_state", "orders", "fastalloc_state", "live"), 0);
    json_decref(samples);
    ck_assert_int_eq(ctl_run("check", NULL), 0);
    child_kill(&program);
    ctl_stop();
}
END_TEST

START_TEST(only_terminals_get_bold_headings_and_openmetrics_never)
{
    ctl_start();
    ctl_create("orders", "64", "100");
    ctl_assert_has(ctl_on_a_terminal("stat", "orders", NULL), "\033[1mstatistics\033[0m");
    ck_assert_ptr_null(strchr(ctl_on_a_terminal("stat", "orders", "--format=text", NULL), '\033'));
    setenv("NO_COLOR", "1", 1);
    ck_assert_ptr_null(strchr(ctl_on_a_terminal("stat", "orders", NULL), '\033'));
    unsetenv("NO_COLOR");
    ck_assert_int_eq(ctl_run("stat", "orders", NULL), 0);
    ck_assert_ptr_null(strchr(ctl_result.out, '\033'));
    ck_assert_int_eq(ctl_run("stat", "--openmetrics", NULL), 0);
    ck_assert_ptr_null(strchr(ctl_result.out, '\033'));
    ctl_stop();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        json_has_what_a_program_did,
        the_text_lines_up,
        a_death_is_counted_and_timed,
        waits_are_counted_for_the_pool_and_the_session,
        caches_and_growth_are_counted,
        the_librarys_reports,
        features_are_shown,
        a_sealed_pool_says_so,
        only_terminals_get_bold_headings_and_openmetrics_never,
    };

    return test_run(TEST_SUITE("ctl statistics", tests, 30));
}
