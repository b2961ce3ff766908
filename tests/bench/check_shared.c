/* SPDX-License-Identifier: MIT
 *
 * check_shared: what the workloads of many measure with: histogram, ring, cells, crew.
 */
#include "tests/support/pool.h"

#include "tests/bench/crew.h"
#include "tests/bench/shared.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ----------------------------------------------------------------- histogram */

static struct bench_histogram histogram, other;

START_TEST(a_value_is_known_to_one_part_in_256)
{
    uint64_t value;

    for (value = 1; value < UINT64_C(1) << (BENCH_HISTOGRAM_TOP - 1); value += value / 97 + 1) {
        double got;

        memset(&histogram, 0, sizeof histogram);
        bench_histogram_add(&histogram, value);
        bench_histogram_add(&histogram, UINT64_MAX);
        got = histogram_value(&histogram, 0.5);
        ck_assert_msg(fabs(got - (double)value) * 256 <= (double)value, "%llu reads as %f",
                      (unsigned long long)value, got);
        if (value < 2u << BENCH_HISTOGRAM_FINE)
            ck_assert(got == (double)value);
    }
}
END_TEST

START_TEST(buckets_follow_each_other_without_a_gap)
{
    uint64_t value;
    unsigned power;

    for (value = 0; value < 100000; value++)
        ck_assert_uint_le(bench_histogram_bucket(value + 1) - bench_histogram_bucket(value), 1);
    for (power = 1; power < BENCH_HISTOGRAM_TOP; power++)
        ck_assert_uint_eq(bench_histogram_bucket(UINT64_C(1) << power),
                          bench_histogram_bucket((UINT64_C(1) << power) - 1) + 1);
    ck_assert_uint_eq(bench_histogram_bucket((UINT64_C(1) << BENCH_HISTOGRAM_TOP) - 1),
                      BENCH_HISTOGRAM_BUCKETS - 1);
    ck_assert_uint_eq(bench_histogram_bucket(UINT64_MAX), BENCH_HISTOGRAM_BUCKETS - 1);
}
END_TEST

START_TEST(fractions_are_those_of_all_values)
{
    static const double fractions[] = {0.001, 0.5, 0.99, 0.999};
    uint64_t value;
    size_t i;

    for (value = 1; value <= 100000; value++)
        bench_histogram_add(value % 2 ? &histogram : &other, value);
    histogram_merge(&histogram, &other);
    ck_assert_uint_eq(histogram.count, 100000);
    for (i = 0; i < sizeof fractions / sizeof *fractions; i++)
        ck_assert_double_eq_tol(histogram_value(&histogram, fractions[i]) / 1e5, fractions[i],
                                fractions[i] / 256);
    ck_assert(histogram_value(&histogram, 1) == 100000);
}
END_TEST

START_TEST(no_fraction_is_above_the_highest_value)
{
    ck_assert(histogram_value(&histogram, 0.5) == 0);
    ck_assert(histogram_value(&histogram, 1) == 0);
    bench_histogram_add(&histogram, 1000000 / 128 * 128);
    ck_assert(histogram_value(&histogram, 0.999) == 1000000 / 128 * 128);
}
END_TEST

START_TEST(ticks_go_forward)
{
    uint64_t before = bench_ticks();

    usleep(1000);
    ck_assert_uint_gt(bench_ticks(), before);
}
END_TEST

/* ---------------------------------------------------------------------- ring */

#define TOKENS 1000003u /* no whole bursts, no whole rounds */

static struct bench_ring ring;

static void *put_tokens(void *none)
{
    uint64_t token;

    for (token = 1; token <= TOKENS; token++)
        bench_ring_put(&ring, token);
    bench_ring_publish(&ring);
    return none;
}

START_TEST(a_ring_passes_every_token_once_and_in_order)
{
    pthread_t producer;
    uint64_t token;

    ck_assert_int_eq(pthread_create(&producer, NULL, put_tokens, NULL), 0);
    for (token = 1; token <= TOKENS; token++)
        ck_assert_uint_eq(bench_ring_take(&ring), token);
    pthread_join(producer, NULL);
    ck_assert_uint_eq(ring.put, ring.taken);
}
END_TEST

START_TEST(cells_are_emptied_once_by_somebody)
{
    static struct bench_cells cells;
    size_t found = 0, member, at;

    for (at = 0; at < BENCH_CELLS; at += 2)
        ck_assert_uint_eq(bench_cells_swap(&cells, at, at + 1), 0);
    for (member = 0; member < 3; member++) {
        size_t mine = cells_empty(&cells, member, 3, &ring);

        for (found += mine; mine; mine--)
            ck_assert_uint_eq((bench_ring_take(&ring) - 1) % 3, member);
    }
    ck_assert_uint_eq(found, BENCH_CELLS / 2);
    for (at = 0; at < BENCH_CELLS; at++)
        ck_assert_uint_eq(cells.cells[at].token, 0);
}
END_TEST

/* ---------------------------------------------------------------------- crew */

#define MEMBERS 4u
#define MEETINGS 50u

struct notes {
    unsigned joined, left, came[MEETINGS], early;
};

static struct notes *notes;

static void *join(void *state)
{
    __atomic_add_fetch(&notes->joined, 1u, __ATOMIC_RELAXED);
    return state;
}

static void leave(void *state)
{
    (void)state;
    __atomic_add_fetch(&notes->left, 1u, __ATOMIC_RELAXED);
}

static const struct bench_implementation nobody = {.name = "nobody", .join = join, .leave = leave};

static void meet_often(const struct crew_task *task, unsigned member, void *state)
{
    unsigned i;

    (void)member, (void)state;
    for (i = 0; i < MEETINGS; i++) {
        __atomic_add_fetch(&notes->came[i], 1u, __ATOMIC_RELAXED);
        crew_meet(task);
        if (__atomic_load_n(&notes->came[i], __ATOMIC_RELAXED) != task->members)
            __atomic_add_fetch(&notes->early, 1u, __ATOMIC_RELAXED);
    }
}

static void count_until_stopped(const struct crew_task *task, unsigned member, void *state)
{
    (void)state;
    while (crew_phase(task) != CREW_STOP) {
        crew_count(task, member, 3);
        usleep(100);
    }
}

static struct crew_task new_task(bool processes,
                                 void (*act)(const struct crew_task *, unsigned, void *))
{
    struct crew_task task = {
        .implementation = &nobody, .processes = processes, .members = MEMBERS, .act = act};

    notes = shared_map(sizeof *notes);
    return task;
}

START_TEST(nobody_passes_a_meeting_before_all_have_come)
{
    struct crew_task task = new_task(_i, meet_often);

    crew_start(&task);
    ck_assert_uint_eq(notes->joined, MEMBERS);
    ck_assert_uint_eq(notes->came[0], 0);
    crew_go(&task, CREW_COUNT);
    crew_finish(&task);
    ck_assert_uint_eq(notes->left, MEMBERS);
    ck_assert_uint_eq(notes->came[MEETINGS - 1], MEMBERS);
    ck_assert_uint_eq(notes->early, 0);
}
END_TEST

START_TEST(the_leader_reads_what_all_have_counted)
{
    struct crew_task task = new_task(_i, count_until_stopped);
    struct crew_sum before, after;

    crew_start(&task);
    before = crew_sum(&task);
    ck_assert_uint_eq(before.done, 0);
    crew_go(&task, CREW_COUNT);
    do
        crew_sleep(1);
    while ((after = crew_sum(&task)).done < MEMBERS * 6);
    ck_assert_uint_eq(after.done % 3, 0);
    ck_assert(after.when > before.when);
    crew_go(&task, CREW_STOP);
    crew_finish(&task);
    ck_assert_uint_eq(notes->left, MEMBERS);
}
END_TEST

START_TEST(a_member_that_is_killed_can_be_replaced)
{
    struct crew_task task = new_task(true, count_until_stopped);
    unsigned i;

    crew_start(&task);
    crew_go(&task, CREW_COUNT);
    for (i = 0; i < 10; i++) {
        while (!crew_is_working(&task, i % 2))
            crew_sleep(0.1);
        crew_kill(&task, i % 2);
        while (!crew_replace(&task, i % 2))
            crew_sleep(0.1);
    }
    while (!crew_is_working(&task, 0) || !crew_is_working(&task, 1))
        crew_sleep(0.1);
    crew_go(&task, CREW_STOP);
    crew_finish(&task);
    ck_assert_uint_eq(notes->joined, MEMBERS + 10);
    ck_assert_uint_eq(notes->left, MEMBERS);
}
END_TEST

/* A pipe whose writing end only they have tells when the last of them is gone. */
START_TEST(members_end_with_a_leader_that_is_killed)
{
    struct crew_task task = new_task(true, count_until_stopped);
    int ends[2], status;
    pid_t leader;
    char byte;

    ck_assert_int_eq(pipe(ends), 0);
    leader = fork();
    ck_assert_int_ge(leader, 0);
    if (leader == 0) {
        crew_start(&task);
        crew_go(&task, CREW_COUNT);
        raise(SIGKILL);
    }
    close(ends[1]);
    ck_assert_int_eq(waitpid(leader, &status, 0), leader);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_uint_eq(notes->joined, MEMBERS);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_value_is_known_to_one_part_in_256,
        buckets_follow_each_other_without_a_gap,
        fractions_are_those_of_all_values,
        no_fraction_is_above_the_highest_value,
        ticks_go_forward,
        a_ring_passes_every_token_once_and_in_order,
        cells_are_emptied_once_by_somebody,
        a_member_that_is_killed_can_be_replaced,
        members_end_with_a_leader_that_is_killed,
    };
    Suite *suite = TEST_SUITE("shared", tests, 20);
    TCase *kinds = tcase_create("threads and processes");

    tcase_set_timeout(kinds, 20);
    tcase_add_loop_test(kinds, nobody_passes_a_meeting_before_all_have_come, 0, 2);
    tcase_add_loop_test(kinds, the_leader_reads_what_all_have_counted, 0, 2);
    suite_add_tcase(suite, kinds);
    return test_run(suite);
}
