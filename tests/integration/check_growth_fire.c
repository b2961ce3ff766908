/* SPDX-License-Identifier: MIT
 *
 * Capacity that is exact under fire: a pool that grows a thousandfold while its users are
 * killed, and one whose last slots lie in the caches of sleepers.
 */
#include "both.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---------------------------------------------------- growing under kills */

#define EATERS 8
#define MAXIMUM 1000000
#define KILL_EVERY_MS 100
#define KILLS_LEAST 8
#define BURST 512 /* slots, then a nap of a millisecond: so that it lasts for some kills */

/* What an eater tells, in memory that the test reads too. */
struct plate {
    uint64_t eaten; /* slots it holds */
    uint32_t full;  /* heard that there are no more, or an error */
    int32_t error;  /* that no allocation may bring */
    char text[496];
};

static struct plate *plates;
static struct child eaters[EATERS];

/* Takes all it can get; each object says whose it is. */
static void eat(int channel, void *argument)
{
    struct plate *plate = argument;
    fastalloc_handle handle;
    uint64_t *object;
    int error;

    for (;;) {
        error = fastalloc_alloc(both_pool, &handle, (void **)&object);
        /* At the maximum a death that is being swept may be in the way. */
        if (error == FASTALLOC_E_STALLED && api_info(both_pool).capacity == MAXIMUM)
            continue;
        if (error)
            break;
        object[0] = handle;
        object[1] = (uint64_t)getpid();
        if (++plate->eaten % BURST == 0)
            api_sleep_ms(1);
    }
    if (error != FASTALLOC_E_MAX_CAPACITY || api_info(both_pool).capacity != MAXIMUM) {
        plate->error = error;
        snprintf(plate->text, sizeof plate->text, "%s", fastalloc_last_error());
    }
    __atomic_store_n(&plate->full, 1, __ATOMIC_RELEASE);
    channel_take(channel);
}

static void seat(int i)
{
    memset(&plates[i], 0, sizeof plates[i]);
    child_start(&eaters[i], eat, &plates[i]);
}

/* Slots in the hands of those that live, once the dead are swept. */
static uint64_t eaten(void)
{
    uint64_t sum = 0;
    int i;

    for (i = 0; i < EATERS; i++)
        sum += plates[i].eaten;
    return sum;
}

static void require_no_complaint(void)
{
    int i;

    for (i = 0; i < EATERS; i++)
        ck_assert_msg(plates[i].error == 0, "an allocation failed with %s: %s",
                      fastalloc_error_name(plates[i].error), plates[i].text);
}

static bool all_are_full(void *argument)
{
    int i;

    (void)argument;
    for (i = 0; i < EATERS; i++)
        if (!__atomic_load_n(&plates[i].full, __ATOMIC_ACQUIRE))
            return false;
    return true;
}

/* `fastallocctl check` finds nothing. */
static void require_clean(void)
{
    const char *program = getenv("FASTALLOCCTL");
    char command[512];

    snprintf(command, sizeof command, "%s --socket %s check fire > /dev/null",
             program ? program : "daemon/fastallocctl", both_daemon.socket);
    ck_assert_msg(system(command) == 0, "%s finds fault", command);
}

static fastalloc_pool_config fire(void)
{
    fastalloc_pool_config config = api_config("fire", 32, 100);

    config.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    config.growth_factor = 2;
    config.max_capacity = MAXIMUM;
    config.max_sessions = 64;
    return config;
}

/* Kills one every so often while the pool grows, and seats another. */
static int kill_meanwhile(void)
{
    int kills;

    for (kills = 0; kills < KILLS_LEAST || api_info(both_pool).capacity < MAXIMUM; kills++) {
        api_sleep_ms(KILL_EVERY_MS);
        require_no_complaint();
        child_kill(&eaters[kills % EATERS]);
        seat(kills % EATERS);
    }
    return kills;
}

START_TEST(eight_processes_exhaust_a_pool_that_grows_and_are_killed_meanwhile)
{
    fastalloc_pool_config config = fire();
    size_t bytes = EATERS * sizeof *plates;
    int64_t began = api_now_us();
    fastalloc_handle handle;
    uint64_t rest = 0;
    int i, kills;

    plates = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(plates, MAP_FAILED);
    both_begin(BOTH_DAEMON, &config);
    for (i = 0; i < EATERS; i++)
        seat(i);
    kills = kill_meanwhile();
    ck_assert(test_eventually(all_are_full, NULL));
    require_no_complaint();
    /* What comes back after the last of them was full; and then there is no more. */
    for (; eaten() + rest < MAXIMUM; rest++)
        require_ok(fastalloc_alloc_wait(both_pool, &handle, NULL, fastalloc_deadline(5000)));
    require_failure(fastalloc_alloc(both_pool, &handle, NULL), FASTALLOC_E_MAX_CAPACITY,
                    "1000000/1000000", "top holders");
    ck_assert_uint_eq(eaten() + rest, MAXIMUM);
    printf("# %d killed while it grew; %llu slots were left to the last; %lld ms\n", kills,
           (unsigned long long)rest, (long long)(api_now_us() - began) / 1000);
    require_clean();
    for (i = 0; i < EATERS; i++)
        child_kill(&eaters[i]);
    ck_assert(api_allocated_becomes(both_pool, rest));
    require_clean();
    munmap(plates, bytes);
    both_end(BOTH_DAEMON);
}
END_TEST

/* ------------------------------------------------------------ exact capacity */

#define SLEEPERS 16
#define SLEEPER_THREADS 4
#define EXACT 20000
#define WARM 150 /* slots each thread allocates and frees: what its cache holds, and more */

static pthread_barrier_t warm, morning;

static void *warm_and_sleep(void *argument)
{
    fastalloc_handle handles[WARM];
    size_t i;

    (void)argument;
    for (i = 0; i < WARM; i++)
        child_require(inlined_alloc(both_pool, &handles[i], NULL) == 0);
    for (i = 0; i < WARM; i++)
        child_require(inlined_free(both_pool, handles[i]) == 0);
    child_require(inlined_has_cache(both_pool));
    pthread_barrier_wait(&warm);
    pthread_barrier_wait(&morning);
    /* Its cache was emptied in its sleep, which hurts nothing. */
    child_require(inlined_alloc(both_pool, &handles[0], NULL) == FASTALLOC_E_EXHAUSTED);
    return NULL;
}

static void sleep_with_warm_caches(int channel, void *argument)
{
    size_t i, holds = *(size_t *)argument;
    pthread_t threads[SLEEPER_THREADS];
    fastalloc_handle handle;

    pthread_barrier_init(&warm, NULL, SLEEPER_THREADS + 1);
    pthread_barrier_init(&morning, NULL, SLEEPER_THREADS + 1);
    for (i = 0; i < holds; i++)
        child_require(fastalloc_alloc(both_pool, &handle, NULL) == 0);
    for (i = 0; i < SLEEPER_THREADS; i++)
        child_require(pthread_create(&threads[i], NULL, warm_and_sleep, NULL) == 0);
    pthread_barrier_wait(&warm);
    channel_put(channel, holds);
    channel_take(channel);
    pthread_barrier_wait(&morning);
    for (i = 0; i < SLEEPER_THREADS; i++)
        pthread_join(threads[i], NULL);
    channel_put(channel, 0);
    channel_take(channel);
}

START_TEST(one_more_process_obtains_every_slot_that_sleepers_have_cached)
{
    fastalloc_pool_config config = api_config("exact", 64, EXACT);
    size_t holds, held = 0, got = 0, i;
    struct child sleepers[SLEEPERS];
    fastalloc_handle handle;
    char largest[32], second[32];
    int error;

    both_begin(_i, &config);
    for (i = 0; i < SLEEPERS; i++) {
        holds = 10 * i;
        held += holds;
        child_start(&sleepers[i], sleep_with_warm_caches, &holds);
        ck_assert_uint_eq(channel_take(sleepers[i].channel), holds);
    }
    while ((error = fastalloc_alloc(both_pool, &handle, NULL)) == 0)
        got++;
    ck_assert_uint_eq(got, EXACT - held);
    snprintf(largest, sizeof largest, "[%d] %zu", (int)getpid(), got);
    snprintf(second, sizeof second, "[%d] %d", (int)sleepers[15].pid, 150);
    require_failure(error, FASTALLOC_E_EXHAUSTED, "20000/20000", "top holders", largest, second);
    for (i = 0; i < SLEEPERS; i++) {
        channel_put(sleepers[i].channel, 0);
        channel_take(sleepers[i].channel);
    }
    for (i = 0; i < SLEEPERS; i++) {
        channel_put(sleepers[i].channel, 0);
        child_join(&sleepers[i]);
    }
    both_end(_i);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        one_more_process_obtains_every_slot_that_sleepers_have_cached,
        NULL,
    };
    const TTest *const once[] = {
        eight_processes_exhaust_a_pool_that_grows_and_are_killed_meanwhile,
        NULL,
    };

    return both_run("growth under fire", of_both, once, 60);
}
