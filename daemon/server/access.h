/* SPDX-License-Identifier: MIT
 *
 * access: who a peer is, and what that lets it do.
 */
#ifndef SERVER_ACCESS_H
#define SERVER_ACCESS_H

#include "shm/reason.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Who connected, as the kernel wrote it down then; the process may be gone since. */
struct peer {
    uint32_t pid, uid, gid;
    uint32_t group_count; /* supplementary */
    gid_t *groups;
};

/* Asks the kernel about the other end of a Unix socket.  access_forget() releases the
 * groups.  Returns 0 or FASTALLOC_E_SYSTEM. */
int access_identify(struct peer *peer, int socket, struct reason *why);
void access_forget(struct peer *peer);

/* Whether the peer may attach to what uid:gid own with `mode`: the owner and root
 * always, others when the bits for the group or for the rest say both read and write. */
bool access_may_use(const struct peer *peer, uint32_t uid, uint32_t gid, uint32_t mode);

/* Whether it may destroy: the owner and root. */
bool access_may_destroy(const struct peer *peer, uint32_t uid);

/* Whether it may end the daemon: root, and whoever the daemon runs as. */
bool access_may_shut_down(const struct peer *peer);

#endif
