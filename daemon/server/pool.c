/* SPDX-License-Identifier: MIT
 *
 * pool: making, finding again and removing a pool's segment and manifest.
 * Its sessions stand in attach.c.
 */
#include "pool.h"

#include "guard.h"
#include "log.h"
#include "memory.h"
#include "os/fence.h"
#include "shm/wait.h"

#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct pool *pool_new(const struct pool_spec *spec, const struct geometry *geometry)
{
    struct pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return NULL;
    pool->spec = *spec;
    pool->geometry = *geometry;
    pool->descriptor = -1;
    pool->next_number = 1;
    return pool;
}

void pool_free(struct pool *pool)
{
    struct session *session, *next;

    pool_release(pool);
    HASH_ITER (by_number, pool->sessions, session, next) {
        HASH_DELETE(by_number, pool->sessions, session);
        free(session);
    }
    free(pool);
}

int pool_plan(struct pool **pool, const struct pool_spec *spec, const struct geometry *geometry,
              const struct peer *creator, uint64_t serial, struct reason *why)
{
    struct pool *made = pool_new(spec, geometry);
    int error;

    if (!made)
        return reason_set(why, FASTALLOC_E_NO_MEMORY, "fastallocd has no memory for pool \"%s\"",
                          spec->name);
    made->uid = creator->uid;
    made->gid = creator->gid;
    made->serial = serial;
    made->created = (uint64_t)time(NULL);
    made->capacity = made->reserved = spec->capacity;
    do {
        error = backing_random(&made->pool_id, sizeof made->pool_id, why);
        if (!error)
            error = backing_random(&made->first_generation, sizeof made->first_generation, why);
    } while (!error && (made->pool_id == 0 || made->first_generation == 0));
    if (error) {
        pool_free(made);
        return error;
    }
    *pool = made;
    return 0;
}

/* ------------------------------------------------------------------ building */

static int map_segment(struct pool *pool, struct reason *why)
{
    return backing_map(pool->descriptor, pool->geometry.total, true, NULL, pool->geometry.guard_at,
                       &pool->mapped, why);
}

struct format {
    struct pool *pool;
    struct reason *why;
    int error;
};

static void format(void *argument)
{
    struct format *job = argument;
    struct pool *pool = job->pool;

    job->error = segment_format(&pool->segment, pool->mapped, &pool->spec, &pool->geometry,
                                pool->pool_id, pool->first_generation, job->why);
}

static int make_segment(struct pool *pool, struct reason *why)
{
    struct format job = {pool, why, 0};
    struct extent extents[EXTENTS_MAX];
    unsigned count = geometry_extents(&pool->geometry, 0, pool->capacity, extents);
    int error;

    error = memory_reserve(pool->descriptor, extents, count, 0, why);
    if (!error)
        error = map_segment(pool, why);
    if (error)
        return error;
    pool->has_role = fence_take_role(pool->descriptor) == 0;
    if (!guard_run(format, &job, pool->mapped, pool->geometry.total))
        return reason_set(why, FASTALLOC_E_SYSTEM, "the memory was taken away meanwhile");
    pool->settled = true;
    return job.error;
}

static int say_what_failed(const struct pool *pool, const struct reason *detail, struct reason *why)
{
    return reason_set(why, detail->code,
                      "pool \"%s\" of %" PRIu64 " slots of %" PRIu64 " bytes was not created: %s",
                      pool->spec.name, pool->spec.capacity, pool->spec.object_size, detail->text);
}

/* If we die between any two steps, the manifest names what is to be removed. */
int pool_build(struct pool *pool, const struct store *store, const char *prefix, struct reason *why)
{
    struct reason detail;
    int error;

    error = backing_name(pool->segment_name, prefix, &detail);
    if (!error)
        error = pool_save(pool, store, &detail);
    if (error)
        return say_what_failed(pool, &detail, why);
    error = backing_create(pool->segment_name, pool->geometry.total, &pool->descriptor, &detail);
    if (error) {
        store_remove(store, pool->pool_id);
        return say_what_failed(pool, &detail, why);
    }
    error = make_segment(pool, &detail);
    if (error) {
        pool_unlink(pool, store);
        pool_release(pool);
        return say_what_failed(pool, &detail, why);
    }
    return 0;
}

/* ---------------------------------------------------------------- re-adopting */

/* Looks at the segment without mapping it.  Two fields of the header suffice to know it
 * again: everything else the daemon goes by stands in the manifest. */
static int recognise(const struct pool *pool, struct reason *why)
{
    struct shm_header header;
    struct stat status;
    ssize_t got;

    if (fstat(pool->descriptor, &status) < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot look at /dev/shm%s",
                             pool->segment_name);
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid())
        return reason_set(why, FASTALLOC_E_POISONED, "/dev/shm%s belongs to uid %u",
                          pool->segment_name, status.st_uid);
    if ((uint64_t)status.st_size != pool->geometry.total)
        return reason_set(why, FASTALLOC_E_POISONED,
                          "/dev/shm%s has %" PRIu64 " bytes, not %" PRIu64, pool->segment_name,
                          (uint64_t)status.st_size, pool->geometry.total);
    got = pread(pool->descriptor, &header, sizeof header, 0);
    if (got < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot read /dev/shm%s",
                             pool->segment_name);
    if (got != (ssize_t)sizeof header)
        return reason_set(why, FASTALLOC_E_POISONED, "/dev/shm%s cannot be read",
                          pool->segment_name);
    if (header.magic != LAYOUT_MAGIC || header.major != LAYOUT_MAJOR)
        return reason_set(why, FASTALLOC_E_POISONED,
                          "/dev/shm%s was never finished, or has another layout",
                          pool->segment_name);
    if (header.pool_id != pool->pool_id)
        return reason_set(why, FASTALLOC_E_POISONED, "/dev/shm%s belongs to another pool",
                          pool->segment_name);
    return 0;
}

static int open_segment(struct pool *pool, struct reason *why)
{
    int error;

    pool->descriptor = shm_open(pool->segment_name, O_RDWR | O_CLOEXEC, 0);
    if (pool->descriptor < 0) {
        error = errno == ENOENT                     ? FASTALLOC_E_NOT_FOUND
                : errno == EACCES || errno == ELOOP ? FASTALLOC_E_POISONED
                                                    : FASTALLOC_E_SYSTEM;
        return reason_system(why, error, errno, "cannot open /dev/shm%s", pool->segment_name);
    }
    error = recognise(pool, why);
    if (!error)
        error = map_segment(pool, why);
    if (error)
        return error;
    segment_bind(&pool->segment, pool->mapped, &pool->geometry);
    /* The role, not had now, is tried for again by each job. */
    if (pool_take_role(pool) == FASTALLOC_E_POISONED)
        pool_mark_damaged(pool, "it was not left whole");
    return 0;
}

static int restore_session(struct pool *pool, const struct manifest_session *noted)
{
    struct session *session = calloc(1, sizeof *session);

    if (!session)
        return FASTALLOC_E_NO_MEMORY;
    session->pool = pool;
    session->number = noted->number;
    session->pid = noted->pid;
    session->uid = noted->uid;
    session->nonce = noted->nonce;
    session->closed = noted->closed;
    HASH_ADD(by_number, pool->sessions, number, sizeof session->number, session);
    if (!session->by_number.tbl) {
        free(session);
        return FASTALLOC_E_NO_MEMORY;
    }
    return 0;
}

int pool_readopt(struct pool **pool, const struct manifest *manifest, struct reason *why)
{
    struct geometry geometry;
    struct pool *made;
    uint32_t i;
    int error;

    error = geometry_plan(&geometry, &manifest->spec, why);
    if (error)
        return FASTALLOC_E_POISONED;
    made = pool_new(&manifest->spec, &geometry);
    if (!made)
        return reason_set(why, FASTALLOC_E_NO_MEMORY, "fastallocd has no memory for pool \"%s\"",
                          manifest->spec.name);
    made->uid = manifest->uid;
    made->gid = manifest->gid;
    made->pool_id = manifest->pool_id;
    made->first_generation = manifest->first_generation;
    made->serial = manifest->serial;
    made->created = manifest->created;
    made->destroyed = manifest->destroyed;
    made->capacity = manifest->capacity;
    made->reserved = manifest->reserved;
    made->phase = PHASE_READY;
    strcpy(made->segment_name, manifest->segment);
    for (i = 0; i < manifest->session_count && !error; i++)
        error = restore_session(made, &manifest->sessions[i]);
    if (error)
        reason_set(why, error, "fastallocd has no memory for the sessions of pool \"%s\"",
                   manifest->spec.name);
    else
        error = open_segment(made, why);
    if (error) {
        pool_free(made);
        return error;
    }
    made->published = made->settled ? made->capacity : 0;
    *pool = made;
    return 0;
}

/* ------------------------------------------------------ manifest and removal */

int pool_save(const struct pool *pool, const struct store *store, struct reason *why)
{
    uint32_t count = pool_session_count(pool), i = 0;
    const struct session *session;
    struct manifest manifest;
    int error;

    memset(&manifest, 0, sizeof manifest);
    memcpy(manifest.segment, pool->segment_name, sizeof manifest.segment);
    manifest.spec = pool->spec;
    manifest.uid = pool->uid;
    manifest.gid = pool->gid;
    manifest.pool_id = pool->pool_id;
    manifest.first_generation = pool->first_generation;
    manifest.serial = pool->serial;
    manifest.created = pool->created;
    manifest.destroyed = pool->destroyed;
    manifest.capacity = pool->capacity;
    manifest.reserved = pool->reserved;
    if (count > 0) {
        manifest.sessions = calloc(count, sizeof *manifest.sessions);
        if (!manifest.sessions)
            return reason_set(why, FASTALLOC_E_NO_MEMORY,
                              "fastallocd has no memory for the manifest of pool \"%s\"",
                              pool->spec.name);
    }
    for (session = pool->sessions; session; session = session->by_number.next, i++) {
        manifest.sessions[i].number = session->number;
        manifest.sessions[i].pid = session->pid;
        manifest.sessions[i].uid = session->uid;
        manifest.sessions[i].nonce = session->nonce;
        manifest.sessions[i].closed = session->closed;
    }
    manifest.session_count = count;
    error = store_save(store, &manifest, why);
    free(manifest.sessions);
    return error;
}

struct telling {
    struct pool *pool;
    uint32_t state;
};

static void tell_state(void *argument)
{
    struct telling *telling = argument;

    segment_set_state(&telling->pool->segment, telling->state);
    wait_wake(&telling->pool->segment);
}

static void set_state(struct pool *pool, uint32_t state)
{
    struct telling telling = {pool, state};

    if (pool->mapped && !guard_run(tell_state, &telling, pool->mapped, pool->geometry.total))
        log_warn("pool \"%s\": its memory is gone, nobody could be told", pool->spec.name);
}

void pool_tell_destroyed(struct pool *pool)
{
    set_state(pool, POOL_DESTROYED);
}

void pool_mark_damaged(struct pool *pool, const char *what)
{
    if (pool->damaged)
        return;
    pool->damaged = true;
    log_warn("pool \"%s\" (uid %u) is damaged: %s; nobody can attach to it any more",
             pool->spec.name, pool->uid, what);
    set_state(pool, POOL_POISONED);
}

void pool_unlink(struct pool *pool, const struct store *store)
{
    pool->phase = PHASE_LEAVING;
    if (shm_unlink(pool->segment_name) < 0 && errno != ENOENT)
        log_warn("cannot remove /dev/shm%s: %s", pool->segment_name, strerror(errno));
    store_remove(store, pool->pool_id);
}

void pool_release(struct pool *pool)
{
    if (pool->mapped)
        backing_unmap(pool->mapped, pool->geometry.total);
    if (pool->descriptor >= 0)
        close(pool->descriptor);
    pool->mapped = NULL;
    pool->descriptor = -1;
    pool->has_role = false;
}
