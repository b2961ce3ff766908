/* SPDX-License-Identifier: MIT
 *
 * stages: what has been done to each slot's object, in pools with FASTALLOC_LIFECYCLE or
 * FASTALLOC_ZERO_ON_FREE: a byte a slot, of three bits.
 *
 *                    INITIALISED  USED  HELD
 *   new                   -        -     -    what memory is when it comes
 *   ready                 +        -     -    initialised ahead of its first use
 *   in use                +        +     +
 *   released              +        +     -
 *   refused, wiped, ...                       each bit says what it says, and no more
 *
 * Whose slot word it is writes the byte, and nobody else: so plain stores do, and they are
 * ordered by what orders the slot word.  No sweep touches it.  A slot that a death took from its
 * owner says HELD to the next: whoever had it never released it.
 *
 * Growing over slots that were shrunk away gives them other memory.  They are WITHDRAWN, above
 * the capacity, until it is published, and so the holder of the sweeper's role writes their
 * bytes before that (growth.c): died in between, it is done again.
 *
 * Each bit changes where a death on either side of the store leaves the truth:
 *
 *   acquire   USED is set before anybody can write into the object where that is wiped after
 *             use, HELD when it is made ready, INITIALISED when that is done
 *   release   HELD goes when on_release has returned; then the object is wiped, and only then
 *             INITIALISED and USED go
 */
#ifndef SHM_STAGES_H
#define SHM_STAGES_H

#include "layout.h"

#define STAGE_NEW 0u
#define STAGE_INITIALISED 1u /* what `initialize` did is there */
#define STAGE_USED 2u        /* somebody had it since it was initialised, or wiped */
#define STAGE_HELD 4u        /* who had it last has not released it */
#define STAGE_READY STAGE_INITIALISED
#define STAGE_IN_USE (STAGE_INITIALISED | STAGE_USED | STAGE_HELD)
#define STAGE_RELEASED (STAGE_INITIALISED | STAGE_USED)

/* A slot's stage; STAGE_NEW in pools that have none. */
uint32_t stages_of(const struct segment *segment, uint64_t index);

/* The slot is the caller's; the pool has stages. */
void stages_set(struct segment *segment, uint64_t index, uint32_t stage);

/* Whether what was in the object has to go before it is given out. */
bool stages_owe_wiping(const struct segment *segment, uint32_t stage);

/* Zeroes the object, and says so.  The slot is the caller's; in any pool. */
void stages_wipe(struct segment *segment, uint64_t index);

/* Ends a use of a slot that is the caller's, in two steps: on_release has returned; and the object
 * is wiped, where that is asked for.  The second does the first too, where nobody has. */
void stages_end_hold(struct segment *segment, uint64_t index);
void stages_release(struct segment *segment, uint64_t index);

/* The slots of [from, to) get other memory: the sweeper's role, before they can be had. */
void stages_renew(struct segment *segment, uint64_t from, uint64_t to);

#endif
