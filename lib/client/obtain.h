/* SPDX-License-Identifier: MIT
 *
 * obtain: one allocation that does not wait for others to free: from what there is, and
 * where the pool can grow, from more.
 */
#ifndef CLIENT_OBTAIN_H
#define CLIENT_OBTAIN_H

#include "shm/cache.h"
#include "shm/reason.h"

#include <fastalloc/fastalloc.h>
#include <stdbool.h>
#include <stdint.h>

struct urgency {
    uint64_t patience_us; /* with what stands behind a stopped thread, in a pool that cannot grow */
    uint64_t deadline;    /* for the daemon's answer: ns of CLOCK_MONOTONIC */
    bool once;            /* does not look for a daemon that is gone */
};

/* Allocates a slot; *word is its live word.  Returns 0, FASTALLOC_E_EXHAUSTED, or
 * _MAX_CAPACITY in a pool that grows, FASTALLOC_E_STALLED, _SEALED, _DESTROYED, _POISONED; or
 * why the pool could not grow, and only then why->code is not 0: FASTALLOC_E_NO_MEMORY, _NO_DAEMON,
 * _TIMEOUT, or whatever else the daemon says. */
int obtain_slot(fastalloc_pool *pool, const struct actor *actor, const struct urgency *urgency,
                uint64_t *index, uint64_t *word, struct reason *why);

#endif
