/* SPDX-License-Identifier: MIT
 *
 * client: the connection to the daemon.  Requests are synchronous, one at a
 * time, each with a deadline; the connection's mutex is the only lock, and is
 * never held while a depot's is.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "shm/reason.h"
#include "wire/wire.h"

#include <fastalloc/fastalloc.h>

/* Sends a request (its id is filled in) and waits for the reply.  A descriptor
 * that rides along is stored in *descriptor, the caller's to close; NULL or -1
 * when none is expected.  An error the daemon reports comes back as
 * its code, with the daemon's words in `why`.  Returns 0 or FASTALLOC_E_...;
 * the transport's are _NO_DAEMON, _TIMEOUT, _PROTOCOL, _VERSION, _SYSTEM. */
int client_request(fastalloc_client *client, struct wire_request *request, struct wire_reply *reply,
                   int *descriptor, struct reason *why);

/* The place of the next client in the process's list. */
fastalloc_client **client_next(fastalloc_client *client);

/* In a forked child: makes the mutex anew, whoever held it. */
void client_become_child(fastalloc_client *client);

/* How long a request may take. */
uint32_t client_timeout_ms(const fastalloc_client *client);

#endif
