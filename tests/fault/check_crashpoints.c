/* SPDX-License-Identifier: MIT
 *
 * crashpoints: every operation on a pool, killed between any two of its
 * instructions.
 *
 * For each scene: a pool is brought into a state and kept as a copy.  A child does
 * the operation, single-stepped, and is killed at step 1, 2, 3, ... of it; before each
 * the pool is put back.  Then the parent, as the daemon would, sweeps the child's
 * session, and the pool must be whole: the integrity check is clean, and all
 * slots that no live session owns can be allocated, each once.
 *
 * Each scene is played twice: with the sweep at once, and with the living
 * allocating and freeing (and the scene's own interlude) between death and sweep.
 *
 * A step costs some ten microseconds, and the way to each point is made anew.  So
 * long operations are killed at the steps that changed the segment, as far as
 * CHANGES_STEPS_MAX goes, and at others (where the kernel's idea of a lock may
 * change) by chance.  With FASTALLOC_TEST_LONG set the limits are far away (some
 * minutes).
 */
#include "stepper.h"
#include "tests/support/lane.h"

#include "shm/bitmap.h"
#include "shm/depot.h"
#include "shm/magazine.h"
#include "shm/revoke.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "shm/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES_STEPS_MAX 80000u
#define OTHERS_STEPS_MAX 20000u
#define LONG_STEPS_MAX 600000u
#define SLOTS 300u

/* The one whose instructions are counted, one that lives on, one dead before. */
enum { DOOMED = 1, LIVING = 2, DEAD = 3 };

struct stage {
    struct test_pool pool;
    struct actor doomed, doomed_bare, living;
    struct fastalloc_pool lane; /* the doomed's fast path */
    fastalloc_handle handle;    /* of the slot that it is about */
    uint64_t word;
};

struct scene {
    const char *name;
    void (*prepare)(struct stage *);
    void (*act)(void *stage);
    void (*interlude)(struct stage *); /* between death and sweep; may be NULL */
    uint64_t capacity;                 /* 0: SLOTS */
};

/* -------------------------------------------------------------- preparing */

static uint64_t index_of(const struct stage *stage)
{
    return slot_index(&stage->pool.segment, stage->handle);
}

static void choose(struct stage *stage, uint64_t index)
{
    stage->handle = test_pool_handle(&stage->pool, index);
    stage->word = stage->pool.segment.words[index];
}

/* The doomed owns `count` slots; the last is the chosen one. */
static void own_some(struct stage *stage, const struct actor *actor, unsigned count)
{
    uint64_t index = 0;

    while (count--)
        index = test_pool_alloc(&stage->pool, actor);
    choose(stage, index);
}

/* Every slot was used, and is idle in the depots. */
static void stock_depots(struct stage *stage)
{
    test_pool_drain(&stage->pool, &stage->living);
    test_pool_refill(&stage->pool, &stage->living);
    cache_flush(&stage->pool.segment, &stage->living);
}

/* Every slot was used, and is returned. */
static void return_all(struct stage *stage)
{
    struct actor bare = test_pool_bare_actor(&stage->pool, LIVING);

    test_pool_drain(&stage->pool, &stage->living);
    test_pool_refill(&stage->pool, &bare);
}

static void prepare_loaded(struct stage *stage)
{
    stock_depots(stage);
    own_some(stage, &stage->doomed, 3);
}

static void prepare_previous(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;

    /* Empties what is loaded, and has a full one in previous. */
    stock_depots(stage);
    own_some(stage, &stage->doomed, 2 * segment->geometry.magazine_size + 1);
    test_pool_refill(&stage->pool, &stage->doomed);
    own_some(stage, &stage->doomed, 1);
    while (magazine_count(segment, cache_loaded(segment, &stage->doomed)))
        test_pool_alloc(&stage->pool, &stage->doomed);
    ck_assert_uint_ne(cache_previous(segment, &stage->doomed), CACHE_NONE);
    ck_assert_uint_gt(magazine_count(segment, cache_previous(segment, &stage->doomed)), 0);
}

static void prepare_nothing(struct stage *stage)
{
    (void)stage;
}

/* Both of the doomed's magazines are full, and it owns the chosen slot. */
static void prepare_full(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    uint32_t size = segment->geometry.magazine_size;

    stock_depots(stage);
    own_some(stage, &stage->doomed, 4 * size);
    while (magazine_count(segment, cache_loaded(segment, &stage->doomed)) < size ||
           cache_previous(segment, &stage->doomed) == CACHE_NONE ||
           magazine_count(segment, cache_previous(segment, &stage->doomed)) < size) {
        test_pool_free(&stage->pool, &stage->doomed, index_of(stage));
        for (uint64_t i = 0; i < SLOTS; i++)
            if (stage->pool.held[i])
                choose(stage, i);
    }
    ck_assert_uint_eq(slot_owner_of(stage->word), DOOMED);
}

static void prepare_idle_elsewhere(struct stage *stage)
{
    uint64_t left;

    /* All slots but a few are owned; those lie in the living's quiet cache. */
    test_pool_drain(&stage->pool, &stage->living);
    for (left = 0; left < 9; left++)
        test_pool_free(&stage->pool, &stage->living, left);
}

static void prepare_living_owns(struct stage *stage)
{
    stock_depots(stage);
    own_some(stage, &stage->doomed, 3);
    own_some(stage, &stage->living, 3);
}

static void prepare_doomed_owns(struct stage *stage)
{
    prepare_loaded(stage);
}

/* The doomed has a loaded and a previous, both partial, and so has the depot. */
static void prepare_partials(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    struct actor other = test_pool_actor(&stage->pool, LIVING);

    stock_depots(stage);
    other.depot = stage->doomed.depot;
    own_some(stage, &other, 5);
    cache_release(segment, &other);
    prepare_previous(stage);
    own_some(stage, &stage->doomed, 1);
    test_pool_free(&stage->pool, &stage->doomed, index_of(stage));
}

static void die_locked(struct stage *stage)
{
    stock_depots(stage);
    test_pool_release(test_pool_lock_all(&stage->pool));
}

static void prepare_dirty(struct stage *stage)
{
    uint32_t d;

    stock_depots(stage);
    for (d = 0; d < stage->pool.segment.geometry.depots; d++)
        stage->pool.segment.depots[d].dirty = 1;
}

/* A thief has marked the doomed, whose loaded one is empty and previous is not. */
static void prepare_marked(struct stage *stage)
{
    struct revocation round = {.notes = NULL};

    prepare_previous(stage);
    ck_assert(revoke_begin(&stage->pool.segment, &stage->living, &round));
    revoke_end(&round);
}

/* A session died in the middle of things: it owns slots and magazines. */
static void prepare_dead(struct stage *stage)
{
    struct actor dead = test_pool_actor(&stage->pool, DEAD);

    stock_depots(stage);
    own_some(stage, &dead, 20);
    stage->pool.segment.caches[dead.cache].gate.busy = 1;
}

/* A session died in a free and was swept: its magazine lies in the doomed's depot, with
 * fewer entries than the dead one's count says. */
static void prepare_swept(struct stage *stage)
{
    struct actor dead = test_pool_actor(&stage->pool, DEAD);
    uint32_t *words;
    uint64_t index;

    stock_depots(stage);
    test_pool_alloc(&stage->pool, &stage->living);
    own_some(stage, &dead, 5);
    words = magazine_at(&stage->pool.segment, cache_loaded(&stage->pool.segment, &dead));
    words[words[0] + 1] = (uint32_t)index_of(stage);
    words[0]++;
    stage->pool.segment.caches[dead.cache].gate.busy = 1;
    sweep_session(&stage->pool.segment, DEAD, NULL);
    /* What it took back is idle in the living's cache by now. */
    while ((index = bitmap_take(&stage->pool.segment, LIVING, 0)) != BITMAP_NONE)
        supply_free(&stage->pool.segment, &stage->living, index, stage->pool.segment.words[index]);
    stage->doomed.depot = DEAD;
    stage->doomed_bare.depot = DEAD;
}

/* ------------------------------------------------------------------- acts */

static void act_alloc(void *argument)
{
    struct stage *stage = argument;
    fastalloc_handle handle;

    fastalloc_alloc_inline_(&stage->lane, &handle, NULL);
}

static void act_free(void *argument)
{
    struct stage *stage = argument;

    fastalloc_free_inline_(&stage->lane, stage->handle);
}

static void act_alloc_bare(void *argument)
{
    struct stage *stage = argument;
    uint64_t index, word;

    supply_alloc(&stage->pool.segment, &stage->doomed_bare, &index, &word);
}

static void act_free_bare(void *argument)
{
    struct stage *stage = argument;

    supply_free(&stage->pool.segment, &stage->doomed_bare, index_of(stage), stage->word);
}

static void act_own(void *argument)
{
    struct stage *stage = argument;
    uint64_t word;

    slot_own(&stage->pool.segment, stage->handle, DOOMED, &word);
}

static void act_give(void *argument)
{
    struct stage *stage = argument;

    session_give(&stage->pool.segment, DOOMED, LIVING, stage->handle);
}

static void act_release(void *argument)
{
    struct stage *stage = argument;

    cache_release(&stage->pool.segment, &stage->doomed);
}

static void act_claim(void *argument)
{
    struct stage *stage = argument;
    struct actor another = stage->doomed;
    uint64_t index, word;

    another.cache = cache_claim(&stage->pool.segment, DOOMED, 99);
    supply_alloc(&stage->pool.segment, &another, &index, &word);
}

static void act_sweep(void *argument)
{
    struct stage *stage = argument;

    sweep_session(&stage->pool.segment, DEAD, NULL);
}

static void act_reopen(void *argument)
{
    struct stage *stage = argument;

    sweep_session(&stage->pool.segment, DEAD, NULL);
    session_reuse(&stage->pool.segment, DEAD);
    session_open(&stage->pool.segment, DEAD, 1, 1, "again");
}

/* ------------------------------------------------- before the sweep comes */

/* The living adopts the slot that the dead was busy with, and frees it. */
static void adopt_and_free(struct stage *stage)
{
    uint64_t word;

    if (slot_own(&stage->pool.segment, stage->handle, LIVING, &word) == 0)
        supply_free(&stage->pool.segment, &stage->living, index_of(stage), word);
}

static void adopt(struct stage *stage)
{
    uint64_t word;

    slot_own(&stage->pool.segment, stage->handle, LIVING, &word);
}

/* The living goes on: takes some, frees some, changes its magazines. */
static void go_on(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    uint64_t index[40], word[40];
    unsigned count = 0, i;

    while (count < 40 && (depot_has_stock(segment, 0) || bitmap_count(segment) ||
                          segment->header->bump + 40 < segment->geometry.capacity)) {
        if (supply_alloc(segment, &stage->living, &index[count], &word[count]))
            break;
        count++;
    }
    for (i = 0; i < count; i++)
        supply_free(segment, &stage->living, index[i], word[i]);
}

static const struct scene scenes[] = {
    {"alloc from the loaded magazine", prepare_loaded, act_alloc, NULL, 0},
    {"alloc from the previous magazine", prepare_previous, act_alloc, NULL, 0},
    {"alloc from a depot", stock_depots, act_alloc, NULL, 0},
    {"alloc of a fresh slot", prepare_nothing, act_alloc, NULL, 0},
    {"alloc of a returned slot", return_all, act_alloc, NULL, 0},
    {"alloc of a stolen slot", prepare_idle_elsewhere, act_alloc, NULL, 0},
    {"alloc while marked by a thief", prepare_marked, act_alloc, NULL, 0},
    {"alloc after a holder's death", die_locked, act_alloc, NULL, 0},
    {"alloc from a dirty depot", prepare_dirty, act_alloc, NULL, 0},
    {"alloc from what was swept", prepare_swept, act_alloc, NULL, 0},
    {"alloc uncached from what was swept", prepare_swept, act_alloc_bare, NULL, 0},
    {"alloc in a small pool", prepare_nothing, act_alloc_bare, NULL, 100},
    {"alloc uncached from a depot", stock_depots, act_alloc_bare, NULL, 0},
    {"alloc uncached of a fresh slot", prepare_nothing, act_alloc_bare, NULL, 0},
    {"alloc uncached of a returned slot", return_all, act_alloc_bare, NULL, 0},
    {"alloc uncached of a stolen slot", prepare_idle_elsewhere, act_alloc_bare, NULL, 0},
    {"alloc uncached after a holder's death", die_locked, act_alloc_bare, NULL, 0},
    {"free into the loaded magazine", prepare_doomed_owns, act_free, adopt_and_free, 0},
    {"free into the loaded magazine, then adopted", prepare_doomed_owns, act_free, adopt, 0},
    {"free with a flush", prepare_full, act_free, adopt_and_free, 0},
    {"free into the return bitmap", prepare_doomed_owns, act_free_bare, adopt_and_free, 0},
    {"free of another's slot", prepare_living_owns, act_free, adopt_and_free, 0},
    {"adopt", prepare_living_owns, act_own, adopt_and_free, 0},
    {"give", prepare_doomed_owns, act_give, adopt_and_free, 0},
    {"release of a cache", prepare_partials, act_release, NULL, 0},
    {"claim of a cache", stock_depots, act_claim, NULL, 0},
    {"sweep of another", prepare_dead, act_sweep, NULL, 0},
    {"sweep and reuse of another", prepare_dead, act_reopen, NULL, 0},
};

/* ---------------------------------------------------------------- playing */

static void setup(struct stage *stage, const struct scene *scene)
{
    struct test_shape shape = {
        .capacity = scene->capacity ? scene->capacity : SLOTS,
        .threads = 5,
        .object_size = 8,
    };

    memset(stage, 0, sizeof *stage);
    test_pool_make(&stage->pool, &shape);
    stage->doomed = test_pool_actor(&stage->pool, DOOMED);
    stage->doomed_bare = test_pool_bare_actor(&stage->pool, DOOMED);
    stage->living = test_pool_actor(&stage->pool, LIVING);
    scene->prepare(stage);
    test_pool_forget(&stage->pool);
}

/* After the death: what the daemon does, and what must be true then. */
static void aftermath(struct stage *stage, const struct scene *scene, bool hurry)
{
    struct actor third = test_pool_bare_actor(&stage->pool, 4);

    if (!hurry) {
        if (scene->interlude)
            scene->interlude(stage);
        go_on(stage);
    }
    sweep_session(&stage->pool.segment, DOOMED, NULL);
    if (session_state(&stage->pool.segment, DEAD) != SESSION_FREE)
        sweep_session(&stage->pool.segment, DEAD, NULL);
    test_pool_assert_exact(&stage->pool, &stage->living);
    test_pool_assert_exact(&stage->pool, &third);
    TEST_REQUIRE(session_reuse(&stage->pool.segment, DOOMED), "the number is not free again");
}

static void warm_up(struct stage *stage, const struct scene *scene, const void *copy)
{
    /* Once in the parent, for the dynamic linker's sake. */
    lane_open(&stage->lane, &stage->pool, &stage->doomed);
    scene->act(stage);
    memcpy(stage->pool.segment.base, copy, stage->pool.segment.geometry.total);
}

static void restore(struct stage *stage, const void *copy)
{
    memcpy(stage->pool.segment.base, copy, stage->pool.segment.geometry.total);
    test_pool_forget(&stage->pool);
    lane_open(&stage->lane, &stage->pool, &stage->doomed);
}

static uint8_t *choose_points(struct stage *stage, const struct scene *scene, uint64_t *steps,
                              uint64_t *random)
{
    bool all = getenv("FASTALLOC_TEST_LONG") != NULL;
    uint8_t *changes, *chosen;

    *steps = stepper_trace(scene->act, stage, stage->pool.segment.base,
                           stage->pool.segment.geometry.total, &changes);
    chosen = calloc(*steps + 1, 1);
    stepper_choose(chosen, changes, *steps, true, all ? UINT64_MAX : CHANGES_STEPS_MAX, random);
    stepper_choose(chosen, changes, *steps, false, all ? LONG_STEPS_MAX : OTHERS_STEPS_MAX, random);
    free(changes);
    return chosen;
}

static unsigned play(const struct scene *scene, bool hurry, uint64_t *random, uint64_t *steps)
{
    struct stage stage;
    uint8_t *chosen;
    unsigned points = 0;
    uint64_t step;
    void *copy;

    setup(&stage, scene);
    copy = malloc(stage.pool.segment.geometry.total);
    memcpy(copy, stage.pool.segment.base, stage.pool.segment.geometry.total);
    warm_up(&stage, scene, copy);
    restore(&stage, copy);
    chosen = choose_points(&stage, scene, steps, random);
    for (step = 1; step <= *steps; step++) {
        if (!chosen[step])
            continue;
        restore(&stage, copy);
        stepper_die(scene->act, &stage, step);
        aftermath(&stage, scene, hurry);
        points++;
    }
    restore(&stage, copy);
    test_pool_discard(&stage.pool);
    free(copy);
    free(chosen);
    return points;
}

static void play_scene(int number)
{
    const struct scene *scene = &scenes[number];
    uint64_t random = test_seed(scene->name), steps;
    unsigned points;

    points = play(scene, true, &random, &steps);
    points += play(scene, false, &random, &steps);
    printf("  %-46s %6llu steps %6u points\n", scene->name, (unsigned long long)steps, points);
    fflush(stdout);
}

START_TEST(no_slot_is_lost_or_doubled_by_a_death_at_any_instruction)
{
    play_scene(_i);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crash points");
    TCase *cases = tcase_create("crash points");

    if (!STEPPER_CAN)
        return 77;
    tcase_set_timeout(cases, getenv("FASTALLOC_TEST_LONG") ? 900 : 60);
    tcase_add_loop_test(cases, no_slot_is_lost_or_doubled_by_a_death_at_any_instruction, 0,
                        (int)(sizeof scenes / sizeof scenes[0]));
    suite_add_tcase(suite, cases);
    return test_run(suite);
}
