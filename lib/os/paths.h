/* SPDX-License-Identifier: MIT
 *
 * paths: where the daemon's socket is, for everybody who has to know.
 */
#ifndef OS_PATHS_H
#define OS_PATHS_H

#include "shm/reason.h"

#include <stdbool.h>
#include <stddef.h>

#define PATHS_MAX 108 /* what a socket address holds, with the NUL */

/* The socket to talk to: `explicit_path`, else $FASTALLOC_SOCKET, else
 * $XDG_RUNTIME_DIR/fastalloc/fastallocd.sock, else /run/fastalloc/fastallocd.sock:
 * the first that is given; of the last two the first that exists, or where
 * none does and `to_create` holds, the first whose directory this user can have
 * (root: the system's).  Environment variables are ignored in a set-user-ID
 * program.  Returns 0, or FASTALLOC_E_INVALID for a path too long for a socket. */
int paths_socket(char path[PATHS_MAX], const char *explicit_path, bool to_create,
                 struct reason *why);

#endif
