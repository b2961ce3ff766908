/* SPDX-License-Identifier: MIT
 *
 * Allocations that wait for a slot, by the public functions.
 */
#include "both.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define pool both_pool
#define SLOTS 300

static fastalloc_handle held[4096];

static void begin_full(int kind, size_t slots)
{
    fastalloc_pool_config config = api_config("waited for", 64, slots);

    config.max_sessions = 16;
    both_begin(kind, &config);
    ck_assert_uint_eq(api_fill(pool, held, slots), slots);
}

/* What a thread that waited came to. */
struct waiter {
    pthread_t thread;
    uint64_t deadline;
    int error;
    fastalloc_handle handle;
    int64_t ended_us;
};

static void *wait_for_one(void *argument)
{
    struct waiter *waiter = argument;

    waiter->error = fastalloc_alloc_wait(pool, &waiter->handle, NULL, waiter->deadline);
    waiter->ended_us = api_now_us();
    return NULL;
}

static void start(struct waiter *waiter, uint64_t deadline)
{
    *waiter = (struct waiter){.deadline = deadline};
    ck_assert_int_eq(pthread_create(&waiter->thread, NULL, wait_for_one, waiter), 0);
}

static void join(struct waiter *waiter, int error)
{
    ck_assert_int_eq(pthread_join(waiter->thread, NULL), 0);
    ck_assert_msg(waiter->error == error, "the waiter heard %s",
                  fastalloc_error_name(waiter->error));
}

/* ----------------------------------------------------------------- woken by */

START_TEST(a_free_of_another_thread_wakes)
{
    struct waiter waiter;
    int64_t freed;
    int i;

    begin_full(_i, SLOTS);
    for (i = 0; i < 20; i++) {
        start(&waiter, FASTALLOC_FOREVER);
        /* Before it looks, while it does, when it sleeps. */
        api_sleep_ms(i);
        freed = api_now_us();
        require_ok(fastalloc_free(pool, held[i]));
        join(&waiter, 0);
        ck_assert_int_lt(waiter.ended_us - freed, 1000000);
        held[i] = waiter.handle;
    }
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(a_free_on_the_fast_path_wakes)
{
    struct waiter waiter;

    /* This thread's cache takes what it frees: the waiter has to have shut its lane. */
    begin_full(_i, SLOTS);
    require_ok(fastalloc_free(pool, held[0]));
    held[0] = api_alloc(pool);
    ck_assert(inlined_has_cache(pool));
    start(&waiter, FASTALLOC_FOREVER);
    api_sleep_ms(50);
    require_ok(inlined_free(pool, held[0]));
    join(&waiter, 0);
    held[0] = waiter.handle;
    /* With nobody waiting the lane is open again. */
    require_ok(inlined_free(pool, held[0]));
    require_ok(inlined_alloc(pool, &held[0], NULL));
    ck_assert(inlined_has_cache(pool));
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

static void free_when_told(int channel, void *argument)
{
    fastalloc_handle handle;

    (void)argument;
    while ((handle = channel_take(channel)) != FASTALLOC_NONE) {
        child_require(fastalloc_free(pool, handle) == 0);
        channel_put(channel, 0);
    }
}

START_TEST(a_free_in_another_process_wakes)
{
    struct waiter waiter;
    struct child child;
    int i;

    begin_full(_i, SLOTS);
    child_start(&child, free_when_told, NULL);
    for (i = 0; i < 20; i++) {
        start(&waiter, FASTALLOC_FOREVER);
        api_sleep_ms(i);
        channel_put(child.channel, held[i]);
        channel_take(child.channel);
        join(&waiter, 0);
        held[i] = waiter.handle;
    }
    channel_put(child.channel, FASTALLOC_NONE);
    child_join(&child);
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

static void hold_one(int channel, void *argument)
{
    fastalloc_handle handle;

    (void)argument;
    channel_put(channel, (uint64_t)-fastalloc_alloc(pool, &handle, NULL));
    channel_take(channel);
}

START_TEST(the_sweep_of_a_dead_process_wakes)
{
    struct waiter waiter;
    struct child child;
    int64_t killed;

    begin_full(_i, SLOTS);
    require_ok(fastalloc_free(pool, held[0]));
    child_start(&child, hold_one, NULL);
    ck_assert_uint_eq(channel_take(child.channel), 0);
    start(&waiter, FASTALLOC_FOREVER);
    api_sleep_ms(50);
    killed = api_now_us();
    child_kill(&child);
    join(&waiter, 0);
    ck_assert_int_lt(waiter.ended_us - killed, 1000000);
    held[0] = waiter.handle;
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(growth_wakes)
{
    fastalloc_pool_config config = api_config("waited for", 64, SLOTS);
    struct waiter waiter;

    config.max_capacity = 2 * SLOTS;
    both_begin(_i, &config);
    ck_assert_uint_eq(api_fill(pool, held, SLOTS), SLOTS);
    start(&waiter, FASTALLOC_FOREVER);
    api_sleep_ms(50);
    require_ok(fastalloc_pool_grow(pool, SLOTS + 1));
    join(&waiter, 0);
    require_ok(fastalloc_free(pool, waiter.handle));
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(who_waits_in_a_pool_that_can_grow_grows_it)
{
    fastalloc_pool_config config = api_config("waited for", 64, SLOTS);
    struct waiter waiter;

    config.growth = FASTALLOC_GROWTH_LINEAR;
    config.growth_amount = 1;
    config.max_capacity = SLOTS + 1;
    both_begin(_i, &config);
    ck_assert_uint_eq(api_fill(pool, held, SLOTS), SLOTS);
    start(&waiter, FASTALLOC_FOREVER);
    join(&waiter, 0);
    held[SLOTS] = waiter.handle;
    start(&waiter, fastalloc_deadline(50));
    join(&waiter, FASTALLOC_E_TIMEOUT);
    api_free_all(pool, held, SLOTS + 1);
    both_end(_i);
}
END_TEST

START_TEST(destruction_wakes)
{
    struct waiter waiter;

    begin_full(BOTH_DAEMON, SLOTS);
    start(&waiter, FASTALLOC_FOREVER);
    api_sleep_ms(50);
    require_ok(fastalloc_pool_destroy(both_client, "waited for"));
    join(&waiter, FASTALLOC_E_DESTROYED);
    api_free_all(pool, held, SLOTS);
    both_end(BOTH_DAEMON);
}
END_TEST

START_TEST(closing_calls_waiters_off)
{
    struct waiter waiters[4];
    int i;

    begin_full(_i, SLOTS);
    for (i = 0; i < 4; i++)
        start(&waiters[i], FASTALLOC_FOREVER);
    api_sleep_ms(50);
    require_failure(fastalloc_pool_close(pool), FASTALLOC_E_BUSY, "waited for");
    for (i = 0; i < 4; i++)
        join(&waiters[i], FASTALLOC_E_BUSY);
    /* One that came to nothing is nothing to those who wait later. */
    start(&waiters[0], FASTALLOC_FOREVER);
    api_sleep_ms(20);
    require_ok(fastalloc_free(pool, held[0]));
    join(&waiters[0], 0);
    both_end(_i);
}
END_TEST

START_TEST(disconnecting_calls_waiters_off)
{
    struct waiter waiter;

    begin_full(BOTH_DAEMON, SLOTS);
    start(&waiter, FASTALLOC_FOREVER);
    api_sleep_ms(50);
    fastalloc_disconnect(both_client);
    join(&waiter, FASTALLOC_E_BUSY);
    test_daemon_stop(&both_daemon);
}
END_TEST

/* ---------------------------------------------------------------- deadlines */

START_TEST(the_deadline_is_kept)
{
    fastalloc_handle none = 99;
    int64_t began;
    int ms;

    begin_full(_i, SLOTS);
    for (ms = 0; ms <= 100; ms += 25) {
        began = api_now_us();
        require_failure(fastalloc_alloc_wait(pool, &none, NULL, fastalloc_deadline((uint64_t)ms)),
                        FASTALLOC_E_TIMEOUT, "deadline", "exhausted", "300/300", "top holders");
        ck_assert_int_ge(api_now_us() - began, ms * 1000);
        ck_assert_int_lt(api_now_us() - began, ms * 1000 + 200000);
        ck_assert_uint_eq(none, 99);
    }
    /* One that has passed: a try. */
    require_failure(fastalloc_alloc_wait(pool, &none, NULL, 0), FASTALLOC_E_TIMEOUT, "exhausted");
    require_ok(fastalloc_free(pool, held[0]));
    require_ok(fastalloc_alloc_wait(pool, &held[0], NULL, 0));
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(the_deadline_is_kept_without_a_daemon)
{
    fastalloc_pool_config config = api_config("waited for", 64, SLOTS);
    struct waiter waiter;
    int64_t began;

    config.growth = FASTALLOC_GROWTH_LINEAR;
    config.growth_amount = 1;
    config.max_capacity = 2 * SLOTS;
    both_begin(BOTH_DAEMON, &config);
    ck_assert_uint_eq(api_fill(pool, held, SLOTS), SLOTS);
    test_daemon_kill(&both_daemon);
    began = api_now_us();
    start(&waiter, fastalloc_deadline(100));
    join(&waiter, FASTALLOC_E_TIMEOUT);
    ck_assert_int_lt(waiter.ended_us - began, 400000);
    /* A free helps all the same, and so does the next daemon. */
    start(&waiter, FASTALLOC_FOREVER);
    api_sleep_ms(150);
    require_ok(fastalloc_free(pool, held[0]));
    join(&waiter, 0);
    held[0] = waiter.handle;
    start(&waiter, FASTALLOC_FOREVER);
    api_sleep_ms(150);
    test_daemon_run(&both_daemon);
    join(&waiter, 0);
    held[SLOTS] = waiter.handle;
    ck_assert_uint_eq(api_info(pool).capacity, SLOTS + 1);
    api_free_all(pool, held, SLOTS + 1);
    both_end(BOTH_DAEMON);
}
END_TEST

START_TEST(deadlines_do_not_overflow)
{
    uint64_t now = fastalloc_deadline(0);

    ck_assert(fastalloc_deadline(UINT64_MAX) == FASTALLOC_FOREVER);
    ck_assert(fastalloc_deadline(UINT64_MAX / 1000000) >= now);
    ck_assert(fastalloc_deadline(1000) - now >= 1000000000);
    ck_assert(fastalloc_deadline(1000) - now < 1100000000);
    ck_assert_int_le((int64_t)(now / 1000), api_now_us());
}
END_TEST

/* ------------------------------------------------------------------- deaths */

static void wait_in_vain(int channel, void *argument)
{
    fastalloc_handle handle;

    (void)argument;
    child_require(fastalloc_pool_session(pool) != 0);
    channel_put(channel, 0);
    fastalloc_alloc_wait(pool, &handle, NULL, FASTALLOC_FOREVER);
}

START_TEST(a_waiter_blocked_on_the_futex_is_killed_and_costs_nobody_a_wake_up)
{
    struct waiter waiter;
    struct child child;

    begin_full(_i, SLOTS);
    child_start(&child, wait_in_vain, NULL);
    channel_take(child.channel);
    api_sleep_ms(50);
    child_kill(&child);
    /* Its mark at most is left: one free clears it, and the fast path is open again. */
    require_ok(fastalloc_free(pool, held[0]));
    held[0] = api_alloc(pool);
    ck_assert(inlined_has_cache(pool));
    start(&waiter, FASTALLOC_FOREVER);
    child_start(&child, wait_in_vain, NULL);
    channel_take(child.channel);
    api_sleep_ms(50);
    child_kill(&child);
    require_ok(fastalloc_free(pool, held[0]));
    join(&waiter, 0);
    held[0] = waiter.handle;
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(a_stopped_waiter_holds_nobody_up)
{
    struct waiter waiter;
    struct child child;
    int i;

    begin_full(_i, SLOTS);
    child_start(&child, wait_in_vain, NULL);
    channel_take(child.channel);
    api_sleep_ms(50);
    kill(child.pid, SIGSTOP);
    for (i = 0; i < 5; i++) {
        start(&waiter, fastalloc_deadline(5000));
        api_sleep_ms(10);
        require_ok(fastalloc_free(pool, held[i]));
        join(&waiter, 0);
        held[i] = waiter.handle;
    }
    child_kill(&child);
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------------------- many */

#define THREADS 8
#define TURNS 2000

static void *take_turns(void *argument)
{
    size_t *turns = argument, i;

    for (i = 0; i < TURNS; i++) {
        fastalloc_handle handle;
        void *object;

        if (fastalloc_alloc_wait(pool, &handle, &object, fastalloc_deadline(10000)))
            break;
        memset(object, (int)i, 64);
        if (inlined_free(pool, handle))
            break;
        (*turns)++;
    }
    return NULL;
}

static void take_turns_in_a_child(int channel, void *argument)
{
    size_t turns[THREADS / 2] = {0}, i;
    pthread_t threads[THREADS / 2];

    (void)argument;
    for (i = 0; i < THREADS / 2; i++)
        pthread_create(&threads[i], NULL, take_turns, &turns[i]);
    for (i = 0; i < THREADS / 2; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < THREADS / 2; i++)
        child_require(turns[i] == TURNS);
    channel_put(channel, 0);
    channel_take(channel);
}

/* Two processes of four threads each take turns on `slots` slots. */
static void let_many_wait(int kind, size_t slots)
{
    size_t turns[THREADS / 2] = {0}, i;
    pthread_t threads[THREADS / 2];
    struct child child;

    child_start(&child, take_turns_in_a_child, NULL);
    for (i = 0; i < THREADS / 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_turns, &turns[i]), 0);
    for (i = 0; i < THREADS / 2; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < THREADS / 2; i++)
        ck_assert_uint_eq(turns[i], TURNS);
    channel_take(child.channel);
    channel_put(child.channel, 0);
    child_join(&child);
    ck_assert(kind == BOTH_LOCAL || api_allocated_becomes(pool, SLOTS - slots));
}

START_TEST(no_wake_up_is_lost_when_many_wait_for_few_slots)
{
    size_t i;

    begin_full(_i, SLOTS);
    for (i = 0; i < 3; i++)
        require_ok(fastalloc_free(pool, held[i]));
    let_many_wait(_i, 3);
    api_free_all(pool, held + 3, SLOTS - 3);
    both_end(_i);
}
END_TEST

START_TEST(no_wake_up_is_lost_in_a_pool_without_caches)
{
    size_t i;

    begin_full(_i, 100);
    for (i = 0; i < 2; i++)
        require_ok(fastalloc_free(pool, held[i]));
    let_many_wait(BOTH_LOCAL, 2);
    api_free_all(pool, held + 2, 98);
    both_end(_i);
}
END_TEST

struct note {
    uint64_t number;
};
FASTALLOC_DEFINE_POOL(notes, struct note);

START_TEST(a_typed_pool_waits_too)
{
    fastalloc_pool_config config = api_config(NULL, 0, 1);
    notes_handle handle, none = {99};
    struct note *note = NULL;
    notes_pool notes;

    require_ok(notes_create_local(&config, &notes));
    require_ok(notes_alloc_wait(notes, &handle, &note, 0));
    note->number = 7;
    ck_assert_uint_eq(notes_get(notes, handle)->number, 7);
    require_failure(notes_alloc_wait(notes, &none, &note, fastalloc_deadline(10)),
                    FASTALLOC_E_TIMEOUT, "1/1");
    ck_assert_uint_eq(none.value, 99);
    require_ok(notes_free(notes, handle));
    require_ok(notes_close(&notes));
}
END_TEST

START_TEST(null_is_refused_and_named)
{
    fastalloc_handle handle;

    begin_full(BOTH_LOCAL, SLOTS);
    require_failure(fastalloc_alloc_wait(NULL, &handle, NULL, 0), FASTALLOC_E_INVALID,
                    "pool is NULL");
    require_failure(fastalloc_alloc_wait(pool, NULL, NULL, 0), FASTALLOC_E_INVALID,
                    "handle is NULL");
    both_end(BOTH_LOCAL);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        a_free_of_another_thread_wakes,
        a_free_on_the_fast_path_wakes,
        a_free_in_another_process_wakes,
        the_sweep_of_a_dead_process_wakes,
        growth_wakes,
        who_waits_in_a_pool_that_can_grow_grows_it,
        closing_calls_waiters_off,
        the_deadline_is_kept,
        a_waiter_blocked_on_the_futex_is_killed_and_costs_nobody_a_wake_up,
        a_stopped_waiter_holds_nobody_up,
        no_wake_up_is_lost_when_many_wait_for_few_slots,
        no_wake_up_is_lost_in_a_pool_without_caches,
        NULL,
    };
    const TTest *const once[] = {
        destruction_wakes,
        disconnecting_calls_waiters_off,
        the_deadline_is_kept_without_a_daemon,
        deadlines_do_not_overflow,
        a_typed_pool_waits_too,
        null_is_refused_and_named,
        NULL,
    };

    return both_run("wait", of_both, once, 30);
}
