/* SPDX-License-Identifier: MIT
 *
 * crate: the benchmarks of the Rust crate fastalloc, by name (MIGRATION.md): of pools within one
 * process, with as many slots as those have.  Pools of 100 slots have no caches here.
 *
 * All in nanoseconds for one allocation, what the loop does with the object, and its free
 * (loops_crate.h); with threads, million of these a second.
 */
#include "loops_crate.h"

#include "suite.h"
#include "worker.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#define OBJECT_SIZE 64u
#define SLOTS 1000u
#define GROWTH_FROM 100u
#define ROUNDS 30000u /* objects, of each loop so many rounds, none of them in part */
#define THREADS_MAX 8
#define ROUNDS_BETWEEN 100u /* looks at the clock */
#define FEW_SLOTS 50u

/* ---------------------------------------------------------------- one thread */

/* How a loop is run: bench_loop, or bench_sized_loop with `held`. */
struct run {
    bench_loop *loop;
    bench_sized_loop *sized;
    size_t held;
    size_t object_size, slots;
};

/* Whole rounds of every loop. */
static size_t whole(double count)
{
    return (size_t)(count / ROUNDS + 1) * ROUNDS;
}

static double time_run(void *state, const struct run *run, size_t count)
{
    double began = worker_now();

    if (run->sized)
        run->sized(state, count, run->held);
    else
        run->loop(state, count);
    return worker_now() - began;
}

/* ns for each, by a run of about so many: what one is worth is found by a shorter one. */
static double measure_run(const struct bench_implementation *implementation, const struct run *run,
                          double ns)
{
    void *state = suite_state(implementation, run->object_size, run->slots);
    double first = time_run(state, run, ROUNDS);
    size_t count = whole(ROUNDS * ns / first);

    return time_run(state, run, count) / (double)count;
}

/* Each of them takes its part of so many milliseconds. */
static int measure_runs(const struct bench_implementation *implementation, const struct run *runs,
                        int number, double ms, double *figures)
{
    int i;

    for (i = 0; i < number; i++)
        figures[i] = measure_run(implementation, &runs[i], ms * 1e6 / number);
    return number;
}

#define RUNS(...) ((const struct run[]){__VA_ARGS__})

static int measure_allocation(const struct bench_implementation *implementation,
                              const struct workload *workload, size_t ms, double *figures)
{
    const struct bench_crate *crate = implementation->crate;

    (void)workload;
    if (!crate || !ms)
        return crate != NULL;
    return measure_runs(implementation,
                        RUNS({.loop = crate->single, .object_size = 1, .slots = SLOTS},
                             {.loop = crate->single, .object_size = 16, .slots = SLOTS},
                             {.loop = crate->single, .object_size = 256, .slots = SLOTS},
                             {.loop = crate->single, .object_size = OBJECT_SIZE, .slots = 100},
                             {.loop = crate->single, .object_size = OBJECT_SIZE, .slots = 1000},
                             {.loop = crate->single, .object_size = OBJECT_SIZE, .slots = 10000}),
                        6, (double)ms, figures);
}

static int measure_deallocation(const struct bench_implementation *implementation,
                                const struct workload *workload, size_t ms, double *figures)
{
    const struct bench_crate *crate = implementation->crate;
    struct run run = {.object_size = OBJECT_SIZE, .slots = SLOTS};
    static const size_t held[] = {1, 10, 100, 1000};
    double ns = (double)ms * 1e6 / 5;
    int i;

    (void)workload;
    if (!crate || !ms)
        return crate != NULL;
    run.sized = crate->bulk;
    for (i = 0; i < 4; i++) {
        run.held = held[i];
        figures[i] = measure_run(implementation, &run, ns);
    }
    run.sized = crate->churn;
    run.held = SLOTS / 2;
    figures[i] = measure_run(implementation, &run, ns);
    return i + 1;
}

static int measure_comparison(const struct bench_implementation *implementation,
                              const struct workload *workload, size_t ms, double *figures)
{
    const struct bench_crate *crate = implementation->crate;

    (void)workload;
    if (!crate || !ms)
        return crate != NULL;
    return measure_runs(implementation,
                        RUNS({.loop = crate->array, .object_size = OBJECT_SIZE, .slots = SLOTS},
                             {.loop = crate->sum, .object_size = OBJECT_SIZE, .slots = SLOTS}),
                        2, (double)ms, figures);
}

/* The first 10,000 objects of pools that start with 100 slots; not the making of these. */
static double measure_growing(const struct bench_implementation *implementation, double ns)
{
    const struct bench_crate *crate = implementation->crate;
    double took = 0, began, end = worker_now() + ns;
    size_t count = 0;
    void *state;

    do {
        state = crate->start_growing(OBJECT_SIZE, GROWTH_FROM, CRATE_RAMP);
        began = worker_now();
        crate->ramp(state, CRATE_RAMP);
        took += worker_now() - began;
        count += CRATE_RAMP;
        implementation->stop(state);
    } while (worker_now() < end);
    return took / (double)count;
}

static int measure_fragmentation(const struct bench_implementation *implementation,
                                 const struct workload *workload, size_t ms, double *figures)
{
    const struct bench_crate *crate = implementation->crate;
    double ns = (double)ms * 1e6 / 4;

    (void)workload;
    if (!crate || !ms)
        return crate != NULL;
    measure_runs(implementation,
                 RUNS({.loop = crate->alternating, .object_size = OBJECT_SIZE, .slots = SLOTS},
                      {.loop = crate->fifo, .object_size = OBJECT_SIZE, .slots = SLOTS},
                      {.loop = crate->random, .object_size = OBJECT_SIZE, .slots = SLOTS}),
                 3, 3 * ns / 1e6, figures);
    figures[3] =
        crate->start_growing
            ? measure_growing(implementation, ns)
            : measure_run(
                  implementation,
                  RUNS({.loop = crate->ramp, .object_size = OBJECT_SIZE, .slots = CRATE_RAMP}), ns);
    return 4;
}

static int measure_programs(const struct bench_implementation *implementation,
                            const struct workload *workload, size_t ms, double *figures)
{
    const struct bench_crate *crate = implementation->crate;

    (void)workload;
    if (!crate || !ms)
        return crate != NULL;
    return measure_runs(
        implementation,
        RUNS(
            {.loop = crate->entities,
             .object_size = sizeof(struct crate_entity),
             .slots = CRATE_ENTITIES},
            {.loop = crate->connections,
             .object_size = sizeof(struct crate_connection),
             .slots = CRATE_CONNECTIONS},
            {.loop = crate->particles,
             .object_size = sizeof(struct crate_particle),
             .slots = CRATE_PARTICLES},
            {.loop = crate->pipeline, .object_size = sizeof(struct crate_message), .slots = SLOTS}),
        4, (double)ms, figures);
}

/* ------------------------------------------------------------------- threads */

/* What the threads of one measurement have in common. */
struct crew {
    const struct bench_implementation *implementation;
    void *state;
    size_t held; /* by each */
    double ns;
    pthread_barrier_t start;
};

/* One of them, and how many it did from when to when. */
struct member {
    struct crew *crew;
    pthread_t thread;
    size_t done;
    double began, ended;
};

static void *work(void *of)
{
    struct member *member = of;
    struct crew *crew = member->crew;
    const struct bench_implementation *implementation = crew->implementation;
    void *state = implementation->join ? implementation->join(crew->state) : crew->state;
    size_t some = crew->held * ROUNDS_BETWEEN;

    implementation->crate->bulk(state, crew->held, crew->held);
    pthread_barrier_wait(&crew->start);
    member->began = worker_now();
    for (member->done = 0; (member->ended = worker_now()) < member->began + crew->ns;
         member->done += some)
        implementation->crate->bulk(state, some, crew->held);
    if (implementation->leave)
        implementation->leave(state);
    return NULL;
}

/* Million allocations and frees a second, by so many threads that hold `held` each. */
static double measure_crew(const struct bench_implementation *implementation, unsigned threads,
                           size_t slots, size_t held, double ns)
{
    struct crew crew = {.implementation = implementation, .held = held, .ns = ns};
    double began = INFINITY, ended = 0, done = 0;
    struct member members[THREADS_MAX];
    unsigned i;
    int error;

    crew.state = suite_state(implementation, OBJECT_SIZE, slots);
    pthread_barrier_init(&crew.start, NULL, threads);
    for (i = 0; i < threads; i++) {
        members[i].crew = &crew;
        error = pthread_create(&members[i].thread, NULL, work, &members[i]);
        if (error)
            bench_give_up("pthread_create", strerror(error));
    }
    for (i = 0; i < threads; i++) {
        pthread_join(members[i].thread, NULL);
        began = fmin(began, members[i].began);
        ended = fmax(ended, members[i].ended);
        done += (double)members[i].done;
    }
    pthread_barrier_destroy(&crew.start);
    return done / (ended - began) * 1e3;
}

static int measure_threads(const struct bench_implementation *implementation,
                           const struct workload *workload, size_t ms, double *figures)
{
    static const unsigned threads[] = {1, 2, 4, THREADS_MAX};
    double ns = (double)ms * 1e6 / 5;
    int i;

    (void)workload;
    if (!implementation->crate || !ms)
        return implementation->crate != NULL;
    for (i = 0; i < 4; i++)
        figures[i] = measure_crew(implementation, threads[i], SLOTS, 10, ns);
    figures[i] = measure_crew(implementation, THREADS_MAX, FEW_SLOTS, FEW_SLOTS / THREADS_MAX, ns);
    return i + 1;
}

/* ------------------------------------------------------------------ the list */

#define GROUP "the crate's"
#define RUN_MS 30

const struct workload workloads_crate[] = {
    {.name = "crate-allocation",
     .group = GROUP,
     .unit = "ns",
     .meaning = "one at a time: of 1, 16 and 256 bytes, and from pools of 100 to 10,000 slots",
     .figures = {"1", "16", "256", "pool-100", "pool-1000", "pool-10000"},
     .timed = true,
     .run_ms = RUN_MS,
     .pinned = true,
     .quick = true,
     .measure = measure_allocation},
    {.name = "crate-deallocation",
     .group = GROUP,
     .unit = "ns",
     .meaning = "one, or so many allocated and then freed; one at random of 500 replaced",
     .figures = {"single", "bulk-10", "bulk-100", "bulk-1000", "churn"},
     .timed = true,
     .run_ms = RUN_MS,
     .pinned = true,
     .quick = true,
     .measure = measure_deallocation},
    {.name = "crate-comparison",
     .group = GROUP,
     .unit = "ns",
     .meaning = "1,000 allocated into an array, summed and freed; each of a sum over 1,000",
     .figures = {"array", "sum"},
     .timed = true,
     .run_ms = RUN_MS,
     .pinned = true,
     .measure = measure_comparison},
    {.name = "crate-fragmentation",
     .group = GROUP,
     .unit = "ns",
     .meaning = "every other of 1,000 freed and replaced; the oldest replaced; any there or not by "
                "chance; 10,000 from a pool that starts with 100 slots",
     .figures = {"alternating", "fifo", "random", "growth"},
     .timed = true,
     .run_ms = RUN_MS,
     .pinned = true,
     .measure = measure_fragmentation},
    {.name = "crate-threads",
     .group = GROUP,
     .unit = "Mpairs/s",
     .meaning = "threads that allocate 10 and free 10; 8 that have 6 at a time of 50 slots",
     .figures = {"1", "2", "4", "8", "50-slots"},
     .timed = true,
     .run_ms = 120,
     .quick = true,
     .measure = measure_threads},
    {.name = "crate-programs",
     .group = GROUP,
     .unit = "ns",
     .meaning =
         "an object with what is done to it meanwhile: an entity moved 10 times, a "
         "connection with 4 requests, a particle moved 100 times, a message through 3 stages",
     .figures = {"entities", "connections", "particles", "pipeline"},
     .timed = true,
     .run_ms = RUN_MS,
     .pinned = true,
     .measure = measure_programs},
    {.name = NULL},
};
