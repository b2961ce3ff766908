/* SPDX-License-Identifier: MIT
 *
 * connection: one client's socket.  Requests are handled one at a time: while a reply is
 * waited for, or cannot be sent, nothing is read, so that a client has at most one
 * reply and one descriptor on its way; but requests that nothing answers are taken also while
 * a job is waited for, as long as nothing else is before them.  Each state has a deadline or an
 * end of its own:
 *
 *   READING  for the next request; for the hello, LIMIT_HANDSHAKE_MS
 *   WAITING  for a job; for a fence, LIMIT_CLOSE_MS
 *   SENDING  the socket is full: LIMIT_REPLY_MS
 */
#ifndef SERVER_CONNECTION_H
#define SERVER_CONNECTION_H

#include "server/server.h"

/* Serves a socket from now on, and closes it in the end.  On failure it is closed.  With
 * `refusal` that is the answer to the first request, and the end. */
void connection_begin(struct server *server, int socket, const struct peer *peer,
                      const struct reason *refusal);

/* Ends the connection; the client's sessions become suspects. */
void connection_end(struct connection *connection);

/* The result of the request that the client waits for: to be completed before
 * connection_answer(). */
struct request_result;
struct request_result *connection_result(struct client *client);

/* What the client waited for has come about: sends the reply. */
void connection_answer(struct client *client);

/* It cannot come about: sends why. */
void connection_refuse(struct client *client, const struct reason *why);

/* How many connections the uid has. */
unsigned connection_count_of(const struct server *server, uint32_t uid);

/* Ends them all. */
void connection_end_all(struct server *server);

#endif
