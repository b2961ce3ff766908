/* SPDX-License-Identifier: MIT
 *
 * What anybody expects of a pool that grows: the steps that were asked for, each when it is
 * needed, to the maximum and not beyond.
 */
#include "both.h"

#define pool both_pool
#define MOST 1000

static fastalloc_handle handles[MOST];

/* Allocates all there is to be had, and requires that the capacity goes through `steps`, which
 * ends with 0: each reached when the slots before it are all in use and not earlier, and the last
 * of them the maximum. */
static void require_steps(int kind, fastalloc_pool_config *config, const size_t *steps)
{
    size_t count = 0;

    config->low_water = FASTALLOC_NO_LOW_WATER;
    both_begin(kind, config);
    ck_assert_uint_eq(api_info(pool).capacity, *steps);
    for (; *steps; steps++) {
        ck_assert(count == 0 || fastalloc_pool_can_grow(pool));
        while (count < *steps) {
            handles[count++] = api_alloc(pool);
            ck_assert_uint_eq(api_info(pool).capacity, *steps);
        }
    }
    ck_assert(!fastalloc_pool_can_grow(pool));
    require_failure(fastalloc_alloc(pool, &handles[count], NULL), FASTALLOC_E_MAX_CAPACITY,
                    "maximum");
    ck_assert_uint_eq(api_info(pool).allocated, count);
    ck_assert_uint_eq(count, config->max_capacity);
    api_free_all(pool, handles, count);
    both_end(kind);
}

START_TEST(linear_by_five_goes_5_10_and_10_15_20)
{
    fastalloc_pool_config config = api_config("pools", 32, 5);

    config.growth = FASTALLOC_GROWTH_LINEAR;
    config.growth_amount = 5;
    config.max_capacity = 10;
    require_steps(_i, &config, (const size_t[]){5, 10, 0});
    config.capacity = 10;
    config.max_capacity = 20;
    require_steps(_i, &config, (const size_t[]){10, 15, 20, 0});
}
END_TEST

START_TEST(exponential_by_two_goes_10_20_40_and_2_4_to_64)
{
    fastalloc_pool_config config = api_config("pools", 32, 10);

    config.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    config.growth_factor = 2;
    config.max_capacity = 40;
    require_steps(_i, &config, (const size_t[]){10, 20, 40, 0});
    config.capacity = 2;
    config.max_capacity = 64;
    require_steps(_i, &config, (const size_t[]){2, 4, 8, 16, 32, 64, 0});
}
END_TEST

static size_t by_half(size_t capacity, void *argument)
{
    (void)argument;
    return capacity / 2;
}

START_TEST(custom_by_half_goes_10_15_22_33)
{
    fastalloc_pool_config config = api_config("pools", 32, 10);

    config.growth = FASTALLOC_GROWTH_CUSTOM;
    config.growth_function = by_half;
    config.max_capacity = 33;
    require_steps(_i, &config, (const size_t[]){10, 15, 22, 33, 0});
}
END_TEST

START_TEST(the_last_step_ends_at_the_maximum_whatever_the_strategy)
{
    fastalloc_pool_config config = api_config("pools", 32, 10);

    config.max_capacity = 33;
    config.growth = FASTALLOC_GROWTH_LINEAR;
    config.growth_amount = 10;
    require_steps(_i, &config, (const size_t[]){10, 20, 30, 33, 0});
    config.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    config.growth_factor = 3;
    require_steps(_i, &config, (const size_t[]){10, 30, 33, 0});
    config.growth = FASTALLOC_GROWTH_CUSTOM;
    config.growth_function = by_half;
    config.max_capacity = 24;
    require_steps(_i, &config, (const size_t[]){10, 15, 22, 24, 0});
}
END_TEST

START_TEST(a_capacity_that_is_the_maximum_does_not_grow)
{
    fastalloc_pool_config config = api_config("pools", 32, 12);

    config.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    config.growth_factor = 2;
    config.max_capacity = 12;
    require_steps(_i, &config, (const size_t[]){12, 0});
}
END_TEST

START_TEST(what_was_freed_is_used_again_before_it_grows)
{
    fastalloc_pool_config config = api_config("pools", 32, 300);
    size_t i, round;

    config.growth = FASTALLOC_GROWTH_LINEAR;
    config.growth_amount = 300;
    config.low_water = FASTALLOC_NO_LOW_WATER;
    both_begin(_i, &config);
    for (i = 0; i < 300; i++)
        handles[i] = api_alloc(pool);
    for (round = 0; round < 20; round++) {
        for (i = round; i < 300; i += 2)
            require_ok(fastalloc_free(pool, handles[i]));
        for (i = round; i < 300; i += 2)
            handles[i] = api_alloc(pool);
        ck_assert_uint_eq(api_info(pool).capacity, 300);
    }
    handles[300] = api_alloc(pool);
    ck_assert_uint_eq(api_info(pool).capacity, 600);
    api_free_all(pool, handles, 301);
    both_end(_i);
}
END_TEST

START_TEST(a_batch_grows_the_pool_or_takes_nothing)
{
    fastalloc_pool_config config = api_config("pools", 32, 10);
    size_t freed = 0;

    config.growth = FASTALLOC_GROWTH_LINEAR;
    config.growth_amount = 10;
    config.max_capacity = 40;
    both_begin(_i, &config);
    require_ok(fastalloc_alloc_batch(pool, 35, handles, NULL));
    ck_assert_uint_eq(api_info(pool).allocated, 35);
    require_failure(fastalloc_alloc_batch(pool, 6, handles + 35, NULL), FASTALLOC_E_MAX_CAPACITY,
                    "maximum");
    ck_assert_uint_eq(api_info(pool).allocated, 35);
    require_ok(fastalloc_alloc_batch(pool, 5, handles + 35, NULL));
    require_ok(fastalloc_free_batch(pool, 40, handles, &freed));
    ck_assert_uint_eq(freed, 40);
    ck_assert_uint_eq(api_info(pool).allocated, 0);
    both_end(_i);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        linear_by_five_goes_5_10_and_10_15_20,
        exponential_by_two_goes_10_20_40_and_2_4_to_64,
        custom_by_half_goes_10_15_22_33,
        the_last_step_ends_at_the_maximum_whatever_the_strategy,
        a_capacity_that_is_the_maximum_does_not_grow,
        what_was_freed_is_used_again_before_it_grows,
        a_batch_grows_the_pool_or_takes_nothing,
        NULL,
    };
    const TTest *const once[] = {NULL};

    return both_run("steps", of_both, once, 30);
}
