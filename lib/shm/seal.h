/* SPDX-License-Identifier: MIT
 *
 * seal: ending all allocations of a pool for a time, and proof that nothing is left.
 *
 * header.seals counts; odd means sealed (segment_state() says POOL_SEALED then).
 *
 *   seal     1 seals: CAS from even to odd; waiters woken
 *            2 every cache in use marked (room 0); every processor passes a barrier
 *            3 each cache seen not busy, once
 *   unseal     seals: CAS from odd to even
 *   drain    4 each slot seen in nobody's hands, once, in whatever order
 *            5 seals is still what 1 made it: the pool is empty
 *
 *   allocating, the slow way   a word = g|me (supply.c)   b seals?  odd: returned, refused
 *   allocating, the fast way   busy, marked?, word = g|me, not busy (inline.h): looks at no seal
 *
 * Why no allocation that begins after 3 succeeds.  The fast way: 2 marks the gate.  Its owner sees
 * that at its next entry and goes the slow way; if it was inside at the barrier, 3 waits for
 * it.  The mark is cleared in slow calls only, and each of these at its end looks at the seal
 * before it opens the thread's lane: seals is written before the mark, and read after
 * the mark is cleared.  A cache that is claimed too late for 2 is claimed after 1, and its lane
 * stays shut likewise.  The slow way: b comes after 1.
 *
 * Why 5 is proof.  What the fast way got was there at 3, before 4.  Of the slow way's a and b,
 * and of 1 and 4, each side writes and then reads what the other wrote: either b sees the
 * seal, or 4 sees the slot.  What orders a before b: who has a cache, the barrier in 2; who has
 * none, that a is a compare-and-swap or is followed by the depot's.  A slot in somebody's hands
 * stays so, word by word, until it is freed; and one that was once seen free under the
 * seal can only be on its way between magazines, or be returned at b.  That is why one look at
 * each slot will do, and why seals is a count: sealed, opened and sealed again is not the
 * same seal.
 *
 * Died after 1, or after part of 2: the pool is sealed; threads that have not been marked go on
 * with what is in their caches until they come by the slow way, or the sweep of the dead marks
 * them (seal_spread()).  Nobody has been told that the pool is quiet: whoever else seals it does
 * all three steps.  After that: there is nothing to mend.
 */
#ifndef SHM_SEAL_H
#define SHM_SEAL_H

#include "layout.h"

/* Step 1.  Returns the count, for seal_holds(): also of a seal that was there before. */
uint32_t seal_close(struct segment *segment);

/* Step 2.  False when the kernel refuses the barrier. */
bool seal_mark(struct segment *segment);

/* Step 3, without waiting: goes on from *cache, 0 at first, while caches are not busy.  False:
 * *cache is busy. */
bool seal_is_quiet(const struct segment *segment, uint32_t *cache);

/* Step 4, without waiting: goes on from *slot, 0 at first, while slots are in nobody's hands.
 * False: *slot is in somebody's. */
bool seal_is_empty(const struct segment *segment, uint64_t *slot);

/* Step 5. */
bool seal_holds(const struct segment *segment, uint32_t count);

void seal_open(struct segment *segment);

/* For sweeps: the marks of 2, where the pool is sealed. */
void seal_spread(struct segment *segment);

/* b. */
static inline bool seal_is_closed(const struct segment *segment)
{
    return shm_load_ordered(&segment->header->seals) & 1;
}

#endif
