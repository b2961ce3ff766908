/* SPDX-License-Identifier: MIT
 *
 * Slots that others meet while a function of the program's has them: initialised ahead of
 * their use, acquired, released.
 */
#include "both.h"

#define pool both_pool
#define SLOTS 400

static fastalloc_handle held[SLOTS];

/* ------------------------------------------------------ ahead of their use */

static int inner_error;

/* The first time, and once only, it allocates and frees in the pool that is being made. */
static int initialise_and_borrow(fastalloc_pool *made, fastalloc_handle handle, void *object,
                                 uint32_t flags, void *argument)
{
    int *borrowed = argument;
    fastalloc_handle another;

    (void)handle;
    (void)flags;
    *(int *)object = 42;
    if ((*borrowed)++ == 0) {
        inner_error = fastalloc_alloc(made, &another, NULL);
        if (!inner_error)
            inner_error = fastalloc_free(made, another);
    }
    return 0;
}

START_TEST(an_eager_pool_whose_initialize_borrows_a_slot_has_all_of_them)
{
    fastalloc_pool_config config = api_config("borrowing", 64, SLOTS);
    int borrowed = 0;
    size_t i;

    config.initialize = initialise_and_borrow;
    config.initialization = FASTALLOC_INIT_EAGER;
    config.hook_argument = &borrowed;
    both_begin(_i, &config);
    ck_assert_int_eq(inner_error, 0);
    ck_assert_int_ge(borrowed, SLOTS);
    ck_assert_uint_eq(fastalloc_pool_allocated(pool), 0);
    ck_assert_uint_eq(api_fill(pool, held, SLOTS), SLOTS);
    for (i = 0; i < SLOTS; i++)
        ck_assert_int_eq(*(int *)fastalloc_get(pool, held[i]), 42);
    api_free_all(pool, held, SLOTS);
    both_end(_i);
}
END_TEST

/* -------------------------------------------------------------- on release */

static fastalloc_handle met;

/* What names the slot on its way back: only who looks for it by its address finds it. */
static void let_it_be_met(fastalloc_pool *of, fastalloc_handle handle, void *object, void *argument)
{
    (void)handle;
    if (*(bool *)argument)
        ck_assert_int_eq(fastalloc_handle_of(of, object, &met), 0);
    *(bool *)argument = false;
}

static void let_it_be_freed(fastalloc_pool *of, fastalloc_handle handle, void *object,
                            void *argument)
{
    bool first = *(bool *)argument;

    let_it_be_met(of, handle, object, argument);
    if (first)
        require_ok(fastalloc_free(of, met));
}

static int allocate_all(void)
{
    fastalloc_handle handle;
    int count = 0;

    while (fastalloc_alloc(pool, &handle, NULL) == 0)
        held[count++] = handle;
    return count;
}

START_TEST(a_slot_freed_by_another_while_on_release_has_it_is_free_once)
{
    fastalloc_pool_config config = api_config("released", 64, SLOTS);
    fastalloc_stats stats = {.struct_size = sizeof stats};
    bool first = true;
    fastalloc_handle handle;

    config.on_release = let_it_be_freed;
    config.hook_argument = &first;
    both_begin(_i, &config);
    require_ok(fastalloc_alloc(pool, &handle, NULL));
    require_ok(fastalloc_free(pool, handle));
    ck_assert(!first);
    /* Not twice in a cache, which the words would hide from who allocates. */
    ck_assert_int_eq(fastalloc_pool_stats(pool, &stats), 0);
    ck_assert_uint_eq(stats.total_deallocations, 1);
    require_ok(fastalloc_alloc(pool, &handle, NULL));
    ck_assert_uint_eq(fastalloc_pool_allocated(pool), 1);
    require_ok(fastalloc_free(pool, handle));
    ck_assert_int_eq(allocate_all(), SLOTS);
    api_free_all(pool, held, SLOTS);
    api_require_whole(pool);
    both_end(_i);
}
END_TEST

/* ---------------------------------------------------------------- refusing */

static int refuse_and_free(fastalloc_pool *of, fastalloc_handle handle, void *object,
                           uint32_t flags, void *argument)
{
    (void)object;
    (void)flags;
    if (*(fastalloc_handle *)argument != FASTALLOC_NONE)
        return 0; /* the first alone */
    *(fastalloc_handle *)argument = handle;
    require_ok(fastalloc_free(of, handle));
    return 7;
}

START_TEST(a_slot_that_its_refuser_has_freed_is_free_once)
{
    fastalloc_pool_config config = api_config("refused", 64, SLOTS);
    fastalloc_stats stats = {.struct_size = sizeof stats};
    fastalloc_handle told = FASTALLOC_NONE, handle;

    config.on_acquire = refuse_and_free;
    config.hook_argument = &told;
    both_begin(_i, &config);
    require_failure(fastalloc_alloc(pool, &handle, NULL), FASTALLOC_E_HOOK, "on_acquire", "7");
    ck_assert_uint_ne(told, FASTALLOC_NONE);
    ck_assert_ptr_null(fastalloc_get(pool, told));
    ck_assert_int_ne(fastalloc_free(pool, told), 0);
    ck_assert_int_eq(fastalloc_pool_stats(pool, &stats), 0);
    ck_assert_uint_eq(stats.total_deallocations, 1);
    ck_assert_uint_eq(fastalloc_pool_allocated(pool), 0);
    api_require_whole(pool);
    both_end(_i);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        an_eager_pool_whose_initialize_borrows_a_slot_has_all_of_them,
        a_slot_freed_by_another_while_on_release_has_it_is_free_once,
        a_slot_that_its_refuser_has_freed_is_free_once,
        NULL,
    };
    const TTest *const once[] = {
        NULL,
    };

    return both_run("lifecycle, met", of_both, once, 30);
}
