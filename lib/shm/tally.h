/* SPDX-License-Identifier: MIT
 *
 * tally: the counts behind the statistics: who counts what where, and what is made of it.
 *
 *   an allocation, a free   by a thread with a cache: in its gate, which nobody else writes:
 *                           one plain addition, on the fast path (fastalloc/inline.h) as here.
 *                           Without a cache: in its session's counts, by an atomic one.
 *   an exchange             an allocation past the thread's cache, in its cache's record
 *   a failure, a wait       in the session's counts
 *   a slot swept, a death   in the header, by the holder of the sweeper's role alone
 *
 * Gates and counts go on for ever, whoever has the record: the pool's totals are sums over all
 * of them, less what they were at the last reset; a session's are what they have grown by
 * since it, and its threads, began.  So nothing is ever moved, and no death loses or doubles
 * what was counted.
 *
 * Crash story.  A slot is counted next to the step that makes it somebody's, or nobody's.  Who
 * dies in between leaves one count short by one.  The sweep counts each slot when it has
 * taken it back; so with n deaths inside a call
 *
 *     allocations - frees - reclaimed  differs from the slots in use by n at most.
 *
 * No count ever goes down.  A slot that was taken and given back without anybody's having it
 * (a batch that failed, a function that refused, a look at it by shrinking) counts as an
 * allocation and as a free.
 *
 * The peak.  At each exchange, and at each allocation without a cache, a cheap bound of
 * the slots in use (the bump, less the depots' stocks and the caches) is compared with the
 * peak; what is above it is counted exactly.  Between two exchanges a cache can serve
 * no more than it holds.
 */
#ifndef SHM_TALLY_H
#define SHM_TALLY_H

#include "cache.h"
#include "layout.h"

#include <fastalloc/fastalloc.h>

/* By the thread that the actor is, right after the slot has become its own, or nobody's. */
void tally_alloc(struct segment *segment, const struct actor *actor);
void tally_free(struct segment *segment, const struct actor *actor);
/* Such an allocation went past the thread's cache. */
void tally_exchange(struct segment *segment, const struct actor *actor);

/* An allocation returned an error; began to sleep for a slot. */
void tally_failure(struct segment *segment, uint32_t session);
void tally_wait(struct segment *segment, uint32_t session);

/* Raises the peak to what is in use now, if that is more; unless `exactly`, only if it is more by a
 * small part of the slots.  Costs little where it is not. */
void tally_peak(struct segment *segment, bool exactly);
/* The same, given how many are in use. */
void tally_raise_peak(struct segment *segment, uint64_t usage);

/* With the sweeper's role: a slot was taken back; a session is swept; slots came back `ns`
 * after the death was noticed. */
void tally_reclaim(struct segment *segment);
void tally_death(struct segment *segment);
void tally_reclaim_time(struct segment *segment, uint64_t ns);

/* A session begins, its record not yet live: it has counted nothing. */
void tally_begin_session(struct segment *segment, uint32_t session);
/* Session `session` has a cache no more, whose record is not yet free: what was counted there
 * stays the session's. */
void tally_end_cache(struct segment *segment, uint32_t session, uint32_t cache);

/* Fills in the pool's statistics; works on a read-only mapping, and whatever is there.  The
 * name is the header's. */
void tally_read(const struct segment *segment, fastalloc_stats *stats);

/* One session's.  False when there is none of that number. */
bool tally_read_session(const struct segment *segment, uint32_t session, fastalloc_stats *stats);

/* Counts anew from here; the peak becomes what is in use. */
void tally_reset(struct segment *segment);

#endif
