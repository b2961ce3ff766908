/* SPDX-License-Identifier: MIT
 *
 * interleavings: an operation on a pool, stopped between any two of its
 * instructions while somebody else acts, and then gone on with.
 *
 * Races that need one thread to be slow for a moment are hard to meet; here each
 * is met.  For each scene a child (the walker) does its act, single-stepped, and
 * stops at a step; the parent (the other) does what the scene says; the walker ends
 * its act; the other may act once more; and the walker goes on.  What each of them
 * has then must be his alone, and the pool be whole.
 *
 * Thieves appear in their two halves, marking and taking, because what comes
 * between the two is the point.
 */
#include "crash.h"
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
#include <sys/mman.h>

enum { WALKER = 1, OTHER = 2, DEAD = 3, SLOTS = 300, KEPT_MAX = SLOTS };
enum { NOTED_SOME = 40, OTHERS_SOME = 10, OTHERS_MANY = 1000 };

/* What somebody holds, by his own account; shared between parent and child. */
struct account {
    uint64_t index[KEPT_MAX];
    unsigned count;
    int error; /* of the last allocation */
};

struct stage {
    struct test_pool pool;
    struct actor walker, other;
    struct fastalloc_pool lane; /* the walker's */
    struct account *walkers, *others;
    struct revocation round; /* the other's, between marking and taking */
    uint64_t slot;           /* that it is about */
    fastalloc_handle handle;
    uint32_t sessions[4];
};

struct scene {
    const char *name;
    void (*prepare)(struct stage *);
    void (*act)(void *stage);          /* the walker, stepped, and then going on */
    void (*interrupt)(struct stage *); /* the other, between two steps of the act */
    void (*after)(struct stage *);     /* the other, when the act has ended; or NULL */
    void (*verify)(struct stage *);    /* or NULL */
};

/* ---------------------------------------------------------------- accounts */

static void keep(struct account *account, uint64_t index)
{
    if (account->count < KEPT_MAX)
        account->index[account->count++] = index;
}

static void walk_alloc(struct stage *stage, unsigned times)
{
    fastalloc_handle handle = FASTALLOC_NONE;

    while (times--) {
        stage->walkers->error = fastalloc_alloc_inline_(&stage->lane, &handle, NULL);
        if (!stage->walkers->error)
            keep(stage->walkers, slot_index(&stage->pool.segment, handle));
    }
}

static void walk_free(struct stage *stage, unsigned times)
{
    while (times-- && stage->walkers->count) {
        uint64_t index = stage->walkers->index[--stage->walkers->count];

        fastalloc_free_inline_(&stage->lane, test_pool_handle(&stage->pool, index));
    }
}

static void other_alloc(struct stage *stage, const struct actor *actor, unsigned times)
{
    uint64_t index, word;

    while (times-- && (stage->others->error = supply_alloc(&stage->pool.segment, actor,
                                                           SUPPLY_PATIENCE_US, &index, &word)) == 0)
        keep(stage->others, index);
}

static void other_free(struct stage *stage, const struct actor *actor, unsigned times)
{
    while (times-- && stage->others->count) {
        uint64_t index = stage->others->index[--stage->others->count];

        supply_free(&stage->pool.segment, actor, index, stage->pool.segment.words[index]);
    }
}

/* --------------------------------------------------------------- preparing */

/* Every slot was used, and is idle in the depots. */
static void stock_depots(struct stage *stage)
{
    test_pool_drain(&stage->pool, &stage->other);
    test_pool_refill(&stage->pool, &stage->other);
    cache_flush(&stage->pool.segment, &stage->other);
}

static void return_all(struct stage *stage)
{
    struct actor bare = test_pool_bare_actor(&stage->pool, OTHER);

    test_pool_drain(&stage->pool, &stage->other);
    test_pool_refill(&stage->pool, &bare);
}

/* One slot is returned; its neighbours in the bitmap are the other's. */
static void one_is_returned(struct stage *stage)
{
    struct actor bare = test_pool_bare_actor(&stage->pool, OTHER);

    test_pool_drain(&stage->pool, &stage->other);
    keep(stage->others, 6);
    keep(stage->others, 5);
    other_free(stage, &bare, 1);
}

/* The walker has slots in hand and in its cache; so has the other. */
static void both_work(struct stage *stage)
{
    stock_depots(stage);
    walk_alloc(stage, 8);
    walk_free(stage, 3);
    other_alloc(stage, &stage->other, 8);
    other_free(stage, &stage->other, 3);
}

/* All idle slots, 20 of them, lie in the walker's two magazines. */
static void only_the_walker_has(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;

    test_pool_drain(&stage->pool, &stage->other);
    while (stage->walkers->count < 20) {
        uint64_t index = stage->walkers->count * 11, word;

        slot_own(segment, test_pool_handle(&stage->pool, index), WALKER, &word);
        keep(stage->walkers, index);
    }
    walk_free(stage, 20);
}

static void mark(struct stage *stage)
{
    TEST_REQUIRE(revoke_begin(&stage->pool.segment, &stage->other, &stage->round), "no barrier");
}

static void only_the_walker_has_and_is_marked(struct stage *stage)
{
    struct actor third = test_pool_actor(&stage->pool, 4);
    struct revocation round = {.notes = NULL};

    only_the_walker_has(stage);
    TEST_REQUIRE(revoke_begin(&stage->pool.segment, &third, &round), "no barrier");
    revoke_end(&round);
}

static void only_the_walker_has_and_is_noted(struct stage *stage)
{
    only_the_walker_has(stage);
    mark(stage);
}

/* All idle slots lie in the other's cache: an empty loaded magazine, and a previous. */
static void only_the_other_has(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    uint64_t index;

    test_pool_drain(&stage->pool, &stage->walker);
    for (index = 0; index < 20; index++) {
        uint64_t word;

        slot_own(segment, test_pool_handle(&stage->pool, index), OTHER, &word);
        keep(stage->others, index);
    }
    other_free(stage, &stage->other, 20);
    while (magazine_count(segment, cache_loaded(segment, &stage->other)))
        other_alloc(stage, &stage->other, 1);
    TEST_REQUIRE(stage->others->count <= 15, "the previous magazine is empty too");
}

/* And the walker has marked it. */
static void only_the_other_has_and_is_marked(struct stage *stage)
{
    only_the_other_has(stage);
    TEST_REQUIRE(revoke_begin(&stage->pool.segment, &stage->walker, &stage->round), "no barrier");
}

static void one_died(struct stage *stage)
{
    struct actor dead = test_pool_actor(&stage->pool, DEAD);
    unsigned i;

    both_work(stage);
    for (i = 0; i < 20; i++)
        stage->slot = test_pool_alloc(&stage->pool, &dead);
    test_pool_free(&stage->pool, &dead, stage->slot);
    stage->handle = FASTALLOC_NONE;
}

/* It died in a free, after the count and before the word; and the handle is known. */
static void one_died_in_a_free(struct stage *stage)
{
    struct actor dead = test_pool_actor(&stage->pool, DEAD);
    uint32_t *words;
    unsigned i;

    both_work(stage);
    for (i = 0; i < 5; i++)
        stage->slot = test_pool_alloc(&stage->pool, &dead);
    stage->handle = test_pool_handle(&stage->pool, stage->slot);
    words = magazine_at(&stage->pool.segment, cache_loaded(&stage->pool.segment, &dead));
    words[words[0] + 1] = (uint32_t)stage->slot;
    words[0]++;
    stage->pool.segment.caches[dead.cache].gate.busy = 1;
}

/* Without a cache, it died in an alloc, after the word and before the count. */
static void one_died_in_an_alloc(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    uint32_t magazine, d = 0, *words;
    uint64_t word;

    both_work(stage);
    session_open(segment, DEAD, 0, 0, "dead");
    while (!depot_has_stock(segment, d))
        d++;
    depot_lock(segment, d, NULL);
    depot_take_stock_locked(segment, d, DEAD, &magazine, &word);
    depot_unlock(segment, d);
    words = magazine_at(segment, magazine);
    slot_take(segment, words[words[0]], segment->words[words[words[0]]], DEAD);
}

static void a_gift(struct stage *stage)
{
    both_work(stage);
    session_open(&stage->pool.segment, DEAD, 0, 0, "receiver");
    stage->slot = stage->walkers->index[--stage->walkers->count];
    stage->handle = test_pool_handle(&stage->pool, stage->slot);
}

/* --------------------------------------------------------------------- acts */

static void act_alloc(void *stage)
{
    walk_alloc(stage, 1);
}

static void act_alloc_bare(void *argument)
{
    struct stage *stage = argument;
    struct actor bare = stage->walker;
    uint64_t index, word;

    bare.cache = CACHE_NONE;
    stage->walkers->error =
        supply_alloc(&stage->pool.segment, &bare, SUPPLY_PATIENCE_US, &index, &word);
    if (!stage->walkers->error)
        keep(stage->walkers, index);
}

static void act_alloc_many(void *stage)
{
    walk_alloc(stage, 6);
}

/* Takes one within the gate, as an owner does whose depot cannot be had. */
static void act_pop(void *argument)
{
    struct stage *stage = argument;
    struct segment *segment = &stage->pool.segment;
    uint32_t loaded;
    uint64_t index;

    cache_enter(segment, &stage->walker);
    loaded = cache_loaded(segment, &stage->walker);
    if (loaded != CACHE_NONE && magazine_pop(segment, loaded, WALKER, &index))
        keep(stage->walkers, index);
    cache_leave(segment, &stage->walker);
    lane_open(&stage->lane, &stage->pool, &stage->walker);
}

static void act_free(void *stage)
{
    walk_free(stage, 1);
}

static void act_free_bare(void *argument)
{
    struct stage *stage = argument;
    struct actor bare = stage->walker;
    uint64_t index = stage->walkers->index[--stage->walkers->count];

    bare.cache = CACHE_NONE;
    supply_free(&stage->pool.segment, &bare, index, stage->pool.segment.words[index]);
}

static void act_release(void *argument)
{
    struct stage *stage = argument;

    cache_release(&stage->pool.segment, &stage->walker);
    fastalloc_lanes_->gate = NULL;
}

static void act_claim(void *argument)
{
    struct stage *stage = argument;
    struct actor fresh = stage->walker;

    fresh.cache = cache_claim(&stage->pool.segment, WALKER, 99);
    lane_open(&stage->lane, &stage->pool, &fresh);
    walk_alloc(stage, 3);
}

/* One look at the caches, holding the lock of the owner's depot. */
static void act_look(void *argument)
{
    struct stage *stage = argument;
    struct segment *segment = &stage->pool.segment;
    enum revoke_result result;
    uint32_t magazine;
    uint64_t word, index;

    if (depot_lock(segment, stage->other.depot, NULL) != LOCK_TAKEN)
        return;
    cache_enter(segment, &stage->walker);
    result = revoke_take(segment, &stage->walker, &stage->round, &magazine, &word);
    if (result == REVOKE_TOOK) {
        if (magazine_pop(segment, magazine, WALKER, &index))
            keep(stage->walkers, index);
        depot_give_locked(segment, stage->other.depot, magazine, word);
    }
    stage->walkers->error = result == REVOKE_NONE ? FASTALLOC_E_EXHAUSTED : 0;
    cache_leave(segment, &stage->walker);
    depot_unlock(segment, stage->other.depot);
}

static void act_sweep(void *argument)
{
    struct stage *stage = argument;

    sweep_session(&stage->pool.segment, DEAD, NULL, NULL);
}

static void act_give(void *argument)
{
    struct stage *stage = argument;

    stage->walkers->error = session_give(&stage->pool.segment, WALKER, DEAD, stage->handle);
}

/* ---------------------------------------------------------------- the other */

/* Whether there is something to be had without waiting for the walker. */
static bool is_stock_at_hand(const struct stage *stage)
{
    struct segment segment = stage->pool.segment;
    uint32_t d;

    for (d = 0; d < segment.geometry.depots; d++)
        if (depot_has_stock(&segment, d) && depot_lock(&segment, d, NULL) == LOCK_TAKEN) {
            depot_unlock(&segment, d);
            return true;
        }
    return false;
}

static void go_on(struct stage *stage)
{
    unsigned i;

    for (i = 0; i < 30 && is_stock_at_hand(stage); i++)
        other_alloc(stage, &stage->other, 1);
    other_free(stage, &stage->other, 25);
}

/* Takes what is returned, and frees it into its cache. */
static void take_returned(struct stage *stage)
{
    struct actor bare = test_pool_bare_actor(&stage->pool, OTHER);
    unsigned had = stage->others->count;

    while (bitmap_count(&stage->pool.segment) && stage->others->count < had + 10)
        other_alloc(stage, &bare, 1);
    other_free(stage, &stage->other, stage->others->count - had);
}

static void go_on_without_a_cache(struct stage *stage)
{
    struct actor bare = test_pool_bare_actor(&stage->pool, OTHER);
    unsigned i;

    for (i = 0; i < 5 && bitmap_count(&stage->pool.segment); i++)
        other_alloc(stage, &bare, 1);
    other_free(stage, &bare, 3);
}

static void return_one(struct stage *stage)
{
    struct actor bare = test_pool_bare_actor(&stage->pool, OTHER);

    other_free(stage, &bare, 1);
}

static void take_one_returned(struct stage *stage)
{
    uint64_t index = bitmap_take(&stage->pool.segment, OTHER, 0);

    if (index != BITMAP_NONE)
        keep(stage->others, index);
}

/* The second half of a theft: one look at the caches, with what was noted. */
static void take(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    uint32_t magazine, d;
    uint64_t word, index;

    for (d = 0; d < segment->geometry.depots; d++)
        if (depot_lock(segment, d, NULL) == LOCK_TAKEN)
            break;
    if (d == segment->geometry.depots)
        return;
    cache_enter(segment, &stage->other);
    if (revoke_take(segment, &stage->other, &stage->round, &magazine, &word) == REVOKE_TOOK) {
        if (magazine_pop(segment, magazine, OTHER, &index))
            keep(stage->others, index);
        depot_give_locked(segment, d, magazine, word);
    }
    cache_leave(segment, &stage->other);
    depot_unlock(segment, d);
}

/* Takes one slot from its own cache, as an owner does who knows of nothing. */
static void pop_one(struct stage *stage)
{
    if (!shm_load(&stage->pool.segment.caches[stage->other.cache].gate.busy))
        other_alloc(stage, &stage->other, 1);
}

static void pop_and_push(struct stage *stage)
{
    pop_one(stage);
    other_free(stage, &stage->other, 1);
}

static void adopt_and_free(struct stage *stage)
{
    uint64_t word;

    if (slot_own(&stage->pool.segment, stage->handle, OTHER, &word) == 0)
        supply_free(&stage->pool.segment, &stage->other, stage->slot, word);
}

static void adopt_free_and_flush(struct stage *stage)
{
    adopt_and_free(stage);
    cache_flush(&stage->pool.segment, &stage->other);
}

static void adopt_free_and_alloc(struct stage *stage)
{
    adopt_and_free(stage);
    other_alloc(stage, &stage->other, 1);
}

static void sweep_receiver(struct stage *stage)
{
    sweep_session(&stage->pool.segment, DEAD, NULL, NULL);
    if (session_reuse(&stage->pool.segment, DEAD))
        session_open(&stage->pool.segment, DEAD, 0, 0, "namesake");
}

/* ------------------------------------------------------------------- verdicts */

static void is_not_exhausted(struct stage *stage)
{
    TEST_REQUIRE(stage->walkers->error != FASTALLOC_E_EXHAUSTED,
                 "EXHAUSTED, though slots were idle all the while");
}

static const struct scene scenes[] = {
    {"alloc, while another works", both_work, act_alloc_many, go_on, NULL, NULL},
    {"alloc from a depot, while another works", stock_depots, act_alloc, go_on, NULL, NULL},
    {"alloc of a returned slot, while another works", return_all, act_alloc, go_on_without_a_cache,
     NULL, NULL},
    {"alloc of the last returned slot, while one returns", one_is_returned, act_alloc_bare,
     return_one, NULL, NULL},
    {"free, while another works", both_work, act_free, go_on, NULL, NULL},
    {"free into the bitmap, while another looks there", both_work, act_free_bare, take_one_returned,
     NULL, NULL},
    {"release, while another works", both_work, act_release, go_on, NULL, NULL},
    {"alloc, marked, then robbed", only_the_walker_has, act_alloc, mark, take, NULL},
    {"alloc, robbed by old notes", only_the_walker_has_and_is_noted, act_alloc, take, NULL, NULL},
    {"alloc after a mark, marked again, then robbed", only_the_walker_has_and_is_marked, act_alloc,
     mark, take, NULL},
    {"allocs after a mark, marked again, then robbed", only_the_walker_has_and_is_marked,
     act_alloc_many, mark, take, NULL},
    {"entry after a mark, marked again, then robbed", only_the_walker_has_and_is_marked, act_pop,
     mark, take, NULL},
    {"entry after a mark, robbed by old notes", only_the_walker_has_and_is_noted, act_pop, take,
     NULL, NULL},
    {"release, robbed by old notes", only_the_walker_has_and_is_noted, act_release, take, NULL,
     NULL},
    {"release, marked, then robbed", only_the_walker_has, act_release, mark, take, NULL},
    {"claim, marked, then robbed", both_work, act_claim, mark, take, NULL},
    {"theft, while the owner takes one", only_the_other_has, act_alloc, pop_one, NULL,
     is_not_exhausted},
    {"theft, while the owner takes and frees one", only_the_other_has, act_alloc, pop_and_push,
     NULL, is_not_exhausted},
    {"look for loot, while the owner takes one", only_the_other_has_and_is_marked, act_look,
     pop_one, NULL, is_not_exhausted},
    {"sweep, while another works", one_died, act_sweep, go_on, NULL, NULL},
    {"sweep, while another robs the dead", one_died, act_sweep, mark, take, NULL},
    {"sweep of a free, while it is adopted and freed", one_died_in_a_free, act_sweep,
     adopt_and_free, NULL, NULL},
    {"sweep of a free, while it is adopted and flushed", one_died_in_a_free, act_sweep,
     adopt_free_and_flush, NULL, NULL},
    {"sweep of a free, while it is adopted, freed, got", one_died_in_a_free, act_sweep,
     adopt_free_and_alloc, NULL, NULL},
    {"sweep of an alloc, while another takes the slot", one_died_in_an_alloc, act_sweep,
     take_returned, NULL, NULL},
    {"gift, while the receiver is swept", a_gift, act_give, sweep_receiver, NULL, NULL},
};

/* ---------------------------------------------------------------- playing */

static void *share(size_t size)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    TEST_REQUIRE(shared != MAP_FAILED, "no memory");
    return shared;
}

/* A scene set, with a copy to set it again by. */
struct set {
    struct stage stage;
    struct account walkers, others;
    char *segment;
};

static void build(struct set *set, const struct scene *scene)
{
    struct stage *stage = &set->stage;
    uint64_t total;

    memset(set, 0, sizeof *set);
    stage->walkers = share(sizeof *stage->walkers);
    stage->others = share(sizeof *stage->others);
    test_pool_make(&stage->pool,
                   &(struct test_shape){.capacity = SLOTS, .threads = 6, .object_size = 8});
    total = stage->pool.segment.geometry.total;
    stage->walker = test_pool_actor(&stage->pool, WALKER);
    stage->other = test_pool_actor(&stage->pool, OTHER);
    lane_open(&stage->lane, &stage->pool, &stage->walker);
    scene->prepare(stage);
    set->walkers = *stage->walkers;
    set->others = *stage->others;
    set->segment = malloc(total);
    memcpy(set->segment, stage->pool.segment.base, total);
}

static void restore(struct set *set)
{
    struct stage *stage = &set->stage;

    memcpy(stage->pool.segment.base, set->segment, stage->pool.segment.geometry.total);
    *stage->walkers = set->walkers;
    *stage->others = set->others;
    test_pool_forget(&stage->pool);
    lane_open(&stage->lane, &stage->pool, &stage->walker);
}

static void tear_down(struct set *set)
{
    struct stage *stage = &set->stage;

    revoke_end(&stage->round);
    munmap(stage->walkers, sizeof *stage->walkers);
    munmap(stage->others, sizeof *stage->others);
    test_pool_discard(&stage->pool);
    free(set->segment);
}

/* Each holds what he says, and nobody anything twice. */
static void compare_accounts(struct stage *stage)
{
    const struct account *accounts[] = {stage->walkers, stage->others};
    static const uint32_t sessions[] = {WALKER, OTHER};
    unsigned who, i;

    test_pool_forget(&stage->pool);
    for (who = 0; who < 2; who++)
        for (i = 0; i < accounts[who]->count; i++) {
            uint64_t index = accounts[who]->index[i];

            TEST_REQUIRE(!stage->pool.held[index], "slot %llu was given out twice",
                         (unsigned long long)index);
            stage->pool.held[index] = 1;
            TEST_REQUIRE(slot_owner_of(stage->pool.segment.words[index]) == sessions[who],
                         "slot %llu, which session %u has, is %u's", (unsigned long long)index,
                         sessions[who], slot_owner_of(stage->pool.segment.words[index]));
        }
}

/* The act, and then three more allocations from what the walker believes to have:
 * the stop at the act's end lies between. */
static void walk_on(void *argument)
{
    struct stage *stage = argument;
    struct segment *segment = &stage->pool.segment;
    unsigned i;

    for (i = 0; i < 3; i++)
        if (fastalloc_lanes_->gate && fastalloc_lanes_->loaded &&
            shm_load(&fastalloc_lanes_->loaded[0]) && segment->geometry.caches)
            walk_alloc(stage, 1);
}

static const void *memory(void *argument, size_t *size)
{
    struct stage *stage = argument;

    *size = stage->pool.segment.geometry.total;
    return stage->pool.segment.base;
}

static void play_point(struct set *set, const struct scene *scene, const struct tracer_act *act,
                       const struct trace_point *point)
{
    struct stage *stage = &set->stage;
    struct actor third;
    struct tracee walker;

    restore(set);
    tracer_reach(&walker, act, point);
    scene->interrupt(stage);
    tracer_finish(&walker);
    if (scene->after)
        scene->after(stage);
    tracer_go_on(&walker);
    tracer_kill(&walker);
    if (scene->verify)
        scene->verify(stage);
    compare_accounts(stage);
    if (session_state(&stage->pool.segment, DEAD) == SESSION_LIVE)
        sweep_session(&stage->pool.segment, DEAD, NULL, NULL);
    test_pool_assert_clean(&stage->pool);
    sweep_session(&stage->pool.segment, WALKER, NULL, NULL);
    third = test_pool_bare_actor(&stage->pool, 4);
    test_pool_assert_exact(&stage->pool, &third);
}

START_TEST(two_at_once_lose_and_double_nothing_wherever_one_is_stopped)
{
    const struct scene *scene = &scenes[_i];
    uint64_t random = test_seed(scene->name);
    bool all = getenv("FASTALLOC_TEST_LONG") != NULL;
    struct trace trace;
    struct set set;
    const struct tracer_act act = {
        .run = scene->act, .then = walk_on, .argument = &set.stage, .memory = memory};
    size_t noted, others, i;

    build(&set, scene);
    tracer_record(&trace, &act);
    noted = trace_draw(trace.points, trace.count, all ? SIZE_MAX : NOTED_SOME, &random);
    others = trace_draw(trace.others, trace.other_count, all ? OTHERS_MANY : OTHERS_SOME, &random);
    for (i = 0; i < noted; i++)
        play_point(&set, scene, &act, &trace.points[i]);
    for (i = 0; i < others; i++)
        play_point(&set, scene, &act, &trace.others[i]);
    printf("  %-50s %6u instructions %6zu noted %6zu stops\n", scene->name, trace.steps,
           trace.count, noted + others);
    fflush(stdout);
    trace_free(&trace);
    tear_down(&set);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("interleavings");
    TCase *cases = tcase_create("interleavings");

    (void)argc;
    crash_bind_now(argv);
    if (!tracer_can())
        return 77;
    tcase_set_timeout(cases, crash_time_limit());
    tcase_add_loop_test(cases, two_at_once_lose_and_double_nothing_wherever_one_is_stopped, 0,
                        (int)(sizeof scenes / sizeof scenes[0]));
    suite_add_tcase(suite, cases);
    return test_run(suite);
}
