/* SPDX-License-Identifier: MIT
 *
 * The inlined ways and what stands right behind them, in every order of their accesses to memory
 * with those of others, and with deaths between any two (weave.h): adopting, while the owner's
 * sweep and another adopter are after the same word; an owner whose magazines change places
 * while a thief is after them; one who dies while they do, and his free is taken up by others;
 * and a slot whose generations begin anew.
 *
 * Orders are sequentially consistent here, so the thief's barrier has nothing to do.
 */
#include "client/pool.h"
#include "client/thread.h"
#include "shm/bitmap.h"
#include "shm/magazine.h"
#include "shm/revoke.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/sweep.h"
#include "tests/support/pool.h"
#include "weave.h"
#include "woven.h"

#include <stdio.h>
#include <stdlib.h> /* whose calloc() and free() are those below */

enum { OWNER = 1, OTHER = 2, THIRD = 3, SESSIONS = 4, CACHES = 2, SLOTS = 256, GOT_MAX = 4 };
enum { HEAP_WORDS = 64 };

/* What they have beside the segment; put back with it. */
struct record {
    struct thread thread; /* everybody's, with a lane for each session */
    struct revoke_note notes[CACHES];
    uint32_t works[SESSIONS + 1];
    uint64_t error[WEAVE_ACTORS_MAX], swept, late;
    uint64_t got[GOT_MAX], count; /* slots that were allocated */
    uint64_t heap[HEAP_WORDS], heap_used;
};

static struct {
    struct test_pool test;
    struct segment *segment;
    struct fastalloc_pool pools[SESSIONS];
    struct fastalloc_gate_ gate; /* of those who need to have one, but do not enter it */
    struct actor owner, other;
    fastalloc_handle handle;
    uint64_t played; /* slots that they touch, from 0 on */
    struct record record;
} stage;

/* What the acts use for calloc() and free() (tests/local.mk). */
void *woven_calloc(size_t count, size_t size)
{
    uint64_t *words = &stage.record.heap[stage.record.heap_used];

    stage.record.heap_used += (count * size + sizeof *words - 1) / sizeof *words;
    TEST_REQUIRE(stage.record.heap_used <= HEAP_WORDS,
                 "the acts ask for more memory than there is");
    memset(words, 0, count * size);
    return words;
}

void woven_free(void *memory)
{
    (void)memory;
}

static struct fastalloc_lane_ *lane_of(uint32_t session)
{
    return &stage.record.thread.lanes[session];
}

static void begin(uint64_t capacity)
{
    uint32_t session;

    memset(&stage.record, 0, sizeof stage.record);
    test_pool_make(&stage.test, &(struct test_shape){.capacity = capacity,
                                                     .object_size = 8,
                                                     .threads = CACHES,
                                                     .sessions = SESSIONS});
    stage.segment = &stage.test.segment;
    stage.record.thread.listed = true;
    fastalloc_lanes_ = stage.record.thread.lanes;
    for (session = OWNER; session <= THIRD; session++) {
        struct fastalloc_pool *pool = &stage.pools[session];

        test_pool_bare_actor(&stage.test, session);
        pool->segment = *stage.segment;
        pool_set_session(pool, session);
        pool->face.lane = session;
        pool->face.lane_at = session * sizeof(struct fastalloc_lane_);
        lane_of(session)->gate = &stage.gate;
    }
}

static void play(const char *name, unsigned deaths, const struct weave_actor *actors,
                 unsigned count, void (*verify)(void *))
{
    struct weave weave = {
        .name = name,
        .stage = &stage,
        .actors = actors,
        .count = count,
        .deaths = deaths,
        .memory = stage.segment->sessions, /* to the words; nobody locks a depot */
        .record = &stage.record,
        .record_size = sizeof stage.record,
        .verify = verify,
    };

    weave.size = (uint64_t)((char *)&stage.segment->words[stage.played] - (char *)weave.memory);
    ck_assert_uint_gt(weave_play(&weave), 10);
    test_pool_discard(&stage.test);
}

#define ALL(actors) (actors), sizeof(actors) / sizeof(actors)[0]

/* ---------------------------------------------------------------- adopting */

enum { NOT_YET = 1000 };

static void adopt(void *argument, unsigned me)
{
    uint32_t session = me == 1 ? OTHER : THIRD;
    int error;

    (void)argument;
    stage.record.error[me] = NOT_YET;
    error = fastalloc_adopt_inline_(&stage.pools[session], stage.handle);
    WEAVE_REQUIRE(!error || error == FASTALLOC_E_STALE, "adopting says %d", error);
    stage.record.error[me] = (uint64_t)error;
}

static void sweep_owner(void *argument, unsigned me)
{
    struct sweep_result result;

    (void)argument;
    (void)me;
    sweep_session(stage.segment, OWNER, NULL, &result);
    stage.record.swept = result.slots;
}

static void sweep_third(void *argument, unsigned me)
{
    (void)argument;
    (void)me;
    sweep_session(stage.segment, THIRD, NULL, NULL);
}

/* One sweeper at a time. */
static bool third_is_dead(void *argument)
{
    (void)argument;
    return weave_is_dead(2) && weave_has_ended(0);
}

static void verify_adopted(void *argument)
{
    bool other = stage.record.error[1] == 0, third = stage.record.error[2] == 0;
    uint64_t word = stage.segment->words[0];
    uint32_t owner = slot_owner_of(word);

    (void)argument;
    WEAVE_REQUIRE(!stage.record.swept || (!other && !third), "it was swept, and adopted");
    if (owner == SLOT_RETURNED) {
        WEAVE_REQUIRE(bitmap_has(stage.segment, 0), "the slot is lost");
        WEAVE_REQUIRE((!other && !third) || weave_is_dead(2), "it was adopted, and swept");
        WEAVE_REQUIRE(!fastalloc_get_inline_(&stage.pools[OTHER], stage.handle),
                      "its handle is good still");
        return;
    }
    WEAVE_REQUIRE((owner == OTHER && other) || (owner == THIRD && third),
                  "session %u has it, and was not told", owner);
    WEAVE_REQUIRE(!weave_is_dead(2) || owner == OTHER, "it is the dead's");
    WEAVE_REQUIRE(word == slot_word_for(stage.segment, stage.handle, owner), "another generation");
}

static void begin_adopting(void)
{
    struct actor owner;

    begin(1);
    stage.played = 1;
    owner = test_pool_bare_actor(&stage.test, OWNER);
    test_pool_alloc(&stage.test, &owner);
    stage.handle = test_pool_handle(&stage.test, 0);
}

START_TEST(an_adopted_slot_is_one_adopters_or_the_sweeps)
{
    const struct weave_actor actors[] = {{.run = sweep_owner}, {.run = adopt}, {.run = adopt}};
    const struct weave_actor mortals[] = {{.run = sweep_owner},
                                          {.run = adopt},
                                          {.run = adopt, .mortal = true},
                                          {.run = sweep_third, .ready = third_is_dead}};

    begin_adopting();
    stage.record.error[2] = NOT_YET;
    play("one adopts what is being swept", 0, actors, 2, verify_adopted);
    begin_adopting();
    play("two adopt what is being swept", 0, ALL(actors), verify_adopted);
    begin_adopting();
    play("two adopt what is being swept, one dies", 1, ALL(mortals), verify_adopted);
}
END_TEST

/* ------------------------------------------- magazines that change places */

/* All slots are the other's; then the owner's cache has `previous` idle ones in its previous
 * magazine, none in the other (or as many as it holds, if `full`), and `more` in hand. */
static void begin_turning(unsigned previous, bool full, unsigned more)
{
    struct segment *segment;
    struct fastalloc_lane_ *lane = lane_of(OWNER);
    uint64_t word, displaced;
    struct actor bare;
    uint32_t magazine;
    unsigned i, loaded;

    begin(SLOTS);
    segment = stage.segment;
    loaded = full ? segment->geometry.magazine_size : 0;
    bare = test_pool_bare_actor(&stage.test, OTHER);
    test_pool_drain(&stage.test, &bare);
    stage.owner = test_pool_actor(&stage.test, OWNER);
    stage.other = test_pool_actor(&stage.test, OTHER);
    for (i = 0; i < previous + loaded + more; i++) {
        TEST_REQUIRE(slot_own(segment, test_pool_handle(&stage.test, i), OWNER, &word) == 0,
                     "slot %u", i);
        if (i < previous + loaded)
            supply_free(segment, &stage.owner, i, segment->words[i]);
        if (i + 1 == previous) {
            TEST_REQUIRE(magazine_fresh(segment, OWNER, &magazine, &word), "no magazine");
            cache_rotate(segment, &stage.owner, magazine, word, &displaced);
        }
    }
    test_pool_forget(&stage.test);
    stage.played = previous + loaded + more;
    lane->gate = &cache_record(segment, &stage.owner)->gate;
    lane->loaded = magazine_at(segment, cache_loaded(segment, &stage.owner));
    stage.record.thread.caches[OWNER] = stage.owner.cache + 1;
    stage.handle = test_pool_handle(&stage.test, previous + loaded);
}

static void keep(uint64_t index)
{
    stage.record.got[stage.record.count++] = index;
}

/* An allocation, as far as it goes without the slow way. */
static void turn_and_alloc(void)
{
    fastalloc_pool *pool = &stage.pools[OWNER];
    fastalloc_handle handle;

    if (thread_turn(pool, CACHE_ENTRIES) == THREAD_SERVED &&
        fastalloc_alloc_fast_(pool, &handle, NULL))
        keep(slot_index(stage.segment, handle));
    else
        cache_leave(stage.segment, &stage.owner);
}

/* The same by the slow way, with nothing but the cache; the lane is up to date at its end. */
static void enter_and_alloc(void)
{
    struct fastalloc_lane_ *lane = lane_of(OWNER);
    uint32_t loaded;
    uint64_t index;

    cache_enter(stage.segment, &stage.owner);
    loaded = cache_loaded(stage.segment, &stage.owner);
    if (loaded != CACHE_NONE && magazine_pop(stage.segment, loaded, OWNER, &index))
        keep(index);
    cache_leave(stage.segment, &stage.owner);
    lane->gate = loaded == CACHE_NONE ? NULL : lane->gate;
}

static void alloc_two(void *argument, unsigned me)
{
    (void)argument;
    (void)me;
    turn_and_alloc();
    turn_and_alloc();
}

static void alloc_by_both_ways(void *argument, unsigned me)
{
    (void)argument;
    (void)me;
    turn_and_alloc();
    enter_and_alloc();
    if (lane_of(OWNER)->gate)
        turn_and_alloc();
}

/* A free, likewise: what is chosen goes into the magazine that was the previous one. */
static void turn_and_free(void *argument, unsigned me)
{
    fastalloc_pool *pool = &stage.pools[OWNER];

    (void)argument;
    (void)me;
    if (thread_turn(pool, CACHE_ROOM) != THREAD_SERVED)
        cache_leave(stage.segment, &stage.owner);
    else if (fastalloc_free_inline_(pool, stage.handle))
        weave_fail("freeing", "it is refused");
}

/* Both halves of a theft. */
static void steal(void *argument, unsigned me)
{
    const struct actor thief = {.session = THIRD, .cache = CACHE_NONE};
    struct revocation round = {.notes = stage.record.notes, .works = stage.record.works};
    enum revoke_result result;
    uint32_t magazine;
    uint64_t word, index;

    (void)argument;
    (void)me;
    /* A sweep before his time took the slots to a depot, where he does not look here. */
    stage.record.late = weave_saw(weave_is_dead(0));
    TEST_REQUIRE(revoke_begin(stage.segment, &thief, &round), "no barrier");
    result = revoke_take(stage.segment, &thief, &round, &magazine, &word);
    WEAVE_REQUIRE(result != REVOKE_NONE || stage.record.late,
                  "EXHAUSTED, though slots were idle all the while");
    if (result == REVOKE_TOOK && magazine_pop(stage.segment, magazine, THIRD, &index))
        keep(index);
}

/* Each slot is in one place: in one magazine if idle, returned and flagged, or somebody's. */
static void verify_places(void *argument)
{
    const struct segment *segment = stage.segment;
    uint8_t entries[SLOTS] = {0};
    uint32_t magazine, i;
    uint64_t index, got;

    (void)argument;
    for (magazine = 0; magazine < segment->geometry.magazines; magazine++) {
        uint64_t word = segment->magazine_words[magazine];
        uint32_t count = magazine_owner(word) >= MAGAZINE_DEPOT_BASE
                             ? magazine_n(word)
                             : magazine_count(segment, magazine);

        for (i = 1; word && i <= count; i++)
            entries[magazine_at(segment, magazine)[i]]++;
    }
    for (index = 0; index < SLOTS; index++) {
        uint32_t owner = slot_owner_of(segment->words[index]);

        WEAVE_REQUIRE(entries[index] == (owner == SLOT_IDLE),
                      "slot %llu, of owner %u, lies in %u magazines", (unsigned long long)index,
                      owner, entries[index]);
        WEAVE_REQUIRE(owner != SLOT_RETURNED || bitmap_has(segment, index), "slot %llu is lost",
                      (unsigned long long)index);
    }
    for (got = 0; got < stage.record.count; got++) {
        index = stage.record.got[got];
        WEAVE_REQUIRE(!entries[index], "slot %llu was given out", (unsigned long long)index);
        for (i = 0; i < got; i++)
            WEAVE_REQUIRE(stage.record.got[i] != index, "slot %llu was given out twice",
                          (unsigned long long)index);
    }
}

START_TEST(a_thief_takes_nothing_that_the_owner_takes_while_the_magazines_turn)
{
    const struct weave_actor two[] = {{.run = alloc_two}, {.run = steal}};
    const struct weave_actor both[] = {{.run = alloc_by_both_ways}, {.run = steal}};
    const struct weave_actor freeing[] = {{.run = turn_and_free}, {.run = steal}};

    begin_turning(4, false, 0);
    play("magazines turn for two allocs, a thief", 0, ALL(two), verify_places);
    begin_turning(5, false, 0);
    play("they turn, the owner comes by the slow way, a thief", 0, ALL(both), verify_places);
    begin_turning(3, true, 1);
    play("magazines turn for a free, a thief", 0, ALL(freeing), verify_places);
}
END_TEST

/* --------------------------------------------------------- a death in between */

static bool owner_is_dead(void *argument)
{
    (void)argument;
    return weave_is_dead(0);
}

/* The dead may have let others know the handle. */
static void adopt_and_free(void *argument, unsigned me)
{
    uint64_t index = slot_index(stage.segment, stage.handle);

    (void)argument;
    (void)me;
    if (slot_owner_of(stage.segment->words[index]) != OWNER ||
        fastalloc_adopt_inline_(&stage.pools[OTHER], stage.handle))
        return;
    supply_free(stage.segment, &stage.other, index,
                slot_word_for(stage.segment, stage.handle, OTHER));
}

static void verify_swept(void *argument)
{
    if (weave_is_dead(0))
        verify_places(argument);
}

/* The other's cache is there, has an entry, and is not marked: it needs no depot. */
static void warm_up_other(void)
{
    uint64_t index = stage.played++;

    supply_free(stage.segment, &stage.other, index, stage.segment->words[index]);
}

START_TEST(a_death_while_the_magazines_turn_loses_and_doubles_nothing)
{
    const struct weave_actor freeing[] = {{.run = turn_and_free, .mortal = true},
                                          {.run = sweep_owner, .ready = owner_is_dead},
                                          {.run = adopt_and_free, .ready = owner_is_dead}};
    const struct weave_actor allocating[] = {{.run = alloc_two, .mortal = true},
                                             {.run = sweep_owner, .ready = owner_is_dead},
                                             {.run = steal, .ready = owner_is_dead}};

    begin_turning(2, true, 1);
    warm_up_other();
    play("one dies in a free, it is adopted, freed and swept", 1, ALL(freeing), verify_swept);
    if (!getenv("FASTALLOC_TEST_LONG"))
        return;
    begin_turning(3, false, 0);
    play("one dies in an alloc, is swept and robbed", 1, ALL(allocating), verify_swept);
}
END_TEST

/* ---------------------------------------------------- the last generation */

static void free_alloc_free(void *argument, unsigned me)
{
    fastalloc_pool *pool = &stage.pools[OWNER];
    fastalloc_handle again = FASTALLOC_NONE;

    (void)argument;
    (void)me;
    WEAVE_REQUIRE(fastalloc_free_inline_(pool, stage.handle) == 0, "its free is refused");
    WEAVE_REQUIRE(fastalloc_alloc_inline_(pool, &again, NULL) == 0, "there is none");
    WEAVE_REQUIRE(slot_index(stage.segment, again) == slot_index(stage.segment, stage.handle) &&
                      slot_generation_in(stage.segment, again) == 1,
                  "handle 0x%llx is not of the first generation", (unsigned long long)again);
    WEAVE_REQUIRE(fastalloc_free_inline_(pool, again) == 0, "its second free is refused");
}

/* The other keeps the handle from before, which was his. */
static void free_stale(void *argument, unsigned me)
{
    fastalloc_handle before =
        slot_ended_handle(stage.segment, slot_word_for(stage.segment, stage.handle, OWNER),
                          slot_index(stage.segment, stage.handle));
    int error = fastalloc_free_inline_(&stage.pools[OTHER], before);

    (void)argument;
    (void)me;
    WEAVE_REQUIRE(error, "a stale handle is freed");
}

static void verify_wrapped(void *argument)
{
    uint64_t word = stage.segment->words[slot_index(stage.segment, stage.handle)];

    verify_places(argument);
    WEAVE_REQUIRE(word == slot_word(stage.segment, 2, SLOT_IDLE), "the word is 0x%llx",
                  (unsigned long long)word);
}

START_TEST(a_stale_handle_is_refused_while_generations_begin_anew)
{
    const struct weave_actor actors[] = {{.run = free_alloc_free}, {.run = free_stale}};
    struct fastalloc_lane_ *lane = lane_of(OTHER);
    uint64_t last;

    begin_turning(2, false, 1);
    warm_up_other();
    lane->gate = &cache_record(stage.segment, &stage.other)->gate;
    lane->loaded = magazine_at(stage.segment, cache_loaded(stage.segment, &stage.other));
    last = slot_generation_last(stage.segment->geometry.index_bits);
    stage.segment->words[2] = slot_word(stage.segment, last, OWNER);
    stage.handle = test_pool_handle(&stage.test, 2);
    play("one frees the last generation, another a stale handle", 0, ALL(actors), verify_wrapped);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        an_adopted_slot_is_one_adopters_or_the_sweeps,
        a_thief_takes_nothing_that_the_owner_takes_while_the_magazines_turn,
        a_death_while_the_magazines_turn_loses_and_doubles_nothing,
        a_stale_handle_is_refused_while_generations_begin_anew,
    };

    if (!WEAVE_CAN) {
        fputs("a sanitizer does not know of stacks that are put back\n", stderr);
        return 77;
    }
    return test_run(
        TEST_SUITE("inline_interleavings", tests, getenv("FASTALLOC_TEST_LONG") ? 600 : 60));
}
