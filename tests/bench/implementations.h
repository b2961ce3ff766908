/* SPDX-License-Identifier: MIT
 *
 * implementations: what is compared, by name, with its workloads.
 */
#ifndef TESTS_BENCH_IMPLEMENTATIONS_H
#define TESTS_BENCH_IMPLEMENTATIONS_H

#include <stddef.h>

#define BENCH_OBJECT_SIZE 64u
#define BENCH_SLOTS 65536u

enum workload { PAIR, BATCH100, CHURN1024, WORKLOADS };

struct implementation {
    const char *name;
    void *(*start)(void); /* its state; ends the program when it cannot be had */
    void (*run[WORKLOADS])(void *state, size_t count);
};

extern const char *const workload_names[WORKLOADS];

#define IMPLEMENTATIONS 5
#define IMPLEMENTATION_MALLOC 2 /* what the others are compared with */
extern const struct implementation implementations[IMPLEMENTATIONS];

#endif
