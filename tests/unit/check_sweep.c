/* SPDX-License-Identifier: MIT
 *
 * check_sweep: what a session leaves behind when it dies between any two steps of a
 * protocol.  The words are written as such a death leaves them; then the sweep,
 * and the pool must be whole.  (tests/fault/check_crashpoints.c makes real deaths;
 * here each state has a name.)
 */
#include "tests/support/pool.h"

#include "shm/bitmap.h"
#include "shm/depot.h"
#include "shm/magazine.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "shm/sweep.h"

#include <sys/wait.h>
#include <unistd.h>

enum { DEAD = 1, LIVING = 2, SLOTS = 300 };

static struct test_pool pool;
static struct segment *segment;
static struct actor dead, living;
static struct shm_cache *record; /* of the dead's cache */

/* Every slot was used; the dead owns `owned` of them, and has some cached. */
static void begin(unsigned owned)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = SLOTS});
    segment = &pool.segment;
    dead = test_pool_actor(&pool, DEAD);
    living = test_pool_actor(&pool, LIVING);
    record = &segment->caches[dead.cache];
    test_pool_drain(&pool, &living);
    test_pool_refill(&pool, &living);
    cache_flush(segment, &living);
    while (owned--)
        test_pool_alloc(&pool, &dead);
}

/* The sweep, twice, must make it whole; `slots` and `magazines` are what it takes. */
static void sweep_and_check(uint64_t slots, uint64_t magazines)
{
    struct sweep_result result;

    sweep_session(segment, DEAD, NULL, &result);
    ck_assert_uint_eq(result.slots, slots);
    ck_assert_uint_eq(result.magazines, magazines);
    ck_assert_uint_eq(session_state(segment, DEAD), SESSION_RETIRED);
    test_pool_assert_clean(&pool);
    sweep_session(segment, DEAD, NULL, &result);
    ck_assert_uint_eq(result.slots + result.magazines + result.caches, 0);
    test_pool_assert_exact(&pool, &living);
    test_pool_end(&pool);
}

static uint32_t *loaded_words(void)
{
    return magazine_at(segment, record->loaded - 1);
}

static uint64_t held_slot(void)
{
    uint64_t index;

    for (index = 0; !pool.held[index]; index++)
        ;
    return index;
}

static uint64_t generation_of(uint64_t index)
{
    return slot_generation_of(segment, segment->words[index]);
}

START_TEST(slots_and_magazines_of_the_dead_come_back)
{
    begin(20);
    sweep_and_check(20, 2);
}
END_TEST

START_TEST(the_handles_of_the_dead_are_stale)
{
    fastalloc_handle handle;
    uint64_t word;

    begin(1);
    handle = test_pool_handle(&pool, held_slot());
    sweep_session(segment, DEAD, NULL, NULL);
    ck_assert_int_eq(slot_own(segment, handle, LIVING, &word), FASTALLOC_E_DOUBLE_FREE);
    test_pool_forget(&pool);
    test_pool_drain(&pool, &living);
    ck_assert_int_eq(slot_own(segment, handle, LIVING, &word), FASTALLOC_E_STALE);
    test_pool_end(&pool);
}
END_TEST

START_TEST(what_others_own_stays)
{
    uint64_t index;

    begin(5);
    index = test_pool_alloc(&pool, &living);
    segment->words[held_slot()] = slot_word(segment, generation_of(held_slot()), SLOT_ANYONE);
    sweep_session(segment, DEAD, NULL, NULL);
    ck_assert_uint_eq(slot_owner_of(segment->words[index]), LIVING);
    ck_assert_uint_eq(slot_owner_of(segment->words[held_slot()]), SLOT_ANYONE);
    test_pool_end(&pool);
}
END_TEST

START_TEST(died_in_alloc_before_the_count)
{
    uint32_t *words;

    begin(1);
    words = loaded_words();
    record->gate.busy = 1;
    slot_take(segment, words[words[0]], segment->words[words[words[0]]], DEAD);
    sweep_and_check(2, 1);
}
END_TEST

START_TEST(died_in_free_before_the_count)
{
    uint32_t *words;

    begin(2);
    words = loaded_words();
    record->gate.busy = 1;
    words[words[0] + 1] = (uint32_t)held_slot();
    sweep_and_check(2, 1);
}
END_TEST

static void die_in_free_before_the_word(void)
{
    uint32_t *words = loaded_words();

    record->gate.busy = 1;
    words[words[0] + 1] = (uint32_t)held_slot();
    words[0]++;
}

START_TEST(died_in_free_before_the_word)
{
    begin(2);
    die_in_free_before_the_word();
    sweep_and_check(2, 1);
}
END_TEST

START_TEST(died_in_free_before_the_gate)
{
    uint64_t index;

    begin(2);
    index = held_slot();
    die_in_free_before_the_word();
    slot_put(segment, index, segment->words[index]);
    sweep_and_check(1, 1);
}
END_TEST

/* The living adopts what the dead was freeing, before the sweep comes. */
static fastalloc_handle adopt_what_was_freed(void)
{
    uint64_t index = held_slot(), word;
    fastalloc_handle handle = test_pool_handle(&pool, index);

    die_in_free_before_the_word();
    ck_assert_int_eq(slot_own(segment, handle, LIVING, &word), 0);
    return handle;
}

START_TEST(died_in_a_free_and_the_slot_was_adopted)
{
    begin(2);
    adopt_what_was_freed();
    sweep_and_check(1, 1);
}
END_TEST

START_TEST(died_in_a_free_and_the_slot_was_adopted_and_freed)
{
    uint64_t index;

    begin(2);
    test_pool_alloc(&pool, &living);
    index = held_slot();
    adopt_what_was_freed();
    supply_free(segment, &living, index, segment->words[index]);
    sweep_and_check(1, 1);
}
END_TEST

START_TEST(died_in_a_free_and_the_slot_was_freed_into_a_depot)
{
    uint64_t index;

    begin(2);
    test_pool_alloc(&pool, &living);
    index = held_slot();
    adopt_what_was_freed();
    supply_free(segment, &living, index, segment->words[index]);
    cache_flush(segment, &living);
    sweep_and_check(1, 1);
}
END_TEST

START_TEST(died_in_a_free_and_the_slot_was_returned)
{
    struct actor bare;
    uint64_t index;

    begin(2);
    bare = test_pool_bare_actor(&pool, LIVING);
    index = held_slot();
    adopt_what_was_freed();
    supply_free(segment, &bare, index, segment->words[index]);
    sweep_and_check(1, 1);
}
END_TEST

/* A depot's lock is held by nobody here: only the words matter to the sweep, and the
 * lists are mended by the next locker. */
static uint32_t take_first_stock(uint64_t *word)
{
    uint32_t magazine, d = 0;

    while (!depot_has_stock(segment, d))
        d++;
    ck_assert_int_eq(depot_lock(segment, d, NULL), LOCK_TAKEN);
    ck_assert(depot_take_stock_locked(segment, d, DEAD, &magazine, word));
    depot_unlock(segment, d);
    return magazine;
}

START_TEST(died_in_a_take_before_the_word)
{
    uint32_t d = 0, first;

    begin(2);
    record->gate.busy = 1;
    while (!segment->depots[d].full)
        d++;
    /* Unlinked, counted, still the depot's; the lock dies with its holder. */
    if (fork() == 0) {
        depot_lock(segment, d, NULL);
        first = segment->depots[d].full;
        segment->depots[d].full = segment->magazine_links[first - 1];
        magazine_at(segment, first - 1)[0] = 15;
        _exit(0);
    }
    ck_assert_int_gt(wait(NULL), 0);
    sweep_and_check(2, 1);
}
END_TEST

START_TEST(died_in_a_take_after_the_word)
{
    uint64_t word;

    begin(2);
    record->gate.busy = 1;
    take_first_stock(&word);
    sweep_and_check(2, 2);
}
END_TEST

START_TEST(died_in_a_take_after_loading)
{
    uint64_t word, displaced;
    uint32_t magazine;

    begin(2);
    record->gate.busy = 1;
    magazine = take_first_stock(&word);
    cache_load(segment, &dead, magazine, word, &displaced);
    sweep_and_check(2, 2);
}
END_TEST

START_TEST(died_in_a_flush_before_linking)
{
    uint64_t word;
    uint32_t magazine;

    begin(2);
    magazine = record->loaded - 1;
    word = record->loaded_word;
    record->gate.busy = 1;
    /* The word says depot; no list has it, and the record still notes it. */
    ck_assert(magazine_pass(segment, magazine, &word, MAGAZINE_DEPOT_BASE + 2,
                            magazine_count(segment, magazine)));
    if (fork() == 0) {
        depot_lock(segment, 2, NULL);
        _exit(0);
    }
    ck_assert_int_gt(wait(NULL), 0);
    sweep_and_check(2, 0);
}
END_TEST

START_TEST(died_after_claiming_a_fresh_slot)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = SLOTS});
    segment = &pool.segment;
    dead = test_pool_actor(&pool, DEAD);
    living = test_pool_actor(&pool, LIVING);
    test_pool_alloc(&pool, &living);
    /* The hint was not raised. */
    ck_assert(slot_claim_fresh(segment, segment->header->bump, DEAD));
    ck_assert(slot_claim_fresh(segment, segment->header->bump + 2, DEAD));
    sweep_and_check(2, 0);
}
END_TEST

START_TEST(died_after_claiming_a_fresh_magazine)
{
    uint32_t magazine;
    uint64_t word, hint;

    begin(2);
    hint = segment->header->magazine_bump;
    ck_assert(magazine_fresh(segment, DEAD, &magazine, &word));
    segment->header->magazine_bump = hint;
    sweep_and_check(2, 2);
}
END_TEST

START_TEST(died_between_returning_a_slot_and_its_flag)
{
    uint64_t index;

    begin(3);
    index = held_slot();
    ck_assert(slot_return(segment, index, segment->words[index]));
    sweep_and_check(2, 1);
}
END_TEST

START_TEST(died_between_a_flag_and_its_parent)
{
    uint64_t index;

    begin(3);
    index = held_slot();
    ck_assert(slot_return(segment, index, segment->words[index]));
    segment->bitmap[index / 64] |= UINT64_C(1) << index % 64;
    sweep_and_check(2, 1);
}
END_TEST

START_TEST(died_between_taking_a_returned_slot_and_its_flag)
{
    struct actor bare;
    uint64_t index;

    begin(3);
    bare = test_pool_bare_actor(&pool, LIVING);
    index = held_slot();
    test_pool_free(&pool, &bare, index);
    ck_assert(slot_claim_returned(segment, index, DEAD));
    sweep_and_check(3, 1);
}
END_TEST

START_TEST(died_while_giving_its_cache_back)
{
    uint64_t word;

    begin(20);
    word = record->loaded_word;
    record->gate.busy = 1;
    ck_assert_int_eq(depot_lock(segment, 1, NULL), LOCK_TAKEN);
    depot_give_locked(segment, 1, record->loaded - 1, word);
    depot_unlock(segment, 1);
    sweep_and_check(20, 1);
}
END_TEST

START_TEST(died_with_a_cache_that_was_robbed)
{
    uint64_t word;

    begin(3);
    /* The magazine is a thief's, in whose cache it lies; the record does not know. */
    word = record->loaded_word;
    ck_assert(magazine_pass(segment, record->loaded - 1, &word, LIVING, 0));
    segment->caches[living.cache].loaded = record->loaded;
    segment->caches[living.cache].loaded_word = word;
    record->gate.room = 0;
    sweep_and_check(3, 0);
}
END_TEST

START_TEST(died_with_many_caches)
{
    struct actor more[3];
    uint64_t i;

    begin(3);
    for (i = 0; i < 3; i++) {
        more[i] = test_pool_actor(&pool, DEAD);
        test_pool_alloc(&pool, &more[i]);
    }
    sweep_and_check(6, 4);
}
END_TEST

START_TEST(died_in_a_rebuild)
{
    uint32_t d;

    begin(3);
    for (d = 0; d < segment->geometry.depots; d++)
        if (fork() == 0) {
            depot_lock(segment, d, NULL);
            segment->depots[d].full = segment->depots[d].partial = 0;
            segment->depots[d].empty = 0;
            segment->depots[d].dirty = 0;
            _exit(0);
        } else {
            ck_assert_int_gt(wait(NULL), 0);
        }
    sweep_and_check(3, 1);
}
END_TEST

START_TEST(died_with_a_gift_landed_at_a_retired_session)
{
    uint64_t index;

    begin(3);
    index = held_slot();
    session_open(segment, 5, 0, 0, "receiver");
    segment->sessions[DEAD].intents[0] = 5;
    sweep_session(segment, 5, NULL, NULL);
    /* The gift came too late, and its giver died before taking it back. */
    segment->words[index] = slot_word(segment, generation_of(index), 5);
    ck_assert(!session_reuse(segment, 5));
    sweep_session(segment, DEAD, NULL, NULL);
    ck_assert(session_reuse(segment, 5));
    test_pool_assert_exact(&pool, &living);
    test_pool_end(&pool);
}
END_TEST

/* ------------------------------------------------- the sweeper dies as well */

START_TEST(a_sweep_that_died_after_the_state_is_done_again)
{
    begin(20);
    session_begin_death(segment, DEAD);
    sweep_and_check(20, 2);
}
END_TEST

START_TEST(a_sweep_that_died_among_the_magazines_is_done_again)
{
    uint64_t word;

    begin(20);
    session_begin_death(segment, DEAD);
    word = record->loaded_word;
    ck_assert(magazine_pass(segment, record->loaded - 1, &word, MAGAZINE_DEPOT_BASE + 1,
                            magazine_count(segment, record->loaded - 1)));
    sweep_and_check(20, 1);
}
END_TEST

START_TEST(a_sweep_that_died_among_the_slots_is_done_again)
{
    uint64_t index;

    begin(20);
    session_begin_death(segment, DEAD);
    index = held_slot();
    ck_assert(slot_return(segment, index, segment->words[index])); /* no flag yet */
    sweep_and_check(19, 2);
}
END_TEST

START_TEST(a_sweep_that_died_before_dirty_is_done_again)
{
    struct sweep_result result;
    uint32_t d;

    begin(20);
    sweep_session(segment, DEAD, NULL, &result);
    for (d = 0; d < segment->geometry.depots; d++)
        segment->depots[d].dirty = 0;
    segment->sessions[DEAD].state = SESSION_DYING;
    sweep_session(segment, DEAD, NULL, &result);
    test_pool_assert_exact(&pool, &living);
    test_pool_end(&pool);
}
END_TEST

START_TEST(garbage_in_the_dead_ones_records_is_bounded)
{
    begin(20);
    record->loaded = UINT32_MAX;
    record->previous = 12345678;
    record->epoch = UINT64_MAX;
    record->gate.busy = 77;
    segment->sessions[DEAD].state = 4711;
    segment->sessions[DEAD].intents[2] = UINT32_MAX;
    sweep_and_check(20, 2);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        slots_and_magazines_of_the_dead_come_back,
        the_handles_of_the_dead_are_stale,
        what_others_own_stays,
        died_in_alloc_before_the_count,
        died_in_free_before_the_count,
        died_in_free_before_the_word,
        died_in_free_before_the_gate,
        died_in_a_free_and_the_slot_was_adopted,
        died_in_a_free_and_the_slot_was_adopted_and_freed,
        died_in_a_free_and_the_slot_was_freed_into_a_depot,
        died_in_a_free_and_the_slot_was_returned,
        died_in_a_take_before_the_word,
        died_in_a_take_after_the_word,
        died_in_a_take_after_loading,
        died_in_a_flush_before_linking,
        died_after_claiming_a_fresh_slot,
        died_after_claiming_a_fresh_magazine,
        died_between_returning_a_slot_and_its_flag,
        died_between_a_flag_and_its_parent,
        died_between_taking_a_returned_slot_and_its_flag,
        died_while_giving_its_cache_back,
        died_with_a_cache_that_was_robbed,
        died_with_many_caches,
        died_in_a_rebuild,
        died_with_a_gift_landed_at_a_retired_session,
        a_sweep_that_died_after_the_state_is_done_again,
        a_sweep_that_died_among_the_magazines_is_done_again,
        a_sweep_that_died_among_the_slots_is_done_again,
        a_sweep_that_died_before_dirty_is_done_again,
        garbage_in_the_dead_ones_records_is_bounded,
    };

    return test_run(TEST_SUITE("sweep", tests, 10));
}
