/* SPDX-License-Identifier: MIT
 *
 * latency: how long single operations take: half of them allocations, half frees, in bursts
 * (sample() in loops_shared.h).  Every one of them is timed.
 *
 * Nothing is subtracted: what reading the clock takes is in each value, and is what the
 * control "ring" (control.h) shows in latency-alone.  A time-stamp counter may go in steps of
 * several ticks (of 10 ns on some): then so do the low fractions.
 *
 *   latency-alone     one process
 *   latency-crowded   CROWD processes, on however many processors there are: so the highest values
 *                     are those of processes that were off their processor
 *   latency-killed    the same, and VICTIMS more, of which now and then one is killed, at a
 *                     moment that it knows nothing of, and replaced; these are not
 *                     timed.  In a new pool each time, since a stack behind a mutex has lost for
 *                     ever what the killed ones held
 */
#include "crew.h"
#include "shared.h"
#include "suite.h"
#include "worker.h"

#include <string.h>

#define OBJECT_SIZE 64u
#define SLOTS 65536u
#define SLOTS_TO_LOSE 262144u /* more than the killed ones can take along */
#define WARM_SHARE 0.1        /* of the measured time, before it */
#define LEAST 40u             /* bursts that are timed, if they can be had in */
#define PATIENCE 5            /* times the time there is */
#define CROWD 8u
#define VICTIMS 2u
#define PAUSE_MS 0.5 /* between two looks at victims, at least; and at most so much longer: */
#define PAUSE_SPREAD_MS 2.0

struct latencies {
    unsigned timed; /* members from here on are victims */
    struct bench_histogram histograms[CROWD + VICTIMS];
};

static const double fractions[] = {0.5, 0.99, 0.999, 0.9999, 1};

#define FRACTIONS (sizeof fractions / sizeof *fractions)

/* Burst by burst, between two looks at the leader's word. */
static void act(const struct crew_task *task, unsigned member, void *state)
{
    struct latencies *latencies = task->argument;
    struct bench_histogram *own = &latencies->histograms[member];

    while (crew_phase(task) == CREW_WARM)
        task->implementation->sample(state, 1, own);
    memset(own, 0, sizeof *own);
    while (crew_phase(task) == CREW_COUNT) {
        task->implementation->sample(state, 1, own);
        crew_count(task, member, 1);
    }
}

/* Kills victims in turn, one at least, until so much time has passed, and replaces each when it is
 * dead. */
static void kill_some(struct crew_task *task, unsigned first, double ms)
{
    double end = worker_now() + ms * 1e6;
    uint64_t random = bench_ticks();
    bool killed[VICTIMS] = {false};
    unsigned turn, kills = 0, dying = 0;

    for (turn = 0; worker_now() < end || !kills || dying; turn++) {
        unsigned victim = turn % VICTIMS;

        crew_sleep(PAUSE_MS + PAUSE_SPREAD_MS * (double)bench_random(&random) / 1024);
        if (killed[victim] && crew_replace(task, first + victim)) {
            killed[victim] = false;
            dying--;
        } else if (!killed[victim] && (worker_now() < end || !kills) &&
                   crew_is_working(task, first + victim)) {
            crew_kill(task, first + victim);
            killed[victim] = true;
            dying++;
            kills++;
        }
    }
}

/* Returns nanoseconds a tick.  On a busy machine it may take longer until there is what to show. */
static double run(struct crew_task *task, unsigned victims_from, double ms)
{
    uint64_t ticks, done;
    double began;

    crew_start(task);
    crew_go(task, CREW_WARM);
    crew_sleep(WARM_SHARE * ms + 1);
    began = worker_now();
    ticks = bench_ticks();
    crew_go(task, CREW_COUNT);
    do {
        if (victims_from < task->members)
            kill_some(task, victims_from, ms);
        else
            crew_sleep(ms);
        done = crew_sum(task).done;
    } while (!done || (done < LEAST && worker_now() < began + PATIENCE * ms * 1e6));
    ticks = bench_ticks() - ticks;
    began = worker_now() - began;
    crew_go(task, CREW_STOP);
    crew_finish(task);
    return began / (double)ticks;
}

static int measure(const struct bench_implementation *implementation, unsigned timed,
                   unsigned victims, void *state, size_t ms, double *figures)
{
    struct latencies *latencies = shared_map(sizeof *latencies);
    struct crew_task task = {.implementation = implementation,
                             .state = state,
                             .processes = true,
                             .members = timed + victims,
                             .act = act,
                             .argument = latencies};
    double ns_a_tick = run(&task, timed, (double)ms);
    unsigned i;

    for (i = 1; i < timed; i++)
        histogram_merge(&latencies->histograms[0], &latencies->histograms[i]);
    for (i = 0; i < FRACTIONS; i++)
        figures[i] = ns_a_tick * histogram_value(&latencies->histograms[0], fractions[i]);
    shared_unmap(latencies, sizeof *latencies);
    return (int)FRACTIONS;
}

/* The argument: how many processes. */
static int measure_living(const struct bench_implementation *implementation,
                          const struct workload *workload, size_t ms, double *figures)
{
    if (!implementation->sample || !ms)
        return implementation->sample != NULL;
    return measure(implementation, (unsigned)workload->argument, 0,
                   suite_state(implementation, OBJECT_SIZE, SLOTS), ms, figures);
}

static int measure_killed(const struct bench_implementation *implementation,
                          const struct workload *workload, size_t ms, double *figures)
{
    bool can = implementation->sample && implementation->reach >= BENCH_SURVIVES;
    int stored;
    void *state;

    (void)workload;
    if (!can || !ms)
        return can;
    state = implementation->start(OBJECT_SIZE, SLOTS_TO_LOSE);
    stored = measure(implementation, CROWD, VICTIMS, state, ms, figures);
    if (implementation->stop)
        implementation->stop(state);
    return stored;
}

#define LATENCY(called, ms, text, function, number)                                                \
    {                                                                                              \
        .name = called, .group = "latency", .unit = "ns", .meaning = text,                         \
        .figures = {"p50", "p99", "p99.9", "p99.99", "max"}, .timed = true, .run_ms = ms,          \
        .quick = true, .argument = number, .measure = function                                     \
    }

const struct workload workloads_latency[] = {
    LATENCY("latency-alone", 30, "one operation, by one process", measure_living, 1),
    LATENCY("latency-crowded", 100, "one operation, while 8 processes work", measure_living, CROWD),
    LATENCY("latency-killed", 300,
            "one operation, while 8 processes work and others are killed meanwhile", measure_killed,
            CROWD),
    {.name = NULL},
};
