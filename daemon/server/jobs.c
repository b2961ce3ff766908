/* SPDX-License-Identifier: MIT
 *
 * jobs: libuv's thread pool, its queue for sweeps, and what follows on the loop.
 */
#include "jobs.h"

#include "connection.h"
#include "log.h"
#include "request.h"
#include "sweeper.h"

#include <fastalloc/fastalloc.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum job_kind { JOB_BUILD, JOB_SWEEP, JOB_RELEASE };

struct job {
    uv_work_t work;
    struct server *server;
    struct pool *pool;
    enum job_kind kind;
    int error;
    struct reason why;
    uint32_t count;
    uint32_t numbers[LIMIT_SWEEPS_AT_ONCE];
    struct job *prev, *next; /* in server->queued */
};

/* The thread pool's half: touches the pool, and of the registry what never changes. */
static void work(uv_work_t *request)
{
    struct job *job = request->data;
    const struct registry *registry = &job->server->registry;

    switch (job->kind) {
    case JOB_BUILD:
        job->error = pool_build(job->pool, &registry->store, registry->prefix, &job->why);
        break;
    case JOB_SWEEP:
        job->error = pool_sweep(job->pool, job->numbers, job->count);
        break;
    case JOB_RELEASE:
        pool_release(job->pool);
        break;
    }
}

/* ----------------------------------------------------------- back on the loop */

static void after_build(struct job *job)
{
    struct server *server = job->server;
    struct client *client = job->pool->waiters;
    struct request_result nobodys, *result = client ? connection_result(client) : &nobodys;

    if (client) {
        /* A failed pool is freed: nobody may wait for it any more. */
        DL_DELETE2(job->pool->waiters, client, waiter_prev, waiter_next);
        client->awaits_pool = NULL;
    } else {
        memset(&nobodys, 0, sizeof nobodys);
    }
    request_built(&server->registry, client, job->pool, job->error, &job->why, result);
    if (result->next == REQUEST_RELEASE)
        jobs_release(server, result->pool);
    if (client)
        connection_answer(client);
}

static bool swept(const struct job *job, uint32_t number)
{
    uint32_t i;

    for (i = 0; i < job->count; i++)
        if (job->numbers[i] == number)
            return true;
    return false;
}

/* Somebody else has the sweeper's role: all of them again, later. */
static void postpone(struct job *job)
{
    uint64_t now = uv_now(&job->server->loop);
    struct session *session;
    uint32_t i;

    log_warn("pool \"%s\": somebody else sweeps it; trying again", job->pool->spec.name);
    for (i = 0; i < job->count; i++) {
        session = pool_find_session(job->pool, job->numbers[i]);
        session->open = false;
        session->pause = LIMIT_LOOK_LAST_MS;
        session->due = now + LIMIT_LOOK_LAST_MS;
    }
}

static void after_sweep(struct job *job)
{
    struct server *server = job->server;
    struct pool *pool = job->pool;
    struct client *client, *next;

    pool->busy = false;
    if (job->error == FASTALLOC_E_BUSY) {
        postpone(job);
        sweeper_wake(server);
        return;
    }
    if (job->error)
        pool_mark_damaged(pool, "its memory was truncated");
    registry_forget(&server->registry, pool, job->numbers, job->count);
    if (registry_is_over(pool)) {
        /* Nobody is attached: every waiter waits for the last of it. */
        DL_FOREACH2(pool->waiters, client, waiter_next)
        client->awaits_session = 0;
    } else {
        DL_FOREACH_SAFE2(pool->waiters, client, next, waiter_next)
        if (swept(job, client->awaits_session))
            connection_answer(client);
    }
    sweeper_continue(server, pool);
}

static void after_release(struct job *job)
{
    struct server *server = job->server;
    struct pool *pool = job->pool;
    struct client *waiters = pool->waiters, *client, *next;

    log_info("pool \"%s\" (uid %u) is gone", pool->spec.name, pool->uid);
    pool->waiters = NULL;
    DL_FOREACH2(waiters, client, waiter_next)
    client->awaits_pool = NULL;
    registry_drop(&server->registry, pool);
    DL_FOREACH_SAFE2(waiters, client, next, waiter_next)
    connection_answer(client);
}

static void follow(struct job *job)
{
    switch (job->kind) {
    case JOB_BUILD:
        after_build(job);
        break;
    case JOB_SWEEP:
        after_sweep(job);
        break;
    case JOB_RELEASE:
        after_release(job);
        break;
    }
}

static void done(uv_work_t *request, int status);

static void hand_over(struct job *job)
{
    uv_queue_work(&job->server->loop, &job->work, work, done);
}

/* Sweeps and releases wait for each other, builds for neither. */
static void hand_over_queued(struct server *server)
{
    struct job *job;

    while (server->queued && server->sweepers < LIMIT_SWEEPERS) {
        job = server->queued;
        DL_DELETE(server->queued, job);
        server->sweepers++;
        hand_over(job);
    }
}

static void done(uv_work_t *request, int status)
{
    struct job *job = request->data;
    struct server *server = job->server;

    (void)status; /* nothing here cancels */
    if (job->kind != JOB_BUILD) {
        server->sweepers--;
        hand_over_queued(server);
    }
    follow(job);
    free(job);
    server->jobs--;
    server_consider_end(server);
}

/* ------------------------------------------------------------------- starting */

/* Without memory for a job its work is done at once, on the loop: others wait, but it
 * comes to its end. */
static void start(const struct job *plan)
{
    struct job *job = malloc(sizeof *job), at_once = *plan;

    plan->pool->busy = true;
    if (!job) {
        log_warn("fastallocd has no memory for %zu bytes: clients wait", sizeof *job);
        at_once.work.data = &at_once;
        work(&at_once.work);
        follow(&at_once);
        return;
    }
    *job = *plan;
    job->work.data = job;
    plan->server->jobs++;
    if (job->kind == JOB_BUILD) {
        hand_over(job);
    } else {
        DL_APPEND(job->server->queued, job);
        hand_over_queued(job->server);
    }
}

void jobs_build(struct server *server, struct pool *pool)
{
    start(&(struct job){.server = server, .pool = pool, .kind = JOB_BUILD});
}

void jobs_sweep(struct server *server, struct pool *pool, const uint32_t *numbers, uint32_t count)
{
    struct job job = {.server = server, .pool = pool, .kind = JOB_SWEEP, .count = count};

    memcpy(job.numbers, numbers, count * sizeof *numbers);
    start(&job);
}

void jobs_release(struct server *server, struct pool *pool)
{
    start(&(struct job){.server = server, .pool = pool, .kind = JOB_RELEASE});
}
