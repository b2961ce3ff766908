/* SPDX-License-Identifier: MIT
 *
 * process: see process.h.
 */
#include "process.h"

#include "client.h"
#include "event.h"
#include "fork.h"
#include "pool.h"
#include "shm/revoke.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum mark { MARK_GONE = 0, MARK_MAKING, MARK_MADE };

static struct process process = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static uint32_t *mark; /* on the page that a child finds wiped */
static uint32_t mark_without_memory;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void map_mark(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *mapped = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    /* Without it a child would take itself for its parent: then nothing works. */
    process.blind = mapped == MAP_FAILED || madvise(mapped, page, MADV_WIPEONFORK);
    process.generation = 0;
    process.barrier = revoke_register();
    fork_install();
    __atomic_store_n(&mark, process.blind ? &mark_without_memory : mapped, __ATOMIC_RELEASE);
    __atomic_store_n(mark, (uint32_t)MARK_MADE, __ATOMIC_RELEASE);
}

/* The first call in a forked child: the threads are gone, and whatever mutex
 * they held. */
static void become_child(void)
{
    fastalloc_client *client;
    fastalloc_pool *pool;

    process.generation++;
    process.inherits = true;
    process.threads = NULL;
    pthread_mutex_init(&process.mutex, NULL);
    fork_become_child();
    for (pool = process.pools; pool; pool = pool->next) {
        pthread_mutex_init(&pool->mutex, NULL);
        event_become_child(pool);
        holds_become_child(&pool->holds);
    }
    for (client = process.clients; client; client = *client_next(client))
        client_become_child(client);
    process.barrier = revoke_register();
}

/* The first call of a process. */
__attribute__((noinline)) static struct process *put_in_order(void)
{
    uint32_t seen = MARK_GONE;

    pthread_once(&once, map_mark);
    if (__atomic_load_n(mark, __ATOMIC_ACQUIRE) == MARK_MADE)
        return &process;
    if (__atomic_compare_exchange_n(mark, &seen, (uint32_t)MARK_MAKING, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        become_child();
        __atomic_store_n(mark, (uint32_t)MARK_MADE, __ATOMIC_RELEASE);
    }
    while (__atomic_load_n(mark, __ATOMIC_ACQUIRE) != MARK_MADE)
        usleep(10);
    return &process;
}

struct process *process_here(void)
{
    const uint32_t *made = __atomic_load_n(&mark, __ATOMIC_ACQUIRE);

    return made && __atomic_load_n(made, __ATOMIC_ACQUIRE) == MARK_MADE ? &process : put_in_order();
}

struct process *process_lock(void)
{
    struct process *here = process_here();

    pthread_mutex_lock(&here->mutex);
    return here;
}

void process_unlock(struct process *here)
{
    pthread_mutex_unlock(&here->mutex);
}

void process_add_pool(fastalloc_pool *pool)
{
    struct process *here = process_lock();
    uint32_t lane;

    for (lane = 1; lane < PROCESS_LANES && here->by_lane[lane]; lane++)
        ;
    pool->face.lane = lane < PROCESS_LANES ? lane : 0;
    pool->face.lane_at = pool->face.lane * sizeof(struct fastalloc_lane_);
    if (pool->face.lane)
        here->by_lane[pool->face.lane] = pool;
    pool->serial = ++here->next_serial;
    pool->generation = here->generation;
    pool->next = here->pools;
    here->pools = pool;
    process_unlock(here);
}

void process_remove_pool(fastalloc_pool *pool)
{
    struct process *here = process_lock();
    fastalloc_pool **link;

    for (link = &here->pools; *link && *link != pool; link = &(*link)->next)
        ;
    if (*link)
        *link = pool->next;
    if (pool->face.lane)
        here->by_lane[pool->face.lane] = NULL;
    process_unlock(here);
}

void process_add_client(fastalloc_client *client)
{
    struct process *here = process_lock();

    *client_next(client) = here->clients;
    here->clients = client;
    process_unlock(here);
}

void process_remove_client(fastalloc_client *client)
{
    struct process *here = process_lock();
    fastalloc_client **link;

    for (link = &here->clients; *link && *link != client; link = client_next(*link))
        ;
    if (*link)
        *link = *client_next(client);
    process_unlock(here);
}
