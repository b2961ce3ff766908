/* SPDX-License-Identifier: MIT
 *
 * seal: its steps, one by one.
 */
#include "shm/seal.h"

#include "shm/growth.h"
#include "shm/notes.h"
#include "shm/session.h"
#include "shm/share.h"
#include "shm/slot.h"
#include "shm/supply.h"
#include "shm/survey.h"
#include "shm/sweep.h"
#include "shm/wait.h"
#include "tests/support/pool.h"

#define ME 1
#define OTHER 2
#define SLOTS 300

static struct test_pool pool;
static struct segment *const segment = &pool.segment;

static void begin(uint32_t flags)
{
    test_pool_make(&pool, &(struct test_shape){.capacity = SLOTS, .flags = flags});
}

static int try_alloc(const struct actor *actor)
{
    uint64_t index = 0, word = 0;
    int error = supply_alloc(segment, actor, 0, &index, &word);

    if (!error)
        supply_free(segment, actor, index, word);
    return error;
}

START_TEST(a_pool_is_sealed_and_opened_once_however_often_it_is_said)
{
    uint32_t count;

    begin(0);
    ck_assert_uint_eq(segment_state(segment), POOL_LIVE);
    ck_assert(!seal_is_closed(segment));
    count = seal_close(segment);
    ck_assert_uint_eq(segment_state(segment), POOL_SEALED);
    ck_assert(seal_is_closed(segment));
    ck_assert_uint_eq(seal_close(segment), count);
    ck_assert(seal_holds(segment, count));
    seal_open(segment);
    seal_open(segment);
    ck_assert_uint_eq(segment_state(segment), POOL_LIVE);
    ck_assert(!seal_holds(segment, count));
    ck_assert_uint_ne(seal_close(segment), count);
    ck_assert(!seal_holds(segment, count)); /* another seal than that */
    seal_open(segment);
    test_pool_end(&pool);
}
END_TEST

START_TEST(destroyed_and_poisoned_are_told_before_sealed)
{
    begin(0);
    seal_close(segment);
    segment_set_state(segment, POOL_DESTROYED);
    ck_assert_uint_eq(segment_state(segment), POOL_DESTROYED);
    segment_set_state(segment, POOL_POISONED);
    ck_assert_uint_eq(segment_state(segment), POOL_POISONED);
    /* Sealed is never what the state's word says. */
    segment->header->state = POOL_SEALED;
    ck_assert_uint_eq(segment_state(segment), POOL_POISONED);
    test_pool_discard(&pool);
}
END_TEST

START_TEST(an_allocation_that_has_its_slot_puts_it_back)
{
    struct actor cached, bare;

    begin(0);
    cached = test_pool_actor(&pool, ME);
    bare = test_pool_bare_actor(&pool, OTHER);
    ck_assert_int_eq(try_alloc(&cached), 0);
    seal_close(segment);
    ck_assert_int_eq(try_alloc(&cached), FASTALLOC_E_SEALED); /* from the cache */
    ck_assert_int_eq(try_alloc(&bare), FASTALLOC_E_SEALED);   /* never used */
    cache_flush(segment, &cached);
    ck_assert_int_eq(try_alloc(&cached), FASTALLOC_E_SEALED); /* from a depot */
    ck_assert_int_eq(try_alloc(&bare), FASTALLOC_E_SEALED);
    ck_assert_uint_eq(survey_allocated(segment), 0);
    test_pool_assert_clean(&pool);
    seal_open(segment);
    test_pool_assert_exact(&pool, &cached);
    test_pool_assert_exact(&pool, &bare);
    test_pool_end(&pool);
}
END_TEST

#define UNUSED 1u

/* Clears the mark on a cache. */
static void unmark(const struct actor *actor)
{
    cache_enter(segment, actor);
    cache_leave(segment, actor);
}

START_TEST(every_cache_in_use_is_marked_and_no_other)
{
    struct actor mine, others;
    uint32_t c;

    begin(0);
    for (c = 0; c < segment->geometry.caches; c++)
        segment->caches[c].gate.room = UNUSED;
    mine = test_pool_actor(&pool, ME);
    others = test_pool_actor(&pool, OTHER);
    unmark(&mine);
    unmark(&others);
    ck_assert(!cache_revoked(segment, &mine));
    seal_spread(segment); /* nothing to spread */
    ck_assert(!cache_revoked(segment, &mine));
    seal_close(segment);
    ck_assert(!cache_revoked(segment, &mine));
    ck_assert(seal_mark(segment));
    for (c = 0; c < segment->geometry.caches; c++)
        ck_assert_uint_eq(segment->caches[c].gate.room,
                          c == mine.cache || c == others.cache ? 0 : UNUSED);
    unmark(&mine);
    ck_assert(!cache_revoked(segment, &mine));
    seal_spread(segment);
    ck_assert(cache_revoked(segment, &mine));
    seal_open(segment);
    test_pool_end(&pool);
}
END_TEST

START_TEST(a_sweep_marks_what_a_sealer_did_not_come_to)
{
    struct actor mine, dead;

    begin(0);
    mine = test_pool_actor(&pool, ME);
    dead = test_pool_actor(&pool, OTHER);
    seal_close(segment);
    sweep_session(segment, dead.session, NULL, NULL);
    ck_assert(cache_revoked(segment, &mine));
    seal_open(segment);
    test_pool_end(&pool);
}
END_TEST

START_TEST(quiet_is_when_each_cache_was_seen_not_busy_once)
{
    struct actor mine, others;
    uint32_t cache = 0;

    begin(0);
    mine = test_pool_actor(&pool, ME);
    others = test_pool_actor(&pool, OTHER);
    ck_assert_uint_lt(mine.cache, others.cache);
    cache_enter(segment, &mine);
    cache_enter(segment, &others);
    ck_assert(!seal_is_quiet(segment, &cache));
    ck_assert_uint_eq(cache, mine.cache);
    cache_leave(segment, &mine);
    ck_assert(!seal_is_quiet(segment, &cache));
    ck_assert_uint_eq(cache, others.cache);
    cache_enter(segment, &mine); /* it was seen to be out */
    cache_leave(segment, &others);
    ck_assert(seal_is_quiet(segment, &cache));
    cache_leave(segment, &mine);
    test_pool_end(&pool);
}
END_TEST

/* Requires that the one slot that is not free keeps the pool from being empty, and frees it. */
static void require_held(uint64_t index)
{
    uint64_t slot = 0;

    ck_assert(!seal_is_empty(segment, &slot));
    ck_assert_uint_eq(slot, index);
    ck_assert(slot_return(segment, index, segment->words[index]));
    ck_assert(seal_is_empty(segment, &slot));
    ck_assert_uint_eq(slot, segment_reserved(segment));
}

START_TEST(a_slot_in_anybodys_hands_keeps_a_pool_from_being_empty)
{
    static const uint32_t owners[] = {
        OTHER, SLOT_ANYONE, SLOT_SHARED, SLOT_QUARANTINED, NOTES_EXPIRING, SHARE_CLOSING + ME};
    struct actor actor;
    uint64_t index, slot = 0;
    size_t i;

    begin(SPEC_SHARING | SPEC_NOTES);
    actor = test_pool_bare_actor(&pool, ME);
    ck_assert(seal_is_empty(segment, &slot));
    for (i = 0; i < sizeof owners / sizeof *owners; i++) {
        index = test_pool_alloc(&pool, &actor);
        ck_assert(slot_mark(segment, index, segment->words[index], owners[i]));
        require_held(index);
    }
    index = test_pool_alloc(&pool, &actor);
    ck_assert(slot_withdraw(segment, index, segment->words[index]));
    slot = 0;
    ck_assert(seal_is_empty(segment, &slot));
    test_pool_discard(&pool);
}
END_TEST

START_TEST(sealing_wakes_who_may_be_asleep)
{
    uint32_t epoch;

    begin(0);
    epoch = wait_begin(segment);
    seal_close(segment);
    ck_assert(!wait_anybody(segment));
    ck_assert_uint_ne(segment->header->free_epoch, epoch);
    /* Also who seals what is sealed: the first may have died before he could. */
    epoch = wait_begin(segment);
    seal_close(segment);
    ck_assert_uint_ne(segment->header->free_epoch, epoch);
    seal_open(segment);
    test_pool_end(&pool);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_pool_is_sealed_and_opened_once_however_often_it_is_said,
        destroyed_and_poisoned_are_told_before_sealed,
        an_allocation_that_has_its_slot_puts_it_back,
        every_cache_in_use_is_marked_and_no_other,
        a_sweep_marks_what_a_sealer_did_not_come_to,
        quiet_is_when_each_cache_was_seen_not_busy_once,
        a_slot_in_anybodys_hands_keeps_a_pool_from_being_empty,
        sealing_wakes_who_may_be_asleep,
    };

    return test_run(TEST_SUITE("seal", tests, 10));
}
