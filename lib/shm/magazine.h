/* SPDX-License-Identifier: MIT
 *
 * magazine: the magazine word, and moving slots in and out of a magazine one
 * owns.  (After Bonwick and Adams, "Magazines and Vmem", USENIX 2001.)
 *
 *   64 bits: epoch (32) | n (16) | owner (16)
 *
 * The owner is a session or a depot.  While a depot owns a magazine its count
 * is `n`; while a session does, the count is the plain word before the entries,
 * and n is 0.  Zero: never used.  Every change of owner is a CAS that bumps the
 * epoch, so that somebody who read the word before cannot mistake a later
 * ownership for the one he saw; threads of one session tell theirs apart by the
 * word they noted when they took it.  An epoch comes round after 2^32 changes: a word
 * noted that long ago by a sleeper is mistaken only if it returns at just that one.
 */
#ifndef SHM_MAGAZINE_H
#define SHM_MAGAZINE_H

#include "layout.h"
#include "slot.h"

#define MAGAZINE_DEPOT_BASE 0xff00u /* owner of depot d is this + d */

static inline uint32_t magazine_owner(uint64_t word)
{
    return (uint32_t)(word & 0xffffu);
}

static inline uint32_t magazine_n(uint64_t word)
{
    return (uint32_t)(word >> 16 & 0xffffu);
}

/* The word after `word` with another owner. */
static inline uint64_t magazine_next_word(uint64_t word, uint32_t owner, uint32_t n)
{
    return ((word >> 32) + 1) << 32 | (uint64_t)n << 16 | owner;
}

/* The magazine's words: [0] the count, [1..magazine_size] the entries. */
static inline uint32_t *magazine_at(const struct segment *segment, uint32_t magazine)
{
    return segment->magazines + (uint64_t)magazine * (segment->geometry.magazine_size + 1);
}

/* The plain count, bounded. */
static inline uint32_t magazine_count(const struct segment *segment, uint32_t magazine)
{
    uint32_t count = shm_load(magazine_at(segment, magazine));

    return count < segment->geometry.magazine_size ? count : segment->geometry.magazine_size;
}

/* Changes the owner from what `*word` says; *word becomes the new word.  False, with
 * *word what is there instead, when somebody else did first. */
static inline bool magazine_pass(struct segment *segment, uint32_t magazine, uint64_t *word,
                                 uint32_t owner, uint32_t n)
{
    uint64_t next = magazine_next_word(*word, owner, n);

    if (!shm_cas(&segment->magazine_words[magazine], word, next))
        return false;
    *word = next;
    return true;
}

/* The count without the top entries whose slot has an owner, or that are no
 * index: what a death in alloc or free left behind.  Writes nothing. */
uint32_t magazine_trimmed(const struct segment *segment, uint32_t magazine, uint32_t count);

/* Takes a slot out for `me`: word, then count, as in fastalloc/inline.h.  Entries whose slot has
 * an owner are dropped.  False when the magazine is empty. */
bool magazine_pop(struct segment *segment, uint32_t magazine, uint32_t me, uint64_t *index);

/* Puts a slot in: entry, count, word.  `fresh` keeps the generation (nobody was
 * told of it).  The magazine is the caller's and not full; the slot's word `word`
 * is the caller's, live. */
void magazine_push(struct segment *segment, uint32_t magazine, uint64_t index, uint64_t word,
                   bool fresh);

/* Takes a magazine never used for `me`, empty.  False when there is none. */
bool magazine_fresh(struct segment *segment, uint32_t me, uint32_t *magazine, uint64_t *word);

#endif
