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
#include "os/backing.h"
#include "os/fence.h"
#include "process.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROLE_PATIENCE_MS 2000

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

/* ------------------------------------------------------------ local pools */

unsigned attach_local_sweep(struct segment *segment, int descriptor)
{
    unsigned swept = 0;
    uint32_t session;

    if (fence_take_own_role(descriptor))
        return 0;
    for (session = 1; session <= segment->geometry.sessions; session++) {
        enum session_state state = session_state(segment, session);

        if ((state == SESSION_LIVE || state == SESSION_DYING) &&
            fence_is_open(descriptor, session) == 1) {
            sweep_session(segment, session, NULL);
            swept++;
        }
        session_reuse(segment, session);
    }
    fence_drop_own_role(descriptor);
    return swept;
}

static int take_role(int descriptor, struct reason *why)
{
    const struct timespec pause = {0, 1000000};
    int error, tries;

    for (tries = 0; tries < ROLE_PATIENCE_MS; tries++) {
        error = fence_take_own_role(descriptor);
        if (error != EAGAIN)
            break;
        nanosleep(&pause, NULL);
    }
    if (!error)
        return 0;
    return reason_system(why, error == EAGAIN ? FASTALLOC_E_TIMEOUT : FASTALLOC_E_SYSTEM, error,
                         "another process holds the sweeper's role of the local pool");
}

static void program_name(char comm[SESSION_COMM_MAX])
{
    strncpy(comm, program_invocation_short_name, SESSION_COMM_MAX - 1);
    comm[SESSION_COMM_MAX - 1] = '\0';
}

int attach_local_session(const struct segment *segment, int descriptor, uint32_t *session,
                         int *fenced, struct reason *why)
{
    struct segment writable = *segment;
    char comm[SESSION_COMM_MAX];
    uint32_t s;
    int error, own;

    attach_local_sweep(&writable, descriptor);
    error = backing_reopen(descriptor, true, &own, why);
    if (error)
        return error;
    error = take_role(descriptor, why);
    if (error)
        goto close_own;
    for (s = 1; s <= segment->geometry.sessions; s++)
        if (session_reuse(&writable, s))
            break;
    if (s > segment->geometry.sessions) {
        error = reason_set(why, FASTALLOC_E_TOO_MANY,
                           "all %u sessions of the local pool are taken: create it with more "
                           "max_sessions",
                           segment->geometry.sessions);
        goto drop_role;
    }
    error = fence_close(own, s);
    if (error) {
        error = reason_system(why, FASTALLOC_E_SYSTEM, error, "cannot lock the session's fence");
        goto drop_role;
    }
    program_name(comm);
    session_open(&writable, s, (uint32_t)getpid(), (uint32_t)getuid(), comm);
    fence_drop_own_role(descriptor);
    *session = s;
    *fenced = own;
    return 0;

drop_role:
    fence_drop_own_role(descriptor);
close_own:
    close(own);
    return error;
}

/* --------------------------------------------------------------- after fork */

static int map_again(fastalloc_pool *pool, int descriptor, uint32_t session, struct reason *why)
{
    const struct geometry *geometry = &pool->segment.geometry;
    struct segment looked_at;
    struct pool_spec spec;
    void *mapped;
    int error;

    /* Elsewhere first: the inherited range stays as it is if anything is wrong. */
    error = attach_map(descriptor, geometry->total, &looked_at, &spec, why);
    if (error)
        return error;
    backing_unmap(looked_at.base, geometry->total);
    error = backing_map(descriptor, geometry->total, true, pool->segment.base, geometry->guard_at,
                        &mapped, why);
    if (!error)
        pool_set_session(pool, session);
    return error;
}

static int local_after_fork(fastalloc_pool *pool, struct reason *why)
{
    uint32_t session;
    int fenced, error;

    error = attach_local_session(&pool->segment, pool->descriptor, &session, &fenced, why);
    if (error)
        return error;
    error = map_again(pool, fenced, session, why);
    close(fenced);
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
    if (reply.attached.pool_id != pool->pool_id)
        error = reason_set(why, FASTALLOC_E_DESTROYED,
                           "pool \"%s\" was destroyed; another has its name now: this forked "
                           "child cannot attach to the old one",
                           pool->spec.name);
    else
        error = map_again(pool, descriptor, reply.attached.session, why);
    if (!error)
        pool->nonce = reply.attached.nonce;
    close(descriptor);
    return error;
}

int attach_after_fork(fastalloc_pool *pool, struct reason *why)
{
    struct process *process = process_here();
    int error = 0;

    pthread_mutex_lock(&pool->mutex);
    if (pool->generation != process->generation) {
        error = pool->client ? daemon_after_fork(pool, why) : local_after_fork(pool, why);
        if (!error)
            __atomic_store_n(&pool->generation, process->generation, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&pool->mutex);
    return error;
}
