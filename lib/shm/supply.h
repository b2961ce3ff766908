/* SPDX-License-Identifier: MIT
 *
 * supply: what alloc and free do when the loaded magazine cannot serve.
 *
 * Order of resort of an allocation: the previous magazine, the own depot, the
 * other depots, slots never used, returned slots, depots that were locked (waiting a
 * moment), other threads' caches (revoke.h).  Of a free: the previous magazine, an empty one from a
 * depot or never used, and last the return bitmap: a free never fails for want of room
 * and never waits.
 *
 * A thread without a cache (a pool too small for magazines, more threads than
 * records) works from the same sources one slot at a time: returned slots,
 * slots never used, and a depot's magazine that it owns while it holds the lock, so that
 * a death leaves it to the sweep as any other.
 */
#ifndef SHM_SUPPLY_H
#define SHM_SUPPLY_H

#include "cache.h"
#include "layout.h"

/* Allocates a slot; *word is its live word.  Returns 0, FASTALLOC_E_EXHAUSTED,
 * FASTALLOC_E_STALLED (after `patience_us`, SUPPLY_PATIENCE_US at most; 0: one look everywhere),
 * FASTALLOC_E_SEALED or FASTALLOC_E_POISONED. */
int supply_alloc(struct segment *segment, const struct actor *actor, uint64_t patience_us,
                 uint64_t *index, uint64_t *word);

/* The same of what a depot has for the taking, for an actor whose cache is empty.  False: nothing;
 * supply_alloc() says why. */
bool supply_exchange(struct segment *segment, const struct actor *actor, uint64_t *index,
                     uint64_t *word);

/* Frees a slot whose word `word` is live and the actor's.  While somebody waits it goes past
 * the cache, and wakes him. */
void supply_free(struct segment *segment, const struct actor *actor, uint64_t index, uint64_t word);

/* The bound of an allocation that finds everything it could try stopped. */
#define SUPPLY_PATIENCE_US 200000

#endif
