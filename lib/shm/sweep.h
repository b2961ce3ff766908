/* SPDX-License-Identifier: MIT
 *
 * sweep: what becomes of a dead session's slots and magazines.
 *
 * Takes no lock, follows no link, bounds every index: the daemon calls it on
 * memory that clients can write.  At most one sweeper works on a segment at a
 * time (the role is a lock on the segment's file, see os/fence.h).  A sweeper
 * may die anywhere; the next one calls it again and it comes out the same.
 */
#ifndef SHM_SWEEP_H
#define SHM_SWEEP_H

#include "layout.h"

/* What becomes of the dead session's slots: as in a pool's spec.  All zero: reclaimed. */
struct sweep_policy {
    uint32_t on_death, quarantine_ms;
};

struct sweep_result {
    uint64_t slots;     /* taken back from the dead session */
    uint64_t kept;      /* quarantined, or handed to the heir */
    uint64_t magazines; /* handed to a depot */
    uint64_t caches;    /* records freed */
};

/* Sweeps a session that cannot touch the segment any more (its fence is open).
 * Its state becomes DYING, then RETIRED.  Wakes waiters, and the heir.  Costs one
 * pass over the magazine words and one over the slot words: about a millisecond for a million
 * slots. */
void sweep_session(struct segment *segment, uint32_t session, const struct sweep_policy *policy,
                   struct sweep_result *result);

#endif
