/* SPDX-License-Identifier: MIT
 *
 * sweeper: one timer, one list of suspects.
 */
#include "sweeper.h"

#include "jobs.h"
#include "log.h"
#include "os/fence.h"

#include <string.h>
#include <utlist.h>

static void on_time(uv_timer_t *timer);

/* Looks once.  Returns whether the fence is open. */
static bool look(struct session *session, uint64_t now)
{
    int answer = fence_is_open(session->pool->descriptor, session->number);

    if (answer < 0)
        log_warn("pool \"%s\": cannot look at the fence of session %u: %s",
                 session->pool->spec.name, session->number, strerror(-answer));
    session->open = answer > 0;
    session->due = now + session->pause;
    session->pause *= 2;
    if (session->pause > LIMIT_LOOK_LAST_MS)
        session->pause = LIMIT_LOOK_LAST_MS;
    return session->open;
}

void sweeper_continue(struct server *server, struct pool *pool)
{
    uint32_t numbers[LIMIT_SWEEPS_AT_ONCE], count = 0;
    const struct session *session;

    if (pool->busy || pool->phase != PHASE_READY)
        return;
    for (session = pool->sessions; session && count < LIMIT_SWEEPS_AT_ONCE;
         session = session->by_number.next)
        if (session->open)
            numbers[count++] = session->number;
    if (count > 0) {
        jobs_sweep(server, pool, numbers, count);
    } else if (registry_is_over(pool)) {
        registry_retire(&server->registry, pool);
        jobs_release(server, pool);
    }
}

/* Looks at suspects that are due, at most so many, and says when the next is. */
static void look_round(struct server *server, unsigned most, bool due_or_not)
{
    uint64_t now = uv_now(&server->loop), next = UINT64_MAX;
    struct session *session;
    struct pool *pool, *after;
    bool any_open = false;

    DL_FOREACH(server->registry.suspects, session) {
        if (session->open)
            continue;
        if ((due_or_not || session->due <= now) && most > 0) {
            most--;
            any_open |= look(session, now);
        }
        if (!session->open && session->due < next)
            next = session->due;
    }
    if (any_open)
        DL_FOREACH_SAFE(server->registry.pools, pool, after)
            sweeper_continue(server, pool);
    if (next < UINT64_MAX && !server->stopping)
        uv_timer_start(&server->looking, on_time, next > now ? next - now : 1, 0);
}

static void on_time(uv_timer_t *timer)
{
    look_round(timer->data, LIMIT_LOOKS_AT_ONCE, false);
}

void sweeper_wake(struct server *server)
{
    if (server->registry.suspects && !server->stopping)
        uv_timer_start(&server->looking, on_time, 0, 0);
}

void sweeper_look_at_all(struct server *server)
{
    look_round(server, UINT32_MAX, true);
}

void sweeper_start(struct server *server)
{
    struct pool *pool, *next;

    server->looking.data = server;
    uv_timer_init(&server->loop, &server->looking);
    DL_FOREACH_SAFE(server->registry.pools, pool, next)
        sweeper_continue(server, pool);
    sweeper_wake(server);
}
