/* SPDX-License-Identifier: MIT
 *
 * FASTALLOC_ZERO_ON_ALLOC and _ZERO_ON_FREE: when an object is zero, to the last byte and not
 * beyond.  Each on a local pool and on one of a daemon's.
 */
#include "both.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 300 };

/* Odd sizes, and some with a stride beyond them. */
static const struct shape {
    size_t size, alignment;
} shapes[] = {{1, 0}, {7, 0}, {24, 64}, {33, 32}, {64, 0}, {1000, 0}, {4097, 4096}};

enum { SHAPES = sizeof shapes / sizeof *shapes };

static fastalloc_pool_config config_of(const struct shape *shape, size_t capacity,
                                       uint32_t features)
{
    fastalloc_pool_config config = api_config("zeroed", shape->size, capacity);

    config.alignment = shape->alignment;
    config.features = features;
    config.max_sessions = 16;
    return config;
}

static bool is_zero(const unsigned char *object, size_t size)
{
    return !object[0] && memcmp(object, object + 1, size - 1) == 0;
}

static bool is_full(const unsigned char *object, size_t size)
{
    return object[0] == 0xee && memcmp(object, object + 1, size - 1) == 0;
}

/* Takes all slots, which are zero, and fills them. */
static void fill_all(fastalloc_handle *handles, unsigned char **objects, size_t size)
{
    unsigned i;

    for (i = 0; i < SLOTS; i++) {
        void *object;

        require_ok(fastalloc_alloc(both_pool, &handles[i], &object));
        objects[i] = object;
        if (!is_zero(objects[i], size))
            ck_abort_msg("slot %u of %zu bytes is not zero", i, size);
        memset(objects[i], 0xee, size);
    }
    /* One's zeroing is not another's. */
    for (i = 0; i < SLOTS; i++)
        if (!is_full(objects[i], size))
            ck_abort_msg("slot %u of %zu bytes was written to", i, size);
}

START_TEST(each_object_is_zero_when_it_is_allocated)
{
    fastalloc_handle handles[SLOTS];
    unsigned char *objects[SLOTS];
    unsigned shape, round;

    for (shape = 0; shape < SHAPES; shape++) {
        fastalloc_pool_config config = config_of(&shapes[shape], SLOTS, FASTALLOC_ZERO_ON_ALLOC);

        both_begin(_i, &config);
        for (round = 0; round < 3; round++) {
            fill_all(handles, objects, shapes[shape].size);
            api_free_all(both_pool, handles, SLOTS);
            /* Not before: this is what it costs. */
            ck_assert(is_full(objects[7], shapes[shape].size));
        }
        both_end(_i);
    }
}
END_TEST

START_TEST(no_object_is_left_when_it_is_freed)
{
    fastalloc_handle handles[SLOTS];
    unsigned char *objects[SLOTS];
    unsigned shape, round, i;

    for (shape = 0; shape < SHAPES; shape++) {
        fastalloc_pool_config config =
            config_of(&shapes[shape], SLOTS, FASTALLOC_ZERO_ON_FREE | FASTALLOC_SHARING);

        both_begin(_i, &config);
        for (round = 0; round < 3; round++) {
            fill_all(handles, objects, shapes[shape].size);
            require_ok(fastalloc_share(both_pool, handles[5]));
            ck_assert(is_full(objects[5], shapes[shape].size));
            require_ok(fastalloc_unref(both_pool, handles[5]));
            ck_assert(is_zero(objects[5], shapes[shape].size));
            require_ok(inlined_free(both_pool, handles[6]));
            require_ok(fastalloc_free_batch(both_pool, 5, handles, NULL));
            api_free_all(both_pool, handles + 7, SLOTS - 7);
            for (i = 0; i < SLOTS; i++)
                if (!is_zero(objects[i], shapes[shape].size))
                    ck_abort_msg("slot %u of %zu bytes has kept something", i, shapes[shape].size);
        }
        both_end(_i);
    }
}
END_TEST

/* ---------------------------------------------------------------- the dead */

/* Fills the only slot, and is killed with it. */
static void fill_it(int channel, void *argument)
{
    fastalloc_handle handle;
    void *object;

    child_require(fastalloc_alloc(both_pool, &handle, &object) == 0);
    memset(object, 0xee, *(size_t *)argument);
    channel_put(channel, 1);
    channel_take(channel);
}

static void require_zero_after_a_death(int kind, uint32_t features)
{
    unsigned shape;

    for (shape = 0; shape < SHAPES; shape++) {
        fastalloc_pool_config config = config_of(&shapes[shape], 1, features);
        size_t size = shapes[shape].size;
        fastalloc_handle handle;
        struct child child;
        void *object;

        both_begin(kind, &config);
        child_start(&child, fill_it, &size);
        channel_take(child.channel);
        child_kill(&child);
        require_ok(fastalloc_alloc_wait(both_pool, &handle, &object, fastalloc_deadline(8000)));
        ck_assert_msg(is_zero(object, size), "%zu bytes of a dead process's", size);
        require_ok(fastalloc_free(both_pool, handle));
        both_end(kind);
    }
}

START_TEST(nobody_gets_what_a_dead_process_had)
{
    require_zero_after_a_death(_i, FASTALLOC_ZERO_ON_FREE);
    require_zero_after_a_death(_i, FASTALLOC_ZERO_ON_ALLOC);
}
END_TEST

/* For a post-mortem it stays until then. */
START_TEST(what_a_dead_process_had_stays_until_it_is_given_out)
{
    fastalloc_pool_config config = config_of(&shapes[5], 10, FASTALLOC_ZERO_ON_FREE);
    fastalloc_handle own;
    struct child child;
    size_t size = shapes[5].size;
    unsigned char *object;
    unsigned i, full = 0;
    void *first;

    both_begin(_i, &config);
    require_ok(fastalloc_alloc(both_pool, &own, &first));
    child_start(&child, fill_it, &size);
    channel_take(child.channel);
    child_kill(&child);
    object = first;
    object -= fastalloc_handle_index(both_pool, own) * api_info(both_pool).stride;
    for (i = 0; i < 10; i++)
        full += is_full(object + i * api_info(both_pool).stride, size);
    ck_assert_uint_eq(full, 1);
    require_ok(fastalloc_free(both_pool, own));
    both_end(_i);
}
END_TEST

/* ----------------------------------------------------------- with functions */

static unsigned initialised, resets;

static int initialize(fastalloc_pool *pool, fastalloc_handle handle, void *object, uint32_t flags,
                      void *argument)
{
    (void)pool, (void)handle, (void)flags;
    ck_assert(is_zero(object, *(size_t *)argument));
    memset(object, 0x11, *(size_t *)argument);
    initialised++;
    return 0;
}

static int reset(fastalloc_pool *pool, fastalloc_handle handle, void *object, uint32_t flags,
                 void *argument)
{
    (void)pool, (void)handle, (void)object, (void)flags, (void)argument;
    resets++;
    return 0;
}

/* What is wiped has to be initialised again, and there is nothing to reset. */
static void initialise_again(int kind, uint32_t features, bool eager)
{
    fastalloc_pool_config config = config_of(&shapes[5], 1, features);
    size_t size = shapes[5].size;
    fastalloc_handle handle;
    void *object;
    unsigned i;

    config.initialize = initialize;
    config.reset = reset;
    config.hook_argument = &size;
    config.initialization = eager ? FASTALLOC_INIT_EAGER : FASTALLOC_INIT_LAZY;
    initialised = resets = 0;
    both_begin(kind, &config);
    ck_assert_uint_eq(initialised, eager ? 1 : 0);
    for (i = 0; i < 5; i++) {
        require_ok(fastalloc_alloc(both_pool, &handle, &object));
        ck_assert_uint_eq(initialised, i + 1);
        ck_assert_uint_eq(*(unsigned char *)object, 0x11);
        require_ok(fastalloc_free(both_pool, handle));
    }
    ck_assert_uint_eq(resets, 0);
    both_end(kind);
}

START_TEST(what_was_wiped_is_initialised_again)
{
    initialise_again(_i, FASTALLOC_ZERO_ON_FREE, false);
    initialise_again(_i, FASTALLOC_ZERO_ON_ALLOC, false);
    initialise_again(_i, FASTALLOC_ZERO_ON_FREE | FASTALLOC_ZERO_ON_ALLOC, false);
    initialise_again(_i, FASTALLOC_ZERO_ON_FREE, true);
}
END_TEST

static void look_at_it(fastalloc_pool *pool, fastalloc_handle handle, void *object, void *argument)
{
    (void)pool, (void)handle;
    ck_assert(is_full(object, *(size_t *)argument));
    resets++;
}

START_TEST(on_release_sees_the_object_as_it_was)
{
    fastalloc_pool_config config = config_of(&shapes[5], 1, FASTALLOC_ZERO_ON_FREE);
    size_t size = shapes[5].size;
    fastalloc_handle handle;
    void *object;

    config.on_release = look_at_it;
    config.hook_argument = &size;
    resets = 0;
    both_begin(_i, &config);
    require_ok(fastalloc_alloc(both_pool, &handle, &object));
    memset(object, 0xee, size);
    require_ok(fastalloc_free(both_pool, handle));
    ck_assert_uint_eq(resets, 1);
    ck_assert(is_zero(object, size));
    both_end(_i);
}
END_TEST

/* In a local pool who attaches sweeps. */
static void attach(int channel, void *argument)
{
    (void)channel, (void)argument;
    child_require(fastalloc_pool_session(both_pool) != 0);
}

/* A dead process left something in a slot, which was shrunk away and has come back. */
START_TEST(what_comes_back_by_growth_is_zero)
{
    fastalloc_pool_config config = config_of(&shapes[5], 1, FASTALLOC_ZERO_ON_FREE);
    size_t size = shapes[5].size, now;
    struct child child;
    void *object;
    unsigned i;

    config.max_capacity = 50;
    both_begin(_i, &config);
    api_alloc(both_pool);
    require_ok(fastalloc_pool_grow(both_pool, 50));
    child_start(&child, fill_it, &size);
    channel_take(child.channel);
    child_kill(&child);
    child_start(&child, attach, NULL);
    child_join(&child);
    ck_assert(api_allocated_becomes(both_pool, 1));
    /* The sweep of the child that attached may take back what was withdrawn. */
    do
        require_ok(fastalloc_pool_shrink(both_pool, 1, &now));
    while (now != 1);
    require_ok(fastalloc_pool_grow(both_pool, 50));
    for (i = 1; i < 50; i++) {
        fastalloc_handle handle;

        require_ok(fastalloc_alloc(both_pool, &handle, &object));
        ck_assert(is_zero(object, size));
    }
    both_end(_i);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {each_object_is_zero_when_it_is_allocated,
                                    no_object_is_left_when_it_is_freed,
                                    nobody_gets_what_a_dead_process_had,
                                    what_a_dead_process_had_stays_until_it_is_given_out,
                                    what_was_wiped_is_initialised_again,
                                    on_release_sees_the_object_as_it_was,
                                    what_comes_back_by_growth_is_zero,
                                    NULL};
    const TTest *const once[] = {NULL};

    return both_run("zeroing", of_both, once, 60);
}
