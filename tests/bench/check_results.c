/* SPDX-License-Identifier: MIT
 *
 * What the benchmark makes of its measurements: medians, spreads, and the ratios that are held
 * against the goals.
 */
#include "tests/support/pool.h"

#include "tests/bench/goals.h"
#include "tests/bench/results.h"
#include "tests/bench/suite.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each test has a process of its own. */
static struct results results;

static void add(const char *implementation, const char *workload, int figure, double value)
{
    ck_assert_ptr_nonnull(suite_find(workload));
    results_add(&results, implementation, suite_find(workload), figure, value);
}

static void add_loops(const char *implementation, double pair, double batch100, double churn1024)
{
    add(implementation, "pair", 0, pair);
    add(implementation, "batch100", 0, batch100);
    add(implementation, "churn1024", 0, churn1024);
}

/* The ratios that the results tell. */
static json_t *told(void)
{
    FILE *nowhere = fopen("/dev/null", "we");
    json_t *list;

    ck_assert_ptr_nonnull(nowhere);
    results_settle(&results);
    list = goals_report(&results, nowhere);
    fclose(nowhere);
    return list;
}

/* The ratio of the one to the other; NULL: it was not told. */
static json_t *ratio(json_t *list, const char *of, const char *to)
{
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        json_t *one = json_array_get(list, i);
        const char *other = json_string_value(json_object_get(one, "to"));

        if (!strcmp(json_string_value(json_object_get(one, "of")), of) &&
            !strcmp(other ? other : "", to))
            return one;
    }
    return NULL;
}

/* The only ratio there is, of fastalloc-inline to something. */
static void assert_only_ratio(const char *to, double value, bool met)
{
    json_t *list = told(), *one;

    ck_assert_uint_eq(json_array_size(list), 1);
    one = ratio(list, "fastalloc-inline", to);
    ck_assert_ptr_nonnull(one);
    ck_assert_double_eq_tol(json_real_value(json_object_get(one, "value")), value, 1e-9);
    ck_assert_int_eq(json_is_true(json_object_get(one, "met")), met);
    json_decref(list);
}

START_TEST(the_median_of_an_even_number_lies_between_the_two_in_the_middle)
{
    const double values[] = {8, 1, 2, 4};
    const struct result *result;
    size_t i;

    for (i = 0; i < 4; i++)
        add("malloc", "pair", 0, values[i]);
    results_settle(&results);
    result = results_find(&results, "malloc", "pair");
    ck_assert_ptr_nonnull(result);
    ck_assert_double_eq(result->median, 3);
    ck_assert_double_eq(result->min, 1);
    ck_assert_double_eq(result->max, 8);
    /* The values stay in the order of the repeats. */
    ck_assert_double_eq(result->values[0], 8);
}
END_TEST

START_TEST(the_spread_is_half_the_distance_between_the_quartiles)
{
    int i;

    for (i = 0; i < 9; i++)
        add("malloc", "pair", 0, i * i);
    results_settle(&results);
    ck_assert_double_eq(results_find(&results, "malloc", "pair")->spread, (36.0 - 4.0) / 2);
}
END_TEST

START_TEST(figures_have_the_names_and_units_that_the_suite_says)
{
    const struct workload *create = suite_find("create");
    int i;

    for (i = 0; i < suite_figures(create); i++)
        add("fastalloc", "create", i, i + 1);
    ck_assert_str_eq(results_find(&results, "fastalloc", "create")->unit, "ms");
    ck_assert_str_eq(results_find(&results, "fastalloc", "create-ratio")->unit, "ratio");
    ck_assert_ptr_null(results_find(&results, "fastalloc", "create-"));
}
END_TEST

START_TEST(loops_are_compared_by_their_geometric_mean)
{
    add_loops("fastalloc-inline", 1, 2, 4);
    add_loops("malloc", 4, 4, 4);
    assert_only_ratio("malloc", 0.5, true);
}
END_TEST

START_TEST(a_ratio_beyond_its_bound_is_not_met)
{
    add_loops("fastalloc-inline", 4, 4, 4);
    add_loops("malloc", 4, 4, 4);
    assert_only_ratio("malloc", 1, false);
}
END_TEST

START_TEST(a_ratio_that_lacks_a_figure_is_not_told)
{
    json_t *list;

    add_loops("fastalloc-inline", 1, 2, 4);
    add("malloc", "pair", 0, 4);
    list = told();
    ck_assert_uint_eq(json_array_size(list), 0);
    json_decref(list);
}
END_TEST

START_TEST(handover_is_compared_without_the_ring)
{
    add("fastalloc-inline", "handover", 0, 20);
    add("boost-node", "handover", 0, 50);
    add("ring", "handover", 0, 10);
    assert_only_ratio("boost-node", 4, true);
}
END_TEST

START_TEST(scaling_is_the_median_of_what_each_repeat_says)
{
    /* By the medians it would be 200 / 100, as with private lists. */
    const double ones[] = {100, 50, 400}, twos[] = {180, 200, 600};
    int i;

    for (i = 0; i < 3; i++) {
        add("fastalloc-inline", "processes-1", 0, ones[i]);
        add("fastalloc-inline", "processes-2", 0, twos[i]);
        add("bare-array", "processes-1", 0, 1000);
        add("bare-array", "processes-2", 0, 2000);
    }
    assert_only_ratio("bare-array", 0.9, false);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        the_median_of_an_even_number_lies_between_the_two_in_the_middle,
        the_spread_is_half_the_distance_between_the_quartiles,
        figures_have_the_names_and_units_that_the_suite_says,
        loops_are_compared_by_their_geometric_mean,
        a_ratio_beyond_its_bound_is_not_met,
        a_ratio_that_lacks_a_figure_is_not_told,
        handover_is_compared_without_the_ring,
        scaling_is_the_median_of_what_each_repeat_says,
    };

    return test_run(TEST_SUITE("results", tests, 10));
}
