/* SPDX-License-Identifier: MIT
 *
 * costs_deaths: what a death costs those who live on.
 *
 *   reclaim   a process that holds half of a pool of 65,536 slots is killed: from the kill until
 *             another process has every one of them
 *   recover   a process is killed inside a depot's lock, in a pool of a million slots that are all
 *             idle in that depot: what the next to lock it needs to build its lists anew; of
 *             robust-mutex what the next to lock needs who has nothing to build
 */
#include "costs.h"

#include "shm/cache.h"
#include "shm/depot.h"
#include "shm/lock.h"
#include "shm/magazine.h"
#include "shm/slot.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECLAIM_SLOTS 65536u
#define RECLAIM_PATIENCE_MS 20000u
#define RECOVER_SLOTS 1000000u
#define OWNER 1u
#define DEPOT 0u

/* --------------------------------------------------------------- reclaiming */

static fastalloc_pool *pool;
static fastalloc_handle handles[RECLAIM_SLOTS];

static void start_reclaim(void)
{
    fastalloc_pool_config config;

    costs_config(&config, "bench-reclaim", 64, RECLAIM_SLOTS);
    costs_must(!fastalloc_pool_create(costs_client(), &config, &pool), "no pool");
}

/* A child that holds half of the pool. */
static pid_t start_holder(void)
{
    int ready[2];
    pid_t child;
    char byte;

    costs_must(pipe(ready) == 0, "no pipe");
    child = worker_fork();
    if (child == 0) {
        size_t i;

        for (i = 0; i < RECLAIM_SLOTS / 2; i++)
            if (fastalloc_alloc(pool, &handles[i], NULL))
                _exit(1);
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    costs_must(read(ready[0], &byte, 1) == 1, "the holder has failed");
    close(ready[0]);
    return child;
}

static double reclaim(void)
{
    double began, took;
    pid_t holder;
    size_t i;

    if (!pool)
        start_reclaim();
    holder = start_holder();
    for (i = 0; i < RECLAIM_SLOTS / 2; i++)
        costs_must(!fastalloc_alloc(pool, &handles[i], NULL), "fastalloc_alloc");
    began = worker_now();
    kill(holder, SIGKILL);
    for (; i < RECLAIM_SLOTS; i++)
        costs_must(
            !fastalloc_alloc_wait(pool, &handles[i], NULL, fastalloc_deadline(RECLAIM_PATIENCE_MS)),
            "fastalloc_alloc_wait");
    took = worker_now() - began;
    waitpid(holder, NULL, 0);
    costs_must(!fastalloc_free_batch(pool, RECLAIM_SLOTS, handles, NULL), "fastalloc_free_batch");
    fastalloc_thread_flush(pool);
    return took;
}

COSTS_MEASURE(costs_reclaim)
{
    (void)workload;
    if (!costs_apply(implementation))
        return 0;
    if (count)
        *figures = reclaim() / 1e6;
    return 1;
}

/* --------------------------------------------------------------- recovering */

static struct segment segment;

/* A million idle slots, all in one depot. */
static void fill_depot(void)
{
    struct pool_spec spec = {.name = "bench-recover",
                             .object_size = 8,
                             .capacity = RECOVER_SLOTS,
                             .max_threads = 8,
                             .max_sessions = 8};
    struct geometry geometry;
    uint64_t word = 0, index;
    uint32_t magazine = 0;
    struct reason why;

    if (spec_complete(&spec, &why) || geometry_plan(&geometry, &spec, &why) ||
        segment_format(&segment, costs_shared(geometry.total), &spec, &geometry, 1, 1, &why))
        bench_give_up("no segment", why.text);
    costs_must(depot_lock(&segment, DEPOT, NULL) == LOCK_TAKEN, "depot_lock");
    for (index = 0; index < RECOVER_SLOTS; index++) {
        if (index % geometry.magazine_size == 0) {
            if (index)
                depot_give_locked(&segment, DEPOT, magazine, word);
            costs_must(magazine_fresh(&segment, OWNER, &magazine, &word), "no magazine");
        }
        costs_must(slot_claim_fresh(&segment, index, OWNER), "the slot is taken");
        magazine_push(&segment, magazine, index, segment.words[index], true);
    }
    depot_give_locked(&segment, DEPOT, magazine, word);
    depot_unlock(&segment, DEPOT);
}

/* A child that locks, and dies of it. */
static void die_inside(bool (*lock)(void))
{
    pid_t child = worker_fork();
    int status;

    if (child == 0) {
        if (lock())
            raise(SIGKILL);
        _exit(1);
    }
    waitpid(child, &status, 0);
    costs_must(WIFSIGNALED(status), "the holder has failed");
}

static bool lock_depot(void)
{
    return depot_lock(&segment, DEPOT, NULL) == LOCK_TAKEN;
}

static double recover(void)
{
    double began, took;
    uint64_t rebuilds;

    if (!segment.base)
        fill_depot();
    rebuilds = segment.depots[DEPOT].rebuilds;
    die_inside(lock_depot);
    began = worker_now();
    costs_must(lock_depot(), "depot_lock");
    took = worker_now() - began;
    costs_must(segment.depots[DEPOT].rebuilds == rebuilds + 1, "nothing was rebuilt");
    depot_unlock(&segment, DEPOT);
    return took;
}

/* What a robust mutex costs that guards nothing which had to be mended. */
static pthread_mutex_t *mutex;

static bool lock_mutex(void)
{
    return pthread_mutex_lock(mutex) == 0;
}

static double recover_mutex(void)
{
    pthread_mutexattr_t attributes;
    double began, took;

    if (!mutex) {
        mutex = costs_shared(sizeof *mutex);
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        costs_must(!pthread_mutex_init(mutex, &attributes), "pthread_mutex_init");
        pthread_mutexattr_destroy(&attributes);
    }
    die_inside(lock_mutex);
    began = worker_now();
    costs_must(pthread_mutex_lock(mutex) == EOWNERDEAD && !pthread_mutex_consistent(mutex),
               "the holder's death was not told");
    took = worker_now() - began;
    pthread_mutex_unlock(mutex);
    return took;
}

COSTS_MEASURE(costs_recover)
{
    bool bare = !strcmp(implementation->name, "robust-mutex");

    (void)workload;
    if (!costs_apply(implementation) && !bare)
        return 0;
    if (count)
        *figures = (bare ? recover_mutex() : recover()) / 1e6;
    return 1;
}
