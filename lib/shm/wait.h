/* SPDX-License-Identifier: MIT
 *
 * wait: sleeping until a slot may be free, and waking who sleeps.
 *
 * The free epoch is a futex word that counts.  `waiters` says in its lowest bit whether
 * somebody may be asleep; the rest counts who began to wait, and is never set back.  The waiter
 * pays, not the free:
 *
 *   waiter   1 e = epoch; waiters: counted up, and the bit set, in one
 *            2 marks every cache's gate, has every processor pass a barrier, and looks
 *              everywhere (supply.h, revoke.h)
 *            3 found proof that nothing is idle: sleeps while epoch is e
 *   free     a puts the slot somewhere
 *            b w = waiters; the bit is set: epoch + 1, wakes all
 *            c clears the bit, if waiters is still w
 *
 * No wake-up is lost.  A thread whose gate was marked goes the slow way at its next entry,
 * and stays on it while the bit is set (its lane is shut at the end of each slow call), so
 * it does b after a.  One that was inside its gate when the barrier passed is waited for
 * by 2, and its slot found there.  One without a gate does a by compare-and-swap and then b:
 * either it sees the waiter, or the waiter's look comes after its slot was there.  Who counts
 * `waiters` up between b and c has noted either the old epoch, and does not sleep, or
 * the new one, and then c leaves his bit standing: w comes back only after 2^31 waits.
 *
 * A waiter who is killed leaves the bit: the next free clears it, with one system call.  A
 * freer who is killed between a and c leaves it as well, to the next free or to its own sweep,
 * which wakes before it is over.  All are woken at each free, so that nobody depends
 * on another who may die; who gets nothing begins at 1.  Growth and destruction wake in the
 * same way.
 */
#ifndef SHM_WAIT_H
#define SHM_WAIT_H

#include "layout.h"

#define WAIT_SOMEBODY 1u

/* Step 1.  Returns the epoch. */
uint32_t wait_begin(struct segment *segment);

/* Step 3: until the epoch is another, or `deadline` (ns of CLOCK_MONOTONIC, UINT64_MAX: never)
 * has passed, or a signal came.  False when the deadline has passed. */
bool wait_sleep(struct segment *segment, uint32_t epoch, uint64_t deadline);

/* b.  Costs a load while nobody waits. */
void wait_wake(struct segment *segment);

/* Whether somebody may be asleep. */
static inline bool wait_anybody(const struct segment *segment)
{
    return shm_load_ordered(&segment->header->waiters) & WAIT_SOMEBODY;
}

/* Any futex word in a segment: sleeps while it is `seen`, wakes all who do. */
bool wait_on(uint32_t *word, uint32_t seen, uint64_t deadline);
void wait_wake_all(uint32_t *word);

/* Now, in ns of CLOCK_MONOTONIC. */
uint64_t wait_now(void);

#endif
