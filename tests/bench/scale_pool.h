/* SPDX-License-Identifier: MIT
 *
 * scale_pool: a segment of one's own to measure on, without the client library, and the clock.
 */
#ifndef TESTS_BENCH_SCALE_POOL_H
#define TESTS_BENCH_SCALE_POOL_H

#include "scale.h"
#include "shm/cache.h"

struct scale_pool {
    struct segment segment;
    uint64_t bytes;
    int descriptor; /* -1: anonymous memory */
};

/* Formats a pool of objects of 8 bytes in memory shared with children to come; with `backed` in
 * a memfd, all of it reserved.  Gives up where it cannot. */
void scale_pool_make(struct scale_pool *pool, uint64_t slots, uint32_t threads, uint32_t sessions,
                     bool backed);
void scale_pool_end(struct scale_pool *pool);

/* Opens the session unless it is live; with a cache, or without. */
struct actor scale_pool_actor(struct scale_pool *pool, uint32_t session, bool cached);

/* Takes and frees so many slots, so that they lie idle in magazines of the depots. */
void scale_pool_stock(struct scale_pool *pool, const struct actor *actor, uint64_t slots);

/* Gives slots [from, to) to the session, as if it had allocated them. */
void scale_pool_own(struct scale_pool *pool, uint32_t session, uint64_t from, uint64_t to);

#endif
