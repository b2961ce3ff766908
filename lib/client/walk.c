/* SPDX-License-Identifier: MIT
 *
 * walk: visiting the slots in somebody's hands.
 *
 * Each slot word is read once, and tells all there is to say: a slot that stays allocated stays
 * in somebody's hands at each instant, whoever passes it on, since each change of owner is one
 * compare-and-swap; so it is met.  Nothing is held while the visitor runs, who may use the pool.
 */
#include "fault.h"
#include "pool.h"
#include "shm/notes.h"
#include "shm/share.h"
#include "shm/slot.h"
#include "thread.h"

#include <fastalloc/fastalloc.h>

/* Whose a word says the slot is.  False: nobody's. */
static bool describe(const struct segment *segment, uint64_t word, fastalloc_slot *slot)
{
    uint32_t owner = slot_owner_of(word);

    slot->session = slot->pid = 0;
    if (slot_owner_is_session(segment, owner)) {
        slot->state = FASTALLOC_OWNED;
        slot->session = owner;
        slot->pid = shm_load(&segment->sessions[owner].pid);
        return true;
    }
    if (owner == SLOT_SHARED || share_closer(segment, owner))
        slot->state = FASTALLOC_SHARED;
    else if (owner == SLOT_ANYONE || owner == NOTES_EXPIRING)
        slot->state = FASTALLOC_LEFT;
    else if (owner == SLOT_QUARANTINED)
        slot->state = FASTALLOC_QUARANTINED;
    else
        return false;
    return true;
}

/* Attaches a forked child.  *end is how many slots there ever were. */
static int begin(fastalloc_pool *pool, uint64_t *end)
{
    struct thread *thread;
    uint32_t state;
    int error;

    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    state = segment_state(&pool->segment);
    *end = segment_reserved(&pool->segment);
    thread_end(thread, pool);
    return state == POOL_POISONED ? fault_note(FASTALLOC_E_POISONED, "walk", pool, FASTALLOC_NONE)
                                  : 0;
}

int fastalloc_pool_walk(fastalloc_pool *pool, fastalloc_visitor *visit, void *argument)
{
    fastalloc_slot slot = {0};
    uint64_t index, end = 0;
    int answer;

    if (!pool || !visit)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_walk: %s is NULL",
                         !pool ? "pool" : "the visitor");
    answer = begin(pool, &end);
    for (index = 0; !answer && index < end; index++) {
        uint64_t word = shm_load_acquire(&pool->segment.words[index]);

        if (!describe(&pool->segment, word, &slot))
            continue;
        slot.handle = slot_handle(&pool->segment, word, index);
        slot.object = pool->face.objects + index * pool->face.stride;
        answer = visit(&slot, argument);
    }
    return answer;
}
