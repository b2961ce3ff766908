/* SPDX-License-Identifier: MIT
 *
 * pool: see pool.h.  The public functions about pools as a whole.
 */
#include "pool.h"

#include "attach.h"
#include "client.h"
#include "fault.h"
#include "os/backing.h"
#include "process.h"
#include "shm/cache.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "thread.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOCAL_NAME "local"
#define BUILDING_PAUSE_MS 2

/* ------------------------------------------------------ making, releasing */

void pool_set_session(fastalloc_pool *pool, uint32_t session)
{
    const struct geometry *geometry = &pool->segment.geometry;
    struct fastalloc_face_ *face = &pool->face;

    face->words = pool->segment.words;
    face->objects = pool->segment.objects;
    face->stride = geometry->stride;
    face->index_mask = (UINT64_C(1) << geometry->index_bits) - 1;
    face->last_handle = slot_generation_last(geometry->index_bits) << geometry->index_bits;
    face->index_bits = geometry->index_bits;
    face->slots = (uint32_t)geometry->max_capacity;
    face->magazine_size = geometry->magazine_size;
    face->session = session;
}

fastalloc_pool *pool_new(const struct segment *segment, const struct pool_spec *spec,
                         uint32_t session)
{
    fastalloc_pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return NULL;
    pool->segment = *segment;
    pool->spec = *spec;
    pool->pool_id = segment->header->pool_id;
    pool->descriptor = -1;
    pthread_mutex_init(&pool->mutex, NULL);
    pool_set_session(pool, session);
    process_add_pool(pool);
    return pool;
}

void pool_release(fastalloc_pool *pool)
{
    process_remove_pool(pool);
    backing_unmap(pool->segment.base, pool->segment.geometry.total);
    if (pool->descriptor >= 0)
        close(pool->descriptor);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

/* --------------------------------------------------------------- configs */

void fastalloc_pool_config_init(fastalloc_pool_config *config)
{
    memset(config, 0, sizeof *config);
    config->struct_size = sizeof *config;
}

/* Copies a string into a field of `size` bytes, whole or not at all. */
static int copy_text(char *field, size_t size, const char *text, const char *what,
                     struct reason *why)
{
    size_t length = strlen(text);

    if (length >= size)
        return reason_set(why, FASTALLOC_E_NAME, "%s has %zu bytes: at most %zu are allowed", what,
                          length, size - 1);
    memcpy(field, text, length + 1);
    return 0;
}

int pool_spec_of(const fastalloc_pool_config *config, bool name_optional, struct pool_spec *spec,
                 struct reason *why)
{
    const char *name = config->name ? config->name : name_optional ? LOCAL_NAME : NULL;
    int error;

    if (config->struct_size != sizeof *config)
        return reason_set(why, FASTALLOC_E_INVALID,
                          "config->struct_size is %u, not %zu: begin with "
                          "fastalloc_pool_config_init()",
                          config->struct_size, sizeof *config);
    memset(spec, 0, sizeof *spec);
    error = spec_check_name(name, name ? strlen(name) : 0, why);
    if (error)
        return error;
    memcpy(spec->name, name, strlen(name) + 1);
    if (config->type_name) {
        error =
            copy_text(spec->type_name, sizeof spec->type_name, config->type_name, "type name", why);
        if (error)
            return error;
    }
    spec->type_version = config->type_version;
    spec->lifetime = config->lifetime;
    spec->mode = config->mode;
    spec->max_threads = config->max_threads;
    spec->max_sessions = config->max_sessions;
    spec->object_size = config->object_size;
    spec->alignment = config->alignment;
    spec->capacity = config->capacity;
    return 0;
}

/* -------------------------------------------------- through the daemon */

/* The rest of an attachment the daemon has granted; `descriptor` is consumed. */
static int finish_attach(fastalloc_client *client, const char *name, const struct wire_reply *reply,
                         int descriptor, fastalloc_pool **out, struct reason *why)
{
    struct reason detail;
    struct segment segment;
    struct pool_spec spec;
    fastalloc_pool *pool;
    int error;

    error = attach_map(descriptor, reply->attached.bytes, &segment, &spec, &detail);
    close(descriptor);
    if (error)
        return reason_set(why, error, "pool \"%s\": %s", name, detail.text);
    if (segment.header->pool_id != reply->attached.pool_id || reply->attached.session < 1 ||
        reply->attached.session > segment.geometry.sessions)
        error = reason_set(why, FASTALLOC_E_PROTOCOL,
                           "the daemon sent the segment of another pool than \"%s\"", spec.name);
    pool = error ? NULL : pool_new(&segment, &spec, reply->attached.session);
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
static int request_attach(fastalloc_client *client, struct wire_request *request,
                          fastalloc_pool **out, struct reason *why)
{
    const char *name =
        request->op == WIRE_CREATE ? request->create.name : request->open.expected.name;
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
        error = finish_attach(client, name, &reply, descriptor, out, why);
        if (error)
            request_close(client, reply.attached.pool_id, reply.attached.session,
                          reply.attached.nonce);
    }
    pthread_setcancelstate(cancel_state, NULL);
    return error;
}

int fastalloc_pool_create(fastalloc_client *client, const fastalloc_pool_config *config,
                          fastalloc_pool **out)
{
    struct wire_request request = {.op = WIRE_CREATE};
    struct pool_spec completed;
    struct geometry geometry;
    struct reason why;
    int error;

    if (!client || !config || !out)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_create: %s is NULL",
                         !client   ? "client"
                         : !config ? "config"
                                   : "the output");
    error = pool_spec_of(config, false, &request.create, &why);
    completed = request.create;
    if (!error)
        error = spec_complete(&completed, &why);
    if (!error)
        error = geometry_plan(&geometry, &completed, &why);
    if (!error)
        error = request_attach(client, &request, out, &why);
    return error ? fault_say(&why) : 0;
}

int fastalloc_pool_open(fastalloc_client *client, const char *name,
                        const fastalloc_pool_config *expected, fastalloc_pool **out)
{
    struct wire_request request = {.op = WIRE_OPEN};
    fastalloc_pool_config config;
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
        error = request_attach(client, &request, out, &why);
    return error ? fault_say(&why) : 0;
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
    if (thread_others_inside_locked(process, pool)) {
        process_unlock(process);
        return fault_note(FASTALLOC_E_BUSY, "close", pool, FASTALLOC_NONE);
    }
    thread_forget_pool_locked(process, pool);
    process_unlock(process);

    client = pool->client;
    pool_id = pool->pool_id;
    session = pool->face.session;
    nonce = pool->nonce;
    inherited = pool->generation != process->generation; /* the parent's session */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pool_release(pool);
    if (client && !inherited)
        request_close(client, pool_id, session, nonce);
    pthread_setcancelstate(cancel_state, NULL);
    return 0;
}

/* ------------------------------------------------------- without a daemon */

/* Makes the segment of a local pool and its first session.  *descriptor is this process's
 * own description, *fenced the session's. */
static int make_local(const struct pool_spec *spec, const struct geometry *geometry,
                      int *descriptor, int *fenced, uint32_t *session, struct reason *why)
{
    struct segment segment;
    uint64_t random[2];
    void *mapped;
    int error;

    error = backing_random(random, sizeof random, why);
    if (error)
        return error;
    error = backing_create_nameless("fastalloc-local", geometry->total, descriptor, why);
    if (error)
        return error;
    error = backing_reserve(*descriptor, 0, geometry->total, why);
    if (error)
        goto close_descriptor;
    error = backing_map(*descriptor, geometry->total, true, NULL, 0, &mapped, why);
    if (error)
        goto close_descriptor;
    error = segment_format(&segment, mapped, spec, geometry, random[0] | 1, random[1], why);
    if (!error)
        error = attach_local_session(&segment, *descriptor, session, fenced, why);
    backing_unmap(mapped, geometry->total);
    if (error)
        goto close_descriptor;
    return 0;

close_descriptor:
    close(*descriptor);
    return error;
}

static int create_local(const fastalloc_pool_config *config, fastalloc_pool **out,
                        struct reason *why)
{
    struct segment segment;
    struct geometry geometry;
    struct pool_spec spec, read;
    fastalloc_pool *pool;
    int descriptor, fenced, error;
    uint32_t session;

    error = pool_spec_of(config, true, &spec, why);
    if (!error)
        error = spec_complete(&spec, why);
    if (!error)
        error = geometry_plan(&geometry, &spec, why);
    if (!error)
        error = make_local(&spec, &geometry, &descriptor, &fenced, &session, why);
    if (error)
        return error;
    error = attach_map(fenced, geometry.total, &segment, &read, why);
    close(fenced);
    if (error) {
        close(descriptor);
        return error;
    }
    pool = pool_new(&segment, &read, session);
    if (!pool) {
        backing_unmap(segment.base, geometry.total);
        close(descriptor);
        return reason_set(why, FASTALLOC_E_NO_MEMORY, "no memory to attach the local pool");
    }
    pool->descriptor = descriptor;
    *out = pool;
    return 0;
}

int fastalloc_pool_create_local(const fastalloc_pool_config *config, fastalloc_pool **out)
{
    int error, cancel_state;
    struct reason why;

    if (!config || !out)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_create_local: %s is NULL",
                         !config ? "config" : "the output");
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    error = create_local(config, out, &why);
    pthread_setcancelstate(cancel_state, NULL);
    return error ? fault_say(&why) : 0;
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
    thread_end(thread, pool);
    return 0;
}

uint32_t fastalloc_pool_session(fastalloc_pool *pool)
{
    struct thread *thread;
    int error;

    if (!pool)
        return 0;
    thread = thread_begin(pool, &error);
    if (!thread)
        return 0;
    thread_end(thread, pool);
    return pool->face.session;
}

fastalloc_handle fastalloc_pool_root(fastalloc_pool *pool)
{
    return pool ? shm_load_acquire(&pool->segment.header->root) : FASTALLOC_NONE;
}

int fastalloc_pool_set_root(fastalloc_pool *pool, fastalloc_handle expected, fastalloc_handle root)
{
    uint64_t seen = expected;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_set_root: pool is NULL");
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
