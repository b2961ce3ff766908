/* SPDX-License-Identifier: MIT
 *
 * The inlined fast path on the segment alone: the words it writes and the handles it makes are
 * those of shm/slot.h, at every number of index bits, up to the last generation and beyond.
 */
#define FASTALLOC_INLINE
#include "tests/support/lane.h"

#include "shm/slot.h"

#define ME 3u

static struct test_pool test;
static struct fastalloc_pool pool;
static struct actor actor;

static void begin(uint64_t capacity, uint64_t first_generation)
{
    test_pool_make(&test, &(struct test_shape){.capacity = capacity,
                                               .object_size = 8,
                                               .first_generation = first_generation});
    actor = test_pool_actor(&test, ME);
    lane_open(&pool, &test, &actor);
}

/* Fewer than, just as many as, and more than an owner's 16 bits can number. */
static const uint64_t capacities[] = {300, 65536, 65537, 1 << 20};
#define CAPACITIES (sizeof capacities / sizeof capacities[0])

static void compare_with_slow_way(uint64_t capacity)
{
    struct segment *segment = &test.segment;
    fastalloc_handle handle;
    unsigned turn;
    void *object;

    begin(capacity, 1000);
    for (turn = 0; turn < 5; turn++) {
        uint64_t index, word;

        ck_assert_int_eq(fastalloc_alloc(&pool, &handle, &object), 0);
        index = slot_index(segment, handle);
        word = segment->words[index];
        ck_assert_uint_eq(word, slot_word(segment, 1000 + turn, ME));
        ck_assert_uint_eq(handle, slot_handle(segment, word, index));
        ck_assert_ptr_eq(object, segment->objects + index * segment->geometry.stride);
        ck_assert_ptr_eq(fastalloc_get(&pool, handle), object);
        ck_assert(fastalloc_handle_is_mine(&pool, handle));
        ck_assert_int_eq(fastalloc_free(&pool, handle), 0);
        ck_assert_uint_eq(segment->words[index], slot_word(segment, 1001 + turn, SLOT_IDLE));
        ck_assert_ptr_null(fastalloc_get(&pool, handle));
        ck_assert(!fastalloc_handle_is_mine(&pool, handle));
        ck_assert_int_eq(fastalloc_free(&pool, handle), FASTALLOC_E_DOUBLE_FREE);
    }
    ck_assert_uint_ge(segment->caches[actor.cache].gate.allocations, turn - 1); /* the fast way */
    test_pool_end(&test);
}

START_TEST(handles_and_words_are_those_of_the_slow_way)
{
    size_t c;

    for (c = 0; c < CAPACITIES; c++)
        compare_with_slow_way(capacities[c]);
}
END_TEST

static void wrap(uint64_t capacity)
{
    struct segment *segment = &test.segment;
    fastalloc_handle handles[3];
    uint64_t last, index;
    unsigned turn;

    begin(capacity, 1);
    last = slot_generation_last(segment->geometry.index_bits);
    test_pool_end(&test);
    begin(capacity, last - 1);
    for (turn = 0; turn < 3; turn++) {
        ck_assert_int_eq(fastalloc_alloc(&pool, &handles[turn], NULL), 0);
        index = slot_index(segment, handles[turn]);
        ck_assert_uint_ne(handles[turn], FASTALLOC_NONE);
        ck_assert_uint_eq(slot_generation_in(segment, handles[turn]),
                          turn < 2 ? last - 1 + turn : 1);
        ck_assert_int_eq(fastalloc_free(&pool, handles[turn]), 0);
        ck_assert_uint_eq(slot_owner_of(segment->words[index]), SLOT_IDLE);
        ck_assert_uint_ne(segment->words[index], 0);
    }
    for (turn = 0; turn < 3; turn++) {
        ck_assert_ptr_null(fastalloc_get(&pool, handles[turn]));
        ck_assert_int_ne(fastalloc_free(&pool, handles[turn]), 0);
    }
    test_pool_end(&test);
}

START_TEST(the_generation_after_the_last_is_the_first)
{
    size_t c;

    for (c = 0; c < CAPACITIES; c++)
        wrap(capacities[c]);
}
END_TEST

static const enum slot_owner strangers[] = {SLOT_IDLE,   SLOT_RETURNED,    SLOT_ANYONE,
                                            SLOT_SHARED, SLOT_QUARANTINED, SLOT_WITHDRAWN};

/* Bits of a generation and bits of an owner are next to each other, where there are 16 of an
 * index, and apart where there are more. */
static void meet_strangers(uint64_t capacity)
{
    struct segment *segment = &test.segment;
    fastalloc_handle handle;
    uint64_t index, mine;
    size_t i;

    begin(capacity, 1000);
    ck_assert_int_eq(fastalloc_alloc(&pool, &handle, NULL), 0);
    index = slot_index(segment, handle);
    mine = segment->words[index];
    for (i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        segment->words[index] = slot_word_with(segment, mine, strangers[i]);
        ck_assert(!fastalloc_handle_is_mine(&pool, handle));
        if (strangers[i] == SLOT_IDLE || strangers[i] == SLOT_RETURNED)
            ck_assert_ptr_null(fastalloc_get(&pool, handle));
    }
    segment->words[index] = slot_word_with(segment, mine, ME + 1); /* another session's */
    ck_assert(!fastalloc_handle_is_mine(&pool, handle));
    ck_assert_ptr_nonnull(fastalloc_get(&pool, handle));
    for (i = 0; i < 64; i++) {
        segment->words[index] = mine ^ UINT64_C(1) << i;
        ck_assert(!fastalloc_handle_is_mine(&pool, handle));
        if (i >= SLOT_INDEX_BITS_MIN)
            ck_assert_ptr_null(fastalloc_get(&pool, handle));
    }
    segment->words[index] = mine;
    ck_assert_int_eq(fastalloc_free(&pool, handle), 0);
    test_pool_end(&test);
}

START_TEST(another_generation_or_owner_is_not_taken_for_this)
{
    size_t c;

    for (c = 0; c < CAPACITIES; c++)
        meet_strangers(capacities[c]);
}
END_TEST

/* Of everybody's slots only another live session's changes hands by the inlined way. */
START_TEST(adopting_takes_what_a_session_has)
{
    struct segment *segment = &test.segment;
    fastalloc_handle handle;
    uint64_t index, mine;
    void *object;
    size_t i;

    begin(65537, 1000);
    ck_assert_int_eq(fastalloc_alloc(&pool, &handle, NULL), 0);
    index = slot_index(segment, handle);
    mine = segment->words[index];
    for (i = 1; i <= segment->geometry.sessions; i++) {
        segment->words[index] = slot_word_with(segment, mine, (uint32_t)i);
        ck_assert_int_eq(fastalloc_adopt(&pool, handle), 0);
        ck_assert_uint_eq(segment->words[index], mine);
        segment->words[index] = slot_word_with(segment, mine, (uint32_t)i);
        object = NULL;
        ck_assert_int_eq(fastalloc_receive(&pool, handle, &object), 0);
        ck_assert_uint_eq(segment->words[index], mine);
        ck_assert_ptr_eq(object, segment->objects + index * segment->geometry.stride);
    }
    object = segment; /* what a failure leaves alone */
    for (i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        uint64_t word = slot_word_with(segment, mine, strangers[i]);

        segment->words[index] = word;
        if (strangers[i] == SLOT_ANYONE) { /* the slow way takes it */
            ck_assert_int_eq(fastalloc_adopt(&pool, handle), 0);
        } else {
            ck_assert_int_ne(fastalloc_adopt(&pool, handle), 0);
            ck_assert_int_ne(fastalloc_receive(&pool, handle, &object), 0);
            ck_assert_ptr_eq(object, segment);
            ck_assert_uint_eq(segment->words[index], word);
        }
    }
    for (i = segment->geometry.index_bits; i < 64; i++) {
        segment->words[index] = mine ^ UINT64_C(1) << i;
        ck_assert_int_ne(fastalloc_adopt(&pool, handle), 0);
        ck_assert_uint_eq(segment->words[index], mine ^ UINT64_C(1) << i);
    }
    segment->words[index] = slot_word_with(segment, mine, (uint32_t)segment->geometry.sessions + 1);
    ck_assert_int_ne(fastalloc_adopt(&pool, handle), 0); /* no session could be that */
    segment->words[index] = mine;
    ck_assert_int_ne(fastalloc_adopt(&pool, handle + (UINT64_C(1) << 40)), 0);
    ck_assert_int_eq(fastalloc_free(&pool, handle), 0);
    test_pool_end(&test);
}
END_TEST

/* The mark is a room of nothing: not a slot more goes over the fast path, and the next slow call
 * lifts it. */
START_TEST(a_marked_gate_shuts_the_fast_path)
{
    struct shm_cache *record;
    fastalloc_handle handles[3];
    uint64_t fast;

    begin(300, 1000);
    ck_assert_int_eq(fastalloc_alloc(&pool, &handles[0], NULL), 0); /* fills the cache */
    record = &test.segment.caches[actor.cache];
    ck_assert_uint_eq(record->gate.room, test.segment.geometry.magazine_size);
    fast = record->gate.allocations;
    ck_assert(fastalloc_alloc_fast_(&pool, &handles[1], NULL));
    record->gate.room = 0;
    ck_assert(!fastalloc_alloc_fast_(&pool, &handles[2], NULL));
    ck_assert_uint_eq(record->gate.allocations, fast + 1);
    ck_assert_int_eq(fastalloc_alloc(&pool, &handles[2], NULL), 0);
    ck_assert_uint_eq(record->gate.room, test.segment.geometry.magazine_size);
    fast = record->gate.frees;
    record->gate.room = 0;
    ck_assert_int_eq(fastalloc_free(&pool, handles[2]), 0);
    ck_assert_uint_eq(record->gate.room, test.segment.geometry.magazine_size);
    ck_assert_int_eq(fastalloc_free(&pool, handles[1]), 0);
    ck_assert_uint_ge(record->gate.frees, fast + 1);
    ck_assert_int_eq(fastalloc_free(&pool, handles[0]), 0);
    test_pool_end(&test);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        handles_and_words_are_those_of_the_slow_way,
        the_generation_after_the_last_is_the_first,
        another_generation_or_owner_is_not_taken_for_this,
        adopting_takes_what_a_session_has,
        a_marked_gate_shuts_the_fast_path,
    };

    return test_run(TEST_SUITE("lane", tests, 10));
}
