/* SPDX-License-Identifier: MIT
 *
 * goals: what the figures of a run should amount to: ratios of fastalloc to its peers, each with
 * the bound that it must keep.
 */
#ifndef TESTS_BENCH_GOALS_H
#define TESTS_BENCH_GOALS_H

#include "results.h"

#include <jansson.h>
#include <stdio.h>

/* Prints those that can be told from the results, a line each.  Returns them for
 * bench-results.json. */
json_t *goals_report(const struct results *, FILE *);

#endif
