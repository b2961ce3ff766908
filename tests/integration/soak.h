/* SPDX-License-Identifier: MIT
 *
 * soak: a worker of the soak, a process that does everything that can be done with a pool,
 * in an order made up at random, until it is killed or told to finish.
 */
#ifndef TESTS_INTEGRATION_SOAK_H
#define TESTS_INTEGRATION_SOAK_H

#include <fastalloc/fastalloc.h>
#include <stdbool.h>
#include <stdint.h>

#define SOAK_FIXED "soak"
#define SOAK_GROWING "soak-growing"

enum {
    SOAK_PROCESSES = 8,
    SOAK_THREADS = 2,
    SOAK_SLOTS = 10000,
    SOAK_GROWN_FROM = 200,
    SOAK_GROWN_TO = 20000,
    SOAK_LEFT_MS = 500 /* what is left to anyone waits so long for somebody */
};

/* What they count. */
enum soak_count {
    SOAK_ALLOCATED,
    SOAK_BATCHES,
    SOAK_WAITED,
    SOAK_PASSED,
    SOAK_ADOPTED,
    SOAK_GIVEN,
    SOAK_LEFT,
    SOAK_SHARED,
    SOAK_REFERRED,
    SOAK_GROWN,
    SOAK_SHRUNK,
    SOAK_THREADS_ENDED,
    SOAK_FORKED,
    SOAK_EXHAUSTED,
    SOAK_STALLED,
    SOAK_COUNTS
};
extern const char *const soak_count_names[SOAK_COUNTS];

/* Shared by parent and workers. */
struct soak {
    volatile int finish;
    char wrong[1024];
    uint64_t counts[SOAK_COUNTS];
    uint32_t sessions[SOAK_PROCESSES]; /* of the workers in the fixed pool, to give to */
    int channel[2];                    /* handles on their way, written and read whole */
    int shared[2];                     /* weak handles of shared slots, likewise */
    char socket[128];
};

/* Does not return. */
void soak_work(struct soak *soak, unsigned number, uint64_t seed) __attribute__((noreturn));

uint64_t soak_random(uint64_t *state);

#endif
