/* SPDX-License-Identifier: MIT
 *
 * run: measures what is asked for: group by group of the suite, in each repeat by repeat,
 * workload by workload, one implementation after the other; so whatever changes in the machine
 * meanwhile meets all alike.
 */
#ifndef TESTS_BENCH_RUN_H
#define TESTS_BENCH_RUN_H

#include "results.h"

#include <jansson.h>
#include <stdbool.h>

struct run_options {
    bool quick;
    bool brief; /* each once and as short as it goes: only to see that it works */
    int repeats;
    int timeout_s;               /* of an answer, whatever is asked */
    int cpu;                     /* of single threads; -1: any */
    const char *workloads;       /* patterns of names or groups, with commas; NULL: all */
    const char *implementations; /* likewise */
};

/* Whether the workload, or the implementation, is asked for. */
bool run_wants_workload(const struct run_options *, const struct workload *);
bool run_wants_implementation(const struct run_options *, const char *name);

/* Measures, with progress on a terminal.  Appends to the arrays: in `versions` an object for each
 * implementation there is, in `left_out` for each that is not, in `failures` for each that died,
 * hung or answered nonsense.  Goes on after each.  Returns false when SIGINT or SIGTERM has ended
 * it early, with all workers. */
bool run_all(const struct run_options *, struct results *, json_t *versions, json_t *left_out,
             json_t *failures);

#endif
