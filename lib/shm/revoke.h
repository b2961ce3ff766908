/* SPDX-License-Identifier: MIT
 *
 * revoke: taking free slots out of other threads' caches, so that EXHAUSTED
 * means what it says.
 *
 * The thief
 *   1. notes how many works on the bitmap every session has ended, and the sweeper's role
 *      (sweeps and the like), and of every cache its gate's epoch and its moves, and sets
 *      the mark (room 0) in those in use;
 *   2. has every processor that runs an attached process pass a barrier: from
 *      here on each owner either was busy before, and still shows it, or sees
 *      the mark at its next entry;
 *   3. looks at the ordinary sources once more (supply.c), every depot under its
 *      lock, since slots may have gone there;
 *   4. looks at every cache.  One that is quiet (not busy) and has entries: takes
 *      a magazine, by reading what the cache noted of it, then checking that
 *      the gate's epoch is as it was, then CASing the magazine's word from what
 *      was noted to its own.  One that is busy: comes back to it, a bounded time;
 *   5. has found all of them empty: checks that every magazine a session owns lies
 *      in a cache (else its holder is, or died, between a depot and a cache), that no
 *      session is in its sweep, that no more works on the bitmap were *begun* than were ended
 *      in 1 (else a slot that was RETURNED before 1 may have got its bit after 3), and
 *      that no cache has moved.  If so, no slot was idle throughout: EXHAUSTED.  If not,
 *      begins again.
 *
 * An owner who is awake is too quick for step 4: it clears the mark at its next
 * entry, nanoseconds later.  So whoever finds itself marked gives its cache
 * to the depot (supply.c), where the thief's next round finds it.
 *
 * Why 5 is proof.  Let a slot be idle throughout.  It lay in depots, the bitmap, the
 * never used, or caches, and wherever the thief looked it was not, so it
 * moved.  Every move into or out of a cache is announced before it happens, in
 * the moves of a cache concerned (cache_moves(); a thief's, in his victim's), and is
 * made by somebody who is busy in his gate or holds a depot's lock.  An announcement after
 * step 1 changes the moves noted.  One before step 1 belongs to a move finished
 * before the thief saw that gate not busy, or had that depot's lock: hence before he
 * looked there.  A slot that stays in a cache keeps the count above 0 whatever
 * its owner does meanwhile, since entries are a stack: so a count of 0, even read
 * in passing, is proof for that magazine.
 *
 * What pairs with what: the owner stores busy, then loads room; the thief
 * stores room 0, then (membarrier) loads busy.  The owner's side is a compiler
 * barrier only; the thief's membarrier makes it a full one where it matters.
 *
 * The thief is never busy while he waits, so that two thieves after each other's
 * caches both get on.
 */
#ifndef SHM_REVOKE_H
#define SHM_REVOKE_H

#include "cache.h"
#include "layout.h"

/* Registers this process for the barrier: once, and again after exec.  False
 * when the kernel refuses; then its threads must not have caches. */
bool revoke_register(void);

/* Has every processor that runs an attached process pass a barrier.  False when the kernel
 * refuses. */
bool revoke_barrier(void);

struct revoke_note {
    uint64_t epoch, moves;
};

/* A round's notes. */
struct revocation {
    struct revoke_note *notes; /* for each cache record */
    uint32_t *works;           /* for each session, ended on the bitmap */
    uint32_t swept;            /* the role's works that were ended */
};

/* Steps 1 and 2.  False without memory or barrier. */
bool revoke_begin(struct segment *segment, const struct actor *actor,
                  struct revocation *revocation);
void revoke_end(struct revocation *revocation);

enum revoke_result {
    REVOKE_TOOK,  /* *magazine is the actor's session's, its word *word */
    REVOKE_NONE,  /* proof: no slot was idle throughout */
    REVOKE_AGAIN, /* something moved: begin again */
    REVOKE_BUSY   /* nothing yet, but an owner is busy: come back to step 3 */
};

/* Steps 4 and 5, once, without waiting.  The caller holds its depot's lock, to place
 * what is taken, and is busy if it has a gate. */
enum revoke_result revoke_take(struct segment *segment, const struct actor *actor,
                               const struct revocation *revocation, uint32_t *magazine,
                               uint64_t *word);

#endif
