/* SPDX-License-Identifier: MIT
 *
 * lookup: the public functions that find a slot by what a program has of it: its handle from an
 * object's address, and whether it is the program's own.
 */
#include "fault.h"
#include "pool.h"
#include "shm/slot.h"
#include "thread.h"

#include <fastalloc/fastalloc.h>

/* Attaches a forked child, and notices slots that came by growth. */
static int look_up_to_date(fastalloc_pool *pool)
{
    struct thread *thread;
    int error;

    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    thread_end(thread, pool);
    return 0;
}

/* As pool_is_ours(), and sooner: a forked child finds its threads' gates gone. */
static bool is_attached(const fastalloc_pool *pool)
{
    return fastalloc_lane_of_(&pool->face)->gate || pool_is_ours(pool);
}

/* The slot that has the address.  False: none of those known. */
static bool index_of(const fastalloc_pool *pool, const void *address, uint64_t *index)
{
    uint64_t distance = (uint64_t)((uintptr_t)address - (uintptr_t)pool->face.objects);

    if ((uintptr_t)address < (uintptr_t)pool->face.objects)
        return false;
    *index = distance / pool->face.stride;
    return *index < shm_load(&pool->face.slots);
}

int fastalloc_handle_of(fastalloc_pool *pool, const void *address, fastalloc_handle *handle)
{
    uint64_t index = 0, word;
    uint32_t owner;
    int error;

    if (!pool || !handle)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_handle_of: %s is NULL",
                         !pool ? "pool" : "the output");
    if (!is_attached(pool) || !index_of(pool, address, &index)) {
        error = look_up_to_date(pool);
        if (error)
            return error;
        if (!index_of(pool, address, &index))
            return fault_set(FASTALLOC_E_HANDLE, "handle_of: pool \"%s\" has no object at %p",
                             pool->spec.name, address);
    }
    word = shm_load(&pool->segment.words[index]);
    owner = slot_owner_of(word);
    if (owner == SLOT_IDLE || owner == SLOT_RETURNED || owner == SLOT_WITHDRAWN)
        return fault_set(FASTALLOC_E_STALE,
                         "handle_of: slot %llu of pool \"%s\", at %p, is not allocated",
                         (unsigned long long)index, pool->spec.name, address);
    *handle = slot_handle(&pool->segment, word, index);
    return 0;
}

int fastalloc_handle_is_mine_slow_(fastalloc_pool *pool, fastalloc_handle handle)
{
    uint64_t index, mine;

    if (handle == FASTALLOC_NONE || !pool_is_ours(pool))
        return 0;
    index = slot_index(&pool->segment, handle);
    mine = slot_word_for(&pool->segment, handle, pool->face.session);

    /* A slot of this process's own was known when it got it, but perhaps not to this thread. */
    if (index >= shm_load(&pool->face.slots) && look_up_to_date(pool))
        return 0;
    return index < shm_load(&pool->face.slots) && shm_load(&pool->segment.words[index]) == mine;
}

int fastalloc_handle_is_mine(fastalloc_pool *pool, fastalloc_handle handle)
{
    return pool && fastalloc_handle_is_mine_inline_(pool, handle);
}
