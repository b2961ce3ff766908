/* SPDX-License-Identifier: MIT
 *
 * scale_sim: the simulation.  Discrete events: threads on cores that allocate and free out of
 * caches of two magazines and exchange these at depots, in the order of resort of
 * lib/shm/supply.c, with costs instead of code.
 *
 * An event is the end of what a core's thread was doing; the core whose event is next decides
 * what its thread does then.  A core runs its threads in turn, a slice each; one whose slice
 * ends with a depot's lock in its hands keeps the lock until its turn comes again.
 */
#include "scale_sim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 32u         /* operations simulated as one event, at most */
#define CHUNK_ALONE 1024u /* ... where nobody waits for them and no exchange comes */
#define NEVER INFINITY

const char *const scale_workload_names[SCALE_WORKLOADS] = {"pair",     "walk",   "burst",
                                                           "handover", "larson", "poisson"};

/* ---------------------------------------------------------------- chance */

/* Steele, Lea and Flood's SplitMix, 64 bits. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double draw_time(uint64_t *state, double mean)
{
    return -mean * log(((double)(draw(state) >> 11) + 0.5) * 0x1p-53);
}

/* ---------------------------------------------------------------- workloads */

static uint32_t *ring_of(struct simulation *sim, uint32_t t)
{
    return &sim->rings[t / 2];
}

void sim_set_end(struct simulation *sim, uint32_t core, double at)
{
    uint32_t node;

    sim->cores[core].at = at;
    for (node = (sim->leaves + core) / 2; node; node /= 2) {
        uint32_t left = sim->first[2 * node], right = sim->first[2 * node + 1];

        sim->first[node] = sim->cores[right].at < sim->cores[left].at ? right : left;
    }
}

/* Makes the thread runnable again; its core may have been idle. */
void sim_wake(struct simulation *sim, uint32_t t, double at)
{
    struct thread *thread = &sim->threads[t];
    struct core *core = &sim->cores[thread->core];

    if (thread->runnable)
        return;
    thread->runnable = true;
    if (core->at == NEVER) {
        core->current = t;
        core->slice_ends = at + sim->slice;
        sim_set_end(sim, thread->core, at);
    }
}

/* What the thread does next, decided once; false: it can do nothing until its partner does. */
static bool decide(struct simulation *sim, uint32_t t)
{
    struct thread *thread = &sim->threads[t];
    const struct scale_setting *set = sim->set;

    if (thread->decided)
        return true;
    switch (set->workload) {
    case SCALE_PAIR:
    case SCALE_LARSON:
    case SCALE_POISSON:
        thread->op = thread->held ? FREE : ALLOC;
        break;
    case SCALE_WALK:
        thread->op = thread->held == 0                 ? ALLOC
                     : thread->held == SCALE_HELD_MOST ? FREE
                     : draw(&thread->random) & 1       ? FREE
                                                       : ALLOC;
        break;
    case SCALE_BURST:
        if (thread->phase == 2 * set->burst)
            thread->phase = 0;
        thread->op = thread->phase++ < set->burst ? ALLOC : FREE;
        break;
    case SCALE_HANDOVER:
        thread->op = t % 2 ? FREE : ALLOC;
        if (t % 2 ? *ring_of(sim, t) == 0 : *ring_of(sim, t) + thread->done >= SCALE_RING)
            return false;
        *ring_of(sim, t) -= t % 2;
        break;
    case SCALE_WORKLOADS:
        return false;
    }
    thread->decided = true;
    return true;
}

/* What the workload adds to an operation. */
static double extra(const struct simulation *sim, const struct thread *thread)
{
    const struct scale_setting *set = sim->set;

    switch (set->workload) {
    case SCALE_WALK:
        return sim->coin;
    case SCALE_HANDOVER:
        return sim->ring + (thread->op == FREE ? sim->foreign : 0);
    case SCALE_LARSON:
        return thread->op == FREE ? sim->cell + sim->others * (sim->line + sim->foreign) : 0;
    case SCALE_PAIR:
    case SCALE_BURST:
    case SCALE_POISSON:
    case SCALE_WORKLOADS:
        break;
    }
    return 0;
}

void sim_finish(struct simulation *sim, struct thread *thread)
{
    thread->decided = false;
    if (thread->op == ALLOC)
        thread->held++;
    else if (thread->held)
        thread->held--;
    if (sim->now < sim->begin)
        return;
    sim->ops++;
    sim->frees += thread->op == FREE;
}

/* The chunk before is over: the other side of the ring sees it. */
static void tell(struct simulation *sim, uint32_t t)
{
    struct thread *thread = &sim->threads[t];

    if (sim->set->workload != SCALE_HANDOVER || !thread->done)
        return;
    if (t % 2 == 0)
        *ring_of(sim, t) += thread->done;
    thread->done = 0;
    if (sim->threads[t ^ 1u].starves)
        sim_wake(sim, t ^ 1u, sim->now);
}

/* ---------------------------------------------------------------- steps */

static double work(struct simulation *sim, uint32_t t)
{
    struct thread *thread = &sim->threads[t];
    bool alone = sim->set->workload == SCALE_PAIR || sim->set->workload == SCALE_LARSON;
    uint32_t n, most = alone ? CHUNK_ALONE : CHUNK;
    double time = 0;

    thread->starves = false;
    tell(sim, t);
    if (sim->set->workload == SCALE_POISSON) {
        thread->doing = SEEKS;
        thread->want = ALLOC;
        return draw_time(&thread->random, sim->set->think_ns);
    }
    if (thread->marked) {
        thread->marked = false;
        thread->need = sim->now;
        if (sim->depots[thread->own].holder == SIM_NOBODY) {
            thread->want = YIELD;
            return sim->slow + sim_lock(sim, t, thread->own);
        }
    }
    for (n = 0; n < most; n++) {
        double cost;

        if (!decide(sim, t))
            break;
        cost = sim_cached(sim, thread, thread->op);
        if (cost < 0) {
            thread->want = thread->op;
            thread->doing = SEEKS;
            thread->need = sim->now + time + sim->slow;
            return time + sim->slow;
        }
        time += cost + extra(sim, thread);
        thread->done++;
        sim_finish(sim, thread);
    }
    if (n == 0) {
        thread->starves = true;
        return -1;
    }
    return time;
}

static double begin_next(struct simulation *sim, uint32_t t)
{
    struct thread *thread = &sim->threads[t];

    if (thread->doing == HOLDS)
        sim_release(sim, t);
    if (thread->doing == SEEKS)
        return sim_seek(sim, t);
    return work(sim, t);
}

/* ---------------------------------------------------------------- cores */

/* The next of the core's threads that can run; SIM_NOBODY when there is none. */
static uint32_t next_thread(const struct simulation *sim, uint32_t current)
{
    uint32_t t = current;

    do {
        t = sim->threads[t].next_on_core;
        if (sim->threads[t].runnable)
            return t;
    } while (t != current);
    return SIM_NOBODY;
}

/* Gives the core to one of its threads. */
static void change_to(struct simulation *sim, uint32_t c, uint32_t next, double at)
{
    struct core *core = &sim->cores[c];

    core->current = next;
    core->slice_ends = at + sim->change + sim->slice;
    sim_set_end(sim, c, at + sim->change);
}

static void run_core(struct simulation *sim, uint32_t c)
{
    struct core *core = &sim->cores[c];
    struct thread *thread = &sim->threads[core->current];
    uint32_t next;
    double time;

    sim->now = core->at;
    if (thread->runnable && thread->remains > 0) { /* comes back to what it was doing */
        time = thread->remains;
        thread->remains = 0;
    } else {
        time = begin_next(sim, core->current);
    }
    if (time < 0) {
        thread->runnable = false;
        next = next_thread(sim, core->current);
        if (next == SIM_NOBODY)
            sim_set_end(sim, c, NEVER);
        else
            change_to(sim, c, next, sim->now);
        return;
    }
    if (sim->now + time <= core->slice_ends) {
        sim_set_end(sim, c, sim->now + time);
        return;
    }
    next = next_thread(sim, core->current);
    if (next == core->current || next == SIM_NOBODY) {
        core->slice_ends = sim->now + time + sim->slice;
        sim_set_end(sim, c, sim->now + time);
        return;
    }
    thread->remains = sim->now + time - fmax(core->slice_ends, sim->now);
    change_to(sim, c, next, sim->now + time - thread->remains);
}

/* ---------------------------------------------------------------- all of it */

static void set_costs(struct simulation *sim, const struct scale_costs *costs)
{
    const struct scale_value *of = costs->of;
    double measured = of[SCALE_TRANSFER].median, ratio, taking_turns;

    sim->line = sim->set->line_ns > 0 ? sim->set->line_ns : measured;
    ratio = measured > 0 ? sim->line / measured : 1;
    sim->op = of[SCALE_OP].median + sim->set->work_ns;
    taking_turns = fmin(sim->set->threads, sim->set->cores);
    sim->others = sim->set->foreign > 0 ? sim->set->foreign : (taking_turns - 1) / taking_turns;
    sim->swap = of[SCALE_SWAP].median;
    sim->hold = of[SCALE_HOLD].median;
    sim->slow = fmax(of[SCALE_EXCHANGE].median - sim->hold, 0);
    sim->lines = measured > 0 ? fmax(of[SCALE_HOLD_AFAR].median - sim->hold, 0) / measured : 0;
    sim->far = of[SCALE_SLOT_AFAR].median * ratio;
    sim->put = of[SCALE_RETURNED_PUT].median;
    sim->take = of[SCALE_RETURNED_TAKE].median;
    /* Of a foreign slot word and object, two lines come from afar. */
    sim->claim = of[SCALE_FRESH].median;
    sim->foreign = fmax(of[SCALE_FOREIGN_FREE].median + sim->line - measured, 0);
    sim->coin = of[SCALE_COIN].median;
    sim->ring = of[SCALE_RING_HANDLE].median * ratio;
    sim->cell = of[SCALE_CELL].median;
    sim->change = of[SCALE_SWITCH].median;
    sim->slice = of[SCALE_SLICE].median;
    sim->mark = of[SCALE_ROUND_CACHE].median;
    sim->barrier = scale_barrier(costs, sim->set->cores);
    if (sim->set->workload == SCALE_POISSON)
        sim->line = sim->lines = 0;
}

/* Which cache each thread has got: any. */
static void deal_caches(struct simulation *sim, uint32_t *caches)
{
    uint64_t random = sim->set->seed;
    uint32_t t, other, kept;

    for (t = 0; t < sim->set->threads; t++)
        caches[t] = t;
    while (t-- > 1) {
        other = (uint32_t)(draw(&random) % (t + 1));
        kept = caches[t];
        caches[t] = caches[other];
        caches[other] = kept;
    }
}

static void set_up(struct simulation *sim, uint32_t *caches)
{
    const struct scale_setting *set = sim->set;
    uint32_t t, c, d, per = set->spare / set->magazine + 2, i;

    for (c = 0; c < sim->leaves; c++) {
        sim->cores[c] = (struct core){NEVER, 0, SIM_NOBODY};
        sim->first[sim->leaves + c] = c;
    }
    for (c = sim->leaves; c-- > 1;)
        sim->first[c] = sim->first[2 * c];
    deal_caches(sim, caches);
    for (d = 0; d < set->depots; d++) {
        sim->depots[d].holder = sim->depots[d].first_waiting = SIM_NOBODY;
        sim->depots[d].last = SIM_NOBODY;
    }
    for (t = 0; t < set->threads; t++) {
        struct thread *thread = &sim->threads[t];
        uint32_t first = t % set->cores;

        thread->core = first;
        thread->own = caches[t] % set->depots;
        thread->random = set->seed ^ (t + 1) * UINT64_C(0xd1b54a32d192ed03);
        thread->runnable = true;
        thread->held = set->workload == SCALE_WALK ? SCALE_HELD_MOST / 2 : 0;
        thread->n[0] = set->magazine;
        thread->n[1] = set->workload == SCALE_HANDOVER ? 0 : set->magazine / 2;
        thread->next_on_core = t + set->cores < set->threads ? t + set->cores : first;
        /* They do not begin in step. */
        thread->remains = draw_time(&thread->random, 500);
        if (t < set->cores) {
            sim->cores[t].current = t;
            sim->cores[t].slice_ends = sim->slice * (double)(draw(&thread->random) >> 11) * 0x1p-53;
            sim_set_end(sim, t, 0);
        }
        for (i = 0; i < per; i++)
            sim_put_magazine(sim, &sim->depots[thread->own],
                             (struct magazine){set->magazine, thread->core});
    }
}

static void sum_up(const struct simulation *sim, double time, struct scale_outcome *outcome)
{
    uint32_t d;

    memset(outcome, 0, sizeof *outcome);
    outcome->mops = (double)sim->ops / time * 1e3;
    outcome->exchanges = (double)sim->exchanges / time * 1e3;
    outcome->ops_each = sim->exchanges ? (double)sim->ops / (double)sim->exchanges : INFINITY;
    outcome->wait_ns = sim->waits ? sim->waited / (double)sim->waits : 0;
    outcome->shut = sim->seeks ? (double)sim->shut / (double)sim->seeks : 0;
    outcome->returned = sim->frees ? (double)sim->puts / (double)sim->frees : 0;
    outcome->revocations = (double)sim->revocations / time * 1e6;
    for (d = 0; d < sim->set->depots; d++) {
        const struct depot *depot = &sim->depots[d];
        double use = depot->held / time;

        if (depot->holder != SIM_NOBODY &&
            (sim->threads[depot->holder].doing != HOLDS || sim->threads[depot->holder].at != d))
            scale_give_up("the simulation has lost a lock");

        outcome->use[d] = use;
        outcome->use_mean += use / sim->set->depots;
        outcome->use_most = fmax(outcome->use_most, use);
    }
}

void scale_simulate(const struct scale_costs *costs, const struct scale_setting *setting,
                    struct scale_outcome *outcome)
{
    struct simulation sim = {.set = setting, .bitmap_last = SIM_NOBODY, .fresh = setting->fresh};
    /* All there may be, with what the threads held at first; in any one depot. */
    uint64_t slots = (uint64_t)setting->threads * (setting->spare + SCALE_HELD_MOST + SCALE_RING);
    uint64_t most = (slots + setting->fresh) / setting->magazine + 8 * setting->threads + 16;
    uint32_t *caches = calloc(setting->threads, sizeof *caches), d;
    double end = setting->run_ns * 1.25;

    sim.threads = calloc(setting->threads, sizeof *sim.threads);
    for (sim.leaves = 2; sim.leaves < setting->cores; sim.leaves *= 2)
        ;
    sim.cores = calloc(sim.leaves, sizeof *sim.cores);
    sim.first = calloc(2 * sim.leaves, sizeof *sim.first);
    sim.depots = calloc(setting->depots, sizeof *sim.depots);
    sim.rings = calloc(setting->threads / 2 + 1, sizeof *sim.rings);
    for (d = 0; sim.depots && d < setting->depots; d++)
        sim.depots[d].stock = calloc(most, sizeof *sim.depots[d].stock);
    if (!sim.threads || !sim.cores || !sim.first || !sim.depots || !sim.rings || !caches)
        scale_give_up("no memory for a simulation of %u threads", setting->threads);
    set_costs(&sim, costs);
    set_up(&sim, caches);
    sim.begin = setting->run_ns * 0.25;
    while (sim.cores[sim.first[1]].at < end)
        run_core(&sim, sim.first[1]);
    sum_up(&sim, end - sim.begin, outcome);
    for (d = 0; d < setting->depots; d++)
        free(sim.depots[d].stock);
    free(sim.threads);
    free(sim.cores);
    free(sim.first);
    free(caches);
    free(sim.depots);
    free(sim.rings);
}
