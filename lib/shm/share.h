/* SPDX-License-Identifier: MIT
 *
 * share: slots that several sessions hold.
 *
 * The slot's word says g|SHARED, and a row of bits beside the slot says which sessions hold
 * it.  A session's bit is written by that session's process (one thread at a time: the
 * caller sees to that) and after its death by its sweep, and by nobody else.  How many
 * references a process has is its own affair; here it holds the slot or does not.
 *
 * Who takes his bit out of a row and finds it empty *closes* the slot: its word says
 * g|CLOSING+session while he looks again.  Nobody but that session, or its sweep, writes
 * such a word.
 *
 *   share   1 own bit set   2 CAS g|me -> g|SHARED.  Lost: let go
 *   ref     1 word g|SHARED or g|CLOSING? else no   2 own bit set   3 word g|SHARED: done;
 *           g|CLOSING+x: CAS to g|SHARED: done; else let go
 *   let go  1 own bit cleared
 *           2 the word is SHARED (of whichever generation) and the row empty? else done
 *           3 CAS g|SHARED -> g|CLOSING+me; lost: from 2
 *           4 row still empty? else CAS back to g|SHARED, and from 2
 *           5 CAS g|CLOSING+me -> g+1|me: it was the last hold.  Lost: from 2
 *   sweep   of session s, for each slot: as let go, beginning at 4 where the word is
 *           g|CLOSING+s; 5 is CAS to g|s: a slot of the dead session's, dealt with as any
 *
 * Why nobody frees what another holds.  A holder's bit stands from before his look at the
 * word in ref 3 until he lets go.  ref 2, 3 and let go 3, 4 each write, then read what the
 * other wrote, all sequentially consistent: so either the joiner finds the slot closing (and
 * opens it again, upon which 5 is lost) or next generation's, or 4 sees his bit.  The row
 * has several words, and no look takes it in at once: the look in 2 may miss a holder, the one
 * in 4 cannot, since nobody becomes a holder while the word says CLOSING.  That it has said so
 * from 3 to 5 is what 5 proves: g|CLOSING+me, once changed by others, comes back by me
 * alone.
 *
 * Why no slot is left SHARED with an empty row.  Each who clears a bit looks at the word
 * after it.  SHARED: he looks at the row; of two who clear at once, the later sees both
 * cleared.  CLOSING+x: x has looks at the row before him, perhaps seen his bit, and
 * goes back to 2 for it.  x is dead: his sweep is to come, and does.
 *
 * A joiner who is slow may set his bit when the slot was freed meanwhile, or is shared again
 * in a later generation: step 3 of ref tells him, and what he lets go of is that
 * slot as it is by then.  Until he does it counts him as a holder.  So the duty of the
 * last can fall to one who never had the slot: share_make() and share_join() then give the
 * slot back themselves, or have their caller do so.
 *
 * Died in share, after 1: the bit goes with the sweep, the slot is the session's.  In ref after
 * 2: a bit, taken out by the sweep like any hold.  In let go after 1: a slot SHARED, its row empty:
 * the sweep of the session closes any that it finds so, whoever was about to (he loses 3).  After
 * 3: sweep, at 4.  After 5: a slot of the session's.  The sweeper, anywhere: the next begins
 * again.
 */
#ifndef SHM_SHARE_H
#define SHM_SHARE_H

#include "layout.h"
#include "slot.h"

#define SHARE_CLOSING 0x8000u /* + session: the owners of closing slots */

/* The session that is closing a slot of that owner; 0 if none is. */
static inline uint32_t share_closer(const struct segment *segment, uint32_t owner)
{
    uint32_t session = owner - SHARE_CLOSING;

    return segment->holders && owner > SHARE_CLOSING && slot_owner_is_session(segment, session)
               ? session
               : 0;
}

/* Shares a slot of `me`, who is its first holder.  Returns 0, FASTALLOC_E_STALE (not its own
 * as well), _HANDLE, or _SHARING: it is shared already.
 *
 * Where the duty of the last fell to `me` and `fallen` is not NULL, *fallen is the slot's word,
 * as share_drop() gives it, and the caller frees the slot; else it is left as it is.  With NULL
 * the slot is given back here. */
int share_make(struct segment *segment, fastalloc_handle handle, uint32_t me, uint64_t *fallen);

/* Makes `me`, who does not hold it, a holder.  Returns 0, FASTALLOC_E_STALE, _HANDLE, or
 * _SHARING: the slot is live, but not shared.  `fallen` as in share_make().  Waits for nobody. */
int share_join(struct segment *segment, fastalloc_handle handle, uint32_t me, uint64_t *fallen);

/* Ends `me`'s hold on a slot.  True when it was the last: *word is the slot's word, `me`'s
 * and of a generation that nobody has a handle of, to be freed by the caller. */
bool share_drop(struct segment *segment, uint64_t index, uint32_t me, uint64_t *word);

/* What to say to who is no holder: FASTALLOC_E_SHARING when the slot is live, shared or not;
 * else FASTALLOC_E_STALE, _HANDLE. */
int share_refuse(const struct segment *segment, fastalloc_handle handle);

/* For the sweep of a dead session, on each slot below segment_reserved(), whatever it is:
 * ends its hold on it.  True when it is shared among others: nothing more to do.  False: *word
 * is the slot's word by now, the session's if its hold was the last. */
bool share_sweep(struct segment *segment, uint64_t index, uint32_t session, uint64_t *word);

/* Whether nobody holds the slot. */
bool share_is_empty(const struct segment *segment, uint64_t index);

/* Whether a session's bit is set. */
bool share_has(const struct segment *segment, uint64_t index, uint32_t session);

/* How many sessions hold it. */
uint32_t share_count(const struct segment *segment, uint64_t index);

#endif
