/* SPDX-License-Identifier: MIT
 *
 * demand: see demand.h.
 */
#include "demand.h"

#include "wishes.h"

#include <fastalloc/fastalloc.h>
#include <inttypes.h>
#include <string.h>

int demand_find_pool(struct registry *registry, const char *name, struct pool **pool,
                     struct reason *why)
{
    int error = spec_check_name(name, strlen(name), why);
    struct pool *found;

    if (error)
        return error;
    found = registry_find(registry, name);
    if (!found)
        return reason_set(why, FASTALLOC_E_NOT_FOUND,
                          "no pool \"%s\" exists: create it first (\"fastallocctl list\" shows "
                          "what there is)",
                          name);
    if (found->phase == PHASE_BUILDING)
        return reason_set(why, FASTALLOC_E_BUSY,
                          "pool \"%s\" is just being created by uid %u: try again in a moment",
                          name, found->uid);
    *pool = found;
    return 0;
}

int demand_check_use(const struct pool *pool, const struct client *client, struct reason *why)
{
    if (access_may_use(&client->peer, pool->uid, pool->gid, pool->spec.mode))
        return 0;
    return reason_set(why, FASTALLOC_E_PERMISSION,
                      "pool \"%s\" belongs to uid %u, and its mode %04o does not let uid %u, gid "
                      "%u read and write: have it created with a wider mode",
                      pool->spec.name, pool->uid, pool->spec.mode, client->peer.uid,
                      client->peer.gid);
}

int demand_find_session(struct registry *registry, const struct client *client, uint64_t pool_id,
                        uint32_t number, uint64_t nonce, struct session **session,
                        struct reason *why)
{
    struct pool *pool = registry_find_id(registry, pool_id);
    struct session *found = pool ? pool_find_session(pool, number) : NULL;

    if (!found || found->client != client || found->nonce != nonce)
        return reason_set(why, FASTALLOC_E_SESSION,
                          "this connection has no session %u of pool %016" PRIx64, number, pool_id);
    *session = found;
    return 0;
}

/* ----------------------------------------------------------------- capacity */

/* Noted for whoever has time: nobody waits.  Of several the largest step. */
static void ask_ahead(struct pool *pool, const struct wish *wish, struct request_result *result)
{
    if (pool->ahead.kind == WISH_NONE || wish_target(pool, wish) > wish_target(pool, &pool->ahead))
        pool->ahead = *wish;
    result->next = REQUEST_AHEAD;
    result->pool = pool;
}

int demand_growth(struct registry *registry, struct client *client,
                  const struct wire_request *request, struct request_result *result,
                  struct reason *why)
{
    struct wish wish = {.kind = WISH_GROWTH,
                        .number = request->grow.capacity,
                        .from = request->grow.from,
                        .increment = request->grow.increment};
    struct session *session = NULL;
    struct pool *pool;
    int error = demand_find_session(registry, client, request->grow.pool_id, request->grow.session,
                                    request->grow.nonce, &session, why);

    if (error)
        return error;
    pool = session->pool;
    /* Seen before it shrank, perhaps. */
    if (wish.from > pool->capacity)
        wish.from = pool->capacity;
    error = wish_check(pool, &wish, why);
    if (error)
        return error;
    result->reply.capacity = pool->published;
    if (wish_is_fulfilled(pool, &wish))
        return 0;
    if (request->grow.one_way) {
        ask_ahead(pool, &wish, result);
        return 0;
    }
    result->next = REQUEST_WISH;
    result->pool = pool;
    result->wish = wish;
    return 0;
}

int demand_shrinking(struct registry *registry, struct client *client,
                     const struct wire_request *request, struct request_result *result,
                     struct reason *why)
{
    struct session *session = NULL;
    int error = demand_find_session(registry, client, request->shrink.pool_id,
                                    request->shrink.session, request->shrink.nonce, &session, why);

    if (error)
        return error;
    if (session->pool->damaged)
        return reason_set(why, FASTALLOC_E_POISONED,
                          "the shared memory of pool \"%s\" is damaged: destroy the pool",
                          session->pool->spec.name);
    result->next = REQUEST_WISH;
    result->pool = session->pool;
    result->wish.kind = WISH_SHRINK;
    result->wish.number = request->shrink.target;
    return 0;
}

int demand_release(struct registry *registry, struct client *client,
                   const struct wire_request *request, struct request_result *result,
                   struct reason *why)
{
    struct pool *pool = NULL;
    int error = demand_find_pool(registry, request->release.name, &pool, why);

    if (!error)
        error = demand_check_use(pool, client, why);
    if (error)
        return error;
    if (!(pool->spec.flags & SPEC_NOTES))
        return 0; /* nothing is quarantined in it */
    result->next = REQUEST_WISH;
    result->pool = pool;
    result->wish.kind = WISH_RELEASE;
    result->wish.number = request->release.handle;
    return 0;
}
