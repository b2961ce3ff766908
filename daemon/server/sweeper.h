/* SPDX-License-Identifier: MIT
 *
 * sweeper: looks at the fences of suspects, with growing pauses, and has those swept whose
 * fence is open; looks at pools in which something may expire; and says what a pool that
 * has become free is to do next.
 */
#ifndef SERVER_SWEEPER_H
#define SERVER_SWEEPER_H

#include "server/server.h"

/* Begins with what an earlier daemon left. */
void sweeper_start(struct server *server);

/* There are new suspects: looks at them at once. */
void sweeper_wake(struct server *server);

/* Looks at every suspect once, due or not, while the time for it lasts: before the end.
 * What is left over is the next daemon's. */
void sweeper_look_at_all(struct server *server);

/* There may be a pool now in which something expires.  Without any nothing is looked at. */
void sweeper_watch(struct server *server);

/* Unless the pool is busy: has its open sessions swept, or what clients wish of it done, in
 * turns; or has it released, when it is over. */
void sweeper_continue(struct server *server, struct pool *pool);

#endif
