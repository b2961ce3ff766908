/* SPDX-License-Identifier: MIT
 *
 * check_slot: every transition of the slot word, and what is said of handles
 * that are not, or no longer, good.
 */
#include "tests/support/pool.h"

#include "shm/slot.h"
#include "shm/spec.h"

enum { ME = 1, OTHER = 2 };

static struct test_pool pool;

static struct segment *small(uint64_t first_generation)
{
    test_pool_make(&pool,
                   &(struct test_shape){.capacity = 40, .first_generation = first_generation});
    return &pool.segment;
}

static fastalloc_handle handle_of(uint64_t generation, uint64_t index)
{
    return generation << pool.segment.geometry.index_bits | index;
}

START_TEST(a_word_is_taken_apart_as_it_was_put_together)
{
    static const uint64_t capacities[] = {40, 65536, 65537, 1 << 20};
    size_t i;

    for (i = 0; i < sizeof capacities / sizeof capacities[0]; i++) {
        struct segment *segment = &pool.segment;
        uint64_t generation, word;

        test_pool_make(&pool, &(struct test_shape){.capacity = capacities[i], .object_size = 1});
        generation =
            UINT64_C(0x123456789abc) & slot_generation_last(pool.segment.geometry.index_bits);
        word = slot_word(segment, generation, 0xfedc);
        ck_assert_uint_eq(slot_generation_of(segment, word), generation);
        ck_assert_uint_eq(slot_owner_of(word), 0xfedc);
        ck_assert_uint_eq(slot_word_with(segment, word, 7), slot_word(segment, generation, 7));
        ck_assert_uint_eq(slot_word_for(segment, slot_handle(segment, word, 39), 0xfedc), word);
        /* The fast path makes the handle by adding. */
        ck_assert_uint_eq(slot_handle(segment, word, 39), slot_word(segment, generation, 0) + 39);
        test_pool_discard(&pool);
    }
}
END_TEST

START_TEST(generations_wrap_and_skip_zero)
{
    uint64_t last = slot_generation_last(20);

    ck_assert_uint_eq(last, (UINT64_C(1) << 44) - 1);
    ck_assert_uint_eq(slot_generation_next(1, 20), 2);
    ck_assert_uint_eq(slot_generation_next(last - 1, 20), last);
    ck_assert_uint_eq(slot_generation_next(last, 20), 1);
    ck_assert_uint_eq(slot_generation_within(0, 20), 1);
    ck_assert_uint_eq(slot_generation_within(UINT64_C(1) << 44, 20), 1);
    ck_assert_uint_eq(slot_generation_within(UINT64_MAX, 20), last);
    ck_assert_uint_eq(slot_generation_last(SLOT_INDEX_BITS_MIN), (UINT64_C(1) << 48) - 1);
}
END_TEST

START_TEST(a_fresh_slot_is_claimed_once_with_the_first_generation)
{
    struct segment *segment = small(77);

    ck_assert(slot_claim_fresh(segment, 3, ME));
    ck_assert_uint_eq(segment->words[3], slot_word(segment, 77, ME));
    ck_assert(!slot_claim_fresh(segment, 3, OTHER));
    ck_assert_uint_eq(segment->words[3], slot_word(segment, 77, ME));
    test_pool_discard(&pool);
}
END_TEST

START_TEST(take_and_put_change_owner_and_generation)
{
    struct segment *segment = small(77);

    segment->words[5] = slot_word(segment, 80, SLOT_IDLE);
    slot_take(segment, 5, segment->words[5], ME);
    ck_assert_uint_eq(segment->words[5], slot_word(segment, 80, ME));
    slot_put_unused(segment, 5, segment->words[5]);
    ck_assert_uint_eq(segment->words[5], slot_word(segment, 80, SLOT_IDLE));
    slot_take(segment, 5, segment->words[5], ME);
    slot_put(segment, 5, segment->words[5]);
    ck_assert_uint_eq(segment->words[5], slot_word(segment, 81, SLOT_IDLE));
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_put_of_the_last_generation_wraps_to_one)
{
    struct segment *segment = small(77);
    uint64_t last = slot_generation_last(segment->geometry.index_bits);

    segment->words[5] = slot_word(segment, last, ME);
    slot_put(segment, 5, segment->words[5]);
    ck_assert_uint_eq(segment->words[5], slot_word(segment, 1, SLOT_IDLE));
    segment->words[6] = slot_word(segment, last, ME);
    ck_assert(slot_return(segment, 6, segment->words[6]));
    ck_assert_uint_eq(segment->words[6], slot_word(segment, 1, SLOT_RETURNED));
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_return_needs_the_word_unchanged)
{
    struct segment *segment = small(77);
    uint64_t word = slot_word(segment, 80, ME);

    segment->words[5] = slot_word(segment, 80, OTHER);
    ck_assert(!slot_return(segment, 5, word));
    ck_assert_uint_eq(segment->words[5], slot_word(segment, 80, OTHER));
    segment->words[5] = word;
    ck_assert(slot_return(segment, 5, word));
    ck_assert_uint_eq(segment->words[5], slot_word(segment, 81, SLOT_RETURNED));
    test_pool_discard(&pool);
}
END_TEST

START_TEST(only_a_returned_slot_is_claimed_as_returned)
{
    static const uint32_t owners[] = {SLOT_IDLE,   ME,          OTHER,
                                      SLOT_ANYONE, SLOT_SHARED, SLOT_QUARANTINED};
    struct segment *segment = small(77);
    size_t i;

    for (i = 0; i < sizeof owners / sizeof owners[0]; i++) {
        segment->words[5] = slot_word(segment, 80, owners[i]);
        ck_assert(!slot_claim_returned(segment, 5, ME));
        ck_assert_uint_eq(segment->words[5], slot_word(segment, 80, owners[i]));
    }
    ck_assert(!slot_claim_returned(segment, 6, ME));
    segment->words[5] = slot_word(segment, 80, SLOT_RETURNED);
    ck_assert(slot_claim_returned(segment, 5, ME));
    ck_assert_uint_eq(segment->words[5], slot_word(segment, 80, ME));
    test_pool_discard(&pool);
}
END_TEST

START_TEST(owning_takes_over_from_a_session_and_from_anyone)
{
    struct segment *segment = small(77);
    uint64_t word = 1;

    segment->words[5] = slot_word(segment, 80, OTHER);
    ck_assert_int_eq(slot_own(segment, handle_of(80, 5), ME, &word), 0);
    ck_assert_uint_eq(word, slot_word(segment, 80, ME));
    ck_assert_uint_eq(segment->words[5], word);
    ck_assert_int_eq(slot_own(segment, handle_of(80, 5), ME, &word), 0);
    segment->words[5] = slot_word(segment, 80, SLOT_ANYONE);
    ck_assert_int_eq(slot_own(segment, handle_of(80, 5), ME, &word), 0);
    ck_assert_uint_eq(segment->words[5], slot_word(segment, 80, ME));
    test_pool_discard(&pool);
}
END_TEST

START_TEST(what_is_not_owned_is_left_alone)
{
    static const uint32_t owners[] = {SLOT_IDLE, SLOT_RETURNED, SLOT_SHARED, SLOT_QUARANTINED,
                                      9 /* no such session */};
    struct segment *segment = small(77);
    uint64_t word = 1;
    size_t i;

    for (i = 0; i < sizeof owners / sizeof owners[0]; i++) {
        segment->words[5] = slot_word(segment, 80, owners[i]);
        ck_assert_int_ne(slot_own(segment, handle_of(80, 5), ME, &word), 0);
        ck_assert_uint_eq(segment->words[5], slot_word(segment, 80, owners[i]));
    }
    ck_assert_uint_eq(word, 1);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_handle_freed_once_is_a_double_free)
{
    struct segment *segment = small(77);
    uint64_t word;

    segment->words[5] = slot_word(segment, 81, SLOT_IDLE);
    ck_assert_int_eq(slot_own(segment, handle_of(80, 5), ME, &word), FASTALLOC_E_DOUBLE_FREE);
    segment->words[5] = slot_word(segment, 81, SLOT_RETURNED);
    ck_assert_int_eq(slot_own(segment, handle_of(80, 5), ME, &word), FASTALLOC_E_DOUBLE_FREE);
    ck_assert_int_eq(slot_diagnose(segment, handle_of(80, 5)), FASTALLOC_E_DOUBLE_FREE);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_handle_whose_slot_lives_again_is_stale)
{
    struct segment *segment = small(77);
    uint64_t word;

    segment->words[5] = slot_word(segment, 81, ME);
    ck_assert_int_eq(slot_own(segment, handle_of(80, 5), ME, &word), FASTALLOC_E_STALE);
    segment->words[5] = slot_word(segment, 90, SLOT_IDLE);
    ck_assert_int_eq(slot_own(segment, handle_of(80, 5), ME, &word), FASTALLOC_E_STALE);
    ck_assert_int_eq(slot_own(segment, handle_of(77, 5), ME, &word), FASTALLOC_E_STALE);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_handle_never_given_out_is_none)
{
    struct segment *segment = small(77);
    uint64_t word;

    segment->words[5] = slot_word(segment, 80, ME);
    ck_assert_int_eq(slot_own(segment, FASTALLOC_NONE, ME, &word), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(slot_own(segment, handle_of(0, 5), ME, &word), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(slot_own(segment, handle_of(81, 5), ME, &word), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(slot_own(segment, handle_of(76, 5), ME, &word), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(slot_own(segment, handle_of(80, 6), ME, &word), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(slot_own(segment, handle_of(80, 40), ME, &word), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(slot_own(segment, UINT64_MAX, ME, &word), FASTALLOC_E_HANDLE);
    /* Of the generation that an idle slot has now none was given out yet. */
    segment->words[5] = slot_word(segment, 80, SLOT_IDLE);
    ck_assert_int_eq(slot_own(segment, handle_of(80, 5), ME, &word), FASTALLOC_E_HANDLE);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(handles_are_told_apart_across_the_wrap)
{
    struct segment *segment;
    uint64_t last = slot_generation_last(SLOT_INDEX_BITS_MIN), word;

    segment = small(last - 2);
    segment->words[5] = slot_word(segment, 3, ME);
    ck_assert_int_eq(slot_own(segment, handle_of(last, 5), ME, &word), FASTALLOC_E_STALE);
    ck_assert_int_eq(slot_own(segment, handle_of(last - 2, 5), ME, &word), FASTALLOC_E_STALE);
    ck_assert_int_eq(slot_own(segment, handle_of(last - 3, 5), ME, &word), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(slot_own(segment, handle_of(2, 5), ME, &word), FASTALLOC_E_STALE);
    ck_assert_int_eq(slot_own(segment, handle_of(4, 5), ME, &word), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(slot_own(segment, handle_of(3, 5), ME, &word), 0);
    segment->words[5] = slot_word(segment, 1, SLOT_IDLE);
    ck_assert_int_eq(slot_own(segment, handle_of(last, 5), ME, &word), FASTALLOC_E_DOUBLE_FREE);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(only_the_owner_gives)
{
    struct segment *segment = small(77);

    segment->words[5] = slot_word(segment, 80, ME);
    ck_assert_int_eq(slot_give(segment, handle_of(80, 5), ME, OTHER), 0);
    ck_assert_uint_eq(segment->words[5], slot_word(segment, 80, OTHER));
    ck_assert_int_eq(slot_give(segment, handle_of(80, 5), ME, 3), FASTALLOC_E_STALE);
    ck_assert_uint_eq(segment->words[5], slot_word(segment, 80, OTHER));
    segment->words[5] = slot_word(segment, 81, SLOT_IDLE);
    ck_assert_int_eq(slot_give(segment, handle_of(80, 5), ME, OTHER), FASTALLOC_E_DOUBLE_FREE);
    ck_assert_int_eq(slot_give(segment, handle_of(80, 41), ME, OTHER), FASTALLOC_E_HANDLE);
    ck_assert_int_eq(slot_give(segment, FASTALLOC_NONE, ME, OTHER), FASTALLOC_E_HANDLE);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(handles_of_big_and_small_pools_hold_index_and_generation)
{
    static const struct {
        uint64_t capacity;
        uint32_t bits;
    } pools[] = {{1, 16}, {65536, 16}, {65537, 17}, {1 << 20, 20}, {(1 << 20) + 1, 21}};
    size_t i;

    for (i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        uint64_t index = pools[i].capacity - 1, last;
        fastalloc_handle handle;

        test_pool_make(&pool,
                       &(struct test_shape){.capacity = pools[i].capacity, .object_size = 1});
        ck_assert_uint_eq(pool.segment.geometry.index_bits, pools[i].bits);
        last = slot_generation_last(pools[i].bits);
        handle = slot_handle(&pool.segment, slot_word(&pool.segment, last, ME), index);
        ck_assert_uint_eq(slot_index(&pool.segment, handle), index);
        ck_assert_uint_eq(handle >> pools[i].bits, last);
        ck_assert_uint_ne(slot_handle(&pool.segment, slot_word(&pool.segment, 1, ME), 0),
                          FASTALLOC_NONE);
        test_pool_discard(&pool);
    }
}
END_TEST

START_TEST(another_pools_handle_is_refused)
{
    struct segment *segment = small(77);
    uint64_t word;

    /* That pool's generations began elsewhere. */
    segment->words[5] = slot_word(segment, 80, ME);
    ck_assert_int_eq(slot_own(segment, handle_of(UINT64_C(0x123456789ab), 5), ME, &word),
                     FASTALLOC_E_HANDLE);
    test_pool_discard(&pool);
}
END_TEST

/* ----------------------------------------------- where frees decide */

START_TEST(ending_is_owning_unless_frees_decide)
{
    struct segment *segment = small(77);
    uint64_t word = 0;

    ck_assert(!slot_frees_decide(segment));
    segment->words[5] = slot_word(segment, 80, OTHER);
    ck_assert_int_eq(slot_end(segment, handle_of(80, 5), ME, &word), 0);
    ck_assert_uint_eq(word, slot_word(segment, 80, ME));
    ck_assert_uint_eq(segment->words[5], word);
    test_pool_discard(&pool);
}
END_TEST

static struct segment *deciding(uint32_t flags)
{
    test_pool_make(&pool,
                   &(struct test_shape){.capacity = 40, .first_generation = 77, .flags = flags});
    ck_assert(slot_frees_decide(&pool.segment));
    return &pool.segment;
}

START_TEST(ending_takes_the_slot_a_generation_on)
{
    static const uint32_t flags[] = {SPEC_STRICT, SPEC_STAGES, SPEC_ZERO_FREE};
    static const uint32_t owners[] = {ME, OTHER, SLOT_ANYONE};
    unsigned f, o;

    for (f = 0; f < 3; f++) {
        struct segment *segment = deciding(flags[f]);

        for (o = 0; o < 3; o++) {
            uint64_t word = 0;

            segment->words[5] = slot_word(segment, 80, owners[o]);
            ck_assert_int_eq(slot_end(segment, handle_of(80, 5), ME, &word), 0);
            ck_assert_uint_eq(word, slot_word(segment, 81, ME));
            ck_assert_uint_eq(segment->words[5], word);
            ck_assert_uint_eq(slot_ended_handle(segment, word, 5), handle_of(80, 5));
            /* On its way: nobody else has any part in it. */
            ck_assert_int_eq(slot_end(segment, handle_of(80, 5), ME, &word), FASTALLOC_E_STALE);
            ck_assert_int_eq(slot_own(segment, handle_of(80, 5), OTHER, &word), FASTALLOC_E_STALE);
            ck_assert_int_eq(slot_give(segment, handle_of(80, 5), ME, OTHER), FASTALLOC_E_STALE);
            ck_assert_uint_eq(segment->words[5], slot_word(segment, 81, ME));
        }
        test_pool_discard(&pool);
    }
}
END_TEST

START_TEST(what_cannot_be_ended_is_left_alone)
{
    struct segment *segment = deciding(SPEC_STRICT | SPEC_SHARING);
    static const struct {
        uint64_t generation;
        uint32_t owner;
        int error;
    } words[] = {
        {80, SLOT_IDLE, FASTALLOC_E_HANDLE},
        {80, SLOT_RETURNED, FASTALLOC_E_HANDLE},
        {81, SLOT_IDLE, FASTALLOC_E_DOUBLE_FREE},
        {82, SLOT_IDLE, FASTALLOC_E_DOUBLE_FREE},
        {82, SLOT_RETURNED, FASTALLOC_E_DOUBLE_FREE},
        {83, SLOT_IDLE, FASTALLOC_E_STALE},
        {82, OTHER, FASTALLOC_E_STALE},
        {80, SLOT_SHARED, FASTALLOC_E_SHARING},
        {80, SLOT_QUARANTINED, FASTALLOC_E_STALE},
        {79, ME, FASTALLOC_E_HANDLE},
    };
    unsigned i;

    for (i = 0; i < sizeof words / sizeof *words; i++) {
        uint64_t word = 1234, before = slot_word(segment, words[i].generation, words[i].owner);

        segment->words[5] = before;
        ck_assert_int_eq(slot_end(segment, handle_of(80, 5), ME, &word), words[i].error);
        ck_assert_uint_eq(segment->words[5], before);
        ck_assert_uint_eq(word, 1234);
    }
    test_pool_discard(&pool);
}
END_TEST

START_TEST(ending_the_last_generation_wraps)
{
    struct segment *segment = deciding(SPEC_STRICT);
    uint64_t last = slot_generation_last(segment->geometry.index_bits), word;

    segment->words[5] = slot_word(segment, last, ME);
    ck_assert_int_eq(slot_end(segment, handle_of(last, 5), ME, &word), 0);
    ck_assert_uint_eq(word, slot_word(segment, 1, ME));
    ck_assert_uint_eq(slot_ended_handle(segment, word, 5), handle_of(last, 5));
    test_pool_discard(&pool);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_word_is_taken_apart_as_it_was_put_together,
        generations_wrap_and_skip_zero,
        a_fresh_slot_is_claimed_once_with_the_first_generation,
        take_and_put_change_owner_and_generation,
        a_put_of_the_last_generation_wraps_to_one,
        a_return_needs_the_word_unchanged,
        only_a_returned_slot_is_claimed_as_returned,
        owning_takes_over_from_a_session_and_from_anyone,
        what_is_not_owned_is_left_alone,
        a_handle_freed_once_is_a_double_free,
        a_handle_whose_slot_lives_again_is_stale,
        a_handle_never_given_out_is_none,
        handles_are_told_apart_across_the_wrap,
        only_the_owner_gives,
        handles_of_big_and_small_pools_hold_index_and_generation,
        another_pools_handle_is_refused,
        ending_is_owning_unless_frees_decide,
        ending_takes_the_slot_a_generation_on,
        what_cannot_be_ended_is_left_alone,
        ending_the_last_generation_wraps,
    };

    return test_run(TEST_SUITE("slot", tests, 10));
}
