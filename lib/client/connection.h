/* SPDX-License-Identifier: MIT
 *
 * connection: one socket to the daemon, and one exchange at a time on it.  What to do
 * when it breaks is the client's (client.h), and so is the mutex.
 */
#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

#include "os/paths.h"
#include "shm/reason.h"
#include "wire/wire.h"

#include <stdbool.h>
#include <stdint.h>

#define CONNECTION_FOREVER UINT64_MAX

struct connection {
    int socket; /* -1: none */
    uint32_t timeout_ms;
    bool met; /* fastallocd has answered there before */
    uint64_t next_id;
    uint64_t abandoned;  /* answers up to this request are nobody's */
    uint64_t generation; /* of the process when it was made */
    char path[PATHS_MAX];
};

/* Whether it is open, and this process's own: a forked child's copy is its parent's. */
bool connection_is_open(const struct connection *connection);

/* Connects and says hello; what was open is closed.  Returns 0 or FASTALLOC_E_NO_DAEMON,
 * _NOT_FASTALLOC, _PERMISSION, _TIMEOUT, _VERSION, _SYSTEM, or what the daemon says. */
int connection_open(struct connection *connection, struct reason *why);
void connection_drop(struct connection *connection);

/* Sends a request (its id is filled in) and waits for the reply, whatever that says, for
 * the connection's time-out, and no longer than until `deadline` (ns of CLOCK_MONOTONIC).
 * *descriptor becomes what rode along, or -1.  One that rode along with a create or an open is a
 * session's fence: then forks are held back (fork.h), and it is the caller to let them go on,
 * once it is closed and what was mapped of it is listed.  *sent tells whether the
 * daemon may have the request.
 * Returns 0 or FASTALLOC_E_NO_DAEMON (it is gone), _TIMEOUT, _PROTOCOL, _VERSION, _INVALID,
 * _SYSTEM: after any, but a deadline that passed, the connection is closed. */
int connection_exchange(struct connection *connection, struct wire_request *request,
                        uint64_t deadline, struct wire_reply *reply, int *descriptor, bool *sent,
                        struct reason *why);

/* Sends a request that has no reply, if that goes at once; says nothing if not. */
void connection_post(struct connection *connection, struct wire_request *request);

#endif
