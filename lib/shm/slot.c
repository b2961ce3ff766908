/* SPDX-License-Identifier: MIT
 *
 * slot: see slot.h.
 */
#include "slot.h"

#include "share.h"
#include "spec.h"

void slot_take(struct segment *segment, uint64_t index, uint64_t word, uint32_t me)
{
    shm_store(&segment->words[index], word | me);
}

void slot_put(struct segment *segment, uint64_t index, uint64_t word)
{
    uint64_t next =
        slot_generation_next(slot_generation_of(segment, word), segment->geometry.index_bits);

    shm_store_release(&segment->words[index], slot_word(segment, next, SLOT_IDLE));
}

void slot_put_unused(struct segment *segment, uint64_t index, uint64_t word)
{
    shm_store_release(&segment->words[index], slot_word_with(segment, word, SLOT_IDLE));
}

bool slot_claim_fresh(struct segment *segment, uint64_t index, uint32_t me)
{
    uint64_t word = 0;
    uint64_t generation = slot_generation_within(shm_load(&segment->header->first_generation),
                                                 segment->geometry.index_bits);

    return shm_cas(&segment->words[index], &word, slot_word(segment, generation, me));
}

bool slot_claim_returned(struct segment *segment, uint64_t index, uint32_t me)
{
    uint64_t word = shm_load_ordered(&segment->words[index]);

    return slot_owner_of(word) == SLOT_RETURNED &&
           shm_cas(&segment->words[index], &word, slot_word_with(segment, word, me));
}

bool slot_return(struct segment *segment, uint64_t index, uint64_t word)
{
    uint64_t next =
        slot_generation_next(slot_generation_of(segment, word), segment->geometry.index_bits);

    return shm_cas(&segment->words[index], &word, slot_word(segment, next, SLOT_RETURNED));
}

bool slot_mark(struct segment *segment, uint64_t index, uint64_t word, uint32_t owner)
{
    return shm_cas(&segment->words[index], &word, slot_word_with(segment, word, owner));
}

bool slot_renew(struct segment *segment, uint64_t index, uint64_t word, uint32_t me,
                uint64_t *renewed)
{
    uint64_t next =
        slot_generation_next(slot_generation_of(segment, word), segment->geometry.index_bits);

    if (!shm_cas(&segment->words[index], &word, slot_word(segment, next, me)))
        return false;
    *renewed = slot_word(segment, next, me);
    return true;
}

bool slot_withdraw(struct segment *segment, uint64_t index, uint64_t word)
{
    uint32_t bits = segment->geometry.index_bits;
    uint64_t generation = slot_generation_of(segment, word);

    if (word == 0)
        generation = slot_generation_within(shm_load(&segment->header->first_generation), bits);
    else if (slot_owner_of(word) != SLOT_RETURNED)
        generation = slot_generation_next(generation, bits);
    return shm_cas(&segment->words[index], &word, slot_word(segment, generation, SLOT_WITHDRAWN));
}

static bool is_free(uint32_t owner)
{
    return owner == SLOT_IDLE || owner == SLOT_RETURNED || owner == SLOT_WITHDRAWN;
}

/* Whether a slot of generation `now` was freed by one free of generation `mine`: frees that
 * decide by compare-and-swap take two steps, and one more where they do more (lifecycle.c). */
static bool is_freed_once(const struct segment *segment, uint64_t mine, uint64_t now)
{
    unsigned steps = !slot_frees_decide(segment) ? 1 : segment->stages ? 3 : 2;

    for (; steps > 0; steps--) {
        mine = slot_generation_next(mine, segment->geometry.index_bits);
        if (mine == now)
            return true;
    }
    return false;
}

/* Says what a handle is, that is not the live slot `word` says there is. */
static int diagnose(const struct segment *segment, fastalloc_handle handle, uint64_t word)
{
    uint32_t bits = segment->geometry.index_bits;
    uint64_t mine = handle >> bits, now = slot_generation_of(segment, word);
    uint64_t first = slot_generation_within(shm_load(&segment->header->first_generation), bits);
    uint64_t last = slot_generation_last(bits);
    uint32_t owner = slot_owner_of(word);

    /* Generations run from `first` to `now`; what lies outside was never given
     * out here: another pool's handle, or none at all. */
    if (mine == 0 || word == 0 || ((mine - first) & last) > ((now - first) & last))
        return FASTALLOC_E_HANDLE;
    if (is_freed_once(segment, mine, now) && is_free(owner))
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

bool slot_frees_decide(const struct segment *segment)
{
    return segment->geometry.flags & (SPEC_STRICT | SPEC_STAGES);
}

/* Makes a live slot's word `target`, from whichever session has it, or from ANYONE, by CAS. */
static int claim(struct segment *segment, fastalloc_handle handle, uint64_t target)
{
    uint64_t index = slot_index(segment, handle);
    uint64_t generation = slot_generation_in(segment, handle);
    uint64_t seen;
    uint32_t owner;

    if (index >= segment_reserved(segment))
        return FASTALLOC_E_HANDLE;
    seen = shm_load(&segment->words[index]);
    for (;;) {
        owner = slot_owner_of(seen);
        if (slot_generation_of(segment, seen) != generation ||
            (!slot_owner_is_session(segment, owner) && owner != SLOT_ANYONE))
            return diagnose(segment, handle, seen);
        if (seen == target || shm_cas(&segment->words[index], &seen, target))
            return 0;
    }
}

int slot_own(struct segment *segment, fastalloc_handle handle, uint32_t me, uint64_t *word)
{
    uint64_t mine = slot_word_for(segment, handle, me);
    int error = claim(segment, handle, mine);

    if (!error)
        *word = mine;
    return error;
}

/* In one step: who owned it first would lose it again to another who frees it too, and so on. */
int slot_end(struct segment *segment, fastalloc_handle handle, uint32_t me, uint64_t *word)
{
    uint32_t bits = segment->geometry.index_bits;
    uint64_t ended = slot_word(segment, slot_generation_next(handle >> bits, bits), me);
    int error;

    if (!slot_frees_decide(segment))
        return slot_own(segment, handle, me, word);
    error = claim(segment, handle, ended);
    if (!error)
        *word = ended;
    return error;
}

int slot_give(struct segment *segment, fastalloc_handle handle, uint32_t from, uint32_t to)
{
    uint64_t index = slot_index(segment, handle);
    uint64_t generation = slot_generation_in(segment, handle);
    uint64_t seen = slot_word(segment, generation, from);

    if (index >= segment_reserved(segment))
        return FASTALLOC_E_HANDLE;
    if (shm_cas(&segment->words[index], &seen, slot_word(segment, generation, to)))
        return 0;
    return diagnose(segment, handle, seen); /* live, but not `from`'s, is stale as well */
}
