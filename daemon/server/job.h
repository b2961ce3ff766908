/* SPDX-License-Identifier: MIT
 *
 * job: one piece of work off the loop, for jobs.c and aftermath.c alone.
 */
#ifndef SERVER_JOB_H
#define SERVER_JOB_H

#include "server/server.h"

/* Growing and shrinking take two jobs, the manifest written in between, on the loop. */
enum job_kind {
    JOB_BUILD,
    JOB_SWEEP,
    JOB_RELEASE,
    JOB_RESERVE, /* growing; then */
    JOB_PUBLISH,
    JOB_RETREAT, /* shrinking; then */
    JOB_GIVE_BACK,
    JOB_RELEASE_SLOTS,
    JOB_EXPIRE
};

struct job {
    uv_work_t work;
    struct server *server;
    struct pool *pool;
    enum job_kind kind;
    int error;
    struct reason why;
    uint64_t number; /* capacity, target, handle; then what came of it */
    uint32_t count;
    struct death deaths[LIMIT_SWEEPS_AT_ONCE];
    struct job *prev, *next; /* in server->queued */
};

/* Begins a copy of `plan`; its pool is busy from here on. */
void job_start(const struct job *plan);

/* Nothing is under way for the pool any more: the users see what it has. */
void job_be_done(struct pool *pool);

/* What follows a job on the loop, of those about capacity and kept slots. */
void aftermath_reserve(struct job *job);
void aftermath_publish(struct job *job);
void aftermath_retreat(struct job *job);
void aftermath_give_back(struct job *job);
void aftermath_release_slots(struct job *job);
void aftermath_expire(struct job *job);

#endif
