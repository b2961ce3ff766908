/* SPDX-License-Identifier: MIT
 *
 * single: the workloads of one thread on one processor: the three loops of loops.h at 64 bytes
 * and at other sizes, and calls for several objects at once.
 */
#include "suite.h"
#include "worker.h"

#define OBJECT_SIZE 64u

/* Whole batches, whatever the loop. */
static size_t whole(size_t count, size_t batch)
{
    return (count + batch - 1) / batch * batch;
}

static int measure_loop(const struct bench_implementation *implementation, bench_loop *loop,
                        const struct workload *workload, size_t count, double *ns)
{
    double began;
    void *state;

    if (!loop || !count)
        return loop != NULL;
    count = whole(count, 100);
    state = suite_state(implementation, (size_t)workload->argument, 0);
    began = worker_now();
    loop(state, count);
    *ns = (worker_now() - began) / (double)count;
    return 1;
}

static int measure_pair(const struct bench_implementation *implementation,
                        const struct workload *workload, size_t count, double *ns)
{
    return measure_loop(implementation, implementation->pair, workload, count, ns);
}

static int measure_batch100(const struct bench_implementation *implementation,
                            const struct workload *workload, size_t count, double *ns)
{
    return measure_loop(implementation, implementation->batch100, workload, count, ns);
}

static int measure_churn1024(const struct bench_implementation *implementation,
                             const struct workload *workload, size_t count, double *ns)
{
    return measure_loop(implementation, implementation->churn1024, workload, count, ns);
}

static int measure_batches(const struct bench_implementation *implementation,
                           const struct workload *workload, size_t count, double *ns)
{
    size_t batch = (size_t)workload->argument;
    double began;
    void *state;

    if (!implementation->batches || !count)
        return implementation->batches != NULL;
    count = whole(count, batch);
    state = suite_state(implementation, OBJECT_SIZE, 0);
    began = worker_now();
    implementation->batches(state, count, batch);
    *ns = (worker_now() - began) / (double)count;
    return 1;
}

#define LOOP(called, of_group, function, text, ms, in_quick, number)                               \
    {                                                                                              \
        .name = called, .group = of_group, .unit = "ns", .meaning = text, .first_count = 2000,     \
        .run_ms = ms, .pinned = true, .quick = in_quick, .argument = number, .measure = function   \
    }
#define MAIN(called, function, text)                                                               \
    LOOP(called, "one thread", function, text, 50, true, OBJECT_SIZE)
#define SIZED(bytes, in_quick)                                                                     \
    LOOP("pair-" #bytes, #bytes " bytes", measure_pair, "pair of " #bytes " bytes", 0, in_quick,   \
         bytes),                                                                                   \
        LOOP("batch100-" #bytes, #bytes " bytes", measure_batch100,                                \
             "batch100 of " #bytes " bytes", 0, false, bytes),                                     \
        LOOP("churn1024-" #bytes, #bytes " bytes", measure_churn1024,                              \
             "churn1024 of " #bytes " bytes", 0, in_quick, bytes)
#define BATCH(n, in_quick)                                                                         \
    LOOP("batch-" #n, "batch calls", measure_batches, "objects by calls for " #n, 0, in_quick, n)

const struct workload workloads_single[] = {
    MAIN("pair", measure_pair, "an allocation and its free"),
    MAIN("batch100", measure_batch100, "100 allocations, then 100 frees"),
    MAIN("churn1024", measure_churn1024, "of 1,024 objects one at random is replaced"),
    SIZED(16, false),
    SIZED(256, false),
    SIZED(4096, true),
    BATCH(1, true),
    BATCH(2, false),
    BATCH(4, false),
    BATCH(8, false),
    BATCH(16, false),
    BATCH(32, true),
    BATCH(64, false),
    BATCH(128, false),
    BATCH(256, true),
    {.name = NULL},
};
