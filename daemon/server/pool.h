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
 * pool_build(), pool_sweep(), pool_release() and those that change the capacity (resize.c)
 * or look after notes take long and may be called from any thread, one of them at a time for
 * a pool (`busy`); all else belongs to one thread, which meanwhile may go on calling the
 * other functions where they say so.
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

/* What a client has asked of a pool and waits for. */
enum wish_kind {
    WISH_NONE,
    WISH_POOL,   /* that it is built, or released */
    WISH_SWEEP,  /* that `session` is swept */
    WISH_GROWTH, /* `number` slots at least; 0: a step, to more than `from` */
    WISH_SHRINK, /* slots from `number` on given back */
    WISH_RELEASE /* quarantined slots released: of handle `number`; 0: all */
};

struct wish {
    enum wish_kind kind;
    uint32_t session;
    uint64_t number;
    uint64_t from, increment; /* of a step; increment 0: as the pool is declared */
    bool served;              /* the job under way is for it */
};

/* One connected client, as far as pools know it. */
struct client {
    struct peer peer;
    char program[64];         /* to show */
    bool greeted;             /* said hello */
    struct session *sessions; /* it opened, not yet suspect */
    uint32_t session_count;

    struct pool *awaits_pool; /* what its reply waits for; NULL: nothing */
    struct wish wish;
    struct client *waiter_prev, *waiter_next; /* in awaits_pool->waiters */
};

/* One attachment of a process to a pool. */
struct session {
    struct pool *pool;
    uint32_t number;
    uint32_t pid, uid; /* of the peer it was opened for */
    uint64_t nonce;
    struct client *client;       /* NULL: a suspect, whose fence is looked at */
    bool closed;                 /* by request: its slots are reclaimed whatever the policy */
    bool open;                   /* its fence was found open: to be swept */
    uint64_t noticed;            /* that it may be dead: the end of its connection, or the last
                                    look that found its fence shut; ns of CLOCK_MONOTONIC */
    uint64_t due;                /* when to look next, in ms of the loop's clock */
    uint32_t pause;              /* ms between looks */
    struct session *prev, *next; /* in client->sessions, or in registry->suspects */
    UT_hash_handle by_number;
};

/* A session to be swept. */
struct death {
    uint32_t number;
    bool closed;
    uint64_t noticed; /* as of its session; 0: its sweep is not timed */
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
    bool busy;      /* a job is under way for it */

    uint64_t capacity;   /* slots now: of these the objects have memory */
    uint64_t reserved;   /* the highest capacity so far: of these the metadata has */
    uint64_t published;  /* what the users see of the capacity, as far as that is certain: 0
                            while it is about to go down */
    struct wish ahead;   /* WISH_GROWTH, asked for ahead of need, by nobody who waits */
    uint64_t refused_at; /* the capacity at which a failure to grow was last logged */
    bool swept_last;     /* the last job was a sweep: wishes are next */

    /* Written by who makes it busy. */
    void *mapped;
    int descriptor;
    bool has_role; /* of the sweeper; see os/fence.h */
    bool settled;  /* what an earlier daemon left half done has been looked after */
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

/* Sweeps `count` sessions whose fences are open, by the pool's policy: for the segment they
 * are then gone; pool_forget() removes them from the pool.  Returns 0; FASTALLOC_E_POISONED
 * when the segment was truncated, and there is nothing left to sweep: pool_mark_damaged();
 * or FASTALLOC_E_BUSY when somebody else has the sweeper's role: nothing was done. */
int pool_sweep(struct pool *pool, const struct death *deaths, uint32_t count);

/* Makes sure of the sweeper's role, and that what was left half done is settled.  Returns 0,
 * FASTALLOC_E_BUSY or FASTALLOC_E_POISONED. */
int pool_take_role(struct pool *pool);

/* Whether the segment still has its size: who has a descriptor can truncate it. */
bool pool_is_whole(const struct pool *pool);

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

/* Growing, in two steps, with pool->capacity set and pool_save() called in between:
 * reserve    gets the memory for `capacity` slots.  On failure nothing is left of it.
 *            Returns 0, FASTALLOC_E_NO_MEMORY (what is needed, what is there, the mend),
 *            _SYSTEM, _BUSY, _POISONED.
 * publish    has the users see pool->capacity.  Returns 0, FASTALLOC_E_BUSY, _POISONED. */
int pool_reserve(struct pool *pool, uint64_t capacity, struct reason *why);
int pool_publish(struct pool *pool);

/* Shrinking, with pool->capacity set and pool_save() called in between:
 * retreat    lowers what the users see as far as slots were withdrawn, to `target` at
 *            least.  Returns 0 with the new capacity, FASTALLOC_E_BUSY, _POISONED.
 * give_back  gives back what memory lies above pool->capacity. */
int pool_retreat(struct pool *pool, uint64_t target, uint64_t *capacity);
void pool_give_back(struct pool *pool);

/* Takes back what has expired; or releases quarantined slots: that of a handle, 0: all.
 * Both set how many.  Return 0, FASTALLOC_E_BUSY, _POISONED. */
int pool_expire(struct pool *pool, uint64_t *count);
int pool_release_slots(struct pool *pool, uint64_t handle, uint64_t *count);

/* Whether something in it may have expired, and (*later) whether something may yet.  Costs a
 * look; also while busy. */
bool pool_expires(struct pool *pool, bool *later);

/* Tells everybody attached that the pool is destroyed.  Also while busy with a sweep. */
void pool_tell_destroyed(struct pool *pool);

/* Takes the names away: the segment's, then the manifest.  Phase LEAVING. */
void pool_unlink(struct pool *pool, const struct store *store);

/* Unmaps and closes.  What was reserved goes with the last who has it. */
void pool_release(struct pool *pool);

#endif
