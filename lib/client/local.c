/* SPDX-License-Identifier: MIT
 *
 * local: see local.h.
 *
 * The sweeper's role is a lock of the process on byte 0 of the segment's file; among the
 * threads of a process the pool's mutex keeps order.  A process that dies in the role
 * leaves what shm/growth.h and shm/sweep.h say; the next to take it goes on from there.
 */
#include "local.h"

#include "attach.h"
#include "fault.h"
#include "fork.h"
#include "os/backing.h"
#include "os/fence.h"
#include "os/room.h"
#include "pool.h"
#include "shm/growth.h"
#include "shm/notes.h"
#include "shm/session.h"
#include "shm/sweep.h"
#include "shm/tally.h"
#include "shm/wait.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ATTACH_PATIENCE_MS 2000 /* for the role */
#define GROWTH_PATIENCE_MS 200

/* ---------------------------------------------------------------- the role */

static int take_role(int descriptor, unsigned patience_ms, int code, struct reason *why)
{
    const struct timespec pause = {0, 1000000};
    unsigned tries;
    int error;

    for (tries = 0; (error = fence_take_own_role(descriptor)) == EAGAIN && tries < patience_ms;
         tries++)
        nanosleep(&pause, NULL);
    if (!error)
        return 0;
    return reason_system(why, error == EAGAIN ? code : FASTALLOC_E_SYSTEM, error,
                         "another process holds the sweeper's role of the local pool");
}

/* With the role, first: who had it before may have died in the middle of its works, with no
 * session for a sweep to mend after. */
static void mend_in_role(struct segment *segment)
{
    if (shm_load_ordered(&segment->header->sweeps) != shm_load_ordered(&segment->header->swept))
        growth_publish(segment, segment_capacity(segment));
}

/* With the role.  The death was noticed at `noticed`. */
static void sweep_one(struct segment *segment, uint32_t session, const struct sweep_policy *policy,
                      uint64_t noticed)
{
    struct sweep_result result;

    sweep_session(segment, session, policy, &result);
    if (result.slots)
        tally_reclaim_time(segment, wait_now() - noticed);
}

/* With the role. */
static bool sweep_in_role(struct segment *segment, const struct pool_spec *spec, int descriptor)
{
    const struct sweep_policy policy = {spec->on_death, spec->quarantine_ms};
    uint64_t begun = wait_now();
    bool found = false;
    uint32_t session;

    mend_in_role(segment);
    for (session = 1; session <= segment->geometry.sessions; session++) {
        enum session_state state = session_state(segment, session);

        if ((state == SESSION_LIVE || state == SESSION_DYING) &&
            fence_is_open(descriptor, session) == 1) {
            sweep_one(segment, session, &policy, begun);
            found = true;
        }
        session_reuse(segment, session);
    }
    if (segment->notes && notes_expire(segment, notes_clock(wait_now()), false))
        found = true;
    return found;
}

bool local_sweep(fastalloc_pool *pool)
{
    bool found = false;

    pthread_mutex_lock(&pool->mutex);
    if (fence_take_own_role(pool->descriptor) == 0) {
        found = sweep_in_role(&pool->segment, &pool->spec, pool->descriptor);
        fence_drop_own_role(pool->descriptor);
    }
    pthread_mutex_unlock(&pool->mutex);
    return found;
}

void local_leave(fastalloc_pool *pool)
{
    const struct sweep_policy reclaim = {FASTALLOC_RECLAIM, 0};

    pthread_mutex_lock(&pool->mutex);
    if (take_role(pool->descriptor, GROWTH_PATIENCE_MS, FASTALLOC_E_STALLED, NULL) == 0) {
        sweep_one(&pool->segment, pool->face.session, &reclaim, wait_now());
        fence_drop_own_role(pool->descriptor);
    }
    pthread_mutex_unlock(&pool->mutex);
}

/* --------------------------------------------------------------- attaching */

static void program_name(char comm[SESSION_COMM_MAX])
{
    strncpy(comm, program_invocation_short_name, SESSION_COMM_MAX - 1);
    comm[SESSION_COMM_MAX - 1] = '\0';
}

/* With the role: a session for the holder of `own`. */
static int open_session(struct segment *segment, int own, uint32_t *session, struct reason *why)
{
    char comm[SESSION_COMM_MAX];
    uint32_t s;
    int error;

    /* A session that was closed is over, and yet a forked child may have its fence shut. */
    for (s = 1; s <= segment->geometry.sessions; s++)
        if (fence_is_open(own, s) == 1 && session_reuse(segment, s))
            break;
    if (s > segment->geometry.sessions)
        return reason_set(why, FASTALLOC_E_TOO_MANY,
                          "all %u sessions of the local pool are taken: create it with more "
                          "max_sessions",
                          segment->geometry.sessions);
    error = fence_close(own, s);
    if (error)
        return reason_system(why, FASTALLOC_E_SYSTEM, error, "cannot lock the session's fence");
    program_name(comm);
    session_open(segment, s, (uint32_t)getpid(), (uint32_t)getuid(), comm);
    *session = s;
    return 0;
}

int local_attach(struct segment *segment, const struct pool_spec *spec, int descriptor,
                 uint32_t *session, int *fenced, struct reason *why)
{
    int error, own;

    error = take_role(descriptor, ATTACH_PATIENCE_MS, FASTALLOC_E_TIMEOUT, why);
    if (error)
        return error;
    sweep_in_role(segment, spec, descriptor);
    error = backing_reopen(descriptor, true, &own, why);
    if (error)
        goto drop_role;
    error = open_session(segment, own, session, why);
    fence_drop_own_role(descriptor);
    /* Closing any descriptor of the segment would have let go of the role. */
    if (error)
        close(own);
    else
        *fenced = own;
    return error;

drop_role:
    fence_drop_own_role(descriptor);
    return error;
}

/* ----------------------------------------------------------------- growing */

/* Reserves what a capacity of `to` needs beyond that of `from`. */
static int reserve(const struct geometry *geometry, int descriptor, uint64_t from, uint64_t to,
                   struct reason *why)
{
    struct extent extents[EXTENTS_MAX];
    unsigned count = geometry_extents(geometry, from, to, extents), i;
    uint64_t sum = 0;
    int error;

    for (i = 0; i < count; i++)
        sum += extents[i].length;
    error = room_check(descriptor, sum, why);
    for (i = 0; i < count && !error; i++)
        error = backing_fill(descriptor, extents[i].from, extents[i].length, why);
    return error;
}

/* With the role. */
static int grow_in_role(fastalloc_pool *pool, uint64_t to, struct reason *why)
{
    const struct geometry *geometry = &pool->segment.geometry;
    uint64_t now = segment_capacity(&pool->segment);
    struct reason detail;
    int error;

    if (to <= now)
        return 0;
    error = reserve(geometry, pool->descriptor, now, to, &detail);
    if (error) {
        struct extent above = geometry_objects_above(geometry, now);

        backing_punch(pool->descriptor, above.from, above.length, NULL);
        return reason_set(why, error, "growing pool \"%.100s\" from %llu slots to %llu: %s",
                          pool->spec.name, (unsigned long long)now, (unsigned long long)to,
                          detail.text);
    }
    growth_publish(&pool->segment, to);
    return 0;
}

int local_grow(fastalloc_pool *pool, uint64_t from, uint64_t increment, uint64_t capacity,
               struct reason *why)
{
    uint64_t now;
    int error;

    pthread_mutex_lock(&pool->mutex);
    error = take_role(pool->descriptor, GROWTH_PATIENCE_MS, FASTALLOC_E_STALLED, why);
    if (!error) {
        mend_in_role(&pool->segment);
        now = segment_capacity(&pool->segment);
        if (!capacity && now <= from)
            capacity = spec_next_capacity(&pool->spec, now, increment);
        error = grow_in_role(pool, capacity, why);
        fence_drop_own_role(pool->descriptor);
    }
    pthread_mutex_unlock(&pool->mutex);
    if (!error)
        pool_refresh(pool);
    return error;
}

int local_shrink(fastalloc_pool *pool, const struct actor *actor, uint64_t target, uint64_t *now,
                 struct reason *why)
{
    struct extent above;
    int error;

    pthread_mutex_lock(&pool->mutex);
    error = take_role(pool->descriptor, ATTACH_PATIENCE_MS, FASTALLOC_E_STALLED, why);
    if (!error) {
        mend_in_role(&pool->segment);
        growth_withdraw(&pool->segment, actor, target);
        *now = growth_retreat(&pool->segment, target);
        growth_end_withdrawing(&pool->segment, actor);
        above = geometry_objects_above(&pool->segment.geometry, *now);
        error = backing_punch(pool->descriptor, above.from, above.length, why);
        fence_drop_own_role(pool->descriptor);
    }
    pthread_mutex_unlock(&pool->mutex);
    return error;
}

/* ---------------------------------------------------------------- creating */

/* Makes the segment of a local pool, behind this process's own description. */
static int make_segment(const struct pool_spec *spec, const struct geometry *geometry,
                        int *descriptor, struct reason *why)
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
    error = reserve(geometry, *descriptor, 0, geometry->capacity, why);
    if (!error)
        error = backing_map(*descriptor, geometry->total, true, NULL, 0, &mapped, why);
    if (error)
        goto close_descriptor;
    error = segment_format(&segment, mapped, spec, geometry, random[0] | 1, random[1], why);
    backing_unmap(mapped, geometry->total);
    if (error)
        goto close_descriptor;
    return 0;

close_descriptor:
    close(*descriptor);
    return error;
}

/* Attaches to it, with forks held back. */
static int attach_maker(int descriptor, const fastalloc_pool_config *config, uint64_t total,
                        fastalloc_pool **out, struct reason *why)
{
    struct segment elsewhere, segment;
    struct pool_spec spec;
    fastalloc_pool *pool;
    uint32_t session;
    int fenced, error;

    error = attach_map(descriptor, total, &elsewhere, &spec, why);
    if (error)
        return error;
    error = local_attach(&elsewhere, &spec, descriptor, &session, &fenced, why);
    backing_unmap(elsewhere.base, total);
    if (error)
        return error;
    error = attach_map(fenced, total, &segment, &spec, why);
    close(fenced);
    if (error)
        return error;
    pool = pool_new(&segment, &spec, session, config);
    if (!pool) {
        backing_unmap(segment.base, total);
        return reason_set(why, FASTALLOC_E_NO_MEMORY, "no memory to attach the local pool");
    }
    pool->descriptor = descriptor;
    *out = pool;
    return 0;
}

static int create_local(const fastalloc_pool_config *config, fastalloc_pool **out,
                        struct reason *why)
{
    struct pool_spec asked, spec;
    struct geometry geometry;
    int descriptor, error;

    error = pool_plan(config, true, &asked, &spec, &geometry, why);
    if (!error)
        error = make_segment(&spec, &geometry, &descriptor, why);
    if (error)
        return error;
    fork_hold();
    error = attach_maker(descriptor, config, geometry.total, out, why);
    fork_release();
    if (error)
        close(descriptor);
    return error;
}

int fastalloc_pool_create_local(const fastalloc_pool_config *config, fastalloc_pool **out)
{
    int error, cancel_state;
    fastalloc_pool *pool = NULL;
    struct reason why;

    if (!config || !out)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_create_local: %s is NULL",
                         !config ? "config" : "the output");
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    error = create_local(config, &pool, &why);
    pthread_setcancelstate(cancel_state, NULL);
    if (!error)
        error = pool_settle(pool, config, &why);
    if (error)
        return fault_say(&why);
    *out = pool;
    return 0;
}
