/* SPDX-License-Identifier: MIT
 *
 * growth: a pool's capacity, up and down.
 *
 * The table is laid out for the maximum; `published` says how many slots there are now,
 * `reserved` how many there ever were, whose words and magazines have memory.  Both are
 * written by the holder of the sweeper's role alone (the daemon; in a local pool the
 * client that asks).
 *
 *   grow     1 memory reserved (geometry_extents())   died: more memory than needed, which
 *                                                     re-adoption gives back
 *            2 manifest                               died: re-adoption begins at 1 again
 *            3 reserved, stages of slots that come    the new slots are there: words of zero,
 *              back, then published                   never used, or WITHDRAWN
 *            4 WITHDRAWN below published -> RETURNED  died: done by the next sweep or
 *                                                     re-adoption
 *            5 free epoch, waiters woken
 *
 *   shrink   a client withdraws idle slots at the top (growth_withdraw()): they go through
 *            its hands, so a death leaves them to its sweep; or are WITHDRAWN
 *            already, and the same sweep takes them back.
 *            1 published, as far down as all are WITHDRAWN   died: grown again by re-adoption
 *            2 WITHDRAWN below it -> RETURNED         died: as in 4
 *            3 manifest, then the memory of objects   words stay, so that stale handles do
 *              above it is given back
 *
 * 1 before 3, or a slot could be had whose memory is not there.  3 before 4, or a slot could
 * be had above the capacity.  Only the role's holder turns WITHDRAWN into
 * RETURNED, so nothing changes above `published` while it goes down.
 */
#ifndef SHM_GROWTH_H
#define SHM_GROWTH_H

#include "cache.h"
#include "layout.h"

/* Step 3 to 5 of growing.  The memory is reserved; `capacity` is at most the maximum.  With what
 * there is already, or less: mends what an earlier holder of the role left half done.  One
 * pass over the slot words. */
void growth_publish(struct segment *segment, uint64_t capacity);

/* Steps 1 and 2 of shrinking.  Returns the capacity now: at least `target` and 1, and not
 * below a slot that is not withdrawn. */
uint64_t growth_retreat(struct segment *segment, uint64_t target);

/* Withdraws what idle slots there are from `target` on, out of depots, bitmap, caches and
 * never used.  The calling thread's, like an allocation.  What it withdraws may come back: so until
 * growth_end_withdrawing(), when the role's holder has answered, nobody finds proof that
 * nothing is idle. */
void growth_withdraw(struct segment *segment, const struct actor *actor, uint64_t target);
void growth_end_withdrawing(struct segment *segment, const struct actor *actor);

/* Whether somebody should ask for more slots ahead of need, and the caller is to do it: idle
 * slots outside the caches are below `low_water`, and nobody else has asked at this capacity. */
bool growth_is_due(struct segment *segment, uint64_t low_water);

#endif
