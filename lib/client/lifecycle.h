/* SPDX-License-Identifier: MIT
 *
 * lifecycle: what is done to an object between the slot's being found and its being handed out,
 * and before it goes back: zeroing, and the program's own functions; shm/stages.h.
 *
 * The functions run outside any slow call (thread_begin(), thread_end()), so that they may use
 * the pool.  The slot is the session's meanwhile: a death leaves it to the sweep, and its stage
 * says how far it had come.
 */
#ifndef CLIENT_LIFECYCLE_H
#define CLIENT_LIFECYCLE_H

#include "shm/layout.h"
#include "shm/reason.h"

#include <fastalloc/fastalloc.h>
#include <stdbool.h>

struct thread;

/* This process's own, from its config. */
struct lifecycle {
    fastalloc_prepare_function *initialize, *reset, *on_acquire;
    fastalloc_release_function *on_release;
    void *argument;
    uint32_t running; /* threads of this process in one of them: the pool must not be closed */
};

/* Whether a config has any function. */
bool lifecycle_is_wanted(const fastalloc_pool_config *config);

void lifecycle_init(struct lifecycle *lifecycle, const fastalloc_pool_config *config);

/* Whether allocations from the pool have more to do than to find a slot. */
bool lifecycle_is_due(const struct segment *segment);

/* To be called inside the slow call that has found a slot, before it is ended: until
 * lifecycle_acquire() is over nobody closes the pool. */
void lifecycle_announce(fastalloc_pool *pool);

/* Makes a slot ready that `operation` has found, whose word is `word`; outside a slow call.  Where
 * a function refuses, the slot goes back.  Returns 0, or FASTALLOC_E_HOOK with its words noted. */
int lifecycle_acquire(fastalloc_pool *pool, const char *operation, uint64_t index, uint64_t word);

/* Ends a slot's use and frees it: its word is `word`, as slot_end() or share_drop() gave it.
 * Inside a slow call, which is left for the program's function, and begun again: returns the
 * thread, or NULL when that was refused, which only a forked child can meet. */
struct thread *lifecycle_free(fastalloc_pool *pool, struct thread *thread, fastalloc_handle handle,
                              uint64_t index, uint64_t word);

/* Whether a thread of this process is in one of the functions. */
bool lifecycle_is_running(const fastalloc_pool *pool);

/* A forked child's pool, or one that it keeps: nobody is yet. */
void lifecycle_become_child(fastalloc_pool *pool);

/* Initialises all slots of a pool that was just created and is nobody else's yet (others may have
 * opened it: what they have they initialise).  Returns 0, FASTALLOC_E_HOOK, or as allocating. */
int lifecycle_begin(fastalloc_pool *pool, struct reason *why);

#endif
