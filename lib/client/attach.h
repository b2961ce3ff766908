/* SPDX-License-Identifier: MIT
 *
 * attach: from a descriptor to a pool: mapping, validating, and in a forked child
 * doing it again over the same addresses.
 */
#ifndef CLIENT_ATTACH_H
#define CLIENT_ATTACH_H

#include "pool.h"

/* Maps `bytes` of `descriptor`, validates the segment, which must have just that size, and
 * claims it for this PID namespace.  The descriptor stays the caller's.  Returns 0 or
 * FASTALLOC_E_VERSION, _POISONED, _NAMESPACE, _NO_MEMORY, _SYSTEM. */
int attach_map(int descriptor, uint64_t bytes, struct segment *segment, struct pool_spec *spec,
               struct reason *why);

/* Attaches a pool inherited over a fork as a session of this process, at the same
 * addresses.  Nothing happens when it is attached already. */
int attach_after_fork(fastalloc_pool *pool, struct reason *why);

/* Local pools.  `descriptor` is for locks of this process and for opening more.  Attaches this process: *fenced is the description to map, the
 * caller's to close.  Returns 0 or FASTALLOC_E_TOO_MANY, _TIMEOUT, _SYSTEM. */
int attach_local_session(const struct segment *segment, int descriptor, uint32_t *session,
                         int *fenced, struct reason *why);

/* Local pools: sweeps the sessions whose fence is open.  Returns how many. */
unsigned attach_local_sweep(struct segment *segment, int descriptor);

#endif
