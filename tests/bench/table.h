/* SPDX-License-Identifier: MIT
 *
 * table: prints the results, group by group.
 */
#ifndef TESTS_BENCH_TABLE_H
#define TESTS_BENCH_TABLE_H

#include "results.h"

#include <stdio.h>

void table_print(const struct results *, FILE *);

#endif
