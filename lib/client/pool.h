/* SPDX-License-Identifier: MIT
 *
 * pool: this process's attachment to one pool.
 */
#ifndef CLIENT_POOL_H
#define CLIENT_POOL_H

#include "event.h"
#include "lifecycle.h"
#include "share.h"
#include "shm/layout.h"
#include "shm/reason.h"
#include "shm/spec.h"

#include <fastalloc/fastalloc.h>
#include <pthread.h>
#include <stdbool.h>

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
    bool vacated;          /* let go of in a forked child: nothing is mapped there */
    pthread_mutex_t mutex; /* attaching anew, sweeping, growing, the event */
    uint32_t closings;     /* tries to close it, for those who wait in it to notice */
    struct event event;
    struct holds holds;
    fastalloc_growth_function *growth_function; /* this process's own; NULL: as the spec says */
    void *growth_argument;
    struct lifecycle lifecycle;
    uint32_t advice;      /* this process's, for its mapping */
    uint64_t advised;     /* the capacity that it was given for */
    fastalloc_pool *next; /* process.pools */
};

/* Makes a pool of a mapped segment: the mapping's, and with it the descriptor's
 * (local pools), new owner.  `config`, unless NULL, has the process's own functions and advice.
 * NULL without memory. */
fastalloc_pool *pool_new(const struct segment *segment, const struct pool_spec *spec,
                         uint32_t session, const fastalloc_pool_config *config);

/* Sets what the fast path reads, for a session. */
void pool_set_session(fastalloc_pool *pool, uint32_t session);

/* Notices slots that came by growth: from now on the fast path knows them. */
void pool_refresh(fastalloc_pool *pool);

/* Whether the pool is attached by this process, not only inherited by a forked child. */
bool pool_is_ours(const fastalloc_pool *pool);

/* Unmaps and releases; says nothing to anybody. */
void pool_release(fastalloc_pool *pool);

/* The rest of creating, for a pool that is attached: advice, slots initialised ahead of use.
 * Closes the pool on failure, and destroys it.  Returns 0, FASTALLOC_E_HOOK, or as
 * attach_advise(). */
int pool_settle(fastalloc_pool *pool, const fastalloc_pool_config *config, struct reason *why);

/* A config as a spec.  Returns 0 or FASTALLOC_E_INVALID, FASTALLOC_E_NAME. */
int pool_spec_of(const fastalloc_pool_config *config, bool name_optional, struct pool_spec *spec,
                 struct reason *why);

/* What creating goes by: the spec as asked, completed, and its geometry.  Returns 0 or what
 * pool_spec_of(), spec_complete() and geometry_plan() do; FASTALLOC_E_GROWTH. */
int pool_plan(const fastalloc_pool_config *config, bool name_optional, struct pool_spec *asked,
              struct pool_spec *completed, struct geometry *geometry, struct reason *why);

#endif
