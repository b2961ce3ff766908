/* SPDX-License-Identifier: MIT
 *
 * Frees that decide: several who free one slot, and others who adopt, leave or share it, in every
 * order of their accesses to memory, with deaths between any two: weave.h.
 *
 * One frees it, and the others are told; or it is shared, and nobody does.
 */
#include "tests/support/pool.h"
#include "weave.h"

#include "shm/bitmap.h"
#include "shm/notes.h"
#include "shm/session.h"
#include "shm/share.h"
#include "shm/slot.h"
#include "shm/spec.h"
#include "shm/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the actors: the first two are threads of one. */
static const uint32_t session_of[WEAVE_ACTORS_MAX] = {1, 1, 2, 3, 4, 5};

struct record {
    uint64_t freed[WEAVE_ACTORS_MAX]; /* the free that says so has succeeded */
    uint64_t shared;
};

struct stage {
    struct test_pool pool;
    struct segment *segment;
    fastalloc_handle handle;
    struct record record;
};

/* ---------------------------------------------------------------- what they do */

static void free_it(void *argument, unsigned me)
{
    struct stage *stage = argument;
    struct actor actor = {.session = session_of[me], .cache = CACHE_NONE};
    uint64_t word;
    int error = slot_end(stage->segment, stage->handle, session_of[me], &word);

    WEAVE_REQUIRE(!error || error == FASTALLOC_E_STALE || error == FASTALLOC_E_DOUBLE_FREE ||
                      error == FASTALLOC_E_SHARING,
                  "freeing says %d", error);
    if (error)
        return;
    WEAVE_REQUIRE(word == stage->segment->words[0] && slot_owner_of(word) == session_of[me],
                  "%c is to free what is not its", 'a' + me);
    stage->record.freed[me] = 1;
    supply_free(stage->segment, &actor, 0, word);
}

static void adopt(void *argument, unsigned me)
{
    struct stage *stage = argument;
    uint64_t word;
    int error = slot_own(stage->segment, stage->handle, session_of[me], &word);

    WEAVE_REQUIRE(!error || error == FASTALLOC_E_STALE || error == FASTALLOC_E_DOUBLE_FREE,
                  "adopting says %d", error);
}

static void leave(void *argument, unsigned me)
{
    struct stage *stage = argument;
    int error = notes_leave(stage->segment, stage->handle, session_of[me], 7, NOTES_NEVER);

    WEAVE_REQUIRE(!error || error == FASTALLOC_E_STALE, "leaving says %d", error);
}

static void give(void *argument, unsigned me)
{
    struct stage *stage = argument;
    int error = slot_give(stage->segment, stage->handle, 1, session_of[me]);

    WEAVE_REQUIRE(!error || error == FASTALLOC_E_STALE || error == FASTALLOC_E_DOUBLE_FREE,
                  "giving says %d", error);
}

static void share_and_let_go(void *argument, unsigned me)
{
    struct stage *stage = argument;
    struct actor actor = {.session = session_of[me], .cache = CACHE_NONE};
    uint64_t word;
    int error = share_make(stage->segment, stage->handle, session_of[me], NULL);

    WEAVE_REQUIRE(!error || error == FASTALLOC_E_STALE, "sharing says %d", error);
    if (error)
        return;
    stage->record.shared = 1;
    if (share_drop(stage->segment, 0, session_of[me], &word))
        supply_free(stage->segment, &actor, 0, word);
}

static bool third_is_dead(void *stage)
{
    (void)stage;
    return weave_is_dead(2);
}

static void sweep_third(void *argument, unsigned me)
{
    struct stage *stage = argument;

    (void)me;
    sweep_session(stage->segment, session_of[2], NULL, NULL);
}

/* -------------------------------------------------------------------- verifying */

static unsigned successes(const struct stage *stage)
{
    unsigned i, sum = stage->record.shared != 0;

    for (i = 0; i < WEAVE_ACTORS_MAX; i++)
        sum += stage->record.freed[i] != 0;
    return sum;
}

static void require_returned(const struct stage *stage)
{
    uint64_t word = stage->segment->words[0];

    WEAVE_REQUIRE(slot_owner_of(word) == SLOT_RETURNED && bitmap_has(stage->segment, 0),
                  "the slot is lost: owner %u", slot_owner_of(word));
    WEAVE_REQUIRE(share_is_empty(stage->segment, 0), "a bit is left");
}

static void verify_one(void *argument)
{
    WEAVE_REQUIRE(successes(argument) == 1, "%u freed or shared it", successes(argument));
    require_returned(argument);
}

/* The third may have died with it, having freed it or not. */
static void verify_at_most_one(void *argument)
{
    WEAVE_REQUIRE(successes(argument) <= 1, "%u freed or shared it", successes(argument));
    require_returned(argument);
}

static void play(const char *name, unsigned deaths, const struct weave_actor *actors,
                 unsigned count)
{
    struct stage stage = {.segment = NULL};
    struct weave weave = {
        .name = name,
        .stage = &stage,
        .actors = actors,
        .count = count,
        .deaths = deaths,
        .record = &stage.record,
        .record_size = sizeof stage.record,
        .verify = deaths ? verify_at_most_one : verify_one,
    };
    struct actor owner;
    unsigned i;

    test_pool_make(&stage.pool,
                   &(struct test_shape){.capacity = 1, .flags = SPEC_STRICT | SPEC_SHARING});
    stage.segment = &stage.pool.segment;
    owner = test_pool_bare_actor(&stage.pool, session_of[0]);
    test_pool_alloc(&stage.pool, &owner);
    stage.handle = test_pool_handle(&stage.pool, 0);
    for (i = 0; i < count; i++)
        test_pool_bare_actor(&stage.pool, session_of[i]);
    weave.memory = stage.segment->bitmap; /* and what follows: words, holders */
    weave.size = (uint64_t)((char *)&stage.segment->holders[1] - (char *)weave.memory);
    ck_assert_uint_gt(weave_play(&weave), 10);
    test_pool_discard(&stage.pool);
}

#define ALL(actors) (actors), sizeof(actors) / sizeof(actors)[0]

START_TEST(of_several_who_free_one_does)
{
    const struct weave_actor actors[] = {{.run = free_it}, {.run = free_it}, {.run = free_it}};

    play("two threads of one free", 0, actors, 2);
    play("two threads of one free, and another", 0, ALL(actors));
}
END_TEST

START_TEST(one_frees_whoever_else_takes_it)
{
    const struct weave_actor adopter[] = {{.run = free_it}, {.run = free_it}, {.run = adopt}};
    const struct weave_actor left[] = {{.run = free_it}, {.run = leave}, {.run = free_it}};
    const struct weave_actor given[] = {{.run = free_it}, {.run = free_it}, {.run = give}};

    play("two free, one adopts", 0, ALL(adopter));
    play("one leaves it, and two free", 0, ALL(left));
    play("two free, it is given away", 0, ALL(given));
}
END_TEST

START_TEST(it_is_freed_or_shared)
{
    const struct weave_actor actors[] = {
        {.run = free_it}, {.run = share_and_let_go}, {.run = free_it}};

    play("one shares it, one frees", 0, actors, 2);
    play("one shares it, two free", 0, ALL(actors));
}
END_TEST

START_TEST(a_death_in_a_free_leaves_the_slot_to_the_sweep)
{
    const struct weave_actor actors[] = {{.run = free_it},
                                         {.run = adopt},
                                         {.run = free_it, .mortal = true},
                                         {.run = sweep_third, .ready = third_is_dead}};

    play("one frees, one adopts, one dies freeing", 1, ALL(actors));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        of_several_who_free_one_does,
        one_frees_whoever_else_takes_it,
        it_is_freed_or_shared,
        a_death_in_a_free_leaves_the_slot_to_the_sweep,
    };

    if (!WEAVE_CAN) {
        fputs("a sanitizer does not know of stacks that are put back\n", stderr);
        return 77;
    }
    return test_run(TEST_SUITE("strict_interleavings", tests, 60));
}
