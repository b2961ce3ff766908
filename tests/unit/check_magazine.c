/* SPDX-License-Identifier: MIT
 *
 * check_magazine: the magazine word, and slots going in and out.
 */
#include "tests/support/pool.h"

#include "shm/magazine.h"

enum { ME = 1, OTHER = 2, MAGAZINE = 4 };

static struct test_pool pool;
static uint32_t *words; /* of the magazine: count, entries */

static struct segment *begin(void)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = 300});
    pool.segment.magazine_words[MAGAZINE] = magazine_next_word(0, ME, 0);
    words = magazine_at(&pool.segment, MAGAZINE);
    return &pool.segment;
}

static void enter(uint32_t place, uint32_t index, uint64_t word)
{
    words[place] = index;
    if (index < pool.segment.geometry.max_capacity)
        pool.segment.words[index] = word;
}

START_TEST(a_word_is_taken_apart_as_it_was_put_together)
{
    uint64_t word = magazine_next_word(UINT64_C(41) << 32, MAGAZINE_DEPOT_BASE + 3, 127);

    ck_assert_uint_eq(word >> 32, 42);
    ck_assert_uint_eq(magazine_owner(word), MAGAZINE_DEPOT_BASE + 3);
    ck_assert_uint_eq(magazine_n(word), 127);
}
END_TEST

START_TEST(magazines_grow_with_the_pool_and_small_pools_have_none)
{
    static const struct {
        uint64_t capacity;
        uint32_t size;
    } pools[] = {{1, 0},     {255, 0},    {256, 15},    {1023, 15},  {1024, 63},
                 {4095, 63}, {4096, 127}, {65535, 127}, {65536, 255}};
    size_t i;

    for (i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        test_pool_make(&pool, &(struct test_shape){.capacity = pools[i].capacity});
        ck_assert_uint_eq(pool.segment.geometry.magazine_size, pools[i].size);
        ck_assert_uint_eq(pool.segment.geometry.caches, pools[i].size ? 8 : 0);
        test_pool_end(&pool);
    }
    /* More threads than that size is for. */
    test_pool_make(&pool, &(struct test_shape){.capacity = 65536, .threads = 129});
    ck_assert_uint_eq(pool.segment.geometry.magazine_size, 127);
    test_pool_end(&pool);
}
END_TEST

START_TEST(push_and_pop_are_a_stack)
{
    struct segment *segment = begin();
    uint64_t index;
    uint32_t i;

    for (i = 0; i < 15; i++) {
        segment->words[i] = slot_word(segment, 1000, ME);
        magazine_push(segment, MAGAZINE, i, segment->words[i], i % 2);
        ck_assert_uint_eq(segment->words[i], slot_word(segment, i % 2 ? 1000 : 1001, SLOT_IDLE));
        ck_assert_uint_eq(words[0], i + 1);
    }
    while (i--) {
        ck_assert(magazine_pop(segment, MAGAZINE, ME, &index));
        ck_assert_uint_eq(index, i);
        ck_assert_uint_eq(slot_owner_of(segment->words[i]), ME);
        ck_assert_uint_eq(words[0], i);
    }
    ck_assert(!magazine_pop(segment, MAGAZINE, ME, &index));
    test_pool_discard(&pool);
}
END_TEST

START_TEST(pop_drops_what_is_not_idle)
{
    struct segment *segment = begin();
    uint64_t index = 0;

    enter(1, 11, slot_word(segment, 1000, SLOT_IDLE));
    enter(2, 12, slot_word(segment, 1000, OTHER));
    enter(3, 13, slot_word(segment, 1000, SLOT_RETURNED));
    enter(4, 14, 0);
    enter(5, 300, 0);
    enter(6, UINT32_MAX, 0);
    words[0] = 6;
    ck_assert(magazine_pop(segment, MAGAZINE, ME, &index));
    ck_assert_uint_eq(index, 11);
    ck_assert_uint_eq(words[0], 0);
    ck_assert_uint_eq(segment->words[12], slot_word(segment, 1000, OTHER));
    ck_assert_uint_eq(segment->words[13], slot_word(segment, 1000, SLOT_RETURNED));
    ck_assert_uint_eq(segment->words[14], 0);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_magazine_of_dropped_entries_is_empty)
{
    struct segment *segment = begin();
    uint64_t index = 7;

    enter(1, 12, slot_word(segment, 1000, OTHER));
    enter(2, 13, slot_word(segment, 1000, OTHER));
    words[0] = 2;
    ck_assert(!magazine_pop(segment, MAGAZINE, ME, &index));
    ck_assert_uint_eq(index, 7);
    ck_assert_uint_eq(words[0], 0);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_count_above_the_size_is_bounded)
{
    struct segment *segment = begin();

    words[0] = UINT32_MAX;
    ck_assert_uint_eq(magazine_count(segment, MAGAZINE), 15);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(trimming_ends_at_the_first_idle_slot_and_writes_nothing)
{
    struct segment *segment = begin();

    enter(1, 11, slot_word(segment, 1000, OTHER));
    enter(2, 12, slot_word(segment, 1000, SLOT_IDLE));
    enter(3, 13, slot_word(segment, 1000, OTHER));
    enter(4, 1000000, 0);
    enter(5, 14, slot_word(segment, 1000, SLOT_RETURNED));
    words[0] = 5;
    ck_assert_uint_eq(magazine_trimmed(segment, MAGAZINE, 5), 2);
    ck_assert_uint_eq(magazine_trimmed(segment, MAGAZINE, 2), 2);
    ck_assert_uint_eq(magazine_trimmed(segment, MAGAZINE, 1), 0);
    ck_assert_uint_eq(magazine_trimmed(segment, MAGAZINE, 0), 0);
    ck_assert_uint_eq(words[0], 5);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(passing_needs_the_word_unchanged_and_changes_the_epoch)
{
    struct segment *segment = begin();
    uint64_t word = segment->magazine_words[MAGAZINE], stale = word;

    ck_assert(magazine_pass(segment, MAGAZINE, &word, OTHER, 0));
    ck_assert_uint_eq(word, segment->magazine_words[MAGAZINE]);
    ck_assert(magazine_pass(segment, MAGAZINE, &word, ME, 0));
    ck_assert_uint_eq(magazine_owner(word), ME);
    /* The same owner again, but not the same word. */
    ck_assert(!magazine_pass(segment, MAGAZINE, &stale, OTHER, 0));
    ck_assert_uint_eq(stale, word);
    ck_assert_uint_eq(segment->magazine_words[MAGAZINE], word);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(the_epoch_wraps_and_is_never_no_word)
{
    uint64_t word = UINT64_C(0xffffffff) << 32 | ME;

    ck_assert_uint_eq(magazine_next_word(word, OTHER, 3) >> 32, 0);
    ck_assert_uint_ne(magazine_next_word(word, OTHER, 3), 0);
}
END_TEST

START_TEST(fresh_magazines_are_each_handed_out_once)
{
    struct segment *segment = begin();
    uint32_t magazine, count = 0, taken[64] = {0};
    uint64_t word;

    while (magazine_fresh(segment, ME, &magazine, &word)) {
        ck_assert_uint_lt(magazine, segment->geometry.magazines);
        ck_assert_uint_eq(taken[magazine]++, 0);
        ck_assert_uint_eq(segment->magazine_words[magazine], word);
        ck_assert_uint_eq(magazine_owner(word), ME);
        count++;
    }
    ck_assert_uint_eq(taken[MAGAZINE], 0); /* in use before, above the hint */
    ck_assert_uint_eq(count, segment->geometry.magazines - 1);
    ck_assert_uint_eq(segment->header->magazine_bump, segment->geometry.magazines);
    test_pool_discard(&pool);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_word_is_taken_apart_as_it_was_put_together,
        magazines_grow_with_the_pool_and_small_pools_have_none,
        push_and_pop_are_a_stack,
        pop_drops_what_is_not_idle,
        a_magazine_of_dropped_entries_is_empty,
        a_count_above_the_size_is_bounded,
        trimming_ends_at_the_first_idle_slot_and_writes_nothing,
        passing_needs_the_word_unchanged_and_changes_the_epoch,
        the_epoch_wraps_and_is_never_no_word,
        fresh_magazines_are_each_handed_out_once,
    };

    return test_run(TEST_SUITE("magazine", tests, 10));
}
