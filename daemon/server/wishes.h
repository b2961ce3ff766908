/* SPDX-License-Identifier: MIT
 *
 * wishes: which growth a pool is asked for is possible, where it leads, and when it is
 * fulfilled; and what becomes of those who wait.  No loop: jobs.c does the work in between.
 *
 * One step answers everybody who asked for one from no higher a capacity.
 */
#ifndef SERVER_WISHES_H
#define SERVER_WISHES_H

#include "server/pool.h"

/* Whether the pool has what the wish for growth is about. */
bool wish_is_fulfilled(const struct pool *pool, const struct wish *wish);

/* The capacity to grow to for it. */
uint64_t wish_target(const struct pool *pool, const struct wish *wish);

/* Why it cannot be: FASTALLOC_E_DESTROYED, _POISONED, _MAX_CAPACITY, _GROWTH (the pool's
 * strategy is no growth).  0 when it can, or is fulfilled. */
int wish_check(const struct pool *pool, const struct wish *wish, struct reason *why);

/* The first client that waits for a job of the pool, or NULL. */
struct client *wish_first(const struct pool *pool);

/* Takes out of the waiting list the first client whose wish for growth is fulfilled, or with
 * `failed` not 0 cannot be as `failed` slots cannot be had; NULL: nobody.  The wish stays
 * written in the client. */
struct client *wish_next_grown(struct pool *pool, uint64_t failed);

/* The same for those of a kind whose job is done. */
struct client *wish_next_served(struct pool *pool, enum wish_kind kind);

/* The client waits for nothing any more. */
void wish_drop(struct client *client);

#endif
