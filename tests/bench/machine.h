/* SPDX-License-Identifier: MIT
 *
 * machine: what the figures were measured on.
 */
#ifndef TESTS_BENCH_MACHINE_H
#define TESTS_BENCH_MACHINE_H

#include <jansson.h>

/* Its description, for bench-results.json: cpu, cores, caches, memory, kernel, compiler,
 * libc, how busy it is, and the processor that single threads are pinned to. */
json_t *machine_json(int pinned_to);

/* The last processor we may run on, which has the fewest interrupts to serve; -1: unknown. */
int machine_processor(void);

#endif
