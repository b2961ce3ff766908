/* SPDX-License-Identifier: MIT
 *
 * resize: a pool's capacity, up and down, and the slots that are kept for a time.
 *
 * The order of steps, and who mends what after a death between two of them, stands in
 * shm/growth.h.  Here are its steps about memory, and the settling of what an earlier
 * daemon left.  The manifest, in between, is written by who calls.
 *
 * Of the metadata all that was ever reserved stays, for `reserved` slots: stale handles
 * are found stale by their words.  The objects have memory for `capacity` slots.
 */
#include "guard.h"
#include "log.h"
#include "memory.h"
#include "os/backing.h"
#include "os/fence.h"
#include "pool.h"
#include "shm/growth.h"
#include "shm/notes.h"
#include "shm/wait.h"

#include <fastalloc/fastalloc.h>
#include <inttypes.h>

/* The time for notes that has certainly come: what is due then may go. */
static uint32_t notes_now(void)
{
    return notes_clock(wait_now());
}

/* ---------------------------------------------------------- giving memory back */

static void punch(const struct pool *pool, struct extent extent)
{
    struct reason why;

    if (backing_punch(pool->descriptor, extent.from, extent.length, &why))
        log_warn("pool \"%s\": %s", pool->spec.name, why.text);
}

/* Only whole pages go back; where a part of the metadata ends within one, the next begins.
 * Behind the last there is nothing up to the guard page. */
void pool_give_back(struct pool *pool)
{
    const struct geometry *geometry = &pool->geometry;
    struct extent extents[EXTENTS_MAX];
    unsigned i, count, metadata = 0;

    count = geometry_extents(geometry, pool->reserved, geometry->max_capacity, extents);
    while (metadata < count && extents[metadata].from < geometry->guard_at)
        metadata++;
    if (metadata > 0)
        extents[metadata - 1].length = geometry->guard_at - extents[metadata - 1].from;
    for (i = 0; i < metadata; i++)
        punch(pool, extents[i]);
    punch(pool, geometry_objects_above(geometry, pool->capacity));
}

/* -------------------------------------------------------------------- settling */

struct settling {
    struct pool *pool;
    uint64_t expired;
};

static void settle(void *argument)
{
    struct settling *settling = argument;
    struct pool *pool = settling->pool;

    growth_publish(&pool->segment, pool->capacity);
    if (pool->segment.notes)
        settling->expired = notes_expire(&pool->segment, notes_now(), true);
}

/* All that the manifest speaks of has its memory already, unless a user of the pool has
 * punched holes; then it gets it again, or else the pool is good for nothing. */
static int fill_again(const struct pool *pool, struct reason *why)
{
    struct extent extents[EXTENTS_MAX];
    uint64_t has = 0;
    unsigned count = geometry_extents(&pool->geometry, 0, pool->capacity, extents);
    int error = backing_filled(pool->descriptor, &has, why);

    return error ? error : memory_reserve(pool->descriptor, extents, count, has, why);
}

int pool_take_role(struct pool *pool)
{
    struct settling settling = {pool, 0};
    struct reason why;

    if (!pool->has_role && fence_take_role(pool->descriptor))
        return FASTALLOC_E_BUSY;
    pool->has_role = true;
    if (!pool_is_whole(pool))
        return FASTALLOC_E_POISONED;
    if (pool->settled)
        return 0;
    if (fill_again(pool, &why)) {
        log_warn("pool \"%s\": holes in its memory cannot be filled: %s", pool->spec.name,
                 why.text);
        return FASTALLOC_E_POISONED;
    }
    if (!guard_run(settle, &settling, pool->mapped, pool->geometry.total))
        return FASTALLOC_E_POISONED;
    pool_give_back(pool);
    pool->settled = true;
    return 0;
}

/* --------------------------------------------------------------------- growing */

static int say_not_grown(const struct pool *pool, uint64_t capacity, int error, const char *detail,
                         struct reason *why)
{
    return reason_set(why, error,
                      "pool \"%s\" cannot grow from %" PRIu64 " to %" PRIu64 " slots of %" PRIu64
                      " bytes: %s",
                      pool->spec.name, pool->capacity, capacity, pool->spec.object_size, detail);
}

int pool_reserve(struct pool *pool, uint64_t capacity, struct reason *why)
{
    struct extent extents[EXTENTS_MAX];
    struct reason detail;
    unsigned count;
    int error = pool_take_role(pool);

    if (error == FASTALLOC_E_BUSY)
        return say_not_grown(pool, capacity, error, "somebody else sweeps it: try again", why);
    if (error)
        return say_not_grown(pool, capacity, error,
                             "its shared memory is damaged: destroy the pool", why);
    count = geometry_extents(&pool->geometry, pool->capacity, capacity, extents);
    error = memory_reserve(pool->descriptor, extents, count, 0, &detail);
    if (!error)
        return 0;
    pool_give_back(pool);
    return say_not_grown(pool, capacity, error, detail.text, why);
}

static void publish(void *argument)
{
    struct pool *pool = argument;

    growth_publish(&pool->segment, pool->capacity);
}

int pool_publish(struct pool *pool)
{
    int error = pool_take_role(pool);

    if (error)
        return error;
    return guard_run(publish, pool, pool->mapped, pool->geometry.total) ? 0 : FASTALLOC_E_POISONED;
}

/* ------------------------------------------------------------------- shrinking */

struct retreat {
    struct pool *pool;
    uint64_t target, capacity;
};

static void retreat(void *argument)
{
    struct retreat *step = argument;

    step->capacity = growth_retreat(&step->pool->segment, step->target);
}

int pool_retreat(struct pool *pool, uint64_t target, uint64_t *capacity)
{
    struct retreat step = {pool, target, 0};
    int error = pool_take_role(pool);

    if (error)
        return error;
    if (!guard_run(retreat, &step, pool->mapped, pool->geometry.total))
        return FASTALLOC_E_POISONED;
    /* What the segment says is bounded by what we know: no memory is given back that
     * somebody was told of, none kept that nobody paid for. */
    *capacity = step.capacity < pool->capacity ? step.capacity : pool->capacity;
    if (*capacity < target)
        *capacity = target < pool->capacity ? target : pool->capacity;
    return 0;
}

/* ----------------------------------------------------------------------- notes */

struct noting {
    struct pool *pool;
    uint64_t handle, count;
    uint32_t next;
};

static void expire(void *argument)
{
    struct noting *noting = argument;

    noting->count = notes_expire(&noting->pool->segment, notes_now(), false);
}

static void release_slots(void *argument)
{
    struct noting *noting = argument;

    noting->count = notes_release(&noting->pool->segment, noting->handle);
}

static void ask_next(void *argument)
{
    struct noting *noting = argument;

    noting->next = notes_next(&noting->pool->segment);
}

static int note(struct pool *pool, void (*work)(void *argument), uint64_t handle, uint64_t *count)
{
    struct noting noting = {.pool = pool, .handle = handle};
    int error;

    *count = 0;
    if (!(pool->spec.flags & SPEC_NOTES))
        return 0;
    error = pool_take_role(pool);
    if (error)
        return error;
    if (!guard_run(work, &noting, pool->mapped, pool->geometry.total))
        return FASTALLOC_E_POISONED;
    *count = noting.count;
    return 0;
}

int pool_expire(struct pool *pool, uint64_t *count)
{
    return note(pool, expire, 0, count);
}

int pool_release_slots(struct pool *pool, uint64_t handle, uint64_t *count)
{
    return note(pool, release_slots, handle, count);
}

bool pool_expires(struct pool *pool, bool *later)
{
    struct noting noting = {.pool = pool, .next = NOTES_NEVER};

    *later = false;
    if (!(pool->spec.flags & SPEC_NOTES) || pool->phase != PHASE_READY || pool->damaged)
        return false;
    if (!guard_run(ask_next, &noting, pool->mapped, pool->geometry.total)) {
        pool_mark_damaged(pool, "its memory was truncated");
        return false;
    }
    *later = pool_session_count(pool) > 0 || noting.next != NOTES_NEVER;
    return noting.next != NOTES_NEVER && noting.next <= notes_now();
}
