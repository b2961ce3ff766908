/* SPDX-License-Identifier: MIT
 *
 * slot: see slot.h.
 */
#include "slot.h"

#include "share.h"

void slot_take(struct segment *segment, uint64_t index, uint64_t word, uint32_t me)
{
    shm_store(&segment->words[index], word | me);
}

void slot_put(struct segment *segment, uint64_t index, uint64_t word)
{
    uint64_t next = slot_generation_next(slot_generation_of(word), segment->geometry.index_bits);

    shm_store_release(&segment->words[index], slot_word(next, SLOT_IDLE));
}

void slot_put_unused(struct segment *segment, uint64_t index, uint64_t word)
{
    shm_store_release(&segment->words[index], slot_word(slot_generation_of(word), SLOT_IDLE));
}

bool slot_claim_fresh(struct segment *segment, uint64_t index, uint32_t me)
{
    uint64_t word = 0;
    uint64_t generation = slot_generation_within(shm_load(&segment->header->first_generation),
                                                 segment->geometry.index_bits);

    return shm_cas(&segment->words[index], &word, slot_word(generation, me));
}

bool slot_claim_returned(struct segment *segment, uint64_t index, uint32_t me)
{
    uint64_t word = shm_load_ordered(&segment->words[index]);

    return slot_owner_of(word) == SLOT_RETURNED &&
           shm_cas(&segment->words[index], &word, slot_word(slot_generation_of(word), me));
}

bool slot_return(struct segment *segment, uint64_t index, uint64_t word)
{
    uint64_t next = slot_generation_next(slot_generation_of(word), segment->geometry.index_bits);

    return shm_cas(&segment->words[index], &word, slot_word(next, SLOT_RETURNED));
}

bool slot_mark(struct segment *segment, uint64_t index, uint64_t word, uint32_t owner)
{
    return shm_cas(&segment->words[index], &word, slot_word(slot_generation_of(word), owner));
}

bool slot_renew(struct segment *segment, uint64_t index, uint64_t word, uint32_t me,
                uint64_t *renewed)
{
    uint64_t next = slot_generation_next(slot_generation_of(word), segment->geometry.index_bits);

    if (!shm_cas(&segment->words[index], &word, slot_word(next, me)))
        return false;
    *renewed = slot_word(next, me);
    return true;
}

bool slot_withdraw(struct segment *segment, uint64_t index, uint64_t word)
{
    uint32_t bits = segment->geometry.index_bits;
    uint64_t generation = slot_generation_of(word);

    if (word == 0)
        generation = slot_generation_within(shm_load(&segment->header->first_generation), bits);
    else if (slot_owner_of(word) != SLOT_RETURNED)
        generation = slot_generation_next(generation, bits);
    return shm_cas(&segment->words[index], &word, slot_word(generation, SLOT_WITHDRAWN));
}

static bool is_free(uint32_t owner)
{
    return owner == SLOT_IDLE || owner == SLOT_RETURNED || owner == SLOT_WITHDRAWN;
}

/* Says what a handle is, that is not the live slot `word` says there is. */
static int diagnose(const struct segment *segment, fastalloc_handle handle, uint64_t word)
{
    uint32_t bits = segment->geometry.index_bits;
    uint64_t mine = handle >> bits, now = slot_generation_of(word);
    uint64_t first = slot_generation_within(shm_load(&segment->header->first_generation), bits);
    uint64_t last = slot_generation_last(bits);
    uint32_t owner = slot_owner_of(word);

    /* Generations run from `first` to `now`; what lies outside was never given
     * out here: another pool's handle, or none at all. */
    if (mine == 0 || word == 0 || ((mine - first) & last) > ((now - first) & last))
        return FASTALLOC_E_HANDLE;
    if (now == slot_generation_next(mine, bits) && is_free(owner))
        return FASTALLOC_E_DOUBLE_FREE;
    if (now == mine && is_free(owner))
        return FASTALLOC_E_HANDLE; /* of this generation none was given out yet */
    if (now == mine && (owner == SLOT_SHARED || share_closer(segment, owner)))
        return FASTALLOC_E_SHARING;
    return FASTALLOC_E_STALE;
}

int slot_diagnose(const struct segment *segment, fastalloc_handle handle)
{
    uint64_t index = slot_index(segment, handle);

    if (index >= segment_reserved(segment))
        return FASTALLOC_E_HANDLE;
    return diagnose(segment, handle, shm_load(&segment->words[index]));
}

int slot_own(struct segment *segment, fastalloc_handle handle, uint32_t me, uint64_t *word)
{
    uint64_t index = slot_index(segment, handle);
    uint64_t generation = handle >> segment->geometry.index_bits;
    uint64_t seen, mine = slot_word(generation, me);
    uint32_t owner;

    if (index >= segment_reserved(segment))
        return FASTALLOC_E_HANDLE;
    seen = shm_load(&segment->words[index]);
    for (;;) {
        if (seen == mine)
            break;
        owner = slot_owner_of(seen);
        if (slot_generation_of(seen) != generation ||
            (!slot_owner_is_session(segment, owner) && owner != SLOT_ANYONE))
            return diagnose(segment, handle, seen);
        if (shm_cas(&segment->words[index], &seen, mine))
            break;
    }
    *word = mine;
    return 0;
}

int slot_give(struct segment *segment, fastalloc_handle handle, uint32_t from, uint32_t to)
{
    uint64_t index = slot_index(segment, handle);
    uint64_t generation = handle >> segment->geometry.index_bits;
    uint64_t seen = slot_word(generation, from);

    if (index >= segment_reserved(segment))
        return FASTALLOC_E_HANDLE;
    if (shm_cas(&segment->words[index], &seen, slot_word(generation, to)))
        return 0;
    return diagnose(segment, handle, seen); /* live, but not `from`'s, is stale as well */
}
