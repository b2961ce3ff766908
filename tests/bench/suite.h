/* SPDX-License-Identifier: MIT
 *
 * suite: every workload by name, what its figures mean, and the function of a worker that
 * measures it.  The parent (bench.c) knows nothing else of them.
 */
#ifndef TESTS_BENCH_SUITE_H
#define TESTS_BENCH_SUITE_H

#include "implementation.h"

#include <stdbool.h>

#define SUITE_FIGURES_MAX 8

struct workload {
    const char *name;    /* "pair", "pair-4096", "processes-16", "latency-crowded" */
    const char *group;   /* of the table it belongs to, and of its plot: "one thread", "sizes".
                          * Workers live as long as a group takes; its workloads stand together */
    const char *unit;    /* "ns", "Mpairs/s", "ms", "bytes" */
    const char *meaning; /* a line for the reader */
    /* Names of the figures where there is more than one ("p50", "p99"): the result's workload is
     * name-figure then, or the workload's own where the figure's is "".  All NULL: one figure,
     * the workload's own. */
    const char *figures[SUITE_FIGURES_MAX];
    const char *units[SUITE_FIGURES_MAX]; /* of the figures; NULL: `unit` */
    size_t first_count; /* of a first, short run; from it the parent finds a count that takes
                         * as long as it wants.  0: the count is always 1 */
    bool timed;         /* the count is milliseconds instead, and is the run's time */
    double run_ms;      /* how long one run should take (with first_count 0: takes, about) in a
                         * full run; 0: SUITE_RUN_MS.  A quick one takes a third */
    bool pinned;        /* one thread: the worker keeps to one processor meanwhile */
    bool quick;         /* also in a quick run */
    double argument;    /* of measure(): an object size, a number of processes */

    /* Measures, in the worker.  Returns the number of figures stored, 0 where the
     * implementation cannot; with count 0 only says whether it can (not 0). */
    int (*measure)(const struct bench_implementation *, const struct workload *, size_t count,
                   double *figures);
};

#define SUITE_RUN_MS 20.0

/* The parts of the suite, each in the file of its subject, ended by a name NULL. */
extern const struct workload workloads_single[];  /* single.c: one thread */
extern const struct workload workloads_crowd[];   /* crowd.c: threads and processes */
extern const struct workload workloads_latency[]; /* latency.c */
extern const struct workload workloads_costs[];   /* costs.c: create, attach, grow, recover ... */
extern const struct workload workloads_crate[];   /* crate.c: what a single-process pool's users
                                                   * measure */

/* The workload of that name in any part; NULL. */
const struct workload *suite_find(const char *name);
/* The i-th of all, in order; NULL behind the last. */
const struct workload *suite_at(size_t i);
/* How many figures it has: one at least. */
int suite_figures(const struct workload *);

/* What the implementation started for so many objects of that size: once, and kept.  `slots` 0:
 * as many as most workloads want (65,536, or 8,192 of 4096 bytes and more). */
void *suite_state(const struct bench_implementation *, size_t object_size, size_t slots);

#endif
