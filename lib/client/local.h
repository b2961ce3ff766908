/* SPDX-License-Identifier: MIT
 *
 * local: pools without a daemon.  What the daemon does for the others their users do
 * themselves, whoever needs it, one at a time: attaching, sweeping, growing.
 */
#ifndef CLIENT_LOCAL_H
#define CLIENT_LOCAL_H

#include "shm/layout.h"
#include "shm/reason.h"
#include "shm/cache.h"

#include <fastalloc/fastalloc.h>
#include <stdbool.h>

/* Attaches this process to the local pool behind `descriptor`, of which `segment` is a mapping:
 * *fenced is the description to map, the caller's to close, and to list what it mapped of it while
 * forks are held back (fork.h).  Returns 0 or FASTALLOC_E_TOO_MANY, _TIMEOUT, _SYSTEM. */
int local_attach(struct segment *segment, const struct pool_spec *spec, int descriptor,
                 uint32_t *session, int *fenced, struct reason *why);

/* Sweeps the sessions whose fence is open, and takes back what has expired.  True when there was
 * anything. */
bool local_sweep(fastalloc_pool *pool);

/* Gives back what the closing process owns, which is no death: for who is about to unmap, and will
 * not touch the segment again.  Without the role it is one after all. */
void local_leave(fastalloc_pool *pool);

/* Grows: with `capacity` to that many slots at least; with 0 a step from `from`, by `increment` or
 * as the pool does, unless it has more than `from` by now.  Returns 0, FASTALLOC_E_NO_MEMORY,
 * _STALLED (another process is stopped in the middle of growing or sweeping), _SYSTEM. */
int local_grow(fastalloc_pool *pool, uint64_t from, uint64_t increment, uint64_t capacity,
               struct reason *why);

/* Withdraws what is idle at the top, down to `target`, and gives it back; *now is the capacity
 * then. */
int local_shrink(fastalloc_pool *pool, const struct actor *actor, uint64_t target, uint64_t *now,
                 struct reason *why);

#endif
