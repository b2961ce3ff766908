/* SPDX-License-Identifier: MIT
 *
 * aftermath: what follows jobs about capacity and kept slots: the manifest between two steps,
 * answers to those who wait, and which wish is next.
 */
#include "connection.h"
#include "job.h"
#include "jobs.h"
#include "log.h"
#include "request.h"
#include "sweeper.h"
#include "wishes.h"

#include <fastalloc/fastalloc.h>

/* Done with the pool, for good or ill. */
static void go_on(struct job *job)
{
    job_be_done(job->pool);
    sweeper_watch(job->server);
    sweeper_continue(job->server, job->pool);
}

/* A job touched memory that is not there any more. */
static void find_damaged(struct pool *pool, int error)
{
    if (error == FASTALLOC_E_POISONED)
        pool_mark_damaged(pool, "its memory was truncated");
}

/* Those that wait for `failed` slots, or more, or with 1 for any, hear why not; and once for
 * each capacity it goes to the log. */
static void fail_growth(struct pool *pool, uint64_t failed, const struct reason *why)
{
    struct client *client;

    if (pool->refused_at != pool->capacity)
        log_warn("%s", why->text);
    pool->refused_at = pool->capacity;
    pool->ahead.kind = WISH_NONE;
    while ((client = wish_next_grown(pool, failed)))
        connection_refuse(client, why);
}

static void answer_grown(struct pool *pool)
{
    struct client *client;

    while ((client = wish_next_grown(pool, 0))) {
        connection_result(client)->reply.capacity = pool->published;
        connection_answer(client);
    }
    if (pool->ahead.kind && wish_is_fulfilled(pool, &pool->ahead))
        pool->ahead.kind = WISH_NONE;
}

void aftermath_reserve(struct job *job)
{
    struct pool *pool = job->pool;
    uint64_t capacity = pool->capacity, reserved = pool->reserved;

    if (job->error) {
        find_damaged(pool, job->error);
        fail_growth(pool, job->number, &job->why);
        go_on(job);
        return;
    }
    pool->capacity = job->number;
    if (pool->reserved < pool->capacity)
        pool->reserved = pool->capacity;
    if (pool_save(pool, &job->server->registry.store, &job->why)) {
        pool->capacity = capacity;
        pool->reserved = reserved;
        fail_growth(pool, 1, &job->why);
        job_start(&(struct job){.server = job->server, .pool = pool, .kind = JOB_GIVE_BACK});
        return;
    }
    log_debug("pool \"%s\" grows from %llu to %llu slots", pool->spec.name,
              (unsigned long long)capacity, (unsigned long long)pool->capacity);
    job_start(&(struct job){.server = job->server, .pool = pool, .kind = JOB_PUBLISH});
}

void aftermath_publish(struct job *job)
{
    struct pool *pool = job->pool;

    if (job->error) {
        find_damaged(pool, job->error);
        reason_set(&job->why, job->error, "pool \"%s\" cannot grow: its shared memory is damaged",
                   pool->spec.name);
        fail_growth(pool, 1, &job->why);
    } else {
        pool->published = pool->capacity;
        answer_grown(pool);
    }
    go_on(job);
}

/* Those whose job is done hear what came of it. */
static void answer_served(struct job *job, enum wish_kind kind, uint64_t number)
{
    struct client *client;

    if (job->error && !job->why.code)
        reason_set(&job->why, job->error, "pool \"%s\": %s", job->pool->spec.name,
                   job->error == FASTALLOC_E_BUSY ? "somebody else sweeps it: try again"
                                                  : "its shared memory is damaged");
    while ((client = wish_next_served(job->pool, kind))) {
        struct wire_reply *reply = &connection_result(client)->reply;

        if (job->error) {
            connection_refuse(client, &job->why);
            continue;
        }
        if (kind == WISH_SHRINK)
            reply->capacity = number;
        else
            reply->released = number;
        connection_answer(client);
    }
}

/* The users see the new capacity already: without a manifest that says so they get back
 * the old one. */
void aftermath_retreat(struct job *job)
{
    struct pool *pool = job->pool;
    uint64_t capacity = pool->capacity;

    find_damaged(pool, job->error);
    if (!job->error && job->number < capacity) {
        pool->capacity = job->number;
        job->error = pool_save(pool, &job->server->registry.store, &job->why);
        if (!job->error) {
            log_debug("pool \"%s\" shrinks from %llu to %llu slots", pool->spec.name,
                      (unsigned long long)capacity, (unsigned long long)pool->capacity);
            job_start(&(struct job){.server = job->server, .pool = pool, .kind = JOB_GIVE_BACK});
            return;
        }
        pool->capacity = capacity;
        answer_served(job, WISH_SHRINK, capacity);
        job_start(&(struct job){.server = job->server, .pool = pool, .kind = JOB_PUBLISH});
        return;
    }
    answer_served(job, WISH_SHRINK, pool->capacity);
    go_on(job);
}

void aftermath_give_back(struct job *job)
{
    answer_served(job, WISH_SHRINK, job->pool->capacity);
    go_on(job);
}

void aftermath_release_slots(struct job *job)
{
    find_damaged(job->pool, job->error);
    answer_served(job, WISH_RELEASE, job->number);
    go_on(job);
}

void aftermath_expire(struct job *job)
{
    find_damaged(job->pool, job->error);
    if (job->number)
        log_debug("pool \"%s\": %llu slots taken back that nobody came for", job->pool->spec.name,
                  (unsigned long long)job->number);
    go_on(job);
}

/* ---------------------------------------------------------------------- wishes */

/* `client` is whose wish it is; NULL: nobody waits.  False when it needs no job, or cannot be
 * fulfilled: then the client has been answered. */
static bool begin_growth(struct server *server, struct pool *pool, const struct wish *wish,
                         struct client *client)
{
    struct job job = {.server = server, .pool = pool, .kind = JOB_RESERVE};

    if (wish_check(pool, wish, &job.why)) {
        if (client)
            connection_refuse(client, &job.why);
        else
            pool->ahead.kind = WISH_NONE;
        return false;
    }
    if (wish_is_fulfilled(pool, wish)) {
        answer_grown(pool);
        return false;
    }
    job.number = wish_target(pool, wish);
    job_start(&job);
    return true;
}

bool jobs_fulfil(struct server *server, struct pool *pool)
{
    struct job job = {.server = server, .pool = pool};
    struct client *client;

    if (server->stopping)
        return false;
    while ((client = wish_first(pool))) {
        if (client->wish.kind == WISH_GROWTH) {
            if (begin_growth(server, pool, &client->wish, client))
                return true;
            continue;
        }
        client->wish.served = true;
        if (client->wish.kind == WISH_SHRINK)
            pool->published = 0;
        job.kind = client->wish.kind == WISH_SHRINK ? JOB_RETREAT : JOB_RELEASE_SLOTS;
        job.number = client->wish.number;
        job_start(&job);
        return true;
    }
    return pool->ahead.kind == WISH_GROWTH && begin_growth(server, pool, &pool->ahead, NULL);
}
