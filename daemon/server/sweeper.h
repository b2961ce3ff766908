/* SPDX-License-Identifier: MIT
 *
 * sweeper: looks at the fences of suspects, with growing pauses, and has those swept whose
 * fence is open.
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

/* Has the pool's open sessions swept, unless it is busy; or released, when it is over. */
void sweeper_continue(struct server *server, struct pool *pool);

#endif
