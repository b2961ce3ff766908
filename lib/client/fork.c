/* SPDX-License-Identifier: MIT
 *
 * fork: see fork.h.
 */
#include "fork.h"

#include "attach.h"
#include "client.h"
#include "fault.h"
#include "pool.h"
#include "process.h"
#include "shm/cache.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

/* A tenth of a second is a fork's patience. */
#define PAUSE_NS 200000
#define TRIES 500u

/* ------------------------------------------------------------- holding back */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* The thread that holds it for a fork; in the child the only one. */
static pthread_t forking;
static bool forks; /* guarded by the mutex, but for one's own */

static void before_fork(void)
{
    const struct timespec pause = {0, PAUSE_NS};
    unsigned tries;

    for (tries = 0; tries < TRIES; tries++) {
        if (pthread_mutex_trylock(&mutex) == 0) {
            __atomic_store_n(&forking, pthread_self(), __ATOMIC_RELAXED);
            __atomic_store_n(&forks, true, __ATOMIC_RELAXED);
            return;
        }
        nanosleep(&pause, NULL);
    }
}

/* Whether this thread's fork went ahead with the mutex; another's may have, just now. */
static bool is_held_here(void)
{
    return __atomic_load_n(&forks, __ATOMIC_RELAXED) &&
           pthread_equal(__atomic_load_n(&forking, __ATOMIC_RELAXED), pthread_self());
}

static void after_fork(void)
{
    if (!is_held_here())
        return;
    __atomic_store_n(&forks, false, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&mutex);
}

void fork_become_child(void)
{
    bool held = is_held_here();

    after_fork();
    /* A thread that is not here may have it. */
    if (!held)
        pthread_mutex_init(&mutex, NULL);
}

void fork_install(void)
{
    pthread_atfork(before_fork, after_fork, fork_become_child);
}

void fork_hold(void)
{
    pthread_mutex_lock(&mutex);
}

void fork_release(void)
{
    pthread_mutex_unlock(&mutex);
}

/* ---------------------------------------------------------------- letting go */

enum found { NONE_LEFT, LET_GO, IN_USE, FAILED };

/* Lets go of one inherited pool, or tells that somebody is just attaching it anew. */
static enum found let_go_of_one(struct reason *why)
{
    struct process *process = process_lock();
    enum found found = NONE_LEFT;
    fastalloc_pool *pool;

    for (pool = process->pools; pool && found == NONE_LEFT; pool = pool->next) {
        if (pool_is_ours(pool) || pool->vacated)
            continue;
        /* The other order of the two locks, so without waiting. */
        found = IN_USE;
        if (pthread_mutex_trylock(&pool->mutex) == 0) {
            found = attach_vacate_locked(pool, why) ? FAILED : LET_GO;
            pthread_mutex_unlock(&pool->mutex);
        }
    }
    process_unlock(process);
    return found;
}

int fastalloc_fork_detach(void)
{
    const struct timespec pause = {0, PAUSE_NS};
    enum found found;
    struct reason why;
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    while ((found = let_go_of_one(&why)) == LET_GO || found == IN_USE)
        if (found == IN_USE)
            nanosleep(&pause, NULL);
    pthread_setcancelstate(cancel_state, NULL);
    return found == FAILED ? fault_say(&why) : 0;
}

/* -------------------------------------------------------------- going on as */

static bool has_begun_anew(const struct process *process)
{
    const fastalloc_pool *pool;

    for (pool = process->pools; pool; pool = pool->next)
        if (pool_is_ours(pool) || pool->vacated)
            return true;
    return false;
}

/* The parent's threads are not here: what their caches hold goes back, whether or not they
 * gave it back before. */
static void take_over(fastalloc_pool *pool, uint64_t generation)
{
    struct segment *segment = &pool->segment;
    struct actor actor = {pool->face.session, 0, 0, 0};

    for (; actor.cache < segment->geometry.caches; actor.cache++)
        if (cache_session_of(shm_load(&segment->caches[actor.cache].holder)) == actor.session) {
            actor.depot = actor.cache % segment->geometry.depots;
            cache_release(segment, &actor);
        }
    shm_store(&segment->sessions[actor.session].pid, (uint32_t)getpid());
    lifecycle_become_child(pool);
    attach_forget_advice(pool, 0);
    __atomic_store_n(&pool->generation, generation, __ATOMIC_RELEASE);
}

int fastalloc_fork_keep(void)
{
    struct process *process = process_lock();
    fastalloc_client *client;
    fastalloc_pool *pool;
    struct reason why;
    int error = 0;

    if (!process->inherits) {
        process_unlock(process);
        return 0;
    }
    if (has_begun_anew(process)) {
        process_unlock(process);
        return fault_set(FASTALLOC_E_BUSY,
                         "fastalloc_fork_keep: this child has sessions of its own already, or has "
                         "let go of its parent's: call it before anything else");
    }
    for (pool = process->pools; pool; pool = pool->next)
        take_over(pool, process->generation);
    process->inherits = false;
    process_unlock(process);
    for (client = process->clients; client; client = *client_next(client))
        client_keep(client);
    for (pool = process->pools; pool && !error; pool = pool->next)
        error = attach_advise(pool, &why);
    return error ? fault_say(&why) : 0;
}
