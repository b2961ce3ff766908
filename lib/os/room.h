/* SPDX-License-Identifier: MIT
 *
 * room: how much memory there is to be had, before asking for it.  Past the
 * limit of a memory cgroup the kernel does not refuse, it kills; and a tmpfs
 * that is nearly full says so only after having been filled up.
 */
#ifndef OS_ROOM_H
#define OS_ROOM_H

#include "shm/reason.h"

#include <stdint.h>

/* Whether `length` more bytes fit behind `descriptor`: in its file system, in the
 * machine's memory, in the caller's memory cgroup and those above it.  What
 * cannot be found out does not count against it.  Returns 0, or
 * FASTALLOC_E_NO_MEMORY with what is needed, what is there, and the mend. */
int room_check(int descriptor, uint64_t length, struct reason *why);

/* What a memory cgroup has left: its limit, less what it uses, plus what of that is
 * page cache.  `directory` is the cgroup's, `unified` its kind (v2, v1).
 * UINT64_MAX where there is no limit or it cannot be read. */
uint64_t room_in_cgroup(const char *directory, int unified);

#endif
