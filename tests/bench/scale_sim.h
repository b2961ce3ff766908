/* SPDX-License-Identifier: MIT
 *
 * scale_sim: the state of a simulation, for its two halves: scale_sim.c (chance, workloads,
 * cores, the loop) and scale_depots.c (caches, depots, what is done when all are locked).
 */
#ifndef TESTS_BENCH_SCALE_SIM_H
#define TESTS_BENCH_SCALE_SIM_H

#include "scale.h"

#define SIM_NOBODY UINT32_MAX

struct magazine {
    uint32_t n, core; /* entries, and who used them last */
};

struct depot {
    uint32_t holder; /* thread */
    uint32_t last;   /* core that touched it last */
    struct magazine *stock;
    uint32_t stocked; /* those with entries */
    uint32_t first_waiting, last_waiting;
    bool looked;            /* by another core, since it was locked */
    double locked_at, held; /* since when; how long in all */
};

enum doing { WORKS, SEEKS, HOLDS, WAITS };
enum want { ALLOC, FREE, YIELD };

struct thread {
    enum doing doing;
    enum want op, want; /* the operation that is next; what an exchange is for */
    bool decided, marked, insists, runnable;
    bool starves;                       /* for the other side of its ring, and for nothing else */
    uint32_t core, own, held, at, done; /* at: depot held or waited for; done: ops of the chunk */
    uint32_t phase;                     /* of a burst */
    uint32_t n[2], far[2]; /* entries of loaded and previous; how many of another core */
    double remains, need;  /* of what it does; since when it wants an exchange */
    uint64_t random;
    uint32_t next_on_core, next_waiting;
};

struct core {
    double at; /* when what it does ends */
    double slice_ends;
    uint32_t current;
};

struct simulation {
    const struct scale_setting *set;
    double op, others, swap, slow, hold, line, lines, far, put, take, claim, foreign, coin, ring,
        cell, change, slice, barrier, mark;
    struct thread *threads;
    struct core *cores;
    uint32_t *first, leaves; /* a tree over the cores: which of those below is next */
    struct depot *depots;
    uint32_t *rings; /* slots in the ring of threads 2i and 2i+1 */
    uint64_t returned, fresh;
    double bitmap_free; /* when its lines are free again */
    uint64_t bitmap_last;
    double now, begin;
    uint64_t ops, frees, exchanges, shut, seeks, puts, revocations, waits;
    double waited;
};

/* scale_sim.c.  What the core does ends then; the operation that was next is done; the thread can
 * run again. */
void sim_set_end(struct simulation *sim, uint32_t core, double at);
void sim_finish(struct simulation *sim, struct thread *thread);
void sim_wake(struct simulation *sim, uint32_t t, double at);

/* scale_depots.c. */

void sim_put_magazine(const struct simulation *sim, struct depot *depot, struct magazine given);

/* What an operation out of the cache costs; a negative number when it needs an exchange. */
double sim_cached(struct simulation *sim, struct thread *thread, enum want want);

/* Each returns how long what the thread begins takes; negative: it blocks. */
double sim_lock(struct simulation *sim, uint32_t t, uint32_t d);
double sim_seek(struct simulation *sim, uint32_t t);

/* What was done under the lock, and on to the next. */
void sim_release(struct simulation *sim, uint32_t t);

#endif
