/* SPDX-License-Identifier: MIT
 *
 * client: the way to the daemon.  Requests are synchronous, one at a time, each
 * with a deadline; the client's mutex is the only lock, and is never held while a
 * depot's is.
 *
 * A daemon that is not there any more is looked for again, with pauses of 1 ms doubling to
 * 100 ms, for options.reconnect_ms; who has given up once tries once a request until one
 * succeeds.  After connecting again the daemon is told of the sessions that this client has,
 * so that it hears of their end.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "shm/reason.h"
#include "wire/wire.h"

#include <fastalloc/fastalloc.h>
#include <stdbool.h>

/* Sends a request (its id is filled in) and waits for the reply.  A descriptor
 * that rides along is stored in *descriptor, the caller's to close; NULL where
 * none is expected.  An error the daemon reports comes back as
 * its code, with the daemon's words in `why`.  A request whose answer was lost with the daemon
 * is sent again to the next one: all can be done twice, but a shutdown.  Of the others a create
 * may find what it made before, and says so; a destroy finds nothing, and is done.
 * Returns 0 or FASTALLOC_E_...; the transport's are _NO_DAEMON, _TIMEOUT, _PROTOCOL,
 * _VERSION, _SYSTEM.
 *
 * A create or an open that succeeds returns with forks held back (fork.h); the caller lets
 * them go on when it has closed the descriptor and listed the pool. */
int client_request(fastalloc_client *client, struct wire_request *request, struct wire_reply *reply,
                   int *descriptor, struct reason *why);

/* As client_request(), but does not look for a daemon that is gone, and gives up at `deadline` (ns
 * of CLOCK_MONOTONIC) with FASTALLOC_E_TIMEOUT.  For requests without a descriptor. */
int client_request_once(fastalloc_client *client, struct wire_request *request, uint64_t deadline,
                        struct wire_reply *reply, struct reason *why);

/* Sends a request that has no reply, if there is a connection that nobody is using and
 * `fill` (called with the mutex held) wants it: it completes the request.  Never
 * waits. */
void client_post(fastalloc_client *client, bool (*fill)(struct wire_request *, void *),
                 void *argument);

/* Connects if need be, as a request does. */
int client_reach(fastalloc_client *client, struct reason *why);

/* The place of the next client in the process's list. */
fastalloc_client **client_next(fastalloc_client *client);

/* In a forked child, alone there: makes the mutex anew, whoever held it, and closes the parent's
 * connection. */
void client_become_child(fastalloc_client *client);

/* In a child that goes on as its parent: the sessions are its own, and the daemon is told. */
void client_keep(fastalloc_client *client);

/* How long a request may take. */
uint32_t client_timeout_ms(const fastalloc_client *client);

#endif
