/* SPDX-License-Identifier: MIT
 *
 * Threads of one process on one pool: caches that come and go, slots that sleep in
 * other threads' caches, and races that may not lose or double anything.
 *
 * No test forks, so that ThreadSanitizer can watch.
 */
#include "api.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 1000

static fastalloc_pool *pool;

static void setup(void)
{
    pool = api_local(64, SLOTS);
}

static void teardown(void)
{
    require_ok(fastalloc_pool_close(pool));
}

static pthread_t start(void *(*run)(void *), void *argument)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, run, argument), 0);
    return thread;
}

static void run_alone(void *(*run)(void *), void *argument)
{
    pthread_join(start(run, argument), NULL);
}

/* Two that meet at each end of a test's phase. */
static pthread_barrier_t meeting;

static void meet(void)
{
    pthread_barrier_wait(&meeting);
}

/* --------------------------------------------------- threads come and go */

static void *use_one(void *argument)
{
    fastalloc_handle handle = api_alloc(pool);

    (void)argument;
    require_ok(fastalloc_free(pool, handle));
    return NULL;
}

START_TEST(what_a_thread_has_cached_goes_back_when_it_ends)
{
    int i;

    /* Each leaves a magazine of 15 or more behind: 200 would be three pools full. */
    for (i = 0; i < 200; i++)
        run_alone(use_one, NULL);
    api_require_whole(pool);
}
END_TEST

static void *look_for_a_cache(void *argument)
{
    fastalloc_pool *few = argument;

    require_ok(fastalloc_free(few, api_alloc(few)));
    return inlined_has_cache(few) ? argument : NULL;
}

START_TEST(an_ended_threads_cache_is_there_for_the_next)
{
    fastalloc_pool_config config = api_config("few", 64, SLOTS);
    fastalloc_pool *few;
    void *result;
    int i;

    config.max_threads = 2;
    require_ok(fastalloc_pool_create_local(&config, &few));
    for (i = 0; i < 50; i++) {
        pthread_join(start(look_for_a_cache, few), &result);
        ck_assert_msg(result == few, "thread %d has no cache", i);
    }
    require_ok(fastalloc_pool_close(few));
}
END_TEST

static void *hold_one(void *argument)
{
    *(fastalloc_handle *)argument = api_alloc(pool);
    return NULL;
}

START_TEST(what_a_thread_holds_stays_when_it_ends)
{
    fastalloc_handle handles[200];
    int i;

    for (i = 0; i < 200; i++)
        run_alone(hold_one, &handles[i]);
    ck_assert_uint_eq(api_info(pool).allocated, 200);
    for (i = 0; i < 200; i++)
        ck_assert_ptr_nonnull(fastalloc_get(pool, handles[i]));
    api_free_all(pool, handles, 200);
    api_require_whole(pool);
}
END_TEST

static void *fill_and_empty(void *argument)
{
    fastalloc_handle handles[SLOTS];
    size_t count = api_fill(pool, handles, SLOTS);

    *(size_t *)argument = count;
    api_free_all(pool, handles, count);
    return NULL;
}

START_TEST(threads_one_after_the_other_each_have_the_whole_pool)
{
    size_t count;
    int i;

    for (i = 0; i < 20; i++) {
        run_alone(fill_and_empty, &count);
        ck_assert_uint_eq(count, SLOTS);
    }
}
END_TEST

static void *churn_until_cancelled(void *argument)
{
    fastalloc_handle handles[40];
    int i;

    (void)argument;
    for (i = 0; i < 40; i++)
        handles[i] = api_alloc(pool);
    api_free_all(pool, handles, 40);
    meet();
    /* Check's macros write to a file, where a cancellation would be acted on. */
    for (;;) {
        if (fastalloc_alloc(pool, &handles[0], NULL) || fastalloc_free(pool, handles[0]))
            return NULL;
        pthread_testcancel();
    }
    return NULL;
}

START_TEST(cancellation_with_a_full_cache_gives_it_back)
{
    void *result;
    int i;

    pthread_barrier_init(&meeting, NULL, 2);
    for (i = 0; i < 50; i++) {
        pthread_t thread = start(churn_until_cancelled, NULL);

        meet();
        pthread_cancel(thread);
        pthread_join(thread, &result);
        ck_assert_ptr_eq(result, PTHREAD_CANCELED);
    }
    api_require_whole(pool);
}
END_TEST

/* Mostly in the slow path, which holds locks: that has to be finished. */
static void *fill_and_empty_for_ever(void *argument)
{
    fastalloc_handle handles[400];

    (void)argument;
    for (;;) {
        size_t freed = 0;

        /* All of it without a place where a cancellation may be acted on. */
        if (fastalloc_alloc_batch(pool, 400, handles, NULL) ||
            fastalloc_free_batch(pool, 400, handles, &freed))
            return NULL;
        fastalloc_thread_flush(pool);
        pthread_testcancel();
    }
    return NULL;
}

START_TEST(cancellation_does_not_break_into_a_call)
{
    void *result;
    int i;

    for (i = 0; i < 50; i++) {
        pthread_t thread = start(fill_and_empty_for_ever, NULL);

        api_sleep_ms(1);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        ck_assert_ptr_eq(result, PTHREAD_CANCELED);
    }
    api_require_whole(pool);
}
END_TEST

static void *leave_by_exit(void *argument)
{
    use_one(NULL);
    pthread_exit(argument);
}

START_TEST(pthread_exit_with_a_full_cache_gives_it_back)
{
    int i;

    for (i = 0; i < 200; i++)
        run_alone(leave_by_exit, NULL);
    api_require_whole(pool);
}
END_TEST

static pthread_key_t late_key;

static void use_late(void *argument)
{
    /* Runs after, or before, the library's own end of the thread: both have to do. */
    if (*(int *)argument > 0) {
        --*(int *)argument;
        pthread_setspecific(late_key, argument);
    }
    use_one(NULL);
}

static void *leave_late_work(void *argument)
{
    use_one(NULL);
    pthread_setspecific(late_key, argument);
    return NULL;
}

START_TEST(thread_specific_destructors_may_use_the_pool)
{
    int i, turns;

    ck_assert_int_eq(pthread_key_create(&late_key, use_late), 0);
    for (i = 0; i < 150; i++) {
        turns = i % 3;
        run_alone(leave_late_work, &turns);
    }
    api_require_whole(pool);
    pthread_key_delete(late_key);
}
END_TEST

/* -------------------------------------------------- more than have a cache */

static void *churn(void *argument)
{
    fastalloc_pool *mine = argument;
    fastalloc_handle handles[8];
    int turn, i;

    for (turn = 0; turn < 500; turn++) {
        for (i = 0; i < 8; i++) {
            void *object;

            require_ok(fastalloc_alloc(mine, &handles[i], &object));
            *(fastalloc_handle *)object = handles[i];
        }
        for (i = 0; i < 8; i++) {
            const fastalloc_handle *object = fastalloc_get(mine, handles[i]);

            ck_assert_ptr_nonnull(object);
            ck_assert_uint_eq(*object, handles[i]);
            require_ok(fastalloc_free(mine, handles[i]));
        }
    }
    return NULL;
}

static void run_many(fastalloc_pool *used, int count)
{
    pthread_t threads[32];
    int i;

    for (i = 0; i < count; i++)
        threads[i] = start(churn, used);
    for (i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    api_require_whole(used);
}

START_TEST(more_threads_than_caches_work_without)
{
    fastalloc_pool_config config = api_config("few", 64, SLOTS);
    fastalloc_pool *few;

    config.max_threads = 2;
    require_ok(fastalloc_pool_create_local(&config, &few));
    run_many(few, 8);
    require_ok(fastalloc_pool_close(few));
}
END_TEST

START_TEST(threads_share_a_pool_too_small_for_caches)
{
    fastalloc_pool *small = api_local(64, 100);

    run_many(small, 8);
    require_ok(fastalloc_pool_close(small));
}
END_TEST

START_TEST(threads_share_a_pool_that_just_suffices)
{
    /* 8 threads of 8: everybody always finds one, most of them in others' caches. */
    fastalloc_pool *tight = api_local(64, 256);

    run_many(tight, 32);
    require_ok(fastalloc_pool_close(tight));
}
END_TEST

/* -------------------------------------------------- asleep with a full cache */

static void *cache_and_sleep(void *argument)
{
    size_t count;

    (void)argument;
    fill_and_empty(&count);
    ck_assert_uint_eq(count, SLOTS);
    meet();
    meet();
    return NULL;
}

START_TEST(slots_in_a_sleeping_threads_cache_are_found)
{
    pthread_t thread;

    pthread_barrier_init(&meeting, NULL, 2);
    thread = start(cache_and_sleep, NULL);
    meet();
    api_require_whole(pool);
    meet();
    pthread_join(thread, NULL);
    api_require_whole(pool);
}
END_TEST

static void *cache_sleep_and_go_on(void *argument)
{
    int turn;

    for (turn = 0; turn < 20; turn++) {
        fill_and_empty(argument);
        ck_assert_uint_eq(*(size_t *)argument, SLOTS);
        meet();
        meet();
    }
    return NULL;
}

START_TEST(a_thread_whose_cache_was_taken_goes_on)
{
    pthread_t thread;
    size_t count;
    int turn;

    pthread_barrier_init(&meeting, NULL, 2);
    thread = start(cache_sleep_and_go_on, &count);
    for (turn = 0; turn < 20; turn++) {
        meet();
        api_require_whole(pool);
        meet();
    }
    pthread_join(thread, NULL);
    api_require_whole(pool);
}
END_TEST

static void *flush_and_sleep(void *argument)
{
    size_t count;

    (void)argument;
    fill_and_empty(&count);
    ck_assert(inlined_has_cache(pool));
    fastalloc_thread_flush(pool);
    ck_assert(!inlined_has_cache(pool));
    meet();
    meet();
    use_one(NULL);
    ck_assert(inlined_has_cache(pool));
    return NULL;
}

START_TEST(flushed_slots_are_there_for_others)
{
    pthread_t thread;

    pthread_barrier_init(&meeting, NULL, 2);
    thread = start(flush_and_sleep, NULL);
    meet();
    api_require_whole(pool);
    fastalloc_thread_flush(pool);
    meet();
    pthread_join(thread, NULL);
    api_require_whole(pool);
}
END_TEST

static void *stop_inside(void *argument)
{
    fastalloc_handle handles[SLOTS];

    (void)argument;
    ck_assert_uint_eq(api_fill(pool, handles, SLOTS), SLOTS);
    api_free_all(pool, handles, SLOTS);
    inlined_stop_inside(pool);
    meet();
    meet();
    inlined_go_on(pool);
    use_one(NULL);
    return NULL;
}

START_TEST(behind_a_thread_stopped_inside_a_call_it_says_stalled_in_time)
{
    fastalloc_handle handles[SLOTS], untouched = 99;
    pthread_t thread;
    size_t count = 0;
    int64_t began;
    int error;

    pthread_barrier_init(&meeting, NULL, 2);
    thread = start(stop_inside, NULL);
    meet();
    while ((error = fastalloc_alloc(pool, &handles[count], NULL)) == 0)
        count++;
    require_failure(error, FASTALLOC_E_STALLED, "stalled", "pool \"local\"", "in caches");
    ck_assert_uint_lt(count, SLOTS);
    began = api_now_us();
    require_failure(fastalloc_alloc(pool, &untouched, NULL), FASTALLOC_E_STALLED, "try again");
    ck_assert_int_lt(api_now_us() - began, 1000000); /* 250 ms, and a busy machine */
    ck_assert_uint_eq(untouched, 99);
    require_failure(fastalloc_pool_close(pool), FASTALLOC_E_BUSY, "close", "local");
    ck_assert_uint_eq(api_info(pool).allocated, count);
    meet();
    pthread_join(thread, NULL);
    api_free_all(pool, handles, count);
    api_require_whole(pool);
}
END_TEST

static void *stall_and_be_cancelled(void *argument)
{
    fastalloc_handle handle;

    while ((*(volatile int *)argument = fastalloc_alloc(pool, &handle, NULL)) == 0)
        ;
    pthread_testcancel();
    return NULL;
}

START_TEST(a_cancelled_thread_ends_the_call_first)
{
    pthread_t stopped, thread;
    void *result;
    volatile int error = 0;

    pthread_barrier_init(&meeting, NULL, 2);
    stopped = start(stop_inside, NULL);
    meet();
    thread = start(stall_and_be_cancelled, (void *)&error);
    api_sleep_ms(50);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    ck_assert_ptr_eq(result, PTHREAD_CANCELED);
    ck_assert_int_eq(error, FASTALLOC_E_STALLED);
    meet();
    pthread_join(stopped, NULL);
}
END_TEST

/* ------------------------------------------------------------------- races */

static fastalloc_handle contested;
static atomic_int told_free;

static void *free_contested(void *argument)
{
    (void)argument;
    meet();
    if (fastalloc_free(pool, contested) == 0)
        atomic_fetch_add(&told_free, 1);
    meet();
    return NULL;
}

START_TEST(one_handle_freed_by_two_at_once_is_free_once)
{
    int turn;

    pthread_barrier_init(&meeting, NULL, 2);
    for (turn = 0; turn < 200; turn++) {
        pthread_t first, second;

        contested = api_alloc(pool);
        told_free = 0;
        first = start(free_contested, NULL);
        second = start(free_contested, NULL);
        pthread_join(first, NULL);
        pthread_join(second, NULL);
        ck_assert_int_ge(told_free, 1);
        ck_assert_ptr_null(fastalloc_get(pool, contested));
    }
    api_require_whole(pool);
}
END_TEST

static atomic_long batches;

static void *allocate_batches(void *argument)
{
    fastalloc_handle handles[300];
    size_t freed;
    int turn;

    (void)argument;
    for (turn = 0; turn < 200; turn++) {
        int error = fastalloc_alloc_batch(pool, 300, handles, NULL);

        if (error) {
            ck_assert_msg(error == FASTALLOC_E_EXHAUSTED || error == FASTALLOC_E_STALLED, "%s",
                          fastalloc_error_name(error));
            continue;
        }
        atomic_fetch_add(&batches, 1);
        require_ok(fastalloc_free_batch(pool, 300, handles, &freed));
        ck_assert_uint_eq(freed, 300);
    }
    return NULL;
}

START_TEST(batches_that_compete_leave_nothing_behind)
{
    pthread_t threads[5];
    int i;

    for (i = 0; i < 5; i++)
        threads[i] = start(allocate_batches, NULL);
    for (i = 0; i < 5; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_gt(batches, 100);
    api_require_whole(pool);
}
END_TEST

/* A ring of handles: what one thread allocates another frees. */
#define RING 64
static _Atomic fastalloc_handle ring[RING];

static void *produce(void *argument)
{
    long i, count = (long)(intptr_t)argument;

    for (i = 0; i < count; i++) {
        void *object;
        fastalloc_handle handle;

        require_ok(fastalloc_alloc(pool, &handle, &object));
        *(uint64_t *)object = (uint64_t)i;
        while (atomic_load_explicit(&ring[i % RING], memory_order_acquire))
            sched_yield();
        atomic_store_explicit(&ring[i % RING], handle, memory_order_release);
    }
    return NULL;
}

START_TEST(what_one_thread_allocates_another_frees)
{
    enum { COUNT = 20000 };
    pthread_t producer = start(produce, (void *)(intptr_t)COUNT);
    long i;

    for (i = 0; i < COUNT; i++) {
        fastalloc_handle handle;

        while (!(handle = atomic_load_explicit(&ring[i % RING], memory_order_acquire)))
            sched_yield();
        ck_assert_uint_eq(*(uint64_t *)fastalloc_get(pool, handle), (uint64_t)i);
        require_ok(fastalloc_free(pool, handle));
        atomic_store_explicit(&ring[i % RING], FASTALLOC_NONE, memory_order_release);
    }
    pthread_join(producer, NULL);
    api_require_whole(pool);
}
END_TEST

static void *raise_root(void *argument)
{
    int i;

    (void)argument;
    for (i = 0; i < 2000; i++) {
        fastalloc_handle seen;

        do
            seen = fastalloc_pool_root(pool);
        while (fastalloc_pool_set_root(pool, seen, seen + 1));
    }
    return NULL;
}

START_TEST(the_root_changes_hands_one_at_a_time)
{
    pthread_t threads[4];
    int i;

    for (i = 0; i < 4; i++)
        threads[i] = start(raise_root, NULL);
    for (i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(fastalloc_pool_root(pool), 8000);
}
END_TEST

/* --------------------------------------------------------- errors, closing */

static void *fail_differently(void *argument)
{
    ck_assert_str_eq(fastalloc_last_error(), "");
    require_failure(fastalloc_free(pool, 7), FASTALLOC_E_HANDLE, "0x7");
    meet();
    meet();
    ck_assert_ptr_nonnull(strstr(fastalloc_last_error(), "0x7"));
    return argument;
}

START_TEST(the_last_error_is_each_threads_own)
{
    pthread_t thread;

    pthread_barrier_init(&meeting, NULL, 2);
    require_failure(fastalloc_free(pool, 9), FASTALLOC_E_HANDLE, "0x9");
    thread = start(fail_differently, NULL);
    meet();
    ck_assert_ptr_nonnull(strstr(fastalloc_last_error(), "0x9"));
    require_failure(fastalloc_free(pool, 11), FASTALLOC_E_HANDLE, "0xb");
    meet();
    pthread_join(thread, NULL);
}
END_TEST

static void *open_and_close_own(void *argument)
{
    int i;

    for (i = 0; i < 30; i++) {
        fastalloc_pool *own = api_local(32, 300);
        fastalloc_handle handles[300];

        ck_assert_uint_eq(api_fill(own, handles, 300), 300);
        use_one(NULL);
        require_ok(fastalloc_pool_close(own));
    }
    return argument;
}

START_TEST(pools_open_and_close_beside_each_other)
{
    pthread_t threads[4];
    int i;

    for (i = 0; i < 4; i++)
        threads[i] = start(open_and_close_own, NULL);
    for (i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    api_require_whole(pool);
}
END_TEST

static void *use_both_and_sleep(void *argument)
{
    fastalloc_pool **pools = argument;

    churn(pools[0]);
    meet();
    meet(); /* pools[0] is closed, pools[1] opened meanwhile, perhaps in its place */
    churn(pools[1]);
    return NULL;
}

START_TEST(a_thread_survives_the_closing_of_a_pool_it_used)
{
    fastalloc_pool *pools[2];
    pthread_t thread;

    pthread_barrier_init(&meeting, NULL, 2);
    pools[0] = api_local(64, SLOTS);
    thread = start(use_both_and_sleep, pools);
    meet();
    require_ok(fastalloc_pool_close(pools[0]));
    pools[1] = api_local(64, SLOTS);
    meet();
    pthread_join(thread, NULL);
    api_require_whole(pools[1]);
    require_ok(fastalloc_pool_close(pools[1]));
}
END_TEST

static atomic_bool looking_ends;

static void *look_at_it(void *argument)
{
    while (!looking_ends) {
        fastalloc_pool_info info = api_info(pool);

        ck_assert_uint_le(info.allocated, info.capacity);
        ck_assert_uint_eq(info.available, info.capacity - info.allocated);
    }
    return argument;
}

START_TEST(the_info_can_be_asked_for_while_others_work)
{
    pthread_t looker = start(look_at_it, NULL);

    run_many(pool, 4);
    looking_ends = true;
    pthread_join(looker, NULL);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_a_thread_has_cached_goes_back_when_it_ends,
        an_ended_threads_cache_is_there_for_the_next,
        what_a_thread_holds_stays_when_it_ends,
        threads_one_after_the_other_each_have_the_whole_pool,
        cancellation_with_a_full_cache_gives_it_back,
        cancellation_does_not_break_into_a_call,
        pthread_exit_with_a_full_cache_gives_it_back,
        thread_specific_destructors_may_use_the_pool,
        more_threads_than_caches_work_without,
        threads_share_a_pool_too_small_for_caches,
        threads_share_a_pool_that_just_suffices,
        slots_in_a_sleeping_threads_cache_are_found,
        a_thread_whose_cache_was_taken_goes_on,
        flushed_slots_are_there_for_others,
        behind_a_thread_stopped_inside_a_call_it_says_stalled_in_time,
        a_cancelled_thread_ends_the_call_first,
        one_handle_freed_by_two_at_once_is_free_once,
        batches_that_compete_leave_nothing_behind,
        what_one_thread_allocates_another_frees,
        the_root_changes_hands_one_at_a_time,
        the_last_error_is_each_threads_own,
        pools_open_and_close_beside_each_other,
        a_thread_survives_the_closing_of_a_pool_it_used,
        the_info_can_be_asked_for_while_others_work,
        NULL,
    };

    return api_run("threads", tests, setup, teardown, 30);
}
