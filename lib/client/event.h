/* SPDX-License-Identifier: MIT
 *
 * event: a descriptor that becomes readable when a slot may be had, for programs that must
 * not wait in an allocation.
 *
 * A helper thread, one a pool and process, waits in their place as fastalloc_alloc_wait() does: it
 * is armed by an allocation that failed, takes a slot, frees it again, and writes the eventfd.
 * It has no cache, so what it takes lies nowhere but in its hands.  Forked children have no
 * such thread, and ask for an event of their own.
 */
#ifndef CLIENT_EVENT_H
#define CLIENT_EVENT_H

#include <fastalloc/fastalloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct event {
    uint32_t running; /* the rest means something, and the thread runs */
    uint32_t armed;   /* futex word: an allocation has failed since */
    uint32_t stop;
    int descriptor;
    pthread_t thread;
};

/* After an allocation that found no slot. */
void event_arm(fastalloc_pool *pool);

/* Ends the thread and closes the descriptor, if there are any.  For who closes the pool. */
void event_stop(fastalloc_pool *pool);

/* In a forked child: the parent's is not the child's. */
void event_become_child(fastalloc_pool *pool);

#endif
