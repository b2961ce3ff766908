/* SPDX-License-Identifier: MIT
 *
 * costs: what is shared by the measurements of what things cost beside the pair: making a pool and
 * attaching to it (costs_memory.c), deaths (costs_deaths.c), and slots that run out
 * (costs_supply.c).  costs.c has the list of them, and the private daemon that some need.
 */
#ifndef TESTS_BENCH_COSTS_H
#define TESTS_BENCH_COSTS_H

#include "suite.h"
#include "worker.h"

#include <fastalloc/fastalloc.h>
#include <stdbool.h>
#include <sys/types.h>

/* suite.h, measure(): all of them once, whatever the count. */
#define COSTS_MEASURE(name)                                                                        \
    int name(const struct bench_implementation *implementation, const struct workload *workload,   \
             size_t count, double *figures)

/* workload.argument of costs_metadata(): which bytes. */
enum costs_metadata { COSTS_ALL, COSTS_SLOT, COSTS_THREAD, COSTS_POOL };

COSTS_MEASURE(costs_create);
COSTS_MEASURE(costs_attach);
COSTS_MEASURE(costs_metadata);
COSTS_MEASURE(costs_reclaim);
COSTS_MEASURE(costs_recover);
COSTS_MEASURE(costs_growth);
COSTS_MEASURE(costs_growth_longest);
COSTS_MEASURE(costs_waiters);
COSTS_MEASURE(costs_handoff);

/* Whether it is "fastalloc", whose these are: what they cost does not depend on how the fast path
 * is reached. */
bool costs_apply(const struct bench_implementation *implementation);

/* Ends the worker unless `good`: "bench: WHAT: " and the library's last error. */
void costs_must(bool good, const char *what);

/* The middle one of `count` values, which it sorts. */
double costs_median(double *values, size_t count);

/* This worker's connection to a private daemon, which is started at the first call and ends with
 * the worker. */
fastalloc_client *costs_client(void);

/* A further connection to it, for a forked child. */
fastalloc_client *costs_connect(void);

/* A config with that name, size and capacity, and defaults otherwise. */
void costs_config(fastalloc_pool_config *config, const char *name, size_t object_size,
                  size_t capacity);

/* Memory that forks share, zero; ends the worker where there is none. */
void *costs_shared(size_t size);

/* Waits for a child, which has to have succeeded. */
void costs_join(pid_t child, const char *what);

#endif
