/* SPDX-License-Identifier: MIT
 *
 * pool: see pool.h.  The public functions about pools as a whole.
 */
#include "pool.h"

#include "attach.h"
#include "client.h"
#include "fault.h"
#include "fork.h"
#include "local.h"
#include "os/backing.h"
#include "process.h"
#include "shm/cache.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "shm/wait.h"
#include "thread.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUILDING_PAUSE_MS 2

/* ------------------------------------------------------ making, releasing */

void pool_set_session(fastalloc_pool *pool, uint32_t session)
{
    const struct geometry *geometry = &pool->segment.geometry;
    struct fastalloc_face_ *face = &pool->face;

    face->words = pool->segment.words;
    face->objects = pool->segment.objects;
    face->stride = geometry->stride;
    face->sessions = geometry->sessions;
    face->index_mask = (UINT64_C(1) << geometry->index_bits) - 1;
    face->session = session;
    face->releaser = slot_frees_decide(&pool->segment) ? SLOT_NEVER : session;
    face->freeing = (UINT64_C(1) << geometry->index_bits) - face->releaser;
    pool_refresh(pool);
}

/* Never down: what was once reserved stays. */
void pool_refresh(fastalloc_pool *pool)
{
    uint32_t seen = shm_load(&pool->face.slots), reserved;

    if (seen == pool->segment.geometry.max_capacity)
        return;
    reserved = (uint32_t)segment_reserved(&pool->segment);
    while (reserved > seen && !__atomic_compare_exchange_n(&pool->face.slots, &seen, reserved, true,
                                                           __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

bool pool_is_ours(const fastalloc_pool *pool)
{
    return __atomic_load_n(&pool->generation, __ATOMIC_ACQUIRE) == process_here()->generation;
}

fastalloc_pool *pool_new(const struct segment *segment, const struct pool_spec *spec,
                         uint32_t session, const fastalloc_pool_config *config)
{
    fastalloc_pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return NULL;
    pool->segment = *segment;
    pool->spec = *spec;
    pool->pool_id = segment->header->pool_id;
    pool->descriptor = -1;
    if (config) {
        pool->growth_function = config->growth_function;
        pool->growth_argument = config->growth_argument;
        lifecycle_init(&pool->lifecycle, config);
        pool->advice = config->advice;
    }
    pthread_mutex_init(&pool->mutex, NULL);
    holds_init(&pool->holds);
    pool_set_session(pool, session);
    process_add_pool(pool);
    return pool;
}

void pool_release(fastalloc_pool *pool)
{
    /* A child forked in between would have a mapping that it does not know of. */
    fork_hold();
    process_remove_pool(pool);
    backing_unmap(pool->segment.base, pool->segment.geometry.total);
    fork_release();
    if (pool->descriptor >= 0)
        close(pool->descriptor);
    holds_release(&pool->holds);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

/* -------------------------------------------------- through the daemon */

/* The rest of an attachment the daemon has granted; `descriptor` is consumed.  Forks are held
 * back. */
static int finish_attach(fastalloc_client *client, const fastalloc_pool_config *config,
                         const struct wire_reply *reply, int descriptor, fastalloc_pool **out,
                         struct reason *why)
{
    struct reason detail;
    struct segment segment;
    struct pool_spec spec;
    fastalloc_pool *pool;
    int error;

    error = attach_map(descriptor, reply->attached.bytes, &segment, &spec, &detail);
    close(descriptor);
    if (error)
        return reason_set(why, error, "pool \"%s\": %s", config->name, detail.text);
    if (segment.header->pool_id != reply->attached.pool_id || reply->attached.session < 1 ||
        reply->attached.session > segment.geometry.sessions)
        error = reason_set(why, FASTALLOC_E_PROTOCOL,
                           "the daemon sent the segment of another pool than \"%s\"", spec.name);
    if (!error && lifecycle_is_wanted(config) && !segment.stages)
        error = reason_set(why, FASTALLOC_E_INVALID,
                           "pool \"%s\" has no lifecycle, so initialize, reset, on_acquire and "
                           "on_release cannot be had in it: it has to be created with "
                           "FASTALLOC_LIFECYCLE among its features, or with one of these",
                           spec.name);
    pool = error ? NULL : pool_new(&segment, &spec, reply->attached.session, config);
    if (!error && !pool)
        error =
            reason_set(why, FASTALLOC_E_NO_MEMORY, "no memory to attach pool \"%s\"", spec.name);
    if (error) {
        backing_unmap(segment.base, segment.geometry.total);
        return error;
    }
    pool->client = client;
    pool->nonce = reply->attached.nonce;
    *out = pool;
    return 0;
}

static void request_close(fastalloc_client *client, uint64_t pool_id, uint32_t session,
                          uint64_t nonce)
{
    struct wire_request request = {.op = WIRE_CLOSE};
    struct wire_reply reply;

    request.close.pool_id = pool_id;
    request.close.session = session;
    request.close.nonce = nonce;
    client_request(client, &request, &reply, NULL, NULL);
}

/* Creates or opens.  A pool that somebody is just creating is waited for. */
static int request_attach(fastalloc_client *client, const fastalloc_pool_config *config,
                          struct wire_request *request, fastalloc_pool **out, struct reason *why)
{
    const struct timespec pause = {0, BUILDING_PAUSE_MS * 1000000L};
    int descriptor = -1, error, cancel_state;
    uint32_t waited = 0;
    struct wire_reply reply;

    /* Cancelled on the way, nobody would have the pool to close it. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    for (;;) {
        error = client_request(client, request, &reply, &descriptor, why);
        if (error != FASTALLOC_E_BUSY || waited >= client_timeout_ms(client))
            break;
        nanosleep(&pause, NULL);
        waited += BUILDING_PAUSE_MS;
    }
    if (!error) {
        error = finish_attach(client, config, &reply, descriptor, out, why);
        fork_release();
        if (error)
            request_close(client, reply.attached.pool_id, reply.attached.session,
                          reply.attached.nonce);
    }
    pthread_setcancelstate(cancel_state, NULL);
    return error;
}

/* Undoes a creation; `why` stays what it is. */
static void uncreate(fastalloc_pool *pool)
{
    struct wire_request request = {.op = WIRE_DESTROY};
    struct wire_reply reply;

    if (pool->client) {
        memcpy(request.destroy.name, pool->spec.name, sizeof request.destroy.name);
        client_request(pool->client, &request, &reply, NULL, NULL);
    }
    fastalloc_pool_close(pool);
}

int pool_settle(fastalloc_pool *pool, const fastalloc_pool_config *config, struct reason *why)
{
    int error = attach_advise(pool, why);

    if (!error && config->initialization == FASTALLOC_INIT_EAGER)
        error = lifecycle_begin(pool, why);
    if (error)
        uncreate(pool);
    return error;
}

int fastalloc_pool_create(fastalloc_client *client, const fastalloc_pool_config *config,
                          fastalloc_pool **out)
{
    struct wire_request request = {.op = WIRE_CREATE};
    struct pool_spec completed;
    struct geometry geometry;
    fastalloc_pool *pool;
    struct reason why;
    int error;

    if (!client || !config || !out)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_create: %s is NULL",
                         !client   ? "client"
                         : !config ? "config"
                                   : "the output");
    error = pool_plan(config, false, &request.create, &completed, &geometry, &why);
    if (!error)
        error = request_attach(client, config, &request, &pool, &why);
    if (!error)
        error = pool_settle(pool, config, &why);
    if (error)
        return fault_say(&why);
    *out = pool;
    return 0;
}

int fastalloc_pool_open(fastalloc_client *client, const char *name,
                        const fastalloc_pool_config *expected, fastalloc_pool **out)
{
    struct wire_request request = {.op = WIRE_OPEN};
    fastalloc_pool_config config;
    fastalloc_pool *pool;
    struct reason why;
    int error;

    if (!client || !out)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_open: %s is NULL",
                         !client ? "client" : "the output");
    fastalloc_pool_config_init(&config);
    if (expected)
        config = *expected;
    config.name = name;
    error = pool_spec_of(&config, false, &request.open.expected, &why);
    if (!error)
        error = request_attach(client, &config, &request, &pool, &why);
    if (error)
        return fault_say(&why);
    error = attach_advise(pool, &why);
    if (error) {
        fastalloc_pool_close(pool);
        return fault_say(&why);
    }
    *out = pool;
    return 0;
}

int fastalloc_pool_destroy(fastalloc_client *client, const char *name)
{
    struct wire_request request = {.op = WIRE_DESTROY};
    struct wire_reply reply;
    struct reason why;
    int error;

    if (!client)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_destroy: client is NULL");
    error = spec_check_name(name, name ? strlen(name) : 0, &why);
    if (!error) {
        memcpy(request.destroy.name, name, strlen(name) + 1);
        error = client_request(client, &request, &reply, NULL, &why);
    }
    return error ? fault_say(&why) : 0;
}

/* Those who wait for a slot leave: who tries to close the pool again will find them gone. */
static void call_waiters_off(fastalloc_pool *pool)
{
    __atomic_add_fetch(&pool->closings, 1, __ATOMIC_SEQ_CST);
    if (pool_is_ours(pool))
        wait_wake(&pool->segment);
}

int fastalloc_pool_close(fastalloc_pool *pool)
{
    struct process *process;
    fastalloc_client *client;
    uint64_t pool_id, nonce;
    bool inherited;
    uint32_t session;
    int cancel_state;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_close: pool is NULL");
    process = process_lock();
    /* Twice: a thread may be on its way out of a slow call into a hook, or back. */
    if (lifecycle_is_running(pool) || thread_others_inside_locked(process, pool) ||
        lifecycle_is_running(pool)) {
        process_unlock(process);
        call_waiters_off(pool);
        return fault_note(FASTALLOC_E_BUSY, "close", pool, FASTALLOC_NONE);
    }
    thread_forget_pool_locked(process, pool);
    process_unlock(process);
    event_stop(pool);

    client = pool->client;
    pool_id = pool->pool_id;
    session = pool->face.session;
    nonce = pool->nonce;
    inherited = !pool_is_ours(pool); /* the session is the parent's */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (!client && !inherited)
        local_leave(pool);
    pool_release(pool);
    if (client && !inherited)
        request_close(client, pool_id, session, nonce);
    pthread_setcancelstate(cancel_state, NULL);
    return 0;
}

/* ------------------------------------------------------------ about a pool */

int fastalloc_pool_get_info(fastalloc_pool *pool, fastalloc_pool_info *info)
{
    const struct geometry *geometry;
    struct thread *thread;
    int error;

    if (!pool || !info || info->struct_size != sizeof *info)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_get_info: %s",
                         !pool   ? "pool is NULL"
                         : !info ? "info is NULL"
                                 : "info->struct_size is not sizeof(fastalloc_pool_info)");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    geometry = &pool->segment.geometry;
    memcpy(info->name, pool->spec.name, sizeof info->name);
    memcpy(info->type_name, pool->spec.type_name, sizeof info->type_name);
    info->type_version = pool->spec.type_version;
    info->object_size = geometry->object_size;
    info->alignment = geometry->alignment;
    info->stride = geometry->stride;
    info->capacity = segment_capacity(&pool->segment);
    info->allocated = survey_allocated(&pool->segment);
    info->available = info->capacity - info->allocated;
    info->session = pool->face.session;
    info->sessions = session_count(&pool->segment);
    info->max_capacity = geometry->max_capacity;
    info->growth = pool->spec.growth;
    info->on_death = pool->spec.on_death;
    info->features = pool->spec.flags;
    info->heir = shm_load(&pool->segment.header->heir);
    thread_end(thread, pool);
    return 0;
}

uint32_t fastalloc_pool_session(fastalloc_pool *pool)
{
    struct thread *thread;
    int error;

    if (!pool)
        return 0;
    thread = thread_begin_briefly(pool, &error);
    if (!thread)
        return 0;
    thread_end_briefly(thread);
    return pool->face.session;
}

/* In a forked child the root is looked at through a mapping of the child's own. */
static int attach_first(fastalloc_pool *pool)
{
    struct thread *thread;
    int error;

    if (pool_is_ours(pool))
        return 0;
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    thread_end(thread, pool);
    return 0;
}

fastalloc_handle fastalloc_pool_root(fastalloc_pool *pool)
{
    return pool && attach_first(pool) == 0 ? shm_load_acquire(&pool->segment.header->root)
                                           : FASTALLOC_NONE;
}

int fastalloc_pool_set_root(fastalloc_pool *pool, fastalloc_handle expected, fastalloc_handle root)
{
    uint64_t seen = expected;
    int error;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_set_root: pool is NULL");
    error = attach_first(pool);
    if (error)
        return error;
    if (shm_cas(&pool->segment.header->root, &seen, root))
        return 0;
    return fault_set(FASTALLOC_E_CHANGED,
                     "the root of pool \"%s\" is 0x%llx, not 0x%llx as expected: look again",
                     pool->spec.name, (unsigned long long)seen, (unsigned long long)expected);
}

void fastalloc_thread_flush(fastalloc_pool *pool)
{
    struct thread *thread;
    struct actor actor;
    int error;

    if (!pool)
        return;
    thread = thread_begin(pool, &error);
    if (!thread)
        return;
    actor = thread_actor(thread, pool);
    if (actor.cache != CACHE_NONE)
        cache_flush(&pool->segment, &actor);
    thread_end(thread, pool);
}
