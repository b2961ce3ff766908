/* SPDX-License-Identifier: MIT
 *
 * request: one function an operation.
 */
#include "request.h"

#include "demand.h"
#include "log.h"

#include <fastalloc/fastalloc.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

void request_refuse(struct wire_reply *reply, uint64_t id, enum wire_op op,
                    const struct reason *why)
{
    memset(reply, 0, sizeof *reply);
    reply->id = id;
    reply->op = op;
    reply->error = why->code;
    memcpy(reply->message, why->text, sizeof reply->message);
}

static void describe(struct wire_pool *out, const struct pool *pool)
{
    out->spec = pool->spec;
    out->serial = pool->serial;
    out->pool_id = pool->pool_id;
    out->capacity = pool->capacity;
    out->bytes = pool->geometry.total;
    out->created = pool->created;
    out->uid = pool->uid;
    out->sessions = pool_session_count(pool);
    out->destroyed = pool->destroyed;
}

/* --------------------------------------------------------------- operations */

static int do_hello(struct client *client, const struct wire_request *request,
                    struct request_result *result, struct reason *why)
{
    if (client->greeted) {
        result->hang_up = true;
        return reason_set(why, FASTALLOC_E_PROTOCOL, "a second hello on one connection");
    }
    client->greeted = true;
    memcpy(client->program, request->hello.program, sizeof client->program);
    snprintf(result->reply.hello.daemon, sizeof result->reply.hello.daemon, "%d.%d.%d",
             FASTALLOC_VERSION_MAJOR, FASTALLOC_VERSION_MINOR, FASTALLOC_VERSION_PATCH);
    result->reply.hello.pid = (uint32_t)getpid();
    log_debug("pid %u uid %u is \"%s\"", client->peer.pid, client->peer.uid, client->program);
    return 0;
}

static int check_creation(struct registry *registry, const struct client *client,
                          struct pool_spec *spec, struct geometry *geometry, struct reason *why)
{
    int error = spec_check_name(spec->name, strlen(spec->name), why);
    const struct pool *there;

    if (!error)
        error = spec_complete(spec, why);
    if (!error)
        error = geometry_plan(geometry, spec, why);
    if (error)
        return error;
    there = registry_find(registry, spec->name);
    if (there)
        return reason_set(why, FASTALLOC_E_EXISTS,
                          "pool \"%s\" exists already, created by uid %u with %" PRIu64
                          " slots of %" PRIu64 " bytes: open it, or destroy it first",
                          spec->name, there->uid, there->capacity, there->spec.object_size);
    if (registry_count_of(registry, client->peer.uid) >= LIMIT_POOLS_PER_UID)
        return reason_set(why, FASTALLOC_E_TOO_MANY,
                          "uid %u has %u pools, the most it can have: destroy some first",
                          client->peer.uid, LIMIT_POOLS_PER_UID);
    return 0;
}

static int do_create(struct registry *registry, struct client *client,
                     const struct wire_request *request, struct request_result *result,
                     struct reason *why)
{
    struct pool_spec spec = request->create;
    struct geometry geometry;
    struct pool *pool;
    int error = check_creation(registry, client, &spec, &geometry, why);

    if (!error)
        error = pool_plan(&pool, &spec, &geometry, &client->peer, registry->last_serial + 1, why);
    if (error)
        return error;
    error = registry_add(registry, pool, why);
    if (error) {
        pool_free(pool);
        return error;
    }
    pool->busy = true;
    result->next = REQUEST_BUILD;
    result->pool = pool;
    return 0;
}

/* Attaches and completes the reply. */
static int attach(struct registry *registry, struct client *client, struct pool *pool,
                  struct request_result *result, struct reason *why)
{
    struct session *session;
    int error = pool_attach(pool, &registry->store, client, &session, &result->descriptor, why);

    if (error)
        return error;
    result->reply.attached.pool_id = pool->pool_id;
    result->reply.attached.session = session->number;
    result->reply.attached.nonce = session->nonce;
    result->reply.attached.bytes = pool->geometry.total;
    log_debug("pool \"%s\": session %u opened for pid %u", pool->spec.name, session->number,
              session->pid);
    return 0;
}

static int do_open(struct registry *registry, struct client *client,
                   const struct wire_request *request, struct request_result *result,
                   struct reason *why)
{
    const struct pool_spec *expected = &request->open.expected;
    struct pool *pool = NULL;
    int error = demand_find_pool(registry, expected->name, &pool, why);

    if (!error)
        error = demand_check_use(pool, client, why);
    if (!error)
        error = spec_match(expected, &pool->spec, why);
    if (!error)
        error = attach(registry, client, pool, result, why);
    return error;
}

static int do_close(struct registry *registry, struct client *client,
                    const struct wire_request *request, uint64_t now, struct request_result *result,
                    struct reason *why)
{
    struct session *session = NULL;
    struct reason detail;
    int error = demand_find_session(registry, client, request->close.pool_id,
                                    request->close.session, request->close.nonce, &session, why);

    if (error)
        return error;
    /* Only where it makes a difference to who sweeps it after a restart. */
    session->closed = true;
    if (session->pool->spec.on_death != FASTALLOC_RECLAIM &&
        pool_save(session->pool, &registry->store, &detail))
        log_warn("%s", detail.text);
    registry_suspect(registry, session, now);
    result->next = REQUEST_SWEEP;
    result->pool = session->pool;
    result->session = session;
    return 0;
}

static int do_resume(struct registry *registry, struct client *client,
                     const struct wire_request *request, struct reason *why)
{
    const struct wire_session *asked = &request->resume;
    struct pool *pool = registry_find_id(registry, asked->pool_id);
    struct session *session = pool ? pool_find_session(pool, asked->session) : NULL;
    int error;

    if (!session || session->nonce != asked->nonce)
        return reason_set(why, FASTALLOC_E_SESSION,
                          "fastallocd knows no session %u of pool %016" PRIx64
                          " with that nonce: open the pool anew",
                          asked->session, asked->pool_id);
    error = registry_resume(registry, session, client, why);
    if (!error)
        log_debug("pool \"%s\": session %u is back, with pid %u", pool->spec.name, session->number,
                  client->peer.pid);
    return error;
}

static int do_destroy(struct registry *registry, struct client *client,
                      const struct wire_request *request, struct request_result *result,
                      struct reason *why)
{
    struct pool *pool = NULL;
    int error = demand_find_pool(registry, request->destroy.name, &pool, why);

    if (error)
        return error;
    if (!access_may_destroy(&client->peer, pool->uid))
        return reason_set(why, FASTALLOC_E_PERMISSION,
                          "pool \"%s\" belongs to uid %u: only that user and root can destroy it, "
                          "not uid %u",
                          pool->spec.name, pool->uid, client->peer.uid);
    error = registry_destroy(registry, pool, why);
    if (error)
        return error;
    log_info("pool \"%s\" (uid %u) destroyed by uid %u, %u sessions attached", pool->spec.name,
             pool->uid, client->peer.uid, pool_session_count(pool));
    if (registry_is_over(pool)) {
        registry_retire(registry, pool);
        result->next = REQUEST_RELEASE;
        result->pool = pool;
    }
    return 0;
}

static int do_list(struct registry *registry, struct client *client,
                   const struct wire_request *request, struct request_result *result)
{
    struct wire_reply *reply = &result->reply;
    const struct pool *pool;

    DL_FOREACH(registry->pools, pool)
    {
        if (pool->serial <= request->list.after || pool->phase != PHASE_READY ||
            !access_may_use(&client->peer, pool->uid, pool->gid, pool->spec.mode))
            continue;
        if (reply->list.count == WIRE_LIST_MAX) {
            reply->list.more = true;
            break;
        }
        describe(&reply->list.pools[reply->list.count++], pool);
    }
    return 0;
}

static int do_stat(struct registry *registry, struct client *client,
                   const struct wire_request *request, struct request_result *result,
                   struct reason *why)
{
    struct pool *pool = NULL;
    int error = demand_find_pool(registry, request->stat.name, &pool, why);

    if (!error)
        error = demand_check_use(pool, client, why);
    if (!error)
        error = backing_reopen(pool->descriptor, false, &result->descriptor, why);
    if (!error)
        describe(&result->reply.stat, pool);
    return error;
}

static int do_shutdown(struct client *client, const struct wire_request *request,
                       struct request_result *result, struct reason *why)
{
    if (!access_may_shut_down(&client->peer))
        return reason_set(
            why, FASTALLOC_E_PERMISSION,
            "fastallocd runs as uid %u: only that user and root can shut it down, not "
            "uid %u",
            geteuid(), client->peer.uid);
    log_info("shut down by pid %u uid %u%s", client->peer.pid, client->peer.uid,
             request->shutdown.destroy ? ", with all pools" : "");
    result->next = REQUEST_SHUTDOWN;
    result->destroy = request->shutdown.destroy;
    return 0;
}

/* ------------------------------------------------------------------ together */

static int perform(struct registry *registry, struct client *client,
                   const struct wire_request *request, uint64_t now, struct request_result *result,
                   struct reason *why)
{
    if (!client->greeted && request->op != WIRE_HELLO) {
        result->hang_up = true;
        return reason_set(why, FASTALLOC_E_PROTOCOL, "a request before the hello");
    }
    switch (request->op) {
    case WIRE_HELLO:
        return do_hello(client, request, result, why);
    case WIRE_CREATE:
        return do_create(registry, client, request, result, why);
    case WIRE_OPEN:
        return do_open(registry, client, request, result, why);
    case WIRE_CLOSE:
        return do_close(registry, client, request, now, result, why);
    case WIRE_DESTROY:
        return do_destroy(registry, client, request, result, why);
    case WIRE_LIST:
        return do_list(registry, client, request, result);
    case WIRE_STAT:
        return do_stat(registry, client, request, result, why);
    case WIRE_GROW:
        return demand_growth(registry, client, request, result, why);
    case WIRE_SHRINK:
        return demand_shrinking(registry, client, request, result, why);
    case WIRE_RESUME:
        return do_resume(registry, client, request, why);
    case WIRE_RELEASE:
        return demand_release(registry, client, request, result, why);
    case WIRE_SHUTDOWN:
        return do_shutdown(client, request, result, why);
    }
    result->hang_up = true;
    return reason_set(why, FASTALLOC_E_PROTOCOL, "an unknown operation");
}

static void refuse(struct request_result *result, const struct reason *why)
{
    request_refuse(&result->reply, result->reply.id, result->reply.op, why);
    result->next = REQUEST_ANSWER;
    result->descriptor = -1;
    result->pool = NULL;
    result->session = NULL;
}

bool request_is_one_way(const uint8_t *bytes, size_t length)
{
    struct wire_request request;

    return wire_unpack_request(bytes, length, &request, NULL) == 0 && request.op == WIRE_GROW &&
           request.grow.one_way;
}

/* What becomes of a request that was refused. */
static void conclude(const struct client *client, const struct wire_request *request,
                     const struct reason *why, struct request_result *result)
{
    refuse(result, why);
    if (result->hang_up)
        log_warn("pid %u uid %u is sent away: %s", client->peer.pid, client->peer.uid, why->text);
    else
        log_debug("pid %u uid %u is refused: %s", client->peer.pid, client->peer.uid, why->text);
    if (!result->hang_up && request->op == WIRE_GROW && request->grow.one_way)
        result->next = REQUEST_NOTHING;
}

void request_handle(struct registry *registry, struct client *client, const uint8_t *bytes,
                    size_t length, uint64_t now, struct request_result *result)
{
    struct wire_request request;
    struct reason why = {0, ""};
    int error = wire_unpack_request(bytes, length, &request, &why);

    memset(result, 0, sizeof *result);
    result->next = REQUEST_ANSWER;
    result->descriptor = -1;
    result->reply.id = request.id;
    result->reply.op = request.op;
    if (error)
        result->hang_up = error != FASTALLOC_E_NAME;
    else
        error = perform(registry, client, &request, now, result, &why);
    if (error)
        conclude(client, &request, &why, result);
    else if (request.op == WIRE_GROW && request.grow.one_way && result->next == REQUEST_ANSWER)
        result->next = REQUEST_NOTHING;
}

void request_built(struct registry *registry, struct client *client, struct pool *pool, int error,
                   const struct reason *why, struct request_result *result)
{
    struct reason detail = error ? *why : (struct reason){0, ""};

    pool->busy = false;
    pool->published = pool->capacity;
    result->next = REQUEST_ANSWER;
    if (error) {
        registry_drop(registry, pool);
        refuse(result, &detail);
        log_warn("%s", detail.text);
        return;
    }
    pool->phase = PHASE_READY;
    if (client)
        error = attach(registry, client, pool, result, &detail);
    if (client && !error) {
        log_info("pool \"%s\" created by uid %u: %" PRIu64 " slots of %" PRIu64 " bytes",
                 pool->spec.name, pool->uid, pool->spec.capacity, pool->spec.object_size);
        return;
    }
    /* Who asked for it has gone, or cannot attach: as if it had never been asked for. */
    if (error)
        refuse(result, &detail);
    registry_retire(registry, pool);
    result->next = REQUEST_RELEASE;
    result->pool = pool;
}
