/* SPDX-License-Identifier: MIT
 *
 * check_stats: the statistics of a process: each way an allocation and a free can go counts once;
 * the peak; what a reset does.
 */
#include "counted.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define pool both_pool

static fastalloc_handle held[6000];

static void require_line(const char *line)
{
    fastalloc_stats stats = counted(pool);
    char text[200];

    ck_assert_int_eq(fastalloc_stats_report(&stats, FASTALLOC_REPORT_LINE, text, sizeof text),
                     (int)strlen(line));
    ck_assert_str_eq(text, line);
}

/* ----------------------------------------------------------- step by step */

START_TEST(each_step_shows)
{
    fastalloc_stats stats;
    size_t i;

    counted_begin(_i, 100);
    require_line("Pool: 0/100 (0.0%) | Allocs: 0 | Deallocs: 0 | Failures: 0");
    stats = counted(pool);
    ck_assert_double_eq(stats.hit_rate, 1.0);
    ck_assert_double_eq(stats.cache_rate, 1.0);
    ck_assert_uint_eq(stats.available, 100);
    ck_assert_uint_eq(stats.max_capacity, 100);
    ck_assert_str_eq(stats.name, "counted");
    ck_assert_uint_eq(stats.session, 0);
    for (i = 0; i < 50; i++) {
        held[i] = api_alloc(pool);
        stats = counted(pool);
        ck_assert_uint_eq(stats.total_allocations, i + 1);
        ck_assert_uint_eq(stats.current_usage, i + 1);
        ck_assert_uint_eq(stats.peak_usage, i + 1);
        ck_assert_uint_eq(stats.available, 99 - i);
    }
    for (i = 0; i < 20; i++)
        require_ok(fastalloc_free(pool, held[i]));
    require_line("Pool: 30/100 (30.0%) | Allocs: 50 | Deallocs: 20 | Failures: 0");
    stats = counted(pool);
    ck_assert_double_eq(stats.utilization_rate, 30.0);
    ck_assert_double_eq(stats.peak_utilization_rate, 50.0);
    ck_assert_double_eq(stats.hit_rate, 1.0);
    counted_require_sum();
    api_free_all(pool, held + 20, 30);
    both_end(_i);
}
END_TEST

/* The library's functions and the inlined ones, batches, scopes. */
START_TEST(every_way_to_allocate_and_free_counts)
{
    static const size_t capacities[] = {200, 5000};
    fastalloc_handle handle;
    size_t c, freed;

    for (c = 0; c < 2; c++) {
        counted_begin(_i, capacities[c]);
        require_ok(fastalloc_alloc_batch(pool, 150, held, NULL));
        counted_require(150, 150, 0, 0);
        require_ok(fastalloc_free_batch(pool, 150, held, &freed));
        ck_assert_int_ne(fastalloc_free_batch(pool, 150, held, &freed), 0);
        ck_assert_uint_eq(counted(pool).total_deallocations, 150);
        require_ok(inlined_alloc(pool, &handle, NULL));
        require_ok(inlined_free(pool, handle));
        require_ok(fastalloc_alloc_wait(pool, &handle, NULL, fastalloc_deadline(1000)));
        require_ok(fastalloc_free(pool, handle));
        ck_assert_int_eq(fastalloc_free(pool, handle), FASTALLOC_E_DOUBLE_FREE);
        {
            FASTALLOC_AUTO fastalloc_owned owned = fastalloc_own(pool);

            ck_assert_int_eq(owned.error, 0);
        }
        /* A shared slot is one allocation, and its last reference one free. */
        handle = api_alloc(pool);
        require_ok(fastalloc_share(pool, handle));
        require_ok(fastalloc_ref(pool, handle));
        require_ok(fastalloc_unref(pool, handle));
        ck_assert_uint_eq(counted(pool).total_deallocations, 153);
        require_ok(fastalloc_unref(pool, handle));
        counted_require(0, 154, 154, 0);
        ck_assert_uint_eq(counted(pool).waits, 0);
        both_end(_i);
    }
}
END_TEST

START_TEST(a_failure_counts_once_and_what_it_had_as_freed)
{
    static const size_t capacities[] = {100, 300};
    fastalloc_handle handle, more[50];
    fastalloc_stats stats;
    size_t c;

    for (c = 0; c < 2; c++) {
        size_t slots = capacities[c];

        counted_begin(_i, slots);
        require_ok(fastalloc_alloc_batch(pool, slots - 10, held, NULL));
        ck_assert_int_eq(fastalloc_alloc_batch(pool, 50, more, NULL), FASTALLOC_E_EXHAUSTED);
        stats = counted(pool);
        ck_assert_uint_eq(stats.allocation_failures, 1);
        ck_assert_uint_eq(stats.total_allocations, slots);
        ck_assert_uint_eq(stats.total_deallocations, 10);
        ck_assert_uint_eq(stats.peak_usage, slots);
        ck_assert_double_eq(stats.peak_utilization_rate, 100.0);
        require_ok(fastalloc_alloc_batch(pool, 10, held + slots - 10, NULL));
        ck_assert_int_eq(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_EXHAUSTED);
        ck_assert_int_eq(inlined_alloc(pool, &handle, NULL), FASTALLOC_E_EXHAUSTED);
        ck_assert_int_eq(fastalloc_own(pool).error, FASTALLOC_E_EXHAUSTED);
        ck_assert_int_eq(fastalloc_alloc_wait(pool, &handle, NULL, 0), FASTALLOC_E_TIMEOUT);
        stats = counted(pool);
        ck_assert_uint_eq(stats.allocation_failures, 5);
        ck_assert_uint_eq(stats.waits, 0); /* it was over before it could sleep */
        ck_assert_double_eq_tol(stats.hit_rate, ((double)slots + 10) / ((double)slots + 15), 1e-9);
        ck_assert_int_eq(fastalloc_alloc_wait(pool, &handle, NULL, fastalloc_deadline(30)),
                         FASTALLOC_E_TIMEOUT);
        stats = counted(pool);
        ck_assert_uint_eq(stats.allocation_failures, 6);
        ck_assert_uint_eq(stats.waits, 1);
        ck_assert_uint_eq(counted_session(fastalloc_pool_session(pool)).allocation_failures, 6);
        ck_assert_int_eq(fastalloc_alloc(pool, NULL, NULL), FASTALLOC_E_INVALID);
        ck_assert_uint_eq(counted(pool).allocation_failures, 6);
        counted_require_sum();
        api_free_all(pool, held, slots);
        both_end(_i);
    }
}
END_TEST

static void *free_after_a_while(void *argument)
{
    api_sleep_ms(50);
    require_ok(fastalloc_free(pool, *(fastalloc_handle *)argument));
    return NULL;
}

START_TEST(who_slept_for_a_slot_waited_once)
{
    fastalloc_handle handle;
    fastalloc_stats stats;
    pthread_t thread;

    counted_begin(_i, 10);
    ck_assert_uint_eq(api_fill(pool, held, 10), 10);
    require_ok(fastalloc_pool_stats_reset(pool));
    ck_assert_int_eq(pthread_create(&thread, NULL, free_after_a_while, &held[0]), 0);
    require_ok(fastalloc_alloc_wait(pool, &handle, NULL, fastalloc_deadline(10000)));
    pthread_join(thread, NULL);
    stats = counted(pool);
    ck_assert_uint_eq(stats.waits, 1);
    ck_assert_uint_eq(stats.allocation_failures, 0);
    ck_assert_uint_eq(stats.total_allocations, 1);
    ck_assert_uint_eq(stats.total_deallocations, 1);
    both_end(_i);
}
END_TEST

/* It takes a slot and gives it back, to see whether there is one. */
START_TEST(the_thread_behind_an_event_counts_what_it_takes_as_freed)
{
    fastalloc_handle handle;
    fastalloc_stats stats;
    uint64_t times;
    int descriptor;

    counted_begin(_i, 300);
    require_ok(fastalloc_pool_event(pool, &descriptor));
    ck_assert_uint_eq(api_fill(pool, held, 300), 300);
    ck_assert_int_eq(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_EXHAUSTED);
    api_sleep_ms(20);
    require_ok(fastalloc_free(pool, held[0]));
    while (read(descriptor, &times, sizeof times) < 0)
        api_sleep_ms(1);
    stats = counted(pool);
    ck_assert_uint_eq(stats.total_allocations, 301);
    ck_assert_uint_eq(stats.total_deallocations, 2);
    ck_assert_uint_eq(stats.waits, 0);
    ck_assert_uint_eq(stats.allocation_failures, 1);
    counted_require_sum();
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------------------ the peak */

START_TEST(the_peak_is_documented)
{
    static const size_t capacities[] = {100, 255, 300, 3000, 6000};
    static const size_t magazines[] = {0, 0, 15, 63, 127};
    size_t c, k, n;

    for (c = 0; c < 5; c++) {
        counted_begin(_i, capacities[c]);
        for (k = 1; k <= 3; k++) {
            n = capacities[c] * k / 4;
            require_ok(fastalloc_alloc_batch(pool, n, held, NULL));
            api_free_all(pool, held, n);
            ck_assert_uint_le(counted(pool).peak_usage, n);
            ck_assert_uint_ge(counted(pool).peak_usage + 2 * magazines[c] + capacities[c] / 512, n);
        }
        require_ok(fastalloc_alloc_batch(pool, 10, held, NULL));
        require_ok(fastalloc_pool_stats_reset(pool));
        ck_assert_uint_eq(counted(pool).peak_usage, 10);
        api_free_all(pool, held, 10);
        ck_assert_uint_eq(counted(pool).peak_usage, 10);
        require_ok(fastalloc_pool_stats_reset(pool));
        ck_assert_uint_eq(counted(pool).peak_usage, 0);
        counted_require(0, 0, 0, 0);
        both_end(_i);
    }
}
END_TEST

/* What the cache serves nobody sees, but who reads; and then it stays. */
START_TEST(reading_notes_the_peak)
{
    counted_begin(_i, 1000);
    require_ok(fastalloc_alloc_batch(pool, 10, held, NULL));
    api_free_all(pool, held, 10);
    require_ok(fastalloc_pool_stats_reset(pool));
    ck_assert(inlined_has_cache(pool));
    require_ok(fastalloc_alloc_batch(pool, 5, held, NULL));
    ck_assert_uint_eq(counted(pool).exchanges, 0);
    ck_assert_double_eq(counted(pool).cache_rate, 1.0);
    api_free_all(pool, held, 5);
    ck_assert_uint_eq(counted(pool).peak_usage, 5);
    both_end(_i);
}
END_TEST

START_TEST(growth_counts)
{
    fastalloc_pool_config config = api_config("growing", 64, 10);
    fastalloc_stats stats;

    config.growth = FASTALLOC_GROWTH_LINEAR;
    config.growth_amount = 10;
    config.max_capacity = 40;
    config.low_water = FASTALLOC_NO_LOW_WATER;
    both_begin(_i, &config);
    require_ok(fastalloc_alloc_batch(pool, 25, held, NULL));
    stats = counted(pool);
    ck_assert_uint_eq(stats.growth_count, 2);
    ck_assert_uint_eq(stats.capacity, 30);
    ck_assert_uint_eq(stats.max_capacity, 40);
    ck_assert_uint_eq(stats.peak_usage, 25);
    require_ok(fastalloc_pool_stats_reset(pool));
    ck_assert_uint_eq(counted(pool).growth_count, 0);
    ck_assert_uint_eq(counted(pool).capacity, 30);
    ck_assert_int_eq(fastalloc_alloc_batch(pool, 20, held + 25, NULL), FASTALLOC_E_MAX_CAPACITY);
    ck_assert_uint_eq(counted(pool).growth_count, 1);
    ck_assert_uint_eq(counted(pool).allocation_failures, 1);
    ck_assert_uint_eq(counted(pool).peak_usage, 40);
    api_free_all(pool, held, 25);
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------------------------ hooks */

static int initialize(fastalloc_pool *of, fastalloc_handle handle, void *object, uint32_t flags,
                      void *argument)
{
    (void)of;
    (void)handle;
    (void)object;
    (void)flags;
    ++*(int *)argument;
    return 0;
}

static int refuse_odd(fastalloc_pool *of, fastalloc_handle handle, void *object, uint32_t flags,
                      void *argument)
{
    (void)of;
    (void)handle;
    (void)object;
    (void)flags;
    return ++*(int *)argument % 2;
}

START_TEST(initialising_ahead_of_use_is_no_allocation)
{
    fastalloc_pool_config config = api_config("eager", 64, 400);
    int count = 0;

    config.initialization = FASTALLOC_INIT_EAGER;
    config.initialize = initialize;
    config.hook_argument = &count;
    both_begin(_i, &config);
    ck_assert_int_eq(count, 400);
    counted_require(0, 0, 0, 0);
    ck_assert_uint_eq(counted(pool).peak_usage, 0);
    held[0] = api_alloc(pool);
    ck_assert_uint_eq(counted(pool).total_allocations, 1);
    ck_assert_uint_eq(counted(pool).peak_usage, 1);
    counted_require_sum();
    both_end(_i);
}
END_TEST

START_TEST(what_a_hook_refuses_is_a_failure_and_was_freed)
{
    fastalloc_pool_config config = api_config("refusing", 64, 400);
    fastalloc_handle handle;
    int count = 0, i;

    config.on_acquire = refuse_odd;
    config.hook_argument = &count;
    both_begin(_i, &config);
    for (i = 0; i < 20; i++)
        if (i % 2)
            require_ok(fastalloc_alloc(pool, &handle, NULL));
        else
            ck_assert_int_eq(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_HOOK);
    counted_require(10, 20, 10, 10);
    ck_assert_double_eq(counted(pool).hit_rate, 20.0 / 30.0);
    require_ok(fastalloc_free(pool, handle));
    counted_require(9, 20, 11, 10);
    counted_require_sum();
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------------------- arguments */

START_TEST(arguments_are_checked)
{
    fastalloc_stats stats = {.struct_size = sizeof stats - 8}, before = stats;
    char text[10];

    counted_begin(_i, 10);
    require_failure(fastalloc_pool_stats(pool, &stats), FASTALLOC_E_INVALID, "struct_size");
    require_failure(fastalloc_session_stats(pool, 1, &stats), FASTALLOC_E_INVALID, "struct_size");
    ck_assert_mem_eq(&stats, &before, sizeof stats);
    stats.struct_size = sizeof stats;
    require_failure(fastalloc_pool_stats(NULL, &stats), FASTALLOC_E_INVALID, "pool is NULL");
    require_failure(fastalloc_pool_stats(pool, NULL), FASTALLOC_E_INVALID, "stats is NULL");
    require_failure(fastalloc_session_stats(NULL, 1, &stats), FASTALLOC_E_INVALID, "pool is NULL");
    require_failure(fastalloc_session_stats(pool, 1, NULL), FASTALLOC_E_INVALID, "stats is NULL");
    require_failure(fastalloc_pool_stats_reset(NULL), FASTALLOC_E_INVALID, "pool is NULL");
    require_failure(fastalloc_session_stats(pool, 0, &stats), FASTALLOC_E_SESSION, "\"counted\"",
                    "session 0");
    require_failure(fastalloc_session_stats(pool, 16, &stats), FASTALLOC_E_SESSION, "session 16",
                    "1 to 16");
    require_failure(fastalloc_session_stats(pool, 17, &stats), FASTALLOC_E_SESSION, "session 17");
    require_failure(fastalloc_stats_report(NULL, 0, text, sizeof text), FASTALLOC_E_INVALID,
                    "stats is NULL");
    require_failure(fastalloc_stats_report(&stats, 0, NULL, 1), FASTALLOC_E_INVALID, "buffer");
    require_failure(fastalloc_stats_report(&stats, 3, text, sizeof text), FASTALLOC_E_INVALID,
                    "form 3");
    stats.struct_size = 0;
    require_failure(fastalloc_stats_report(&stats, 0, text, sizeof text), FASTALLOC_E_INVALID,
                    "struct_size");
    both_end(_i);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        each_step_shows,
        every_way_to_allocate_and_free_counts,
        a_failure_counts_once_and_what_it_had_as_freed,
        who_slept_for_a_slot_waited_once,
        the_thread_behind_an_event_counts_what_it_takes_as_freed,
        the_peak_is_documented,
        reading_notes_the_peak,
        growth_counts,
        initialising_ahead_of_use_is_no_allocation,
        what_a_hook_refuses_is_a_failure_and_was_freed,
        arguments_are_checked,
        NULL,
    };
    const TTest *const once[] = {
        NULL,
    };

    return both_run("stats", of_both, once, 60);
}
