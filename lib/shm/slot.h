/* SPDX-License-Identifier: MIT
 *
 * slot: the slot word and all its transitions.  Nobody else writes a slot word,
 * but the inlined fast path (fastalloc/inline.h) and its runs (client/batch.c), which
 * hold `take` and `put` below in the form the compiler likes best.
 *
 *   64 bits: generation | 0 | owner (16), the generation where a handle has it: above
 *   the bits of the index, of which there are 16 to 31
 *
 *                     take: store g|me
 *   idle g|0  ------------------------------->  live g|session
 *      ^                                          |   ^    |
 *      |  put: store g+1|0                        |   |    | own, give: CAS g|other
 *      +------------------------------------------+   +----+
 *      |                                          |
 *      |                 return, sweep: CAS g+1|RETURNED
 *      |                                          v
 *   (never)   claim_returned: CAS g|me   returned g|RETURNED, flagged in the bitmap
 *
 *   live --- end, where frees decide: CAS g+1|me ---> live, on its way to idle or returned
 *   live --- share.h ---> g|SHARED <---> g|closing, session ---> live g+1|session
 *   live --- notes.h ---> g|ANYONE, g|QUARANTINED
 *   idle, returned, never used --- growth.h ---> g|WITHDRAWN ---> g|RETURNED
 *
 *   zero: never used --- claim_fresh: CAS first_generation|me ---> live
 *
 * `take` and `put` are plain stores: the caller owns, beyond doubt, the magazine
 * the slot lies in or the slot itself.  Everything else is a CAS, because a
 * sweep, an adopter or another thread may be after the same word; whoever loses is
 * told.  The order of each with its neighbours (magazine count, bitmap bit) is the
 * caller's, and stands there.
 *
 * Generations have as many bits as the handle leaves beside the index, at most
 * 48, begin at random in each pool, and skip 0 when they wrap.  With a million
 * slots they have 44 bits: one slot freed every 5 ns wraps after a day (where frees decide
 * in a half or a third of it, since each takes two or three generations), and a
 * handle that old, kept that long, is then taken for good once in 2^44 frees.
 */
#ifndef SHM_SLOT_H
#define SHM_SLOT_H

#include "layout.h"

#define SLOT_INDEX_BITS_MIN 16u /* an owner's */

enum slot_owner {
    SLOT_IDLE = 0,
    SLOT_NEVER = 0xfff9,     /* no word has this owner: what never matches */
    SLOT_WITHDRAWN = 0xfffb, /* above the capacity: shrunk away */
    SLOT_QUARANTINED = 0xfffc,
    SLOT_SHARED = 0xfffd,
    SLOT_ANYONE = 0xfffe,
    SLOT_RETURNED = 0xffff
};

static inline uint64_t slot_word(const struct segment *segment, uint64_t generation, uint32_t owner)
{
    return generation << segment->geometry.index_bits | owner;
}

static inline uint32_t slot_owner_of(uint64_t word)
{
    return (uint32_t)(word & FASTALLOC_OWNER_MASK_);
}

static inline uint64_t slot_generation_of(const struct segment *segment, uint64_t word)
{
    return word >> segment->geometry.index_bits;
}

/* The generation a handle is of. */
static inline uint64_t slot_generation_in(const struct segment *segment, fastalloc_handle handle)
{
    return handle >> segment->geometry.index_bits;
}

/* The same slot and generation, with another owner. */
static inline uint64_t slot_word_with(const struct segment *segment, uint64_t word, uint32_t owner)
{
    return slot_word(segment, slot_generation_of(segment, word), owner);
}

/* The word of the slot a handle is of while `owner` has it. */
static inline uint64_t slot_word_for(const struct segment *segment, fastalloc_handle handle,
                                     uint32_t owner)
{
    return slot_word(segment, slot_generation_in(segment, handle), owner);
}

/* The last generation there is. */
static inline uint64_t slot_generation_last(uint32_t index_bits)
{
    return UINT64_MAX >> index_bits;
}

/* The generation after `generation`: wraps, skipping 0. */
static inline uint64_t slot_generation_next(uint64_t generation, uint32_t index_bits)
{
    return generation >= slot_generation_last(index_bits) ? 1 : generation + 1;
}

/* Any number made into a generation. */
static inline uint64_t slot_generation_within(uint64_t number, uint32_t index_bits)
{
    uint64_t generation = number & slot_generation_last(index_bits);

    return generation ? generation : 1;
}

static inline fastalloc_handle slot_handle(const struct segment *segment, uint64_t word,
                                           uint64_t index)
{
    return slot_word(segment, slot_generation_of(segment, word), 0) | index;
}

/* The handle that was good before the word's generation. */
static inline fastalloc_handle slot_ended_handle(const struct segment *segment, uint64_t word,
                                                 uint64_t index)
{
    uint64_t generation = slot_generation_of(segment, word);
    uint32_t bits = segment->geometry.index_bits;

    return (generation > 1 ? generation - 1 : slot_generation_last(bits)) << bits | index;
}

/* The index in a handle; not bounded. */
static inline uint64_t slot_index(const struct segment *segment, fastalloc_handle handle)
{
    return handle & ((UINT64_C(1) << segment->geometry.index_bits) - 1);
}

/* Whether an owner is a session there could be. */
static inline bool slot_owner_is_session(const struct segment *segment, uint32_t owner)
{
    return owner >= 1 && owner <= segment->geometry.sessions;
}

/* Stores g|me.  The word is idle, and in a magazine of the caller's. */
void slot_take(struct segment *segment, uint64_t index, uint64_t word, uint32_t me);

/* Stores the next generation, idle.  The word is g|me, and the caller has just
 * entered the slot into a magazine of its own. */
void slot_put(struct segment *segment, uint64_t index, uint64_t word);

/* Stores g|0 again: undoes a slot_take() nobody was told of. */
void slot_put_unused(struct segment *segment, uint64_t index, uint64_t word);

/* CAS from never used to first_generation|me.  False: somebody used it. */
bool slot_claim_fresh(struct segment *segment, uint64_t index, uint32_t me);

/* CAS from g|RETURNED to g|me.  False: it is not returned (any more). */
bool slot_claim_returned(struct segment *segment, uint64_t index, uint32_t me);

/* CAS from `word` (a live one) to the next generation, RETURNED.  The caller sets
 * the bitmap's bit next.  False: the word has changed. */
bool slot_return(struct segment *segment, uint64_t index, uint64_t word);

/* CAS from `word` to the same generation with another owner: a session, or one of the reserved
 * ones.  False: the word has changed. */
bool slot_mark(struct segment *segment, uint64_t index, uint64_t word, uint32_t owner);

/* CAS from `word` to the next generation, owned by `me`: *renewed.  False: the word has changed. */
bool slot_renew(struct segment *segment, uint64_t index, uint64_t word, uint32_t me,
                uint64_t *renewed);

/* CAS from `word`, the caller's own live one, a returned one or 0 (never used), to WITHDRAWN; of
 * the next generation if it was live.  False: the word has changed. */
bool slot_withdraw(struct segment *segment, uint64_t index, uint64_t word);

/* Makes `me` the owner of a live slot by CAS, from whichever session has it, or
 * from ANYONE.  *word gets g|me.  Returns 0 (also when it was `me`'s already),
 * FASTALLOC_E_HANDLE, _STALE, or _DOUBLE_FREE: stale by just one free, idle since (where frees
 * decide also by two, as far as the generation tells). */
int slot_own(struct segment *segment, fastalloc_handle handle, uint32_t me, uint64_t *word);

/* Whether frees decide by compare-and-swap who frees: of two that free one handle at once, one
 * does.  In strict pools, and in those where freeing does more than to free. */
bool slot_frees_decide(const struct segment *segment);

/* Begins a free: makes `me` the owner as slot_own() does, and where frees decide, by the same CAS,
 * of the next generation, so that nobody else can free the slot, adopt or pass it on.  *word is
 * its word then.  Returns as slot_own(). */
int slot_end(struct segment *segment, fastalloc_handle handle, uint32_t me, uint64_t *word);

/* CAS from g|from to g|to, for a gift.  Returns as slot_own(); FASTALLOC_E_STALE
 * when `from` does not own the slot. */
int slot_give(struct segment *segment, fastalloc_handle handle, uint32_t from, uint32_t to);

/* What is wrong with a handle, given its slot's word: as slot_own(). */
int slot_diagnose(const struct segment *segment, fastalloc_handle handle);

#endif
