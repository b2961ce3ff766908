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
#include "small.h"
#include "thread.h"
#include "wait.h"

#include <fastalloc/fastalloc.h>

/* ---------------------------------------------------------------- alloc */

static void hand_out(const fastalloc_pool *pool, uint64_t index, uint64_t word,
                     fastalloc_handle *handle, void **object)
{
    *handle = slot_handle(&pool->segment, word, index);
    if (object)
        *object = pool->face.objects + index * pool->face.stride;
}

/* Brings a magazine from a depot.  False: none is there for the taking. */
static bool alloc_exchanging(fastalloc_pool *pool, fastalloc_handle *handle, void **object)
{
    uint64_t index = 0, word = 0;
    struct actor actor;
    struct thread *thread = thread_begin_exchange(pool, &actor);
    bool found = supply_exchange(&pool->segment, &actor, &index, &word);

    if (found)
        growth_ask_ahead(pool);
    thread_end_exchange(thread, pool);
    if (found)
        hand_out(pool, index, word, handle, object);
    return found;
}

/* From wherever there is one. */
__attribute__((noinline)) static int alloc_anywhere(fastalloc_pool *pool, fastalloc_handle *handle,
                                                    void **object)
{
    const struct urgency urgency = {SUPPLY_PATIENCE_US, FASTALLOC_FOREVER, false};
    uint64_t index = 0, word = 0;
    struct thread *thread;
    struct actor actor;
    struct reason why;
    int error;

    if (small_alloc(pool, handle, object))
        return 0;
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
    hand_out(pool, index, word, handle, object);
    return 0;
}

int fastalloc_alloc_slow_(fastalloc_pool *pool, fastalloc_handle *handle, void **object)
{
    bool done = false;

    switch (thread_turn(pool, CACHE_ENTRIES)) {
    case THREAD_SERVED:
        done = fastalloc_alloc_fast_(pool, handle, object);
        break;
    case THREAD_WANTS:
        done = alloc_exchanging(pool, handle, object);
        break;
    case THREAD_BARRED:
        break;
    }
    return done ? 0 : alloc_anywhere(pool, handle, object);
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

/* slot_end(), without a call for what is common: the slot is the session's own (and the magazine
 * was full), or another's. */
static inline int end_slot(fastalloc_pool *pool, fastalloc_handle handle, uint64_t index,
                           uint64_t *word)
{
    const struct fastalloc_face_ *face = &pool->face;
    uint64_t idle = handle - index, mine = idle + face->session, seen;

    if (face->releaser == face->session && index < shm_load(&face->slots)) {
        seen = shm_load(&face->words[index]);
        *word = mine;
        if (seen == mine || (seen - idle - 1 < face->sessions &&
                             slot_mark(&pool->segment, index, seen, face->session)))
            return 0;
    }
    return slot_end(&pool->segment, handle, face->session, word);
}

/* Whose slot it is is settled by compare-and-swap: another's, or where frees decide
 * (shm/slot.h).  Then it is as in fastalloc_free_inline_().  The loaded magazine has room, and
 * the thread is in its gate.  Who dies after the compare-and-swap leaves the slot to the sweep. */
static int free_claimed(fastalloc_pool *pool, fastalloc_handle handle)
{
    const struct fastalloc_lane_ *lane = fastalloc_lane_of_(&pool->face);
    uint32_t *loaded = lane->loaded, count = shm_load(&loaded[0]);
    uint64_t index = slot_index(&pool->segment, handle), word;
    int error = end_slot(pool, handle, index, &word);

    if (!error) {
        shm_store(&loaded[count + 1], (uint32_t)index); /* C */
        shm_step();
        shm_store(&loaded[0], count + 1); /* D */
        shm_step();
        slot_put(&pool->segment, index, word); /* E */
        FASTALLOC_COUNT_(lane->gate->frees);
    }
    shm_store_release(&lane->gate->busy, 0u);
    if (index >= pool->face.slots)
        pool_refresh(pool);
    return error;
}

/* Brings a magazine with room from a depot, or finds the slot another place. */
static int free_exchanging(fastalloc_pool *pool, fastalloc_handle handle)
{
    struct actor actor;
    struct thread *thread = thread_begin_exchange(pool, &actor);
    uint64_t word;
    int error = slot_end(&pool->segment, handle, pool->face.session, &word);

    if (!error)
        supply_free(&pool->segment, &actor, slot_index(&pool->segment, handle), word);
    thread_end_exchange(thread, pool);
    return error;
}

/* To wherever there is room, with all that there is to do before. */
__attribute__((noinline)) static int free_anywhere(fastalloc_pool *pool, fastalloc_handle handle)
{
    struct thread *thread;
    uint64_t word;
    int error;

    if (small_free(pool, handle))
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

int fastalloc_free_slow_(fastalloc_pool *pool, fastalloc_handle handle)
{
    int error = 0;

    switch (thread_turn(pool, CACHE_ROOM)) {
    case THREAD_SERVED:
        error = free_claimed(pool, handle);
        break;
    case THREAD_WANTS:
        error = free_exchanging(pool, handle);
        break;
    case THREAD_BARRED:
        return free_anywhere(pool, handle);
    }
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

int fastalloc_adopt_slow_(fastalloc_pool *pool, fastalloc_handle handle)
{
    struct thread *thread;
    uint64_t word;
    int error;

    thread = thread_begin_briefly(pool, &error);
    if (!thread)
        return error;
    error = slot_own(&pool->segment, handle, pool->face.session, &word);
    thread_end_briefly(thread);
    if (error == FASTALLOC_E_DOUBLE_FREE)
        error = FASTALLOC_E_STALE;
    return error ? fault_note(error, "adopt", pool, handle) : 0;
}

int fastalloc_adopt(fastalloc_pool *pool, fastalloc_handle handle)
{
    if (FASTALLOC_UNLIKELY_(!pool))
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_adopt: pool is NULL");
    return fastalloc_adopt_inline_(pool, handle);
}

int fastalloc_receive(fastalloc_pool *pool, fastalloc_handle handle, void **object)
{
    if (FASTALLOC_UNLIKELY_(!pool))
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_receive: pool is NULL");
    return fastalloc_receive_inline_(pool, handle, object);
}

int fastalloc_give(fastalloc_pool *pool, fastalloc_handle handle, uint32_t session)
{
    struct thread *thread;
    int error;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_give: pool is NULL");
    thread = thread_begin_briefly(pool, &error);
    if (!thread)
        return error;
    error = session_give(&pool->segment, pool->face.session, session, handle);
    thread_end_briefly(thread);
    if (error == FASTALLOC_E_DOUBLE_FREE)
        error = FASTALLOC_E_STALE;
    if (error == FASTALLOC_E_SESSION)
        return fault_set(error,
                         "give: pool \"%s\" has no live session %u: did the receiver end? Its "
                         "number is fastalloc_pool_session() there",
                         pool->spec.name, session);
    return error ? fault_note(error, "give", pool, handle) : 0;
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
