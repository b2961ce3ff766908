/* SPDX-License-Identifier: MIT
 *
 * scale_together: the costs that need several processes, on two processors: lines of memory that
 * travel, membarriers, changes from one process to another.
 *
 * Two who take turns tell each other by a word of shared memory; what is timed is one's turn.
 * Where there is only one processor, what travels costs nothing.
 */
#define _GNU_SOURCE
#include "scale_pool.h"

#include "shm/depot.h"
#include "shm/magazine.h"
#include "shm/revoke.h"
#include "shm/slot.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCHES 41u
#define ROUNDS 200u /* of a batch */
#define CROWD_MOST 16u
#define CROWD_NS 60e6
#define STRIDE 16u /* slots apart, so that no two words share a line or its neighbour */
#define BARRIERS 41u

struct together {
    uint32_t turn, stop, ready;
    struct {
        uint64_t count __attribute__((aligned(128)));
    } done[CROWD_MOST];
};

static struct together *shared;

static pid_t start(void (*act)(void *), void *of, unsigned processor)
{
    pid_t child = scale_fork();

    if (child)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    scale_pin(processor);
    act(of);
    _exit(0);
}

static void end(pid_t child)
{
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

static bool stopped(void)
{
    return __atomic_load_n(&shared->stop, __ATOMIC_RELAXED);
}

/* Waits for the turn of `me`, 0 or 1.  False when all is over. */
static bool await(uint32_t me)
{
    unsigned looks = 0;

    while ((__atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE) & 1) != me) {
        if (stopped())
            return false;
        if (++looks % 4096 == 0) /* the other may be waiting for this processor */
            sched_yield();
    }
    return true;
}

static void pass(uint32_t me)
{
    __atomic_store_n(&shared->turn, me ^ 1u, __ATOMIC_RELEASE);
}

/* What both of a pair do in turn; of the first one's the time is taken. */
struct duet {
    void (*act)(void *);
    void (*after)(void *); /* not timed */
    struct scale_pool *pool;
    struct actor actors[2];
    uint32_t me;
    double count; /* of what the cost is of, in one act */
};

static void answer(void *of)
{
    struct duet duet = *(struct duet *)of;

    duet.me = 1;
    while (await(1)) {
        if (duet.act)
            duet.act(&duet);
        if (duet.after)
            duet.after(&duet);
        pass(1);
    }
}

/* Of two clock readings, one after the other. */
static double clock_cost(void)
{
    double values[101], began;
    unsigned i;

    for (i = 0; i < 101; i++) {
        began = scale_now_ns();
        values[i] = scale_now_ns() - began;
    }
    return scale_value_of(values, 101).median;
}

/* Takes the time of each act; the median of a batch is a value, since some acts are interrupted.
 * With `partner` false the first acts alone. */
static struct scale_value play(struct duet *duet, bool partner)
{
    double values[BATCHES], times[ROUNDS], overhead = clock_cost(), began;
    unsigned b, i;
    pid_t child = 0;

    memset(shared, 0, sizeof *shared);
    duet->me = 0;
    scale_pin(0);
    if (partner)
        child = start(answer, duet, 1);
    for (b = 0; b < BATCHES; b++) {
        for (i = 0; i < ROUNDS; i++) {
            if (partner && !await(0))
                break;
            began = scale_now_ns();
            duet->act(duet);
            times[i] = (scale_now_ns() - began - overhead) / duet->count;
            if (duet->after)
                duet->after(duet);
            if (partner)
                pass(0);
        }
        values[b] = fmax(scale_value_of(times, ROUNDS).median, 0);
    }
    __atomic_store_n(&shared->stop, 1u, __ATOMIC_RELAXED);
    if (partner)
        end(child);
    return scale_value_of(values, BATCHES);
}

/* ---------------------------------------------------------------- lines */

/* Both act in turn; with `act` NULL they only pass the turn.  Half of what a round takes. */
static struct scale_value measure_rounds(struct duet *duet)
{
    double values[BATCHES], began;
    unsigned b, i;
    pid_t child;

    memset(shared, 0, sizeof *shared);
    scale_pin(0);
    duet->me = 0;
    child = start(answer, duet, 1);
    for (b = 0; b < BATCHES; b++) {
        began = scale_now_ns();
        for (i = 0; i < ROUNDS; i++) {
            if (duet->act)
                duet->act(duet);
            pass(0);
            await(0);
        }
        values[b] = (scale_now_ns() - began) / (2 * ROUNDS);
    }
    __atomic_store_n(&shared->stop, 1u, __ATOMIC_RELAXED);
    end(child);
    return scale_value_of(values, BATCHES);
}

static void exchange_once(void *of)
{
    struct duet *duet = of;
    struct segment *segment = &duet->pool->segment;
    const struct actor *actor = &duet->actors[duet->me];
    struct timespec deadline = {INT32_MAX, 0};
    uint32_t magazine;
    uint64_t word;

    if (depot_lock(segment, 0, &deadline) != LOCK_TAKEN)
        return;
    cache_enter(segment, actor);
    cache_moves(segment, actor);
    if (depot_take_stock_locked(segment, 0, actor->session, &magazine, &word))
        depot_give_locked(segment, 0, magazine, word);
    cache_leave(segment, actor);
    depot_unlock(segment, 0);
}

/* Takes all out of magazine 0 and writes the objects, as allocations do. */
static void empty_magazine(void *of)
{
    struct duet *duet = of;
    struct segment *segment = &duet->pool->segment;
    uint64_t index;

    while (magazine_pop(segment, 0, duet->actors[duet->me].session, &index))
        *(volatile uint64_t *)(segment->objects + index * segment->geometry.stride) = index;
}

static void fill_magazine(void *of)
{
    struct duet *duet = of;
    struct segment *segment = &duet->pool->segment;
    uint32_t i;

    for (i = 0; i < segment->geometry.magazine_size; i++)
        magazine_push(segment, 0, (uint64_t)i * STRIDE,
                      shm_load(&segment->words[(uint64_t)i * STRIDE]), false);
}

static void measure_lines(struct scale_costs *costs, bool two)
{
    struct scale_value near, far;
    struct scale_pool pool;
    struct duet duet = {exchange_once, NULL, &pool, {{.session = 0}}, 0, 1};
    uint32_t i;

    scale_pool_make(&pool, 65536, 8, 8, false);
    duet.actors[0] = scale_pool_actor(&pool, 1, true);
    duet.actors[1] = scale_pool_actor(&pool, 2, true);
    duet.actors[0].depot = 0;
    scale_pool_stock(&pool, &duet.actors[0], 20 * pool.segment.geometry.magazine_size);
    costs->of[SCALE_HOLD_AFAR] = costs->of[SCALE_HOLD];
    if (two) {
        far = measure_rounds(&duet);
        duet.act = NULL;
        near = measure_rounds(&duet);
        costs->of[SCALE_HOLD_AFAR] =
            (struct scale_value){far.min - near.min, far.median - near.median};
    }
    scale_pool_end(&pool);

    scale_pool_make(&pool, 65536, 8, 8, false);
    duet = (struct duet){empty_magazine,
                         fill_magazine,
                         &pool,
                         {{.session = 1}, {.session = 2}},
                         0,
                         pool.segment.geometry.magazine_size};
    for (i = 0; i < pool.segment.geometry.magazine_size; i++)
        slot_claim_fresh(&pool.segment, (uint64_t)i * STRIDE, 1);
    fill_magazine(&duet);
    near = play(&duet, false);
    far = two ? play(&duet, true) : near;
    costs->of[SCALE_SLOT_AFAR] =
        (struct scale_value){fmax(far.min - near.min, 0), fmax(far.median - near.median, 0)};
    scale_pool_end(&pool);
}

/* ---------------------------------------------------------------- membarrier */

static void be_busy(void *of)
{
    (void)of;
    if (!revoke_register())
        scale_give_up("membarrier is refused here");
    __atomic_fetch_add(&shared->ready, 1, __ATOMIC_SEQ_CST);
    while (!stopped())
        ;
}

static struct scale_value measure_barrier(unsigned busy)
{
    struct scale_value value;
    double values[BARRIERS], began;
    pid_t children[CROWD_MOST];
    unsigned i;

    memset(shared, 0, sizeof *shared);
    scale_pin(0);
    for (i = 0; i < busy; i++)
        children[i] = start(be_busy, NULL, i + 1);
    while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < busy)
        sched_yield();
    for (i = 0; i < BARRIERS; i++) {
        usleep(500); /* not all of them while the same processes run */
        began = scale_now_ns();
        if (!revoke_barrier())
            scale_give_up("membarrier is refused here");
        values[i] = scale_now_ns() - began;
    }
    __atomic_store_n(&shared->stop, 1u, __ATOMIC_RELAXED);
    while (i-- > 0)
        if (i < busy)
            end(children[i]);
    /* Those who are busy may be off the processors, for others; then it is a barrier of nobody. */
    value = scale_value_of(values, BARRIERS);
    value.median = values[BARRIERS * 3 / 4];
    return value;
}

/* ---------------------------------------------------------------- processors */

static void yield_always(void *of)
{
    (void)of;
    while (!stopped())
        sched_yield();
}

/* Two on one processor that yield to each other: a round is two changes. */
static struct scale_value measure_switch(void)
{
    double values[BATCHES], began;
    unsigned b, i;
    pid_t child;

    memset(shared, 0, sizeof *shared);
    scale_pin(0);
    child = start(yield_always, NULL, 0);
    for (b = 0; b < BATCHES; b++) {
        began = scale_now_ns();
        for (i = 0; i < ROUNDS; i++)
            sched_yield();
        values[b] = (scale_now_ns() - began) / (2 * ROUNDS);
    }
    __atomic_store_n(&shared->stop, 1u, __ATOMIC_RELAXED);
    end(child);
    return scale_value_of(values, BATCHES);
}

static void spin(void *of)
{
    (void)of;
    while (!stopped())
        ;
}

/* How long one runs beside another before it is not seen for 200 us. */
static struct scale_value measure_slice(void)
{
    double values[15], began = 0, last, now;
    unsigned count = 0;
    pid_t child;

    memset(shared, 0, sizeof *shared);
    scale_pin(0);
    child = start(spin, NULL, 0);
    last = scale_now_ns();
    while (count < 15) {
        now = scale_now_ns();
        if (now - last > 200e3) {
            if (began > 0)
                values[count++] = last - began;
            began = now;
        }
        last = now;
    }
    __atomic_store_n(&shared->stop, 1u, __ATOMIC_RELAXED);
    end(child);
    return scale_value_of(values, count);
}

/* ---------------------------------------------------------------- crowds */

struct crowd {
    struct scale_pool *pool;
    uint32_t me;
};

static void exchange_on(void *of)
{
    struct crowd *crowd = of;
    struct duet duet = {.pool = crowd->pool, .me = 0};

    duet.actors[0] = scale_pool_actor(crowd->pool, crowd->me + 2, true);
    __atomic_fetch_add(&shared->ready, 1, __ATOMIC_SEQ_CST);
    while (!stopped()) {
        exchange_once(&duet);
        shared->done[crowd->me].count++;
    }
}

struct scale_value scale_measure_crowd(unsigned processes)
{
    struct scale_pool pool;
    struct actor actor;
    struct crowd crowd = {&pool, 0};
    pid_t children[CROWD_MOST];
    double values[5], began;
    uint64_t before, after;
    unsigned i, r;

    if (!shared)
        shared = scale_share(sizeof *shared);
    memset(shared, 0, sizeof *shared);
    scale_pool_make(&pool, 65536, CROWD_MOST + 2, CROWD_MOST + 2, false);
    actor = scale_pool_actor(&pool, 1, true);
    actor.depot = 0;
    scale_pool_stock(&pool, &actor, 60 * pool.segment.geometry.magazine_size);
    for (i = 0; i < processes; i++) {
        crowd.me = i;
        children[i] = start(exchange_on, &crowd, i);
    }
    while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < processes)
        sched_yield();
    for (r = 0; r < 5; r++) {
        for (before = 0, i = 0; i < processes; i++)
            before += __atomic_load_n(&shared->done[i].count, __ATOMIC_RELAXED);
        began = scale_now_ns();
        usleep((useconds_t)(CROWD_NS / 5e3));
        for (after = 0, i = 0; i < processes; i++)
            after += __atomic_load_n(&shared->done[i].count, __ATOMIC_RELAXED);
        values[r] = (scale_now_ns() - began) / fmax((double)(after - before), 1);
    }
    __atomic_store_n(&shared->stop, 1u, __ATOMIC_RELAXED);
    for (i = 0; i < processes; i++)
        end(children[i]);
    scale_pool_end(&pool);
    return scale_value_of(values, 5);
}

static struct scale_value measure_transfer(void)
{
    struct duet duet = {.act = NULL};

    if (!shared)
        shared = scale_share(sizeof *shared);
    return scale_processors() > 1 ? measure_rounds(&duet) : (struct scale_value){0, 0};
}

double scale_measure_line(void)
{
    return measure_transfer().median;
}

void scale_measure_together(struct scale_costs *costs)
{
    bool two = scale_processors() > 1;

    if (!shared)
        shared = scale_share(sizeof *shared);
    costs->of[SCALE_TRANSFER] = measure_transfer();
    measure_lines(costs, two);
    costs->of[SCALE_BARRIER_2] = measure_barrier(2);
    costs->of[SCALE_BARRIER_8] = measure_barrier(8);
    costs->of[SCALE_SWITCH] = measure_switch();
    costs->of[SCALE_SLICE] = measure_slice();
}
