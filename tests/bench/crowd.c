/* SPDX-License-Identifier: MIT
 *
 * crowd: the workloads of many threads and processes.
 *
 *   processes-N, threads-N   each member allocates and frees for itself: how it scales
 *   larson-...               all replace the objects of one table: everybody frees what
 *                            others have allocated
 *   handover...              one allocates and writes, the other accepts, reads and frees,
 *                            with a ring between them
 *
 * The first two measure throughput by time, not by work: members count what they have done,
 * slice by slice, and the leader reads their counts at two moments in the middle of the run.  So
 * neither who begins late nor who ends last is waited for.  The hand-over is of so many objects as
 * the first ones are told by the time these take.
 */
#include "crew.h"
#include "shared.h"
#include "suite.h"
#include "worker.h"

#include <sched.h>

#define OBJECT_SIZE 64u
#define SLICE 2000u /* pairs between two looks at the leader's word */
#define LEAST (10 * SLICE)
#define WARM_SHARE 0.1 /* of the measured time, before it */
#define TURN_MS 3.0    /* about so long a process keeps its processor when others want it */
#define PRELUDE 20000u /* objects handed over before those that count */

static unsigned processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

/* Everybody's first turn on a processor that he shares with others is over before it counts. */
static double warm_up_ms(const struct crew_task *task, double ms)
{
    double round = TURN_MS * (double)(task->members - 1) / (double)processors();

    return WARM_SHARE * ms + 1 + round;
}

/* The suite's count is milliseconds here; on a busy machine it may take more until there is
 * what to count. */
static double measure_rate(struct crew_task *task, size_t ms)
{
    struct crew_sum before, after;

    crew_start(task);
    crew_go(task, CREW_WARM);
    crew_sleep(warm_up_ms(task, (double)ms));
    before = crew_sum(task);
    do {
        crew_sleep((double)ms);
        after = crew_sum(task);
    } while (after.done - before.done < LEAST);
    crew_go(task, CREW_STOP);
    crew_finish(task);
    return (double)(after.done - before.done) / (after.when - before.when) * 1e3;
}

static struct crew_task new_task(const struct bench_implementation *implementation, bool processes,
                                 unsigned members)
{
    struct crew_task task = {.implementation = implementation,
                             .processes = processes,
                             .members = members,
                             .state = suite_state(implementation, OBJECT_SIZE, 0)};

    return task;
}

/* --------------------------------------------------------- each for itself */

static void act_alone(const struct crew_task *task, unsigned member, void *state)
{
    while (crew_phase(task) != CREW_STOP) {
        task->implementation->pair(state, SLICE);
        crew_count(task, member, SLICE);
    }
}

static int measure_alone(const struct bench_implementation *implementation, bool processes,
                         const struct workload *workload, size_t ms, double *mpairs)
{
    struct crew_task task;

    if (!implementation->pair || !ms)
        return implementation->pair != NULL;
    task = new_task(implementation, processes, (unsigned)workload->argument);
    task.act = act_alone;
    *mpairs = measure_rate(&task, ms);
    return 1;
}

static int measure_processes(const struct bench_implementation *implementation,
                             const struct workload *workload, size_t ms, double *mpairs)
{
    return measure_alone(implementation, true, workload, ms, mpairs);
}

static int measure_threads(const struct bench_implementation *implementation,
                           const struct workload *workload, size_t ms, double *mpairs)
{
    return measure_alone(implementation, false, workload, ms, mpairs);
}

/* ------------------------------------------------------ each other's objects */

/* One for each processor, and two at least. */
static unsigned larson_members(void)
{
    unsigned count = processors();

    return count < 2 ? 2 : count < CREW_MEMBERS_MAX ? count : CREW_MEMBERS_MAX;
}

/* Nobody leaves, and takes his objects along, before all have stopped exchanging. */
static void act_larson(const struct crew_task *task, unsigned member, void *state)
{
    const struct bench_implementation *implementation = task->implementation;
    struct bench_cells *cells = task->argument;
    struct bench_ring rest = {.put = 0};
    uint64_t slice = 0;

    while (crew_phase(task) != CREW_STOP) {
        implementation->exchange(state, SLICE, cells, (slice++ << 8 | member) + 1);
        crew_count(task, member, SLICE);
    }
    crew_meet(task);
    implementation->consume(state, cells_empty(cells, member, task->members, &rest), &rest);
    crew_meet(task);
}

static int measure_larson(const struct bench_implementation *implementation, bool processes,
                          size_t ms, double *mpairs)
{
    bool can = implementation->exchange &&
               implementation->reach >= (processes ? BENCH_PROCESSES : BENCH_THREADS);
    struct crew_task task;

    if (!can || !ms)
        return can;
    task = new_task(implementation, processes, larson_members());
    task.act = act_larson;
    task.argument = shared_map(sizeof(struct bench_cells));
    *mpairs = measure_rate(&task, ms);
    shared_unmap(task.argument, sizeof(struct bench_cells));
    return 1;
}

static int measure_larson_processes(const struct bench_implementation *implementation,
                                    const struct workload *workload, size_t ms, double *mpairs)
{
    (void)workload;
    return measure_larson(implementation, true, ms, mpairs);
}

static int measure_larson_threads(const struct bench_implementation *implementation,
                                  const struct workload *workload, size_t ms, double *mpairs)
{
    (void)workload;
    return measure_larson(implementation, false, ms, mpairs);
}

/* ------------------------------------------------------------------ handover */

enum { PRODUCER, CONSUMER, HANDOVER_MEMBERS };

struct handover {
    struct bench_ring ring;
    double ms;    /* that it shall take */
    size_t count; /* that take so long */
    BENCH_ALIGNED double ended;
    double began;
};

static void hand_over(const struct crew_task *task, unsigned member, void *state, size_t count)
{
    struct handover *handover = task->argument;

    if (member == PRODUCER)
        task->implementation->produce(state, count, &handover->ring);
    else
        task->implementation->consume(state, count, &handover->ring);
}

/* The consumer's clock decides: it is done when all is done. */
static void act_handover(const struct crew_task *task, unsigned member, void *state)
{
    struct handover *handover = task->argument;
    double began = worker_now();

    hand_over(task, member, state, PRELUDE);
    if (member == CONSUMER) {
        double each = (worker_now() - began) / PRELUDE;

        handover->count = (size_t)(handover->ms * 1e6 / each) + 1;
    }
    crew_meet(task);
    if (member == CONSUMER)
        handover->began = worker_now();
    hand_over(task, member, state, handover->count);
    if (member == CONSUMER)
        handover->ended = worker_now();
    crew_meet(task);
}

/* In a pool where nobody else has mixed the free slots, or in that of all the other workloads:
 * where slots have words, neighbours share a line. */
static int measure_handover(const struct bench_implementation *implementation, bool processes,
                            size_t slots, size_t ms, double *ns)
{
    bool can = implementation->produce && implementation->consume &&
               implementation->reach >= (processes ? BENCH_PROCESSES : BENCH_THREADS);
    struct handover *handover;
    struct crew_task task;

    if (!can || !ms)
        return can;
    task = new_task(implementation, processes, HANDOVER_MEMBERS);
    task.state = suite_state(implementation, OBJECT_SIZE, slots);
    task.act = act_handover;
    task.argument = handover = shared_map(sizeof *handover);
    handover->ms = (double)ms;
    crew_start(&task);
    crew_go(&task, CREW_COUNT);
    crew_finish(&task);
    *ns = (handover->ended - handover->began) / (double)handover->count;
    shared_unmap(handover, sizeof *handover);
    return 1;
}

static int measure_handover_processes(const struct bench_implementation *implementation,
                                      const struct workload *workload, size_t ms, double *ns)
{
    return measure_handover(implementation, true, (size_t)workload->argument, ms, ns);
}

static int measure_handover_threads(const struct bench_implementation *implementation,
                                    const struct workload *workload, size_t ms, double *ns)
{
    return measure_handover(implementation, false, (size_t)workload->argument, ms, ns);
}

/* ------------------------------------------------------------------ together */

#define RUN_MS 40
/* Longer where many take turns. */
#define CROWD_RUN_MS(members) ((members) <= 2 ? RUN_MS : (members) <= 8 ? 60 : 100)

#define CROWD(called, in_quick, text, function, number)                                            \
    {                                                                                              \
        .name = called, .group = "scaling", .unit = "Mpairs/s", .meaning = text, .timed = true,    \
        .run_ms = CROWD_RUN_MS(number), .quick = in_quick, .argument = number, .measure = function \
    }
#define PROCESSES(n, in_quick)                                                                     \
    CROWD("processes-" #n, in_quick, "pairs of " #n " at a time, each a process",                  \
          measure_processes, n)
#define THREADS(n, in_quick)                                                                       \
    CROWD("threads-" #n, in_quick, "pairs of " #n " at a time, each a thread", measure_threads, n)
#define HANDOVER_SLOTS 66000 /* a number that no other workload has */
#define TOGETHER(called, in_quick, in, text, function, number)                                     \
    {                                                                                              \
        .name = called, .group = "together", .unit = in, .meaning = text, .timed = true,           \
        .run_ms = RUN_MS, .quick = in_quick, .argument = number, .measure = function               \
    }

const struct workload workloads_crowd[] = {
    PROCESSES(1, true),
    PROCESSES(2, true),
    PROCESSES(4, false),
    PROCESSES(8, false),
    PROCESSES(16, true),
    THREADS(1, false),
    THREADS(2, false),
    THREADS(4, false),
    THREADS(8, false),
    THREADS(16, false),
    TOGETHER("larson-processes", true, "Mpairs/s",
             "all, a process for each processor, free what others have allocated",
             measure_larson_processes, 0),
    TOGETHER("larson-threads", false, "Mpairs/s", "the same with threads", measure_larson_threads,
             0),
    TOGETHER("handover", true, "ns",
             "one process allocates and writes, another accepts, reads and frees",
             measure_handover_processes, HANDOVER_SLOTS),
    TOGETHER("handover-threads", false, "ns", "the same with two threads", measure_handover_threads,
             HANDOVER_SLOTS),
    TOGETHER("handover-used", false, "ns",
             "handover in the pool where the workloads before have mixed the free objects",
             measure_handover_processes, 0),
    {.name = NULL},
};
