/* SPDX-License-Identifier: MIT
 *
 * process: what this process knows of its threads and pools, and how it notices
 * that it is a forked child.
 *
 * The lists live behind one mutex.  Lock order: a pool's mutex, a client's, the one that
 * holds forks back (fork.h), the process's, and innermost a depot's; nobody takes one to
 * the left while holding one to the right.
 *
 * Fork.  A mark lives on a page that the kernel wipes in a child
 * (MADV_WIPEONFORK; fork, and clone without CLONE_VM alike).  Finding it gone, the
 * child's first call counts the generation up, forgets the threads (they do not
 * exist here) and makes its mutexes anew; pools and clients carry the generation they
 * were attached in and attach anew when they are used (attach.h, client.h).
 */
#ifndef CLIENT_PROCESS_H
#define CLIENT_PROCESS_H

#include <fastalloc/fastalloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define PROCESS_LANES 256u /* pools with caches at a time; lane 0 is nobody's */

struct thread;

struct process {
    pthread_mutex_t mutex;
    uint64_t generation; /* forks away from the first process */
    bool inherits;       /* a forked child, not yet known to go on as its parent */
    bool blind;          /* could not notice a fork: no thread can begin */
    bool barrier;        /* registered for revocation's barrier */
    uint64_t next_serial;
    struct thread *threads;    /* all that have a record here */
    fastalloc_pool *pools;     /* all that are attached */
    fastalloc_client *clients; /* all that are connected */
    fastalloc_pool *by_lane[PROCESS_LANES];
};

/* The process, locked or not; after a fork put in order first. */
struct process *process_here(void);
struct process *process_lock(void);
void process_unlock(struct process *process);

/* Adds and removes a pool; gives it a lane (0 when none is free) and a serial. */
void process_add_pool(fastalloc_pool *pool);
void process_remove_pool(fastalloc_pool *pool);

/* Adds and removes a client. */
void process_add_client(fastalloc_client *client);
void process_remove_client(fastalloc_client *client);

#endif
