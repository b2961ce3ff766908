/* SPDX-License-Identifier: MIT
 *
 * Pools without a daemon, in one thread of one process: what may be asked for,
 * what a slot and a handle are, batches, roots, typed and scope-bound handles.
 */
#include "api.h"
#include "tests/support/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* -------------------------------------------------------------- bad input */

static fastalloc_pool *const untouched = (fastalloc_pool *)(uintptr_t)0x5a;

static int try_local(const fastalloc_pool_config *config)
{
    fastalloc_pool *pool = untouched;
    int error = fastalloc_pool_create_local(config, &pool);

    ck_assert_ptr_eq(pool, untouched);
    return error;
}

START_TEST(a_config_that_cannot_be_is_refused_with_its_own_code_and_text)
{
    fastalloc_pool_config config = api_config("p", 0, 10);

    require_failure(try_local(&config), FASTALLOC_E_SIZE, "object size is 0", "sizeof");
    config = api_config("p", 64, 0);
    require_failure(try_local(&config), FASTALLOC_E_CAPACITY, "capacity is 0");
    config = api_config("p", SIZE_MAX / 2, 4);
    require_failure(try_local(&config), FASTALLOC_E_OVERFLOW, "4 objects of", "lower");
    config = api_config("p", 1, SIZE_MAX);
    config.alignment = 64;
    require_failure(try_local(&config), FASTALLOC_E_OVERFLOW, "18446744073709551615 objects");
    config = api_config("p", 64, (UINT64_C(1) << 31) + 1);
    require_failure(try_local(&config), FASTALLOC_E_LIMIT, "2147483649", "2147483648");
    config = api_config("p", 64, 10);
    config.alignment = 48;
    require_failure(try_local(&config), FASTALLOC_E_ALIGNMENT, "48", "power of two");
    config.alignment = 8192;
    require_failure(try_local(&config), FASTALLOC_E_ALIGNMENT, "8192", "4096");
    config.alignment = 0;
    config.lifetime = 7;
    require_failure(try_local(&config), FASTALLOC_E_INVALID, "lifetime 7");
    config.lifetime = 0;
    config.mode = 0755;
    require_failure(try_local(&config), FASTALLOC_E_INVALID, "0755", "0666");
    config.mode = 0;
    config.max_sessions = 60001;
    require_failure(try_local(&config), FASTALLOC_E_LIMIT, "60001", "60000");
    config.max_sessions = 0;
    config.max_threads = UINT32_MAX;
    require_failure(try_local(&config), FASTALLOC_E_LIMIT, "4294967295");
    config.max_threads = 0;
    config.struct_size = 8;
    require_failure(try_local(&config), FASTALLOC_E_INVALID, "struct_size is 8",
                    "fastalloc_pool_config_init()");
}
END_TEST

START_TEST(a_name_that_cannot_be_is_refused_and_says_where)
{
    fastalloc_pool_config config = api_config("", 64, 10);
    char name[300];

    require_failure(try_local(&config), FASTALLOC_E_NAME, "empty");
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    config.name = name;
    require_failure(try_local(&config), FASTALLOC_E_NAME, "256 bytes", "255");
    config.name = "a/b";
    require_failure(try_local(&config), FASTALLOC_E_NAME, "\"/\"", "byte 1");
    config.name = "ab\ncd";
    require_failure(try_local(&config), FASTALLOC_E_NAME, "control", "0x0a", "byte 2");
    config.name = "abc\x7f";
    require_failure(try_local(&config), FASTALLOC_E_NAME, "control", "0x7f");
    config.name = "\xc2\x85";
    require_failure(try_local(&config), FASTALLOC_E_NAME, "control");
    config.name = "ab\xff";
    require_failure(try_local(&config), FASTALLOC_E_NAME, "UTF-8", "byte 2", "0xff");
    config.name = "\xed\xa0\x80"; /* a surrogate */
    require_failure(try_local(&config), FASTALLOC_E_NAME, "UTF-8", "byte 0");
    config.name = "\xc0\xaf"; /* "/" in two bytes */
    require_failure(try_local(&config), FASTALLOC_E_NAME, "UTF-8");
    config.name = "\xe2\x82"; /* cut off */
    require_failure(try_local(&config), FASTALLOC_E_NAME, "UTF-8");
    config.name = "..";
    require_failure(try_local(&config), FASTALLOC_E_NAME, "\"..\"");
    config = api_config("p", 64, 10);
    name[64] = '\0';
    config.type_name = name;
    require_failure(try_local(&config), FASTALLOC_E_NAME, "type name", "64 bytes", "63");
    config.type_name = "t\t";
    require_failure(try_local(&config), FASTALLOC_E_NAME, "type name", "control");
}
END_TEST

START_TEST(the_longest_name_and_characters_of_all_lengths_are_fine)
{
    char name[256] = "";
    fastalloc_pool_config config = api_config(name, 64, 10);
    fastalloc_pool *pool;

    memset(name, 'n', 255);
    name[255] = '\0';
    memcpy(name, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9);
    require_ok(fastalloc_pool_create_local(&config, &pool));
    ck_assert_str_eq(api_info(pool).name, name);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(a_pool_beyond_the_machine_is_refused_with_the_numbers)
{
    fastalloc_pool_config config = api_config("p", 1u << 20, 1u << 24); /* 16 TiB */
    int descriptors = test_descriptors(0);

    require_failure(try_local(&config), FASTALLOC_E_NO_MEMORY, "16", "TiB", "only");
    ck_assert_int_eq(test_descriptors(0), descriptors);
}
END_TEST

START_TEST(without_descriptors_a_pool_is_refused_and_nothing_leaks)
{
    fastalloc_pool_config config = api_config("p", 64, 1000);
    struct rlimit limit, none = {3, 3};
    fastalloc_pool *pool;
    int i;

    require_ok(fastalloc_pool_create_local(&config, &pool)); /* what is made once, is */
    require_ok(fastalloc_pool_close(pool));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none.rlim_max = limit.rlim_max;
    for (i = 3; i < 12; i++) {
        none.rlim_cur = (rlim_t)i;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
        pool = untouched;
        if (fastalloc_pool_create_local(&config, &pool) == 0)
            require_ok(fastalloc_pool_close(pool));
        else
            require_failure(try_local(&config), FASTALLOC_E_SYSTEM, "open files");
    }
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}
END_TEST

START_TEST(null_is_refused_everywhere_and_named)
{
    fastalloc_pool *pool = api_local(64, 10);
    fastalloc_pool_config config = api_config("p", 64, 10);
    fastalloc_pool_info info = {.struct_size = 4};
    fastalloc_client *client = NULL;
    fastalloc_handle handle = 77;
    size_t freed = 77;

    require_failure(fastalloc_pool_create_local(NULL, &pool), FASTALLOC_E_INVALID, "config");
    require_failure(fastalloc_pool_create_local(&config, NULL), FASTALLOC_E_INVALID, "output");
    require_failure(fastalloc_pool_create(NULL, &config, &pool), FASTALLOC_E_INVALID, "client");
    require_failure(fastalloc_pool_open(NULL, "p", NULL, &pool), FASTALLOC_E_INVALID, "client");
    require_failure(fastalloc_pool_destroy(NULL, "p"), FASTALLOC_E_INVALID, "client");
    require_failure(fastalloc_connect(NULL, NULL), FASTALLOC_E_INVALID, "output");
    require_failure(fastalloc_pool_close(NULL), FASTALLOC_E_INVALID, "pool is NULL");
    require_failure(fastalloc_alloc(NULL, &handle, NULL), FASTALLOC_E_INVALID, "pool is NULL");
    require_failure(fastalloc_alloc(pool, NULL, NULL), FASTALLOC_E_INVALID, "handle is NULL");
    require_failure(fastalloc_free(NULL, 1), FASTALLOC_E_INVALID, "pool is NULL");
    require_failure(fastalloc_adopt(NULL, 1), FASTALLOC_E_INVALID, "pool is NULL");
    require_failure(fastalloc_give(NULL, 1, 1), FASTALLOC_E_INVALID, "pool is NULL");
    ck_assert_ptr_null(fastalloc_get(NULL, 1));
    require_failure(fastalloc_alloc_batch(NULL, 1, &handle, NULL), FASTALLOC_E_INVALID, "pool");
    require_failure(fastalloc_alloc_batch(pool, 1, NULL, NULL), FASTALLOC_E_INVALID, "handles");
    require_failure(fastalloc_free_batch(NULL, 1, &handle, &freed), FASTALLOC_E_INVALID, "pool");
    require_failure(fastalloc_free_batch(pool, 1, NULL, &freed), FASTALLOC_E_INVALID, "handles");
    require_failure(fastalloc_pool_get_info(NULL, &info), FASTALLOC_E_INVALID, "pool");
    require_failure(fastalloc_pool_get_info(pool, NULL), FASTALLOC_E_INVALID, "info");
    require_failure(fastalloc_pool_get_info(pool, &info), FASTALLOC_E_INVALID, "struct_size");
    require_failure(fastalloc_pool_set_root(NULL, 0, 1), FASTALLOC_E_INVALID, "pool");
    ck_assert_uint_eq(fastalloc_pool_root(NULL), FASTALLOC_NONE);
    ck_assert_uint_eq(fastalloc_pool_session(NULL), 0);
    fastalloc_thread_flush(NULL);
    fastalloc_disconnect(NULL);
    ck_assert_ptr_null(client);
    ck_assert_uint_eq(handle, 77);
    ck_assert_uint_eq(freed, 77);
    ck_assert_uint_eq(api_info(pool).allocated, 0);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(every_code_has_a_name_and_a_text_of_its_own)
{
    int code, other;

    for (code = FASTALLOC_E_LAST; code <= 0; code++) {
        ck_assert_msg(strncmp(fastalloc_error_name(code), "FASTALLOC_", 10) == 0, "%d", code);
        ck_assert_msg(strlen(fastalloc_strerror(code)) > 5, "%d", code);
        for (other = FASTALLOC_E_LAST; other < code; other++) {
            ck_assert_str_ne(fastalloc_strerror(code), fastalloc_strerror(other));
            ck_assert_str_ne(fastalloc_error_name(code), fastalloc_error_name(other));
        }
    }
    ck_assert_str_eq(fastalloc_error_name(FASTALLOC_E_STALE), "FASTALLOC_E_STALE");
    ck_assert_ptr_nonnull(fastalloc_strerror(1));
    ck_assert_ptr_nonnull(fastalloc_strerror(FASTALLOC_E_LAST - 1));
    ck_assert_ptr_nonnull(fastalloc_error_name(INT32_MIN));
    ck_assert_str_eq(fastalloc_version(), "0.1.0");
}
END_TEST

START_TEST(the_last_error_is_empty_before_the_first_failure_and_stays_after_successes)
{
    fastalloc_pool *pool;
    char text[512];

    ck_assert_str_eq(fastalloc_last_error(), "");
    pool = api_local(64, 10);
    ck_assert_str_eq(fastalloc_last_error(), "");
    require_failure(fastalloc_free(pool, 5), FASTALLOC_E_HANDLE, "free", "0x5", "local");
    snprintf(text, sizeof text, "%s", fastalloc_last_error());
    require_ok(fastalloc_free(pool, api_alloc(pool)));
    ck_assert_str_eq(fastalloc_last_error(), text);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(a_failure_on_a_pool_closed_since_still_has_a_text)
{
    fastalloc_pool *pool = api_local(64, 10);

    ck_assert_int_eq(fastalloc_free(pool, 5), FASTALLOC_E_HANDLE);
    require_ok(fastalloc_pool_close(pool));
    ck_assert_ptr_nonnull(strstr(fastalloc_last_error(), "closed"));
}
END_TEST

/* ------------------------------------------------------------------ slots */

static const struct {
    size_t size, capacity, alignment;
} shapes[] = {
    {1, 1, 0},       {1, 255, 0},      {3, 256, 0},      {24, 1000, 0},   {64, 1024, 64},
    {100, 4096, 32}, {65, 5000, 64},   {10240, 1000, 0}, {16, 32768, 16}, {4096, 300, 4096},
    {1, 300, 4096},  {5000, 64, 4096}, {7, 40000, 2},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

static fastalloc_pool *make_shape(int shape)
{
    fastalloc_pool_config config = api_config("shape", shapes[shape].size, shapes[shape].capacity);
    fastalloc_pool *pool;

    config.alignment = shapes[shape].alignment;
    require_ok(fastalloc_pool_create_local(&config, &pool));
    return pool;
}

START_TEST(exactly_the_capacity_can_be_allocated_again_and_again)
{
    fastalloc_pool *pool = make_shape(_i);
    int round;

    for (round = 0; round < 3; round++)
        api_require_whole(pool);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(objects_are_aligned_and_do_not_overlap)
{
    fastalloc_pool *pool = make_shape(_i);
    fastalloc_pool_info info = api_info(pool);
    fastalloc_handle *handles = malloc(info.capacity * sizeof *handles);
    size_t i, j;

    ck_assert_uint_eq(info.object_size, shapes[_i].size);
    if (shapes[_i].alignment)
        ck_assert_uint_eq(info.alignment, shapes[_i].alignment);
    else
        ck_assert_uint_eq(shapes[_i].size % info.alignment, 0);
    ck_assert_uint_eq(api_fill(pool, handles, info.capacity), info.capacity);
    for (i = 0; i < info.capacity; i++) {
        char *object = fastalloc_get(pool, handles[i]);

        ck_assert_uint_eq((uintptr_t)object % info.alignment, 0);
        memset(object, (int)(i * 31 % 251), info.object_size);
    }
    for (i = 0; i < info.capacity; i++) {
        const unsigned char *object = fastalloc_get(pool, handles[i]);

        for (j = 0; j < info.object_size; j++)
            if (object[j] != i * 31 % 251)
                ck_abort_msg("byte %zu of object %zu is another's", j, i);
    }
    api_free_all(pool, handles, info.capacity);
    free(handles);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(slots_never_used_are_zero)
{
    fastalloc_pool *pool = api_local(48, 500);
    fastalloc_handle handle;
    unsigned char *object;
    size_t i, j;
    void *address;

    for (i = 0; i < 500; i++) {
        require_ok(fastalloc_alloc(pool, &handle, &address));
        object = address;
        for (j = 0; j < 48; j++)
            ck_assert_uint_eq(object[j], 0);
        memset(object, 0xff, 48);
    }
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(a_million_slots)
{
    const size_t count = 1000000;
    fastalloc_pool *pool = api_local(16, count);
    fastalloc_handle *handles = malloc(count * sizeof *handles);
    uint64_t *object;
    size_t i;

    ck_assert_uint_eq(api_fill(pool, handles, count), count);
    require_failure(fastalloc_alloc(pool, handles, NULL), FASTALLOC_E_EXHAUSTED, "1000000/1000000");
    for (i = 0; i < count; i++) {
        object = fastalloc_get(pool, handles[i]);
        object[0] = i;
        object[1] = ~i;
    }
    for (i = 0; i < count; i++) {
        object = fastalloc_get(pool, handles[i]);
        if (object[0] != i || object[1] != ~i)
            ck_abort_msg("object %zu is another's", i);
    }
    api_free_all(pool, handles, count);
    ck_assert_uint_eq(api_info(pool).available, count);
    free(handles);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(one_slot)
{
    fastalloc_pool *pool = api_local(64, 1);
    fastalloc_handle handle, other = 99;
    void *object, *untouched_object = &other;
    int i;

    for (i = 0; i < 1000; i++) {
        require_ok(fastalloc_alloc(pool, &handle, &object));
        ck_assert_ptr_eq(fastalloc_get(pool, handle), object);
        require_failure(fastalloc_alloc(pool, &other, &untouched_object), FASTALLOC_E_EXHAUSTED,
                        "1/1");
        ck_assert_uint_eq(other, 99);
        ck_assert_ptr_eq(untouched_object, &other);
        require_ok(fastalloc_free(pool, handle));
    }
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(exhausted_names_the_pool_the_numbers_and_the_holder)
{
    fastalloc_pool *pool = api_local(64, 300);
    fastalloc_handle handle = 99;
    char holder[64];

    ck_assert_uint_eq(api_fill(pool, NULL, 300), 300);
    snprintf(holder, sizeof holder, "[%d] 300", getpid());
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_EXHAUSTED,
                    "pool \"local\" 300/300", "top holders", holder, "check_local");
    ck_assert_uint_eq(handle, 99);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(the_info_tells_what_the_pool_is)
{
    fastalloc_pool_config config = api_config("here", 24, 1000);
    fastalloc_handle handles[100];
    fastalloc_pool_info info;
    fastalloc_pool *pool;

    config.type_name = "struct thing";
    config.type_version = 7;
    config.alignment = 64;
    require_ok(fastalloc_pool_create_local(&config, &pool));
    api_fill(pool, handles, 100);
    info = api_info(pool);
    ck_assert_str_eq(info.name, "here");
    ck_assert_str_eq(info.type_name, "struct thing");
    ck_assert_uint_eq(info.type_version, 7);
    ck_assert_uint_eq(info.object_size, 24);
    ck_assert_uint_eq(info.alignment, 64);
    ck_assert_uint_eq(info.stride, 64);
    ck_assert_uint_eq(info.capacity, 1000);
    ck_assert_uint_eq(info.allocated, 100);
    ck_assert_uint_eq(info.available, 900);
    ck_assert_uint_eq(info.sessions, 1);
    ck_assert_uint_eq(info.session, fastalloc_pool_session(pool));
    api_free_all(pool, handles, 100);
    ck_assert_uint_eq(api_info(pool).allocated, 0);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(the_natural_alignment_divides_the_size)
{
    static const struct {
        size_t size, alignment;
    } natural[] = {{1, 1}, {2, 2}, {6, 2}, {12, 4}, {24, 8}, {48, 16}, {64, 16}, {100, 4}};
    size_t i;

    for (i = 0; i < sizeof natural / sizeof *natural; i++) {
        fastalloc_pool *pool = api_local(natural[i].size, 4);

        ck_assert_uint_eq(api_info(pool).alignment, natural[i].alignment);
        ck_assert_uint_eq(api_info(pool).stride, natural[i].size);
        require_ok(fastalloc_pool_close(pool));
    }
}
END_TEST

/* ---------------------------------------------------------------- handles */

/* Requires that every use of a handle is refused with these codes, and that
 * nothing changed. */
static void require_refused(fastalloc_pool *pool, fastalloc_handle handle, int freeing, int using)
{
    size_t allocated = api_info(pool).allocated, freed = 77;
    uint32_t me = fastalloc_pool_session(pool);
    char text[32];

    snprintf(text, sizeof text, "0x%llx", (unsigned long long)handle);
    require_failure(fastalloc_free(pool, handle), freeing, "free", text);
    require_failure(inlined_free(pool, handle), freeing, "free", text);
    require_failure(fastalloc_free_batch(pool, 1, &handle, &freed), freeing, text);
    ck_assert_uint_eq(freed, 0);
    require_failure(fastalloc_adopt(pool, handle), using, "adopt", text);
    require_failure(fastalloc_give(pool, handle, me), using, "give", text);
    ck_assert_ptr_null(fastalloc_get(pool, handle));
    require_failure(freeing, freeing, "get", text);
    ck_assert_ptr_null(inlined_get(pool, handle));
    ck_assert_uint_eq(api_info(pool).allocated, allocated);
}

START_TEST(freed_twice_in_a_row_is_a_double_free)
{
    fastalloc_pool *pool = make_shape(_i);
    fastalloc_handle handle = api_alloc(pool);

    require_ok(fastalloc_free(pool, handle));
    require_refused(pool, handle, FASTALLOC_E_DOUBLE_FREE, FASTALLOC_E_STALE);
    api_require_whole(pool);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(a_handle_of_a_slot_that_has_a_new_owner_is_stale)
{
    fastalloc_pool *pool = api_local(64, 1);
    fastalloc_handle old = api_alloc(pool), new, newer;

    require_ok(fastalloc_free(pool, old));
    new = api_alloc(pool);
    ck_assert_uint_ne(new, old);
    require_refused(pool, old, FASTALLOC_E_STALE, FASTALLOC_E_STALE);
    ck_assert_ptr_nonnull(fastalloc_get(pool, new));
    require_ok(fastalloc_free(pool, new));
    newer = api_alloc(pool);
    require_ok(fastalloc_free(pool, newer));
    require_refused(pool, old, FASTALLOC_E_STALE, FASTALLOC_E_STALE);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(what_is_no_handle_of_the_pool_is_refused)
{
    fastalloc_pool *pool = make_shape(_i), *other = make_shape(_i);
    fastalloc_handle handle = api_alloc(pool), foreign = api_alloc(other);
    uint64_t random = 88172645463325252u;
    int i;

    require_refused(pool, FASTALLOC_NONE, FASTALLOC_E_HANDLE, FASTALLOC_E_HANDLE);
    require_refused(pool, UINT64_MAX, FASTALLOC_E_HANDLE, FASTALLOC_E_HANDLE);
    require_refused(pool, 1, FASTALLOC_E_HANDLE, FASTALLOC_E_HANDLE);
    require_refused(pool, handle ^ UINT64_C(1) << 62, FASTALLOC_E_HANDLE, FASTALLOC_E_HANDLE);
    require_refused(pool, handle + shapes[_i].capacity, FASTALLOC_E_HANDLE, FASTALLOC_E_HANDLE);
    /* Generations begin at random: another pool's is this one's with odds of 2^-31. */
    require_refused(pool, foreign, FASTALLOC_E_HANDLE, FASTALLOC_E_HANDLE);
    for (i = 0; i < 20000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if (fastalloc_free(pool, random) == 0 || fastalloc_get(pool, random))
            ck_abort_msg("0x%llx is taken for a handle", (unsigned long long)random);
    }
    ck_assert_ptr_nonnull(fastalloc_get(pool, handle));
    require_ok(fastalloc_free(pool, handle));
    require_ok(fastalloc_free(other, foreign));
    api_require_whole(pool);
    require_ok(fastalloc_pool_close(pool));
    require_ok(fastalloc_pool_close(other));
}
END_TEST

START_TEST(the_next_generation_of_an_idle_slot_is_no_handle_yet)
{
    fastalloc_pool *pool = api_local(64, 1);
    fastalloc_handle first = api_alloc(pool), second;

    require_ok(fastalloc_free(pool, first));
    second = api_alloc(pool);
    require_ok(fastalloc_free(pool, second));
    /* One slot: the third handle is as far from the second as that from the first. */
    require_refused(pool, second + (second - first), FASTALLOC_E_HANDLE, FASTALLOC_E_HANDLE);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(adopting_and_giving_to_oneself_changes_nothing)
{
    fastalloc_pool *pool = api_local(64, 1000);
    fastalloc_handle handle = api_alloc(pool);

    require_ok(fastalloc_adopt(pool, handle));
    require_ok(fastalloc_give(pool, handle, fastalloc_pool_session(pool)));
    require_failure(fastalloc_give(pool, handle, 200), FASTALLOC_E_SESSION, "200", "give");
    require_failure(fastalloc_give(pool, handle, 0), FASTALLOC_E_SESSION, "0");
    require_failure(fastalloc_give(pool, handle, UINT32_MAX), FASTALLOC_E_SESSION, "4294967295");
    ck_assert_uint_eq(api_info(pool).allocated, 1);
    require_ok(fastalloc_free(pool, handle));
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

/* ---------------------------------------------------------------- batches */

START_TEST(a_batch_is_allocated_whole_or_not_at_all)
{
    fastalloc_pool *pool = make_shape(_i);
    size_t capacity = shapes[_i].capacity, freed = 0, i;
    fastalloc_handle *handles = malloc((capacity + 1) * sizeof *handles);
    void **objects = malloc((capacity + 1) * sizeof *objects);

    require_failure(fastalloc_alloc_batch(pool, capacity + 1, handles, objects),
                    FASTALLOC_E_EXHAUSTED, "exhausted");
    ck_assert_uint_eq(api_info(pool).allocated, 0);
    require_ok(fastalloc_alloc_batch(pool, 0, NULL, NULL));
    require_ok(fastalloc_alloc_batch(pool, capacity, handles, objects));
    for (i = 0; i < capacity; i++)
        ck_assert_ptr_eq(fastalloc_get(pool, handles[i]), objects[i]);
    require_failure(fastalloc_alloc_batch(pool, 1, handles + capacity, NULL), FASTALLOC_E_EXHAUSTED,
                    "exhausted");
    require_ok(fastalloc_free_batch(pool, 0, NULL, &freed));
    ck_assert_uint_eq(freed, 0);
    require_ok(fastalloc_free_batch(pool, capacity, handles, &freed));
    ck_assert_uint_eq(freed, capacity);
    api_require_whole(pool);
    free(objects);
    free(handles);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(a_batch_free_goes_on_after_bad_handles_and_tells_the_first_error)
{
    fastalloc_pool *pool = api_local(64, 1000);
    fastalloc_handle handles[10];
    size_t freed = 0;

    require_ok(fastalloc_alloc_batch(pool, 10, handles, NULL));
    require_ok(fastalloc_free(pool, handles[3]));
    handles[7] = FASTALLOC_NONE;
    ck_assert_int_eq(fastalloc_free_batch(pool, 10, handles, &freed), FASTALLOC_E_DOUBLE_FREE);
    ck_assert_uint_eq(freed, 8);
    ck_assert_uint_eq(api_info(pool).allocated, 1); /* the one that NONE replaced */
    ck_assert_int_eq(fastalloc_free_batch(pool, 10, handles, NULL), FASTALLOC_E_DOUBLE_FREE);
    ck_assert_uint_eq(api_info(pool).allocated, 1);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(a_handle_twice_in_a_batch_is_freed_once)
{
    fastalloc_pool *pool = api_local(64, 1000);
    fastalloc_handle handles[3];
    size_t freed = 0;

    handles[0] = handles[1] = handles[2] = api_alloc(pool);
    ck_assert_int_eq(fastalloc_free_batch(pool, 3, handles, &freed), FASTALLOC_E_DOUBLE_FREE);
    ck_assert_uint_eq(freed, 1);
    api_require_whole(pool);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

/* ------------------------------------------------------------------- root */

START_TEST(the_root_is_set_by_compare_and_swap)
{
    fastalloc_pool *pool = api_local(64, 10);
    fastalloc_handle first = api_alloc(pool), second = api_alloc(pool);
    char text[32];

    ck_assert_uint_eq(fastalloc_pool_root(pool), FASTALLOC_NONE);
    require_ok(fastalloc_pool_set_root(pool, FASTALLOC_NONE, first));
    ck_assert_uint_eq(fastalloc_pool_root(pool), first);
    snprintf(text, sizeof text, "is 0x%llx", (unsigned long long)first);
    require_failure(fastalloc_pool_set_root(pool, FASTALLOC_NONE, second), FASTALLOC_E_CHANGED,
                    text, "not 0x0");
    ck_assert_uint_eq(fastalloc_pool_root(pool), first);
    require_ok(fastalloc_pool_set_root(pool, first, second));
    require_ok(fastalloc_pool_set_root(pool, second, FASTALLOC_NONE));
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

/* ------------------------------------------------ typed and scope-bound */

struct order {
    uint64_t number;
    char who[24];
    _Alignas(32) double price[4];
};
FASTALLOC_DEFINE_POOL(orders, struct order);
FASTALLOC_DEFINE_POOL(counters, uint32_t);

START_TEST(typed_pools_carry_their_type)
{
    fastalloc_pool_config config = api_config("orders", 0, 100);
    orders_pool pool;
    orders_handle handle;
    struct order *order = NULL;
    fastalloc_pool_info info;

    require_ok(orders_create_local(&config, &pool));
    info = api_info(pool.pool);
    ck_assert_str_eq(info.type_name, "struct order");
    ck_assert_uint_eq(info.object_size, sizeof(struct order));
    ck_assert_uint_eq(info.alignment, 32);
    require_ok(orders_alloc(pool, &handle, &order));
    ck_assert_uint_eq((uintptr_t)order % 32, 0);
    order->number = 41;
    ck_assert_uint_eq(orders_get(pool, handle)->number, 41);
    require_ok(orders_adopt(pool, handle));
    require_ok(orders_give(pool, handle, fastalloc_pool_session(pool.pool)));
    require_ok(orders_free(pool, handle));
    ck_assert_ptr_null(orders_get(pool, handle));
    require_failure(orders_free(pool, handle), FASTALLOC_E_DOUBLE_FREE, "orders");
    require_ok(orders_alloc(pool, &handle, NULL));
    require_ok(orders_close(&pool));
}
END_TEST

START_TEST(a_typed_pool_keeps_a_larger_alignment_that_was_asked_for)
{
    fastalloc_pool_config config = api_config(NULL, 0, 10);
    counters_pool pool;

    config.alignment = 64;
    require_ok(counters_create_local(&config, &pool));
    ck_assert_uint_eq(api_info(pool.pool).alignment, 64);
    ck_assert_uint_eq(config.object_size, 0);
    require_ok(counters_close(&pool));
}
END_TEST

static int use_in_scope(fastalloc_pool *pool, bool early)
{
    FASTALLOC_AUTO fastalloc_owned box = fastalloc_own(pool);

    ck_assert_int_eq(box.error, 0);
    ck_assert_ptr_eq(fastalloc_get(pool, box.handle), box.object);
    ck_assert_uint_eq(api_info(pool).allocated, 1);
    if (early)
        return 1;
    memset(box.object, 1, 64);
    return 2;
}

START_TEST(a_scope_bound_slot_goes_back_on_every_way_out)
{
    fastalloc_pool *pool = api_local(64, 1000);
    int i;

    ck_assert_int_eq(use_in_scope(pool, true), 1);
    ck_assert_uint_eq(api_info(pool).allocated, 0);
    ck_assert_int_eq(use_in_scope(pool, false), 2);
    ck_assert_uint_eq(api_info(pool).allocated, 0);
    for (i = 0; i < 10; i++) {
        FASTALLOC_AUTO fastalloc_owned box = fastalloc_own(pool);

        ck_assert_int_eq(box.error, 0);
        if (i == 3)
            continue;
        if (i == 7)
            break;
        ck_assert_uint_eq(api_info(pool).allocated, 1);
    }
    ck_assert_uint_eq(api_info(pool).allocated, 0);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(a_disowned_slot_outlives_its_scope)
{
    fastalloc_pool *pool = api_local(64, 10);
    fastalloc_handle kept;

    {
        FASTALLOC_AUTO fastalloc_owned box = fastalloc_own(pool);

        kept = fastalloc_disown(&box);
        ck_assert_uint_eq(box.handle, FASTALLOC_NONE);
        ck_assert_ptr_null(box.object);
    }
    ck_assert_ptr_nonnull(fastalloc_get(pool, kept));
    require_ok(fastalloc_free(pool, kept));
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(a_scope_bound_slot_that_could_not_be_had_tells_why)
{
    fastalloc_pool *pool = api_local(64, 1);
    FASTALLOC_AUTO fastalloc_owned first = fastalloc_own(pool);

    {
        FASTALLOC_AUTO fastalloc_owned second = fastalloc_own(pool);

        ck_assert_int_eq(second.error, FASTALLOC_E_EXHAUSTED);
        ck_assert_ptr_null(second.object);
        ck_assert_uint_eq(second.handle, FASTALLOC_NONE);
    }
    ck_assert_uint_eq(api_info(pool).allocated, 1);
    ck_assert_ptr_nonnull(first.object);
}
END_TEST

/* ----------------------------------------------------- inlined and called */

START_TEST(inlined_and_called_paths_mix)
{
    fastalloc_pool *pool = make_shape(_i);
    fastalloc_handle held[64] = {0};
    uint64_t random = 88172645463325252u;
    size_t allocated = 0;
    int turn;

    for (turn = 0; turn < 20000; turn++) {
        size_t at;
        void *object;
        int error;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        at = random % 64;
        if (held[at]) {
            object = random & 64 ? fastalloc_get(pool, held[at]) : inlined_get(pool, held[at]);
            ck_assert_ptr_nonnull(object);
            ck_assert_uint_eq(*(unsigned char *)object, at);
            require_ok(random & 128 ? fastalloc_free(pool, held[at])
                                    : inlined_free(pool, held[at]));
            held[at] = FASTALLOC_NONE;
            allocated--;
            continue;
        }
        error = random & 64 ? fastalloc_alloc(pool, &held[at], &object)
                            : inlined_alloc(pool, &held[at], &object);
        if (allocated == shapes[_i].capacity) {
            ck_assert_int_eq(error, FASTALLOC_E_EXHAUSTED);
            continue;
        }
        ck_assert_int_eq(error, 0);
        *(unsigned char *)object = (unsigned char)at;
        allocated++;
    }
    ck_assert_uint_eq(api_info(pool).allocated, allocated);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

START_TEST(the_inlined_path_tells_its_failures_as_the_called_one)
{
    fastalloc_pool *pool = api_local(64, 300);
    fastalloc_handle handle = api_alloc(pool), untouched_handle = 99;
    void *object = pool;

    require_ok(inlined_free(pool, handle));
    require_failure(inlined_free(pool, handle), FASTALLOC_E_DOUBLE_FREE, "free", "local");
    api_fill(pool, NULL, 300);
    require_failure(inlined_alloc(pool, &untouched_handle, &object), FASTALLOC_E_EXHAUSTED,
                    "300/300");
    ck_assert_uint_eq(untouched_handle, 99);
    ck_assert_ptr_eq(object, pool);
    require_ok(fastalloc_pool_close(pool));
}
END_TEST

/* ------------------------------------------------------------- many pools */

START_TEST(more_pools_than_a_thread_has_lanes_all_work)
{
    enum { POOLS = 300 };
    fastalloc_pool *pools[POOLS];
    fastalloc_handle handles[POOLS];
    int i;

    for (i = 0; i < POOLS; i++) {
        fastalloc_pool_config config = api_config(NULL, 16, 256);

        config.max_threads = 2;
        config.max_sessions = 2;
        require_ok(fastalloc_pool_create_local(&config, &pools[i]));
    }
    for (i = 0; i < POOLS; i++)
        handles[i] = api_alloc(pools[i]);
    for (i = 0; i < POOLS; i++) {
        ck_assert_ptr_nonnull(fastalloc_get(pools[i], handles[i]));
        ck_assert_ptr_null(fastalloc_get(pools[(i + 1) % POOLS], handles[i]));
        require_ok(fastalloc_free(pools[i], handles[i]));
    }
    for (i = 0; i < POOLS; i += 7)
        api_require_whole(pools[i]);
    for (i = 0; i < POOLS; i++)
        require_ok(fastalloc_pool_close(pools[i]));
}
END_TEST

START_TEST(a_pool_in_a_closed_ones_place_begins_anew)
{
    fastalloc_handle old = FASTALLOC_NONE;
    int i;

    for (i = 0; i < 50; i++) {
        fastalloc_pool *pool = api_local(64, 300);

        if (old)
            require_refused(pool, old, FASTALLOC_E_HANDLE, FASTALLOC_E_HANDLE);
        api_require_whole(pool);
        old = api_alloc(pool);
        require_ok(fastalloc_pool_close(pool));
    }
}
END_TEST

static fastalloc_pool *kept;

static void take_some_and_close(int channel, void *argument)
{
    fastalloc_handle handle;
    int i;

    (void)channel;
    (void)argument;
    for (i = 0; i < 50; i++)
        child_require(fastalloc_alloc(kept, &handle, NULL) == 0);
    child_require(fastalloc_pool_close(kept) == 0);
}

START_TEST(closing_is_no_death)
{
    fastalloc_pool_config config = api_config("kept", 64, 300);
    struct child child;

    /* Dying it would leave them in quarantine. */
    config.on_death = FASTALLOC_QUARANTINE;
    require_ok(fastalloc_pool_create_local(&config, &kept));
    child_start(&child, take_some_and_close, NULL);
    child_join(&child);
    ck_assert_uint_eq(api_info(kept).allocated, 0);
    ck_assert_uint_eq(api_info(kept).sessions, 1);
    ck_assert_uint_eq(api_fill(kept, NULL, 301), 300);
    require_ok(fastalloc_pool_close(kept));
}
END_TEST

static void wait_there(int channel, void *argument)
{
    (void)argument;
    channel_put(channel, 1);
    pause();
}

/* Waits for its turn, and then takes all that there is. */
static void take_all(int channel, void *argument)
{
    fastalloc_handle handle;
    uint64_t count = 0;

    channel_put(channel, 1);
    channel_take(channel);
    while (fastalloc_alloc(argument, &handle, NULL) == 0)
        count++;
    channel_put(channel, count);
    pause();
}

/* A child that never used the pool keeps the fence of the closed session shut: whoever got that
 * number next would not be swept when it dies. */
START_TEST(a_closed_sessions_number_is_not_given_out_while_a_child_has_the_mapping)
{
    fastalloc_pool *pool = api_local(64, 4);
    struct child idle, doomed, heir;

    child_start(&idle, wait_there, NULL);
    channel_take(idle.channel);
    child_start(&doomed, take_all, pool);
    channel_take(doomed.channel);
    child_start(&heir, take_all, pool);
    channel_take(heir.channel);
    require_ok(fastalloc_pool_close(pool));
    channel_put(doomed.channel, 1);
    ck_assert_uint_eq(channel_take(doomed.channel), 4);
    child_kill(&doomed);
    channel_put(heir.channel, 1);
    ck_assert_uint_eq(channel_take(heir.channel), 4);
    child_kill(&heir);
    child_kill(&idle);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("local");
    TCase *one = tcase_create("one"), *each = tcase_create("each shape");
    const TTest *const plain[] = {
        a_config_that_cannot_be_is_refused_with_its_own_code_and_text,
        a_name_that_cannot_be_is_refused_and_says_where,
        the_longest_name_and_characters_of_all_lengths_are_fine,
        a_pool_beyond_the_machine_is_refused_with_the_numbers,
        without_descriptors_a_pool_is_refused_and_nothing_leaks,
        null_is_refused_everywhere_and_named,
        every_code_has_a_name_and_a_text_of_its_own,
        the_last_error_is_empty_before_the_first_failure_and_stays_after_successes,
        a_failure_on_a_pool_closed_since_still_has_a_text,
        slots_never_used_are_zero,
        a_million_slots,
        one_slot,
        exhausted_names_the_pool_the_numbers_and_the_holder,
        the_info_tells_what_the_pool_is,
        the_natural_alignment_divides_the_size,
        a_handle_of_a_slot_that_has_a_new_owner_is_stale,
        the_next_generation_of_an_idle_slot_is_no_handle_yet,
        adopting_and_giving_to_oneself_changes_nothing,
        a_batch_free_goes_on_after_bad_handles_and_tells_the_first_error,
        a_handle_twice_in_a_batch_is_freed_once,
        the_root_is_set_by_compare_and_swap,
        typed_pools_carry_their_type,
        a_typed_pool_keeps_a_larger_alignment_that_was_asked_for,
        a_scope_bound_slot_goes_back_on_every_way_out,
        a_disowned_slot_outlives_its_scope,
        a_scope_bound_slot_that_could_not_be_had_tells_why,
        the_inlined_path_tells_its_failures_as_the_called_one,
        more_pools_than_a_thread_has_lanes_all_work,
        a_pool_in_a_closed_ones_place_begins_anew,
        closing_is_no_death,
        a_closed_sessions_number_is_not_given_out_while_a_child_has_the_mapping,
    };
    const TTest *const shaped[] = {
        exactly_the_capacity_can_be_allocated_again_and_again,
        objects_are_aligned_and_do_not_overlap,
        freed_twice_in_a_row_is_a_double_free,
        what_is_no_handle_of_the_pool_is_refused,
        a_batch_is_allocated_whole_or_not_at_all,
        inlined_and_called_paths_mix,
    };
    SRunner *runner;
    size_t i;
    int failed;

    tcase_set_timeout(one, 20);
    tcase_set_timeout(each, 20);
    for (i = 0; i < sizeof plain / sizeof *plain; i++)
        tcase_add_test(one, plain[i]);
    for (i = 0; i < sizeof shaped / sizeof *shaped; i++)
        tcase_add_loop_test(each, shaped[i], 0, (int)SHAPES);
    suite_add_tcase(suite, one);
    suite_add_tcase(suite, each);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
