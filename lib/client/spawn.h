/* SPDX-License-Identifier: MIT
 *
 * spawn: starting a private daemon where none listens.
 */
#ifndef CLIENT_SPAWN_H
#define CLIENT_SPAWN_H

#include "shm/reason.h"

/* Starts fastallocd (as $FASTALLOC_DAEMON says, else where it was installed) on a
 * socket, in the background; it ends with its last client.  Returns when it
 * listens.  Two processes may do this at once: the second daemon finds the
 * first, and that is fine.  Returns 0 or FASTALLOC_E_NO_DAEMON. */
int spawn_daemon(const char *socket_path, struct reason *why);

#endif
