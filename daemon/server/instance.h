/* SPDX-License-Identifier: MIT
 *
 * instance: being the one daemon of a socket.
 *
 * PATH.lock, locked for as long as the daemon lives, proves who that is; everything else
 * happens under it: a stale socket is replaced, the manifests in PATH.d are read.  What is
 * at PATH and no socket is never touched.
 */
#ifndef SERVER_INSTANCE_H
#define SERVER_INSTANCE_H

#include "os/paths.h"
#include "shm/reason.h"

struct instance {
    char path[PATHS_MAX];
    char lock_path[PATHS_MAX + 8];
    int lock;
    int listener; /* -1 once instance_deafen() was called */
};

/* Makes the socket's directory where only that is missing, takes the lock, and listens.
 * Returns 0, FASTALLOC_E_EXISTS (another daemon has it: the text names its pid),
 * FASTALLOC_E_INVALID (something else is at the path) or FASTALLOC_E_SYSTEM. */
int instance_claim(struct instance *instance, const char *path, struct reason *why);

/* Listens no more, and takes the socket away.  The lock stays. */
void instance_deafen(struct instance *instance);

/* Gives the lock up: the last thing a daemon does. */
void instance_release(struct instance *instance);

#endif
