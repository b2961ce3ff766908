/* SPDX-License-Identifier: MIT
 *
 * pool: this process's attachment to one pool.
 */
#ifndef CLIENT_POOL_H
#define CLIENT_POOL_H

#include "shm/layout.h"
#include "shm/reason.h"
#include "shm/spec.h"

#include <fastalloc/fastalloc.h>
#include <pthread.h>

struct fastalloc_pool {
    struct fastalloc_face_ face; /* first: the fast path reads it through a cast */
    struct segment segment;
    struct pool_spec spec;
    fastalloc_client *client; /* NULL: a local pool */
    uint64_t serial;          /* in this process, never used twice */
    uint64_t generation;      /* of the process when it was attached */
    uint64_t pool_id;
    uint64_t nonce;        /* the daemon's word for the session */
    int descriptor;        /* local: for new attachments; else -1 */
    pthread_mutex_t mutex; /* attaching anew, sweeping */
    fastalloc_pool *next;  /* process.pools */
};

/* Makes a pool of a mapped segment: the mapping's, and with it the descriptor's
 * (local pools), new owner.  NULL without memory. */
fastalloc_pool *pool_new(const struct segment *segment, const struct pool_spec *spec,
                         uint32_t session);

/* Sets what the fast path reads, for a session. */
void pool_set_session(fastalloc_pool *pool, uint32_t session);

/* Unmaps and releases; says nothing to anybody. */
void pool_release(fastalloc_pool *pool);

/* A config as a spec.  Returns 0 or FASTALLOC_E_INVALID, FASTALLOC_E_NAME. */
int pool_spec_of(const fastalloc_pool_config *config, bool name_optional, struct pool_spec *spec,
                 struct reason *why);

#endif
