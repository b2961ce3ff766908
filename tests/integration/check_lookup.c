/* SPDX-License-Identifier: MIT
 *
 * Slots that are found by what a program has of them: from an object's address to its handle, and
 * whether it is the program's own.
 */
#include "both.h"

#include <stdint.h>

enum { SLOTS = 300, GROWN = 600, BYTES = 48 };

static fastalloc_pool_config config_of(void)
{
    fastalloc_pool_config config = api_config("lookup", BYTES, SLOTS);

    config.max_capacity = GROWN;
    config.features = FASTALLOC_SHARING;
    return config;
}

static fastalloc_handle handle_of(const void *address)
{
    fastalloc_handle handle = FASTALLOC_NONE;

    require_ok(fastalloc_handle_of(both_pool, address, &handle));
    return handle;
}

static int try_handle_of(const void *address)
{
    fastalloc_handle handle = 0x5a;
    int error = fastalloc_handle_of(both_pool, address, &handle);

    ck_assert_int_ne(error, 0);
    ck_assert_uint_eq(handle, 0x5a);
    return error;
}

START_TEST(an_address_leads_to_the_handle_of_its_slot)
{
    const fastalloc_pool_config config = config_of();
    fastalloc_handle handles[SLOTS];
    int i;

    both_begin(_i, &config);
    for (i = 0; i < SLOTS; i++)
        handles[i] = api_alloc(both_pool);
    for (i = 0; i < SLOTS; i++) {
        char *object = fastalloc_get(both_pool, handles[i]);

        ck_assert_uint_eq(handle_of(object), handles[i]);
        ck_assert_uint_eq(handle_of(object + 1), handles[i]);
        ck_assert_uint_eq(handle_of(object + BYTES - 1), handles[i]);
    }
    api_free_all(both_pool, handles, SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(addresses_that_are_none_of_the_pool_are_refused)
{
    const fastalloc_pool_config config = config_of();
    fastalloc_handle handle, first;
    fastalloc_pool_info info;
    char *lowest, outside;

    both_begin(_i, &config);
    first = api_alloc(both_pool);
    info = api_info(both_pool);
    lowest = (char *)fastalloc_get(both_pool, first) -
             fastalloc_handle_index(both_pool, first) * info.stride;
    require_failure(try_handle_of(&outside), FASTALLOC_E_HANDLE, "lookup", "no object at");
    ck_assert_int_eq(try_handle_of(NULL), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(try_handle_of(lowest - 1), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(try_handle_of(lowest + SLOTS * info.stride), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(try_handle_of((void *)UINTPTR_MAX), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(fastalloc_handle_of(NULL, lowest, &handle), FASTALLOC_E_INVALID);
    ck_assert_int_eq(fastalloc_handle_of(both_pool, lowest, NULL), FASTALLOC_E_INVALID);
    require_ok(fastalloc_free(both_pool, first));
    both_end(_i);
}
END_TEST

/* A slot never used, one freed into a cache, one that was shrunk away. */
START_TEST(addresses_of_slots_that_are_not_allocated_are_stale)
{
    const fastalloc_pool_config config = config_of();
    fastalloc_handle first;
    char *object, *last;
    size_t now;

    both_begin(_i, &config);
    first = api_alloc(both_pool);
    object = fastalloc_get(both_pool, first);
    last = object +
           (SLOTS - 1 - fastalloc_handle_index(both_pool, first)) * api_info(both_pool).stride;
    require_failure(try_handle_of(last), FASTALLOC_E_STALE, "slot 299", "not allocated");
    require_ok(fastalloc_free(both_pool, first));
    ck_assert_int_eq(try_handle_of(object), FASTALLOC_E_STALE);
    require_ok(fastalloc_pool_shrink(both_pool, SLOTS / 2, &now));
    ck_assert_uint_eq(now, SLOTS / 2);
    ck_assert_int_eq(try_handle_of(last), FASTALLOC_E_STALE);
    both_end(_i);
}
END_TEST

START_TEST(slots_that_come_by_growth_are_found)
{
    const fastalloc_pool_config config = config_of();
    fastalloc_handle handles[GROWN];
    size_t i;

    both_begin(_i, &config);
    require_ok(fastalloc_pool_grow(both_pool, GROWN));
    ck_assert_uint_eq(api_fill(both_pool, handles, GROWN), GROWN);
    for (i = 0; i < GROWN; i++) {
        ck_assert_uint_eq(handle_of(fastalloc_get(both_pool, handles[i])), handles[i]);
        ck_assert_int_eq(fastalloc_handle_is_mine(both_pool, handles[i]), 1);
    }
    api_free_all(both_pool, handles, GROWN);
    both_end(_i);
}
END_TEST

START_TEST(what_is_freed_left_or_shared_is_nobodys_own)
{
    const fastalloc_pool_config config = config_of();
    fastalloc_handle handle;
    void *object;

    both_begin(_i, &config);
    require_ok(fastalloc_alloc(both_pool, &handle, &object));
    ck_assert_int_eq(fastalloc_handle_is_mine(both_pool, handle), 1);
    require_ok(fastalloc_leave(both_pool, handle, FASTALLOC_FOREVER));
    ck_assert_int_eq(fastalloc_handle_is_mine(both_pool, handle), 0);
    ck_assert_uint_eq(handle_of(object), handle);
    require_ok(fastalloc_adopt(both_pool, handle));
    ck_assert_int_eq(fastalloc_handle_is_mine(both_pool, handle), 1);
    require_ok(fastalloc_share(both_pool, handle));
    ck_assert_int_eq(fastalloc_handle_is_mine(both_pool, handle), 0);
    ck_assert_uint_eq(handle_of(object), handle);
    require_ok(fastalloc_unref(both_pool, handle));
    ck_assert_int_eq(fastalloc_handle_is_mine(both_pool, handle), 0);
    ck_assert_int_eq(fastalloc_handle_is_mine(both_pool, FASTALLOC_NONE), 0);
    ck_assert_int_eq(fastalloc_handle_is_mine(both_pool, UINT64_MAX), 0);
    ck_assert_int_eq(fastalloc_handle_is_mine(NULL, handle), 0);
    both_end(_i);
}
END_TEST

static void look_in_the_child(int channel, void *argument)
{
    fastalloc_handle theirs = *(fastalloc_handle *)argument, own = FASTALLOC_NONE, found;
    void *address;

    /* First by a child that has not attached yet: it is not attached by the question. */
    child_require(fastalloc_handle_is_mine(both_pool, theirs) == 0);
    channel_put(channel, 0);
    channel_take(channel);
    child_require(fastalloc_alloc(both_pool, &own, &address) == 0);
    child_require(fastalloc_handle_is_mine(both_pool, own) == 1);
    child_require(fastalloc_handle_is_mine(both_pool, theirs) == 0);
    address = fastalloc_get(both_pool, theirs);
    child_require(fastalloc_handle_of(both_pool, address, &found) == 0 && found == theirs);
    child_require(fastalloc_adopt(both_pool, theirs) == 0);
    child_require(fastalloc_handle_is_mine(both_pool, theirs) == 1);
    child_require(fastalloc_free(both_pool, own) == 0);
    child_require(fastalloc_free(both_pool, theirs) == 0);
}

START_TEST(what_a_forked_child_inherits_is_its_parents)
{
    const fastalloc_pool_config config = config_of();
    fastalloc_handle handle;
    struct child child;

    both_begin(_i, &config);
    handle = api_alloc(both_pool);
    child_start(&child, look_in_the_child, &handle);
    channel_take(child.channel);
    ck_assert_uint_eq(api_info(both_pool).sessions, 1);
    ck_assert_int_eq(fastalloc_handle_is_mine(both_pool, handle), 1);
    channel_put(child.channel, 0);
    child_join(&child);
    ck_assert_int_eq(fastalloc_handle_is_mine(both_pool, handle), 0);
    api_require_whole(both_pool);
    both_end(_i);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        an_address_leads_to_the_handle_of_its_slot,
        addresses_that_are_none_of_the_pool_are_refused,
        addresses_of_slots_that_are_not_allocated_are_stale,
        slots_that_come_by_growth_are_found,
        what_is_freed_left_or_shared_is_nobodys_own,
        what_a_forked_child_inherits_is_its_parents,
        NULL,
    };
    const TTest *const once[] = {NULL};

    return both_run("lookup", of_both, once, 20);
}
