/* SPDX-License-Identifier: MIT
 *
 * pool: one pool as the daemon has it: its segment, its manifest, its sessions.
 *
 * What the daemon goes by stands here, in private memory, and in the manifest; the
 * segment is only written to, swept, and otherwise believed in nothing.
 *
 * A pool's life:
 *
 *   BUILDING --pool_build()--> READY --pool_unlink()--> LEAVING --pool_release()--> freed
 *
 * pool_build(), pool_sweep() and pool_release() take long and may be called from any
 * thread, one of them at a time for a pool (`busy`); all else belongs to one thread, which
 * meanwhile may go on calling the other functions where they say so.
 *
 * No libuv here: tests drive pools by hand.
 */
#ifndef SERVER_POOL_H
#define SERVER_POOL_H

#include "os/backing.h"
#include "server/access.h"
#include "server/limits.h"
#include "server/store.h"
#include "shm/layout.h"
#include "shm/reason.h"

#include <stdbool.h>
#include <stdint.h>

#define HASH_NONFATAL_OOM 1 /* out of memory, an element is not added: its table is NULL */
#include <uthash.h>

struct pool;

/* One connected client, as far as pools know it. */
struct client {
    struct peer peer;
    char program[64];         /* to show */
    bool greeted;             /* said hello */
    struct session *sessions; /* it opened, not yet suspect */
    uint32_t session_count;

    /* What its reply waits for: a session to be swept, or with session 0 the
     * pool to be built or released.  NULL: nothing. */
    struct pool *awaits_pool;
    uint32_t awaits_session;
    struct client *waiter_prev, *waiter_next; /* in awaits_pool->waiters */
};

/* One attachment of a process to a pool. */
struct session {
    struct pool *pool;
    uint32_t number;
    uint32_t pid, uid; /* of the peer it was opened for */
    uint64_t nonce;
    struct client *client;       /* NULL: a suspect, whose fence is looked at */
    bool open;                   /* its fence was found open: to be swept */
    uint64_t due;                /* when to look next, in ms of the loop's clock */
    uint32_t pause;              /* ms between looks */
    struct session *prev, *next; /* in client->sessions, or in registry->suspects */
    UT_hash_handle by_number;
};

enum pool_phase { PHASE_BUILDING, PHASE_READY, PHASE_LEAVING };

struct pool {
    struct pool_spec spec;
    struct geometry geometry;
    uint32_t uid, gid; /* of the creator */
    uint64_t pool_id, first_generation, serial;
    uint64_t created; /* seconds since 1970 */
    char segment_name[BACKING_NAME_MAX];

    enum pool_phase phase;
    bool destroyed; /* its name is free */
    bool damaged;   /* its memory was found damaged: nobody attaches any more */
    bool busy;      /* somebody builds, sweeps or releases it */

    /* Written by who makes it busy. */
    void *mapped;
    int descriptor;
    bool has_role; /* of the sweeper; see os/fence.h */
    struct segment segment;

    uint64_t fence_ns;   /* what the last look or closing took */
    bool crowded;        /* which was too long */
    uint64_t rest_until; /* no look before, in ms of the loop's clock */

    struct session *sessions; /* by number */
    uint32_t next_number;     /* where the search for a free one begins */
    struct client *waiters;

    struct pool *prev, *next; /* in the order of serials */
    UT_hash_handle by_id, by_name;
};

/* A pool to be built, with an id and a first generation at random.  Freed by pool_free().
 * Returns 0, FASTALLOC_E_NO_MEMORY or FASTALLOC_E_SYSTEM. */
int pool_plan(struct pool **pool, const struct pool_spec *spec, const struct geometry *geometry,
              const struct peer *creator, uint64_t serial, struct reason *why);
void pool_free(struct pool *pool);

/* Makes manifest and segment, reserves the memory, publishes.  On failure nothing is
 * left of either.  Returns 0, FASTALLOC_E_NO_MEMORY or FASTALLOC_E_SYSTEM. */
int pool_build(struct pool *pool, const struct store *store, const char *prefix,
               struct reason *why);

/* Makes a pool again of what a manifest says, in phase READY, its sessions suspects
 * without a place in any list.  The segment has to be what the manifest says it is: ours,
 * of that size and id.  Returns 0; FASTALLOC_E_NOT_FOUND or FASTALLOC_E_POISONED when it
 * is not there or does not fit; FASTALLOC_E_SYSTEM or FASTALLOC_E_NO_MEMORY when that
 * could not be found out. */
int pool_readopt(struct pool **pool, const struct manifest *manifest, struct reason *why);

/* Opens a session for the client: notes it in the manifest, and makes the descriptor
 * whose file description is its fence (the caller's to send and close).  Also while
 * busy with a sweep.  Returns 0, FASTALLOC_E_TOO_MANY, _POISONED, _SYSTEM, _NO_MEMORY. */
int pool_attach(struct pool *pool, const struct store *store, struct client *client,
                struct session **session, int *descriptor, struct reason *why);

/* The session of that number, or NULL. */
struct session *pool_find_session(struct pool *pool, uint32_t number);
uint32_t pool_session_count(const struct pool *pool);

/* Sweeps `count` sessions whose fences are open: for the segment they are then gone;
 * pool_forget() removes them from the pool.  Returns 0; FASTALLOC_E_POISONED when the
 * segment was truncated, and there is nothing left to sweep: pool_mark_damaged(); or
 * FASTALLOC_E_BUSY when somebody else has the sweeper's role: nothing was done. */
int pool_sweep(struct pool *pool, const uint32_t *numbers, uint32_t count);

/* Whether the session's fence is open: 1, 0, or a negative errno.  Says in the pool what
 * it took; where that is too long the pool becomes damaged. */
int pool_look(struct pool *pool, uint32_t number);

/* From here on nobody attaches.  `what` has happened goes to the log.  Tells those
 * attached, as far as that goes. */
void pool_mark_damaged(struct pool *pool, const char *what);

/* Removes a session that is in no list any more.  pool_save() later. */
void pool_forget(struct pool *pool, struct session *session);

/* Writes the manifest as the pool is now.  Also while busy with a sweep. */
int pool_save(const struct pool *pool, const struct store *store, struct reason *why);

/* Tells everybody attached that the pool is destroyed.  Also while busy with a sweep. */
void pool_tell_destroyed(struct pool *pool);

/* Takes the names away: the segment's, then the manifest.  Phase LEAVING. */
void pool_unlink(struct pool *pool, const struct store *store);

/* Unmaps and closes.  What was reserved goes with the last who has it. */
void pool_release(struct pool *pool);

#endif
