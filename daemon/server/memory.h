/* SPDX-License-Identifier: MIT
 *
 * memory: getting memory for segments.  Several jobs may be at it at once, and what one was
 * told is there must not be what another is about to take: past a cgroup's limit the kernel
 * does not refuse, it kills.
 */
#ifndef SERVER_MEMORY_H
#define SERVER_MEMORY_H

#include "shm/layout.h"
#include "shm/reason.h"

/* Reserves the extents, of which `has` bytes have memory already, after a look at what there
 * is beyond what jobs that came before are still to take.  On failure a part may be reserved.
 * Any thread.  Returns 0, FASTALLOC_E_NO_MEMORY (what is needed, what is there, the mend) or
 * FASTALLOC_E_SYSTEM. */
int memory_reserve(int descriptor, const struct extent *extents, unsigned count, uint64_t has,
                   struct reason *why);

#endif
