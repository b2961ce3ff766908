/* SPDX-License-Identifier: MIT
 *
 * lane: for tests of lib/shm: the inlined fast path (fastalloc/inline.h) on an
 * actor of a test pool, with slow ways that need no client library.  A source of
 * the programs that use it, and not of libsupport: it defines what the client
 * library defines too.
 */
#ifndef SUPPORT_LANE_H
#define SUPPORT_LANE_H

#include "pool.h"

/* The calling thread's way to a pool. */
struct fastalloc_pool {
    struct fastalloc_face_ face; /* first */
    struct segment *segment;
    struct actor actor;
};

/* Makes `pool` the calling thread's only one, by the actor. */
void lane_open(struct fastalloc_pool *pool, struct test_pool *test, const struct actor *actor);

#endif
