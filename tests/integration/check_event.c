/* SPDX-License-Identifier: MIT
 *
 * The descriptor that tells an event loop when to try again.
 */
#include "both.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define pool both_pool
#define SLOTS 300

static fastalloc_handle held[SLOTS + 1];

static void begin_full(int kind)
{
    fastalloc_pool_config config = api_config("looped", 64, SLOTS);

    config.max_sessions = 16;
    both_begin(kind, &config);
    ck_assert_uint_eq(api_fill(pool, held, SLOTS), SLOTS);
}

static int event_of(fastalloc_pool *of)
{
    int descriptor = -1;

    require_ok(fastalloc_pool_event(of, &descriptor));
    return descriptor;
}

/* Whether it becomes readable within `ms`; then it is read. */
static bool fires(int descriptor, int ms)
{
    struct pollfd ready = {.fd = descriptor, .events = POLLIN};
    uint64_t times = 0;

    if (poll(&ready, 1, ms) != 1)
        return false;
    ck_assert_int_eq(read(descriptor, &times, sizeof times), sizeof times);
    ck_assert_uint_ge(times, 1);
    return true;
}

static int threads_here(void)
{
    DIR *directory = opendir("/proc/self/task");
    int count = -2;

    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void *do_nothing(void *argument)
{
    return argument;
}

/* A sanitizer has a thread of its own from the first one on. */
static int threads_at_first(void)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    pthread_join(thread, NULL);
    return threads_here();
}

START_TEST(it_becomes_readable_when_a_slot_is_free_after_one_was_missed)
{
    fastalloc_handle handle;
    int descriptor, i;

    begin_full(_i);
    descriptor = event_of(pool);
    for (i = 0; i < 10; i++) {
        require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_EXHAUSTED, "exhausted");
        ck_assert(!fires(descriptor, 20));
        require_ok(fastalloc_free(pool, held[i]));
        ck_assert(fires(descriptor, 5000));
        require_ok(fastalloc_alloc(pool, &held[i], NULL));
        ck_assert(!fires(descriptor, 0));
    }
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(it_stays_silent_while_nobody_missed_one)
{
    int descriptor, i;

    begin_full(_i);
    descriptor = event_of(pool);
    for (i = 0; i < 10; i++) {
        require_ok(fastalloc_free(pool, held[i]));
        held[i] = api_alloc(pool);
    }
    ck_assert(!fires(descriptor, 50));
    api_free_all(pool, held, SLOTS);
    ck_assert(!fires(descriptor, 50));
    both_end(_i);
}
END_TEST

START_TEST(another_may_be_quicker_and_it_fires_again)
{
    fastalloc_handle handle;
    int descriptor;

    begin_full(_i);
    descriptor = event_of(pool);
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_EXHAUSTED, "exhausted");
    require_ok(fastalloc_free(pool, held[0]));
    ck_assert(fires(descriptor, 5000));
    held[0] = api_alloc(pool); /* the quicker one */
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_EXHAUSTED, "exhausted");
    ck_assert(!fires(descriptor, 20));
    require_ok(fastalloc_free(pool, held[1]));
    ck_assert(fires(descriptor, 5000));
    held[1] = api_alloc(pool);
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

static void free_when_told(int channel, void *argument)
{
    (void)argument;
    child_require(fastalloc_free(pool, channel_take(channel)) == 0);
    channel_put(channel, 0);
}

static void hold_one(int channel, void *argument)
{
    fastalloc_handle handle;

    (void)argument;
    channel_put(channel, (uint64_t)-fastalloc_alloc(pool, &handle, NULL));
    channel_take(channel);
}

START_TEST(another_processs_free_and_its_death_fire_it)
{
    fastalloc_handle handle;
    struct child child;
    int descriptor;

    begin_full(_i);
    descriptor = event_of(pool);
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_EXHAUSTED, "exhausted");
    child_start(&child, free_when_told, NULL);
    channel_put(child.channel, held[0]);
    ck_assert(fires(descriptor, 5000));
    channel_take(child.channel);
    child_join(&child);
    child_start(&child, hold_one, NULL);
    ck_assert_uint_eq(channel_take(child.channel), 0);
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_EXHAUSTED, "exhausted");
    child_kill(&child);
    ck_assert(fires(descriptor, 5000));
    held[0] = api_alloc(pool);
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(a_pool_at_its_maximum_has_one_too)
{
    fastalloc_pool_config config = api_config("looped", 64, SLOTS - 1);
    fastalloc_handle handle;
    int descriptor, i;

    config.growth = FASTALLOC_GROWTH_LINEAR;
    config.growth_amount = 1;
    config.max_capacity = SLOTS;
    both_begin(_i, &config);
    descriptor = event_of(pool);
    for (i = 0; i < SLOTS; i++)
        held[i] = api_alloc(pool);
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_MAX_CAPACITY, "maximum");
    require_ok(fastalloc_free(pool, held[0]));
    ck_assert(fires(descriptor, 5000));
    held[0] = api_alloc(pool);
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(there_is_one_a_pool_and_closing_ends_it)
{
    int threads = threads_at_first(), descriptors, descriptor;

    begin_full(_i);
    descriptors = test_descriptors(0);
    ck_assert_int_eq(threads_here(), threads);
    descriptor = event_of(pool);
    ck_assert_int_eq(event_of(pool), descriptor);
    ck_assert_int_eq(threads_here(), threads + 1);
    ck_assert_int_eq(test_descriptors(0), descriptors + 1);
    ck_assert_int_ne(fcntl(descriptor, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
    /* While its thread waits. */
    require_failure(fastalloc_alloc(pool, held + SLOTS, NULL), FASTALLOC_E_EXHAUSTED, "exhausted");
    api_sleep_ms(20);
    both_end(_i); /* which looks at the descriptors */
    ck_assert_int_eq(threads_here(), threads);
}
END_TEST

static volatile sig_atomic_t handled;

static void note_signal(int signal)
{
    (void)signal;
    handled = 1;
}

START_TEST(its_thread_takes_no_signals)
{
    struct sigaction action = {.sa_handler = note_signal};
    sigset_t all, before;

    begin_full(BOTH_LOCAL);
    event_of(pool);
    sigaction(SIGUSR1, &action, NULL);
    sigfillset(&all);
    /* Blocked here it would go to a thread that takes it: there is none. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    kill(getpid(), SIGUSR1);
    api_sleep_ms(20);
    ck_assert_int_eq(handled, 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    ck_assert_int_eq(handled, 1);
    both_end(BOTH_LOCAL);
}
END_TEST

static void ask_for_its_own(int channel, void *argument)
{
    int threads = threads_at_first(), descriptor;
    fastalloc_handle handle;

    /* The parent's is closed here by the first call, and the child's may have its number. */
    (void)argument;
    child_require(fastalloc_pool_session(pool) != 0);
    child_require(fastalloc_pool_event(pool, &descriptor) == 0);
    child_require(threads_here() == threads + 1);
    child_require(fastalloc_alloc(pool, &handle, NULL) == FASTALLOC_E_EXHAUSTED);
    channel_put(channel, 0);
    child_require(fires(descriptor, 5000));
    child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    child_require(fastalloc_pool_close(pool) == 0);
    child_require(threads_here() == threads);
    channel_put(channel, 0);
}

START_TEST(a_forked_child_has_one_of_its_own)
{
    struct child child;
    int descriptor;

    if (!api_may_fork_beside_threads())
        return;
    begin_full(_i);
    descriptor = event_of(pool);
    child_start(&child, ask_for_its_own, NULL);
    channel_take(child.channel);
    require_ok(fastalloc_free(pool, held[0]));
    channel_take(child.channel);
    /* Nothing was missed here. */
    ck_assert(!fires(descriptor, 20));
    child_join(&child);
    api_free_all(pool, held + 1, SLOTS - 1);
    both_end(_i);
}
END_TEST

static void miss_one_and_wait(int channel, void *argument)
{
    fastalloc_handle handle;
    int descriptor;

    (void)argument;
    child_require(fastalloc_pool_event(pool, &descriptor) == 0);
    child_require(fastalloc_alloc(pool, &handle, NULL) == FASTALLOC_E_EXHAUSTED);
    channel_put(channel, 0);
    channel_take(channel);
}

START_TEST(a_killed_process_with_an_event_leaves_nothing)
{
    struct child child;

    begin_full(_i);
    child_start(&child, miss_one_and_wait, NULL);
    channel_take(child.channel);
    api_sleep_ms(20);
    child_kill(&child);
    api_free_all(pool, held, SLOTS);
    ck_assert(_i == BOTH_LOCAL || api_allocated_becomes(pool, 0));
    ck_assert(_i == BOTH_LOCAL || api_sessions_become(pool, 1));
    ck_assert_uint_eq(api_fill(pool, held, SLOTS + 1), SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(null_is_refused_and_named)
{
    int descriptor;

    begin_full(BOTH_LOCAL);
    require_failure(fastalloc_pool_event(NULL, &descriptor), FASTALLOC_E_INVALID, "pool is NULL");
    require_failure(fastalloc_pool_event(pool, NULL), FASTALLOC_E_INVALID, "output is NULL");
    both_end(BOTH_LOCAL);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        it_becomes_readable_when_a_slot_is_free_after_one_was_missed,
        it_stays_silent_while_nobody_missed_one,
        another_may_be_quicker_and_it_fires_again,
        another_processs_free_and_its_death_fire_it,
        a_pool_at_its_maximum_has_one_too,
        there_is_one_a_pool_and_closing_ends_it,
        a_forked_child_has_one_of_its_own,
        a_killed_process_with_an_event_leaves_nothing,
        NULL,
    };
    const TTest *const once[] = {
        its_thread_takes_no_signals,
        null_is_refused_and_named,
        NULL,
    };

    return both_run("event", of_both, once, 30);
}
