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

/* Follows the process's advice for what of the pool it was not given for: after attaching, and
 * after growing.  Returns 0, or FASTALLOC_E_LIMIT, _NO_MEMORY, _SYSTEM. */
int attach_advise(fastalloc_pool *pool, struct reason *why);

/* Slots above `capacity` may have lost their memory since: they need advice anew. */
void attach_forget_advice(fastalloc_pool *pool, uint64_t capacity);

/* Lets go of a pool inherited over a fork, with the pool's mutex held: its addresses read as zero,
 * which the fast path takes for slots never used, and goes the slow way. */
int attach_vacate_locked(fastalloc_pool *pool, struct reason *why);

#endif
