/* SPDX-License-Identifier: MIT
 *
 * What a pool's slots go through: initialize, reset, on_acquire and on_release, in which order
 * and how often, on each way that a slot is handed out and comes back.  On a local pool and on
 * one of a daemon's.
 */
#include "both.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 1000, ENTRIES = 8000 };

struct thing {
    uint64_t initialised, resets, acquired, released;
};

FASTALLOC_DEFINE_POOL(things, struct thing);

/* What the functions were called for, a letter each: i, r, a, f (on_release); capital where the
 * slot was reclaimed.  Shared with the children. */
struct diary {
    char letters[ENTRIES];
    unsigned count;
    char refuses; /* the letter whose function says no */
    int answer;
    fastalloc_handle handle; /* that the last was told of */
    void *object;
    void *argument;
    int nesting;
    int busy; /* what close said within */
};

static struct diary *diary;
static char argument_;

static void note(char letter, fastalloc_handle handle, void *object, void *argument)
{
    ck_assert_uint_lt(diary->count, ENTRIES - 1);
    diary->letters[diary->count++] = letter;
    diary->handle = handle;
    diary->object = object;
    diary->argument = argument;
}

static int answer(char letter)
{
    return diary->refuses == letter ? diary->answer : 0;
}

static int initialize(fastalloc_pool *pool, fastalloc_handle handle, void *object, uint32_t flags,
                      void *argument)
{
    struct thing *thing = object;

    (void)pool;
    note(flags ? 'I' : 'i', handle, object, argument);
    memset(thing, 0, sizeof *thing);
    thing->initialised = 1;
    return answer('i');
}

static int reset(fastalloc_pool *pool, fastalloc_handle handle, void *object, uint32_t flags,
                 void *argument)
{
    struct thing *thing = object;

    (void)pool;
    note(flags & FASTALLOC_RECLAIMED ? 'R' : 'r', handle, object, argument);
    thing->resets++;
    return answer('r');
}

static int on_acquire(fastalloc_pool *pool, fastalloc_handle handle, void *object, uint32_t flags,
                      void *argument)
{
    struct thing *thing = object;

    (void)pool;
    note(flags & FASTALLOC_RECLAIMED ? 'A' : 'a', handle, object, argument);
    thing->acquired++;
    return answer('a');
}

static void on_release(fastalloc_pool *pool, fastalloc_handle handle, void *object, void *argument)
{
    struct thing *thing = object;

    (void)pool;
    note('f', handle, object, argument);
    thing->released++;
}

static fastalloc_pool_config config_of(size_t capacity)
{
    fastalloc_pool_config config = api_config("things", sizeof(struct thing), capacity);

    config.initialize = initialize;
    config.reset = reset;
    config.on_acquire = on_acquire;
    config.on_release = on_release;
    config.hook_argument = &argument_;
    config.max_sessions = 16;
    return config;
}

static void make_diary(void)
{
    diary = mmap(NULL, sizeof *diary, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(diary, MAP_FAILED);
}

static void begin(int kind, const fastalloc_pool_config *config)
{
    make_diary();
    both_begin(kind, config);
}

static void end(int kind)
{
    both_end(kind);
    munmap(diary, sizeof *diary);
}

/* Requires that since the last time just these were called, in this order. */
static void require_diary(const char *expected)
{
    ck_assert_str_eq(diary->letters, expected);
    memset(diary->letters, 0, sizeof diary->letters);
    diary->count = 0;
}

/* ------------------------------------------------------------ ways in and out */

static fastalloc_handle by_function(void)
{
    fastalloc_handle handle = FASTALLOC_NONE;

    require_ok((fastalloc_alloc)(both_pool, &handle, NULL));
    return handle;
}

static fastalloc_handle by_inline(void)
{
    fastalloc_handle handle = FASTALLOC_NONE;
    void *object;

    require_ok(inlined_alloc(both_pool, &handle, &object));
    ck_assert_ptr_eq(object, diary->object);
    return handle;
}

static fastalloc_handle by_waiting(void)
{
    fastalloc_handle handle = FASTALLOC_NONE;

    require_ok(fastalloc_alloc_wait(both_pool, &handle, NULL, FASTALLOC_FOREVER));
    return handle;
}

static fastalloc_handle by_batch(void)
{
    fastalloc_handle handle = FASTALLOC_NONE;
    void *object;

    require_ok(fastalloc_alloc_batch(both_pool, 1, &handle, &object));
    ck_assert_ptr_eq(object, diary->object);
    return handle;
}

static fastalloc_handle by_scope(void)
{
    fastalloc_owned owned = fastalloc_own(both_pool);

    ck_assert_ptr_eq(owned.object, diary->object);
    return fastalloc_disown(&owned);
}

static fastalloc_handle by_type(void)
{
    things_pool typed = {both_pool};
    things_handle handle;
    struct thing *thing;

    require_ok(things_alloc(typed, &handle, &thing));
    ck_assert_ptr_eq(thing, diary->object);
    return handle.value;
}

static fastalloc_handle (*const ways_in[])(void) = {by_function, by_inline, by_waiting,
                                                    by_batch,    by_scope,  by_type};

static void out_by_function(fastalloc_handle handle)
{
    require_ok((fastalloc_free)(both_pool, handle));
}

static void out_by_inline(fastalloc_handle handle)
{
    require_ok(inlined_free(both_pool, handle));
}

static void out_by_batch(fastalloc_handle handle)
{
    size_t freed;

    require_ok(fastalloc_free_batch(both_pool, 1, &handle, &freed));
    ck_assert_uint_eq(freed, 1);
}

static void out_by_scope(fastalloc_handle handle)
{
    FASTALLOC_AUTO fastalloc_owned owned = {both_pool, handle, NULL, 0};
}

static void out_by_sharing(fastalloc_handle handle)
{
    require_ok(fastalloc_share(both_pool, handle));
    require_ok(fastalloc_ref(both_pool, handle));
    require_ok(fastalloc_unref(both_pool, handle));
    require_diary("");
    require_ok(fastalloc_unref(both_pool, handle));
}

/* Nobody allocates in it: the slot comes back by another's free. */
static void free_it(int channel, void *argument)
{
    (void)channel;
    child_require(fastalloc_free(both_pool, *(fastalloc_handle *)argument) == 0);
}

static void out_by_another(fastalloc_handle handle)
{
    struct child child;

    child_start(&child, free_it, &handle);
    child_join(&child);
}

static void out_by_another_adopting(fastalloc_handle handle)
{
    require_ok(fastalloc_leave(both_pool, handle, FASTALLOC_FOREVER));
    require_ok(fastalloc_adopt(both_pool, handle));
    require_ok(fastalloc_free(both_pool, handle));
}

static void (*const ways_out[])(fastalloc_handle) = {
    out_by_function, out_by_inline,  out_by_batch,           out_by_scope,
    out_by_sharing,  out_by_another, out_by_another_adopting};

static void go_each_way(void)
{
    unsigned in, out;

    require_ok(fastalloc_free(both_pool, by_function()));
    require_diary("iaf");
    for (in = 0; in < sizeof ways_in / sizeof *ways_in; in++)
        for (out = 0; out < sizeof ways_out / sizeof *ways_out; out++) {
            fastalloc_handle handle = ways_in[in]();
            struct thing *thing = fastalloc_get(both_pool, handle);

            require_diary("ra");
            ck_assert_ptr_eq(thing, diary->object);
            ck_assert_uint_eq(handle, diary->handle);
            ck_assert_ptr_eq(diary->argument, &argument_);
            diary->handle = FASTALLOC_NONE;
            diary->object = NULL;
            ways_out[out](handle);
            require_diary("f");
            ck_assert_uint_eq(diary->handle, handle);
            ck_assert_ptr_eq(diary->object, thing);
            ck_assert_ptr_null(fastalloc_get(both_pool, handle));
        }
}

/* A pool of one slot has no magazines; of many, the last one freed comes back. */
START_TEST(each_way_in_and_out_calls_each_function_once)
{
    fastalloc_pool_config config = config_of(1);

    config.features = FASTALLOC_SHARING;
    begin(_i, &config);
    go_each_way();
    ck_assert_uint_eq(api_info(both_pool).features & FASTALLOC_LIFECYCLE, FASTALLOC_LIFECYCLE);
    end(_i);
}
END_TEST

START_TEST(so_it_is_in_pools_with_caches)
{
    fastalloc_pool_config config = config_of(SLOTS);
    fastalloc_handle handles[SLOTS];
    unsigned i;

    begin(_i, &config);
    for (i = 0; i < SLOTS; i++) {
        handles[i] = by_function();
        require_diary("ia");
    }
    require_failure(fastalloc_alloc(both_pool, &handles[0], NULL), FASTALLOC_E_EXHAUSTED,
                    "exhausted");
    require_diary("");
    for (i = 0; i < SLOTS; i++) {
        struct thing *thing = fastalloc_get(both_pool, handles[i]);

        ck_assert(thing->initialised && thing->acquired == 1 && !thing->resets);
        require_ok(inlined_free(both_pool, handles[i]));
        require_diary("f");
    }
    for (i = 0; i < SLOTS; i++) {
        handles[i] = by_inline();
        require_diary("ra");
    }
    api_free_all(both_pool, handles, SLOTS);
    diary->count = 0;
    memset(diary->letters, 0, sizeof diary->letters);
    for (i = 0; i < SLOTS; i++) {
        struct thing *thing;

        require_ok(fastalloc_alloc(both_pool, &handles[i], (void **)&thing));
        ck_assert(thing->resets == 2 && thing->acquired == 3 && thing->released == 2);
    }
    end(_i);
}
END_TEST

START_TEST(functions_that_are_not_there_are_not_called)
{
    fastalloc_pool_config config = config_of(1);

    config.initialize = NULL;
    config.on_acquire = NULL;
    begin(_i, &config);
    require_ok(fastalloc_free(both_pool, by_function()));
    require_diary("f");
    require_ok(fastalloc_free(both_pool, by_function()));
    require_diary("rf");
    end(_i);
}
END_TEST

/* ------------------------------------------------------------------- eager */

START_TEST(all_is_initialised_when_an_eager_pool_is_there)
{
    fastalloc_pool_config config = config_of(SLOTS);
    fastalloc_handle handles[2 * SLOTS];
    unsigned i;

    config.initialization = FASTALLOC_INIT_EAGER;
    config.max_capacity = 2 * SLOTS;
    begin(_i, &config);
    ck_assert_uint_eq(diary->count, SLOTS);
    ck_assert_uint_eq(strspn(diary->letters, "i"), SLOTS);
    ck_assert_uint_eq(diary->handle, FASTALLOC_NONE);
    ck_assert_uint_eq(api_info(both_pool).allocated, 0);
    diary->count = 0;
    memset(diary->letters, 0, sizeof diary->letters);
    for (i = 0; i < SLOTS; i++) {
        handles[i] = by_function();
        require_diary("a");
        ck_assert_uint_eq(((struct thing *)diary->object)->initialised, 1);
    }
    require_ok(fastalloc_pool_grow(both_pool, 2 * SLOTS));
    require_diary("");
    handles[i] = by_function();
    require_diary("ia");
    api_free_all(both_pool, handles, SLOTS + 1);
    end(_i);
}
END_TEST

static int nested_allocations(fastalloc_pool *pool, fastalloc_handle handle, void *object,
                              uint32_t flags, void *argument)
{
    fastalloc_handle other;

    initialize(pool, handle, object, flags, argument);
    diary->busy = fastalloc_alloc(pool, &other, NULL);
    return 0;
}

/* All slots are taken before the first is free. */
START_TEST(an_eager_pool_is_full_while_it_is_initialised)
{
    fastalloc_pool_config config = config_of(1);

    config.initialization = FASTALLOC_INIT_EAGER;
    config.initialize = nested_allocations;
    begin(_i, &config);
    ck_assert_int_eq(diary->busy, FASTALLOC_E_EXHAUSTED);
    require_diary("i");
    require_ok(fastalloc_free(both_pool, by_function()));
    require_diary("af");
    end(_i);
}
END_TEST

/* The hundredth. */
static int initialize_some(fastalloc_pool *pool, fastalloc_handle handle, void *object,
                           uint32_t flags, void *argument)
{
    initialize(pool, handle, object, flags, argument);
    return diary->count == 100 ? 7 : 0;
}

START_TEST(an_eager_pool_that_cannot_be_initialised_is_not_there)
{
    fastalloc_pool_config config = config_of(SLOTS), plain = config_of(SLOTS);
    fastalloc_pool *pool = NULL;
    fastalloc_client *client;

    config.initialize = initialize_some;
    config.initialization = FASTALLOC_INIT_EAGER;
    config.lifetime = FASTALLOC_PERSISTENT;
    make_diary();
    require_failure(fastalloc_pool_create_local(&config, &pool), FASTALLOC_E_HOOK, "initialize",
                    "answered 7");
    ck_assert_ptr_null(pool);
    test_daemon_start(&both_daemon, NULL);
    client = api_connect(both_daemon.socket);
    diary->count = 0;
    require_failure(fastalloc_pool_create(client, &config, &pool), FASTALLOC_E_HOOK, "initialize",
                    "\"things\"", "answered 7");
    ck_assert_ptr_null(pool);
    require_failure(fastalloc_pool_open(client, "things", NULL, &pool), FASTALLOC_E_NOT_FOUND,
                    "things");
    require_ok(fastalloc_pool_create(client, &plain, &pool));
    require_ok(fastalloc_pool_close(pool));
    fastalloc_disconnect(client);
    test_daemon_stop(&both_daemon);
}
END_TEST

/* ---------------------------------------------------------------- refusing */

/* Refused by `letter`, then not: what is called each time. */
static void refuse(char letter, const char *refused, const char *then)
{
    fastalloc_handle handle = 1234;
    void *object = &handle;

    diary->refuses = letter;
    diary->answer = -5;
    require_failure(fastalloc_alloc(both_pool, &handle, &object), FASTALLOC_E_HOOK, "alloc",
                    letter == 'i'   ? "initialize"
                    : letter == 'r' ? "reset"
                                    : "on_acquire",
                    "answered -5", "slot 0");
    require_diary(refused);
    ck_assert_uint_eq(handle, 1234);
    ck_assert_ptr_eq(object, &handle);
    ck_assert_uint_eq(api_info(both_pool).allocated, 0);
    require_failure(fastalloc_alloc_wait(both_pool, &handle, &object, FASTALLOC_FOREVER),
                    FASTALLOC_E_HOOK, "alloc_wait", "answered -5");
    require_failure(fastalloc_alloc_batch(both_pool, 1, &handle, &object), FASTALLOC_E_HOOK,
                    "answered -5");
    ck_assert_int_eq(fastalloc_own(both_pool).error, FASTALLOC_E_HOOK);
    diary->refuses = 0;
    diary->count = 0;
    memset(diary->letters, 0, sizeof diary->letters);
    handle = by_function();
    require_diary(then);
    require_ok(fastalloc_free(both_pool, handle));
    require_diary("f");
}

START_TEST(a_refused_slot_goes_back_as_it_was)
{
    fastalloc_pool_config config = config_of(1);

    begin(_i, &config);
    refuse('i', "i", "ia");
    refuse('r', "r", "ra");
    refuse('a', "ra", "ra");
    end(_i);
}
END_TEST

/* Of three slots the third is refused, and so none is had. */
START_TEST(a_refusal_within_a_batch_undoes_the_batch)
{
    fastalloc_pool_config config = config_of(3);
    fastalloc_handle handles[3], first;

    begin(_i, &config);
    first = by_function();
    require_ok(fastalloc_alloc_batch(both_pool, 2, handles, NULL));
    api_free_all(both_pool, handles, 2);
    require_diary("iaiaiaff");
    require_ok(fastalloc_free(both_pool, first));
    diary->count = 0;
    memset(diary->letters, 0, sizeof diary->letters);
    diary->refuses = 'i';
    diary->answer = 1;
    require_ok(fastalloc_alloc_batch(both_pool, 3, handles, NULL));
    api_free_all(both_pool, handles, 3);
    require_diary("rararafff");
    diary->refuses = 'r';
    require_failure(fastalloc_alloc_batch(both_pool, 3, handles, NULL), FASTALLOC_E_HOOK,
                    "answered 1");
    require_diary("r");
    ck_assert_uint_eq(api_info(both_pool).allocated, 0);
    end(_i);
}
END_TEST

/* ---------------------------------------------------------- within one another */

static int acquire_nested(fastalloc_pool *pool, fastalloc_handle handle, void *object,
                          uint32_t flags, void *argument)
{
    struct thing *thing = object;
    fastalloc_handle inner;

    on_acquire(pool, handle, object, flags, argument);
    if (diary->nesting == 0)
        return 0;
    diary->nesting--;
    if (fastalloc_alloc(pool, &inner, NULL))
        return 9;
    thing->released = inner;
    return 0;
}

static void release_nested(fastalloc_pool *pool, fastalloc_handle handle, void *object,
                           void *argument)
{
    fastalloc_handle inner = ((struct thing *)object)->released;

    note('f', handle, object, argument);
    ((struct thing *)object)->released = FASTALLOC_NONE;
    if (inner != FASTALLOC_NONE && fastalloc_free(pool, inner))
        note('!', handle, object, argument);
    diary->busy = fastalloc_pool_close(pool);
}

START_TEST(functions_may_allocate_and_free_in_the_pool)
{
    fastalloc_pool_config config = config_of(SLOTS);
    fastalloc_handle handle;

    config.on_acquire = acquire_nested;
    config.on_release = release_nested;
    begin(_i, &config);
    diary->nesting = 5;
    handle = by_function();
    require_diary("iaiaiaiaiaia");
    ck_assert_uint_eq(api_info(both_pool).allocated, 6);
    require_ok(fastalloc_free(both_pool, handle));
    require_diary("ffffff");
    ck_assert_uint_eq(api_info(both_pool).allocated, 0);
    ck_assert_int_eq(diary->busy, FASTALLOC_E_BUSY);
    diary->nesting = 1;
    handle = by_function();
    require_diary("rara");
    require_ok(fastalloc_free(both_pool, handle));
    end(_i);
}
END_TEST

/* There is one slot: the allocation within finds none, and the refusal comes of it. */
START_TEST(a_failure_within_is_the_functions_own_affair)
{
    fastalloc_pool_config config = config_of(1);
    fastalloc_handle handle;

    config.on_acquire = acquire_nested;
    begin(_i, &config);
    diary->nesting = 1;
    require_failure(fastalloc_alloc(both_pool, &handle, NULL), FASTALLOC_E_HOOK, "on_acquire",
                    "answered 9");
    require_diary("ia");
    ck_assert_uint_eq(api_info(both_pool).allocated, 0);
    require_ok(fastalloc_free(both_pool, by_function()));
    require_diary("raf");
    end(_i);
}
END_TEST

/* ------------------------------------------------------------------ capacity */

START_TEST(slots_that_grow_are_initialised_and_again_after_shrinking)
{
    fastalloc_pool_config config = config_of(1);
    fastalloc_handle handles[600];
    size_t now;
    unsigned i, round;

    config.max_capacity = 600;
    begin(_i, &config);
    handles[0] = by_function();
    require_diary("ia");
    for (round = 0; round < 3; round++) {
        require_ok(fastalloc_pool_grow(both_pool, 600));
        for (i = 1; i < 600; i++) {
            handles[i] = by_function();
            require_diary("ia");
            ck_assert_uint_eq(((struct thing *)diary->object)->acquired, 1);
        }
        api_free_all(both_pool, handles + 1, 599);
        diary->count = 0;
        memset(diary->letters, 0, sizeof diary->letters);
        require_ok(fastalloc_pool_shrink(both_pool, 1, &now));
        ck_assert_uint_eq(now, 1);
    }
    require_ok(fastalloc_free(both_pool, handles[0]));
    require_diary("f");
    require_ok(fastalloc_free(both_pool, by_function()));
    require_diary("raf");
    end(_i);
}
END_TEST

/* Below those that could go, a slot is in use: what was withdrawn comes back as it was. */
START_TEST(a_shrinking_that_failed_initialises_nothing_again)
{
    fastalloc_pool_config config = config_of(600);
    fastalloc_handle handles[600], top = FASTALLOC_NONE;
    unsigned i;
    size_t now;

    begin(_i, &config);
    for (i = 0; i < 600; i++)
        handles[i] = by_function();
    for (i = 0; i < 600; i++)
        if (fastalloc_handle_index(both_pool, handles[i]) == 599)
            top = handles[i];
        else
            require_ok(fastalloc_free(both_pool, handles[i]));
    ck_assert_uint_ne(top, FASTALLOC_NONE);
    require_ok(fastalloc_pool_shrink(both_pool, 100, &now));
    ck_assert_uint_eq(now, 600);
    diary->count = 0;
    memset(diary->letters, 0, sizeof diary->letters);
    for (i = 0; i < 599; i++) {
        by_function();
        require_diary("ra");
    }
    end(_i);
}
END_TEST

/* ------------------------------------------------------------------ reclaimed */

/* Allocates the only slot, and is killed with it. */
static void take_it(int channel, void *argument)
{
    fastalloc_handle handle;

    (void)argument;
    child_require(fastalloc_alloc_wait(both_pool, &handle, NULL, fastalloc_deadline(8000)) == 0);
    channel_put(channel, handle);
    channel_take(channel);
}

static fastalloc_handle alloc_soon(void)
{
    fastalloc_handle handle = FASTALLOC_NONE;
    int64_t deadline = api_now_us() + 8000000;
    int error;

    do
        error = fastalloc_alloc_wait(both_pool, &handle, NULL, fastalloc_deadline(100));
    while (error == FASTALLOC_E_TIMEOUT && api_now_us() < deadline);
    require_ok(error);
    return handle;
}

START_TEST(who_comes_after_a_death_is_told_until_somebody_frees)
{
    fastalloc_pool_config config = config_of(1);
    fastalloc_handle handle;
    struct child child;

    begin(_i, &config);
    child_start(&child, take_it, NULL);
    channel_take(child.channel);
    child_kill(&child);
    require_diary("ia");
    handle = alloc_soon();
    require_diary("RA");
    /* Who dies after somebody who was told. */
    require_ok(fastalloc_free(both_pool, handle));
    require_diary("f");
    child_start(&child, take_it, NULL);
    channel_take(child.channel);
    child_kill(&child);
    require_diary("ra");
    diary->refuses = 'r';
    diary->answer = 1;
    while (fastalloc_alloc_wait(both_pool, &handle, NULL, fastalloc_deadline(8000)) !=
           FASTALLOC_E_HOOK)
        ;
    require_diary("R");
    diary->refuses = 0;
    handle = alloc_soon();
    require_diary("RA");
    require_ok(fastalloc_free(both_pool, handle));
    require_ok(fastalloc_free(both_pool, alloc_soon()));
    require_diary("fraf");
    end(_i);
}
END_TEST

/* A child's session ends with the pool closed. */
static void take_it_and_close(int channel, void *argument)
{
    fastalloc_handle handle;

    (void)argument;
    child_require(fastalloc_alloc(both_pool, &handle, NULL) == 0);
    child_require(fastalloc_pool_close(both_pool) == 0);
    channel_put(channel, 1);
    channel_take(channel);
}

START_TEST(who_comes_after_a_close_is_told)
{
    fastalloc_pool_config config = config_of(1);
    struct child child;

    begin(_i, &config);
    child_start(&child, take_it_and_close, NULL);
    channel_take(child.channel);
    require_diary("ia");
    require_ok(fastalloc_free(both_pool, alloc_soon()));
    require_diary("RAf");
    channel_put(child.channel, 1);
    child_join(&child);
    end(_i);
}
END_TEST

/* Shared, and all holders die. */
static void hold_it(int channel, void *argument)
{
    child_require(fastalloc_ref(both_pool, *(fastalloc_handle *)argument) == 0);
    channel_put(channel, 1);
    channel_take(channel);
    child_require(fastalloc_unref(both_pool, *(fastalloc_handle *)argument) == 0);
}

START_TEST(the_last_holder_releases_unless_it_dies)
{
    fastalloc_pool_config config = config_of(1);
    fastalloc_handle handle;
    struct child child;

    config.features = FASTALLOC_SHARING;
    begin(_i, &config);
    handle = by_function();
    require_diary("ia");
    require_ok(fastalloc_share(both_pool, handle));
    child_start(&child, hold_it, &handle);
    channel_take(child.channel);
    require_ok(fastalloc_unref(both_pool, handle));
    require_diary("");
    child_kill(&child);
    handle = alloc_soon();
    require_diary("RA");
    require_ok(fastalloc_share(both_pool, handle));
    child_start(&child, hold_it, &handle);
    channel_take(child.channel);
    require_ok(fastalloc_unref(both_pool, handle));
    require_diary("");
    channel_put(child.channel, 1);
    child_join(&child);
    require_diary("f");
    require_ok(fastalloc_free(both_pool, alloc_soon()));
    require_diary("raf");
    end(_i);
}
END_TEST

/* Left for a time, and nobody came. */
START_TEST(who_comes_after_a_time_that_was_up_is_told)
{
    fastalloc_pool_config config = config_of(1);
    fastalloc_handle handle;

    config.features = FASTALLOC_DEADLINES;
    begin(_i, &config);
    handle = by_function();
    require_ok(fastalloc_leave(both_pool, handle, fastalloc_deadline(1)));
    require_diary("ia");
    require_ok(fastalloc_free(both_pool, alloc_soon()));
    require_diary("RAf");
    end(_i);
}
END_TEST

/* ----------------------------------------------------------- other processes */

/* The same process, another attachment: without functions, or with some. */
START_TEST(each_attachment_has_its_own_functions)
{
    fastalloc_pool_config config = config_of(1), some;
    fastalloc_pool *bare, *other;
    fastalloc_handle handle;

    begin(BOTH_DAEMON, &config);
    some = config_of(0);
    some.object_size = 0;
    some.on_release = NULL;
    some.initialize = NULL;
    require_ok(fastalloc_pool_open(both_client, "things", NULL, &bare));
    require_ok(fastalloc_pool_open(both_client, "things", &some, &other));
    /* Used by one who cannot initialise; freed by one who calls nothing. */
    require_ok(fastalloc_alloc(bare, &handle, NULL));
    require_ok(fastalloc_free(bare, handle));
    require_diary("");
    require_ok(fastalloc_alloc(other, &handle, NULL));
    require_diary("ra");
    require_ok(fastalloc_free(other, handle));
    require_diary("");
    /* The first who can does. */
    handle = by_function();
    require_diary("ia");
    require_ok(fastalloc_free(bare, handle));
    require_diary("");
    handle = by_function();
    require_diary("ra");
    require_ok(fastalloc_free(both_pool, handle));
    require_diary("f");
    /* Closed with the slot in hand, by who has no functions. */
    require_ok(fastalloc_alloc(bare, &handle, NULL));
    require_ok(fastalloc_pool_close(bare));
    require_ok(fastalloc_free(both_pool, alloc_soon()));
    require_diary("RAf");
    require_ok(fastalloc_pool_close(other));
    end(BOTH_DAEMON);
}
END_TEST

START_TEST(functions_need_a_pool_with_a_lifecycle)
{
    fastalloc_pool_config plain = api_config("things", sizeof(struct thing), 10), config;
    fastalloc_pool *pool = NULL;

    begin(BOTH_DAEMON, &plain);
    ck_assert_uint_eq(api_info(both_pool).features, 0);
    fastalloc_pool_config_init(&config);
    config.on_release = on_release;
    require_failure(fastalloc_pool_open(both_client, "things", &config, &pool), FASTALLOC_E_INVALID,
                    "\"things\"", "FASTALLOC_LIFECYCLE");
    ck_assert_ptr_null(pool);
    ck_assert(api_sessions_become(both_pool, 1));
    require_ok(fastalloc_free(both_pool, by_function()));
    require_diary("");
    end(BOTH_DAEMON);
}
END_TEST

START_TEST(asked_for_as_a_feature_it_is_there_for_others)
{
    fastalloc_pool_config plain = api_config("things", sizeof(struct thing), 10);
    fastalloc_pool_config config = config_of(0);
    fastalloc_pool *pool = NULL;
    fastalloc_handle handle;

    plain.features = FASTALLOC_LIFECYCLE;
    begin(BOTH_DAEMON, &plain);
    ck_assert_uint_eq(api_info(both_pool).features, FASTALLOC_LIFECYCLE);
    require_ok(fastalloc_pool_open(both_client, "things", &config, &pool));
    require_ok(fastalloc_alloc(pool, &handle, NULL));
    require_diary("ia");
    require_ok(fastalloc_free(pool, handle));
    require_diary("f");
    require_ok(fastalloc_pool_close(pool));
    end(BOTH_DAEMON);
}
END_TEST

START_TEST(what_cannot_be_asked_for_is_refused_with_words)
{
    fastalloc_pool_config config = config_of(1);
    fastalloc_pool *pool = NULL;

    config.initialization = 2;
    require_failure(fastalloc_pool_create_local(&config, &pool), FASTALLOC_E_INVALID,
                    "initialization 2");
    config = config_of(1);
    config.initialization = FASTALLOC_INIT_EAGER;
    config.initialize = NULL;
    require_failure(fastalloc_pool_create_local(&config, &pool), FASTALLOC_E_INVALID,
                    "there is no initialize");
    config = config_of(1);
    config.initialization = FASTALLOC_INIT_EAGER;
    config.features = FASTALLOC_ZERO_ON_ALLOC;
    require_failure(fastalloc_pool_create_local(&config, &pool), FASTALLOC_E_INVALID,
                    "FASTALLOC_ZERO_ON_ALLOC");
    config = config_of(1);
    config.advice = 8 | FASTALLOC_MLOCK;
    require_failure(fastalloc_pool_create_local(&config, &pool), FASTALLOC_E_INVALID, "0x8");
    config = config_of(1);
    config.features = 64;
    require_failure(fastalloc_pool_create_local(&config, &pool), FASTALLOC_E_INVALID, "0x40");
    ck_assert_ptr_null(pool);
}
END_TEST

/* The event's helper takes a slot and gives it back: no use of it. */
START_TEST(waiting_for_an_event_uses_no_slot)
{
    fastalloc_pool_config config = config_of(1);
    fastalloc_handle handle, other;
    uint64_t told = 0;
    int descriptor;

    begin(_i, &config);
    require_ok(fastalloc_pool_event(both_pool, &descriptor));
    handle = by_function();
    require_failure(fastalloc_alloc(both_pool, &other, NULL), FASTALLOC_E_EXHAUSTED, "exhausted");
    require_ok(fastalloc_free(both_pool, handle));
    while (read(descriptor, &told, sizeof told) != sizeof told)
        api_sleep_ms(1);
    require_diary("iaf");
    require_ok(fastalloc_free(both_pool, alloc_soon()));
    require_diary("raf");
    end(_i);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {each_way_in_and_out_calls_each_function_once,
                                    so_it_is_in_pools_with_caches,
                                    functions_that_are_not_there_are_not_called,
                                    all_is_initialised_when_an_eager_pool_is_there,
                                    an_eager_pool_is_full_while_it_is_initialised,
                                    a_refused_slot_goes_back_as_it_was,
                                    a_refusal_within_a_batch_undoes_the_batch,
                                    functions_may_allocate_and_free_in_the_pool,
                                    a_failure_within_is_the_functions_own_affair,
                                    slots_that_grow_are_initialised_and_again_after_shrinking,
                                    a_shrinking_that_failed_initialises_nothing_again,
                                    who_comes_after_a_death_is_told_until_somebody_frees,
                                    who_comes_after_a_close_is_told,
                                    the_last_holder_releases_unless_it_dies,
                                    who_comes_after_a_time_that_was_up_is_told,
                                    waiting_for_an_event_uses_no_slot,
                                    NULL};
    const TTest *const once[] = {an_eager_pool_that_cannot_be_initialised_is_not_there,
                                 each_attachment_has_its_own_functions,
                                 functions_need_a_pool_with_a_lifecycle,
                                 asked_for_as_a_feature_it_is_there_for_others,
                                 what_cannot_be_asked_for_is_refused_with_words,
                                 NULL};

    return both_run("lifecycle", of_both, once, 30);
}
