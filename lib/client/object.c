/* SPDX-License-Identifier: MIT
 *
 * object: allocating, freeing, reaching and passing on slots: the library's side
 * of the fast path, and the slow ways on from it.
 */
#include "event.h"
#include "fault.h"
#include "growth.h"
#include "obtain.h"
#include "pool.h"
#include "shm/cache.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/supply.h"
#include "shm/tally.h"
#include "thread.h"
#include "wait.h"

#include <fastalloc/fastalloc.h>

/* ---------------------------------------------------------------- alloc */

int fastalloc_alloc_slow_(fastalloc_pool *pool, fastalloc_handle *handle, void **object)
{
    const struct urgency urgency = {SUPPLY_PATIENCE_US, FASTALLOC_FOREVER, false};
    uint64_t index = 0, word = 0;
    struct thread *thread;
    struct actor actor;
    struct reason why;
    int error;

    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    actor = thread_actor(thread, pool);
    error = obtain_slot(pool, &actor, &urgency, &index, &word, &why);
    if (!error)
        growth_ask_ahead(pool);
    else
        tally_failure(&pool->segment, actor.session);
    if (wait_is_for(error))
        event_arm(pool);
    if (!error)
        lifecycle_announce(pool);
    thread_end(thread, pool);
    if (error)
        return why.code ? fault_say(&why) : fault_note(error, "alloc", pool, FASTALLOC_NONE);
    error = lifecycle_acquire(pool, "alloc", index, word);
    if (error)
        return error;
    *handle = slot_handle(&pool->segment, word, index);
    if (object)
        *object = pool->face.objects + index * pool->face.stride;
    return 0;
}

int fastalloc_alloc(fastalloc_pool *pool, fastalloc_handle *handle, void **object)
{
    if (FASTALLOC_UNLIKELY_(!pool) || FASTALLOC_UNLIKELY_(!handle))
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_alloc: %s is NULL",
                         !pool ? "pool" : "handle");
    /* Its caller's outputs lie in memory anyway: no frame of its own for others. */
    if (FASTALLOC_LIKELY_(fastalloc_alloc_fast_(pool, handle, object)))
        return 0;
    return fastalloc_alloc_slow_(pool, handle, object);
}

/* ----------------------------------------------------------------- free */

/* The fast path of strict pools: as fastalloc_free_inline_(), where the stores marked there come
 * after a CAS to the next generation, still the caller's: shm/slot.h's `end`.  Who dies after it
 * leaves the slot to the sweep.  False: the slow way it is. */
static bool free_decided(fastalloc_pool *pool, fastalloc_handle handle)
{
    const struct fastalloc_face_ *face = &pool->face;
    const struct fastalloc_lane_ *lane = fastalloc_lane_of_(face);
    struct fastalloc_gate_ *gate = lane->gate;
    uint64_t index = handle & face->index_mask, word;
    uint32_t *loaded, count;
    bool freed = false;

    if (face->releaser != SLOT_NEVER || !gate || index >= face->slots)
        return false;
    shm_store(&gate->busy, 1u);
    shm_step();
    loaded = lane->loaded;
    count = shm_load(&loaded[0]);
    word = slot_word_for(&pool->segment, handle, face->session);
    if (count < shm_load(&gate->room) &&
        slot_renew(&pool->segment, index, word, face->session, &word)) {
        shm_store(&loaded[count + 1], (uint32_t)index); /* C */
        shm_step();
        shm_store(&loaded[0], count + 1); /* D */
        shm_step();
        slot_put(&pool->segment, index, word); /* E */
        FASTALLOC_COUNT_(gate->frees);
        freed = true;
    }
    shm_store_release(&gate->busy, 0u);
    return freed;
}

int fastalloc_free_slow_(fastalloc_pool *pool, fastalloc_handle handle)
{
    struct thread *thread;
    uint64_t word;
    int error;

    if (free_decided(pool, handle))
        return 0;
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    error = slot_end(&pool->segment, handle, pool->face.session, &word);
    if (!error)
        thread = lifecycle_free(pool, thread, handle, slot_index(&pool->segment, handle), word);
    if (thread)
        thread_end(thread, pool);
    return error ? fault_note(error, "free", pool, handle) : 0;
}

int fastalloc_free(fastalloc_pool *pool, fastalloc_handle handle)
{
    if (FASTALLOC_UNLIKELY_(!pool))
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_free: pool is NULL");
    return fastalloc_free_inline_(pool, handle);
}

/* ------------------------------------------------------------------ get */

/* Attaches a forked child, notices slots that came by growth.  True when looking again makes
 * sense. */
static bool look_again(fastalloc_pool *pool, fastalloc_handle handle, int *error)
{
    uint64_t index = slot_index(&pool->segment, handle);
    struct thread *thread;

    if (pool_is_ours(pool) && index < shm_load(&pool->face.slots))
        return false;
    thread = thread_begin(pool, error);
    if (!thread)
        return false;
    thread_end(thread, pool);
    return index < shm_load(&pool->face.slots);
}

void *fastalloc_get_slow_(fastalloc_pool *pool, fastalloc_handle handle)
{
    int error = 0;

    /* Once it has looked, it is attached and the slot is known. */
    if (look_again(pool, handle, &error))
        return fastalloc_get_inline_(pool, handle);
    if (error)
        return NULL;
    error = slot_diagnose(&pool->segment, handle);

    /* A slot of this generation that is idle was given to nobody yet. */
    fault_note(error, "get", pool, handle);
    return NULL;
}

void *fastalloc_get(fastalloc_pool *pool, fastalloc_handle handle)
{
    if (FASTALLOC_UNLIKELY_(!pool)) {
        fault_set(FASTALLOC_E_INVALID, "fastalloc_get: pool is NULL");
        return NULL;
    }
    return fastalloc_get_inline_(pool, handle);
}

/* ----------------------------------------------------------- passing on */

int fastalloc_adopt(fastalloc_pool *pool, fastalloc_handle handle)
{
    struct thread *thread;
    uint64_t word;
    int error;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_adopt: pool is NULL");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    error = slot_own(&pool->segment, handle, pool->face.session, &word);
    thread_end(thread, pool);
    if (error == FASTALLOC_E_DOUBLE_FREE)
        error = FASTALLOC_E_STALE;
    return error ? fault_note(error, "adopt", pool, handle) : 0;
}

int fastalloc_give(fastalloc_pool *pool, fastalloc_handle handle, uint32_t session)
{
    struct thread *thread;
    int error;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_give: pool is NULL");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    error = session_give(&pool->segment, pool->face.session, session, handle);
    thread_end(thread, pool);
    if (error == FASTALLOC_E_DOUBLE_FREE)
        error = FASTALLOC_E_STALE;
    if (error == FASTALLOC_E_SESSION)
        return fault_set(error,
                         "give: pool \"%s\" has no live session %u: did the receiver end? Its "
                         "number is fastalloc_pool_session() there",
                         pool->spec.name, session);
    return error ? fault_note(error, "give", pool, handle) : 0;
}

/* -------------------------------------------------------------- batches */

int fastalloc_alloc_batch(fastalloc_pool *pool, size_t count, fastalloc_handle *handles,
                          void **objects)
{
    size_t done;
    int error;

    if (!pool || (!handles && count))
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_alloc_batch: %s is NULL",
                         !pool ? "pool" : "handles");
    for (done = 0; done < count; done++) {
        fastalloc_handle handle;
        void *object;

        error = fastalloc_alloc_inline_(pool, &handle, &object);
        if (error) {
            while (done > 0)
                fastalloc_free_inline_(pool, handles[--done]);
            return error;
        }
        handles[done] = handle;
        if (objects)
            objects[done] = object;
    }
    return 0;
}

int fastalloc_free_batch(fastalloc_pool *pool, size_t count, const fastalloc_handle *handles,
                         size_t *freed)
{
    int first = 0, error;
    size_t i, done = 0;

    if (!pool || (!handles && count))
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_free_batch: %s is NULL",
                         !pool ? "pool" : "handles");
    for (i = 0; i < count; i++) {
        error = fastalloc_free_inline_(pool, handles[i]);
        if (!error)
            done++;
        else if (!first)
            first = error;
    }
    if (freed)
        *freed = done;
    return first;
}

/* ---------------------------------------------------------- scope-bound */

fastalloc_owned fastalloc_own(fastalloc_pool *pool)
{
    fastalloc_owned owned = {pool, FASTALLOC_NONE, NULL, 0};

    owned.error = fastalloc_alloc(pool, &owned.handle, &owned.object);
    return owned;
}

fastalloc_handle fastalloc_disown(fastalloc_owned *owned)
{
    fastalloc_handle handle = owned->handle;

    owned->handle = FASTALLOC_NONE;
    owned->object = NULL;
    return handle;
}

void fastalloc_owned_release(fastalloc_owned *owned)
{
    if (owned->handle != FASTALLOC_NONE)
        fastalloc_free(owned->pool, owned->handle);
    fastalloc_disown(owned);
}
