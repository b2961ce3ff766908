/* SPDX-License-Identifier: MIT
 *
 * growth_interleavings: what changes a pool's capacity, and waiting for a slot, stopped
 * between any two instructions while somebody else acts, and then gone on with, or
 * killed there.
 *
 * As in check_interleavings.c a child (the walker) does its act, single-stepped, and stops at a
 * step; the parent does what the scene says; the walker ends its act, and more may follow.  Then
 * what each has must be his alone, no slot withdrawn below the capacity, and the pool
 * be whole.
 *
 * Nobody really sleeps here.  A waiter does what one does before it would (shm/wait.h), and sleeps
 * for ever if it had proof that nothing was idle and the free epoch stays what it noted.
 */
#include "crash.h"
#include "tests/support/lane.h"

#include "shm/growth.h"
#include "shm/notes.h"
#include "shm/revoke.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/sweep.h"
#include "shm/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { WALKER = 1, OTHER = 2, DEAD = 3, THIRD = 4 };
enum { SLOTS = 300, MAXIMUM = 400, LOW = 220, LOWER = 160 };
enum { NOTED_SOME = 16, OTHERS_SOME = 5, OTHERS_MANY = 150 };
#define NOW 100u          /* in the unit of notes */
#define PATIENCE_US 3000u /* of those who look for a slot while somebody is stopped */

/* What somebody holds, by his own account; shared between parent and child. */
struct account {
    uint64_t index[MAXIMUM];
    unsigned count;
    int error;      /* of the last allocation */
    uint32_t epoch; /* as noted before that, by a waiter */
};

struct stage {
    struct test_pool pool;
    struct actor walker, other, third;
    struct fastalloc_pool lane, others_lane;
    struct account *walkers, *others, *thirds;
    struct revocation round;
    uint64_t capacity; /* that a manifest would name */
};

struct scene {
    const char *name;
    void (*prepare)(struct stage *);
    void (*act)(void *stage);          /* the walker, stepped */
    void (*interrupt)(struct stage *); /* between two steps of the act; NULL: it is killed there */
    void (*after)(struct stage *);     /* when the act, or the walker, has ended; or NULL */
    bool lane;                         /* the parent has the lane, for the other */
};

/* ---------------------------------------------------------------- accounts */

static void keep(struct account *account, uint64_t index)
{
    TEST_REQUIRE(account->count < MAXIMUM, "more slots than there are");
    account->index[account->count++] = index;
}

static void take(struct stage *stage, struct account *account, const struct actor *actor,
                 unsigned times)
{
    uint64_t index, word;

    while (times--) {
        account->error = supply_alloc(&stage->pool.segment, actor, PATIENCE_US, &index, &word);
        if (account->error)
            return;
        keep(account, index);
    }
}

static void give_back(struct stage *stage, struct account *account, const struct actor *actor,
                      unsigned times)
{
    while (times-- && account->count) {
        uint64_t index = account->index[--account->count];

        supply_free(&stage->pool.segment, actor, index, stage->pool.segment.words[index]);
    }
}

/* By the lane of the process that calls it. */
static void free_inlined(struct fastalloc_pool *lane, const struct stage *stage,
                         struct account *account, unsigned times)
{
    while (times-- && account->count)
        fastalloc_free_inline_(lane,
                               test_pool_handle(&stage->pool, account->index[--account->count]));
}

static void alloc_inlined(struct fastalloc_pool *lane, struct stage *stage, struct account *account,
                          unsigned times)
{
    fastalloc_handle handle = FASTALLOC_NONE;

    while (times--) {
        account->error = fastalloc_alloc_inline_(lane, &handle, NULL);
        if (!account->error)
            keep(account, slot_index(&stage->pool.segment, handle));
    }
}

static struct actor bare(const struct actor *actor)
{
    struct actor without = *actor;

    without.cache = CACHE_NONE;
    return without;
}

/* Who has withdrawn slots hears what became of them. */
static void end_withdrawing(struct stage *stage)
{
    const struct actor *actors[] = {&stage->walker, &stage->third};
    unsigned who;

    for (who = 0; who < 2; who++) {
        const struct shm_session *record = &stage->pool.segment.sessions[actors[who]->session];

        while (session_state(&stage->pool.segment, actors[who]->session) == SESSION_LIVE &&
               record->begun != record->ended)
            growth_end_withdrawing(&stage->pool.segment, actors[who]);
    }
}

/* -------------------------------------------------------------- the waiter */

static void wait_once(struct stage *stage, struct account *account, const struct actor *actor)
{
    account->epoch = wait_begin(&stage->pool.segment);
    take(stage, account, actor, 1);
}

static bool is_asleep(const struct stage *stage, const struct account *account)
{
    return account->error == FASTALLOC_E_EXHAUSTED &&
           shm_load_ordered(&stage->pool.segment.header->free_epoch) == account->epoch;
}

/* There is an idle slot, whoever else may be stopped nowhere: the waiter is awake, and gets it. */
static void require_awake(struct stage *stage, struct account *account, const struct actor *actor)
{
    TEST_REQUIRE(!is_asleep(stage, account), "a waiter sleeps, and nobody will wake it");
    if (account->error)
        wait_once(stage, account, actor);
    TEST_REQUIRE(!account->error, "a waiter was woken for nothing: %d", account->error);
}

/* --------------------------------------------------------------- preparing */

/* Idle slots everywhere: in the depots, in two caches, returned, never used. */
static void idle_everywhere(struct stage *stage)
{
    struct actor third = bare(&stage->third);

    take(stage, stage->others, &stage->other, 200);
    alloc_inlined(&stage->lane, stage, stage->walkers, 20);
    free_inlined(&stage->lane, stage, stage->walkers, 8);
    take(stage, stage->thirds, &third, 20);
    give_back(stage, stage->thirds, &third, 20);
    give_back(stage, stage->others, &stage->other, 160);
    stage->capacity = SLOTS;
}

/* And everything was used. */
static void idle_in_depots(struct stage *stage)
{
    test_pool_drain(&stage->pool, &stage->other);
    test_pool_refill(&stage->pool, &stage->other);
    idle_everywhere(stage);
}

static void never_used(struct stage *stage)
{
    take(stage, stage->others, &stage->other, 20);
    stage->capacity = SLOTS;
}

/* One died, with slots in hand and in its cache. */
static void one_died(struct stage *stage)
{
    struct actor dead = test_pool_actor(&stage->pool, DEAD);
    unsigned i;

    idle_in_depots(stage);
    for (i = 0; i < 20; i++)
        test_pool_alloc(&stage->pool, &dead);
    stage->capacity = SLOTS;
}

/* The third has withdrawn what is idle, and slots in use stand in the way. */
static void withdrawn(struct stage *stage)
{
    idle_in_depots(stage);
    growth_withdraw(&stage->pool.segment, &stage->third, LOW);
}

static void shrunk(struct stage *stage)
{
    take(stage, stage->others, &stage->other, 20);
    growth_withdraw(&stage->pool.segment, &stage->third, LOW);
    TEST_REQUIRE(growth_retreat(&stage->pool.segment, LOW) == LOW, "it does not shrink");
    end_withdrawing(stage);
    stage->capacity = SLOTS;
}

/* And nothing is idle. */
static void shrunk_and_empty(struct stage *stage)
{
    shrunk(stage);
    take(stage, stage->others, &stage->other, LOW);
    TEST_REQUIRE(stage->others->error == FASTALLOC_E_EXHAUSTED, "not all were taken");
}

/* Nothing is idle; walker and other have ten each, and an empty magazine in their caches. */
static void nothing_idle(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    struct actor actors[] = {stage->walker, stage->other};
    struct account *accounts[] = {stage->walkers, stage->others};
    unsigned who;

    test_pool_drain(&stage->pool, &stage->third);
    for (who = 0; who < 2; who++) {
        while (accounts[who]->count < 10) {
            uint64_t index = accounts[who]->count * 11 + who, word;

            slot_own(segment, test_pool_handle(&stage->pool, index), actors[who].session, &word);
            keep(accounts[who], index);
        }
        give_back(stage, accounts[who], &actors[who], 1);
        take(stage, accounts[who], &actors[who], 1);
    }
    stage->capacity = SLOTS;
}

/* A waiter has had proof of that, and sleeps. */
static void nothing_idle_and_one_waits(struct stage *stage)
{
    nothing_idle(stage);
    wait_once(stage, stage->thirds, &stage->third);
    TEST_REQUIRE(is_asleep(stage, stage->thirds), "the waiter does not sleep: %d",
                 stage->thirds->error);
}

/* Had it; it is gone, and its mark has been seen. */
static void nothing_idle_and_lanes_are_open(struct stage *stage)
{
    nothing_idle_and_one_waits(stage);
    give_back(stage, stage->others, &stage->other, 1);
    take(stage, stage->others, &stage->other, 1);
    give_back(stage, stage->walkers, &stage->walker, 1);
    take(stage, stage->walkers, &stage->walker, 1);
    stage->thirds->error = 0;
}

/* What others have not, the dead has. */
static void the_rest_is_the_deads(struct stage *stage)
{
    struct actor dead = test_pool_actor(&stage->pool, DEAD);

    take(stage, stage->others, &stage->other, LOW);
    cache_flush(&stage->pool.segment, &stage->other);
    test_pool_drain(&stage->pool, &dead);
}

/* Left to anyone, and nothing idle. */
static void some_were_left(struct stage *stage)
{
    unsigned i;

    nothing_idle(stage);
    for (i = 0; i < 2; i++) {
        uint64_t index = stage->walkers->index[--stage->walkers->count];

        TEST_REQUIRE(notes_leave(&stage->pool.segment, test_pool_handle(&stage->pool, index),
                                 WALKER, 1, NOW - i) == 0,
                     "slot %llu cannot be left", (unsigned long long)index);
    }
}

/* --------------------------------------------------------------------- acts */

static void act_withdraw(void *argument)
{
    struct stage *stage = argument;

    growth_withdraw(&stage->pool.segment, &stage->walker, LOW);
    lane_open(&stage->lane, &stage->pool, &stage->walker);
}

static void act_withdraw_without_a_cache(void *argument)
{
    struct stage *stage = argument;
    struct actor actor = bare(&stage->walker);

    growth_withdraw(&stage->pool.segment, &actor, LOW);
}

static void act_retreat(void *argument)
{
    struct stage *stage = argument;

    growth_retreat(&stage->pool.segment, LOW);
}

static void act_publish(void *argument)
{
    struct stage *stage = argument;

    growth_publish(&stage->pool.segment, SLOTS);
}

static void act_publish_one(void *argument)
{
    struct stage *stage = argument;

    growth_publish(&stage->pool.segment, LOW + 1);
}

static void act_publish_all(void *argument)
{
    struct stage *stage = argument;

    growth_publish(&stage->pool.segment, MAXIMUM);
}

static void act_expire(void *argument)
{
    struct stage *stage = argument;

    notes_expire(&stage->pool.segment, NOW, true);
}

static void act_sweep(void *argument)
{
    struct stage *stage = argument;

    sweep_session(&stage->pool.segment, DEAD, NULL, NULL);
}

static void act_alloc(void *argument)
{
    struct stage *stage = argument;

    alloc_inlined(&stage->lane, stage, stage->walkers, 18);
}

static void act_alloc_without_a_cache(void *argument)
{
    struct stage *stage = argument;
    struct actor actor = bare(&stage->walker);

    take(stage, stage->walkers, &actor, 2);
}

static void act_free(void *argument)
{
    struct stage *stage = argument;

    free_inlined(&stage->lane, stage, stage->walkers, 12);
}

static void act_free_one(void *argument)
{
    struct stage *stage = argument;

    free_inlined(&stage->lane, stage, stage->walkers, 1);
}

static void act_free_some(void *argument)
{
    struct stage *stage = argument;

    free_inlined(&stage->lane, stage, stage->walkers, 3);
}

static void act_free_without_a_cache(void *argument)
{
    struct stage *stage = argument;
    struct actor actor = bare(&stage->walker);

    give_back(stage, stage->walkers, &actor, 1);
}

static void act_free_take_free(void *argument)
{
    struct stage *stage = argument;

    free_inlined(&stage->lane, stage, stage->walkers, 2);
    alloc_inlined(&stage->lane, stage, stage->walkers, 1);
    free_inlined(&stage->lane, stage, stage->walkers, 1);
}

/* The slow way, which sees the mark and clears it. */
static void act_look_in_vain_and_free(void *argument)
{
    struct stage *stage = argument;

    alloc_inlined(&stage->lane, stage, stage->walkers, 1);
    free_inlined(&stage->lane, stage, stage->walkers, 1);
}

/* A thread's first free, and its next. */
static void act_claim_and_free(void *argument)
{
    struct stage *stage = argument;
    struct actor fresh = stage->walker;

    fresh.cache = cache_claim(&stage->pool.segment, WALKER, 99);
    stage->lane.actor = fresh;
    fastalloc_lanes_->gate = NULL;
    free_inlined(&stage->lane, stage, stage->walkers, 3);
}

static void act_wait(void *argument)
{
    struct stage *stage = argument;

    wait_once(stage, stage->walkers, &stage->walker);
}

static void act_wait_without_a_cache(void *argument)
{
    struct stage *stage = argument;
    struct actor actor = bare(&stage->walker);

    wait_once(stage, stage->walkers, &actor);
}

/* --------------------------------------------------------------- meanwhile */

static void work(struct stage *stage)
{
    take(stage, stage->others, &stage->other, 4);
    give_back(stage, stage->others, &stage->other, 20);
}

static void work_without_a_cache(struct stage *stage)
{
    struct actor actor = bare(&stage->other);

    take(stage, stage->others, &actor, 2);
    give_back(stage, stage->others, &actor, 10);
}

/* Slots that stood in the way. */
static void free_many(struct stage *stage)
{
    give_back(stage, stage->others, &stage->other, 30);
}

static void mark(struct stage *stage)
{
    TEST_REQUIRE(revoke_begin(&stage->pool.segment, &stage->other, &stage->round), "no barrier");
}

static void withdraw(struct stage *stage)
{
    growth_withdraw(&stage->pool.segment, &stage->third, LOW);
}

static void withdraw_more(struct stage *stage)
{
    growth_withdraw(&stage->pool.segment, &stage->third, LOWER);
}

static void shrink(struct stage *stage)
{
    withdraw(stage);
    stage->capacity = growth_retreat(&stage->pool.segment, LOW);
    growth_end_withdrawing(&stage->pool.segment, &stage->third);
}

static void shrink_and_grow(struct stage *stage)
{
    shrink(stage);
    growth_publish(&stage->pool.segment, MAXIMUM);
}

static void grow(struct stage *stage)
{
    growth_publish(&stage->pool.segment, MAXIMUM);
}

static void sweep(struct stage *stage)
{
    sweep_session(&stage->pool.segment, DEAD, NULL, NULL);
}

/* An allocation may not say that nothing is idle while it sees that something is. */
static void look_for_what_is_returned(struct stage *stage)
{
    struct segment *segment = &stage->pool.segment;
    struct actor actor = bare(&stage->third);
    uint64_t at = 0;

    while (at < segment_capacity(segment) && slot_owner_of(segment->words[at]) != SLOT_RETURNED)
        at++;
    take(stage, stage->thirds, &actor, 1);
    TEST_REQUIRE(stage->thirds->error != FASTALLOC_E_EXHAUSTED || at == segment_capacity(segment),
                 "EXHAUSTED, though slot %llu was returned all the while", (unsigned long long)at);
}

static void wait_for_one(struct stage *stage)
{
    wait_once(stage, stage->thirds, &stage->third);
}

static void wait_for_one_without_a_cache(struct stage *stage)
{
    struct actor actor = bare(&stage->third);

    wait_once(stage, stage->thirds, &actor);
}

/* Another free wakes the waiter, who gets all there is, and waits for more. */
static void free_one_and_wait_for_more(struct stage *stage)
{
    struct actor actor = bare(&stage->other);

    give_back(stage, stage->others, &actor, 1);
    do
        wait_once(stage, stage->thirds, &stage->third);
    while (!stage->thirds->error);
}

static void free_fast(struct stage *stage)
{
    free_inlined(&stage->others_lane, stage, stage->others, 1);
}

static void free_fast_twice(struct stage *stage)
{
    free_inlined(&stage->others_lane, stage, stage->others, 2);
}

static void free_without_a_cache(struct stage *stage)
{
    struct actor actor = bare(&stage->other);

    give_back(stage, stage->others, &actor, 1);
}

/* ---------------------------------------------------------------- afterwards */

static void retreat(struct stage *stage)
{
    growth_retreat(&stage->pool.segment, LOW);
    end_withdrawing(stage);
}

static void retreat_more(struct stage *stage)
{
    growth_retreat(&stage->pool.segment, LOWER);
    retreat(stage);
}

static void take_marked(struct stage *stage)
{
    take(stage, stage->others, &stage->other, 1);
    retreat(stage);
}

/* The next daemon. */
static void adopt_again(struct stage *stage)
{
    growth_publish(&stage->pool.segment, stage->capacity);
    end_withdrawing(stage);
    if (stage->pool.segment.notes)
        notes_expire(&stage->pool.segment, NOW, true);
}

static void sweep_walker(struct stage *stage)
{
    sweep_session(&stage->pool.segment, WALKER, NULL, NULL);
    stage->walkers->count = 0;
}

static void require_third_awake(struct stage *stage)
{
    require_awake(stage, stage->thirds, &stage->third);
}

/* He may have had to go to sleep again: but not for longer than to the next free. */
static void free_and_require_third_awake(struct stage *stage)
{
    struct actor actor = bare(&stage->walker);

    give_back(stage, stage->walkers, &actor, 1);
    require_awake(stage, stage->thirds, &stage->third);
}

/* The walker waited, and has looked; the child is gone, what it noted stands. */
static void require_walker_awake(struct stage *stage)
{
    require_awake(stage, stage->walkers, &stage->walker);
}

static const struct scene scenes[] = {
    {"withdrawal, while another works", idle_in_depots, act_withdraw, work, retreat, false},
    {"withdrawal of never used ones, while another works", idle_everywhere, act_withdraw, work,
     retreat, false},
    {"withdrawal without a cache, while another works", idle_in_depots,
     act_withdraw_without_a_cache, work_without_a_cache, retreat, false},
    {"withdrawal, marked, then robbed", idle_in_depots, act_withdraw, mark, take_marked, false},
    {"withdrawal, while another withdraws more", idle_in_depots, act_withdraw, withdraw_more,
     retreat_more, false},
    {"withdrawal, while a dead one is swept", one_died, act_withdraw, sweep, retreat, false},
    {"withdrawal, while the pool grows", idle_everywhere, act_withdraw, grow, retreat, false},
    {"withdrawal, killed", idle_in_depots, act_withdraw, NULL, sweep_walker, false},
    {"alloc, while the pool shrinks", idle_in_depots, act_alloc, shrink, NULL, false},
    {"alloc of never used ones, while the pool shrinks", never_used, act_alloc, shrink, NULL,
     false},
    {"alloc of never used ones, while it shrinks and grows", never_used, act_alloc, shrink_and_grow,
     NULL, false},
    {"alloc without a cache, while the pool shrinks", idle_everywhere, act_alloc_without_a_cache,
     shrink, NULL, false},
    {"free, while the pool shrinks", idle_in_depots, act_free, shrink, NULL, false},
    {"free without a cache, while the pool shrinks", idle_in_depots, act_free_without_a_cache,
     shrink, NULL, false},
    {"sweep, while another withdraws", one_died, act_sweep, withdraw, retreat, false},
    {"retreat, while another works", withdrawn, act_retreat, work, end_withdrawing, false},
    {"retreat, while slots in its way are freed", withdrawn, act_retreat, free_many,
     end_withdrawing, false},
    {"retreat, while another withdraws more", withdrawn, act_retreat, withdraw_more, retreat_more,
     false},
    {"retreat, killed, and the pool adopted again", withdrawn, act_retreat, NULL, adopt_again,
     false},
    {"readmission, while another works", shrunk, act_publish, work, NULL, false},
    {"readmission, while another looks for a slot", shrunk_and_empty, act_publish_one,
     look_for_what_is_returned, NULL, false},
    {"readmission, killed, and the pool adopted again", shrunk, act_publish, NULL, adopt_again,
     false},
    {"alloc, while the pool grows", shrunk, act_alloc, grow, NULL, false},
    {"expiry, while another looks for a slot", some_were_left, act_expire,
     look_for_what_is_returned, NULL, false},
    {"expiry, killed, and the pool adopted again", some_were_left, act_expire, NULL, adopt_again,
     false},
    {"free, while another begins to wait", nothing_idle, act_free_one, wait_for_one,
     require_third_awake, false},
    {"frees, while another begins to wait", nothing_idle, act_free_some, wait_for_one,
     require_third_awake, false},
    {"frees, while one without a cache begins to wait", nothing_idle, act_free_some,
     wait_for_one_without_a_cache, require_third_awake, false},
    {"frees between waits, while another begins to wait", nothing_idle_and_lanes_are_open,
     act_free_take_free, wait_for_one, require_third_awake, false},
    {"look in vain and free, while another begins to wait", nothing_idle, act_look_in_vain_and_free,
     wait_for_one, require_third_awake, false},
    {"free without a cache, while another begins to wait", nothing_idle, act_free_without_a_cache,
     wait_for_one, require_third_awake, false},
    {"first frees of a thread, while another begins to wait", nothing_idle, act_claim_and_free,
     wait_for_one, require_third_awake, false},
    {"free for one who waits, while another free wakes him", nothing_idle_and_one_waits,
     act_free_one, free_one_and_wait_for_more, free_and_require_third_awake, false},
    {"growth, while another begins to wait", shrunk_and_empty, act_publish_all, wait_for_one,
     require_third_awake, false},
    {"sweep, while another begins to wait", the_rest_is_the_deads, act_sweep, wait_for_one,
     require_third_awake, false},
    {"wait, while another frees", nothing_idle, act_wait, free_fast, require_walker_awake, true},
    {"wait, while another frees twice", nothing_idle, act_wait, free_fast_twice,
     require_walker_awake, true},
    {"wait after a wait, while another frees twice", nothing_idle_and_lanes_are_open, act_wait,
     free_fast_twice, require_walker_awake, true},
    {"wait without a cache, while another frees", nothing_idle, act_wait_without_a_cache, free_fast,
     require_walker_awake, true},
    {"wait, while one without a cache frees", nothing_idle, act_wait, free_without_a_cache,
     require_walker_awake, false},
    {"wait, while the pool grows", nothing_idle, act_wait, grow, require_walker_awake, false},
    {"wait, while a dead one is swept", the_rest_is_the_deads, act_wait, sweep,
     require_walker_awake, false},
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
    const struct scene *scene;
    struct account walkers, others, thirds;
    uint64_t capacity;
    char *segment;
};

static void open_lane(struct set *set)
{
    struct stage *stage = &set->stage;

    if (set->scene->lane)
        lane_open(&stage->others_lane, &stage->pool, &stage->other);
    else
        lane_open(&stage->lane, &stage->pool, &stage->walker);
}

static void build(struct set *set, const struct scene *scene)
{
    struct stage *stage = &set->stage;
    uint64_t total;

    memset(set, 0, sizeof *set);
    set->scene = scene;
    stage->walkers = share(sizeof *stage->walkers);
    stage->others = share(sizeof *stage->others);
    stage->thirds = share(sizeof *stage->thirds);
    test_pool_make(&stage->pool, &(struct test_shape){.capacity = SLOTS,
                                                      .max_capacity = MAXIMUM,
                                                      .threads = 6,
                                                      .object_size = 8,
                                                      .flags = SPEC_NOTES});
    total = stage->pool.segment.geometry.total;
    stage->walker = test_pool_actor(&stage->pool, WALKER);
    stage->other = test_pool_actor(&stage->pool, OTHER);
    stage->third = test_pool_actor(&stage->pool, THIRD);
    lane_open(&stage->lane, &stage->pool, &stage->walker);
    scene->prepare(stage);
    open_lane(set);
    set->walkers = *stage->walkers;
    set->others = *stage->others;
    set->thirds = *stage->thirds;
    set->capacity = stage->capacity;
    set->segment = malloc(total);
    TEST_REQUIRE(set->segment, "no memory");
    memcpy(set->segment, stage->pool.segment.base, total);
}

static void restore(struct set *set)
{
    struct stage *stage = &set->stage;

    memcpy(stage->pool.segment.base, set->segment, stage->pool.segment.geometry.total);
    *stage->walkers = set->walkers;
    *stage->others = set->others;
    *stage->thirds = set->thirds;
    stage->capacity = set->capacity;
    test_pool_forget(&stage->pool);
    open_lane(set);
}

static void tear_down(struct set *set)
{
    struct stage *stage = &set->stage;

    revoke_end(&stage->round);
    munmap(stage->walkers, sizeof *stage->walkers);
    munmap(stage->others, sizeof *stage->others);
    munmap(stage->thirds, sizeof *stage->thirds);
    test_pool_discard(&stage->pool);
    free(set->segment);
}

/* Each holds what he says, and nobody anything twice. */
static void compare_accounts(struct stage *stage)
{
    const struct account *accounts[] = {stage->walkers, stage->others, stage->thirds};
    static const uint32_t sessions[] = {WALKER, OTHER, THIRD};
    unsigned who, i;

    test_pool_forget(&stage->pool);
    for (who = 0; who < 3; who++)
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

static const void *memory(void *argument, size_t *size)
{
    struct stage *stage = argument;

    *size = stage->pool.segment.geometry.total;
    return stage->pool.segment.base;
}

static void play_point(struct set *set, const struct tracer_act *act,
                       const struct trace_point *point)
{
    const struct scene *scene = set->scene;
    struct stage *stage = &set->stage;
    struct actor last;
    struct tracee walker;

    restore(set);
    tracer_reach(&walker, act, point);
    if (scene->interrupt) {
        scene->interrupt(stage);
        tracer_finish(&walker);
    }
    tracer_kill(&walker);
    if (scene->after)
        scene->after(stage);
    compare_accounts(stage);
    if (session_state(&stage->pool.segment, DEAD) == SESSION_LIVE)
        sweep_session(&stage->pool.segment, DEAD, NULL, NULL);
    test_pool_assert_clean(&stage->pool);
    sweep_session(&stage->pool.segment, WALKER, NULL, NULL);
    last = test_pool_bare_actor(&stage->pool, 5);
    test_pool_assert_exact(&stage->pool, &last);
}

/* In the walker's process, before it is watched. */
static void enter(void *argument)
{
    struct stage *stage = argument;

    lane_open(&stage->lane, &stage->pool, &stage->walker);
}

START_TEST(a_pool_that_changes_its_capacity_is_whole_and_waiters_wake)
{
    const struct scene *scene = &scenes[_i];
    uint64_t random = test_seed(scene->name);
    bool all = getenv("FASTALLOC_TEST_LONG") != NULL;
    struct trace trace;
    struct set set;
    const struct tracer_act act = {
        .enter = enter, .run = scene->act, .argument = &set.stage, .memory = memory};
    size_t noted, others, i;
    char place[200];

    build(&set, scene);
    tracer_record(&trace, &act);
    noted = trace_draw(trace.points, trace.count, all ? SIZE_MAX : NOTED_SOME, &random);
    others = trace_draw(trace.others, trace.other_count, all ? OTHERS_MANY : OTHERS_SOME, &random);
    for (i = 0; i < noted + others; i++) {
        const struct trace_point *point = i < noted ? &trace.points[i] : &trace.others[i - noted];

        trace_describe(&trace, point, place, sizeof place);
        if (getenv("FASTALLOC_TEST_SEED")) /* somebody looks closer */
            fprintf(stderr, "  %s: %s\n", scene->name, place);
        play_point(&set, &act, point);
    }
    printf("  %-54s %6u instructions %6zu noted %6zu stops\n", scene->name, trace.steps,
           trace.count, noted + others);
    fflush(stdout);
    trace_free(&trace);
    tear_down(&set);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("growth interleavings");
    TCase *cases = tcase_create("growth interleavings");

    (void)argc;
    crash_bind_now(argv);
    if (!tracer_can())
        return 77;
    tcase_set_timeout(cases, crash_time_limit());
    tcase_add_loop_test(cases, a_pool_that_changes_its_capacity_is_whole_and_waiters_wake, 0,
                        (int)(sizeof scenes / sizeof scenes[0]));
    suite_add_tcase(suite, cases);
    return test_run(suite);
}
