/* SPDX-License-Identifier: MIT
 *
 * thread: see thread.h.
 */
#include "thread.h"

#include "attach.h"
#include "pool.h"
#include "shm/wait.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CACHE_RETRY_CALLS 256u /* slow calls of a thread without a cache until it tries again */

/* What a thread has before it has a record: lanes that lead nowhere. */
static struct fastalloc_lane_ nowhere[PROCESS_LANES];

FASTALLOC_API __thread struct fastalloc_lane_ *fastalloc_lanes_
    __attribute__((tls_model("initial-exec"))) = nowhere;

static pthread_key_t key;
static bool key_made;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

/* ---------------------------------------------------- beginning, ending */

static void release_caches(struct process *process, struct thread *thread)
{
    uint32_t lane;

    for (lane = 1; lane < PROCESS_LANES; lane++) {
        fastalloc_pool *pool = process->by_lane[lane];
        uint32_t cache = thread->caches[lane];

        if (!pool || cache == THREAD_UNTRIED || cache == THREAD_UNCACHED)
            continue;
        thread->lanes[lane].gate = NULL;
        thread->caches[lane] = THREAD_UNTRIED;
        if (pool->generation == process->generation) {
            struct actor actor = {pool->face.session, cache - 1,
                                  (cache - 1) % pool->segment.geometry.depots, 0};

            cache_release(&pool->segment, &actor);
        }
    }
}

/* A thread ends: what its caches hold goes back, then the record. */
static void end_thread(void *record)
{
    struct thread *thread = record;
    struct process *process = process_lock();

    if (thread->listed) {
        release_caches(process, thread);
        *thread->link = thread->next;
        if (thread->next)
            thread->next->link = thread->link;
    }
    process_unlock(process);
    fastalloc_lanes_ = nowhere;
    munmap(thread, sizeof *thread);
}

static void make_key(void)
{
    key_made = pthread_key_create(&key, end_thread) == 0;
}

static struct thread *map_thread(void)
{
    struct thread *thread =
        mmap(NULL, sizeof *thread, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (thread == MAP_FAILED)
        return NULL;
    if (madvise(thread, sizeof *thread, MADV_WIPEONFORK)) {
        munmap(thread, sizeof *thread);
        return NULL;
    }
    return thread;
}

static void list_thread(struct thread *thread)
{
    struct process *process = process_lock();

    thread->id = (uint32_t)syscall(SYS_gettid);
    thread->next = process->threads;
    thread->link = &process->threads;
    if (thread->next)
        thread->next->link = &thread->next;
    process->threads = thread;
    thread->listed = true;
    process_unlock(process);
}

struct thread *thread_self(void)
{
    struct thread *thread;

    if (fastalloc_lanes_ == nowhere) {
        pthread_once(&key_once, make_key);
        thread = key_made && !process_here()->blind ? map_thread() : NULL;
        if (!thread)
            return NULL;
        if (pthread_setspecific(key, thread)) {
            munmap(thread, sizeof *thread);
            return NULL;
        }
        fastalloc_lanes_ = thread->lanes;
    }
    thread = (struct thread *)(void *)fastalloc_lanes_;
    if (!thread->listed) /* new, or wiped by a fork */
        list_thread(thread);
    return thread;
}

/* ------------------------------------------------------------ slow calls */

struct thread *thread_begin(fastalloc_pool *pool, int *error)
{
    struct thread *thread = thread_self();
    struct fastalloc_gate_ *gate;
    struct reason why;

    if (!thread) {
        *error = FASTALLOC_E_NO_MEMORY;
        return NULL;
    }
    gate = thread->lanes[pool->face.lane].gate;
    if (gate)
        shm_store_release(&gate->busy, 0u);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &thread->cancel_state);
    __atomic_store_n(&thread->inside, pool, __ATOMIC_RELEASE);
    if (!pool_is_ours(pool)) {
        *error = attach_after_fork(pool, &why);
        if (*error) {
            fault_say(&why);
            __atomic_store_n(&thread->inside, NULL, __ATOMIC_RELEASE);
            pthread_setcancelstate(thread->cancel_state, NULL);
            return NULL;
        }
    }
    pool_refresh(pool);
    return thread;
}

/* Points the lane at the loaded magazine.  A pool that allocates no more has no
 * lane, so that every call hears of it.  Nor has one that somebody waits in, so that every
 * free may wake him (shm/wait.h), nor one where allocating has more to do (lifecycle.h). */
static void update_lane(struct thread *thread, fastalloc_pool *pool)
{
    struct fastalloc_lane_ *lane = &thread->lanes[pool->face.lane];
    uint32_t cache = thread->caches[pool->face.lane], loaded;
    struct actor actor;

    lane->gate = NULL;
    if (!pool->face.lane || cache == THREAD_UNTRIED || cache == THREAD_UNCACHED ||
        lifecycle_is_due(&pool->segment) || segment_state(&pool->segment) != POOL_LIVE ||
        wait_anybody(&pool->segment))
        return;
    actor.cache = cache - 1;
    loaded = cache_loaded(&pool->segment, &actor);
    if (loaded == CACHE_NONE)
        return;
    lane->loaded =
        pool->segment.magazines + (uint64_t)loaded * (pool->segment.geometry.magazine_size + 1);
    lane->gate = &pool->segment.caches[actor.cache].gate;
}

void thread_end(struct thread *thread, fastalloc_pool *pool)
{
    int state = thread->cancel_state;

    pool_refresh(pool);
    update_lane(thread, pool);
    __atomic_store_n(&thread->inside, NULL, __ATOMIC_RELEASE);
    pthread_setcancelstate(state, NULL);
}

struct actor thread_actor(struct thread *thread, fastalloc_pool *pool)
{
    const struct geometry *geometry = &pool->segment.geometry;
    struct actor actor = {pool->face.session, CACHE_NONE, thread->id % geometry->depots,
                          (uint64_t)thread->id * UINT64_C(0x9e3779b97f4a7c15)};
    uint32_t *cache = &thread->caches[pool->face.lane];

    if (!pool->face.lane || !geometry->caches || !process_here()->barrier)
        return actor;
    if (*cache == THREAD_UNTRIED ||
        (*cache == THREAD_UNCACHED && ++thread->uncached_calls % CACHE_RETRY_CALLS == 0)) {
        uint32_t claimed = cache_claim(&pool->segment, actor.session, thread->id);

        *cache = claimed == CACHE_NONE ? THREAD_UNCACHED : claimed + 1;
    }
    if (*cache != THREAD_UNCACHED) {
        actor.cache = *cache - 1;
        actor.depot = actor.cache % geometry->depots;
    }
    return actor;
}

/* ------------------------------------------------------------ other threads */

bool thread_others_inside_locked(const struct process *process, const fastalloc_pool *pool)
{
    const struct thread *self = (const struct thread *)(const void *)fastalloc_lanes_;
    const struct thread *thread;

    for (thread = process->threads; thread; thread = thread->next) {
        const struct fastalloc_gate_ *gate = thread->lanes[pool->face.lane].gate;

        if (thread == self)
            continue;
        if (__atomic_load_n(&thread->inside, __ATOMIC_ACQUIRE) == pool ||
            (gate && shm_load_acquire(&gate->busy)))
            return true;
    }
    return false;
}

void thread_forget_pool_locked(struct process *process, const fastalloc_pool *pool)
{
    struct thread *thread;

    for (thread = process->threads; thread; thread = thread->next) {
        thread->lanes[pool->face.lane].gate = NULL;
        thread->caches[pool->face.lane] = THREAD_UNTRIED;
    }
}
