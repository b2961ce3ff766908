/* SPDX-License-Identifier: MIT
 *
 * sweeper: a timer and a list of suspects; a timer for what expires.
 */
#include "sweeper.h"

#include "jobs.h"
#include "log.h"
#include "shm/wait.h"

#include <string.h>
#include <utlist.h>

static void on_time(uv_timer_t *timer);

/* Looks once.  Returns whether the fence is open. */
static bool look(struct session *session, uint64_t now)
{
    struct pool *pool = session->pool;
    int answer = pool_look(pool, session->number);

    pool->rest_until =
        now + (pool->crowded ? LIMIT_LOOK_CROWDED_MS : pool->fence_ns * LIMIT_LOOK_REST / 1000000);

    if (answer < 0)
        log_warn("pool \"%s\": cannot look at the fence of session %u: %s", pool->spec.name,
                 session->number, strerror(-answer));
    session->open = answer > 0;
    if (answer == 0)
        session->noticed = wait_now();
    session->due = now + session->pause;
    session->pause *= 2;
    if (session->pause > LIMIT_LOOK_LAST_MS)
        session->pause = LIMIT_LOOK_LAST_MS;
    return session->open;
}

void sweeper_continue(struct server *server, struct pool *pool)
{
    struct death deaths[LIMIT_SWEEPS_AT_ONCE];
    const struct session *session;
    uint32_t count = 0;

    if (pool->busy || pool->phase != PHASE_READY)
        return;
    for (session = pool->sessions; session && count < LIMIT_SWEEPS_AT_ONCE;
         session = session->by_number.next)
        if (session->open)
            deaths[count++] = (struct death){session->number, session->closed, session->noticed};
    if ((count == 0 || pool->swept_last) && jobs_fulfil(server, pool)) {
        pool->swept_last = false;
    } else if (count > 0) {
        pool->swept_last = true;
        jobs_sweep(server, pool, deaths, count);
    } else if (registry_is_over(pool)) {
        registry_retire(&server->registry, pool);
        jobs_release(server, pool);
    }
}

/* Goes through the suspects for `most` ns.  Looks at those that are due and whose pool does
 * not rest; or with `last` at all, but in crowded pools.  Says when the next is due. */
static bool look_through(struct registry *registry, uint64_t now, uint64_t most, bool last,
                         uint64_t *next)
{
    uint64_t begun = uv_hrtime(), due;
    struct session *session, *after, *end = registry->suspects ? registry->suspects->prev : NULL;
    bool any_open = false, rests, time_is_up = false;

    DL_FOREACH_SAFE(registry->suspects, session, after)
    {
        rests = session->pool->rest_until > now && (!last || session->pool->crowded);
        if (!session->open && !rests && !time_is_up && (last || session->due <= now)) {
            any_open |= look(session, now);
            /* Next time the others come first. */
            DL_DELETE(registry->suspects, session);
            DL_APPEND(registry->suspects, session);
            time_is_up = uv_hrtime() - begun > most;
        }
        due = session->due > session->pool->rest_until ? session->due : session->pool->rest_until;
        if (!session->open && due < *next)
            *next = due;
        if (session == end)
            break;
    }
    return any_open;
}

static void look_round(struct server *server, uint64_t most, bool last)
{
    uint64_t now = uv_now(&server->loop), next = UINT64_MAX, begun = uv_hrtime(), pause;
    bool any_open = look_through(&server->registry, now, most, last, &next);
    struct pool *pool, *after;

    if (any_open)
        DL_FOREACH_SAFE(server->registry.pools, pool, after)
    sweeper_continue(server, pool);
    /* Others have at least as much of the loop as looks have. */
    pause = 1 + (uv_hrtime() - begun) / 1000000;
    if (next < UINT64_MAX && !server->stopping)
        uv_timer_start(&server->looking, on_time, next > now + pause ? next - now : pause, 0);
}

static void on_time(uv_timer_t *timer)
{
    look_round(timer->data, LIMIT_ROUND_NS, false);
}

void sweeper_wake(struct server *server)
{
    if (server->registry.suspects && !server->stopping)
        uv_timer_start(&server->looking, on_time, 0, 0);
}

void sweeper_look_at_all(struct server *server)
{
    struct pool *pool;

    DL_FOREACH(server->registry.pools, pool)
    pool->rest_until = 0;
    look_round(server, LIMIT_LAST_ROUND_NS, true);
}

/* -------------------------------------------------------------------- expiring */

static void on_tick(uv_timer_t *timer)
{
    struct server *server = timer->data;
    bool any = false, later, now;
    struct pool *pool, *next;

    DL_FOREACH_SAFE(server->registry.pools, pool, next)
    {
        now = pool_expires(pool, &later);
        any |= now || later;
        if (now && !pool->busy)
            jobs_expire(server, pool);
    }
    if (!any)
        uv_timer_stop(timer);
}

void sweeper_watch(struct server *server)
{
    if (server->registry.noted && !server->stopping &&
        !uv_is_active((uv_handle_t *)&server->expiring))
        uv_timer_start(&server->expiring, on_tick, LIMIT_EXPIRE_MS, LIMIT_EXPIRE_MS);
}

void sweeper_start(struct server *server)
{
    struct pool *pool, *next;

    server->looking.data = server->expiring.data = server;
    uv_timer_init(&server->loop, &server->looking);
    uv_timer_init(&server->loop, &server->expiring);
    sweeper_watch(server);
    DL_FOREACH_SAFE(server->registry.pools, pool, next)
    sweeper_continue(server, pool);
    sweeper_wake(server);
}
