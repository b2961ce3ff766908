/* SPDX-License-Identifier: MIT
 *
 * batch: allocating and freeing many slots in one call.
 *
 * A run: one entry into the gate, and then slot by slot the fast path's own stores in the fast
 * path's own order (fastalloc/inline.h), so that a death anywhere in it leaves what a death in
 * one allocation or one free leaves: one slot at most that is half done.  (One store of the
 * count for the whole run would leave many, and the sweep would have to look for each of them
 * in all other magazines; it would save one instruction of some fifteen.)  What is kept over
 * the run instead of being looked up for each slot is the process's own, or the owner's own
 * while it is busy.
 *
 * A run ends with the magazine.  The slot after it goes the slow way, by itself, which brings
 * the next magazine, whole: from the cache, or from a depot.  A thief waits for a run
 * as for any owner that is busy: for 255 slots at most.
 */
#include "fault.h"
#include "pool.h"
#include "thread.h"

#include <fastalloc/fastalloc.h>

#define RUN_MIN 4u /* fewer cost less one by one */

/* Enters the gate, if the thread has a lane.  NULL: it has none. */
static struct fastalloc_gate_ *enter(const struct fastalloc_lane_ *lane)
{
    struct fastalloc_gate_ *gate = lane->gate;

    if (!gate)
        return NULL;
    shm_store(&gate->busy, 1u);
    shm_step();
    return gate;
}

/* Sees to it that the loaded magazine serves the whole batch, if one of the two does: else batches
 * back and forth would split at the magazine's end each time. */
static void choose_magazine(fastalloc_pool *pool, enum cache_want want, size_t count)
{
    const struct fastalloc_lane_ *lane = fastalloc_lane_of_(&pool->face);
    uint32_t size = pool->segment.geometry.magazine_size, served;

    if (!lane->gate || count < RUN_MIN || count > size)
        return;
    served = shm_load(&lane->loaded[0]);
    if (want == CACHE_ROOM)
        served = served < size ? size - served : 0;
    if (served < count)
        thread_turn_for(pool, want, (uint32_t)count);
}

/* Allocates as many slots as the loaded magazine has, `count` at most; returns how many. */
__attribute__((always_inline)) static inline size_t alloc_run(const struct fastalloc_face_ *face,
                                                              size_t count,
                                                              fastalloc_handle *handles,
                                                              void **objects)
{
    const struct fastalloc_lane_ *lane = fastalloc_lane_of_(face);
    struct fastalloc_gate_ *gate = enter(lane);
    uint64_t *words = face->words, allocations, at, left;
    uint64_t slots = shm_load(&face->slots), me = face->session;
    fastalloc_handle *next = handles;
    uint32_t *loaded;

    if (!gate)
        return 0;
    loaded = lane->loaded;
    at = shm_load(&loaded[0]);
    if (at > shm_load(&gate->room))
        at = 0;
    left = at > count ? at - count : 0;
    allocations = shm_load(&gate->allocations);
    while (at > left) {
        uint64_t index = shm_load(&loaded[at]), word;

        if (index >= slots)
            break;
        word = shm_load(&words[index]);
        if (word & FASTALLOC_OWNER_MASK_)
            break;
        shm_store(&words[index], word | me); /* A */
        shm_step();
        shm_store(&loaded[0], (uint32_t)--at); /* B */
        shm_step();                            /* and only then the next one's A */
        shm_store(&gate->allocations, ++allocations);
        *next++ = word + index;
        if (objects)
            *objects++ = face->objects + index * face->stride;
    }
    shm_store_release(&gate->busy, 0u);
    return (size_t)(next - handles);
}

__attribute__((noinline)) static size_t alloc_handles(const struct fastalloc_face_ *face,
                                                      size_t count, fastalloc_handle *handles)
{
    return alloc_run(face, count, handles, NULL);
}

__attribute__((noinline)) static size_t alloc_objects(const struct fastalloc_face_ *face,
                                                      size_t count, fastalloc_handle *handles,
                                                      void **objects)
{
    return objects ? alloc_run(face, count, handles, objects) : 0;
}

int fastalloc_alloc_batch(fastalloc_pool *pool, size_t count, fastalloc_handle *handles,
                          void **objects)
{
    size_t done = 0, run;
    int error;

    if (!pool || (!handles && count))
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_alloc_batch: %s is NULL",
                         !pool ? "pool" : "handles");
    choose_magazine(pool, CACHE_ENTRIES, count);
    while (done < count) {
        if (count - done < RUN_MIN)
            run = 0;
        else if (objects)
            run = alloc_objects(&pool->face, count - done, handles + done, objects + done);
        else
            run = alloc_handles(&pool->face, count - done, handles + done);
        done += run;
        if (run && (done == count || thread_turn(pool, CACHE_ENTRIES) == THREAD_SERVED))
            continue;
        error = fastalloc_alloc_inline_(pool, &handles[done], objects ? &objects[done] : NULL);
        if (error) {
            while (done > 0)
                fastalloc_free_inline_(pool, handles[--done]);
            return error;
        }
        done++;
    }
    return 0;
}

/* Frees the first of the handles, as many as the loaded magazine has room for, up to one that is
 * not a slot of the session's own; returns how many. */
__attribute__((noinline)) static size_t free_run(const struct fastalloc_face_ *face, size_t count,
                                                 const fastalloc_handle *handles)
{
    const struct fastalloc_lane_ *lane = fastalloc_lane_of_(face);
    struct fastalloc_gate_ *gate = enter(lane);
    uint64_t *words = face->words, mask = face->index_mask, frees, at, room;
    uint64_t slots = shm_load(&face->slots), releaser = face->releaser, freeing = face->freeing;
    uint32_t *loaded;
    const fastalloc_handle *next = handles, *end;

    if (!gate)
        return 0;
    loaded = lane->loaded;
    at = shm_load(&loaded[0]);
    room = shm_load(&gate->room);
    room = at < room ? room - at : 0;
    end = handles + (count < room ? count : room);
    frees = shm_load(&gate->frees);
    for (; next < end; next++) {
        uint64_t index = *next & mask, mine = *next - index + releaser, freed;

        if (index >= slots || shm_load(&words[index]) != mine ||
            __builtin_add_overflow(mine, freeing, &freed))
            break;
        shm_store(&loaded[++at], (uint32_t)index); /* C */
        shm_step();
        shm_store(&loaded[0], (uint32_t)at); /* D */
        shm_step();
        shm_store_release(&words[index], freed); /* E */
        shm_store(&gate->frees, ++frees);
    }
    shm_store_release(&gate->busy, 0u);
    return (size_t)(next - handles);
}

int fastalloc_free_batch(fastalloc_pool *pool, size_t count, const fastalloc_handle *handles,
                         size_t *freed)
{
    size_t next = 0, failed = 0, run;
    int first = 0, error;

    if (!pool || (!handles && count))
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_free_batch: %s is NULL",
                         !pool ? "pool" : "handles");
    choose_magazine(pool, CACHE_ROOM, count);
    while (next < count) {
        run = count - next < RUN_MIN ? 0 : free_run(&pool->face, count - next, handles + next);
        next += run;
        if (run && (next == count || thread_turn(pool, CACHE_ROOM) == THREAD_SERVED))
            continue;
        error = fastalloc_free_inline_(pool, handles[next++]);
        if (error) {
            failed++;
            if (!first)
                first = error;
        }
    }
    if (freed)
        *freed = count - failed;
    return first;
}
