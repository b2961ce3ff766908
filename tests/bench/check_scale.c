/* SPDX-License-Identifier: MIT
 *
 * The simulation of bench-scale: it is the same each time, agrees with what has a formula, and
 * with the library where counts, not times, are compared.
 */
#include "tests/bench/scale.h"
#include "tests/support/pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void ck_near(const char *what, double seen, double expected, double tolerance)
{
    ck_assert_msg(fabs(seen - expected) <= tolerance * expected,
                  "%s is %g, by the formula %g: more than %g %% off", what, seen, expected,
                  tolerance * 100);
}

static struct scale_outcome simulate(const struct scale_setting *set)
{
    struct scale_outcome outcome;
    struct scale_costs costs;

    scale_costs_round(&costs);
    scale_simulate(&costs, set, &outcome);
    return outcome;
}

static double round_cost(enum scale_cost cost)
{
    struct scale_costs costs;

    scale_costs_round(&costs);
    return costs.of[cost].median;
}

START_TEST(the_same_seed_gives_the_same_outcome)
{
    struct scale_setting set = {.workload = SCALE_HANDOVER,
                                .threads = 24,
                                .cores = 8,
                                .depots = 4,
                                .magazine = 63,
                                .spare = 500,
                                .run_ns = 9e6,
                                .seed = 7};
    struct scale_outcome first = simulate(&set), second = simulate(&set);

    ck_assert_mem_eq(&first, &second, sizeof first);
    ck_assert_double_gt(first.exchanges, 0);
    set.workload = SCALE_WALK;
    set.magazine = 15;
    first = simulate(&set);
    set.seed = 8;
    second = simulate(&set);
    ck_assert_double_ne(first.ops_each, second.ops_each);
}
END_TEST

START_TEST(a_handover_exchanges_once_a_magazine)
{
    struct scale_setting set = {.workload = SCALE_HANDOVER,
                                .threads = 2,
                                .cores = 2,
                                .depots = 2,
                                .magazine = 63,
                                .spare = 5000,
                                .run_ns = 8e6};
    struct scale_outcome outcome = simulate(&set);

    ck_near("operations an exchange", outcome.ops_each, 63, 0.01);
}
END_TEST

/* From a level of one magazine and a half, a burst of ten takes nine from depots and brings nine
 * back. */
START_TEST(a_burst_exchanges_what_it_is_larger_than_the_cache)
{
    struct scale_setting set = {.workload = SCALE_BURST,
                                .threads = 1,
                                .cores = 1,
                                .depots = 4,
                                .magazine = 100,
                                .burst = 1000,
                                .spare = 2000,
                                .run_ns = 5e6};
    struct scale_outcome outcome = simulate(&set);

    ck_near("operations an exchange", outcome.ops_each, 2000. / 18, 0.01);
    set.burst = 100;
    outcome = simulate(&set);
    ck_assert_double_eq(outcome.exchanges, 0);
}
END_TEST

/* The level after an exchange is M - 1 of 0 to 2M, or as far from the other end; a fair walk from
 * there needs M (M + 2) steps to leave. */
START_TEST(a_walk_exchanges_once_in_the_square_of_a_magazine)
{
    struct scale_setting set = {.workload = SCALE_WALK,
                                .threads = 1,
                                .cores = 1,
                                .depots = 4,
                                .magazine = 31,
                                .spare = 4000,
                                .run_ns = 40e6,
                                .seed = 1};
    struct scale_outcome outcome = simulate(&set);

    ck_near("operations an exchange", outcome.ops_each, 31 * 33, 0.05);
}
END_TEST

START_TEST(the_wait_for_one_depot_is_that_of_pollaczek_and_khinchine)
{
    struct scale_setting set = {.workload = SCALE_POISSON,
                                .threads = 200,
                                .cores = 200,
                                .depots = 1,
                                .magazine = 127,
                                .waits = true,
                                .run_ns = 16e6};
    double hold = round_cost(SCALE_HOLD), use;
    struct scale_outcome outcome;

    for (use = 0.3; use < 0.8; use += 0.2) {
        set.think_ns = set.threads * hold / use;
        outcome = simulate(&set);
        ck_near("use", outcome.use_mean, use, 0.02);
        ck_near("wait", outcome.wait_ns, scale_wait_md1(hold, outcome.use_mean), 0.05);
    }
}
END_TEST

START_TEST(those_who_find_all_depots_locked_are_as_many_as_erlang_says)
{
    struct scale_setting set = {.workload = SCALE_POISSON,
                                .threads = 400,
                                .cores = 400,
                                .depots = 4,
                                .magazine = 127,
                                .run_ns = 8e6};
    double hold = round_cost(SCALE_HOLD), load;
    struct scale_outcome outcome;

    for (load = 1; load <= 4; load *= 2) {
        set.think_ns = set.threads * hold / load;
        outcome = simulate(&set);
        ck_near("share of those turned away", outcome.shut, scale_erlang_loss(4, load), 0.05);
    }
}
END_TEST

START_TEST(a_depot_serves_one_after_the_other)
{
    struct scale_setting set = {.workload = SCALE_BURST,
                                .threads = 32,
                                .cores = 32,
                                .depots = 1,
                                .magazine = 31,
                                .burst = 1000,
                                .spare = 2000,
                                .waits = true,
                                .run_ns = 2e6};
    struct scale_outcome outcome = simulate(&set);

    ck_near("use", outcome.use_mean, 1, 0.01);
    ck_near("exchanges", outcome.exchanges, 1e3 / round_cost(SCALE_HOLD_AFAR), 0.03);
}
END_TEST

START_TEST(formulas_give_the_values_of_textbooks)
{
    ck_near("loss of one server", scale_erlang_loss(1, 1), 0.5, 1e-12);
    ck_near("loss of four", scale_erlang_loss(4, 2), 2. / 21, 1e-12);
    ck_near("load of ten at a hundredth", scale_erlang_load(10, 0.01), 4.4612, 1e-4);
    ck_near("wait at 0.8", scale_wait_md1(100, 0.8), 200, 1e-12);
}
END_TEST

START_TEST(costs_are_read_as_they_were_written)
{
    char path[] = "check_scale_XXXXXX", line[256];
    struct scale_costs written, read;
    FILE *file;
    int descriptor = mkstemp(path);

    ck_assert_int_ge(descriptor, 0);
    scale_costs_round(&written);
    memset(&read, 0, sizeof read);
    ck_assert_int_eq(scale_costs_write(&written, path), 0);
    ck_assert_int_eq(scale_costs_read(&read, path), 0);
    ck_assert_mem_eq(&written, &read, sizeof read);

    /* The first cost alone is not enough; nor is what is no number. */
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    snprintf(line, sizeof line, "%s 1 1 ns\n", scale_cost_names[0]);
    fputs(line, file);
    fclose(file);
    ck_assert_int_eq(scale_costs_read(&read, path), -1);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("op 1 many ns\n", file);
    fclose(file);
    ck_assert_int_eq(scale_costs_read(&read, path), -1);
    ck_assert_mem_eq(&written, &read, sizeof read);
    close(descriptor);
    unlink(path);
}
END_TEST

START_TEST(a_pool_of_a_hundred_million_slots_keeps_the_bound_of_metadata)
{
    const uint64_t slots = 100000000;
    const uint32_t threads = 4096;
    struct geometry geometry;

    ck_assert_int_eq(scale_plan(slots, 64, threads, 1000, 0, &geometry), 0);
    ck_assert_uint_eq(geometry.max_capacity, slots);
    ck_assert_uint_le(geometry.guard_at,
                      14 * slots + 1024 * (64 + geometry.sessions) + 1536 * (uint64_t)threads);
    ck_assert_uint_ge(64 - geometry.index_bits, 37);
}
END_TEST

/* Counts, not times: what a burst exchanges, by the pool's statistics. */
START_TEST(the_library_exchanges_as_often_as_the_simulation)
{
    struct scale_setting set = {
        .workload = SCALE_BURST, .threads = 1, .cores = 1, .burst = 1000, .spare = 2000};
    struct scale_outcome outcome;
    struct scale_run run;

    scale_run_shape(1, &set.magazine, &set.depots);
    set.run_ns = 5e6;
    outcome = simulate(&set);
    ck_assert(scale_run(&set, 0.1, &run));
    ck_assert_double_gt(run.mops, 0);
    ck_near("operations an exchange", run.ops_each, outcome.ops_each, 0.15);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        the_same_seed_gives_the_same_outcome,
        a_handover_exchanges_once_a_magazine,
        a_burst_exchanges_what_it_is_larger_than_the_cache,
        a_walk_exchanges_once_in_the_square_of_a_magazine,
        the_wait_for_one_depot_is_that_of_pollaczek_and_khinchine,
        those_who_find_all_depots_locked_are_as_many_as_erlang_says,
        a_depot_serves_one_after_the_other,
        formulas_give_the_values_of_textbooks,
        costs_are_read_as_they_were_written,
        a_pool_of_a_hundred_million_slots_keeps_the_bound_of_metadata,
        the_library_exchanges_as_often_as_the_simulation,
    };

    return test_run(TEST_SUITE("scale", tests, 20));
}
