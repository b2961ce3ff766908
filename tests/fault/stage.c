/* SPDX-License-Identifier: MIT
 *
 * stage: see stage.h.
 */
#include "stage.h"
#include "tallied.h"

#include "shm/bitmap.h"
#include "shm/check.h"
#include "shm/depot.h"
#include "shm/magazine.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "shm/sweep.h"

#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------- preparing */

uint64_t stage_index(const struct stage *stage)
{
    return slot_index(&stage->pool.segment, stage->handle);
}

void stage_choose(struct stage *stage, uint64_t index)
{
    stage->handle = test_pool_handle(&stage->pool, index);
    stage->word = stage->pool.segment.words[index];
}

void stage_own(struct stage *stage, const struct actor *actor, unsigned count)
{
    uint64_t index = 0;

    while (count--)
        index = test_pool_alloc(&stage->pool, actor);
    stage_choose(stage, index);
}

void prepare_nothing(struct stage *stage)
{
    (void)stage;
}

void prepare_stocked(struct stage *stage)
{
    test_pool_drain(&stage->pool, &stage->living);
    test_pool_refill(&stage->pool, &stage->living);
    cache_flush(&stage->pool.segment, &stage->living);
}

void prepare_returned(struct stage *stage)
{
    struct actor bare = test_pool_bare_actor(&stage->pool, LIVING);

    test_pool_drain(&stage->pool, &stage->living);
    test_pool_refill(&stage->pool, &bare);
}

void prepare_owning(struct stage *stage)
{
    prepare_stocked(stage);
    stage_own(stage, &stage->doomed, 3);
}

/* Empties what is loaded, and has a full one in previous. */
void prepare_previous(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;

    prepare_stocked(stage);
    stage_own(stage, &stage->doomed, 2 * segment->geometry.magazine_size + 1);
    test_pool_refill(&stage->pool, &stage->doomed);
    stage_own(stage, &stage->doomed, 1);
    while (magazine_count(segment, cache_loaded(segment, &stage->doomed)))
        test_pool_alloc(&stage->pool, &stage->doomed);
    ck_assert_uint_ne(cache_previous(segment, &stage->doomed), CACHE_NONE);
    ck_assert_uint_gt(magazine_count(segment, cache_previous(segment, &stage->doomed)), 0);
}

void prepare_robbable(struct stage *stage)
{
    uint64_t left;

    test_pool_drain(&stage->pool, &stage->living);
    for (left = 0; left < 9; left++)
        test_pool_free(&stage->pool, &stage->living, left);
}

/* ------------------------------------------------- before the sweep comes */

void adopt(struct stage *stage)
{
    uint64_t word;

    slot_own(&stage->pool.segment, stage->handle, LIVING, &word);
}

void adopt_and_free(struct stage *stage)
{
    uint64_t word;

    if (slot_own(&stage->pool.segment, stage->handle, LIVING, &word) == 0)
        supply_free(&stage->pool.segment, &stage->living, stage_index(stage), word);
}

void mark(struct stage *stage)
{
    TEST_REQUIRE(revoke_begin(&stage->pool.segment, &stage->living, &stage->round), "no barrier");
}

void take(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    uint32_t magazine, d;
    uint64_t word, index;

    for (d = 0; d < segment->geometry.depots; d++)
        if (depot_lock(segment, d, NULL) == LOCK_TAKEN)
            break;
    TEST_REQUIRE(d < segment->geometry.depots, "every depot's lock is taken");
    cache_enter(segment, &stage->living);
    if (revoke_take(segment, &stage->living, &stage->round, &magazine, &word) == REVOKE_TOOK) {
        if (magazine_pop(segment, magazine, LIVING, &index))
            tally_alloc(segment, &stage->living);
        depot_give_locked(segment, d, magazine, word);
    }
    cache_leave(segment, &stage->living);
    depot_unlock(segment, d);
}

/* Takes one from the own cache and puts it back, as an owner does who knows of nothing. */
static void use_own_cache(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    uint32_t loaded;
    uint64_t index;

    if (stage->living.cache == CACHE_NONE)
        return;
    cache_enter(segment, &stage->living);
    loaded = cache_loaded(segment, &stage->living);
    if (loaded != CACHE_NONE && magazine_pop(segment, loaded, LIVING, &index))
        magazine_push(segment, loaded, index, shm_load(&segment->words[index]), false);
    cache_leave(segment, &stage->living);
}

/* Takes what is returned, and frees it into its cache. */
static void recycle_returned(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    unsigned count = 0, i;
    uint64_t index[10];

    while (count < 10 && (index[count] = bitmap_take(segment, LIVING, count)) != BITMAP_NONE) {
        tally_alloc(segment, &stage->living);
        count++;
    }
    for (i = 0; i < count; i++)
        supply_free(segment, &stage->living, index[i], shm_load(&segment->words[index[i]]));
}

/* The living goes on: takes some, frees some, changes its magazines.  It does not ask for
 * more than can be had at once: what stands behind the dead it would wait for. */
static void go_on(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    uint64_t index[40], word[40];
    unsigned count = 0, i;

    use_own_cache(stage);
    recycle_returned(stage);
    while (count < 40 && (depot_has_stock(segment, 0) || bitmap_count(segment) ||
                          segment->header->bump + 40 < segment_capacity(segment))) {
        if (supply_alloc(segment, &stage->living, SUPPLY_PATIENCE_US, &index[count], &word[count]))
            break;
        count++;
    }
    for (i = 0; i < count; i++)
        supply_free(segment, &stage->living, index[i], word[i]);
}

/* ---------------------------------------------------------------- judging */

static void check(const struct stage *stage, struct crash_verdict *verdict, const char *when)
{
    struct check_report report;
    size_t i;

    TEST_REQUIRE(check_confirm(&stage->pool.segment, 1, 0, &report) == 0, "no memory");
    for (i = 0; i < report.count; i++)
        crash_find(verdict, "%s: %s", when, report.findings[i].text);
}

/* Allocates all there is, and compares with what there should be; then frees it. */
static void count(struct stage *stage, const struct actor *actor, struct crash_verdict *verdict)
{
    struct segment *segment = &stage->pool.segment;
    uint64_t index, word, drained = 0, doubled = 0, held;
    struct survey survey;
    int error;

    survey_slots(segment, &survey, NULL);
    held = survey.live + survey.anyone + survey.shared + survey.quarantined;
    test_pool_forget(&stage->pool);
    while ((error = supply_alloc(segment, actor, SUPPLY_PATIENCE_US, &index, &word)) == 0) {
        doubled += stage->pool.held[index];
        stage->pool.held[index] = 1;
        drained++;
    }
    if (error != FASTALLOC_E_EXHAUSTED)
        crash_find(verdict, "after %llu slots the error is %d", (unsigned long long)drained, error);
    drained -= doubled;
    verdict->doubled += doubled;
    if (drained + held < segment_capacity(segment))
        verdict->lost += segment_capacity(segment) - drained - held;
    if (drained + held > segment_capacity(segment))
        verdict->doubled += drained + held - segment_capacity(segment);
    check(stage, verdict, "with everything allocated");
    test_pool_refill(&stage->pool, actor);
    check(stage, verdict, "with everything freed");
    if (survey_allocated(segment) != held)
        crash_find(verdict, "%llu count as allocated, not %llu",
                   (unsigned long long)survey_allocated(segment), (unsigned long long)held);
}

static void judge(void *argument, struct crash_verdict *verdict)
{
    struct stage *stage = argument;
    struct actor later = test_pool_bare_actor(&stage->pool, LATER);

    if (stage->operation->survive)
        stage->operation->survive(stage, verdict);
    if (stage->variant > 0) {
        if (stage->operation->interlude)
            stage->operation->interlude(stage);
        go_on(stage);
    }
    sweep_session(&stage->pool.segment, DOOMED, NULL, NULL);
    if (session_state(&stage->pool.segment, DEAD) != SESSION_FREE)
        sweep_session(&stage->pool.segment, DEAD, NULL, NULL);
    check(stage, verdict, "after the sweep");
    tallied_judge(&stage->pool.segment, stage->gap, verdict);
    count(stage, &stage->living, verdict);
    count(stage, &later, verdict);
    if (!session_reuse(&stage->pool.segment, DOOMED))
        crash_find(verdict, "the number is not free again");
    if (stage->operation->verify)
        stage->operation->verify(stage, verdict);
}

/* ---------------------------------------------------------------- playing */

static void again(struct stage *stage, bool begins)
{
    if (stage->operation->again)
        stage->operation->again(stage, begins);
}

static void set(void *argument, unsigned variant)
{
    struct stage *stage = argument;

    again(stage, false);
    memcpy(stage->pool.segment.base, stage->copy, stage->pool.segment.geometry.total);
    test_pool_forget(&stage->pool);
    stage->variant = variant;
    again(stage, true);
}

static void enter(void *argument)
{
    struct stage *stage = argument;

    lane_open(&stage->lane, &stage->pool, &stage->doomed);
}

static void act(void *argument)
{
    struct stage *stage = argument;

    stage->operation->act(stage);
}

static void meet(void *argument)
{
    struct stage *stage = argument;

    if (stage->operation->meet)
        stage->operation->meet(stage);
}

static const void *memory(void *argument, size_t *size)
{
    struct stage *stage = argument;

    *size = stage->pool.segment.geometry.total;
    return stage->pool.segment.base;
}

static void build(struct stage *stage, const struct operation *operation)
{
    struct test_shape shape = operation->shape;
    size_t total;

    memset(stage, 0, sizeof *stage);
    stage->operation = operation;
    if (!shape.capacity)
        shape.capacity = STAGE_SLOTS;
    if (!shape.threads)
        shape.threads = 5;
    shape.object_size = 8;
    test_pool_make(&stage->pool, &shape);
    stage->doomed = test_pool_actor(&stage->pool, DOOMED);
    stage->doomed_bare = test_pool_bare_actor(&stage->pool, DOOMED);
    stage->living = test_pool_actor(&stage->pool, LIVING);
    operation->prepare(stage);
    stage->gap = tallied_gap(&stage->pool.segment);
    total = stage->pool.segment.geometry.total;
    stage->copy = malloc(total);
    TEST_REQUIRE(stage->copy, "no memory");
    memcpy(stage->copy, stage->pool.segment.base, total);
}

void stage_play(const struct operation *operation)
{
    struct stage stage;
    const struct crash_scene scene = {
        .name = operation->name,
        .act = {.enter = enter, .run = act, .argument = &stage, .memory = memory},
        .variants = 2,
        .set = set,
        .meet = meet,
        .judge = judge,
    };
    unsigned broken;

    build(&stage, operation);
    broken = crash_play(&scene);
    again(&stage, false);
    revoke_end(&stage.round);
    test_pool_discard(&stage.pool);
    free(stage.copy);
    crash_require_none(operation->name, broken);
}
