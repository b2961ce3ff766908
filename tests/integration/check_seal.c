/* SPDX-License-Identifier: MIT
 *
 * Sealing a pool, opening it again, and draining it, by the public functions.
 */
#include "both.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define pool both_pool
#define SLOTS 1000
#define SMALL 40 /* slots of a pool without caches */

static fastalloc_handle held[SLOTS];

static fastalloc_pool_config config_of(size_t slots)
{
    fastalloc_pool_config config = api_config("sealed one", 64, slots);

    config.max_sessions = 16;
    return config;
}

static void begin(int kind, size_t slots)
{
    fastalloc_pool_config config = config_of(slots);

    both_begin(kind, &config);
}

/* A cache with something in it, in the calling thread. */
static void warm(void)
{
    require_ok(fastalloc_free(pool, api_alloc(pool)));
    ck_assert(inlined_has_cache(pool));
}

/* ----------------------------------------------------------------- refused */

static void require_sealed(void)
{
    fastalloc_handle handle = FASTALLOC_NONE, two[2];
    FASTALLOC_AUTO fastalloc_owned owned = fastalloc_own(pool);
    void *object = NULL;

    ck_assert_int_eq(owned.error, FASTALLOC_E_SEALED);
    require_failure(inlined_alloc(pool, &handle, &object), FASTALLOC_E_SEALED, "alloc",
                    "\"sealed one\"", "fastalloc_pool_unseal()");
    require_failure(fastalloc_alloc(pool, &handle, &object), FASTALLOC_E_SEALED, "sealed");
    require_failure(fastalloc_alloc_wait(pool, &handle, &object, FASTALLOC_FOREVER),
                    FASTALLOC_E_SEALED, "alloc_wait");
    require_failure(fastalloc_alloc_batch(pool, 2, two, NULL), FASTALLOC_E_SEALED, "sealed");
    ck_assert_uint_eq(handle, FASTALLOC_NONE);
    ck_assert_ptr_null(object);
}

static void seal_and_unseal(size_t slots)
{
    char numbers[64];
    void *object;
    int round;

    for (round = 0; round < 3; round++) {
        held[0] = api_alloc(pool);
        held[1] = api_alloc(pool);
        strcpy(fastalloc_get(pool, held[0]), "still here");
        require_ok(fastalloc_pool_seal(pool));
        require_sealed();
        snprintf(numbers, sizeof numbers, "2/%zu", slots);
        require_failure(fastalloc_alloc(pool, &held[2], &object), FASTALLOC_E_SEALED, numbers);
        ck_assert_str_eq(fastalloc_get(pool, held[0]), "still here");
        require_ok(fastalloc_adopt(pool, held[0]));
        require_ok(inlined_free(pool, held[0]));
        require_ok(fastalloc_free(pool, held[1]));
        require_failure(fastalloc_free(pool, held[1]), FASTALLOC_E_DOUBLE_FREE, "free");
        require_sealed();
        require_ok(fastalloc_pool_seal(pool)); /* which changes nothing */
        require_sealed();
        require_ok(fastalloc_pool_unseal(pool));
        require_ok(inlined_free(pool, api_alloc(pool)));
        require_ok(fastalloc_pool_unseal(pool)); /* nor does this */
    }
    api_require_whole(pool);
}

START_TEST(a_sealed_pool_gives_nothing_out_and_takes_all_back)
{
    begin(_i, SLOTS);
    seal_and_unseal(SLOTS);
    warm(); /* the lane is open again */
    both_end(_i);
}
END_TEST

START_TEST(a_sealed_pool_without_caches_gives_nothing_out)
{
    begin(_i, SMALL);
    seal_and_unseal(SMALL);
    both_end(_i);
}
END_TEST

/* A child with a full cache: does what it is told. */
enum { ALLOC, FREE, SEAL, UNSEAL, END };

static void act_as_told(int channel, void *argument)
{
    fastalloc_handle handle = FASTALLOC_NONE;

    (void)argument;
    child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    child_require(fastalloc_free(pool, handle) == 0);
    channel_put(channel, 1);
    for (;;) {
        int result = 0;

        switch (channel_take(channel)) {
        case ALLOC:
            result = inlined_alloc(pool, &handle, NULL);
            break;
        case FREE:
            result = inlined_free(pool, handle);
            break;
        case SEAL:
            result = fastalloc_pool_seal(pool);
            break;
        case UNSEAL:
            result = fastalloc_pool_unseal(pool);
            break;
        default:
            return;
        }
        channel_put(channel, (uint64_t)-result);
    }
}

static int tell(struct child *child, uint64_t what)
{
    channel_put(child->channel, what);
    return -(int)channel_take(child->channel);
}

static void start_actor(struct child *child)
{
    child_start(child, act_as_told, NULL);
    ck_assert_uint_eq(channel_take(child->channel), 1);
}

static void end_actor(struct child *child)
{
    channel_put(child->channel, END);
    child_join(child);
}

START_TEST(a_seal_reaches_every_process_and_its_fast_path)
{
    struct child one, other;
    fastalloc_handle handle;

    begin(_i, SLOTS);
    warm();
    start_actor(&one);
    start_actor(&other);
    ck_assert_int_eq(tell(&one, ALLOC), 0);
    require_ok(fastalloc_pool_seal(pool));
    ck_assert_int_eq(tell(&one, ALLOC), FASTALLOC_E_SEALED);
    ck_assert_int_eq(tell(&other, ALLOC), FASTALLOC_E_SEALED);
    ck_assert_int_eq(inlined_alloc(pool, &handle, NULL), FASTALLOC_E_SEALED);
    ck_assert_int_eq(tell(&one, FREE), 0);
    /* Whoever unseals it. */
    ck_assert_int_eq(tell(&other, UNSEAL), 0);
    ck_assert_int_eq(tell(&one, ALLOC), 0);
    ck_assert_int_eq(tell(&one, FREE), 0);
    warm();
    ck_assert_int_eq(tell(&other, SEAL), 0);
    ck_assert_int_eq(inlined_alloc(pool, &handle, NULL), FASTALLOC_E_SEALED);
    /* The seal outlives who made it. */
    child_kill(&other);
    ck_assert_int_eq(tell(&one, ALLOC), FASTALLOC_E_SEALED);
    require_ok(fastalloc_pool_unseal(pool));
    end_actor(&one);
    api_require_whole(pool);
    both_end(_i);
}
END_TEST

static void seal_first_of_all(int channel, void *argument)
{
    (void)argument;
    channel_take(channel);
    child_require(fastalloc_pool_seal(pool) == 0);
}

START_TEST(a_forked_child_seals_through_an_attachment_of_its_own)
{
    struct child child;

    begin(_i, SLOTS);
    child_start(&child, seal_first_of_all, NULL);
    channel_put(child.channel, 0);
    child_join(&child);
    require_sealed();
    require_ok(fastalloc_pool_unseal(pool));
    both_end(_i);
}
END_TEST

struct waiter {
    pthread_t thread;
    int error;
    int64_t ended_us;
};

static void *wait_for_one(void *argument)
{
    struct waiter *waiter = argument;
    fastalloc_handle handle;

    waiter->error = fastalloc_alloc_wait(pool, &handle, NULL, FASTALLOC_FOREVER);
    waiter->ended_us = api_now_us();
    return NULL;
}

static void wait_in_a_process(int channel, void *argument)
{
    fastalloc_handle handle;

    (void)argument;
    channel_put(channel, 1);
    channel_put(channel, (uint64_t)-fastalloc_alloc_wait(pool, &handle, NULL, FASTALLOC_FOREVER));
}

START_TEST(who_waits_for_a_slot_is_told_of_the_seal)
{
    struct waiter waiters[3];
    struct child child;
    int64_t sealed_us;
    int i;

    begin(_i, SLOTS);
    api_fill(pool, held, SLOTS);
    child_start(&child, wait_in_a_process, NULL);
    channel_take(child.channel);
    for (i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&waiters[i].thread, NULL, wait_for_one, &waiters[i]), 0);
    api_sleep_ms(50);
    sealed_us = api_now_us();
    require_ok(fastalloc_pool_seal(pool));
    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_join(waiters[i].thread, NULL), 0);
        ck_assert_int_eq(waiters[i].error, FASTALLOC_E_SEALED);
        ck_assert_int_lt(waiters[i].ended_us - sealed_us, 800000); /* not by looking again */
    }
    ck_assert_int_eq(-(int)channel_take(child.channel), FASTALLOC_E_SEALED);
    child_join(&child);
    api_free_all(pool, held, SLOTS);
    require_ok(fastalloc_pool_unseal(pool));
    both_end(_i);
}
END_TEST

START_TEST(the_event_of_who_missed_a_slot_fires)
{
    struct pollfd ready = {.events = POLLIN};
    fastalloc_handle handle;

    begin(_i, SLOTS);
    require_ok(fastalloc_pool_event(pool, &ready.fd));
    api_fill(pool, held, SLOTS);
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_EXHAUSTED, "1000/1000");
    ck_assert_int_eq(poll(&ready, 1, 100), 0);
    require_ok(fastalloc_pool_seal(pool));
    ck_assert_int_eq(poll(&ready, 1, 5000), 1);
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_SEALED, "1000/1000");
    require_ok(fastalloc_pool_unseal(pool));
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(growing_and_shrinking_go_on)
{
    fastalloc_pool_config config = config_of(300);
    fastalloc_handle handle;
    size_t now;

    config.growth = FASTALLOC_GROWTH_LINEAR;
    config.growth_amount = 100;
    config.max_capacity = SLOTS;
    both_begin(_i, &config);
    api_fill(pool, held, 300);
    require_ok(fastalloc_pool_seal(pool));
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_SEALED, "300/300");
    ck_assert_uint_eq(fastalloc_pool_capacity(pool), 300); /* not to no purpose */
    require_ok(fastalloc_pool_grow(pool, 600));
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_SEALED, "300/600");
    api_free_all(pool, held, 300);
    require_ok(fastalloc_pool_shrink(pool, 100, &now));
    ck_assert_uint_eq(now, 100);
    require_ok(fastalloc_pool_drain(pool, fastalloc_deadline(5000)));
    require_ok(fastalloc_pool_unseal(pool));
    require_ok(fastalloc_free(pool, api_alloc(pool)));
    both_end(_i);
}
END_TEST

/* -------------------------------------------------------------- stopped ones */

struct stopped {
    pthread_t thread;
    pthread_barrier_t stands, goes_on;
    uint32_t id;
};

static void *stand_inside(void *argument)
{
    struct stopped *stopped = argument;

    warm();
    stopped->id = (uint32_t)gettid();
    inlined_stop_inside(pool);
    pthread_barrier_wait(&stopped->stands);
    pthread_barrier_wait(&stopped->goes_on);
    inlined_go_on(pool);
    return NULL;
}

static void start_stopped(struct stopped *stopped)
{
    pthread_barrier_init(&stopped->stands, NULL, 2);
    pthread_barrier_init(&stopped->goes_on, NULL, 2);
    ck_assert_int_eq(pthread_create(&stopped->thread, NULL, stand_inside, stopped), 0);
    pthread_barrier_wait(&stopped->stands);
}

static void end_stopped(struct stopped *stopped)
{
    pthread_barrier_wait(&stopped->goes_on);
    pthread_join(stopped->thread, NULL);
    pthread_barrier_destroy(&stopped->stands);
    pthread_barrier_destroy(&stopped->goes_on);
}

START_TEST(a_thread_stopped_inside_a_call_is_told_of_within_a_bound)
{
    struct stopped stopped;
    char thread[32];
    int64_t began;

    begin(_i, SLOTS);
    warm();
    start_stopped(&stopped);
    snprintf(thread, sizeof thread, "thread %u of check_seal", stopped.id);
    began = api_now_us();
    require_failure(fastalloc_pool_seal(pool), FASTALLOC_E_STALLED, "is sealed", thread);
    ck_assert_int_lt(api_now_us() - began, 3000000);
    require_sealed();
    began = api_now_us();
    require_failure(fastalloc_pool_drain(pool, fastalloc_deadline(100)), FASTALLOC_E_STALLED,
                    thread);
    ck_assert_int_ge(api_now_us() - began, 100000);
    end_stopped(&stopped);
    require_ok(fastalloc_pool_seal(pool));
    require_ok(fastalloc_pool_drain(pool, fastalloc_deadline(5000)));
    require_ok(fastalloc_pool_unseal(pool));
    both_end(_i);
}
END_TEST

static void stand_inside_and_die(int channel, void *argument)
{
    (void)argument;
    warm();
    inlined_stop_inside(pool);
    channel_put(channel, 1);
    for (;;)
        pause();
}

START_TEST(a_process_that_died_inside_a_call_is_swept_not_waited_for)
{
    struct child child;

    begin(_i, SLOTS);
    child_start(&child, stand_inside_and_die, NULL);
    channel_take(child.channel);
    child_kill(&child);
    require_ok(fastalloc_pool_seal(pool));
    require_ok(fastalloc_pool_drain(pool, fastalloc_deadline(5000)));
    require_ok(fastalloc_pool_unseal(pool));
    api_require_whole(pool);
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------------------ draining */

struct drainer {
    pthread_t thread;
    uint64_t deadline;
    uint32_t done;
    int error;
    char text[512];
};

static void *drain(void *argument)
{
    struct drainer *drainer = argument;

    drainer->error = fastalloc_pool_drain(pool, drainer->deadline);
    snprintf(drainer->text, sizeof drainer->text, "%s", fastalloc_last_error());
    __atomic_store_n(&drainer->done, 1u, __ATOMIC_RELEASE);
    return NULL;
}

static void start_drainer(struct drainer *drainer, uint64_t deadline)
{
    *drainer = (struct drainer){.deadline = deadline};
    ck_assert_int_eq(pthread_create(&drainer->thread, NULL, drain, drainer), 0);
}

static void require_draining(struct drainer *drainer)
{
    api_sleep_ms(50);
    ck_assert_uint_eq(__atomic_load_n(&drainer->done, __ATOMIC_ACQUIRE), 0);
}

static void join_drainer(struct drainer *drainer, int error, const char *word)
{
    ck_assert_int_eq(pthread_join(drainer->thread, NULL), 0);
    ck_assert_msg(drainer->error == error && strstr(drainer->text, word), "drain said %s: %s",
                  fastalloc_error_name(drainer->error), drainer->text);
}

START_TEST(an_empty_pool_is_drained_at_once)
{
    begin(_i, SLOTS);
    require_ok(fastalloc_pool_drain(pool, 0));
    require_sealed();
    require_ok(fastalloc_pool_unseal(pool));
    api_require_whole(pool);
    require_ok(fastalloc_pool_drain(pool, 0));
    require_ok(fastalloc_pool_unseal(pool));
    both_end(_i);
}
END_TEST

static void hold_two(int channel, void *argument)
{
    fastalloc_handle mine[2];
    int i;

    (void)argument;
    child_require(fastalloc_alloc_batch(pool, 2, mine, NULL) == 0);
    channel_put(channel, 1);
    for (i = 0; i < 2; i++) {
        channel_take(channel);
        child_require(inlined_free(pool, mine[i]) == 0);
    }
    channel_take(channel);
}

START_TEST(draining_waits_for_frees_of_another_process)
{
    struct drainer drainer;
    struct child child;

    begin(_i, SLOTS);
    child_start(&child, hold_two, NULL);
    channel_take(child.channel);
    start_drainer(&drainer, FASTALLOC_FOREVER);
    require_draining(&drainer);
    channel_put(child.channel, 0);
    require_draining(&drainer);
    channel_put(child.channel, 0);
    join_drainer(&drainer, 0, "");
    ck_assert_int_eq(fastalloc_pool_is_empty(pool), 1);
    channel_put(child.channel, 0);
    child_join(&child);
    require_ok(fastalloc_pool_unseal(pool));
    both_end(_i);
}
END_TEST

START_TEST(draining_waits_for_the_sweep_of_a_dead_process)
{
    struct drainer drainer;
    struct child child;

    begin(_i, SLOTS);
    child_start(&child, hold_two, NULL);
    channel_take(child.channel);
    start_drainer(&drainer, FASTALLOC_FOREVER);
    require_draining(&drainer);
    child_kill(&child);
    join_drainer(&drainer, 0, "");
    require_ok(fastalloc_pool_unseal(pool));
    api_require_whole(pool);
    both_end(_i);
}
END_TEST

START_TEST(a_drain_in_vain_names_who_holds_how_much)
{
    fastalloc_pool_config config = config_of(SLOTS);
    char holder[64], here[64];
    struct child child;
    int64_t began;

    config.features = FASTALLOC_SHARING;
    both_begin(_i, &config);
    api_fill(pool, held, 5);
    require_ok(fastalloc_leave(pool, held[3], FASTALLOC_FOREVER));
    require_ok(fastalloc_share(pool, held[4]));
    child_start(&child, hold_two, NULL);
    channel_take(child.channel);
    snprintf(holder, sizeof holder, "check_seal[%d] 2", child.pid);
    snprintf(here, sizeof here, "check_seal[%d] 4", getpid());
    began = api_now_us();
    require_failure(fastalloc_pool_drain(pool, fastalloc_deadline(200)), FASTALLOC_E_TIMEOUT,
                    "\"sealed one\"", "7 of 1000", "1 left to anyone", "1 shared", "0 quarantined",
                    holder, here);
    ck_assert_int_ge(api_now_us() - began, 199000);
    require_sealed(); /* it stays so */
    channel_put(child.channel, 0);
    channel_put(child.channel, 0);
    channel_put(child.channel, 0);
    child_join(&child);
    api_free_all(pool, held, 3);
    require_failure(fastalloc_pool_drain(pool, 0), FASTALLOC_E_TIMEOUT, "2 of 1000", "1 shared");
    require_ok(fastalloc_unref(pool, held[4]));
    require_failure(fastalloc_pool_drain(pool, 0), FASTALLOC_E_TIMEOUT, "1 of 1000",
                    "1 left to anyone");
    require_ok(fastalloc_free(pool, held[3]));
    require_ok(fastalloc_pool_drain(pool, 0));
    require_ok(fastalloc_pool_unseal(pool));
    both_end(_i);
}
END_TEST

START_TEST(a_drain_ends_when_somebody_unseals)
{
    struct drainer drainer;

    begin(_i, SLOTS);
    held[0] = api_alloc(pool);
    start_drainer(&drainer, FASTALLOC_FOREVER);
    require_draining(&drainer);
    require_ok(fastalloc_pool_unseal(pool));
    join_drainer(&drainer, FASTALLOC_E_CHANGED, "unsealed");
    /* Also when it is sealed again before the drain has looked. */
    start_drainer(&drainer, FASTALLOC_FOREVER);
    require_draining(&drainer);
    require_ok(fastalloc_pool_unseal(pool));
    require_ok(fastalloc_pool_seal(pool));
    join_drainer(&drainer, FASTALLOC_E_CHANGED, "unsealed");
    require_ok(fastalloc_pool_unseal(pool));
    require_ok(fastalloc_free(pool, held[0]));
    both_end(_i);
}
END_TEST

START_TEST(closing_calls_a_drain_off)
{
    struct drainer drainer;

    begin(_i, SLOTS);
    held[0] = api_alloc(pool);
    start_drainer(&drainer, FASTALLOC_FOREVER);
    require_draining(&drainer);
    require_failure(fastalloc_pool_close(pool), FASTALLOC_E_BUSY, "sealed one");
    join_drainer(&drainer, FASTALLOC_E_BUSY, "close");
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------------------ exactness */

#define THREADS 3
#define PROCESSES 2
#define HOLD 16
#define ROUNDS_MS 1200

static struct shared {
    uint32_t stop;
    uint32_t phase; /* odd: a seal has returned, and none unsealed since */
    int64_t live;
    uint64_t allocations, violations;
} * shared;

/* Allocates and frees at full speed; what it holds goes back when it hears of a seal.  Counted
 * after an allocation and before its free: so when nothing is live, nothing is counted. */
static void work(void)
{
    fastalloc_handle mine[HOLD];
    size_t count = 0;

    while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
        uint32_t before = __atomic_load_n(&shared->phase, __ATOMIC_SEQ_CST);
        int error = inlined_alloc(pool, &mine[count], NULL);
        bool sealed = (before & 1) && __atomic_load_n(&shared->phase, __ATOMIC_SEQ_CST) == before;

        if (!error) {
            __atomic_fetch_add(&shared->live, 1, __ATOMIC_SEQ_CST);
            __atomic_fetch_add(&shared->allocations, 1, __ATOMIC_RELAXED);
            __atomic_fetch_add(&shared->violations, sealed, __ATOMIC_RELAXED);
            count++;
        }
        while (count > 0 && (error || count == HOLD)) {
            __atomic_fetch_sub(&shared->live, 1, __ATOMIC_SEQ_CST);
            require_ok(inlined_free(pool, mine[--count]));
        }
    }
    while (count > 0)
        require_ok(fastalloc_free(pool, mine[--count]));
}

static void *work_in_thread(void *argument)
{
    work();
    return argument;
}

static void work_in_process(int channel, void *argument)
{
    (void)argument;
    channel_put(channel, 1);
    work();
}

/* On a machine that is busy a thread may be off its processor in the middle of a call. */
static void until_not_stalled(int (*call)(void))
{
    int64_t until = api_now_us() + 10000000;
    int error;

    do
        error = call();
    while (error == FASTALLOC_E_STALLED && api_now_us() < until);
    require_ok(error);
}

static int seal_it(void)
{
    return fastalloc_pool_seal(pool);
}

static int drain_it(void)
{
    return fastalloc_pool_drain(pool, fastalloc_deadline(10000));
}

/* Sealed: for a while nothing may be allocated. */
static void watch(void)
{
    api_sleep_ms(1);
    ck_assert_uint_eq(__atomic_load_n(&shared->violations, __ATOMIC_SEQ_CST), 0);
}

static void seal_and_drain_a_while(void)
{
    int64_t until = api_now_us() + ROUNDS_MS * 1000;
    uint64_t rounds = 0, before;

    for (; api_now_us() < until || rounds < 20; rounds++) {
        before = __atomic_load_n(&shared->allocations, __ATOMIC_RELAXED);
        if (rounds % 2) {
            until_not_stalled(seal_it);
            __atomic_fetch_add(&shared->phase, 1, __ATOMIC_SEQ_CST);
            watch();
        }
        until_not_stalled(drain_it);
        ck_assert_int_eq(__atomic_load_n(&shared->live, __ATOMIC_SEQ_CST), 0);
        if (rounds % 2 == 0)
            __atomic_fetch_add(&shared->phase, 1, __ATOMIC_SEQ_CST);
        watch();
        ck_assert_int_eq(__atomic_load_n(&shared->live, __ATOMIC_SEQ_CST), 0);
        __atomic_fetch_add(&shared->phase, 1, __ATOMIC_SEQ_CST);
        require_ok(fastalloc_pool_unseal(pool));
        while (__atomic_load_n(&shared->allocations, __ATOMIC_RELAXED) < before + 100)
            api_sleep_ms(1);
    }
}

static void seal_among_many(int kind, size_t slots)
{
    int processes = api_may_fork_beside_threads() ? PROCESSES : 0, i;
    struct child children[PROCESSES];
    pthread_t threads[THREADS];

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    begin(kind, slots);
    for (i = 0; i < processes; i++) {
        child_start(&children[i], work_in_process, NULL);
        channel_take(children[i].channel);
    }
    for (i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work_in_thread, NULL), 0);
    seal_and_drain_a_while();
    __atomic_store_n(&shared->stop, 1u, __ATOMIC_RELEASE);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < processes; i++)
        child_join(&children[i]);
    require_ok(fastalloc_pool_drain(pool, fastalloc_deadline(10000)));
    require_ok(fastalloc_pool_unseal(pool));
    api_require_whole(pool);
    both_end(kind);
    munmap(shared, sizeof *shared);
}

START_TEST(after_a_seal_none_of_many_allocates_and_a_drain_misses_nothing)
{
    seal_among_many(_i, SLOTS);
}
END_TEST

START_TEST(the_same_in_a_pool_without_caches)
{
    seal_among_many(_i, SMALL);
}
END_TEST

/* ------------------------------------------------------------- what it is not */

START_TEST(no_pool_is_no_pool_to_seal)
{
    require_failure(fastalloc_pool_seal(NULL), FASTALLOC_E_INVALID, "pool is NULL");
    require_failure(fastalloc_pool_unseal(NULL), FASTALLOC_E_INVALID, "pool is NULL");
    require_failure(fastalloc_pool_drain(NULL, 0), FASTALLOC_E_INVALID, "pool is NULL");
}
END_TEST

START_TEST(a_destroyed_pool_is_neither_sealed_nor_drained)
{
    fastalloc_handle handle;

    begin(BOTH_DAEMON, SLOTS);
    require_ok(fastalloc_pool_seal(pool));
    require_ok(fastalloc_pool_destroy(both_client, "sealed one"));
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_DESTROYED, "sealed one");
    require_failure(fastalloc_pool_seal(pool), FASTALLOC_E_DESTROYED, "seal:", "sealed one");
    require_failure(fastalloc_pool_unseal(pool), FASTALLOC_E_DESTROYED, "unseal:");
    require_failure(fastalloc_pool_drain(pool, 0), FASTALLOC_E_DESTROYED, "drain:");
    both_end(BOTH_DAEMON);
}
END_TEST

START_TEST(a_drain_ends_when_the_pool_is_destroyed)
{
    struct drainer drainer;

    begin(BOTH_DAEMON, SLOTS);
    held[0] = api_alloc(pool);
    start_drainer(&drainer, FASTALLOC_FOREVER);
    require_draining(&drainer);
    require_ok(fastalloc_pool_destroy(both_client, "sealed one"));
    join_drainer(&drainer, FASTALLOC_E_DESTROYED, "drain:");
    both_end(BOTH_DAEMON);
}
END_TEST

START_TEST(who_opens_a_sealed_pool_finds_it_sealed)
{
    fastalloc_pool *again;
    fastalloc_handle handle;

    begin(BOTH_DAEMON, SLOTS);
    require_ok(fastalloc_pool_seal(pool));
    require_ok(fastalloc_pool_open(both_client, "sealed one", NULL, &again));
    require_failure(fastalloc_alloc(again, &handle, NULL), FASTALLOC_E_SEALED, "sealed");
    require_ok(fastalloc_pool_unseal(again));
    require_ok(fastalloc_alloc(pool, &handle, NULL));
    require_ok(fastalloc_free(again, handle));
    require_ok(fastalloc_pool_close(again));
    both_end(BOTH_DAEMON);
}
END_TEST

START_TEST(a_seal_outlives_the_daemon)
{
    fastalloc_client *client;
    fastalloc_pool *again;
    fastalloc_handle handle;
    int clean;

    for (clean = 0; clean < 2; clean++) {
        begin(BOTH_DAEMON, SLOTS);
        held[0] = api_alloc(pool);
        require_ok(fastalloc_pool_seal(pool));
        if (clean)
            test_daemon_end(&both_daemon);
        else
            test_daemon_kill(&both_daemon);
        require_sealed();
        test_daemon_run(&both_daemon);
        require_sealed();
        client = api_connect(both_daemon.socket);
        require_ok(fastalloc_pool_open(client, "sealed one", NULL, &again));
        require_failure(fastalloc_alloc(again, &handle, NULL), FASTALLOC_E_SEALED, "1/1000");
        require_failure(fastalloc_pool_drain(again, fastalloc_deadline(50)), FASTALLOC_E_TIMEOUT,
                        "1 of 1000");
        require_ok(fastalloc_free(pool, held[0]));
        require_ok(fastalloc_pool_drain(again, fastalloc_deadline(5000)));
        require_ok(fastalloc_pool_unseal(again));
        api_require_whole(pool);
        fastalloc_disconnect(client);
        both_end(BOTH_DAEMON);
    }
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        a_sealed_pool_gives_nothing_out_and_takes_all_back,
        a_sealed_pool_without_caches_gives_nothing_out,
        a_seal_reaches_every_process_and_its_fast_path,
        a_forked_child_seals_through_an_attachment_of_its_own,
        who_waits_for_a_slot_is_told_of_the_seal,
        the_event_of_who_missed_a_slot_fires,
        growing_and_shrinking_go_on,
        a_thread_stopped_inside_a_call_is_told_of_within_a_bound,
        a_process_that_died_inside_a_call_is_swept_not_waited_for,
        an_empty_pool_is_drained_at_once,
        draining_waits_for_frees_of_another_process,
        draining_waits_for_the_sweep_of_a_dead_process,
        a_drain_in_vain_names_who_holds_how_much,
        a_drain_ends_when_somebody_unseals,
        closing_calls_a_drain_off,
        after_a_seal_none_of_many_allocates_and_a_drain_misses_nothing,
        the_same_in_a_pool_without_caches,
        NULL,
    };
    const TTest *const once[] = {
        no_pool_is_no_pool_to_seal,
        a_destroyed_pool_is_neither_sealed_nor_drained,
        a_drain_ends_when_the_pool_is_destroyed,
        who_opens_a_sealed_pool_finds_it_sealed,
        a_seal_outlives_the_daemon,
        NULL,
    };

    return both_run("seal", of_both, once, 40);
}
