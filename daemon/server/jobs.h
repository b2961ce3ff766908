/* SPDX-License-Identifier: MIT
 *
 * jobs: what takes long, off the loop: building, sweeping, growing, shrinking, releasing a
 * pool.  One at a time for a pool, which is `busy` meanwhile.  Clients that wait for one
 * are answered when it is done.
 */
#ifndef SERVER_JOBS_H
#define SERVER_JOBS_H

#include "server/server.h"

void jobs_build(struct server *server, struct pool *pool);

/* `count` is at most LIMIT_SWEEPS_AT_ONCE. */
void jobs_sweep(struct server *server, struct pool *pool, const struct death *deaths,
                uint32_t count);

/* For a pool that registry_retire() was called for. */
void jobs_release(struct server *server, struct pool *pool);

/* Takes back what has expired. */
void jobs_expire(struct server *server, struct pool *pool);

/* Begins with the first thing that a client wishes of a pool that is not busy, or somebody
 * asked for ahead of need.  Answers those whose wishes cannot be fulfilled, or are.  False when
 * there is nothing left to begin with. */
bool jobs_fulfil(struct server *server, struct pool *pool);

#endif
