/* SPDX-License-Identifier: MIT
 *
 * check_tally: what is counted where; and that nothing that stands in memory makes the
 * statistics fail.
 */
#include "tests/support/lane.h"

#include "shm/notes.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "shm/sweep.h"
#include "shm/tally.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ME = 1, OTHER = 2, THIRD = 3 };

static struct test_pool pool;
static struct segment *segment;

static void begin(uint64_t capacity, uint32_t flags)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = capacity, .flags = flags});
    segment = &pool.segment;
}

static fastalloc_stats stats_of_pool(void)
{
    fastalloc_stats stats;

    tally_read(segment, &stats);
    return stats;
}

static fastalloc_stats stats_of(uint32_t session)
{
    fastalloc_stats stats;

    ck_assert(tally_read_session(segment, session, &stats));
    return stats;
}

/* Nobody works: the counts and the slots agree. */
static void assert_sum(void)
{
    fastalloc_stats stats = stats_of_pool();

    ck_assert_uint_eq(stats.total_allocations - stats.total_deallocations - stats.reclaimed,
                      stats.current_usage);
    ck_assert_uint_ge(stats.peak_usage, stats.current_usage);
    ck_assert_uint_eq(stats.available, stats.capacity - stats.current_usage);
}

static void alloc_many(const struct actor *actor, unsigned count)
{
    while (count--)
        test_pool_alloc(&pool, actor);
}

/* Frees some that are held. */
static void free_many(const struct actor *actor, unsigned count)
{
    uint64_t index;

    for (index = 0; count; index++)
        if (pool.held[index]) {
            test_pool_free(&pool, actor, index);
            count--;
        }
}

static const uint64_t capacities[] = {1, 100, 255, 256, 1000, 5000, 40000};
enum { CAPACITIES = sizeof capacities / sizeof capacities[0] };

/* --------------------------------------------------------------- the totals */

START_TEST(each_allocation_and_each_free_counts_once)
{
    struct actor actors[2];
    fastalloc_stats stats;
    unsigned i, most;

    begin(capacities[_i], 0);
    most = capacities[_i] < 200 ? (unsigned)capacities[_i] : 200;
    actors[0] = test_pool_actor(&pool, ME);
    actors[1] = test_pool_bare_actor(&pool, OTHER);
    for (i = 1; i <= 20; i++) {
        alloc_many(&actors[i % 2], most);
        stats = stats_of_pool();
        ck_assert_uint_eq(stats.total_allocations, (uint64_t)i * most);
        ck_assert_uint_eq(stats.current_usage, most);
        assert_sum();
        free_many(&actors[i / 2 % 2], most);
        stats = stats_of_pool();
        ck_assert_uint_eq(stats.total_deallocations, (uint64_t)i * most);
        ck_assert_uint_eq(stats.current_usage, 0);
        assert_sum();
    }
    /* Who frees is not who allocated. */
    stats = stats_of(ME);
    ck_assert_uint_eq(stats.total_allocations, 10 * most);
    ck_assert_uint_eq(stats.total_deallocations, 10 * most);
    ck_assert_uint_eq(stats.session, ME);
    test_pool_end(&pool);
}
END_TEST

START_TEST(the_fast_path_counts_in_the_gate)
{
    struct fastalloc_pool lane;
    fastalloc_handle handle;
    struct actor actor;
    uint64_t slow;
    int i;

    begin(5000, 0);
    actor = test_pool_actor(&pool, ME);
    alloc_many(&actor, 1);
    lane_open(&lane, &pool, &actor);
    slow = segment->caches[actor.cache].exchanges;
    for (i = 0; i < 1000; i++) {
        ck_assert_int_eq(fastalloc_alloc_inline_(&lane, &handle, NULL), 0);
        ck_assert_int_eq(fastalloc_free_inline_(&lane, handle), 0);
    }
    ck_assert_uint_eq(segment->caches[actor.cache].gate.allocations, 1001);
    ck_assert_uint_eq(segment->caches[actor.cache].gate.frees, 1000);
    ck_assert_uint_eq(segment->caches[actor.cache].exchanges, slow);
    assert_sum();
    test_pool_end(&pool);
}
END_TEST

/* A slot allocated from the cache is none; each that comes from elsewhere is one. */
START_TEST(exchanges_are_the_allocations_past_the_cache)
{
    struct actor actor, bare;
    fastalloc_stats stats;

    begin(5000, 0);
    actor = test_pool_actor(&pool, ME);
    alloc_many(&actor, 128); /* one from the pool, and 127 came along */
    stats = stats_of_pool();
    ck_assert_uint_eq(stats.exchanges, 1);
    ck_assert_double_eq_tol(stats.cache_rate, 127.0 / 128.0, 1e-9);
    alloc_many(&actor, 1);
    ck_assert_uint_eq(stats_of_pool().exchanges, 2);
    bare = test_pool_bare_actor(&pool, OTHER);
    alloc_many(&bare, 10);
    ck_assert_uint_eq(stats_of_pool().exchanges, 12);
    test_pool_end(&pool);
}
END_TEST

START_TEST(failures_and_waits_are_the_pools_and_the_sessions)
{
    fastalloc_stats stats;
    unsigned i;

    begin(100, 0);
    test_pool_bare_actor(&pool, ME);
    test_pool_bare_actor(&pool, OTHER);
    ck_assert_double_eq(stats_of_pool().hit_rate, 1.0);
    for (i = 0; i < 3; i++)
        tally_failure(segment, ME);
    tally_failure(segment, OTHER);
    tally_wait(segment, OTHER);
    stats = stats_of_pool();
    ck_assert_uint_eq(stats.allocation_failures, 4);
    ck_assert_uint_eq(stats.waits, 1);
    ck_assert_double_eq(stats.hit_rate, 0.0);
    ck_assert_uint_eq(stats_of(ME).allocation_failures, 3);
    ck_assert_uint_eq(stats_of(ME).waits, 0);
    ck_assert_uint_eq(stats_of(OTHER).waits, 1);
    test_pool_end(&pool);
}
END_TEST

/* ------------------------------------------------------------- the sessions */

START_TEST(a_session_keeps_what_its_ended_threads_counted)
{
    struct actor first, second, stranger;

    begin(5000, 0);
    first = test_pool_actor(&pool, ME);
    alloc_many(&first, 30);
    free_many(&first, 10);
    cache_release(segment, &first);
    stranger = test_pool_actor(&pool, OTHER);
    ck_assert_uint_eq(stranger.cache, first.cache);
    alloc_many(&stranger, 7);
    second = test_pool_actor(&pool, ME);
    alloc_many(&second, 5);
    ck_assert_uint_eq(stats_of(ME).total_allocations, 35);
    ck_assert_uint_eq(stats_of(ME).total_deallocations, 10);
    ck_assert_uint_eq(stats_of(ME).current_usage, 25);
    ck_assert_uint_eq(stats_of(OTHER).total_allocations, 7);
    ck_assert_uint_eq(stats_of_pool().total_allocations, 42);
    assert_sum();
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_session_begins_with_nothing_and_the_pool_forgets_nothing)
{
    struct actor cached, bare;
    int round;

    begin(5000, 0);
    for (round = 1; round <= 5; round++) {
        cached = test_pool_actor(&pool, ME);
        bare = test_pool_bare_actor(&pool, ME);
        ck_assert_uint_eq(stats_of(ME).total_allocations, 0);
        ck_assert_uint_eq(stats_of(ME).allocation_failures, 0);
        alloc_many(&cached, 200);
        alloc_many(&bare, 10);
        free_many(&bare, 4);
        tally_failure(segment, ME);
        ck_assert_uint_eq(stats_of(ME).total_allocations, 210);
        ck_assert_uint_eq(stats_of(ME).total_deallocations, 4);
        ck_assert_uint_eq(stats_of(ME).allocation_failures, 1);
        sweep_session(segment, ME, NULL, NULL);
        test_pool_forget(&pool);
        ck_assert(!tally_read_session(segment, ME, &(fastalloc_stats){0}));
        ck_assert(session_reuse(segment, ME));
        ck_assert_uint_eq(stats_of_pool().total_allocations, 210 * (unsigned)round);
        ck_assert_uint_eq(stats_of_pool().allocation_failures, (unsigned)round);
        ck_assert_uint_eq(stats_of_pool().reclaimed, 206 * (unsigned)round);
        ck_assert_uint_eq(stats_of_pool().deaths, (unsigned)round);
        assert_sum();
    }
    ck_assert(!tally_read_session(segment, 0, &(fastalloc_stats){0}));
    ck_assert(!tally_read_session(segment, 9, &(fastalloc_stats){0}));
    ck_assert(!tally_read_session(segment, UINT32_MAX, &(fastalloc_stats){0}));
    test_pool_end(&pool);
}
END_TEST

/* ------------------------------------------------------------------ the dead */

START_TEST(what_expires_or_is_released_counts_as_reclaimed)
{
    struct sweep_policy policy = {FASTALLOC_QUARANTINE, 0};
    struct actor actor, dead;
    uint64_t index, left = 0;

    begin(300, SPEC_NOTES);
    actor = test_pool_actor(&pool, ME);
    dead = test_pool_actor(&pool, OTHER);
    alloc_many(&actor, 20);
    alloc_many(&dead, 30);
    for (index = 0; left < 8; index++)
        if (slot_owner_of(segment->words[index]) == ME)
            left += notes_leave(segment, test_pool_handle(&pool, index), ME, 1, 5) == 0;
    sweep_session(segment, OTHER, &policy, NULL);
    ck_assert_uint_eq(stats_of_pool().reclaimed, 0);
    ck_assert_uint_eq(stats_of_pool().current_usage, 50);
    assert_sum();
    ck_assert_uint_eq(notes_expire(segment, 6, false), 8);
    ck_assert_uint_eq(stats_of_pool().reclaimed, 8);
    assert_sum();
    ck_assert_uint_eq(notes_release(segment, FASTALLOC_NONE), 30);
    ck_assert_uint_eq(stats_of_pool().reclaimed, 38);
    ck_assert_uint_eq(stats_of_pool().current_usage, 12);
    assert_sum();
    test_pool_end(&pool);
}
END_TEST

START_TEST(times_of_reclaims_have_a_last_a_longest_and_a_mean)
{
    fastalloc_stats stats;

    begin(100, 0);
    ck_assert_uint_eq(stats_of_pool().reclaim_mean_ns, 0);
    tally_reclaim_time(segment, 100);
    tally_reclaim_time(segment, 700);
    tally_reclaim_time(segment, 400);
    stats = stats_of_pool();
    ck_assert_uint_eq(stats.reclaims, 3);
    ck_assert_uint_eq(stats.reclaim_last_ns, 400);
    ck_assert_uint_eq(stats.reclaim_most_ns, 700);
    ck_assert_uint_eq(stats.reclaim_mean_ns, 400);
    tally_reset(segment);
    stats = stats_of_pool();
    ck_assert_uint_eq(
        stats.reclaims + stats.reclaim_last_ns + stats.reclaim_most_ns + stats.reclaim_mean_ns, 0);
    test_pool_end(&pool);
}
END_TEST

/* --------------------------------------------------------------------- reset */

START_TEST(a_reset_begins_anew_and_keeps_what_is)
{
    struct actor actors[2];
    fastalloc_stats stats;

    begin(capacities[_i] < 100 ? 100 : capacities[_i], 0);
    actors[0] = test_pool_actor(&pool, ME);
    actors[1] = test_pool_bare_actor(&pool, ME);
    alloc_many(&actors[0], 60);
    alloc_many(&actors[1], 20);
    free_many(&actors[1], 50);
    tally_failure(segment, ME);
    tally_wait(segment, ME);
    segment->header->growths = 3;
    tally_reset(segment);
    stats = stats_of_pool();
    ck_assert_uint_eq(stats.total_allocations, 0);
    ck_assert_uint_eq(stats.total_deallocations, 0);
    ck_assert_uint_eq(stats.allocation_failures + stats.waits, 0);
    ck_assert_uint_eq(stats.exchanges, 0);
    ck_assert_uint_eq(stats.growth_count, 0);
    ck_assert_uint_eq(stats.current_usage, 30);
    ck_assert_uint_eq(stats.peak_usage, 30);
    ck_assert_double_eq(stats.hit_rate, 1.0);
    ck_assert_double_eq(stats.cache_rate, 1.0);
    ck_assert_uint_eq(stats_of(ME).total_allocations, 80);
    alloc_many(&actors[0], 5);
    free_many(&actors[0], 20);
    segment->header->growths = 4;
    stats = stats_of_pool();
    ck_assert_uint_eq(stats.total_allocations, 5);
    ck_assert_uint_eq(stats.total_deallocations, 20);
    ck_assert_uint_eq(stats.growth_count, 1);
    ck_assert_uint_eq(stats.current_usage, 15);
    ck_assert_uint_ge(stats.peak_usage, 30);
    test_pool_end(&pool);
}
END_TEST

/* ------------------------------------------------------------------ whatever is there */

static void assert_sense(const fastalloc_stats *stats)
{
    const double *rates[] = {&stats->utilization_rate, &stats->peak_utilization_rate};
    unsigned i;

    for (i = 0; i < 2; i++)
        TEST_REQUIRE(*rates[i] >= 0 && *rates[i] <= 100, "a rate is %f", *rates[i]);
    TEST_REQUIRE(stats->hit_rate >= 0 && stats->hit_rate <= 1, "hit_rate is %f", stats->hit_rate);
    TEST_REQUIRE(stats->cache_rate >= 0 && stats->cache_rate <= 1, "cache_rate is %f",
                 stats->cache_rate);
    TEST_REQUIRE((stats->session || stats->peak_usage >= stats->current_usage) &&
                     stats->current_usage <= 300 && stats->peak_usage <= 300 &&
                     stats->available <= 300,
                 "of 300 slots %llu in use, at most %llu", (unsigned long long)stats->current_usage,
                 (unsigned long long)stats->peak_usage);
    TEST_REQUIRE(memchr(stats->name, 0, sizeof stats->name), "the name has no end");
}

static void spoil(uint64_t *random, void *part, size_t size)
{
    unsigned char *bytes = part;
    size_t i;

    for (i = 0; i < size; i++)
        if (test_random(random) % 4 == 0)
            bytes[i] = (unsigned char)(test_random(random) % 3 ? test_random(random) : 255);
}

START_TEST(no_bytes_make_the_statistics_fail)
{
    uint64_t random = test_seed("bytes");
    fastalloc_stats stats;
    char *copy, *base;
    int round;

    begin(300, SPEC_SHARING);
    test_pool_actor(&pool, ME);
    base = segment->base;
    copy = malloc(segment->geometry.guard_at);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, base, segment->geometry.guard_at);
    for (round = 0; round < 3000; round++) {
        struct shm_header *header = segment->header;

        memcpy(base, copy, segment->geometry.guard_at);
        if (round % 2)
            spoil(&random, base, segment->geometry.guard_at);
        else
            spoil(&random, &header->peak, (size_t)((char *)(header + 1) - (char *)&header->peak));
        tally_read(segment, &stats);
        assert_sense(&stats);
        if (tally_read_session(segment, ME, &stats))
            assert_sense(&stats);
        tally_peak(segment, round % 3);
        tally_reset(segment);
        tally_read(segment, &stats);
        assert_sense(&stats);
    }
    free(copy);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(reading_writes_nothing)
{
    fastalloc_stats stats;
    struct actor actor;

    begin(300, SPEC_SHARING);
    actor = test_pool_actor(&pool, ME);
    alloc_many(&actor, 25);
    ck_assert_int_eq(mprotect(segment->base, pool.bytes, PROT_READ), 0);
    tally_read(segment, &stats);
    ck_assert_uint_eq(stats.current_usage, 25);
    ck_assert_uint_eq(stats.peak_usage, 25);
    ck_assert_str_eq(stats.name, "test");
    ck_assert(tally_read_session(segment, ME, &stats));
    ck_assert_uint_eq(stats.current_usage, 25);
    ck_assert_int_eq(mprotect(segment->base, pool.bytes, PROT_READ | PROT_WRITE), 0);
    test_pool_end(&pool);
}
END_TEST

/* ------------------------------------------------------------------- threads */

enum { THREADS = 4, ROUNDS = 3000, BATCH = 40 };

static uint64_t allocated, freed;

static void *work(void *argument)
{
    uint32_t session = (uint32_t)(uintptr_t)argument;
    struct actor actor =
        session % 2 ? test_pool_actor(&pool, session) : test_pool_bare_actor(&pool, session);
    struct fastalloc_pool lane;
    fastalloc_handle handles[BATCH];
    uint64_t random = session, mine = 0, back = 0;
    unsigned count = 0, i;

    lane_open(&lane, &pool, &actor);
    for (i = 0; i < ROUNDS; i++) {
        if (count < BATCH && (count == 0 || test_random(&random) % 2)) {
            if (fastalloc_alloc_inline_(&lane, &handles[count], NULL) == 0) {
                count++;
                mine++;
            }
        } else {
            TEST_REQUIRE(fastalloc_free_inline_(&lane, handles[--count]) == 0, "no free");
            back++;
        }
        if (i % 100 == 0)
            stats_of_pool();
    }
    if (actor.cache != CACHE_NONE)
        cache_release(segment, &actor);
    __atomic_add_fetch(&allocated, mine, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&freed, back, __ATOMIC_SEQ_CST);
    return NULL;
}

START_TEST(threads_count_all_they_do)
{
    static const uint64_t shapes[] = {100, 300, 5000};
    pthread_t threads[THREADS];
    fastalloc_stats stats;
    uintptr_t i;

    begin(shapes[_i], 0);
    allocated = freed = 0;
    for (i = 0; i < THREADS; i++)
        test_pool_bare_actor(&pool, (uint32_t)i + 1);
    for (i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, (void *)(i + 1)), 0);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    stats = stats_of_pool();
    ck_assert_uint_eq(stats.total_allocations, allocated);
    ck_assert_uint_eq(stats.total_deallocations, freed);
    ck_assert_uint_le(stats.peak_usage, THREADS * BATCH);
    assert_sum();
    test_pool_end(&pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tally");
    TCase *each = tcase_create("each capacity"), *once = tcase_create("once");

    tcase_set_timeout(each, 60);
    tcase_set_timeout(once, 60);
    tcase_add_loop_test(each, each_allocation_and_each_free_counts_once, 0, CAPACITIES);
    tcase_add_loop_test(each, a_reset_begins_anew_and_keeps_what_is, 0, CAPACITIES);
    tcase_add_loop_test(each, threads_count_all_they_do, 0, 3);
    tcase_add_test(once, the_fast_path_counts_in_the_gate);
    tcase_add_test(once, exchanges_are_the_allocations_past_the_cache);
    tcase_add_test(once, failures_and_waits_are_the_pools_and_the_sessions);
    tcase_add_test(once, a_session_keeps_what_its_ended_threads_counted);
    tcase_add_test(once, a_session_begins_with_nothing_and_the_pool_forgets_nothing);
    tcase_add_test(once, what_expires_or_is_released_counts_as_reclaimed);
    tcase_add_test(once, times_of_reclaims_have_a_last_a_longest_and_a_mean);
    tcase_add_test(once, no_bytes_make_the_statistics_fail);
    tcase_add_test(once, reading_writes_nothing);
    suite_add_tcase(suite, each);
    suite_add_tcase(suite, once);
    return test_run(suite);
}
