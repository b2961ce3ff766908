/* SPDX-License-Identifier: MIT
 *
 * registry: which pools there are.
 */
#include "registry.h"

#include "log.h"
#include "shm/wait.h"

#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <utlist.h>

/* ---------------------------------------------------------------- finding */

struct pool *registry_find(struct registry *registry, const char *name)
{
    struct pool *pool;

    HASH_FIND(by_name, registry->by_name, name, strlen(name), pool);
    return pool;
}

struct pool *registry_find_id(struct registry *registry, uint64_t pool_id)
{
    struct pool *pool;

    HASH_FIND(by_id, registry->by_id, &pool_id, sizeof pool_id, pool);
    return pool;
}

uint32_t registry_count_of(const struct registry *registry, uint32_t uid)
{
    const struct pool *pool;
    uint32_t count = 0;

    DL_FOREACH(registry->pools, pool)
    count += pool->uid == uid;
    return count;
}

uint32_t registry_session_count(const struct registry *registry)
{
    const struct pool *pool;
    uint32_t count = 0;

    DL_FOREACH(registry->pools, pool)
    count += pool_session_count(pool);
    return count;
}

/* ------------------------------------------------------- entering, removing */

static int by_serial(const struct pool *a, const struct pool *b)
{
    return a->serial < b->serial ? -1 : a->serial > b->serial;
}

static bool has_name(const struct registry *registry, const struct pool *pool)
{
    struct pool *found;

    HASH_FIND(by_name, registry->by_name, pool->spec.name, strlen(pool->spec.name), found);
    return found == pool;
}

static void free_name(struct registry *registry, struct pool *pool)
{
    if (has_name(registry, pool))
        HASH_DELETE(by_name, registry->by_name, pool);
}

int registry_add(struct registry *registry, struct pool *pool, struct reason *why)
{
    bool named;

    HASH_ADD(by_id, registry->by_id, pool_id, sizeof pool->pool_id, pool);
    if (!pool->by_id.tbl)
        return reason_set(why, FASTALLOC_E_NO_MEMORY, "fastallocd has no memory for pool \"%s\"",
                          pool->spec.name);
    named = !pool->destroyed;
    if (named)
        HASH_ADD_KEYPTR(by_name, registry->by_name, pool->spec.name, strlen(pool->spec.name), pool);
    if (named && !pool->by_name.tbl) {
        HASH_DELETE(by_id, registry->by_id, pool);
        return reason_set(why, FASTALLOC_E_NO_MEMORY, "fastallocd has no memory for pool \"%s\"",
                          pool->spec.name);
    }
    DL_INSERT_INORDER(registry->pools, pool, by_serial);
    registry->noted += (pool->spec.flags & SPEC_NOTES) != 0;
    if (pool->serial > registry->last_serial)
        registry->last_serial = pool->serial;
    return 0;
}

void registry_drop(struct registry *registry, struct pool *pool)
{
    free_name(registry, pool);
    HASH_DELETE(by_id, registry->by_id, pool);
    DL_DELETE(registry->pools, pool);
    registry->noted -= (pool->spec.flags & SPEC_NOTES) != 0;
    pool_free(pool);
}

int registry_destroy(struct registry *registry, struct pool *pool, struct reason *why)
{
    int error;

    pool->destroyed = true;
    error = pool_save(pool, &registry->store, why);
    if (error) {
        pool->destroyed = false;
        return error;
    }
    free_name(registry, pool);
    pool_tell_destroyed(pool);
    return 0;
}

bool registry_is_over(const struct pool *pool)
{
    return pool->phase == PHASE_READY && !pool->busy && pool_session_count(pool) == 0 &&
           (pool->destroyed || pool->spec.lifetime != FASTALLOC_PERSISTENT);
}

void registry_retire(struct registry *registry, struct pool *pool)
{
    free_name(registry, pool);
    pool_unlink(pool, &registry->store);
}

/* ------------------------------------------------------------------ suspects */

void registry_suspect(struct registry *registry, struct session *session, uint64_t now)
{
    struct client *client = session->client;

    if (client) {
        DL_DELETE(client->sessions, session);
        client->session_count--;
        session->client = NULL;
    }
    session->open = false;
    session->noticed = wait_now();
    session->due = now;
    session->pause = LIMIT_LOOK_FIRST_MS;
    DL_APPEND(registry->suspects, session);
}

void registry_suspect_client(struct registry *registry, struct client *client, uint64_t now)
{
    while (client->sessions)
        registry_suspect(registry, client->sessions, now);
}

/* Whether its fence was found open, or is open now: then nobody can have it any more. */
static bool is_dead(const struct session *session)
{
    return !session->client && (session->open || pool_look(session->pool, session->number) > 0);
}

int registry_resume(struct registry *registry, struct session *session, struct client *client,
                    struct reason *why)
{
    const struct pool *pool = session->pool;

    if (client->peer.uid != session->uid && client->peer.uid != 0)
        return reason_set(why, FASTALLOC_E_PERMISSION,
                          "session %u of pool \"%s\" is of uid %u, not of uid %u", session->number,
                          pool->spec.name, session->uid, client->peer.uid);
    if (session->closed || is_dead(session))
        return reason_set(why, FASTALLOC_E_SESSION, "session %u of pool \"%s\" has %s",
                          session->number, pool->spec.name,
                          session->closed ? "been closed" : "died");
    if (session->client == client)
        return 0;
    if (client->session_count >= LIMIT_SESSIONS_PER_CLIENT)
        return reason_set(why, FASTALLOC_E_TOO_MANY,
                          "this connection has %u sessions open, the most it can have: close some",
                          client->session_count);
    if (session->client) {
        DL_DELETE(session->client->sessions, session);
        session->client->session_count--;
    } else {
        DL_DELETE(registry->suspects, session);
    }
    session->client = client;
    DL_APPEND(client->sessions, session);
    client->session_count++;
    return 0;
}

void registry_forget(struct registry *registry, struct pool *pool, const struct death *deaths,
                     uint32_t count)
{
    struct session *session;
    struct reason why;
    uint32_t i;

    for (i = 0; i < count; i++) {
        session = pool_find_session(pool, deaths[i].number);
        if (!session)
            continue;
        DL_DELETE(registry->suspects, session);
        pool_forget(pool, session);
    }
    /* A manifest that still names them has them swept once more: no harm. */
    if (!registry_is_over(pool) && pool->phase == PHASE_READY &&
        pool_save(pool, &registry->store, &why))
        log_warn("%s", why.text);
}

/* --------------------------------------------------------- opening, closing */

/* Nothing fits: what the manifest names is of no use to anybody. */
static void remove_remains(struct registry *registry, const struct manifest *manifest)
{
    if (shm_unlink(manifest->segment) < 0 && errno != ENOENT)
        log_warn("cannot remove /dev/shm%s: %s", manifest->segment, strerror(errno));
    store_remove(&registry->store, manifest->pool_id);
}

/* Only what is certain to be lost is given up; when that cannot be found out now, the
 * daemon does not start. */
static int take_up(void *taker, struct manifest *manifest, struct reason *why)
{
    struct registry *registry = taker;
    struct session *session;
    struct reason detail;
    struct pool *pool;
    int error = pool_readopt(&pool, manifest, &detail);

    if (error == FASTALLOC_E_NOT_FOUND || error == FASTALLOC_E_POISONED) {
        log_warn("pool \"%s\" (uid %u) is lost: %s", manifest->spec.name, manifest->uid,
                 detail.text);
        remove_remains(registry, manifest);
        return 0;
    }
    if (!error && !pool->destroyed && registry_find(registry, pool->spec.name)) {
        log_warn("pool \"%s\" is there twice: the one of uid %u loses the name", pool->spec.name,
                 pool->uid);
        pool->destroyed = true;
    }
    if (!error && (error = registry_add(registry, pool, &detail)))
        pool_free(pool);
    if (error)
        return reason_set(why, error, "cannot take up pool \"%s\" (uid %u): %s.  " STORE_ADVICE,
                          manifest->spec.name, manifest->uid, detail.text);
    log_info("pool \"%s\" (uid %u) taken up again, with %u sessions", pool->spec.name, pool->uid,
             pool_session_count(pool));
    for (session = pool->sessions; session; session = session->by_number.next)
        registry_suspect(registry, session, 0);
    return 0;
}

int registry_open(struct registry *registry, const char *socket_path, const char *prefix,
                  struct reason *why)
{
    int error;

    memset(registry, 0, sizeof *registry);
    registry->prefix = prefix;
    error = store_open(&registry->store, socket_path, why);
    if (error)
        return error;
    error = store_load(&registry->store, take_up, registry, why);
    if (!error)
        return 0;
    while (registry->pools)
        registry_drop(registry, registry->pools);
    store_close(&registry->store);
    return error;
}

void registry_close(struct registry *registry, bool destroy)
{
    struct pool *pool, *next;

    DL_FOREACH_SAFE(registry->pools, pool, next)
    {
        if (destroy)
            pool_tell_destroyed(pool);
        if (destroy || registry_is_over(pool))
            registry_retire(registry, pool);
        registry_drop(registry, pool);
    }
    registry->suspects = NULL;
    store_close(&registry->store);
}
