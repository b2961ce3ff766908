/* SPDX-License-Identifier: MIT
 *
 * check_batch: allocating and freeing many slots in one call: as so many calls of their own would,
 * whatever the size, wherever the cache stands, and whatever is wrong with one of the handles.
 */
#include "api.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 1000, MOST = 700, MAGAZINE = 15 };

static fastalloc_pool *pool;
static fastalloc_handle handles[SLOTS], spare[SLOTS];
static void *objects[SLOTS];

/* Magazines of 15, so that a batch needs many; strict; without caches. */
static const struct {
    size_t capacity;
    uint32_t features;
} shapes[] = {{SLOTS, 0}, {SLOTS, FASTALLOC_STRICT}, {200, 0}, {SLOTS, FASTALLOC_ZERO_ON_FREE}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static void begin(int shape)
{
    fastalloc_pool_config config = api_config("batch", 16, shapes[shape].capacity);

    config.features = shapes[shape].features;
    require_ok(fastalloc_pool_create_local(&config, &pool));
}

static void end(void)
{
    api_require_whole(pool);
    require_ok(fastalloc_pool_close(pool));
}

static size_t most_of(int shape)
{
    return shapes[shape].capacity < MOST ? shapes[shape].capacity : MOST;
}

static fastalloc_stats counted(void)
{
    fastalloc_stats stats = {.struct_size = sizeof stats};

    require_ok(fastalloc_pool_stats(pool, &stats));
    return stats;
}

/* Whoever has it finds his own number in each object. */
static void require_mine(size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        *(size_t *)objects[i] = i;
    for (i = 0; i < count; i++) {
        ck_assert_ptr_eq(fastalloc_get(pool, handles[i]), objects[i]);
        ck_assert_uint_eq(*(size_t *)objects[i], i);
        ck_assert_int_eq(fastalloc_handle_is_mine(pool, handles[i]), 1);
    }
}

START_TEST(a_batch_of_any_size_is_so_many_allocations_and_frees)
{
    size_t count, freed, round = 0;
    fastalloc_stats before, after;

    begin(_i);
    for (count = 0; count <= most_of(_i); count += 1 + count / 9) {
        fastalloc_handle odd = FASTALLOC_NONE;

        /* The cache stands elsewhere each time. */
        if (round++ % 3 == 0)
            odd = api_alloc(pool);
        before = counted();
        require_ok(fastalloc_alloc_batch(pool, count, handles, objects));
        require_mine(count);
        ck_assert_uint_eq(api_info(pool).allocated, count + (odd != FASTALLOC_NONE));
        freed = 12345;
        require_ok(fastalloc_free_batch(pool, count, handles, &freed));
        ck_assert_uint_eq(freed, count);
        after = counted();
        ck_assert_uint_eq(after.total_allocations - before.total_allocations, count);
        ck_assert_uint_eq(after.total_deallocations - before.total_deallocations, count);
        if (odd != FASTALLOC_NONE)
            require_ok(fastalloc_free(pool, odd));
    }
    end();
}
END_TEST

START_TEST(a_batch_without_objects_is_the_same)
{
    size_t i;

    begin(_i);
    require_ok(fastalloc_alloc_batch(pool, 100, handles, NULL));
    for (i = 0; i < 100; i++) {
        objects[i] = fastalloc_get(pool, handles[i]);
        ck_assert_ptr_nonnull(objects[i]);
    }
    require_mine(100);
    require_ok(fastalloc_free_batch(pool, 100, handles, NULL));
    end();
}
END_TEST

/* At each place of a batch that is longer than a magazine. */
START_TEST(a_bad_handle_stops_nobody_else)
{
    enum { COUNT = 2 * MAGAZINE + 5 };
    fastalloc_handle stale;
    size_t bad, freed;

    begin(_i);
    stale = api_alloc(pool);
    require_ok(fastalloc_free(pool, stale));
    for (bad = 0; bad < COUNT; bad++) {
        require_ok(fastalloc_alloc_batch(pool, COUNT, handles, NULL));
        memcpy(spare, handles, sizeof handles[0] * COUNT);
        spare[bad] = bad % 3 == 0 ? stale : bad % 3 == 1 ? FASTALLOC_NONE : ~UINT64_C(0);
        ck_assert_int_lt(fastalloc_free_batch(pool, COUNT, spare, &freed), 0);
        ck_assert_uint_eq(freed, COUNT - 1);
        ck_assert_uint_eq(api_info(pool).allocated, 1);
        require_ok(fastalloc_free(pool, handles[bad]));
    }
    end();
}
END_TEST

START_TEST(a_handle_twice_in_a_batch_is_freed_once)
{
    size_t freed;

    begin(_i);
    require_ok(fastalloc_alloc_batch(pool, 40, handles, NULL));
    handles[40] = handles[3];
    ck_assert_int_eq(fastalloc_free_batch(pool, 41, handles, &freed), FASTALLOC_E_DOUBLE_FREE);
    ck_assert_uint_eq(freed, 40);
    require_ok(fastalloc_alloc_batch(pool, 2, handles, NULL));
    handles[2] = handles[0];
    handles[3] = handles[1];
    ck_assert_int_eq(fastalloc_free_batch(pool, 4, handles, &freed), FASTALLOC_E_DOUBLE_FREE);
    ck_assert_uint_eq(freed, 2);
    end();
}
END_TEST

START_TEST(the_first_error_is_returned)
{
    size_t freed;

    begin(_i);
    require_ok(fastalloc_alloc_batch(pool, 3, handles, NULL));
    spare[0] = handles[0];
    spare[1] = ~UINT64_C(0);
    spare[2] = handles[1];
    spare[3] = handles[0];
    spare[4] = handles[2];
    ck_assert_int_eq(fastalloc_free_batch(pool, 5, spare, &freed), FASTALLOC_E_HANDLE);
    ck_assert_uint_eq(freed, 3);
    end();
}
END_TEST

START_TEST(a_batch_that_is_too_large_takes_nothing)
{
    size_t capacity = shapes[_i].capacity;

    begin(_i);
    require_ok(fastalloc_alloc_batch(pool, capacity / 2, spare, NULL));
    ck_assert_int_eq(fastalloc_alloc_batch(pool, capacity / 2 + 1, handles, objects),
                     FASTALLOC_E_EXHAUSTED);
    ck_assert_uint_eq(api_info(pool).allocated, capacity / 2);
    require_ok(fastalloc_alloc_batch(pool, capacity - capacity / 2, handles, objects));
    require_mine(capacity - capacity / 2);
    require_ok(fastalloc_free_batch(pool, capacity - capacity / 2, handles, NULL));
    require_ok(fastalloc_free_batch(pool, capacity / 2, spare, NULL));
    end();
}
END_TEST

/* ---------------------------------------------------------- another's slots */

static void free_what_comes(int channel, void *argument)
{
    size_t count = channel_take(channel), freed = 0, i;

    (void)argument;
    for (i = 0; i < count; i++)
        handles[i] = channel_take(channel);
    child_require(fastalloc_free_batch(pool, count, handles, &freed) == 0);
    child_require(freed == count);
    child_require(fastalloc_free_batch(pool, count, handles, &freed) < 0);
    child_require(freed == 0);
    channel_put(channel, fastalloc_pool_session(pool));
}

START_TEST(a_batch_frees_another_sessions_slots)
{
    struct child child;
    size_t i;

    begin(_i);
    require_ok(fastalloc_alloc_batch(pool, 100, handles, NULL));
    child_start(&child, free_what_comes, NULL);
    channel_put(child.channel, 100);
    for (i = 0; i < 100; i++)
        channel_put(child.channel, handles[i]);
    ck_assert_uint_ne(channel_take(child.channel), fastalloc_pool_session(pool));
    child_join(&child);
    ck_assert_uint_eq(api_info(pool).allocated, 0);
    for (i = 0; i < 100; i++)
        ck_assert_ptr_null(fastalloc_get(pool, handles[i]));
    end();
}
END_TEST

/* What a thief marks is seen by the next run, at the latest. */
START_TEST(a_batch_goes_on_when_the_cache_was_robbed)
{
    struct child child;
    size_t i, count = 0;

    begin(0);
    require_ok(fastalloc_alloc_batch(pool, 40, handles, NULL));
    require_ok(fastalloc_free_batch(pool, 40, handles, NULL)); /* the cache is full */
    require_ok(fastalloc_alloc_batch(pool, SLOTS - 40, spare, NULL));
    child_start(&child, free_what_comes, NULL);
    channel_put(child.channel, 20);
    for (i = 0; i < 20; i++)
        channel_put(child.channel, spare[i]);
    channel_take(child.channel);
    child_join(&child);
    while (count < 60 && fastalloc_alloc_batch(pool, 6, handles + count, NULL) == 0)
        count += 6;
    ck_assert_uint_eq(count, 60);
    ck_assert_int_eq(fastalloc_alloc_batch(pool, 6, handles + count, NULL), FASTALLOC_E_EXHAUSTED);
    require_ok(fastalloc_free_batch(pool, count, handles, NULL));
    require_ok(fastalloc_free_batch(pool, SLOTS - 60, spare + 20, NULL));
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch");
    TCase *cases = tcase_create("batch");
    const TTest *const of_each[] = {
        a_batch_of_any_size_is_so_many_allocations_and_frees,
        a_batch_without_objects_is_the_same,
        a_bad_handle_stops_nobody_else,
        a_handle_twice_in_a_batch_is_freed_once,
        the_first_error_is_returned,
        a_batch_that_is_too_large_takes_nothing,
        a_batch_frees_another_sessions_slots,
    };
    size_t i;
    SRunner *runner;
    int failed;

    tcase_set_timeout(cases, 30);
    for (i = 0; i < sizeof of_each / sizeof of_each[0]; i++)
        tcase_add_loop_test(cases, of_each[i], 0, SHAPES);
    tcase_add_test(cases, a_batch_goes_on_when_the_cache_was_robbed);
    suite_add_tcase(suite, cases);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
