/* SPDX-License-Identifier: MIT
 *
 * results: what was measured: a value for each repeat of each figure of each implementation.
 */
#ifndef TESTS_BENCH_RESULTS_H
#define TESTS_BENCH_RESULTS_H

#include "suite.h"

#include <jansson.h>
#include <stddef.h>

#define RESULT_NAME_MAX 64

struct result {
    const char *implementation;
    const struct workload *of;      /* NULL: of none that is timed */
    char workload[RESULT_NAME_MAX]; /* with the figure's name, as in bench-results.json */
    const char *unit;
    double *values; /* in the order of the repeats */
    size_t count;
    double median, min, max; /* after results_settle() */
    double spread;           /* half the distance between the quartiles */
};

struct results {
    struct result *list;
    size_t count;
};

/* The name of a result: of the i-th figure of a workload. */
void result_name(const struct workload *, int figure, char name[RESULT_NAME_MAX]);

void results_add(struct results *, const char *implementation, const struct workload *, int figure,
                 double value);
/* Instructions of an alloc and its free, counted elsewhere: the result of
 * "WORKLOAD-instructions". */
void results_add_instructions(struct results *, const char *implementation, const char *workload,
                              double count);
void results_settle(struct results *);
/* NULL: there is none. */
const struct result *results_find(const struct results *, const char *implementation,
                                  const char *workload);
json_t *results_json(const struct results *);
void results_free(struct results *);

#endif
