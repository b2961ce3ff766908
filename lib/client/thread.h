/* SPDX-License-Identifier: MIT
 *
 * thread: what the library keeps for each thread: its lanes (the fast path's way
 * to its caches), and its latest failure.
 *
 * The record is an anonymous mapping that the kernel wipes in a forked child, so
 * that the child finds no lanes, and reached through one pointer of static
 * thread-local storage, which is scarce in libraries loaded late.
 */
#ifndef CLIENT_THREAD_H
#define CLIENT_THREAD_H

#include "fault.h"
#include "process.h"
#include "shm/cache.h"

#include <fastalloc/fastalloc.h>

#define THREAD_UNTRIED 0u
#define THREAD_UNCACHED UINT32_MAX

struct thread {
    struct fastalloc_lane_ lanes[PROCESS_LANES]; /* first: fastalloc_lanes_ points here */
    uint32_t caches[PROCESS_LANES]; /* cache record + 1, THREAD_UNTRIED, THREAD_UNCACHED */
    uint32_t id;                    /* the kernel's */
    uint32_t uncached_calls;        /* until a cache is tried for again */
    fastalloc_pool *inside;         /* the pool a slow call is at work on */
    int cancel_state;               /* as it was before that call */
    bool listed;
    struct thread *next, **link; /* process.threads */
    struct fault fault;
};

/* The calling thread's record; NULL without memory. */
struct thread *thread_self(void);

/* Begins a slow call on a pool: ends the fast path's entry if one is under way,
 * defers cancellation, attaches a forked child anew.  Returns NULL with *error
 * set when that fails.  thread_end() brings the lane up to date and ends it. */
struct thread *thread_begin(fastalloc_pool *pool, int *error);
void thread_end(struct thread *thread, fastalloc_pool *pool);

/* The same for a call that exchanges with depots, waiting for none, after THREAD_WANTS. */
struct thread *thread_begin_exchange(fastalloc_pool *pool, struct actor *actor);
void thread_end_exchange(struct thread *thread, fastalloc_pool *pool);

/* The same for a call that neither waits nor touches a cache: it can be cancelled nowhere, and the
 * lane stays as it is. */
struct thread *thread_begin_briefly(fastalloc_pool *pool, int *error);
void thread_end_briefly(struct thread *thread);

/* Where the loaded magazine cannot serve.  A lane that is open, with a gate that is not marked,
 * says that the process is attached, the pool allocates, allocating has no more to do than to find
 * a slot, and nobody waits: who changes that marks the gate.  So first the other magazine takes
 * the loaded one's place; and if neither serves, it takes no more than an exchange with a
 * depot.  Like the fast path this may leave the thread in the gate: whatever comes next ends
 * that. */
enum thread_outlook {
    THREAD_SERVED, /* the fast path serves */
    THREAD_WANTS,  /* the cache does not: thread_begin_exchange() */
    THREAD_BARRED  /* thread_begin() */
};
enum thread_outlook thread_turn(fastalloc_pool *pool, enum cache_want want);

/* The same where the loaded magazine is to serve `least` slots, 1 or more: a run of them. */
enum thread_outlook thread_turn_for(fastalloc_pool *pool, enum cache_want want, uint32_t least);

/* Who the thread is to the segment; claims a cache where there is none yet. */
struct actor thread_actor(struct thread *thread, fastalloc_pool *pool);

/* With the process locked: whether another thread is inside a call on the pool;
 * and taking the pool's lane away from every thread. */
bool thread_others_inside_locked(const struct process *process, const fastalloc_pool *pool);
void thread_forget_pool_locked(struct process *process, const fastalloc_pool *pool);

#endif
