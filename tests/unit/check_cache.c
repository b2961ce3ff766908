/* SPDX-License-Identifier: MIT
 *
 * check_cache: cache records coming and going, and the gate after a thief.
 */
#include "tests/support/pool.h"

#include "shm/bitmap.h"
#include "shm/depot.h"
#include "shm/magazine.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"

enum { ME = 1, OTHER = 2 };

static struct test_pool pool;
static struct segment *segment;

static void begin(uint64_t capacity, uint32_t threads)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = capacity, .threads = threads});
    segment = &pool.segment;
}

static struct shm_cache *record_of(const struct actor *actor)
{
    return &segment->caches[actor->cache];
}

/* Every slot was used, and lies in the depots. */
static void stock_depots(void)
{
    struct actor actor = test_pool_actor(&pool, 8);

    test_pool_drain(&pool, &actor);
    test_pool_refill(&pool, &actor);
    cache_release(segment, &actor);
}

START_TEST(records_are_claimed_until_there_are_none)
{
    struct actor actors[4];
    uint32_t i, k;

    begin(300, 3);
    for (i = 0; i < 4; i++)
        actors[i] = test_pool_actor(&pool, i + 1);
    for (i = 0; i < 3; i++) {
        ck_assert_uint_ne(actors[i].cache, CACHE_NONE);
        for (k = 0; k < i; k++)
            ck_assert_uint_ne(actors[i].cache, actors[k].cache);
        ck_assert_uint_eq(cache_session_of(record_of(&actors[i])->holder), i + 1);
    }
    ck_assert_uint_eq(actors[3].cache, CACHE_NONE);
    test_pool_alloc(&pool, &actors[3]); /* and works without */
    cache_release(segment, &actors[1]);
    ck_assert_uint_eq(cache_claim(segment, 4, 77), actors[1].cache);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_pool_too_small_for_magazines_has_no_records)
{
    begin(255, 8);
    ck_assert_uint_eq(test_pool_actor(&pool, ME).cache, CACHE_NONE);
    test_pool_end(&pool);
}
END_TEST

START_TEST(releasing_gives_everything_to_the_depot)
{
    struct actor actor;
    struct survey survey;
    uint64_t i;

    begin(300, 8);
    stock_depots();
    actor = test_pool_actor(&pool, ME);
    for (i = 0; i < 50; i++)
        test_pool_alloc(&pool, &actor);
    test_pool_refill(&pool, &actor);
    cache_release(segment, &actor);
    survey_slots(segment, &survey, NULL);
    ck_assert_uint_eq(survey.cached, 0);
    ck_assert_uint_eq(survey.stocked, 300);
    ck_assert_uint_eq(survey.threads, 0);
    ck_assert_uint_eq(record_of(&actor)->loaded, 0);
    ck_assert_uint_eq(record_of(&actor)->previous, 0);
    test_pool_end(&pool);
}
END_TEST

START_TEST(releasing_while_the_depot_is_locked_goes_through_the_bitmap)
{
    struct actor actor, next;
    pid_t stopped;
    uint64_t i;

    begin(300, 8);
    stock_depots();
    actor = test_pool_actor(&pool, ME);
    for (i = 0; i < 20; i++)
        test_pool_alloc(&pool, &actor);
    test_pool_refill(&pool, &actor);
    stopped = test_pool_lock_all(&pool);
    cache_release(segment, &actor);
    ck_assert_uint_ge(bitmap_count(segment), 20);
    test_pool_assert_clean(&pool);
    /* The record keeps its magazines, for the session's next thread only. */
    ck_assert_uint_ne(record_of(&actor)->holder, 0);
    next = test_pool_actor(&pool, OTHER);
    ck_assert_uint_ne(next.cache, actor.cache);
    ck_assert_uint_eq(test_pool_actor(&pool, ME).cache, actor.cache);
    test_pool_release(stopped);
    test_pool_assert_exact(&pool, &actor);
    test_pool_end(&pool);
}
END_TEST

/* Partial magazines in the depots' lists. */
static uint32_t partials(void)
{
    uint32_t d, at, count = 0;

    for (d = 0; d < segment->geometry.depots; d++)
        for (at = segment->depots[d].partial; at && count < 1000; count++)
            at = segment->magazine_links[at - 1];
    return count;
}

START_TEST(partial_magazines_do_not_pile_up)
{
    uint64_t random = test_seed("merging"), keep;
    uint32_t round, most = 0;

    begin(1000, 4);
    stock_depots();
    for (round = 0; round < 500; round++) {
        uint32_t session = round % 7 + 1;
        struct actor actor = test_pool_actor(&pool, session);

        actor.depot = (uint32_t)(test_random(&random) % segment->geometry.depots);
        for (keep = test_random(&random) % 60; keep; keep--)
            test_pool_alloc(&pool, &actor);
        test_pool_refill(&pool, &actor);
        cache_release(segment, &actor);
        most = partials() > most ? partials() : most;
        TEST_REQUIRE(!bitmap_count(segment), "a free found no room in round %u", round);
    }
    /* One or two a depot: what is merged fills one up, and may begin another. */
    ck_assert_uint_le(most, 3 * segment->geometry.depots);
    test_pool_end(&pool);
}
END_TEST

START_TEST(re_entry_after_a_mark_keeps_what_is_still_there)
{
    struct shm_cache *record;
    struct actor actor;
    uint64_t epoch, word;

    begin(300, 8);
    actor = test_pool_actor(&pool, ME);
    test_pool_alloc(&pool, &actor);
    record = record_of(&actor);
    epoch = record->epoch;
    word = record->loaded_word;
    record->gate.room = 0;
    ck_assert(cache_revoked(segment, &actor));
    cache_enter(segment, &actor);
    ck_assert_uint_eq(record->gate.busy, 1);
    ck_assert_uint_ne(record->gate.room, 0);
    ck_assert_uint_gt(record->epoch, epoch);
    ck_assert_uint_ne(record->loaded, 0);
    ck_assert_uint_ne(record->loaded_word, word);
    ck_assert_uint_eq(record->loaded_word, segment->magazine_words[record->loaded - 1]);
    cache_leave(segment, &actor);
    ck_assert_uint_eq(record->gate.busy, 0);
    test_pool_end(&pool);
}
END_TEST

START_TEST(re_entry_after_a_mark_drops_what_was_taken)
{
    struct shm_cache *record;
    struct actor actor;
    uint64_t word;

    begin(300, 8);
    actor = test_pool_actor(&pool, ME);
    test_pool_alloc(&pool, &actor);
    record = record_of(&actor);
    word = record->loaded_word;
    /* By another thread of the same session: the owner in the word is the same. */
    ck_assert(magazine_pass(segment, record->loaded - 1, &word, ME, 0));
    record->gate.room = 0;
    cache_enter(segment, &actor);
    ck_assert_uint_eq(record->loaded, 0);
    ck_assert_uint_eq(cache_loaded(segment, &actor), CACHE_NONE);
    cache_leave(segment, &actor);
    test_pool_discard(&pool);
}
END_TEST

/* The two are m[0], loaded, and m[1], with so many entries as far as their counts go. */
static void load_two(const struct actor *actor, uint32_t m[2], uint32_t loaded, uint32_t previous)
{
    uint64_t word;
    int i;

    for (i = 1; i >= 0; i--) {
        ck_assert(magazine_fresh(segment, ME, &m[i], &word));
        cache_load(segment, actor, m[i], word, &word);
    }
    magazine_at(segment, m[0])[0] = loaded;
    magazine_at(segment, m[1])[0] = previous;
}

static const struct {
    uint32_t loaded, previous; /* entries, of 15 */
    enum cache_want want;
    uint32_t least;
    bool turns;
} cases[] = {
    {0, 15, CACHE_ENTRIES, 1, true}, {0, 1, CACHE_ENTRIES, 1, true},
    {0, 0, CACHE_ENTRIES, 1, false}, {4, 9, CACHE_ENTRIES, 9, true},
    {4, 8, CACHE_ENTRIES, 9, false}, {15, 0, CACHE_ROOM, 1, true},
    {15, 14, CACHE_ROOM, 1, true},   {15, 15, CACHE_ROOM, 1, false},
    {12, 7, CACHE_ROOM, 8, true},    {12, 8, CACHE_ROOM, 8, false},
};
enum { TURNS = sizeof cases / sizeof cases[0] };

START_TEST(magazines_change_places_where_that_helps_and_announce_it)
{
    struct shm_cache *record;
    struct actor actor;
    uint64_t moves;
    uint32_t m[2];

    begin(300, 8);
    actor = test_pool_actor(&pool, ME);
    record = record_of(&actor);
    cache_enter(segment, &actor);
    load_two(&actor, m, cases[_i].loaded, cases[_i].previous);
    moves = record->moves;
    ck_assert_uint_eq(cache_turn(segment, record, cases[_i].want, cases[_i].least),
                      cases[_i].turns ? m[1] : CACHE_NONE);
    ck_assert_uint_eq(cache_loaded(segment, &actor), m[cases[_i].turns]);
    ck_assert_uint_eq(cache_previous(segment, &actor), m[!cases[_i].turns]);
    ck_assert_uint_eq(record->loaded_word, segment->magazine_words[m[cases[_i].turns]]);
    ck_assert_uint_eq(record->previous_word, segment->magazine_words[m[!cases[_i].turns]]);
    ck_assert_uint_eq(record->moves, moves + cases[_i].turns);
    cache_leave(segment, &actor);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(a_magazine_that_was_stolen_leaves_a_place_to_turn_to)
{
    struct actor actor;
    uint32_t m[2];

    begin(300, 8);
    actor = test_pool_actor(&pool, ME);
    cache_enter(segment, &actor);
    ck_assert_uint_eq(cache_turn(segment, record_of(&actor), CACHE_ENTRIES, 1), CACHE_NONE);
    load_two(&actor, m, 15, 3);
    record_of(&actor)->loaded = 0;
    ck_assert_uint_eq(cache_turn(segment, record_of(&actor), CACHE_ROOM, 1), m[1]);
    ck_assert_uint_eq(cache_previous(segment, &actor), CACHE_NONE);
    ck_assert_uint_eq(cache_turn(segment, record_of(&actor), CACHE_ROOM, 1), CACHE_NONE);
    cache_leave(segment, &actor);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(claiming_voids_the_notes_of_thieves)
{
    struct actor actor;
    uint64_t epoch;

    begin(300, 1);
    epoch = segment->caches[0].epoch;
    actor = test_pool_actor(&pool, ME);
    ck_assert_uint_gt(segment->caches[0].epoch, epoch);
    epoch = segment->caches[0].epoch;
    cache_release(segment, &actor);
    actor = test_pool_actor(&pool, OTHER);
    ck_assert_uint_gt(segment->caches[0].epoch, epoch);
    test_pool_end(&pool);
}
END_TEST

START_TEST(loading_displaces_what_there_is_no_place_for)
{
    struct actor actor;
    uint64_t words[4], displaced;
    uint32_t m[4], i;

    begin(300, 8);
    actor = test_pool_actor(&pool, ME);
    for (i = 0; i < 4; i++)
        ck_assert(magazine_fresh(segment, ME, &m[i], &words[i]));
    cache_enter(segment, &actor);
    ck_assert_uint_eq(cache_load(segment, &actor, m[0], words[0], &displaced), CACHE_NONE);
    ck_assert_uint_eq(cache_load(segment, &actor, m[1], words[1], &displaced), CACHE_NONE);
    ck_assert_uint_eq(cache_previous(segment, &actor), m[0]);
    ck_assert_uint_eq(cache_load(segment, &actor, m[2], words[2], &displaced), m[1]);
    ck_assert_uint_eq(displaced, words[1]);
    ck_assert_uint_eq(cache_previous(segment, &actor), m[0]);
    ck_assert_uint_eq(cache_rotate(segment, &actor, m[3], words[3], &displaced), m[0]);
    ck_assert_uint_eq(displaced, words[0]);
    ck_assert_uint_eq(cache_previous(segment, &actor), m[2]);
    cache_leave(segment, &actor);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(an_index_outside_the_table_is_no_magazine)
{
    struct actor actor;

    begin(300, 8);
    actor = test_pool_actor(&pool, ME);
    record_of(&actor)->loaded = segment->geometry.magazines + 1;
    record_of(&actor)->previous = UINT32_MAX;
    ck_assert_uint_eq(cache_loaded(segment, &actor), CACHE_NONE);
    ck_assert_uint_eq(cache_previous(segment, &actor), CACHE_NONE);
    record_of(&actor)->gate.room = 0;
    cache_enter(segment, &actor);
    ck_assert_uint_eq(record_of(&actor)->loaded, 0);
    cache_leave(segment, &actor);
    test_pool_end(&pool);
}
END_TEST

START_TEST(yielding_gives_everything_to_the_depot_if_that_can_be_had)
{
    struct actor actor;
    pid_t stopped;
    uint64_t i;

    begin(300, 8);
    actor = test_pool_actor(&pool, ME);
    test_pool_drain(&pool, &actor);
    for (i = 0; i < 10; i++)
        test_pool_free(&pool, &actor, i);
    stopped = test_pool_lock_all(&pool);
    cache_yield(segment, &actor);
    ck_assert_uint_ne(cache_loaded(segment, &actor), CACHE_NONE);
    test_pool_release(stopped);
    cache_yield(segment, &actor);
    ck_assert(depot_has_stock(segment, actor.depot));
    ck_assert_uint_eq(cache_loaded(segment, &actor), CACHE_NONE);
    test_pool_end(&pool);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        records_are_claimed_until_there_are_none,
        a_pool_too_small_for_magazines_has_no_records,
        releasing_gives_everything_to_the_depot,
        releasing_while_the_depot_is_locked_goes_through_the_bitmap,
        partial_magazines_do_not_pile_up,
        re_entry_after_a_mark_keeps_what_is_still_there,
        re_entry_after_a_mark_drops_what_was_taken,
        a_magazine_that_was_stolen_leaves_a_place_to_turn_to,
        claiming_voids_the_notes_of_thieves,
        loading_displaces_what_there_is_no_place_for,
        an_index_outside_the_table_is_no_magazine,
        yielding_gives_everything_to_the_depot_if_that_can_be_had,
    };

    Suite *suite = TEST_SUITE("cache", tests, 15);
    TCase *turns = tcase_create("turns");

    tcase_add_loop_test(turns, magazines_change_places_where_that_helps_and_announce_it, 0, TURNS);
    suite_add_tcase(suite, turns);
    return test_run(suite);
}
