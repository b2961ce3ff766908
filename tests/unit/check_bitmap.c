/* SPDX-License-Identifier: MIT
 *
 * check_bitmap: the return bitmap at sizes round its levels' borders, and in the
 * states that deaths leave it in.
 */
#include "tests/support/pool.h"

#include "shm/bitmap.h"
#include "shm/slot.h"

enum { ME = 1 };

static const uint64_t sizes[] = {1, 63, 64, 65, 4096, 4097, 300000};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static struct test_pool pool;

static struct segment *pool_of(uint64_t capacity)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = capacity, .object_size = 1});
    return &pool.segment;
}

static void put_back(struct segment *segment, uint64_t index)
{
    segment->words[index] = slot_word(segment, 1000, SLOT_RETURNED);
    bitmap_set(segment, index);
}

static uint64_t *parent_of(struct segment *segment, uint64_t index)
{
    return &segment->bitmap[segment->geometry.level_words[0] + (index >> 12)];
}

START_TEST(the_tree_has_as_many_levels_as_it_needs)
{
    static const uint32_t levels[SIZES] = {1, 1, 1, 2, 2, 3, 4};
    struct segment *segment = pool_of(sizes[_i]);

    ck_assert_uint_eq(segment->geometry.levels, levels[_i]);
    ck_assert_uint_eq(segment->geometry.level_words[levels[_i] - 1], 1);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_set_slot_is_found_and_a_cleared_one_is_not)
{
    struct segment *segment = pool_of(sizes[_i]);
    uint64_t places[] = {0, sizes[_i] / 2, sizes[_i] - 1};
    size_t i;

    ck_assert_uint_eq(bitmap_find(segment, 0), BITMAP_NONE);
    for (i = 0; i < 3; i++) {
        bitmap_set(segment, places[i]);
        ck_assert(bitmap_has(segment, places[i]));
        ck_assert_uint_eq(bitmap_count(segment), 1);
        ck_assert_uint_eq(bitmap_find(segment, 12345 * i), places[i]);
        bitmap_clear(segment, places[i]);
        ck_assert(!bitmap_has(segment, places[i]));
        ck_assert_uint_eq(bitmap_count(segment), 0);
        ck_assert_uint_eq(bitmap_find(segment, 0), BITMAP_NONE);
    }
    test_pool_end(&pool);
}
END_TEST

START_TEST(clearing_leaves_no_parent_behind)
{
    struct segment *segment = pool_of(sizes[_i]);
    uint64_t words = 0, i;
    uint32_t level;

    for (level = 0; level < segment->geometry.levels; level++)
        words += segment->geometry.level_words[level];
    for (i = 0; i < sizes[_i]; i += 61)
        bitmap_set(segment, i);
    for (i = 0; i < sizes[_i]; i += 61)
        bitmap_clear(segment, i);
    for (i = 0; i < words; i++)
        TEST_REQUIRE(!segment->bitmap[i], "word %llu is left", (unsigned long long)i);
    test_pool_end(&pool);
}
END_TEST

START_TEST(every_returned_slot_is_taken_once)
{
    struct segment *segment = pool_of(sizes[_i]);
    uint64_t i, taken;

    for (i = 0; i < sizes[_i]; i++)
        put_back(segment, i);
    ck_assert_uint_eq(bitmap_count(segment), sizes[_i]);
    for (i = 0; i < sizes[_i]; i++) {
        taken = bitmap_take(segment, ME, i * 7919);
        TEST_REQUIRE(taken != BITMAP_NONE && !pool.held[taken], "slot %llu at take %llu",
                     (unsigned long long)taken, (unsigned long long)i);
        pool.held[taken] = 1;
        TEST_REQUIRE(segment->words[taken] == slot_word(segment, 1000, ME), "the word is wrong");
    }
    ck_assert_uint_eq(bitmap_take(segment, ME, 0), BITMAP_NONE);
    ck_assert_uint_eq(bitmap_count(segment), 0);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(the_turn_spreads_those_who_look)
{
    struct segment *segment = pool_of(300000);
    uint64_t i, last = BITMAP_NONE, different = 0;

    for (i = 0; i < 300000; i++)
        bitmap_set(segment, i);
    for (i = 0; i < 64; i++) {
        uint64_t found = bitmap_find(segment, i * UINT64_C(0x9e3779b97f4a7c15));

        different += found != last;
        last = found;
    }
    ck_assert_uint_gt(different, 48);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(clearing_sets_again_what_is_returned_by_now)
{
    struct segment *segment = pool_of(4097);

    put_back(segment, 4096);
    bitmap_clear(segment, 4096);
    ck_assert(bitmap_has(segment, 4096));
    ck_assert_uint_eq(bitmap_find(segment, 0), 4096);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_flag_without_a_returned_slot_is_harmless)
{
    struct segment *segment = pool_of(4097);

    bitmap_set(segment, 17);
    bitmap_set(segment, 4096);
    put_back(segment, 18);
    ck_assert_uint_eq(bitmap_take(segment, ME, 17), 18);
    ck_assert_uint_eq(bitmap_take(segment, ME, 17), BITMAP_NONE);
    ck_assert_uint_eq(bitmap_count(segment), 0);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_parent_over_nothing_is_cleared_and_passed)
{
    struct segment *segment = pool_of(300000);
    uint64_t word, words = 0;
    uint32_t level;

    /* As after a death between clearing a leaf and its parents. */
    for (level = 0; level < segment->geometry.levels; level++)
        words += segment->geometry.level_words[level];
    for (word = segment->geometry.level_words[0]; word < words; word++)
        segment->bitmap[word] = UINT64_C(0x8000000000000001);
    put_back(segment, 250000);
    ck_assert_uint_eq(bitmap_find(segment, 0), 250000);
    ck_assert_uint_eq(bitmap_take(segment, ME, 99), 250000);
    ck_assert_uint_eq(bitmap_find(segment, 3), BITMAP_NONE);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(setting_again_mends_a_missing_parent)
{
    struct segment *segment = pool_of(300000);

    /* As after a death between clearing a parent and looking again. */
    put_back(segment, 5000);
    *parent_of(segment, 5000) = 0;
    ck_assert_uint_eq(bitmap_take(segment, ME, 0), BITMAP_NONE);
    bitmap_set(segment, 5000); /* as the sweep does */
    ck_assert_uint_eq(bitmap_take(segment, ME, 0), 5000);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_flag_past_the_table_is_not_followed)
{
    struct segment *segment = pool_of(65);

    segment->bitmap[1] = UINT64_C(1) << 63;
    segment->bitmap[2] = 2;
    ck_assert_uint_eq(bitmap_find(segment, 0), BITMAP_NONE);
    ck_assert_uint_eq(bitmap_take(segment, ME, 0), BITMAP_NONE);
    test_pool_discard(&pool);
}
END_TEST

/* --------------------------------------------------------------- threads */

enum { THREADS = 3, ROUNDS = 20000 };

/* Takes and returns without end. */
static void *take_and_return(void *argument)
{
    static char not_mine[] = "taken, but another's", changed[] = "another changed what was taken";
    uint32_t me = (uint32_t)(uintptr_t)argument;
    uint64_t i;

    for (i = 0; i < ROUNDS; i++) {
        uint64_t index = bitmap_take(&pool.segment, me, i * 31 + me);

        if (index == BITMAP_NONE)
            continue;
        if (slot_owner_of(shm_load(&pool.segment.words[index])) != me)
            return not_mine;
        if (!slot_return(&pool.segment, index, shm_load(&pool.segment.words[index])))
            return changed;
        bitmap_set(&pool.segment, index);
    }
    return NULL;
}

START_TEST(threads_that_take_and_return_lose_nothing)
{
    static const uint64_t few[] = {3, 100, 4097, 4500, 300000};
    struct segment *segment = pool_of(300000);
    pthread_t threads[THREADS];
    uintptr_t i;
    void *wrong;

    for (i = 0; i < 5; i++)
        put_back(segment, few[i] - 1);
    for (i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_return, (void *)(i + 1)), 0);
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
        ck_assert_msg(!wrong, "%s", (char *)wrong);
    }
    for (i = 0; i < 5; i++)
        ck_assert_uint_ne(bitmap_take(segment, ME, i), BITMAP_NONE);
    ck_assert_uint_eq(bitmap_take(segment, ME, 0), BITMAP_NONE);
    test_pool_discard(&pool);
}
END_TEST

int main(void)
{
    const TTest *const each_size[] = {
        the_tree_has_as_many_levels_as_it_needs,
        a_set_slot_is_found_and_a_cleared_one_is_not,
        clearing_leaves_no_parent_behind,
        every_returned_slot_is_taken_once,
    };
    const TTest *const tests[] = {
        the_turn_spreads_those_who_look,
        clearing_sets_again_what_is_returned_by_now,
        a_flag_without_a_returned_slot_is_harmless,
        a_parent_over_nothing_is_cleared_and_passed,
        setting_again_mends_a_missing_parent,
        a_flag_past_the_table_is_not_followed,
        threads_that_take_and_return_lose_nothing,
    };
    Suite *suite = TEST_SUITE("bitmap", tests, 20);
    TCase *sized = tcase_create("sizes");
    size_t i;

    tcase_set_timeout(sized, 20);
    for (i = 0; i < sizeof each_size / sizeof each_size[0]; i++)
        tcase_add_loop_test(sized, each_size[i], 0, SIZES);
    suite_add_tcase(suite, sized);
    return test_run(suite);
}
