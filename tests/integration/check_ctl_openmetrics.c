/* SPDX-License-Identifier: MIT
 *
 * check_ctl_openmetrics: fastallocctl stat --openmetrics, read back by a strict reader of the
 * format: the figures, resets, names, pools that come and go; and that no damage to a pool's
 * memory hurts what shows its statistics.
 */
#include "ctl_stats.h"
#include "os/backing.h"
#include "tests/support/pool.h"

#include <check.h>
#include <fastalloc/fastalloc.h>
#include <inttypes.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

START_TEST(openmetrics_has_what_a_program_did)
{
    const json_t *info;
    struct child program;
    json_t *samples;

    ctl_start();
    stats_work(&program);
    samples = metrics_now();
    assert_metric(samples, "fastalloc_allocations_total", "orders", 100);
    assert_metric(samples, "fastalloc_frees_total", "orders", 40);
    assert_metric(samples, "fastalloc_failures_total", "orders", 3);
    assert_metric(samples, "fastalloc_waits_total", "orders", 0);
    assert_metric(samples, "fastalloc_exchanges_total", "orders", 100);
    assert_metric(samples, "fastalloc_growths_total", "orders", 0);
    assert_metric(samples, "fastalloc_deaths_total", "orders", 1);
    assert_metric(samples, "fastalloc_reclaimed_slots_total", "orders", 0);
    assert_metric(samples, "fastalloc_capacity_slots", "orders", 100);
    assert_metric(samples, "fastalloc_max_capacity_slots", "orders", 100);
    assert_metric(samples, "fastalloc_in_use_slots", "orders", 60);
    assert_metric(samples, "fastalloc_peak_slots", "orders", 100);
    assert_metric(samples, "fastalloc_sessions", "orders", 1);
    assert_metric(samples, "fastalloc_caches", "orders", 0);
    assert_metric(samples, "fastalloc_reclaim_seconds_count", "orders", 0);
    assert_metric(samples, "fastalloc_reclaim_seconds_sum", "orders", 0);
    ck_assert_double_gt(metrics_value(samples, "fastalloc_memory_bytes", "orders"), 100 * 64);
    ck_assert_double_gt(metrics_value(samples, "fastalloc_metadata_bytes", "orders"), 0);
    ck_assert_double_lt(metrics_value(samples, "fastalloc_metadata_bytes", "orders"),
                        metrics_value(samples, "fastalloc_memory_bytes", "orders"));
    ck_assert_double_eq(metrics_value_of(samples, "fastalloc_slots", "orders", "state", "owned"),
                        60);
    ck_assert_double_eq(metrics_value_of(samples, "fastalloc_slots", "orders", "state", "returned"),
                        40);
    ck_assert_double_eq(
        metrics_value_of(samples, "fastalloc_state", "orders", "fastalloc_state", "live"), 1);
    info = json_object_get(metrics_find(samples, "fastalloc_pool_info", "orders", NULL, NULL),
                           "labels");
    ck_assert_str_eq(ctl_string(info, "object_size"), "64");
    ck_assert_str_eq(ctl_string(info, "lifetime"), "persistent");
    json_decref(samples);
    child_kill(&program);
    ctl_stop();
}
END_TEST

/* What one asks for begins anew; what monitoring reads does not. */
START_TEST(counters_of_openmetrics_outlive_a_reset)
{
    static const char *const counters[] = {
        "fastalloc_allocations_total", "fastalloc_allocations_created",
        "fastalloc_frees_total",       "fastalloc_frees_created",
        "fastalloc_failures_total",    "fastalloc_waits_total",
        "fastalloc_exchanges_total",   "fastalloc_growths_total",
        "fastalloc_deaths_total",      "fastalloc_reclaimed_slots_total",
    };
    json_t *stat, *stats, *before, *after;
    struct child program, another;
    size_t i;

    ctl_start();
    stats_work(&program);
    program_start(&another, "orders");
    program_tell(&another, ORDER_ALLOC, 10);
    child_kill(&another);
    stats_await("deaths", 2);
    stats_await("reclaims", 1);
    before = metrics_now();
    program_tell(&program, ORDER_RESET, 0);
    after = metrics_now();
    for (i = 0; i < sizeof counters / sizeof *counters; i++)
        assert_metric(after, counters[i], "orders", metrics_value(before, counters[i], "orders"));
    assert_metric(after, "fastalloc_allocations_total", "orders", 110);
    assert_metric(after, "fastalloc_peak_slots", "orders", 60);
    ck_assert_double_gt(metrics_value(before, "fastalloc_reclaim_seconds_sum", "orders"), 0);
    assert_metric(after, "fastalloc_reclaim_seconds_sum", "orders", 0);
    assert_metric(after, "fastalloc_reclaim_seconds_count", "orders", 0);
    json_decref(before);
    json_decref(after);

    program_tell(&program, ORDER_ALLOC, 5);
    stat = stats_stat("orders");
    stats = stats_of(stat);
    ck_assert_int_eq(ctl_number(stats, "total_allocations"), 5);
    ck_assert_int_eq(ctl_number(stats, "total_deallocations"), 0);
    ck_assert_int_eq(ctl_number(stats, "allocation_failures"), 0);
    ck_assert_int_eq(ctl_number(stats, "deaths"), 0);
    ck_assert_int_eq(ctl_number(stats, "reclaimed"), 0);
    ck_assert_int_eq(ctl_number(stats, "reclaims"), 0);
    ck_assert_int_eq(ctl_number(stats, "peak_usage"), 65);
    json_decref(stat);
    after = metrics_now();
    assert_metric(after, "fastalloc_allocations_total", "orders", 115);
    assert_metric(after, "fastalloc_failures_total", "orders", 3);
    json_decref(after);
    child_kill(&program);
    ctl_stop();
}
END_TEST

/* -------------------------------------------------------------- many pools */
START_TEST(names_come_through_as_they_are)
{
    static const char *const names[] = {
        "quo\"te", "back\\slash", "ends with \\",
        "{brace}", "a=\"b\",c",   "caf\xc3\xa9 \xe2\x82\xac",
        "\\n",     "\"",
    };
    json_t *samples;
    size_t i;

    ctl_start();
    for (i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_int_eq(ctl_run("create", names[i], "--size", "64", "--capacity", "10",
                                 "--type-name", names[i], NULL),
                         0);
    /* In a locale too that has none of these characters. */
    setenv("LC_ALL", "C", 1);
    samples = metrics_now();
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        assert_metric(samples, "fastalloc_capacity_slots", names[i], 10);
        ck_assert_double_eq(
            metrics_value_of(samples, "fastalloc_pool_info", names[i], "type", names[i]), 1);
    }
    json_decref(samples);
    setenv("LC_ALL", "C.UTF-8", 1);
    ctl_stop();
}
END_TEST

START_TEST(those_named_or_all_and_each_once)
{
    struct child program;
    json_t *samples;

    ctl_start();
    samples = metrics_now();
    ck_assert_uint_eq(json_array_size(samples), 0);
    json_decref(samples);
    ctl_create("a", "64", "10");
    ctl_create("b", "64", "20");
    ctl_create("c", "64", "30");
    samples = metrics_now();
    assert_metric(samples, "fastalloc_capacity_slots", "a", 10);
    assert_metric(samples, "fastalloc_capacity_slots", "b", 20);
    assert_metric(samples, "fastalloc_capacity_slots", "c", 30);
    json_decref(samples);
    ck_assert_int_eq(ctl_run("stat", "c", "a", "--openmetrics", "c", NULL), 0);
    samples = exposition_written();
    assert_metric(samples, "fastalloc_capacity_slots", "a", 10);
    assert_metric(samples, "fastalloc_capacity_slots", "c", 30);
    ck_assert_ptr_null(metrics_find(samples, "fastalloc_capacity_slots", "b", NULL, NULL));
    json_decref(samples);

    /* One that was named and is missing is a failure; the others are there. */
    ck_assert_int_eq(ctl_run("stat", "--openmetrics", "a", "missing", "c", NULL), 1);
    ctl_assert_has(ctl_result.err, "missing");
    samples = exposition_written();
    assert_metric(samples, "fastalloc_capacity_slots", "a", 10);
    assert_metric(samples, "fastalloc_capacity_slots", "c", 30);
    json_decref(samples);

    /* One that is destroyed has no name any more, though it is in use. */
    program_start(&program, "b");
    ck_assert_int_eq(ctl_run("destroy", "b", NULL), 0);
    ctl_create("b", "64", "40");
    samples = metrics_now();
    assert_metric(samples, "fastalloc_capacity_slots", "b", 40);
    json_decref(samples);
    child_kill(&program);
    ctl_stop();
}
END_TEST

static void come_and_go(int channel, void *argument)
{
    fastalloc_pool_config config;
    fastalloc_client *client;
    fastalloc_pool *pool;
    char name[16];
    unsigned i;

    (void)argument;
    fastalloc_pool_config_init(&config);
    config.object_size = 64;
    config.capacity = 100;
    config.name = name;
    child_require(fastalloc_connect(&client, NULL) == 0);
    for (i = 0;; i++) {
        snprintf(name, sizeof name, "brief-%u", i % 7);
        child_require(fastalloc_pool_create(client, &config, &pool) == 0);
        child_require(fastalloc_pool_destroy(client, name) == 0);
        child_require(fastalloc_pool_close(pool) == 0);
        if (i == 0)
            channel_put(channel, 0);
    }
}

START_TEST(pools_that_go_meanwhile_are_left_out)
{
    struct child busy;
    json_t *samples;
    int i;

    ctl_start();
    ctl_create("stays", "64", "100");
    child_start(&busy, come_and_go, NULL);
    channel_take(busy.channel);
    for (i = 0; i < 30; i++) {
        samples = metrics_now();
        assert_metric(samples, "fastalloc_capacity_slots", "stays", 100);
        ck_assert_str_eq(ctl_result.err, "");
        json_decref(samples);
    }
    child_kill(&busy);
    ctl_stop();
}
END_TEST

/* ------------------------------------------------------------------ damage */

/* Runs every form of output on "orders": an answer each, sound in its form. */
static void every_form_answers(void)
{
    static const char *const forms[] = {"--format=text", "--format=line", "--format=pairs"};
    json_t *value, *figure;
    const char *key;
    size_t i;

    ctl_run("stat", "orders", NULL);
    ck_assert_msg(ctl_result.status == 0 || ctl_result.status == 1, "%d", ctl_result.status);
    for (i = 0; i < sizeof forms / sizeof *forms; i++) {
        ctl_run("stat", "orders", forms[i], NULL);
        ck_assert_msg(ctl_result.status == 0 || ctl_result.status == 1, "%d", ctl_result.status);
    }
    ctl_run("stat", "orders", "--json", NULL);
    ck_assert_msg(ctl_result.status == 0 || ctl_result.status == 1, "%d", ctl_result.status);
    if (ctl_result.status == 0) {
        value = json_loads(ctl_result.out, 0, NULL);
        ck_assert_ptr_nonnull(value);
        json_object_foreach(json_object_get(value, "statistics"), key, figure)
            ck_assert_msg(json_number_value(figure) >= 0, "\"%s\" is below 0", key);
        json_decref(value);
    }
    ctl_run("stat", "orders", "--openmetrics", NULL);
    ck_assert_msg(ctl_result.status == 0 || ctl_result.status == 1, "%d", ctl_result.status);
    value = exposition_written();
    json_decref(value);
}

/* Where the memory has counts. */
struct place {
    uint64_t from, to;
};

static size_t find_places(const struct segment *segment, struct place *places)
{
    uint64_t sessions = segment->geometry.sessions_at, caches = segment->geometry.caches_at;

    places[0] = (struct place){offsetof(struct shm_header, peak), sizeof(struct shm_header)};
    places[1] =
        (struct place){offsetof(struct shm_header, state), offsetof(struct shm_header, free_epoch)};
    places[2] = (struct place){sessions, sessions + 8 * sizeof(struct shm_session)};
    places[3] = (struct place){caches, caches + 8 * sizeof(struct shm_cache)};
    return 4;
}

/* Nonsense in each word of one of these places, then in all words of all. */
START_TEST(no_nonsense_in_the_counts_hurts)
{
    uint64_t size, at, seed = test_seed("nonsense"), *word;
    struct place places[4];
    struct segment segment;
    size_t count, i;
    void *mapped;
    char *kept;
    int round;

    ctl_start();
    ctl_create("orders", "64", "1000");
    ctl_map_segment(&segment, &mapped, &size);
    count = find_places(&segment, places);
    kept = malloc(size);
    ck_assert_ptr_nonnull(kept);
    memcpy(kept, mapped, segment.geometry.guard_at);
    for (i = 0; i < 2; i++)
        for (at = places[i].from / 8 * 8; at < places[i].to; at += 8) {
            *(uint64_t *)((char *)mapped + at) = at % 16 ? UINT64_MAX : test_random(&seed);
            ctl_run("stat", "orders", "--json", NULL);
            ck_assert_msg(ctl_result.status == 0 || ctl_result.status == 1, "byte %" PRIu64, at);
            memcpy((char *)mapped + at, kept + at, 8);
        }
    for (round = 0; round < 6; round++) {
        for (i = 0; i < count; i++)
            for (at = places[i].from / 8 * 8; at < places[i].to; at += 8) {
                word = (uint64_t *)((char *)mapped + at);
                *word = round == 0 ? UINT64_MAX : test_random(&seed) >> test_random(&seed) % 64;
            }
        every_form_answers();
        memcpy(mapped, kept, segment.geometry.guard_at);
    }
    ck_assert_int_eq(ctl_run("check", NULL), 0);
    free(kept);
    backing_unmap(mapped, size);
    ctl_stop();
}
END_TEST

/* Taken for a pool that cannot be shown, among others that can. */
START_TEST(a_truncated_pool_is_left_out_and_reported)
{
    json_t *samples;
    int file;

    ctl_start();
    ctl_create("orders", "64", "100000");
    file = ctl_open_segment();
    ctl_create("sound", "64", "100");
    ck_assert_int_eq(ftruncate(file, 8192), 0);
    ck_assert_int_eq(ctl_run("stat", "--openmetrics", NULL), 1);
    ctl_assert_has(ctl_result.err, "orders");
    samples = exposition_written();
    assert_metric(samples, "fastalloc_capacity_slots", "sound", 100);
    ck_assert_ptr_null(metrics_find(samples, "fastalloc_capacity_slots", "orders", NULL, NULL));
    json_decref(samples);
    close(file);
    ctl_stop();
}
END_TEST

/* ------------------------------------------------------------- the reader */

/* What openmetrics.py has to refuse; HELP is there where it is not the point. */
static const char *const unsound[] = {
    "",
    "# EOF",
    "# TYPE a gauge\n# HELP a A.\na 1\n",
    "# TYPE a gauge\n# HELP a A.\na 1\n# EOF\n\n",
    "# TYPE a gauge\n# HELP a A.\n\na 1\n# EOF\n",
    "# TYPE a gauge\r\n# HELP a A.\na 1\n# EOF\n",
    "# TYPE a gauge\n# HELP a A.\na one\n# EOF\n",
    "# TYPE a gauge\n# HELP a A.\na  1\n# EOF\n",
    "# TYPE a gauge\n# HELP a A.\na{b=\"c\",} 1\n# EOF\n",
    "# TYPE a gauge\n# HELP a A.\na{b=\"c\"d\"} 1\n# EOF\n",
    "# TYPE a gauge\n# HELP a A.\na{b=\"c\\d\"} 1\n# EOF\n",
    "# TYPE a gauge\n# HELP a A.\na{b=\"c\\\"} 1\n# EOF\n",
    "# TYPE a gauge\n# HELP a A.\na{b=\"c\",b=\"d\"} 1\n# EOF\n",
    "# TYPE a gauge\n# HELP a A.\na{b=\"\xff\"} 1\n# EOF\n",
    "# TYPE a gauge\n# HELP a A.\na{b=\"c\"} 1\na{b=\"c\"} 2\n# EOF\n",
    "# TYPE a counter\n# HELP a A.\na 1\n# EOF\n",
    "# TYPE a counter\n# HELP a A.\na_total -1\n# EOF\n",
    "# TYPE a counter\n# HELP a A.\na_created 1\n# EOF\n",
    "# TYPE a counter\n# HELP a A.\na_total{b=\"c\"} 1\na_total{b=\"d\"} 1\na_created{b=\"c\"} 1\n"
    "# EOF\n",
    "# TYPE a summary\n# HELP a A.\na_count 1.5\na_sum 1\n# EOF\n",
    "# TYPE a stateset\n# HELP a A.\na{a=\"x\"} 1\na{a=\"y\"} 1\n# EOF\n",
    "# TYPE a info\n# HELP a A.\na_info{b=\"c\"} 2\n# EOF\n",
    "# TYPE a gauge\n# UNIT a bytes\n# HELP a A.\na 1\n# EOF\n",
    "# HELP a A.\n# TYPE a gauge\na 1\n# EOF\n",
    "# TYPE a gauge\n# HELP a A.\na 1\n# TYPE b gauge\n# HELP b B.\nb 1\na{c=\"d\"} 1\n# EOF\n",
    "# TYPE a counter\n# HELP a A.\na_total 1\n# TYPE a_total gauge\n# HELP a_total A.\na_total 1\n"
    "# EOF\n",
    "# TYPE a gauge\n# TYPE a gauge\n# HELP a A.\na 1\n# EOF\n",
    "# a remark\n# EOF\n",
};

START_TEST(the_reader_refuses_what_is_unsound)
{
    char says[1024];

    ck_assert_msg(exposition_read(unsound[_i], says, sizeof says) == NULL, "%s", unsound[_i]);
    ck_assert_str_ne(says, "");
}
END_TEST

START_TEST(the_reader_reads_what_is_sound)
{
    char says[1024];
    json_t *samples = exposition_read(
        "# TYPE a_bytes counter\n# UNIT a_bytes bytes\n# HELP a_bytes A \\\"b\\\".\n"
        "a_bytes_total{pool=\"x\\\"\\\\\\ny\",c=\"}\"} 12\na_bytes_created{"
        "pool=\"x\\\"\\\\\\ny\",c=\"}\"} 1.5\n# EOF\n",
        says, sizeof says);

    ck_assert_msg(samples != NULL, "%s", says);
    assert_metric(samples, "a_bytes_total", "x\"\\\ny", 12);
    assert_metric(samples, "a_bytes_created", "x\"\\\ny", 1.5);
    json_decref(samples);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        openmetrics_has_what_a_program_did,
        counters_of_openmetrics_outlive_a_reset,
        names_come_through_as_they_are,
        those_named_or_all_and_each_once,
        pools_that_go_meanwhile_are_left_out,
        no_nonsense_in_the_counts_hurts,
        a_truncated_pool_is_left_out_and_reported,
        the_reader_reads_what_is_sound,
    };
    Suite *suite = TEST_SUITE("ctl openmetrics", tests, 30);
    TCase *loops = tcase_create("each of");

    tcase_set_timeout(loops, 30);
    tcase_add_loop_test(loops, the_reader_refuses_what_is_unsound, 0,
                        (int)(sizeof unsound / sizeof *unsound));
    suite_add_tcase(suite, loops);
    return test_run(suite);
}
