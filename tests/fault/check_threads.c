/* SPDX-License-Identifier: MIT
 *
 * check_threads: threads of one process, each a session and actor of its own, that
 * allocate, free, hand slots over and free each other's, in a pool that is often
 * empty.  Every slot in somebody's hands carries its holder's stamp: two holders
 * of one slot would find it changed.
 *
 * Made for ThreadSanitizer too.
 */
#include "tests/support/lane.h"

#include "shm/bitmap.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { THREADS = 5, KEPT_MAX = 120, DESK = 32, SLOTS = 400 };

/* Where handles change hands. */
static struct {
    pthread_mutex_t mutex;
    fastalloc_handle handles[DESK];
    unsigned count;
} desk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static struct test_pool pool;
static struct timespec end;
static uint64_t seed;

struct worker {
    struct fastalloc_pool lane;
    struct actor actor;
    uint64_t random, allocs, exhausted, stalled;
    fastalloc_handle kept[KEPT_MAX];
    unsigned count;
    bool comes_and_goes;
    char wrong[128];
};

static bool passed(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec > end.tv_sec || (time.tv_sec == end.tv_sec && time.tv_nsec >= end.tv_nsec);
}

static uint64_t *object_of(fastalloc_handle handle)
{
    return (uint64_t *)(void *)(pool.segment.objects +
                                slot_index(&pool.segment, handle) * pool.segment.geometry.stride);
}

static void stamp(struct worker *worker, fastalloc_handle handle)
{
    __atomic_store_n(object_of(handle), handle ^ worker->actor.session, __ATOMIC_RELAXED);
}

static void check_stamp(struct worker *worker, fastalloc_handle handle, uint64_t holder)
{
    uint64_t seen = __atomic_load_n(object_of(handle), __ATOMIC_RELAXED);

    if (seen != (handle ^ holder) && !worker->wrong[0])
        snprintf(worker->wrong, sizeof worker->wrong,
                 "slot %llu has another's stamp %llx, not %llx",
                 (unsigned long long)slot_index(&pool.segment, handle), (unsigned long long)seen,
                 (unsigned long long)(handle ^ holder));
}

static void allocate(struct worker *worker)
{
    fastalloc_handle handle = FASTALLOC_NONE;
    int error;

    if (worker->count == KEPT_MAX)
        return;
    error = fastalloc_alloc_inline_(&worker->lane, &handle, NULL);
    worker->allocs += !error;
    worker->exhausted += error == FASTALLOC_E_EXHAUSTED;
    worker->stalled += error == FASTALLOC_E_STALLED;
    if (error)
        return;
    stamp(worker, handle);
    worker->kept[worker->count++] = handle;
}

static void put_down(struct worker *worker, fastalloc_handle handle)
{
    int error = fastalloc_free_inline_(&worker->lane, handle);

    if (error && !worker->wrong[0])
        snprintf(worker->wrong, sizeof worker->wrong, "freeing %llx fails with %d",
                 (unsigned long long)handle, error);
}

static void free_one(struct worker *worker)
{
    unsigned which;

    if (!worker->count)
        return;
    which = (unsigned)(test_random(&worker->random) % worker->count);
    check_stamp(worker, worker->kept[which], worker->actor.session);
    put_down(worker, worker->kept[which]);
    worker->kept[which] = worker->kept[--worker->count];
}

/* Lays a handle on the desk, stamped by nobody. */
static void hand_over(struct worker *worker)
{
    fastalloc_handle handle;

    if (!worker->count)
        return;
    pthread_mutex_lock(&desk.mutex);
    if (desk.count < DESK) {
        handle = worker->kept[--worker->count];
        check_stamp(worker, handle, worker->actor.session);
        __atomic_store_n(object_of(handle), handle, __ATOMIC_RELAXED);
        desk.handles[desk.count++] = handle;
    }
    pthread_mutex_unlock(&desk.mutex);
}

/* Takes a handle from the desk; adopts and keeps it, or frees it for its owner. */
static void take_over(struct worker *worker)
{
    fastalloc_handle handle = FASTALLOC_NONE;
    uint64_t word;

    pthread_mutex_lock(&desk.mutex);
    if (desk.count)
        handle = desk.handles[--desk.count];
    pthread_mutex_unlock(&desk.mutex);
    if (!handle)
        return;
    check_stamp(worker, handle, 0);
    if (worker->count == KEPT_MAX || test_random(&worker->random) % 2) {
        put_down(worker, handle);
        return;
    }
    if (slot_own(&pool.segment, handle, worker->actor.session, &word) && !worker->wrong[0])
        snprintf(worker->wrong, sizeof worker->wrong, "adopting %llx fails",
                 (unsigned long long)handle);
    stamp(worker, handle);
    worker->kept[worker->count++] = handle;
}

/* As a thread that ends and another that begins. */
static void come_and_go(struct worker *worker)
{
    cache_release(&pool.segment, &worker->actor);
    worker->actor.cache = cache_claim(&pool.segment, worker->actor.session, worker->actor.session);
    lane_open(&worker->lane, &pool, &worker->actor);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    unsigned i, want = KEPT_MAX;

    lane_open(&worker->lane, &pool, &worker->actor);
    while (!passed() && !worker->wrong[0]) {
        uint64_t dice = test_random(&worker->random) % 1000;

        if (dice < 10)
            want = (unsigned)(test_random(&worker->random) % KEPT_MAX);
        else if (dice < 100)
            hand_over(worker);
        else if (dice < 200)
            take_over(worker);
        else if (dice < 203 && worker->comes_and_goes)
            come_and_go(worker);
        else if (worker->count < want)
            allocate(worker);
        else
            free_one(worker);
    }
    for (i = 0; i < worker->count; i++)
        put_down(worker, worker->kept[i]);
    return NULL;
}

static void run(uint64_t slots, unsigned cached)
{
    static struct worker workers[THREADS];
    pthread_t threads[THREADS];
    struct actor last;
    unsigned i;

    memset(workers, 0, sizeof workers);
    desk.count = 0;
    seed = test_seed("threads");
    test_pool_make(&pool, &(struct test_shape){.capacity = slots, .threads = 6});
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += 2;
    for (i = 0; i < THREADS; i++) {
        workers[i].actor =
            i < cached ? test_pool_actor(&pool, i + 1) : test_pool_bare_actor(&pool, i + 1);
        workers[i].random = seed + i;
        workers[i].comes_and_goes = i % 2 && workers[i].actor.cache != CACHE_NONE;
    }
    for (i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (i = 0; i < THREADS; i++) {
        ck_assert_msg(!workers[i].wrong[0], "thread %u: %s", i, workers[i].wrong);
        printf("  thread %u: %llu allocations, %llu times exhausted, %llu stalled\n", i,
               (unsigned long long)workers[i].allocs, (unsigned long long)workers[i].exhausted,
               (unsigned long long)workers[i].stalled);
    }
    lane_open(&workers[0].lane, &pool, &workers[0].actor);
    while (desk.count)
        put_down(&workers[0], desk.handles[--desk.count]);
    last = workers[0].actor;
    test_pool_assert_exact(&pool, &last);
    ck_assert_uint_eq(survey_allocated(&pool.segment), 0);
    test_pool_end(&pool);
}

START_TEST(no_slot_has_two_holders_in_a_pool_that_is_often_empty)
{
    run(SLOTS, THREADS);
}
END_TEST

START_TEST(no_slot_has_two_holders_where_some_have_no_cache)
{
    run(SLOTS, 3);
}
END_TEST

START_TEST(no_slot_has_two_holders_in_a_roomy_pool)
{
    run(5000, THREADS);
}
END_TEST

START_TEST(no_slot_has_two_holders_in_a_pool_too_small_for_magazines)
{
    run(200, THREADS);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        no_slot_has_two_holders_in_a_pool_that_is_often_empty,
        no_slot_has_two_holders_where_some_have_no_cache,
        no_slot_has_two_holders_in_a_roomy_pool,
        no_slot_has_two_holders_in_a_pool_too_small_for_magazines,
    };

    return test_run(TEST_SUITE("threads", tests, 30));
}
