/* SPDX-License-Identifier: MIT
 *
 * crew: members that work at the same time, threads or forked processes, each pinned to one
 * of the processors in turn (as many as there are of them, or equally many on each).
 *
 *     crew_start()     every member joins the implementation, makes its first calls, and waits
 *     crew_go()        all begin
 *     crew_stop()      they see CREW_STOP when they next look
 *     crew_finish()    waits until all have left
 *
 * Members that are processes die with their leader, who dies of SIGALRM if all this takes
 * a minute.
 */
#ifndef TESTS_BENCH_CREW_H
#define TESTS_BENCH_CREW_H

#include "implementation.h"

#include <stdbool.h>

#define CREW_MEMBERS_MAX 32u

enum crew_phase {
    CREW_GATHER, /* members wait */
    CREW_WARM,   /* they work, but nothing counts yet */
    CREW_COUNT,  /* it counts */
    CREW_STOP
};

struct crew_task {
    const struct bench_implementation *implementation;
    void *state; /* what it has started */
    bool processes;
    unsigned members;
    /* What a member does, from the gun until it sees CREW_STOP or has done its work.  `state` is
     * what it has joined. */
    void (*act)(const struct crew_task *, unsigned member, void *state);
    void *argument; /* act()'s; in shared memory if members are processes */
    struct crew *crew;
};

void crew_start(struct crew_task *);
/* To CREW_WARM and on: nobody stays in CREW_GATHER. */
void crew_go(struct crew_task *, enum crew_phase);
void crew_finish(struct crew_task *);

/* In members. */
enum crew_phase crew_phase(const struct crew_task *);
/* Adds to what the member has done. */
void crew_count(const struct crew_task *, unsigned member, uint64_t done);
/* Waits until every member has come here; all of them have to, equally often. */
void crew_meet(const struct crew_task *);

/* In the leader: what all have done until now, and when that was (worker_now()). */
struct crew_sum {
    double when;
    uint64_t done;
} crew_sum(const struct crew_task *);
/* Lets `ms` pass. */
void crew_sleep(double ms);

/* Whether the member, a process, works already; kills it; has it begin anew, once it is dead: false
 * before.  Only for members that do not meet others. */
bool crew_is_working(const struct crew_task *, unsigned member);
void crew_kill(const struct crew_task *, unsigned member);
bool crew_replace(const struct crew_task *, unsigned member);

#endif
