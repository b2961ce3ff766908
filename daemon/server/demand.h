/* SPDX-License-Identifier: MIT
 *
 * demand: requests about what a pool has: growth, shrinking, slots that it keeps; and finding
 * what a request is about.  For request.c.
 */
#ifndef SERVER_DEMAND_H
#define SERVER_DEMAND_H

#include "server/request.h"

/* The pool of that name.  Returns 0, FASTALLOC_E_NAME, _NOT_FOUND or _BUSY (it is being
 * built). */
int demand_find_pool(struct registry *registry, const char *name, struct pool **pool,
                     struct reason *why);

/* 0, or FASTALLOC_E_PERMISSION. */
int demand_check_use(const struct pool *pool, const struct client *client, struct reason *why);

/* A session that the client has: only where it was opened, or resumed, are number and nonce
 * of any use.  Returns 0 or FASTALLOC_E_SESSION. */
int demand_find_session(struct registry *registry, const struct client *client, uint64_t pool_id,
                        uint32_t number, uint64_t nonce, struct session **session,
                        struct reason *why);

/* The operations.  Each completes the result, or returns why not. */
int demand_growth(struct registry *registry, struct client *client,
                  const struct wire_request *request, struct request_result *result,
                  struct reason *why);
int demand_shrinking(struct registry *registry, struct client *client,
                     const struct wire_request *request, struct request_result *result,
                     struct reason *why);
int demand_release(struct registry *registry, struct client *client,
                   const struct wire_request *request, struct request_result *result,
                   struct reason *why);

#endif
