/* SPDX-License-Identifier: MIT
 *
 * scale: what the design does on machines larger than the one at hand: costs that are measured
 * in short runs, a simulation that puts them together, real runs that say how far it is
 * right, and what follows for more cores, processes and slots.
 *
 *   scale_costs.c     the costs by name: reading, writing, and the formulas on paper
 *   scale_alone.c     measures those of one process, on a segment of its own
 *   scale_together.c  measures those of several processes, on two processors
 *   scale_sim.c       the simulation: discrete events, its own random numbers, no clock
 *   scale_depots.c    its caches and depots
 *   scale_play.c      the same workloads, as one process does them
 *   scale_runs.c      ... and many
 *   scale_calls.c     the costs of calls as programs make them
 *   scale_large.c     a pool of 100 million slots, made for real
 *   scale_deaths.c    a thousand processes, killed at once
 *   scale_tables.c    the tables
 *   scale.c           the program: options, machine, costs
 */
#ifndef TESTS_BENCH_SCALE_H
#define TESTS_BENCH_SCALE_H

#include "shm/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---------------------------------------------------------------- costs */

/* Names, units and meanings of what is measured.  Those of the simulation come first. */
#define SCALE_COSTS(X)                                                                             \
    X(OP, "op", "ns", "an allocation or a free that the cache serves, in pairs")                   \
    X(SWAP, "swap", "ns", "a call that has to change to the other magazine, beside op")            \
    X(EXCHANGE, "exchange", "ns", "a call that goes to a depot, its lines at hand, beside op")     \
    X(HOLD, "hold", "ns", "of exchange: with the depot's lock held")                               \
    X(TRANSFER, "transfer", "ns", "a cache line that another core has written")                    \
    X(HOLD_AFAR, "hold-afar", "ns", "as hold, when another core had the lock before")              \
    X(SLOT_AFAR, "slot-afar", "ns", "an allocation of a slot another core has freed, beside op")   \
    X(RETURNED_PUT, "returned-put", "ns", "a slot into the return bitmap")                         \
    X(RETURNED_TAKE, "returned-take", "ns", "a slot out of it")                                    \
    X(FOREIGN_FREE, "foreign-free", "ns", "a free of a slot that another process allocated")       \
    X(COIN, "coin", "ns", "walk: what an operation there costs, beside op")                        \
    X(RING_HANDLE, "ring", "ns", "handover: a handle through the ring, without a pool")            \
    X(CELL, "cell", "ns", "larson: an exchange with a place that nobody else uses")                \
    X(SWITCH, "switch", "ns", "from one process to another on a core")                             \
    X(SLICE, "slice", "ns", "that a process keeps a core others want too")                         \
    X(FRESH, "fresh", "ns", "a slot never used, claimed")                                          \
    X(BARRIER_0, "barrier-0", "ns", "a membarrier, nobody else running")                           \
    X(BARRIER_2, "barrier-2", "ns", "... with 2 busy attached processes")                          \
    X(BARRIER_8, "barrier-8", "ns", "... with 8")                                                  \
    X(ROUND_CACHE, "round-cache", "ns", "a round of revocation, for each cache in use")            \
    X(ROUND_MAGAZINE, "round-magazine", "ns", "... for each magazine there is")                    \
    X(REBUILD, "rebuild", "ns", "building a depot's lists anew, for each magazine")                \
    X(SWEEP_SLOT, "sweep-slot", "ns", "a sweep, for each slot looked at")                          \
    X(SWEEP_TAKEN, "sweep-taken", "ns", "... for each slot taken back, beside the look")           \
    X(SWEEP_RETURNED, "sweep-returned", "ns", "... for each slot in the return bitmap already")    \
    X(SWEEP_ENTRY, "sweep-entry", "ns", "... of a death inside an operation, for each entry")      \
    X(SURVEY_SLOT, "survey-slot", "ns", "fastallocctl stat, for each slot")                        \
    X(FENCE_100, "fence-100", "ns", "a look at a fence of 100")                                    \
    X(FENCE_1000, "fence-1000", "ns", "a look at a fence of 1,000")                                \
    X(FAULT, "fault", "ns", "the first touch of a page of 4 KiB that has memory")

#define SCALE_ENUM_(id, name, unit, meaning) SCALE_##id,
enum scale_cost { SCALE_COSTS(SCALE_ENUM_) SCALE_COSTS_END };
#undef SCALE_ENUM_

struct scale_value {
    double min, median; /* of the repeats */
};

struct scale_costs {
    struct scale_value of[SCALE_COSTS_END];
};

extern const char *const scale_cost_names[SCALE_COSTS_END];
extern const char *const scale_cost_units[SCALE_COSTS_END];
extern const char *const scale_cost_meanings[SCALE_COSTS_END];

/* Costs of a machine that never was: round numbers, for tests. */
void scale_costs_round(struct scale_costs *costs);

/* A line each, "name min median unit"; what begins with '#' is a remark.  Reading fails (-1,
 * with a message on stderr) unless every cost is there. */
int scale_costs_write(const struct scale_costs *costs, const char *path);
int scale_costs_read(struct scale_costs *costs, const char *path);

/* Measure all (some seconds): calls as programs make them, what one process can do on a segment,
 * what takes several. */
void scale_measure_calls(struct scale_costs *costs);
void scale_measure_alone(struct scale_costs *costs);
void scale_measure_together(struct scale_costs *costs);

/* What a line takes from core to core now, ns, 0 with one processor.  Virtual machines move their
 * processors: who measures before and after knows whether what was between is of one machine. */
double scale_measure_line(void);

/* How exchanges at one depot go when so many processes on two cores do nothing else: ns from
 * one to the next. */
struct scale_value scale_measure_crowd(unsigned processes);

/* ---------------------------------------------------------------- on paper */

/* The share of customers who find all `servers` taken, with an offered load of `load` (arrivals
 * times service time), whatever the distribution of service times: Erlang's loss formula. */
double scale_erlang_loss(unsigned servers, double load);

/* The load at which that share is `share`. */
double scale_erlang_load(unsigned servers, double share);

/* A membarrier with so many busy processors: what two add, for each.  It is an upper bound, as
 * if they were interrupted one after the other. */
double scale_barrier(const struct scale_costs *costs, unsigned processors);

/* The mean wait before one server of constant service time: Pollaczek and Khinchine. */
double scale_wait_md1(double service, double utilisation);

/* ---------------------------------------------------------------- simulation */

enum scale_workload {
    SCALE_PAIR,     /* allocate, free */
    SCALE_WALK,     /* a coin decides: allocate, or free one of what it has */
    SCALE_BURST,    /* so many allocations, then as many frees */
    SCALE_HANDOVER, /* even threads allocate, odd ones free, through a ring for two each */
    SCALE_LARSON,   /* each allocates, and frees what it finds in a place drawn by chance */
    SCALE_POISSON,  /* exchanges alone, at random times: what has a formula */
    SCALE_WORKLOADS
};

extern const char *const scale_workload_names[SCALE_WORKLOADS];

#define SCALE_RING 1024u      /* of the hand-over: slots under way */
#define SCALE_RING_STEP 32u   /* told to the other side at a time */
#define SCALE_HELD_MOST 4000u /* by one thread, in the walk */
#define SCALE_DEPOTS_MAX 256u

struct scale_setting {
    enum scale_workload workload;
    uint32_t threads, cores, depots, magazine;
    uint32_t burst; /* SCALE_BURST */
    uint32_t spare; /* idle slots in the depots for each thread, beyond what it uses */
    double line_ns; /* what a line from another core costs; 0: as measured */
    uint32_t fresh; /* slots never used */
    /* What is done about locked depots.  As supply.c does it: patient, and no more. */
    bool patient;    /* before a revocation one of them is waited for */
    bool waits;      /* the first that is locked is waited for, in the order of arrival */
    bool looks;      /* the lock is looked at before it is tried */
    double think_ns; /* SCALE_POISSON: mean time between two exchanges of a thread */
    double work_ns;  /* of the program's own, for each operation */
    double foreign;  /* SCALE_LARSON: share of frees of what others allocated; 0: as many
                        processors as there are take turns at the places */
    double run_ns;   /* counted after a quarter of that for warming up */
    uint64_t seed;
};

struct scale_outcome {
    double mops;                  /* million allocations and frees a second, all together */
    double exchanges;             /* million a second */
    double ops_each;              /* operations for each exchange */
    double use[SCALE_DEPOTS_MAX]; /* of each depot: share of the time its lock was held */
    double use_mean, use_most;
    double wait_ns;     /* mean, from the need of an exchange to the lock */
    double shut;        /* share of exchanges that found every depot worth a look locked */
    double returned;    /* share of frees that went into the return bitmap */
    double revocations; /* thousand a second */
};

void scale_simulate(const struct scale_costs *costs, const struct scale_setting *setting,
                    struct scale_outcome *outcome);

/* ---------------------------------------------------------------- real runs */

struct scale_run {
    double mops;     /* per second of processor time, times the processors there are to use */
    double ops_each; /* operations for each exchange, by the pool's statistics */
    double foreign;  /* SCALE_LARSON: share of frees of what others allocated */
};

/* Does the workload with forked processes, for about so many seconds of processor time each.
 * False where it cannot be done, or nothing was. */
bool scale_run(const struct scale_setting *setting, double seconds, struct scale_run *run);

/* The magazine size and depots of the pool that scale_run() makes. */
void scale_run_shape(uint32_t processes, uint32_t *magazine, uint32_t *depots);

/* ---------------------------------------------------------------- large pools */

/* The geometry of a pool, by the library's own functions.  -1, with a message, when refused. */
int scale_plan(uint64_t slots, uint64_t object_size, uint32_t threads, uint32_t sessions,
               uint32_t flags, struct geometry *geometry);

/* Makes a pool of so many slots of 8 bytes, and prints what making it, attaching, deaths, a round
 * of revocation and a look at it cost, beside what the costs say.  -1, with a message, where
 * the pool would take more than `most` bytes. */
int scale_large(const struct scale_costs *costs, uint64_t slots, uint32_t sessions, uint64_t most);

/* So many processes attach to a pool of so many slots, hold half of them, and are killed at once;
 * prints what that took. */
void scale_kill_many(const struct scale_costs *costs, uint32_t processes, uint64_t slots);

/* ---------------------------------------------------------------- tables */

void scale_print_memory(void);
/* Runs the workloads for real, for so many seconds of each process, with lines as at the time. */
void scale_print_check(const struct scale_costs *costs, double seconds);
void scale_print_rates(const struct scale_costs *costs);
void scale_print_cores(const struct scale_costs *costs);
void scale_print_choices(const struct scale_costs *costs);
void scale_print_deaths(const struct scale_costs *costs);

/* ---------------------------------------------------------------- helpers */

double scale_now_ns(void);
double scale_cpu_ns(void); /* this thread's processor time: what others do is left out */

/* The median and least of `count` values, which are sorted. */
struct scale_value scale_value_of(double *values, size_t count);

/* Keeps the calling process to the n-th processor of those it may use (modulo); how many. */
void scale_pin(unsigned n);
unsigned scale_processors(void);

/* As fork(), which fails for nobody here; what was printed is not printed twice. */
pid_t scale_fork(void);

/* Shared between a process and its children. */
void *scale_share(size_t bytes);
void scale_unshare(void *shared, size_t bytes);

/* Says on stderr what could not be done, and ends the process. */
__attribute__((noreturn, format(printf, 1, 2))) void scale_give_up(const char *format, ...);

#endif
