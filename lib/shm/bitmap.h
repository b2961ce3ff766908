/* SPDX-License-Identifier: MIT
 *
 * bitmap: the return bitmap, which finds the slots whose word says RETURNED.
 * Derived: the slot words are the truth.  A tree of 64-bit words; a set bit above
 * says that the word below may have one.  Lock-free, and the resort of a free
 * that can reach no magazine.
 *
 * Orders.  Returning: the slot's word first, then the bit.  Taking: the word
 * first, then the bit is cleared.  So a returned slot can be without its bit for
 * two reasons only: its returner is between the two, or a taker between clearing a
 * bit and looking again; or they died there, and the sweep of that session sets the
 * bit of every returned slot it meets.  Both therefore say in their session's record
 * that they have begun such work, and that they have ended it (bitmap_begin()), for a
 * thief who needs proof that the bitmap hides nothing (revoke.h).  A bit without
 * a returned slot is harmless: whoever meets it clears it, looks again at
 * the word, and sets it again if the slot is returned by now.
 *
 * Between levels the same: the child is set before the parent; a parent is
 * cleared, then the child looked at again, and the parent set again if it is
 * not empty.  Setting: write child, read parent.  Clearing: write parent, read child.
 * Both sequentially consistent, so at least one sees the other's write.
 */
#ifndef SHM_BITMAP_H
#define SHM_BITMAP_H

#include "layout.h"

#define BITMAP_NONE UINT64_MAX

/* Round returning a slot (word and bit) or taking one. */
void bitmap_begin(struct segment *segment, uint32_t session);
void bitmap_end(struct segment *segment, uint32_t session);

/* The same for the holder of the sweeper's role, round all that he does: sweeps, growth, expiry.
 * If he dies meanwhile, the next who holds it does over again what he was at, and then ends it. */
void bitmap_begin_role(struct segment *segment);
void bitmap_end_role(struct segment *segment);

/* Sets a slot's bit and all above it. */
void bitmap_set(struct segment *segment, uint64_t index);

/* Clears a slot's bit, and those above that have nothing left below them; sets
 * it again if the slot's word says RETURNED. */
void bitmap_clear(struct segment *segment, uint64_t index);

/* Whether a slot's bit is set. */
bool bitmap_has(const struct segment *segment, uint64_t index);

/* Some slot whose bit is set, or BITMAP_NONE.  `turn` chooses where to begin, so
 * that many who look do not all find the same. */
uint64_t bitmap_find(struct segment *segment, uint64_t turn);

/* How many slots the tree leads to.  Of what is being set or cleared, or was left half done by a
 * death, some may be missing. */
uint64_t bitmap_count(const struct segment *segment);

/* Whether no bit is set. */
bool bitmap_is_empty(const struct segment *segment);

/* Returns a slot whose word is `word`: word, then bit.  False, and nothing happens, when
 * the word has changed. */
bool bitmap_return(struct segment *segment, uint32_t me, uint64_t index, uint64_t word);

/* Takes a returned slot for `me`: word, then bit.  BITMAP_NONE if there is none. */
uint64_t bitmap_take(struct segment *segment, uint32_t me, uint64_t turn);

#endif
