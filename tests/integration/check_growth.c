/* SPDX-License-Identifier: MIT
 *
 * Pools that grow and shrink, by the public functions.
 */
#include "both.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define pool both_pool

static fastalloc_pool_config growing(uint32_t growth, size_t capacity, size_t max_capacity)
{
    fastalloc_pool_config config = api_config("growing", 64, capacity);

    config.growth = growth;
    config.max_capacity = max_capacity;
    config.max_sessions = 32;
    config.low_water = FASTALLOC_NO_LOW_WATER;
    return config;
}

static fastalloc_pool_config linear(size_t capacity, size_t amount, size_t max_capacity)
{
    fastalloc_pool_config config = growing(FASTALLOC_GROWTH_LINEAR, capacity, max_capacity);

    config.growth_amount = amount;
    return config;
}

/* Allocates exactly `count` slots, each of them new. */
static fastalloc_handle *take(size_t count)
{
    fastalloc_handle *handles = malloc((count + 1) * sizeof *handles);
    size_t i;

    for (i = 0; i < count; i++)
        handles[i] = api_alloc(pool);
    return handles;
}

static void give_back(fastalloc_handle *handles, size_t count)
{
    api_free_all(pool, handles, count);
    free(handles);
}

/* ---------------------------------------------------------------- strategies */

START_TEST(a_pool_without_a_strategy_does_not_grow_by_itself)
{
    fastalloc_pool_config config = growing(FASTALLOC_GROWTH_NONE, 300, 1000);
    fastalloc_handle *handles;

    both_begin(_i, &config);
    handles = take(300);
    require_failure(fastalloc_alloc(pool, handles, NULL), FASTALLOC_E_EXHAUSTED, "exhausted",
                    "300/300");
    require_failure(fastalloc_pool_grow(pool, 0), FASTALLOC_E_GROWTH, "strategy");
    require_ok(fastalloc_pool_grow(pool, 700));
    ck_assert_uint_eq(api_info(pool).capacity, 700);
    ck_assert_uint_eq(api_info(pool).max_capacity, 1000);
    ck_assert_uint_eq(api_fill(pool, NULL, 1000), 400);
    free(handles);
    both_end(_i);
}
END_TEST

START_TEST(linear_growth_goes_by_its_amount_to_the_maximum_exactly)
{
    fastalloc_pool_config config = linear(300, 70, 1000);
    fastalloc_handle *handles;

    both_begin(_i, &config);
    ck_assert_uint_eq(api_info(pool).growth, FASTALLOC_GROWTH_LINEAR);
    handles = take(300);
    ck_assert_uint_eq(api_info(pool).capacity, 300);
    handles[300] = api_alloc(pool);
    ck_assert_uint_eq(api_info(pool).capacity, 370);
    ck_assert_uint_eq(api_info(pool).allocated, 301);
    give_back(handles, 301);
    handles = take(1000);
    ck_assert_uint_eq(api_info(pool).capacity, 1000);
    require_failure(fastalloc_alloc(pool, handles, NULL), FASTALLOC_E_MAX_CAPACITY, "maximum",
                    "1000/1000", "top holders");
    require_failure(fastalloc_pool_grow(pool, 0), FASTALLOC_E_MAX_CAPACITY, "1000");
    require_failure(fastalloc_pool_grow(pool, 1001), FASTALLOC_E_MAX_CAPACITY, "1000");
    require_ok(fastalloc_pool_grow(pool, 1000));
    give_back(handles, 1000);
    handles = take(1000);
    give_back(handles, 1000);
    both_end(_i);
}
END_TEST

START_TEST(exponential_growth_multiplies)
{
    fastalloc_pool_config config = growing(FASTALLOC_GROWTH_EXPONENTIAL, 100, 1000000);
    size_t expected[] = {150, 225, 337, 505}, i;
    fastalloc_handle *handles;

    config.growth_factor = 1.5;
    both_begin(_i, &config);
    handles = take(100);
    for (i = 0; i < 4; i++) {
        require_ok(fastalloc_pool_grow(pool, 0));
        ck_assert_uint_eq(api_info(pool).capacity, expected[i]);
    }
    ck_assert_uint_eq(api_info(pool).allocated, 100);
    give_back(handles, 100);
    both_end(_i);
}
END_TEST

/* What a test's growth function answers, and what it was asked. */
struct answer {
    size_t increment, asked, times;
};

static size_t answer_with(size_t capacity, void *argument)
{
    struct answer *answer = argument;

    answer->asked = capacity;
    answer->times++;
    return answer->increment;
}

START_TEST(a_growth_function_says_by_how_much)
{
    fastalloc_pool_config config = growing(FASTALLOC_GROWTH_CUSTOM, 300, 100000);
    struct answer answer = {.increment = 11};
    fastalloc_handle *handles;

    config.growth_amount = 50;
    config.growth_function = answer_with;
    config.growth_argument = &answer;
    both_begin(_i, &config);
    /* What other processes find is the strategy that stands beside it. */
    ck_assert_uint_eq(api_info(pool).growth, FASTALLOC_GROWTH_LINEAR);
    handles = take(301);
    ck_assert_uint_eq(api_info(pool).capacity, 311);
    ck_assert_uint_eq(answer.asked, 300);
    ck_assert_uint_eq(answer.times, 1);
    answer.increment = 0;
    require_ok(fastalloc_pool_grow(pool, 0));
    ck_assert_uint_eq(answer.asked, 311);
    ck_assert_uint_eq(api_info(pool).capacity, 361);
    /* Whatever it says, the maximum stands. */
    answer.increment = SIZE_MAX;
    require_ok(fastalloc_pool_grow(pool, 0));
    ck_assert_uint_eq(api_info(pool).capacity, 100000);
    give_back(handles, 301);
    both_end(_i);
}
END_TEST

START_TEST(who_opens_without_a_growth_function_gets_the_declared_strategy)
{
    fastalloc_pool_config config = growing(FASTALLOC_GROWTH_CUSTOM, 300, 100000);
    struct answer answer = {.increment = 11};
    fastalloc_pool *plain, *custom;
    fastalloc_pool_config own;

    config.growth_function = answer_with;
    config.growth_argument = &answer;
    both_begin(BOTH_DAEMON, &config);
    require_ok(fastalloc_pool_open(both_client, "growing", NULL, &plain));
    require_ok(fastalloc_pool_grow(plain, 0)); /* by 2, as no amount is declared */
    ck_assert_uint_eq(api_info(pool).capacity, 600);
    ck_assert_uint_eq(answer.times, 0);
    fastalloc_pool_config_init(&own);
    own.growth_function = answer_with;
    own.growth_argument = &answer;
    require_ok(fastalloc_pool_open(both_client, "growing", &own, &custom));
    require_ok(fastalloc_pool_grow(custom, 0));
    ck_assert_uint_eq(api_info(pool).capacity, 611);
    ck_assert_uint_eq(answer.times, 1);
    both_end(BOTH_DAEMON);
}
END_TEST

static int refused(fastalloc_pool_config config)
{
    fastalloc_pool *made = NULL;
    int local = fastalloc_pool_create_local(&config, &made);

    ck_assert_int_eq(fastalloc_pool_create(both_client, &config, &made), local);
    ck_assert_ptr_null(made);
    return local;
}

START_TEST(growth_that_is_none_is_refused)
{
    fastalloc_pool_config good = linear(100, 10, 1000), config;
    const double factors[] = {1.0, 0.5, 0.0, -2.0, NAN, INFINITY};
    size_t i;

    both_begin(BOTH_DAEMON, &good);
    require_failure(refused(linear(100, 0, 1000)), FASTALLOC_E_GROWTH, "growth_amount");
    for (i = 0; i < sizeof factors / sizeof *factors; i++) {
        config = growing(FASTALLOC_GROWTH_EXPONENTIAL, 100, 1000);
        config.growth_factor = factors[i];
        require_failure(refused(config), FASTALLOC_E_GROWTH, "factor");
    }
    require_failure(refused(growing(FASTALLOC_GROWTH_CUSTOM, 100, 1000)), FASTALLOC_E_GROWTH,
                    "growth_function");
    require_failure(refused(growing(77, 100, 1000)), FASTALLOC_E_GROWTH, "77");
    require_failure(refused(linear(100, 10, 99)), FASTALLOC_E_CAPACITY, "99", "100");
    both_end(BOTH_DAEMON);
}
END_TEST

START_TEST(a_pool_that_grows_without_a_maximum_gets_room_enough)
{
    fastalloc_pool_config config = linear(100, 100, 0);

    both_begin(_i, &config);
    ck_assert_uint_eq(api_info(pool).capacity, 100);
    ck_assert_uint_eq(api_info(pool).max_capacity, 102400);
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------- across processes */

static void read_as_it_grows(int channel, void *argument)
{
    fastalloc_handle handle;

    (void)argument;
    /* Attached while the pool is small. */
    child_require(fastalloc_pool_session(pool) != 0);
    channel_put(channel, 0);
    while ((handle = channel_take(channel)) != FASTALLOC_NONE) {
        const uint64_t *object = fastalloc_get(pool, handle);

        channel_put(channel, object ? *object : UINT64_MAX);
    }
}

START_TEST(handles_of_new_slots_work_in_every_process_and_old_ones_stay)
{
    fastalloc_pool_config config = linear(300, 1000, 20000);
    fastalloc_handle handles[2000];
    void *objects[2000];
    struct child child;
    size_t i;

    both_begin(_i, &config);
    child_start(&child, read_as_it_grows, NULL);
    channel_take(child.channel);
    for (i = 0; i < 2000; i++) {
        require_ok(fastalloc_alloc(pool, &handles[i], &objects[i]));
        memcpy(objects[i], &i, sizeof i);
    }
    ck_assert_uint_eq(api_info(pool).capacity, 2300);
    for (i = 0; i < 2000; i += 37) {
        channel_put(child.channel, handles[i]);
        ck_assert_uint_eq(channel_take(child.channel), i);
    }
    for (i = 0; i < 2000; i++) {
        ck_assert_ptr_eq(fastalloc_get(pool, handles[i]), objects[i]);
        ck_assert_uint_eq(*(size_t *)objects[i], i);
    }
    /* One beyond what there is finds nothing, and touches nothing. */
    channel_put(child.channel, handles[0] + 15000);
    ck_assert_uint_eq(channel_take(child.channel), UINT64_MAX);
    require_failure(fastalloc_free(pool, handles[0] + 15000), FASTALLOC_E_HANDLE, "2300");
    require_failure(fastalloc_adopt(pool, handles[0] + 15000), FASTALLOC_E_HANDLE, "2300");
    channel_put(child.channel, FASTALLOC_NONE);
    child_join(&child);
    api_free_all(pool, handles, 2000);
    both_end(_i);
}
END_TEST

static void take_a_share(int channel, void *argument)
{
    size_t i, share = *(size_t *)argument;
    fastalloc_handle handle;

    child_require(fastalloc_pool_session(pool) != 0);
    channel_put(channel, 0);
    channel_take(channel);
    for (i = 0; i < share; i++)
        child_require(fastalloc_alloc(pool, &handle, NULL) == 0);
    channel_put(channel, i);
    channel_take(channel);
}

START_TEST(of_many_who_ask_at_once_nobody_is_refused_and_no_step_too_many_is_made)
{
    fastalloc_pool_config config = linear(256, 256, 100000);
    struct child children[8];
    size_t share = 1000;
    int i;

    both_begin(_i, &config);
    for (i = 0; i < 8; i++) {
        child_start(&children[i], take_a_share, &share);
        channel_take(children[i].channel);
    }
    for (i = 0; i < 8; i++)
        channel_put(children[i].channel, 0);
    for (i = 0; i < 8; i++)
        ck_assert_uint_eq(channel_take(children[i].channel), share);
    /* 8,000 of them, in steps of 256. */
    ck_assert_uint_eq(api_info(pool).capacity, 8192);
    for (i = 0; i < 8; i++) {
        channel_put(children[i].channel, 0);
        child_join(&children[i]);
    }
    both_end(_i);
}
END_TEST

static void grow_at_once(int channel, void *argument)
{
    (void)argument;
    child_require(fastalloc_pool_grow(pool, 5000) == 0);
    child_require(fastalloc_pool_grow(pool, 4000) == 0);
    channel_put(channel, api_info(pool).capacity);
}

START_TEST(many_who_grow_to_one_capacity_reach_just_that)
{
    fastalloc_pool_config config = growing(FASTALLOC_GROWTH_NONE, 256, 100000);
    struct child children[8];
    int i;

    both_begin(_i, &config);
    for (i = 0; i < 8; i++)
        child_start(&children[i], grow_at_once, NULL);
    for (i = 0; i < 8; i++) {
        ck_assert_uint_eq(channel_take(children[i].channel), 5000);
        child_join(&children[i]);
    }
    ck_assert(_i == BOTH_LOCAL || api_allocated_becomes(pool, 0));
    ck_assert_uint_eq(api_fill(pool, NULL, 6000), 5000);
    both_end(_i);
}
END_TEST

/* -------------------------------------------------------- memory is short */

START_TEST(without_memory_a_step_is_refused_with_the_numbers_and_the_pool_stays_whole)
{
    /* 1 TiB at the second step: no machine that runs this has it. */
    fastalloc_pool_config config = linear(4, 1024, 1028);
    fastalloc_handle handles[5], none = 99;
    char *object;

    config.object_size = (size_t)1 << 30;
    config.alignment = 4096;
    config.capacity = 1;
    config.growth_amount = 1024;
    config.max_capacity = 1025;
    both_begin(_i, &config);
    require_ok(fastalloc_alloc(pool, &handles[0], (void **)&object));
    strcpy(object, "stays");
    require_failure(fastalloc_alloc(pool, &none, NULL), FASTALLOC_E_NO_MEMORY, "growing", "1025",
                    "TiB");
    ck_assert_uint_eq(none, 99);
    require_failure(fastalloc_pool_grow(pool, 1000), FASTALLOC_E_NO_MEMORY, "1000");
    ck_assert_uint_eq(api_info(pool).capacity, 1);
    ck_assert_str_eq(object, "stays");
    require_ok(fastalloc_free(pool, handles[0]));
    handles[0] = api_alloc(pool);
    require_ok(fastalloc_free(pool, handles[0]));
    both_end(_i);
}
END_TEST

START_TEST(without_a_daemon_it_says_so_and_grows_with_the_next)
{
    fastalloc_pool_config config = linear(300, 300, 3000);
    fastalloc_connect_options options;
    fastalloc_client *hasty;
    fastalloc_handle *handles, handle;
    fastalloc_pool *own;
    int64_t began;

    both_begin(BOTH_DAEMON, &config);
    fastalloc_connect_options_init(&options);
    options.socket = both_daemon.socket;
    options.reconnect_ms = 300;
    require_ok(fastalloc_connect(&hasty, &options));
    require_ok(fastalloc_pool_open(hasty, "growing", NULL, &own));
    handles = take(300);
    test_daemon_kill(&both_daemon);
    began = api_now_us();
    require_failure(fastalloc_alloc(own, &handle, NULL), FASTALLOC_E_NO_DAEMON, "fastallocd");
    ck_assert_int_ge(api_now_us() - began, 300000);
    /* Having waited once is enough. */
    began = api_now_us();
    require_failure(fastalloc_alloc(own, &handle, NULL), FASTALLOC_E_NO_DAEMON, "fastallocd");
    ck_assert_int_lt(api_now_us() - began, 200000);
    /* What is free is to be had all the same. */
    require_ok(fastalloc_free(pool, handles[0]));
    require_ok(fastalloc_alloc(own, &handles[0], NULL));
    test_daemon_run(&both_daemon);
    require_ok(fastalloc_alloc(own, &handle, NULL));
    ck_assert_uint_eq(api_info(pool).capacity, 600);
    require_ok(fastalloc_free(own, handle));
    give_back(handles, 300);
    fastalloc_disconnect(hasty);
    both_end(BOTH_DAEMON);
}
END_TEST

/* ---------------------------------------------------------- ahead of need */

static bool has_grown(void *argument)
{
    return api_info(pool).capacity == *(size_t *)argument;
}

START_TEST(at_the_low_water_mark_it_grows_ahead_of_need)
{
    fastalloc_pool_config config = linear(4096, 4096, 1 << 20);
    fastalloc_handle *handles;
    size_t grown = 8192;

    config.low_water = 512;
    both_begin(BOTH_DAEMON, &config);
    handles = take(3500);
    api_sleep_ms(50);
    ck_assert_uint_eq(api_info(pool).capacity, 4096);
    give_back(handles, 3500);
    handles = take(3900);
    ck_assert(test_eventually(has_grown, &grown));
    give_back(handles, 3900);
    both_end(BOTH_DAEMON);
}
END_TEST

/* --------------------------------------------------------------- shrinking */

static uint64_t memory_of_the_pool(void)
{
    char line[256];
    uint64_t shared = 0, kib;
    FILE *file = fopen("/proc/meminfo", "re");

    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Shmem: %lu kB", &kib) == 1)
            shared = kib;
    fclose(file);
    return shared;
}

START_TEST(shrinking_gives_memory_back_and_it_can_grow_again)
{
    fastalloc_pool_config config = growing(FASTALLOC_GROWTH_NONE, 1000, 30000);
    fastalloc_handle *handles, old;
    uint64_t before;
    size_t now = 0;
    char *object;

    config.object_size = 4096;
    both_begin(_i, &config);
    require_ok(fastalloc_pool_grow(pool, 30000));
    handles = take(30000);
    object = fastalloc_get(pool, handles[29999]);
    ck_assert_ptr_nonnull(object);
    old = handles[29999];
    give_back(handles, 30000);
    before = memory_of_the_pool();
    require_ok(fastalloc_pool_shrink(pool, 2000, &now));
    ck_assert_uint_eq(now, 2000);
    ck_assert_uint_eq(api_info(pool).capacity, 2000);
    /* 28,000 pages; others on this machine come and go. */
    ck_assert_uint_lt(memory_of_the_pool() + 60000, before);
    require_failure(fastalloc_free(pool, old), FASTALLOC_E_STALE, "stale");
    ck_assert_ptr_null(fastalloc_get(pool, old));
    ck_assert_uint_eq(api_fill(pool, NULL, 3000), 2000);
    require_ok(fastalloc_pool_grow(pool, 30000));
    ck_assert_uint_eq(api_fill(pool, NULL, 30000), 28000);
    require_failure(fastalloc_free(pool, old), FASTALLOC_E_STALE, "stale");
    both_end(_i);
}
END_TEST

START_TEST(shrinking_stops_at_slots_in_use_and_goes_on_when_they_are_free)
{
    fastalloc_pool_config config = growing(FASTALLOC_GROWTH_NONE, 5000, 5000);
    fastalloc_handle *handles, top = FASTALLOC_NONE;
    size_t now = 0, i, at = 0;

    both_begin(_i, &config);
    handles = take(5000);
    for (i = 0; i < 5000; i++)
        if ((handles[i] & 0xffff) == 2999)
            at = i;
    top = handles[at];
    for (i = 0; i < 5000; i++)
        if (i != at)
            require_ok(fastalloc_free(pool, handles[i]));
    strcpy(fastalloc_get(pool, top), "in use");
    require_ok(fastalloc_pool_shrink(pool, 1, &now));
    ck_assert_uint_eq(now, 3000);
    ck_assert_str_eq(fastalloc_get(pool, top), "in use");
    ck_assert_uint_eq(api_fill(pool, handles, 5000), 2999);
    api_free_all(pool, handles, 2999);
    require_ok(fastalloc_free(pool, top));
    require_ok(fastalloc_pool_shrink(pool, 1, &now));
    ck_assert_uint_eq(now, 1);
    require_ok(fastalloc_pool_shrink(pool, 0, &now));
    ck_assert_uint_eq(now, 1);
    ck_assert_uint_eq(api_fill(pool, NULL, 10), 1);
    free(handles);
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------------------ others */

START_TEST(a_destroyed_pool_neither_grows_nor_shrinks)
{
    fastalloc_pool_config config = linear(300, 300, 3000);

    both_begin(BOTH_DAEMON, &config);
    require_ok(fastalloc_pool_destroy(both_client, "growing"));
    require_failure(fastalloc_pool_grow(pool, 600), FASTALLOC_E_DESTROYED, "growing");
    require_failure(fastalloc_pool_shrink(pool, 100, NULL), FASTALLOC_E_DESTROYED, "growing");
    both_end(BOTH_DAEMON);
}
END_TEST

START_TEST(null_is_refused_and_named)
{
    size_t now;

    require_failure(fastalloc_pool_grow(NULL, 1), FASTALLOC_E_INVALID, "pool is NULL");
    require_failure(fastalloc_pool_shrink(NULL, 1, &now), FASTALLOC_E_INVALID, "pool is NULL");
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        a_pool_without_a_strategy_does_not_grow_by_itself,
        linear_growth_goes_by_its_amount_to_the_maximum_exactly,
        exponential_growth_multiplies,
        a_growth_function_says_by_how_much,
        a_pool_that_grows_without_a_maximum_gets_room_enough,
        handles_of_new_slots_work_in_every_process_and_old_ones_stay,
        of_many_who_ask_at_once_nobody_is_refused_and_no_step_too_many_is_made,
        many_who_grow_to_one_capacity_reach_just_that,
        without_memory_a_step_is_refused_with_the_numbers_and_the_pool_stays_whole,
        shrinking_gives_memory_back_and_it_can_grow_again,
        shrinking_stops_at_slots_in_use_and_goes_on_when_they_are_free,
        NULL,
    };
    const TTest *const once[] = {
        who_opens_without_a_growth_function_gets_the_declared_strategy,
        growth_that_is_none_is_refused,
        without_a_daemon_it_says_so_and_grows_with_the_next,
        at_the_low_water_mark_it_grows_ahead_of_need,
        a_destroyed_pool_neither_grows_nor_shrinks,
        null_is_refused_and_named,
        NULL,
    };

    return both_run("growth", of_both, once, 30);
}
