/* SPDX-License-Identifier: MIT
 *
 * attach: see attach.h.
 *
 * After a fork the child maps its own file description of the segment, with its
 * own fence, over the inherited mapping: pointers stay good, and with that
 * mapping the child's share in the parent's fence is gone.
 */
#include "attach.h"

#include "client.h"
#include "fork.h"
#include "local.h"
#include "os/advice.h"
#include "os/backing.h"
#include "process.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---------------------------------------------------------------- mapping */

/* A robust mutex tells its owner by a thread id, which means a thread only within one
 * PID namespace: all attached have to be of one. */
static int claim_namespace(struct segment *segment, const char *name, struct reason *why)
{
    uint64_t seen = 0;
    struct stat status;

    if (stat("/proc/self/ns/pid", &status))
        return reason_system(why, FASTALLOC_E_SYSTEM, errno,
                             "cannot look at /proc/self/ns/pid: is /proc mounted?");
    if (shm_cas(&segment->header->pid_namespace, &seen, (uint64_t)status.st_ino) ||
        seen == (uint64_t)status.st_ino)
        return 0;
    return reason_set(why, FASTALLOC_E_NAMESPACE,
                      "pool \"%s\" serves PID namespace %llu, this process is in %llu: run all "
                      "users of a pool in one (containers: share the PID namespace)",
                      name, (unsigned long long)seen, (unsigned long long)status.st_ino);
}

int attach_map(int descriptor, uint64_t bytes, struct segment *segment, struct pool_spec *spec,
               struct reason *why)
{
    struct segment attached;
    struct pool_spec read;
    uint64_t size;
    void *mapped;
    int error;

    error = backing_size(descriptor, &size, why);
    if (error)
        return error;
    if (size < bytes)
        return reason_set(why, FASTALLOC_E_POISONED,
                          "its segment has %llu bytes, not %llu: somebody has truncated it; "
                          "destroy the pool and make it anew",
                          (unsigned long long)size, (unsigned long long)bytes);
    /* Exactly what it is to have: somebody may have made the object larger. */
    error = backing_map(descriptor, bytes, true, NULL, 0, &mapped, why);
    if (error)
        return error;
    error = segment_attach(&attached, mapped, bytes, &read, why);
    if (!error && attached.geometry.total != bytes)
        error = reason_set(why, FASTALLOC_E_POISONED,
                           "its header says %llu bytes, the daemon %llu: destroy the pool",
                           (unsigned long long)attached.geometry.total, (unsigned long long)bytes);
    if (!error)
        error = claim_namespace(&attached, read.name, why);
    if (!error)
        error = backing_guard(mapped, attached.geometry.guard_at, why);
    if (error) {
        backing_unmap(mapped, bytes);
        return error;
    }
    *segment = attached;
    *spec = read;
    return 0;
}

/* ----------------------------------------------------------------- advice */

int attach_advise(fastalloc_pool *pool, struct reason *why)
{
    uint64_t from = shm_load(&pool->advised), to = segment_capacity(&pool->segment);
    struct extent extents[EXTENTS_MAX];
    struct reason detail;
    unsigned count, i;
    int error = 0;

    if (!pool->advice || from >= to)
        return 0;
    count = geometry_extents(&pool->segment.geometry, from, to, extents);
    for (i = 0; i < count && !error; i++)
        error = advice_give(pool->segment.base + extents[i].from, extents[i].length, pool->advice,
                            &detail);
    if (error)
        return reason_set(why, error, "pool \"%.100s\", slots %llu to %llu: %s", pool->spec.name,
                          (unsigned long long)from, (unsigned long long)to, detail.text);
    shm_store(&pool->advised, to);
    return 0;
}

void attach_forget_advice(fastalloc_pool *pool, uint64_t capacity)
{
    if (shm_load(&pool->advised) > capacity)
        shm_store(&pool->advised, capacity);
}

/* --------------------------------------------------------------- after fork */

/* Over the inherited range, which stays as it is if anything is wrong. */
static int map_again(fastalloc_pool *pool, int descriptor, uint32_t session, struct reason *why)
{
    const struct geometry *geometry = &pool->segment.geometry;
    void *mapped;
    int error;

    error = backing_map(descriptor, geometry->total, true, pool->segment.base, geometry->guard_at,
                        &mapped, why);
    if (error)
        return error;
    pool->vacated = false;
    pool_set_session(pool, session);
    return 0;
}

/* By a mapping of its own: the inherited one is the parent's, or was let go of. */
static int local_after_fork(fastalloc_pool *pool, struct reason *why)
{
    struct segment elsewhere;
    struct pool_spec spec;
    uint32_t session;
    int fenced, error;

    error = attach_map(pool->descriptor, pool->segment.geometry.total, &elsewhere, &spec, why);
    if (error)
        return error;
    fork_hold();
    error = local_attach(&elsewhere, &spec, pool->descriptor, &session, &fenced, why);
    if (!error) {
        error = map_again(pool, fenced, session, why);
        close(fenced);
    }
    fork_release();
    backing_unmap(elsewhere.base, elsewhere.geometry.total);
    return error;
}

/* Looked at elsewhere first. */
static int map_checked(fastalloc_pool *pool, int descriptor, const struct wire_reply *reply,
                       struct reason *why)
{
    struct segment elsewhere;
    struct pool_spec spec;
    int error;

    if (reply->attached.pool_id != pool->pool_id)
        return reason_set(why, FASTALLOC_E_DESTROYED,
                          "pool \"%s\" was destroyed; another has its name now: this forked "
                          "child cannot attach to the old one",
                          pool->spec.name);
    error = attach_map(descriptor, pool->segment.geometry.total, &elsewhere, &spec, why);
    if (error)
        return error;
    backing_unmap(elsewhere.base, elsewhere.geometry.total);
    error = map_again(pool, descriptor, reply->attached.session, why);
    if (!error)
        pool->nonce = reply->attached.nonce;
    return error;
}

static int daemon_after_fork(fastalloc_pool *pool, struct reason *why)
{
    struct wire_request request = {.op = WIRE_OPEN};
    struct wire_reply reply;
    int descriptor = -1, error;

    memcpy(request.open.expected.name, pool->spec.name, sizeof pool->spec.name);
    error = client_request(pool->client, &request, &reply, &descriptor, why);
    if (error)
        return error;
    error = map_checked(pool, descriptor, &reply, why);
    close(descriptor);
    fork_release();
    return error;
}

int attach_after_fork(fastalloc_pool *pool, struct reason *why)
{
    int error = 0;

    pthread_mutex_lock(&pool->mutex);
    if (!pool_is_ours(pool)) {
        error = pool->client ? daemon_after_fork(pool, why) : local_after_fork(pool, why);
        attach_forget_advice(pool, 0);
        lifecycle_become_child(pool);
        if (!error)
            error = attach_advise(pool, why);
        if (!error)
            __atomic_store_n(&pool->generation, process_here()->generation, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&pool->mutex);
    return error;
}

int attach_vacate_locked(fastalloc_pool *pool, struct reason *why)
{
    if (mmap(pool->segment.base, pool->segment.geometry.total, PROT_READ,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno,
                             "cannot let go of pool \"%s\" in a forked child", pool->spec.name);
    pool->vacated = true;
    return 0;
}
