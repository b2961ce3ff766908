/* SPDX-License-Identifier: MIT
 *
 * share and notes: holders, joiners, adopters, leavers, the sweep and the expiry at one slot, in
 * every order of their accesses to memory, with deaths between any two: weave.h.
 *
 * Sharing: nobody's slot goes while he holds it; it goes once when nobody does; and no bit
 * stays behind.
 */
#include "tests/support/pool.h"
#include "weave.h"

#include "shm/bitmap.h"
#include "shm/notes.h"
#include "shm/session.h"
#include "shm/share.h"
#include "shm/slot.h"
#include "shm/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS 70u /* a row of holders has two words */

/* Sessions of the actors: in different words of the row, and in one. */
static const uint32_t session_of[WEAVE_ACTORS_MAX] = {1, 65, 2, 66, 3, 67};

struct record {
    uint64_t holding[WEAVE_ACTORS_MAX]; /* the generation each has a share of; 0: none */
    uint64_t sweeper;                   /* who has, or had, the sweeper's role, + 1 */
    uint64_t left_again;                /* notes: the second owns it, and leaves it */
};

struct stage {
    struct test_pool pool;
    struct segment *segment;
    fastalloc_handle handle;
    struct record record;
};

/* --------------------------------------------------------------------- stage */

/* One slot, the only one, of the first actor. */
static void make(struct stage *stage, uint32_t sessions, uint32_t flags)
{
    struct actor actor;

    memset(stage, 0, sizeof *stage);
    test_pool_make(&stage->pool,
                   &(struct test_shape){.capacity = 1, .sessions = sessions, .flags = flags});
    stage->segment = &stage->pool.segment;
    actor = test_pool_bare_actor(&stage->pool, session_of[0]);
    test_pool_alloc(&stage->pool, &actor);
    stage->handle = test_pool_handle(&stage->pool, 0);
}

static void end(struct stage *stage)
{
    test_pool_discard(&stage->pool);
}

/* ---------------------------------------------------------------- what they do */

static void free_slot(struct stage *stage, unsigned me, uint64_t word)
{
    struct actor actor = {.session = session_of[me], .cache = CACHE_NONE};

    supply_free(stage->segment, &actor, 0, word);
}

static void require_nobody_holds(const struct stage *stage, uint64_t generation)
{
    unsigned other;

    for (other = 0; other < WEAVE_ACTORS_MAX; other++)
        WEAVE_REQUIRE(stage->record.holding[other] != generation || weave_is_dead(other),
                      "the slot goes, and %c holds it", 'a' + other);
}

/* A holder has its bit set, and others may act while it has. */
static void let_go(void *argument, unsigned me)
{
    struct stage *stage = argument;
    uint64_t generation = stage->record.holding[me], word;

    WEAVE_REQUIRE(share_has(stage->segment, 0, session_of[me]), "%c holds it without a bit",
                  'a' + me);
    word = stage->segment->words[0];

    WEAVE_REQUIRE(slot_generation_of(stage->segment, word) == generation,
                  "generation %llu, and %c holds %llu",
                  (unsigned long long)slot_generation_of(stage->segment, word), 'a' + me,
                  (unsigned long long)generation);
    stage->record.holding[me] = 0;
    if (!share_drop(stage->segment, 0, session_of[me], &word))
        return;
    WEAVE_REQUIRE(word == stage->segment->words[0] && slot_owner_of(word) == session_of[me],
                  "%c is to free what is not its", 'a' + me);
    require_nobody_holds(stage, slot_generation_of(stage->segment, word) - 1);
    free_slot(stage, me, word);
}

/* The last one's duty, of whichever life of the slot. */
static void free_fallen(struct stage *stage, unsigned me, uint64_t word)
{
    WEAVE_REQUIRE(word == stage->segment->words[0] && slot_owner_of(word) == session_of[me],
                  "what fell to %c is not its", 'a' + me);
    require_nobody_holds(stage, slot_generation_of(stage->segment, word) - 1);
    free_slot(stage, me, word);
}

static void join(void *argument, unsigned me)
{
    struct stage *stage = argument;
    uint64_t fallen = 0;
    int error = share_join(stage->segment, stage->handle, session_of[me], &fallen);

    if (fallen)
        free_fallen(stage, me, fallen);
    WEAVE_REQUIRE(!error || error == FASTALLOC_E_STALE, "joining says %d", error);
    if (error)
        return;
    stage->record.holding[me] = stage->handle >> stage->segment->geometry.index_bits;
    let_go(stage, me);
}

/* The slot is not shared yet, and perhaps another's. */
static void join_perhaps(void *argument, unsigned me)
{
    struct stage *stage = argument;
    uint64_t fallen = 0;
    int error = share_join(stage->segment, stage->handle, session_of[me], &fallen);

    if (fallen)
        free_fallen(stage, me, fallen);
    WEAVE_REQUIRE(!error || error == FASTALLOC_E_STALE || error == FASTALLOC_E_SHARING,
                  "joining says %d", error);
    if (error)
        return;
    stage->record.holding[me] = stage->handle >> stage->segment->geometry.index_bits;
    let_go(stage, me);
}

static void share_and_let_go(void *argument, unsigned me)
{
    struct stage *stage = argument;
    int error = share_make(stage->segment, stage->handle, session_of[me], NULL);

    WEAVE_REQUIRE(!error || error == FASTALLOC_E_STALE, "sharing says %d", error);
    if (error)
        return;
    stage->record.holding[me] = stage->handle >> stage->segment->geometry.index_bits;
    let_go(stage, me);
}

/* The slot's next life. */
static void alloc_share_and_let_go(void *argument, unsigned me)
{
    struct stage *stage = argument;
    struct segment *segment = stage->segment;

    if (bitmap_take(segment, session_of[me], 0) == BITMAP_NONE)
        return;
    WEAVE_REQUIRE(
        share_make(segment, slot_handle(segment, segment->words[0], 0), session_of[me], NULL) == 0,
        "%c cannot share its own", 'a' + me);
    stage->record.holding[me] = slot_generation_of(segment, segment->words[0]);
    let_go(stage, me);
}

static void adopt_in_vain(void *argument, unsigned me)
{
    struct stage *stage = argument;
    uint64_t word;
    int error = slot_own(stage->segment, stage->handle, session_of[me], &word);

    WEAVE_REQUIRE(error == FASTALLOC_E_SHARING || error == FASTALLOC_E_STALE ||
                      error == FASTALLOC_E_DOUBLE_FREE,
                  "adopting says %d", error);
}

static void leave_in_vain(void *argument, unsigned me)
{
    struct stage *stage = argument;
    int error = notes_leave(stage->segment, stage->handle, session_of[me - 1], 7, NOTES_NEVER);

    WEAVE_REQUIRE(error == FASTALLOC_E_SHARING || error == FASTALLOC_E_STALE, "leaving says %d",
                  error);
}

static void adopt_and_free(void *argument, unsigned me)
{
    struct stage *stage = argument;
    uint64_t word;

    if (slot_own(stage->segment, stage->handle, session_of[me], &word))
        return;
    WEAVE_REQUIRE(word == stage->segment->words[0], "what %c has adopted is not its", 'a' + me);
    free_slot(stage, me, word);
}

static bool role_is_free(const struct stage *stage)
{
    unsigned sweeper = (unsigned)stage->record.sweeper;

    return !sweeper || weave_has_ended(sweeper - 1) || weave_is_dead(sweeper - 1);
}

static void sweep(struct stage *stage, unsigned me, unsigned dead)
{
    stage->record.sweeper = me + 1;
    sweep_session(stage->segment, session_of[dead], NULL, NULL);
    WEAVE_REQUIRE(!stage->segment->holders || !share_has(stage->segment, 0, session_of[dead]),
                  "a bit is left");
}

static bool first_is_dead(void *stage)
{
    return weave_is_dead(0) && role_is_free(stage);
}

static void sweep_first(void *stage, unsigned me)
{
    sweep(stage, me, 0);
}

static bool second_is_dead(void *stage)
{
    return weave_is_dead(1) && role_is_free(stage);
}

static void sweep_second(void *stage, unsigned me)
{
    sweep(stage, me, 1);
}

/* After a sweeper, the actor before it, who died at the first's sweep. */
static bool sweeper_of_first_is_dead(void *argument)
{
    const struct stage *stage = argument;

    return weave_is_dead(0) && stage->record.sweeper &&
           weave_is_dead((unsigned)stage->record.sweeper - 1);
}

/* The slot is free, and nothing is left of anybody. */
static void verify_free(void *argument)
{
    const struct stage *stage = argument;
    uint64_t word = stage->segment->words[0];

    WEAVE_REQUIRE(slot_owner_of(word) == SLOT_RETURNED,
                  "the slot is lost: generation %llu, "
                  "owner %u",
                  (unsigned long long)slot_generation_of(stage->segment, word),
                  slot_owner_of(word));
    WEAVE_REQUIRE(bitmap_has(stage->segment, 0), "the slot is returned, and has no bit");
    WEAVE_REQUIRE(share_is_empty(stage->segment, 0), "a bit is left");
}

/* --------------------------------------------------------------------- sharing */

/* Millions of states are for `make check-crash`. */
static bool at_length(void)
{
    return getenv("FASTALLOC_TEST_LONG") != NULL;
}

#define ALL(actors) (actors), sizeof(actors) / sizeof(actors)[0]

/* The first `holders` actors hold the slot at the beginning; 0: it is the first's own. */
static void play_sharing(const char *name, unsigned holders, unsigned deaths,
                         const struct weave_actor *actors, unsigned count)
{
    struct stage stage;
    struct weave weave = {
        .name = name,
        .stage = &stage,
        .actors = actors,
        .count = count,
        .deaths = deaths,
        .record = &stage.record,
        .record_size = sizeof stage.record,
        .verify = verify_free,
    };
    unsigned i;

    make(&stage, SESSIONS, SPEC_SHARING);
    for (i = 0; i < count; i++)
        test_pool_bare_actor(&stage.pool, session_of[i]);
    for (i = 0; i < holders; i++)
        ck_assert_int_eq(i ? share_join(stage.segment, stage.handle, session_of[i], NULL)
                           : share_make(stage.segment, stage.handle, session_of[i], NULL),
                         0);
    weave.memory = stage.segment->bitmap; /* and what follows: words, holders */
    weave.size = (uint64_t)((char *)&stage.segment->holders[2] - (char *)weave.memory);
    ck_assert_uint_gt(weave_play(&weave), 10);
    end(&stage);
}

/* A holder from the beginning. */
static void hold_and_let_go(void *argument, unsigned me)
{
    struct stage *stage = argument;

    stage->record.holding[me] = stage->handle >> stage->segment->geometry.index_bits;
    let_go(stage, me);
}

START_TEST(of_holders_who_let_go_at_once_one_frees_the_slot)
{
    const struct weave_actor actors[] = {
        {.run = hold_and_let_go}, {.run = hold_and_let_go}, {.run = hold_and_let_go}};

    play_sharing("two let go", 2, 0, actors, 2);
    play_sharing("three let go", 3, 0, actors, 3);
}
END_TEST

START_TEST(who_joins_while_the_last_lets_go_has_it_or_is_told)
{
    const struct weave_actor one[] = {{.run = hold_and_let_go}, {.run = join}, {.run = join}};
    const struct weave_actor two[] = {
        {.run = hold_and_let_go}, {.run = hold_and_let_go}, {.run = join}};

    play_sharing("the last lets go, one joins", 1, 0, one, 2);
    if (at_length())
        play_sharing("the last lets go, two join", 1, 0, ALL(one));
    play_sharing("two let go, one joins", 2, 0, ALL(two));
}
END_TEST

START_TEST(a_joiner_who_is_late_does_no_harm_to_the_next_life)
{
    const struct weave_actor actors[] = {
        {.run = hold_and_let_go}, {.run = join}, {.run = alloc_share_and_let_go}};

    play_sharing("one joins late, the slot lives again", 1, 0, ALL(actors));
}
END_TEST

START_TEST(nobody_takes_a_slot_that_is_being_let_go_of)
{
    const struct weave_actor adopter[] = {
        {.run = hold_and_let_go}, {.run = adopt_in_vain}, {.run = join}};
    const struct weave_actor leaver[] = {
        {.run = hold_and_let_go}, {.run = leave_in_vain}, {.run = join}};

    play_sharing("the last lets go, one adopts, one joins", 1, 0, ALL(adopter));
    play_sharing("the last lets go, one leaves, one joins", 1, 0, ALL(leaver));
}
END_TEST

START_TEST(sharing_and_adopting_at_once_one_wins)
{
    const struct weave_actor actors[] = {
        {.run = share_and_let_go}, {.run = adopt_and_free}, {.run = join_perhaps}};

    play_sharing("the owner shares, one adopts, one joins", 0, 0, ALL(actors));
}
END_TEST

START_TEST(a_death_while_letting_go_leaves_the_slot_to_the_sweep)
{
    const struct weave_actor alone[] = {{.run = hold_and_let_go, .mortal = true},
                                        {.run = sweep_first, .ready = first_is_dead},
                                        {.run = join}};
    const struct weave_actor both[] = {{.run = hold_and_let_go, .mortal = true},
                                       {.run = hold_and_let_go, .mortal = true},
                                       {.run = sweep_first, .ready = first_is_dead},
                                       {.run = sweep_second, .ready = second_is_dead}};

    play_sharing("the last dies letting go, one joins", 1, 1, ALL(alone));
    play_sharing("two die letting go", 2, 2, ALL(both));
}
END_TEST

START_TEST(a_death_while_joining_leaves_no_bit)
{
    const struct weave_actor actors[] = {{.run = join, .mortal = true},
                                         {.run = hold_and_let_go},
                                         {.run = sweep_first, .ready = first_is_dead}};
    const struct weave_actor later[] = {{.run = join, .mortal = true},
                                        {.run = hold_and_let_go},
                                        {.run = sweep_first, .ready = first_is_dead},
                                        {.run = alloc_share_and_let_go}};

    play_sharing("one dies joining, the last lets go", 2, 1, ALL(actors));
    play_sharing("one dies joining, the slot lives again", 2, 1, ALL(later));
}
END_TEST

START_TEST(a_death_while_sharing_leaves_no_bit)
{
    const struct weave_actor actors[] = {{.run = share_and_let_go, .mortal = true},
                                         {.run = sweep_first, .ready = first_is_dead},
                                         {.run = join_perhaps},
                                         {.run = adopt_and_free}};

    play_sharing("the owner dies sharing, one joins", 0, 1, actors, 3);
    if (at_length())
        play_sharing("the owner dies sharing, one joins, one adopts", 0, 1, ALL(actors));
}
END_TEST

START_TEST(a_sweeper_who_dies_leaves_it_to_the_next)
{
    const struct weave_actor actors[] = {
        {.run = hold_and_let_go, .mortal = true},
        {.run = sweep_first, .ready = first_is_dead, .mortal = true},
        {.run = sweep_first, .ready = sweeper_of_first_is_dead},
        {.run = join}};

    play_sharing("the last dies letting go, its sweeper too", 1, 2, actors, 3);
    if (at_length())
        play_sharing("the last dies letting go, its sweeper too, one joins", 1, 2, ALL(actors));
}
END_TEST

/* ----------------------------------------------------------------------- notes */

enum { SOON = 5, LATE = 50, NOW = 5 };

static void leave_soon(void *argument, unsigned me)
{
    struct stage *stage = argument;

    notes_leave(stage->segment, stage->handle, session_of[me], 70 + me, SOON);
}

static void adopt_and_leave_late(void *argument, unsigned me)
{
    struct stage *stage = argument;
    uint64_t word;

    if (slot_own(stage->segment, stage->handle, session_of[me], &word))
        return;
    stage->record.left_again = true;
    WEAVE_REQUIRE(notes_leave(stage->segment, stage->handle, session_of[me], 70 + me, LATE) == 0,
                  "%c cannot leave its own", 'a' + me);
}

static void expire(void *argument, unsigned me)
{
    struct stage *stage = argument;

    stage->record.sweeper = me + 1;
    notes_expire(stage->segment, NOW, false);
}

static bool may_expire(void *argument)
{
    return role_is_free(argument);
}

static bool expirer_is_dead(void *argument)
{
    const struct stage *stage = argument;

    return stage->record.sweeper && weave_is_dead((unsigned)stage->record.sweeper - 1);
}

/* What is left has its own note, and somebody will look to it; nothing went before its time. */
static void verify_notes(void *argument)
{
    struct stage *stage = argument;
    uint64_t word = stage->segment->words[0], note = stage->segment->notes[0];
    uint32_t next = notes_next(stage->segment), owner = slot_owner_of(word);

    if (stage->record.left_again) {
        WEAVE_REQUIRE(owner == SLOT_ANYONE, "left until later, and gone: owner %u", owner);
        WEAVE_REQUIRE(notes_time_of(note) == LATE, "left until %d, and noted %u", LATE,
                      notes_time_of(note));
        WEAVE_REQUIRE(notes_pid_of(note) == 71, "left by 71, and noted %u", notes_pid_of(note));
    }
    if (owner == SLOT_ANYONE)
        WEAVE_REQUIRE(next != NOTES_NEVER && next <= notes_time_of(note),
                      "time %u, and nobody looks to it: next is %u", notes_time_of(note), next);
    else
        WEAVE_REQUIRE(owner == SLOT_RETURNED && bitmap_has(stage->segment, 0),
                      "the slot is lost: owner %u", owner);
}

static void play_notes(const char *name, unsigned deaths, const struct weave_actor *actors,
                       unsigned count)
{
    struct stage stage;
    struct weave weave = {
        .name = name,
        .stage = &stage,
        .actors = actors,
        .count = count,
        .deaths = deaths,
        .record = &stage.record,
        .record_size = sizeof stage.record,
        .verify = verify_notes,
    };
    unsigned i;

    make(&stage, SESSIONS, SPEC_NOTES);
    for (i = 0; i < count; i++)
        test_pool_bare_actor(&stage.pool, session_of[i]);
    stage.segment->header->next_deadline = 1;             /* so that there is a scan */
    weave.memory = &stage.segment->header->next_deadline; /* and what follows, up to the notes */
    weave.size = (uint64_t)((char *)&stage.segment->notes[1] - (char *)weave.memory);
    ck_assert_uint_gt(weave_play(&weave), 10);
    end(&stage);
}

START_TEST(a_slot_left_again_meanwhile_keeps_its_own_time)
{
    const struct weave_actor actors[] = {
        {.run = leave_soon}, {.run = adopt_and_leave_late}, {.run = expire, .ready = may_expire}};

    play_notes("one leaves, one adopts and leaves, it expires", 0, ALL(actors));
}
END_TEST

START_TEST(a_leaver_who_dies_leaves_it_to_the_sweep)
{
    const struct weave_actor actors[] = {{.run = leave_soon, .mortal = true},
                                         {.run = adopt_and_leave_late},
                                         {.run = expire, .ready = may_expire},
                                         {.run = sweep_first, .ready = first_is_dead}};

    play_notes("one dies leaving, one adopts and leaves, it expires", 1, ALL(actors));
}
END_TEST

START_TEST(an_expiry_broken_off_is_made_up_for)
{
    const struct weave_actor few[] = {{.run = leave_soon},
                                      {.run = expire, .ready = may_expire, .mortal = true},
                                      {.run = expire, .ready = expirer_is_dead}};
    const struct weave_actor all[] = {{.run = leave_soon},
                                      {.run = adopt_and_leave_late},
                                      {.run = expire, .ready = may_expire, .mortal = true},
                                      {.run = expire, .ready = expirer_is_dead}};

    play_notes("one leaves, an expiry dies", 1, ALL(few));
    if (at_length())
        play_notes("one leaves, one adopts and leaves, an expiry dies", 1, ALL(all));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        of_holders_who_let_go_at_once_one_frees_the_slot,
        who_joins_while_the_last_lets_go_has_it_or_is_told,
        a_joiner_who_is_late_does_no_harm_to_the_next_life,
        nobody_takes_a_slot_that_is_being_let_go_of,
        sharing_and_adopting_at_once_one_wins,
        a_death_while_letting_go_leaves_the_slot_to_the_sweep,
        a_death_while_joining_leaves_no_bit,
        a_death_while_sharing_leaves_no_bit,
        a_sweeper_who_dies_leaves_it_to_the_next,
        a_slot_left_again_meanwhile_keeps_its_own_time,
        a_leaver_who_dies_leaves_it_to_the_sweep,
        an_expiry_broken_off_is_made_up_for,
    };

    if (!WEAVE_CAN) {
        fputs("a sanitizer does not know of stacks that are put back\n", stderr);
        return 77;
    }
    return test_run(TEST_SUITE("share_interleavings", tests, at_length() ? 600 : 60));
}
