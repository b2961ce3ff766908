/* SPDX-License-Identifier: MIT
 *
 * thread_local: pools for one thread, and why a pool for all of them is as good.
 *
 * 1. A local pool, of no daemon's, serves the thread that made it, and moves to another
 *    thread with all that is in it: it is a pointer, and belongs to no thread.
 * 2. Four threads, each with a pool of its own, and then four threads that share one.  A
 *    thread takes its slots from a cache of its own, so the shared pool behaves as four
 *    private ones do: the statistics count next to no exchanges with the common store, and
 *    the times differ by the machine's noise.
 * 3. What private pools cannot do: the slots that sleeping threads have left unused serve the
 *    one that needs them, whether they flushed their caches before they slept or not.
 */
#define FASTALLOC_INLINE /* the fast path without a call */
#include "example.h"

#include <pthread.h>
#include <time.h>

#define THREADS 4
#define ROUNDS 20000
#define AT_A_TIME 20
#define CAPACITY 4096

struct item {
    uint64_t number;
    char data[56];
};
FASTALLOC_DEFINE_POOL(items, struct item);

static items_pool local_pool(const char *name, size_t capacity)
{
    fastalloc_pool_config config;
    items_pool pool;

    fastalloc_pool_config_init(&config);
    config.name = name;
    config.capacity = capacity;
    ok(items_create_local(&config, &pool));
    return pool;
}

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* ------------------------------------------------------------ a pool that moves */

struct parcel {
    items_pool pool;
    items_handle handles[AT_A_TIME];
};

static void *unpack(void *argument)
{
    struct parcel *parcel = argument;
    uint64_t i;

    for (i = 0; i < AT_A_TIME; i++) {
        expect(items_get(parcel->pool, parcel->handles[i])->number == i);
        ok(items_free(parcel->pool, parcel->handles[i]));
    }
    return NULL;
}

static void move(void)
{
    struct parcel parcel = {.pool = local_pool("moved", 100)};
    struct item *item;
    pthread_t thread;
    uint64_t i;

    for (i = 0; i < AT_A_TIME; i++) {
        ok(items_alloc(parcel.pool, &parcel.handles[i], &item));
        item->number = i;
    }
    expect(pthread_create(&thread, NULL, unpack, &parcel) == 0);
    expect(pthread_join(thread, NULL) == 0);
    expect(fastalloc_pool_is_empty(parcel.pool.pool));
    printf("moved      %d items made by one thread, read and freed by another\n", AT_A_TIME);
    ok(items_close(&parcel.pool));
}

/* ----------------------------------------------- a pool each, and one for all of them */

static void *work(void *argument)
{
    items_pool pool = *(items_pool *)argument;
    items_handle handles[AT_A_TIME];
    struct item *item;
    int round, i;

    for (round = 0; round < ROUNDS; round++) {
        for (i = 0; i < AT_A_TIME; i++) {
            ok(items_alloc(pool, &handles[i], &item));
            item->number = handles[i].value;
        }
        for (i = 0; i < AT_A_TIME; i++) {
            expect(items_get(pool, handles[i])->number == handles[i].value);
            ok(items_free(pool, handles[i]));
        }
    }
    return NULL;
}

/* Of all allocations, those that a thread's own cache has served, for `expected` of them. */
static double cache_rate(items_pool pool, uint64_t expected)
{
    fastalloc_stats stats = {.struct_size = sizeof stats};

    ok(fastalloc_pool_stats(pool.pool, &stats));
    expect(stats.total_allocations == expected && stats.total_deallocations == expected);
    expect(stats.current_usage == 0 && stats.allocation_failures == 0);
    return stats.cache_rate;
}

static void race(const char *title, items_pool *pools, unsigned count)
{
    const uint64_t each = (uint64_t)ROUNDS * AT_A_TIME;
    pthread_t threads[THREADS];
    double started = now_ms(), took, rate = 1, one;
    unsigned i;

    for (i = 0; i < THREADS; i++)
        expect(pthread_create(&threads[i], NULL, work, &pools[i % count]) == 0);
    for (i = 0; i < THREADS; i++)
        expect(pthread_join(threads[i], NULL) == 0);
    took = now_ms() - started;
    for (i = 0; i < count; i++) {
        one = cache_rate(pools[i], each * THREADS / count);
        rate = one < rate ? one : rate;
        ok(items_close(&pools[i]));
    }
    expect(rate > 0.99);
    printf("%-10s %d threads, %d times %d items: %6.1f ms, %.2f %% from the thread's own cache\n",
           title, THREADS, ROUNDS, AT_A_TIME, took, rate * 100);
}

/* --------------------------------------------------------------------- slots unused */

struct sleeper {
    items_pool pool;
    int flushes;
    pthread_barrier_t *asleep, *awake;
};

static void *use_and_sleep(void *argument)
{
    struct sleeper *sleeper = argument;
    items_handle handle;

    ok(items_alloc(sleeper->pool, &handle, NULL));
    ok(items_free(sleeper->pool, handle));
    /* The slots beside that one lie in this thread's cache.  Who needs them finds them there;
     * but before a long sleep a thread may as well hand them back. */
    if (sleeper->flushes)
        fastalloc_thread_flush(sleeper->pool.pool);
    pthread_barrier_wait(sleeper->asleep);
    pthread_barrier_wait(sleeper->awake);
    return NULL;
}

static void share_what_is_unused(void)
{
    static items_handle handles[CAPACITY];
    items_pool pool = local_pool("all", CAPACITY);
    struct sleeper sleepers[THREADS];
    pthread_barrier_t asleep, awake;
    pthread_t threads[THREADS];
    int i;

    expect(pthread_barrier_init(&asleep, NULL, THREADS + 1) == 0);
    expect(pthread_barrier_init(&awake, NULL, THREADS + 1) == 0);
    for (i = 0; i < THREADS; i++) {
        sleepers[i] = (struct sleeper){pool, i % 2, &asleep, &awake};
        expect(pthread_create(&threads[i], NULL, use_and_sleep, &sleepers[i]) == 0);
    }
    pthread_barrier_wait(&asleep);
    for (i = 0; i < CAPACITY; i++)
        ok(items_alloc(pool, &handles[i], NULL));
    expect(fastalloc_pool_is_full(pool.pool));
    printf("unused     all %d slots are one thread's, though %d sleeping ones had some cached\n",
           CAPACITY, THREADS);
    pthread_barrier_wait(&awake);
    for (i = 0; i < THREADS; i++)
        expect(pthread_join(threads[i], NULL) == 0);
    for (i = 0; i < CAPACITY; i++)
        ok(items_free(pool, handles[i]));
    ok(items_close(&pool));
    pthread_barrier_destroy(&asleep);
    pthread_barrier_destroy(&awake);
}

int main(void)
{
    items_pool pools[THREADS];
    int i;

    move();
    for (i = 0; i < THREADS; i++)
        pools[i] = local_pool("private", CAPACITY / THREADS);
    race("private", pools, THREADS);
    pools[0] = local_pool("shared", CAPACITY);
    race("shared", pools, 1);
    share_what_is_unused();
    return 0;
}
