/* SPDX-License-Identifier: MIT
 *
 * jobs: libuv's thread pool, its queue for sweeps, and what follows on the loop.
 */
#include "jobs.h"

#include "connection.h"
#include "job.h"
#include "log.h"
#include "request.h"
#include "sweeper.h"
#include "wishes.h"

#include <fastalloc/fastalloc.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

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
        job->error = pool_sweep(job->pool, job->deaths, job->count);
        break;
    case JOB_RELEASE:
        pool_release(job->pool);
        break;
    case JOB_RESERVE:
        job->error = pool_reserve(job->pool, job->number, &job->why);
        break;
    case JOB_PUBLISH:
        job->error = pool_publish(job->pool);
        break;
    case JOB_RETREAT:
        job->error = pool_retreat(job->pool, job->number, &job->number);
        break;
    case JOB_GIVE_BACK:
        pool_give_back(job->pool);
        break;
    case JOB_RELEASE_SLOTS:
        job->error = pool_release_slots(job->pool, job->number, &job->number);
        break;
    case JOB_EXPIRE:
        job->error = pool_expire(job->pool, &job->number);
        break;
    }
}

/* ----------------------------------------------------------- back on the loop */

static void after_build(struct job *job)
{
    struct server *server = job->server;
    struct client *client = job->pool->waiters;
    struct request_result nobodys, *result = client ? connection_result(client) : &nobodys;

    /* A failed pool is freed: nobody may wait for it any more. */
    if (client)
        wish_drop(client);
    else
        memset(&nobodys, 0, sizeof nobodys);
    request_built(&server->registry, client, job->pool, job->error, &job->why, result);
    if (result->next == REQUEST_RELEASE)
        jobs_release(server, result->pool);
    if (client)
        connection_answer(client);
    sweeper_watch(server);
}

static bool swept(const struct job *job, const struct wish *wish)
{
    uint32_t i;

    for (i = 0; i < job->count; i++)
        if (wish->kind == WISH_SWEEP && job->deaths[i].number == wish->session)
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
        session = pool_find_session(job->pool, job->deaths[i].number);
        session->open = false;
        session->pause = LIMIT_LOOK_LAST_MS;
        session->due = now + LIMIT_LOOK_LAST_MS;
    }
}

void job_be_done(struct pool *pool)
{
    pool->busy = false;
    if (pool->settled)
        pool->published = pool->capacity;
}

static void after_sweep(struct job *job)
{
    struct server *server = job->server;
    struct pool *pool = job->pool;
    struct client *client, *next;

    job_be_done(pool);
    if (job->error == FASTALLOC_E_BUSY) {
        postpone(job);
        sweeper_wake(server);
        sweeper_continue(server, pool);
        return;
    }
    if (job->error)
        pool_mark_damaged(pool, "its memory was truncated");
    registry_forget(&server->registry, pool, job->deaths, job->count);
    if (registry_is_over(pool)) {
        /* Nobody is attached: who waits for a sweep waits for the last of the pool. */
        DL_FOREACH2(pool->waiters, client, waiter_next)
        if (client->wish.kind == WISH_SWEEP)
            client->wish.kind = WISH_POOL;
    } else {
        DL_FOREACH_SAFE2(pool->waiters, client, next, waiter_next)
        if (swept(job, &client->wish))
            connection_answer(client);
    }
    sweeper_watch(server);
    sweeper_continue(server, pool);
}

static void after_release(struct job *job)
{
    struct server *server = job->server;
    struct pool *pool = job->pool;
    struct client *client;
    struct reason gone;

    log_info("pool \"%s\" (uid %u) is gone", pool->spec.name, pool->uid);
    reason_set(&gone, FASTALLOC_E_DESTROYED, "pool \"%s\" is gone", pool->spec.name);
    while ((client = pool->waiters)) {
        wish_drop(client);
        if (client->wish.kind == WISH_GROWTH || client->wish.kind == WISH_SHRINK)
            connection_refuse(client, &gone);
        else
            connection_answer(client);
    }
    registry_drop(&server->registry, pool);
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
    case JOB_RESERVE:
        aftermath_reserve(job);
        break;
    case JOB_PUBLISH:
        aftermath_publish(job);
        break;
    case JOB_RETREAT:
        aftermath_retreat(job);
        break;
    case JOB_GIVE_BACK:
        aftermath_give_back(job);
        break;
    case JOB_RELEASE_SLOTS:
        aftermath_release_slots(job);
        break;
    case JOB_EXPIRE:
        aftermath_expire(job);
        break;
    }
}

static void done(uv_work_t *request, int status);

static void hand_over(struct job *job)
{
    uv_queue_work(&job->server->loop, &job->work, work, done);
}

/* Building and growing, which take as long as memory does, wait for nobody; all else, which
 * takes as long as who filled the pool would have it, waits for its like. */
static bool waits(const struct job *job)
{
    return job->kind != JOB_BUILD && job->kind != JOB_RESERVE && job->kind != JOB_PUBLISH;
}

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
    if (waits(job)) {
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
void job_start(const struct job *plan)
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
    if (waits(job)) {
        DL_APPEND(job->server->queued, job);
        hand_over_queued(job->server);
    } else {
        hand_over(job);
    }
}

void jobs_build(struct server *server, struct pool *pool)
{
    job_start(&(struct job){.server = server, .pool = pool, .kind = JOB_BUILD});
}

void jobs_sweep(struct server *server, struct pool *pool, const struct death *deaths,
                uint32_t count)
{
    struct job job = {.server = server, .pool = pool, .kind = JOB_SWEEP, .count = count};

    memcpy(job.deaths, deaths, count * sizeof *deaths);
    job_start(&job);
}

void jobs_release(struct server *server, struct pool *pool)
{
    job_start(&(struct job){.server = server, .pool = pool, .kind = JOB_RELEASE});
}

void jobs_expire(struct server *server, struct pool *pool)
{
    job_start(&(struct job){.server = server, .pool = pool, .kind = JOB_EXPIRE});
}
