/* SPDX-License-Identifier: MIT
 *
 * small: see small.h.
 */
#include "small.h"

#include "lifecycle.h"
#include "shm/bitmap.h"
#include "shm/seal.h"
#include "shm/slot.h"
#include "shm/supply.h"
#include "shm/tally.h"
#include "thread.h"

/* Whether an allocation has nothing more to do than to find a slot.  Inside the call: before, a
 * forked child's segment is still its parent's, or being mapped anew by another thread. */
static bool is_plain(const fastalloc_pool *pool)
{
    return pool->spec.growth == FASTALLOC_GROWTH_NONE && !lifecycle_is_due(&pool->segment) &&
           segment_state(&pool->segment) == POOL_LIVE;
}

/* A returned slot.  The seal is looked at when the slot is taken, as in supply_alloc(). */
static bool take(struct segment *segment, const struct actor *actor, uint64_t *index,
                 uint64_t *word)
{
    *index = bitmap_take(segment, actor->session, actor->turn);
    if (*index == BITMAP_NONE)
        return false;
    tally_alloc(segment, actor);
    tally_peak(segment, false);
    *word = shm_load(&segment->words[*index]);
    if (!seal_is_closed(segment))
        return true;
    supply_free(segment, actor, *index, *word);
    return false;
}

/* Without a cache, whose it is and where it looks first is all there is to a thread. */
static struct actor actor_of(const struct thread *thread, const fastalloc_pool *pool)
{
    return (struct actor){.session = pool->face.session,
                          .cache = CACHE_NONE,
                          .turn = thread->id * UINT64_C(0x9e3779b97f4a7c15)};
}

bool small_alloc(fastalloc_pool *pool, fastalloc_handle *handle, void **object)
{
    struct thread *thread;
    struct actor actor;
    uint64_t index, word;
    bool taken;
    int error;

    if (pool->segment.geometry.caches)
        return false;
    thread = thread_begin_briefly(pool, &error);
    if (!thread)
        return false;
    actor = actor_of(thread, pool);
    taken = is_plain(pool) && take(&pool->segment, &actor, &index, &word);
    thread_end_briefly(thread);
    if (!taken)
        return false;
    *handle = slot_handle(&pool->segment, word, index);
    if (object)
        *object = pool->face.objects + index * pool->face.stride;
    return true;
}

bool small_free(fastalloc_pool *pool, fastalloc_handle handle)
{
    struct thread *thread;
    struct actor actor;
    uint64_t word;
    int error;

    if (pool->segment.geometry.caches || slot_frees_decide(&pool->segment))
        return false;
    thread = thread_begin_briefly(pool, &error);
    if (!thread)
        return false;
    error = slot_own(&pool->segment, handle, pool->face.session, &word);
    if (!error) {
        actor = actor_of(thread, pool);
        supply_free(&pool->segment, &actor, slot_index(&pool->segment, handle), word);
    }
    thread_end_briefly(thread);
    return !error;
}
