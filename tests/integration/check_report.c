/* SPDX-License-Identifier: MIT
 *
 * check_report: the three forms of a report on statistics.
 */
#include "api.h"

#include <string.h>

static const fastalloc_stats example = {
    .struct_size = sizeof example,
    .name = "orders",
    .total_allocations = 50,
    .total_deallocations = 20,
    .allocation_failures = 7,
    .waits = 3,
    .current_usage = 30,
    .peak_usage = 45,
    .capacity = 100,
    .max_capacity = 400,
    .available = 70,
    .growth_count = 2,
    .exchanges = 9,
    .reclaimed = 11,
    .deaths = 4,
    .reclaims = 5,
    .reclaim_last_ns = 1234567,
    .reclaim_most_ns = 9876543210,
    .reclaim_mean_ns = 1999999,
    .utilization_rate = 30,
    .peak_utilization_rate = 45,
    .hit_rate = 50.0 / 57.0,
    .cache_rate = 0.82,
};

START_TEST(a_report_is_cut_as_snprintf_cuts)
{
    char whole[4096], part[4096];
    uint32_t form;
    size_t size;
    int length;

    for (form = 0; form < 3; form++) {
        length = fastalloc_stats_report(&example, form, NULL, 0);
        ck_assert_int_gt(length, 40);
        ck_assert_int_eq(fastalloc_stats_report(&example, form, whole, sizeof whole), length);
        ck_assert_uint_eq(strlen(whole), (size_t)length);
        for (size = 1; size <= (size_t)length + 3; size++) {
            memset(part, 'x', sizeof part);
            ck_assert_int_eq(fastalloc_stats_report(&example, form, part, size), length);
            ck_assert_uint_eq(strlen(part), size - 1 < (size_t)length ? size - 1 : (size_t)length);
            ck_assert_int_eq(strncmp(part, whole, strlen(part)), 0);
            ck_assert_int_eq(part[size], 'x');
        }
        memset(part, 'x', sizeof part);
        ck_assert_int_eq(fastalloc_stats_report(&example, form, part, 0), length);
        ck_assert_int_eq(part[0], 'x');
    }
}
END_TEST

START_TEST(the_line_is_the_documented_one)
{
    fastalloc_stats stats = example;
    char line[200];

    fastalloc_stats_report(&stats, FASTALLOC_REPORT_LINE, line, sizeof line);
    ck_assert_str_eq(line, "Pool: 30/100 (30.0%) | Allocs: 50 | Deallocs: 20 | Failures: 7");
    stats.session = 3;
    fastalloc_stats_report(&stats, FASTALLOC_REPORT_LINE, line, sizeof line);
    ck_assert_str_eq(line, "Session 3: 30/100 (30.0%) | Allocs: 50 | Deallocs: 20 | Failures: 7");
    stats = (fastalloc_stats){.struct_size = sizeof stats};
    fastalloc_stats_report(&stats, FASTALLOC_REPORT_LINE, line, sizeof line);
    ck_assert_str_eq(line, "Pool: 0/0 (0.0%) | Allocs: 0 | Deallocs: 0 | Failures: 0");
}
END_TEST

START_TEST(the_pairs_are_all_the_figures)
{
    static const char expected[] = "name=orders\n"
                                   "session=0\n"
                                   "total_allocations=50\n"
                                   "total_deallocations=20\n"
                                   "allocation_failures=7\n"
                                   "waits=3\n"
                                   "current_usage=30\n"
                                   "peak_usage=45\n"
                                   "capacity=100\n"
                                   "max_capacity=400\n"
                                   "available=70\n"
                                   "growth_count=2\n"
                                   "exchanges=9\n"
                                   "reclaimed=11\n"
                                   "deaths=4\n"
                                   "reclaims=5\n"
                                   "reclaim_last_ns=1234567\n"
                                   "reclaim_most_ns=9876543210\n"
                                   "reclaim_mean_ns=1999999\n"
                                   "utilization_rate=30.0000\n"
                                   "peak_utilization_rate=45.0000\n"
                                   "hit_rate=0.877193\n"
                                   "cache_rate=0.820000\n";
    char text[2000];

    fastalloc_stats_report(&example, FASTALLOC_REPORT_PAIRS, text, sizeof text);
    ck_assert_str_eq(text, expected);
}
END_TEST

/* The column that a line's number ends in: the last digit before the unit. */
static size_t number_ends(const char *line)
{
    size_t end = 0;

    while (line[end] && line[end] != '\n' && end < 2 + 16 + 20)
        end++;
    return end;
}

START_TEST(the_text_has_its_numbers_in_one_column)
{
    static const char *const words[] = {
        "In use",    "Peak",         "Available",       "Capacity",     "Max capacity",
        "Growths",   "Allocations",  "Deallocations",   "Failures",     "Waits",
        "Exchanges", "Hit rate",     "Cache rate",      "Deaths",       "Reclaimed",
        "Reclaims",  "Last reclaim", "Longest reclaim", "Mean reclaim",
    };
    char text[4000], *line, *rest;
    size_t i = 0;

    fastalloc_stats_report(&example, FASTALLOC_REPORT_TEXT, text, sizeof text);
    line = strtok_r(text, "\n", &rest);
    ck_assert_str_eq(line, "Pool \"orders\"");
    while ((line = strtok_r(NULL, "\n", &rest))) {
        ck_assert_uint_lt(i, sizeof words / sizeof words[0]);
        ck_assert_msg(strncmp(line + 2, words[i], strlen(words[i])) == 0, "%s", line);
        ck_assert_msg(number_ends(line) == 38 && line[37] >= '0' && line[37] <= '9' &&
                          (line[38] == '\0' || line[38] == ' '),
                      "%s", line);
        i++;
    }
    ck_assert_uint_eq(i, sizeof words / sizeof words[0]);
    fastalloc_stats_report(&example, FASTALLOC_REPORT_TEXT, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "1.235 ms"));
    ck_assert_ptr_nonnull(strstr(text, "9876.543 ms"));
    ck_assert_ptr_nonnull(strstr(text, "87.72 %"));
    ck_assert_ptr_nonnull(strstr(text, "45.0 % of capacity"));
}
END_TEST

/* What somebody else filled in. */
START_TEST(a_report_bears_any_figures)
{
    fastalloc_stats stats;
    char text[4000];
    uint32_t form;

    memset(&stats, 0xff, sizeof stats); /* a name without an end, rates that are no numbers */
    stats.struct_size = sizeof stats;
    for (form = 0; form < 3; form++)
        ck_assert_int_gt(fastalloc_stats_report(&stats, form, text, sizeof text), 0);
    stats = example;
    stats.hit_rate = -1;
    stats.cache_rate = 1e300;
    ck_assert_int_gt(fastalloc_stats_report(&stats, FASTALLOC_REPORT_PAIRS, text, sizeof text), 0);
    ck_assert_ptr_nonnull(strstr(text, "hit_rate=0.000000\n"));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_report_is_cut_as_snprintf_cuts, the_line_is_the_documented_one,
        the_pairs_are_all_the_figures,    the_text_has_its_numbers_in_one_column,
        a_report_bears_any_figures,       NULL,
    };

    return api_run("report", tests, NULL, NULL, 20);
}
