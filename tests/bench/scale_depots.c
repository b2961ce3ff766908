/* SPDX-License-Identifier: MIT
 *
 * scale_depots: caches and depots in the simulation, and the order of resort of
 * lib/shm/supply.c.
 *
 * What a line of memory costs that another core wrote last: `line`.  A depot's exchange pays
 * for the lines of depot and magazines when another core had the lock before; a look at a
 * locked depot takes a line away from its holder, who pays for it too; and an allocation pays
 * for a slot that another core freed.
 */
#include "scale_sim.h"

#include <math.h>

#define PAUSE_NS 20e3 /* after a round of revocation that found nothing */

/* ---------------------------------------------------------------- depots */

static bool has_stock(const struct depot *depot)
{
    return depot->stocked > 0;
}

/* At most one is not full, and lies on top, so it is taken first: what has entries beside it is
 * merged. */
void sim_put_magazine(const struct simulation *sim, struct depot *depot, struct magazine given)
{
    uint32_t size = sim->set->magazine, sum;
    struct magazine *top = depot->stocked ? &depot->stock[depot->stocked - 1] : NULL;

    if (given.n == 0)
        return;
    if (!top || top->n == size) {
        depot->stock[depot->stocked++] = given;
        return;
    }
    sum = top->n + given.n;
    top->n = sum < size ? sum : size;
    if (sum > size)
        depot->stock[depot->stocked++] = (struct magazine){sum - size, given.core};
}

/* What a look from this core at the depot costs.  It costs its holder as much, whose next store to
 * that line has to fetch it again; a look that does not try the lock leaves the line with all who
 * look, so that is once. */
static double look(struct simulation *sim, struct depot *depot, uint32_t core)
{
    if (depot->holder == SIM_NOBODY)
        return depot->last == core ? 0 : sim->line;
    if (!sim->set->looks || !depot->looked) {
        uint32_t c = sim->threads[depot->holder].core;

        if (sim->cores[c].current == depot->holder)
            sim_set_end(sim, c, sim->cores[c].at + sim->line);
        else
            sim->threads[depot->holder].remains += sim->line;
    }
    depot->looked = true;
    return sim->line;
}

/* The thread has the lock.  Returns how long it will. */
double sim_lock(struct simulation *sim, uint32_t t, uint32_t d)
{
    struct thread *thread = &sim->threads[t];
    struct depot *depot = &sim->depots[d];
    double hold = sim->hold + (depot->last != thread->core ? sim->lines * sim->line : 0);

    depot->holder = t;
    depot->looked = false;
    depot->locked_at = sim->now;
    depot->last = thread->core;
    thread->at = d;
    thread->doing = HOLDS;
    if (sim->now >= sim->begin) {
        sim->exchanges += thread->want != YIELD;
        sim->waited += sim->now - thread->need;
        sim->waits++;
    }
    return hold;
}

/* ---------------------------------------------------------------- caches */

static void set_magazine(struct thread *thread, int which, struct magazine magazine)
{
    thread->n[which] = magazine.n;
    thread->far[which] = magazine.core == thread->core ? 0 : magazine.n;
}

static void swap(struct thread *thread)
{
    uint32_t n = thread->n[0], far = thread->far[0];

    thread->n[0] = thread->n[1];
    thread->far[0] = thread->far[1];
    thread->n[1] = n;
    thread->far[1] = far;
}

/* What an operation out of the cache costs; a negative number when it needs an exchange. */
double sim_cached(struct simulation *sim, struct thread *thread, enum want want)
{
    uint32_t size = sim->set->magazine;
    double cost = sim->op;

    if (want == ALLOC ? thread->n[0] == 0 : thread->n[0] == size) {
        if (want == ALLOC ? thread->n[1] == 0 : thread->n[1] == size)
            return -1;
        swap(thread);
        cost += sim->swap;
    }
    if (want == FREE) {
        thread->n[0]++;
        return cost;
    }
    if (thread->far[0] == thread->n[0] && thread->far[0]) {
        thread->far[0]--;
        cost += sim->far;
    }
    thread->n[0]--;
    return cost;
}

/* ---------------------------------------------------------------- resort */

/* The return bitmap: `n` slots, one after the other, each of which needs its lines. */
static double use_bitmap(struct simulation *sim, uint32_t core, uint32_t n, double each)
{
    double far = sim->bitmap_last == core ? 0 : sim->line, begins = sim->now;

    sim->bitmap_last = core;
    if (sim->bitmap_free > begins)
        begins = sim->bitmap_free;
    sim->bitmap_free = begins + far + n * each / 2;
    return begins - sim->now + far + n * each;
}

/* Nothing to be had from depots.  The loop of insist() in supply.c: mark all, pass a barrier,
 * and wait for a lock. */
static double revoke(struct simulation *sim, uint32_t t)
{
    struct thread *thread = &sim->threads[t];
    uint32_t other;

    if (sim->now >= sim->begin)
        sim->revocations++;
    for (other = 0; other < sim->set->threads; other++)
        sim->threads[other].marked |= other != t;
    thread->insists = true;
    return sim->barrier + sim->mark * sim->set->threads;
}

static double queue_up(struct simulation *sim, uint32_t t, uint32_t d)
{
    struct depot *depot = &sim->depots[d];
    struct thread *thread = &sim->threads[t];

    thread->next_waiting = SIM_NOBODY;
    thread->at = d;
    thread->doing = WAITS;
    if (depot->first_waiting == SIM_NOBODY)
        depot->first_waiting = t;
    else
        sim->threads[depot->last_waiting].next_waiting = t;
    depot->last_waiting = t;
    return -1;
}

/* Serves an allocation and fills the loaded magazine, from slots that lie singly. */
static uint32_t fill(struct simulation *sim, struct thread *thread, uint64_t *from)
{
    uint32_t n = sim->set->magazine - thread->n[0] + 1;

    if (n > *from)
        n = (uint32_t)*from;
    *from -= n;
    thread->n[0] += n - 1;
    thread->far[0] = 0;
    thread->insists = false;
    sim_finish(sim, thread);
    return n;
}

/* No depot could be had; `locked` is the first that was worth it, if there was any. */
static double fall_back(struct simulation *sim, uint32_t t, uint32_t locked, double spent)
{
    struct thread *thread = &sim->threads[t];
    uint32_t n;

    if (sim->now >= sim->begin && !thread->insists)
        sim->shut += locked != SIM_NOBODY;
    thread->doing = WORKS;
    if (sim->set->workload == SCALE_POISSON)
        return spent;
    if (thread->want == FREE) {
        sim->puts += sim->now >= sim->begin;
        sim->returned++;
        sim_finish(sim, thread);
        return spent + use_bitmap(sim, thread->core, 1, sim->put);
    }
    if (sim->fresh) {
        n = fill(sim, thread, &sim->fresh);
        return spent + n * sim->claim;
    }
    if (sim->returned) {
        n = fill(sim, thread, &sim->returned);
        return spent + use_bitmap(sim, thread->core, n, sim->take);
    }
    thread->doing = SEEKS;
    if (sim->set->patient && locked != SIM_NOBODY) {
        thread->insists = true;
        return queue_up(sim, t, locked);
    }
    if (!thread->insists)
        return spent + revoke(sim, t);
    return spent + PAUSE_NS;
}

double sim_seek(struct simulation *sim, uint32_t t)
{
    struct thread *thread = &sim->threads[t];
    const struct scale_setting *set = sim->set;
    double spent = 0;
    uint32_t turn, d, locked = SIM_NOBODY;

    if (set->workload == SCALE_POISSON)
        thread->need = sim->now;
    if (sim->now >= sim->begin && !thread->insists)
        sim->seeks++;
    for (turn = 0; turn < set->depots; turn++) {
        struct depot *depot;

        d = (thread->own + turn) % set->depots;
        depot = &sim->depots[d];
        if (thread->want == ALLOC && !has_stock(depot) && set->workload != SCALE_POISSON) {
            spent += look(sim, depot, thread->core);
            continue;
        }
        if (depot->holder == SIM_NOBODY)
            return spent + sim_lock(sim, t, d);
        if (set->waits || thread->insists)
            return queue_up(sim, t, d);
        spent += look(sim, depot, thread->core);
        if (locked == SIM_NOBODY)
            locked = d;
    }
    return fall_back(sim, t, locked, spent);
}

/* What was done under the lock, and on to the next. */
void sim_release(struct simulation *sim, uint32_t t)
{
    struct thread *thread = &sim->threads[t];
    struct depot *depot = &sim->depots[thread->at];
    struct magazine empty = {0, thread->core}, full = {sim->set->magazine, thread->core};
    uint32_t next = depot->first_waiting;

    if (sim->set->workload == SCALE_POISSON) {
        sim_finish(sim, thread);
    } else if (thread->want == YIELD) {
        sim_put_magazine(sim, depot, (struct magazine){thread->n[0], thread->core});
        sim_put_magazine(sim, depot, (struct magazine){thread->n[1], thread->core});
        set_magazine(thread, 0, empty);
        set_magazine(thread, 1, empty);
    } else if (thread->want == FREE) {
        set_magazine(thread, 1, full);
        sim_put_magazine(sim, depot, full);
        set_magazine(thread, 0, empty);
    } else if (depot->stocked) {
        set_magazine(thread, 0, depot->stock[--depot->stocked]);
    }
    if (sim->now >= sim->begin)
        depot->held += sim->now - (depot->locked_at > sim->begin ? depot->locked_at : sim->begin);
    depot->holder = SIM_NOBODY;
    thread->doing = WORKS;
    thread->insists = false;
    if (next == SIM_NOBODY)
        return;
    depot->first_waiting = sim->threads[next].next_waiting;
    if (sim->set->waits) { /* handed over */
        sim->threads[next].remains = sim_lock(sim, next, thread->at);
    } else { /* woken, to try again: a futex */
        sim->threads[next].doing = SEEKS;
        sim->threads[next].remains = sim->change;
    }
    sim_wake(sim, next, sim->now);
}
