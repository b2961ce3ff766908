/* SPDX-License-Identifier: MIT
 *
 * jobs: what takes long, off the loop: building, sweeping, releasing a pool.  One at a time
 * for a pool, which is `busy` meanwhile.  Clients that wait for one are answered when
 * it is done.
 */
#ifndef SERVER_JOBS_H
#define SERVER_JOBS_H

#include "server/server.h"

void jobs_build(struct server *server, struct pool *pool);

/* `count` is at most LIMIT_SWEEPS_AT_ONCE. */
void jobs_sweep(struct server *server, struct pool *pool, const uint32_t *numbers, uint32_t count);

/* For a pool that registry_retire() was called for. */
void jobs_release(struct server *server, struct pool *pool);

#endif
