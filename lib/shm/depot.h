/* SPDX-License-Identifier: MIT
 *
 * depot: stocks of magazines that threads exchange, each under a robust mutex.
 *
 * A depot has three lists: full, partial and empty magazines.  The lists are
 * derived; the truth is the magazine words, whose owner says which depot has
 * each.  So repair after a holder's death (LOCK_DIED), or after a sweep handed
 * magazines over without the lock (dirty), is one act: forget the lists and link every magazine
 * whose word names this depot.  It is idempotent: a repairer who dies leaves the
 * lock owned by the dead again, or the depot dirty... and the next one begins anew.
 *
 * Orders, each step one store (the caller is `busy` in its gate, see cache.h):
 *
 *   take   unlink; count = n; word = me.  Died before the word: the depot's
 *          still, relinked by the rebuild.  After it: the dead session's,
 *          handed back by its sweep.
 *   give   word = depot|n; link.  Died between: relinked by the rebuild.
 *   rebuild  dirty = 0; lists = nil; link all; only then mend the lock.  A sweep
 *          that hands over during the pass sets dirty after its CAS: the next
 *          locker sees it.
 *
 * Lock order: a thread holds one depot at a time, and no other lock inside.
 */
#ifndef SHM_DEPOT_H
#define SHM_DEPOT_H

#include "layout.h"
#include "lock.h"

/* Locks depot `d`, repairing what it finds.  With `deadline` NULL does not wait.
 * LOCK_TAKEN, LOCK_BUSY or LOCK_LOST. */
enum lock_result depot_lock(struct segment *segment, uint32_t d, const struct timespec *deadline);
void depot_unlock(struct segment *segment, uint32_t d);

/* Whether it is worth locking: it has stock, or its lists are out of date.
 * Read without the lock: a hint. */
bool depot_has_stock(const struct segment *segment, uint32_t d);
bool depot_has_room(const struct segment *segment, uint32_t d);

/* How many idle slots its lists have.  A hint. */
uint64_t depot_stock(const struct segment *segment, uint32_t d);

/* With the lock held.  Take a magazine for `me`, its count set: one with entries
 * (partial before full, so that partial ones become empty), or one with room
 * (empty before partial).  False when there is none. */
bool depot_take_stock_locked(struct segment *segment, uint32_t d, uint32_t me, uint32_t *magazine,
                             uint64_t *word);
bool depot_take_room_locked(struct segment *segment, uint32_t d, uint32_t me, uint32_t *magazine,
                            uint64_t *word);

/* With the lock held.  Gives a magazine, whose word is `word` and the caller's,
 * to the depot with the entries its count says.  Nothing happens when it is no
 * longer the caller's. */
void depot_give_locked(struct segment *segment, uint32_t d, uint32_t magazine, uint64_t word);

/* With the lock held.  Takes just this magazine for `me`, its count set, out of the middle of its
 * list, and puts it back; the lists are out of date from then on (dirty), and rebuilt by the next
 * locker.  False when the depot does not have it. */
bool depot_pick_locked(struct segment *segment, uint32_t d, uint32_t magazine, uint32_t me,
                       uint64_t *word);
void depot_put_back_locked(struct segment *segment, uint32_t d, uint32_t magazine, uint64_t word);

#endif
