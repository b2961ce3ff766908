/* SPDX-License-Identifier: MIT
 *
 * notes: a word beside each slot (in pools with SPEC_NOTES) for what its slot word has no
 * room for: until when a slot left to anyone or quarantined is kept, and whose it was.
 *
 *   64 bits: turn (9) | inherited (1) | pid (22) | time (32)
 *
 * The time is in tenths of a second of CLOCK_MONOTONIC, NOTES_NEVER: for ever.  Every write
 * adds one to the turn.  A note means something only while its slot is ANYONE or
 * QUARANTINED; or, inherited, while the slot is a session's and of the generation whose low
 * half stands in the place of the time: an inheritance that its heir has not been told of.
 *
 *   mark     1 note read   2 word as expected? else no   3 CAS of the note, lost: from 1
 *            4 CAS of the word   5 next_deadline lowered; before 4 as well, lest who is stopped
 *            after it keeps the slot from expiring
 *            Who comes late, when another has adopted the slot and is leaving it,
 *            loses 3 by the turn, or did it before the other's 1.
 *            Died before 4: the slot is its owner's still, and swept.  Before 5: the sweep
 *            lowers it (notes_remind()).
 *
 *   expire   a next_deadline = scanning, none
 *            b for each ANYONE or QUARANTINED slot: time to come: next_deadline lowered.
 *              Passed: CAS to g+1|RETURNED, bit; but ANYONE by way of g|EXPIRING: the note as
 *              before? else CAS back
 *            c scanning cleared
 *            5 before a: the slot is met in b.  5 after a: it stands.
 *            Died in b: scanning stands, and the next call begins with a; what it finds
 *            EXPIRING it makes ANYONE first, and where it finds RETURNED it sets the bit.
 *
 * EXPIRING, which none can adopt, is for the slot that was adopted, and left again with another
 * deadline, between the look at its note and the CAS.
 */
#ifndef SHM_NOTES_H
#define SHM_NOTES_H

#include "layout.h"

#define NOTES_NEVER 0u
#define NOTES_EXPIRING 0xfffau /* the owner of a slot that the sweeper's role is taking back */

/* A deadline, in ns of CLOCK_MONOTONIC, as a time for notes: never before it.  UINT64_MAX, or
 * farther than there is room for: NOTES_NEVER. */
uint32_t notes_time(uint64_t ns);

/* The time for notes that has come at a moment: those up to it have passed. */
uint32_t notes_clock(uint64_t ns);

static inline uint32_t notes_pid_of(uint64_t note)
{
    return (uint32_t)(note >> 32) & 0x3fffffu;
}

static inline uint32_t notes_time_of(uint64_t note)
{
    return (uint32_t)note;
}

/* Writes a slot's note, then hands the slot, whose word is `word`, to `owner`: ANYONE, QUARANTINED,
 * or a session, who inherits it; `time` is for the first two.  False: the word has changed. */
bool notes_mark(struct segment *segment, uint64_t index, uint64_t word, uint32_t owner,
                uint32_t pid, uint32_t time);

/* For the sweep, on each ANYONE or QUARANTINED slot that it meets: has its time looked to. */
void notes_remind(struct segment *segment, uint64_t index);

/* Leaves a slot of `me` to anyone; `time` is NOTES_NEVER in pools without notes.  Returns 0,
 * FASTALLOC_E_STALE (not its own as well), _SHARING, _HANDLE. */
int notes_leave(struct segment *segment, fastalloc_handle handle, uint32_t me, uint32_t pid,
                uint32_t time);

/* Takes back what has expired at `now` (notes_clock()), with the sweeper's role.  Returns how
 * many; waiters are woken.  Costs a load while nothing can have expired, unless `look`: for
 * who takes the role over from one that may have died in here or in notes_release(). */
uint64_t notes_expire(struct segment *segment, uint32_t now, bool look);

/* When to call it next: the time that has to have come; NOTES_NEVER: not by itself. */
uint32_t notes_next(const struct segment *segment);

/* Releases quarantined slots, with the sweeper's role: that of `handle`, or all with
 * FASTALLOC_NONE.  Returns how many; waiters are woken. */
uint64_t notes_release(struct segment *segment, fastalloc_handle handle);

/* Up to `most` slots of session `heir` that came as an inheritance and that it has not been
 * told of; each is told once.  For the heir. */
size_t notes_inherited(struct segment *segment, uint32_t heir, fastalloc_inheritance *list,
                       size_t most);

#endif
