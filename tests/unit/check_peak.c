/* SPDX-License-Identifier: MIT
 *
 * check_peak: the most slots there were in use: exactly, or as nearly as is documented.
 */
#include "tests/support/pool.h"

#include "shm/sweep.h"
#include "shm/tally.h"

enum { ME = 1, OTHER = 2, THIRD = 3 };

static struct test_pool pool;
static struct segment *segment;

static void begin(uint64_t capacity)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = capacity});
    segment = &pool.segment;
}

static void alloc_many(const struct actor *actor, unsigned count)
{
    while (count--)
        test_pool_alloc(&pool, actor);
}

/* A random walk of several actors; `judge` compares the peak as it stands with the true one. */
static void walk(struct actor *actors, unsigned count, unsigned steps, void (*judge)(uint64_t most))
{
    uint64_t random = test_seed("walk"), capacity = segment_capacity(segment), most = 0, index;
    uint64_t goal = 0;
    unsigned i;

    for (i = 0; i < steps; i++) {
        const struct actor *actor = &actors[test_random(&random) % count];

        if (i % 500 == 0)
            goal = test_random(&random) % (capacity + 1);
        if (pool.holding < goal || (pool.holding == 0 && goal)) {
            test_pool_alloc(&pool, actor);
        } else if (pool.holding) {
            index = test_random(&random) % capacity;
            while (!pool.held[index])
                index = (index + 1) % capacity;
            test_pool_free(&pool, actor, index);
        }
        if (pool.holding > most)
            most = pool.holding;
        judge(most);
    }
}

static void judge_exactly(uint64_t most)
{
    TEST_REQUIRE(segment->header->peak == most, "the peak is %llu, not %llu",
                 (unsigned long long)segment->header->peak, (unsigned long long)most);
}

START_TEST(the_peak_of_a_pool_without_caches_is_exact)
{
    static const uint64_t small[] = {1, 2, 63, 64, 65, 200, 255};
    struct actor actors[2];

    begin(small[_i]);
    actors[0] = test_pool_actor(&pool, ME);
    actors[1] = test_pool_actor(&pool, OTHER);
    walk(actors, 2, 20000, judge_exactly);
    test_pool_end(&pool);
}
END_TEST

/* What is documented: stats.h. */
static void judge_bound(uint64_t most)
{
    const struct geometry *geometry = &segment->geometry;
    uint64_t bound = 3 * 2 * geometry->magazine_size + geometry->max_capacity / 512;

    TEST_REQUIRE(segment->header->peak <= most, "the peak is %llu, but there were %llu at most",
                 (unsigned long long)segment->header->peak, (unsigned long long)most);
    TEST_REQUIRE(segment->header->peak + bound >= most, "the peak is %llu, and there were %llu",
                 (unsigned long long)segment->header->peak, (unsigned long long)most);
}

START_TEST(the_peak_of_a_pool_with_caches_is_at_most_what_they_hold_too_low)
{
    static const uint64_t large[] = {256, 1000, 1024, 5000, 40000};
    struct actor actors[3];

    begin(large[_i]);
    actors[0] = test_pool_actor(&pool, ME);
    actors[1] = test_pool_actor(&pool, OTHER);
    actors[2] = test_pool_actor(&pool, OTHER);
    walk(actors, 3, 100000, judge_bound);
    test_pool_end(&pool);
}
END_TEST

START_TEST(the_peak_of_a_pool_that_was_full_is_its_capacity)
{
    static const uint64_t full[] = {1, 100, 255, 256, 5000, 40000};
    fastalloc_stats stats;
    struct actor actor;

    begin(full[_i]);
    actor = test_pool_actor(&pool, ME);
    test_pool_drain(&pool, &actor);
    test_pool_refill(&pool, &actor);
    ck_assert_uint_eq(segment->header->peak, full[_i]);
    tally_read(segment, &stats);
    ck_assert_double_eq(stats.peak_utilization_rate, 100.0);
    ck_assert_double_eq(stats.utilization_rate, 0.0);
    test_pool_end(&pool);
}
END_TEST

/* A sweep leaves the depots' stocks out of date. */
START_TEST(the_peak_is_not_raised_by_what_was_swept)
{
    struct actor actors[4], dead;
    int i;

    begin(1000);
    for (i = 0; i < 4; i++)
        actors[i] = test_pool_actor(&pool, THIRD);
    dead = test_pool_actor(&pool, ME);
    for (i = 0; i < 4; i++)
        alloc_many(&actors[i], 1);
    sweep_session(segment, THIRD, NULL, NULL);
    test_pool_forget(&pool);
    alloc_many(&dead, 200);
    ck_assert_uint_le(segment->header->peak, 200);
    test_pool_end(&pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peak");
    TCase *tests = tcase_create("peak");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, the_peak_of_a_pool_without_caches_is_exact, 0, 7);
    tcase_add_loop_test(tests, the_peak_of_a_pool_with_caches_is_at_most_what_they_hold_too_low, 0,
                        5);
    tcase_add_loop_test(tests, the_peak_of_a_pool_that_was_full_is_its_capacity, 0, 6);
    tcase_add_test(tests, the_peak_is_not_raised_by_what_was_swept);
    suite_add_tcase(suite, tests);
    return test_run(suite);
}
