/* SPDX-License-Identifier: MIT
 *
 * wait: an allocation that waits for a slot.
 */
#ifndef CLIENT_WAIT_H
#define CLIENT_WAIT_H

#include "shm/cache.h"

#include <fastalloc/fastalloc.h>
#include <stdint.h>

struct waiting {
    uint64_t deadline;    /* ns of CLOCK_MONOTONIC, FASTALLOC_FOREVER */
    const uint32_t *stop; /* NULL, or not 0 when it is to end; whoever sets it wakes
                             waiters after that */
};

/* Allocates a slot, waiting for one; *word is its live word.  Returns 0; FASTALLOC_E_BUSY when
 * somebody tries to close the pool, or it is to stop; FASTALLOC_E_SEALED, _DESTROYED, _POISONED;
 * or when the deadline has passed what an allocation said then: whether that is what it was
 * tells wait_is_for(). */
int wait_for_slot(fastalloc_pool *pool, const struct actor *actor, const struct waiting *waiting,
                  uint64_t *index, uint64_t *word);

/* Whether an allocation's error passes with time. */
bool wait_is_for(int error);

#endif
