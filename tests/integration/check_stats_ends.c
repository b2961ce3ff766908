/* SPDX-License-Identifier: MIT
 *
 * check_stats_ends: the statistics of many: threads and processes that come, work and end.
 */
#include "counted.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define pool both_pool

static fastalloc_handle held[6000];

/* A death counts at the very end of its sweep.  The test's time limit is the limit. */
static void await_deaths(uint64_t count)
{
    while (counted(pool).deaths < count)
        api_sleep_ms(1);
}

/* --------------------------------------------------------- threads and processes */

enum { THREADS = 3, PROCESSES = 3, STEPS = 20000, MOST = 60 };

struct labour {
    uint64_t allocated, freed, failed, kept;
};

static void *labour(void *argument)
{
    struct labour *done = argument;
    fastalloc_handle mine[MOST];
    uint64_t random = (uintptr_t)&mine ^ ((uint64_t)getpid() << 32 | 1);
    unsigned count = 0, i;

    for (i = 0; i < STEPS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        if (count < MOST && (count == 0 || (random >> 40) % 9 < 4 + (random >> 60) % 2)) {
            if (fastalloc_alloc(pool, &mine[count], NULL)) {
                done->failed++;
            } else {
                done->allocated++;
                count++;
            }
        } else {
            child_require(fastalloc_free(pool, mine[--count]) == 0);
            done->freed++;
        }
        if (i % 5000 == 0) {
            fastalloc_stats stats = {.struct_size = sizeof stats};

            child_require(fastalloc_pool_stats(pool, &stats) == 0);
            child_require(stats.peak_usage <= stats.capacity);
        }
    }
    done->kept = count;
    return NULL;
}

/* Its threads end; what they have left the process leaves to the sweep. */
static void labour_all(int channel, void *argument)
{
    struct labour sum = {0}, done[THREADS];
    fastalloc_stats stats = {.struct_size = sizeof stats};
    pthread_t threads[THREADS];
    unsigned i;

    (void)argument;
    memset(done, 0, sizeof done);
    for (i = 0; i < THREADS; i++)
        child_require(pthread_create(&threads[i], NULL, labour, &done[i]) == 0);
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum.allocated += done[i].allocated;
        sum.freed += done[i].freed;
        sum.failed += done[i].failed;
        sum.kept += done[i].kept;
    }
    child_require(fastalloc_session_stats(pool, fastalloc_pool_session(pool), &stats) == 0);
    child_require(stats.total_allocations == sum.allocated);
    child_require(stats.total_deallocations == sum.freed);
    child_require(stats.allocation_failures == sum.failed);
    child_require(stats.current_usage == sum.kept);
    channel_put(channel, sum.allocated);
    channel_put(channel, sum.freed);
    channel_put(channel, sum.failed);
    channel_put(channel, sum.kept);
    channel_take(channel);
}

START_TEST(threads_of_processes_count_all_they_do)
{
    static const size_t capacities[] = {120, 400, 6000};
    struct child children[PROCESSES];
    struct labour sum;
    fastalloc_stats stats;
    unsigned c, i;

    for (c = 0; c < 3; c++) {
        counted_begin(_i, capacities[c]);
        memset(&sum, 0, sizeof sum);
        held[0] = api_alloc(pool);
        for (i = 0; i < PROCESSES; i++)
            child_start(&children[i], labour_all, NULL);
        for (i = 0; i < PROCESSES; i++) {
            sum.allocated += channel_take(children[i].channel);
            sum.freed += channel_take(children[i].channel);
            sum.failed += channel_take(children[i].channel);
            sum.kept += channel_take(children[i].channel);
        }
        stats = counted(pool);
        ck_assert_uint_eq(stats.total_allocations, sum.allocated + 1);
        ck_assert_uint_eq(stats.total_deallocations, sum.freed);
        ck_assert_uint_eq(stats.allocation_failures, sum.failed);
        ck_assert_uint_eq(stats.current_usage, sum.kept + 1);
        ck_assert_uint_eq(stats.reclaimed, 0);
        ck_assert_uint_eq(stats.deaths, 0);
        counted_require_sum();
        for (i = 0; i < PROCESSES; i++) {
            channel_put(children[i].channel, 0);
            child_join(&children[i]);
        }
        /* In a local pool it is an allocation in vain, or a newcomer, that sweeps. */
        if (_i == BOTH_LOCAL)
            api_free_all(pool, held + 1, api_fill(pool, held + 1, capacities[c]));
        ck_assert(api_allocated_becomes(pool, 1));
        await_deaths(PROCESSES);
        stats = counted(pool);
        ck_assert_uint_eq(stats.reclaimed, sum.kept);
        ck_assert_uint_eq(stats.deaths, PROCESSES);
        counted_require_sum();
        require_ok(fastalloc_free(pool, held[0]));
        both_end(_i);
    }
}
END_TEST

static void free_what_comes(int channel, void *argument)
{
    uint64_t count = channel_take(channel);

    (void)argument;
    while (count--)
        child_require(fastalloc_free(pool, channel_take(channel)) == 0);
    channel_put(channel, fastalloc_pool_session(pool));
    channel_take(channel);
}

START_TEST(who_frees_need_not_be_who_allocated)
{
    fastalloc_stats stats;
    struct child child;
    uint32_t session;
    unsigned i;

    counted_begin(_i, 1000);
    child_start(&child, free_what_comes, NULL);
    channel_put(child.channel, 300);
    for (i = 0; i < 300; i++)
        channel_put(child.channel, api_alloc(pool));
    session = (uint32_t)channel_take(child.channel);
    stats = counted_session(session);
    ck_assert_uint_eq(stats.total_deallocations, 300);
    ck_assert_uint_eq(stats.total_allocations, 0);
    ck_assert_uint_eq(counted_session(fastalloc_pool_session(pool)).total_allocations, 300);
    counted_require(0, 300, 300, 0);
    channel_put(child.channel, 0);
    child_join(&child);
    both_end(_i);
}
END_TEST

/* -------------------------------------------------------------------- sessions */

static void count_in_a_child(int channel, void *argument)
{
    fastalloc_stats stats = {.struct_size = sizeof stats};
    fastalloc_handle mine[20];

    (void)argument;
    child_require(fastalloc_session_stats(pool, fastalloc_pool_session(pool), &stats) == 0);
    child_require(stats.total_allocations == 0 && stats.current_usage == 0);
    child_require(fastalloc_alloc_batch(pool, 20, mine, NULL) == 0);
    child_require(fastalloc_free_batch(pool, 5, mine, NULL) == 0);
    child_require(fastalloc_ref(pool, held[0]) == 0);
    channel_put(channel, fastalloc_pool_session(pool));
    channel_take(channel);
}

START_TEST(a_sessions_figures_are_its_own_from_its_beginning)
{
    uint32_t me, first = 0, session;
    fastalloc_stats stats;
    struct child child;
    int round;

    counted_begin(_i, 1000);
    me = fastalloc_pool_session(pool);
    require_ok(fastalloc_alloc_batch(pool, 100, held, NULL));
    require_ok(fastalloc_share(pool, held[0]));
    /* More rounds than there are numbers. */
    for (round = 0; round < 20; round++) {
        child_start(&child, count_in_a_child, NULL);
        session = (uint32_t)channel_take(child.channel);
        first = first ? first : session;
        stats = counted_session(session);
        ck_assert_uint_eq(stats.session, session);
        ck_assert_uint_eq(stats.total_allocations, 20);
        ck_assert_uint_eq(stats.total_deallocations, 5);
        ck_assert_uint_eq(stats.current_usage, 16); /* one of these it only holds */
        ck_assert_uint_eq(stats.capacity, 1000);
        ck_assert_uint_eq(stats.peak_usage + stats.max_capacity + stats.available +
                              stats.reclaimed + stats.deaths + stats.exchanges,
                          0);
        ck_assert_double_eq(stats.utilization_rate + stats.hit_rate + stats.cache_rate, 0.0);
        channel_put(child.channel, 0);
        child_join(&child);
    }
    stats = counted_session(me);
    ck_assert_uint_eq(stats.total_allocations, 100);
    ck_assert_uint_eq(stats.total_deallocations, 0);
    ck_assert_uint_eq(stats.current_usage, 100);
    ck_assert(_i == BOTH_LOCAL || api_allocated_becomes(pool, 100));
    ck_assert_uint_eq(counted(pool).total_allocations, 500);
    ck_assert_uint_eq(counted(pool).total_deallocations, 100);
    /* A reset is the pool's. */
    require_ok(fastalloc_pool_stats_reset(pool));
    ck_assert_uint_eq(counted_session(me).total_allocations, 100);
    ck_assert_uint_eq(counted(pool).total_allocations, 0);
    both_end(_i);
}
END_TEST

/* ---------------------------------------------------------------------- deaths */

static void hold_some(int channel, void *argument)
{
    (void)argument;
    child_require(fastalloc_alloc_batch(pool, 25, held, NULL) == 0);
    channel_put(channel, 0);
    channel_take(channel);
}

static void attach_only(int channel, void *argument)
{
    (void)channel;
    (void)argument;
    child_require(fastalloc_pool_session(pool) != 0);
}

START_TEST(a_death_is_counted_and_its_reclaim_timed)
{
    fastalloc_stats stats;
    struct child child, newcomer;
    int64_t began;
    unsigned i;

    counted_begin(_i, 1000);
    for (i = 1; i <= 3; i++) {
        child_start(&child, hold_some, NULL);
        channel_take(child.channel);
        began = api_now_us();
        child_kill(&child);
        if (_i == BOTH_LOCAL) {
            child_start(&newcomer, attach_only, NULL);
            child_join(&newcomer);
        }
        ck_assert(api_allocated_becomes(pool, 0));
        began = api_now_us() - began;
        /* The slots are there before their sweep is over. */
        await_deaths(i);
        do
            stats = counted(pool);
        while (stats.reclaims < i);
        ck_assert_uint_eq(stats.reclaims, i);
        ck_assert_uint_eq(stats.reclaimed, 25 * i);
        ck_assert_uint_ge(stats.deaths, i);
        ck_assert_uint_gt(stats.reclaim_last_ns, 0);
        ck_assert_uint_le(stats.reclaim_last_ns, (uint64_t)began * 1000 + 100000000);
        ck_assert_uint_ge(stats.reclaim_most_ns, stats.reclaim_last_ns);
        ck_assert_uint_ge(stats.reclaim_most_ns, stats.reclaim_mean_ns);
        ck_assert_uint_gt(stats.reclaim_mean_ns, 0);
        counted_require_sum();
    }
    require_ok(fastalloc_pool_stats_reset(pool));
    stats = counted(pool);
    ck_assert_uint_eq(stats.reclaims + stats.reclaimed + stats.deaths + stats.reclaim_most_ns, 0);
    both_end(_i);
}
END_TEST

START_TEST(what_expires_counts_as_reclaimed)
{
    struct child newcomer;
    unsigned i;

    counted_begin(_i, 100);
    for (i = 0; i < 12; i++)
        require_ok(fastalloc_leave(pool, api_alloc(pool), fastalloc_deadline(1)));
    counted_require_sum();
    if (_i == BOTH_LOCAL) {
        api_sleep_ms(250);
        child_start(&newcomer, attach_only, NULL);
        child_join(&newcomer);
    }
    ck_assert(api_allocated_becomes(pool, 0));
    ck_assert_uint_eq(counted(pool).reclaimed, 12);
    ck_assert_uint_eq(counted(pool).total_deallocations, 0);
    counted_require_sum();
    both_end(_i);
}
END_TEST

START_TEST(a_closed_pool_counts_as_an_end_with_slots)
{
    fastalloc_pool *other;
    fastalloc_stats stats;

    counted_begin(BOTH_DAEMON, 1000);
    require_ok(fastalloc_pool_open(both_client, "counted", NULL, &other));
    require_ok(fastalloc_alloc_batch(other, 40, held, NULL));
    ck_assert_uint_eq(counted(other).total_allocations, 40);
    require_ok(fastalloc_pool_close(other));
    ck_assert(api_allocated_becomes(pool, 0));
    await_deaths(1);
    stats = counted(pool);
    ck_assert_uint_eq(stats.deaths, 1);
    ck_assert_uint_eq(stats.reclaimed, 40);
    counted_require_sum();
    both_end(BOTH_DAEMON);
}
END_TEST

START_TEST(statistics_outlive_the_daemon)
{
    fastalloc_stats before, after;

    counted_begin(BOTH_DAEMON, 1000);
    require_ok(fastalloc_alloc_batch(pool, 60, held, NULL));
    api_free_all(pool, held, 20);
    before = counted(pool);
    test_daemon_kill(&both_daemon);
    require_ok(fastalloc_free(pool, held[20]));
    test_daemon_run(&both_daemon);
    require_ok(fastalloc_free(pool, held[21]));
    after = counted(pool);
    ck_assert_uint_eq(after.total_allocations, before.total_allocations);
    ck_assert_uint_eq(after.total_deallocations, before.total_deallocations + 2);
    ck_assert_uint_eq(after.peak_usage, before.peak_usage);
    counted_require_sum();
    both_end(BOTH_DAEMON);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        threads_of_processes_count_all_they_do,
        who_frees_need_not_be_who_allocated,
        a_sessions_figures_are_its_own_from_its_beginning,
        a_death_is_counted_and_its_reclaim_timed,
        what_expires_counts_as_reclaimed,
        NULL,
    };
    const TTest *const once[] = {
        a_closed_pool_counts_as_an_end_with_slots,
        statistics_outlive_the_daemon,
        NULL,
    };

    return both_run("ends in statistics", of_both, once, 120);
}
