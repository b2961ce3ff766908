/* SPDX-License-Identifier: MIT
 *
 * thread: see thread.h.
 */
#include "thread.h"

#include "attach.h"
#include "pool.h"
#include "shm/magazine.h"
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

__attribute__((noinline)) static void list_thread(struct thread *thread)
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

/* The thread's first call. */
__attribute__((noinline)) static bool begin_thread(void)
{
    struct thread *thread;

    pthread_once(&key_once, make_key);
    thread = key_made && !process_here()->blind ? map_thread() : NULL;
    if (!thread)
        return false;
    if (pthread_setspecific(key, thread)) {
        munmap(thread, sizeof *thread);
        return false;
    }
    fastalloc_lanes_ = thread->lanes;
    return true;
}

struct thread *thread_self(void)
{
    struct thread *thread;

    if (fastalloc_lanes_ == nowhere && !begin_thread())
        return NULL;
    thread = (struct thread *)(void *)fastalloc_lanes_;
    if (!thread->listed) /* new, or wiped by a fork */
        list_thread(thread);
    return thread;
}

enum thread_outlook thread_turn_for(fastalloc_pool *pool, enum cache_want want, uint32_t least)
{
    struct fastalloc_lane_ *lane = fastalloc_lane_of_(&pool->face);
    struct fastalloc_gate_ *gate = lane->gate;
    uint32_t loaded, count, room;

    if (!gate)
        return THREAD_BARRED;
    shm_store(&gate->busy, 1u);
    shm_step();
    room = shm_load(&gate->room);
    if (!room)
        return THREAD_BARRED;
    count = shm_load(lane->loaded);
    if (want == CACHE_ROOM ? count < room && room - count >= least : count >= least)
        return THREAD_SERVED;
    loaded = cache_turn(&pool->segment, (struct shm_cache *)(void *)gate, want, least);
    if (loaded == CACHE_NONE)
        return THREAD_WANTS;
    lane->loaded = magazine_at(&pool->segment, loaded);
    return THREAD_SERVED;
}

enum thread_outlook thread_turn(fastalloc_pool *pool, enum cache_want want)
{
    return thread_turn_for(pool, want, 1);
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
    /* Inside before it leaves the gate: who closes finds it in one or the other. */
    __atomic_store_n(&thread->inside, pool, __ATOMIC_RELEASE);
    gate = thread->lanes[pool->face.lane].gate;
    if (gate)
        shm_store_release(&gate->busy, 0u);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &thread->cancel_state);
    if (!pool_is_ours(pool)) {
        *error = attach_after_fork(pool, &why);
        if (*error) {
            fault_say(&why);
            __atomic_store_n(&thread->inside, NULL, __ATOMIC_RELEASE);
            pthread_setcancelstate(thread->cancel_state, NULL);
            return NULL;
        }
    }
    return thread;
}

static struct actor actor_with(const struct thread *thread, const fastalloc_pool *pool,
                               uint32_t cache)
{
    bool has = cache != THREAD_UNCACHED;

    return (struct actor){
        .session = pool->face.session,
        .cache = has ? cache - 1 : CACHE_NONE,
        .depot = (has ? cache - 1 : thread->id) % pool->segment.geometry.depots,
        .turn = (uint64_t)thread->id * UINT64_C(0x9e3779b97f4a7c15),
    };
}

/* Points the lane at the loaded magazine.  A pool that allocates no more has no
 * lane, so that every call hears of it.  Nor has one that somebody waits in, so that every
 * free may wake him (shm/wait.h), nor one where allocating has more to do (lifecycle.h). */
static void update_lane(struct thread *thread, fastalloc_pool *pool)
{
    struct fastalloc_lane_ *lane = &thread->lanes[pool->face.lane];
    uint32_t cache = thread->caches[pool->face.lane], loaded;
    struct shm_cache *record;

    shm_store(&lane->gate, NULL); /* who wants to close the pool reads it too */
    if (!pool->face.lane || cache == THREAD_UNTRIED || cache == THREAD_UNCACHED ||
        lifecycle_is_due(&pool->segment) || segment_state(&pool->segment) != POOL_LIVE ||
        wait_anybody(&pool->segment))
        return;
    record = &pool->segment.caches[cache - 1];
    loaded = cache_magazine_in(&pool->segment, &record->loaded);
    if (loaded == CACHE_NONE)
        return;
    lane->loaded = magazine_at(&pool->segment, loaded);
    shm_store(&lane->gate, &record->gate);
}

void thread_end(struct thread *thread, fastalloc_pool *pool)
{
    int state = thread->cancel_state;

    pool_refresh(pool);
    update_lane(thread, pool);
    __atomic_store_n(&thread->inside, NULL, __ATOMIC_RELEASE);
    pthread_setcancelstate(state, NULL);
}

struct thread *thread_begin_exchange(fastalloc_pool *pool, struct actor *actor)
{
    struct thread *thread = (struct thread *)(void *)fastalloc_lanes_;

    __atomic_store_n(&thread->inside, pool, __ATOMIC_RELEASE);
    shm_store_release(&thread->lanes[pool->face.lane].gate->busy, 0u);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &thread->cancel_state);
    *actor = actor_with(thread, pool, thread->caches[pool->face.lane]);
    return thread;
}

void thread_end_exchange(struct thread *thread, fastalloc_pool *pool)
{
    int state = thread->cancel_state;

    pool_refresh(pool);
    update_lane(thread, pool);
    __atomic_store_n(&thread->inside, NULL, __ATOMIC_RELEASE);
    pthread_setcancelstate(state, NULL);
}

struct thread *thread_begin_briefly(fastalloc_pool *pool, int *error)
{
    struct thread *thread;

    /* A thread that has a gate is of a process that is attached: a forked child's are gone, and so
     * is its place in the list. */
    if (fastalloc_lane_of_(&pool->face)->gate ||
        (fastalloc_lanes_ != nowhere && ((struct thread *)(void *)fastalloc_lanes_)->listed &&
         pool_is_ours(pool))) {
        thread = (struct thread *)(void *)fastalloc_lanes_;
    } else {
        thread = thread_begin(pool, error);
        if (!thread)
            return NULL;
        thread_end(thread, pool);
    }
    __atomic_store_n(&thread->inside, pool, __ATOMIC_RELEASE);
    return thread;
}

void thread_end_briefly(struct thread *thread)
{
    __atomic_store_n(&thread->inside, NULL, __ATOMIC_RELEASE);
}

/* The thread has no cache yet, or could have none: its record + 1, or THREAD_UNCACHED. */
static uint32_t try_for_cache(struct thread *thread, fastalloc_pool *pool)
{
    uint32_t *cache = &thread->caches[pool->face.lane], claimed;

    if (!pool->face.lane || !pool->segment.geometry.caches || !process_here()->barrier ||
        (*cache == THREAD_UNCACHED && ++thread->uncached_calls % CACHE_RETRY_CALLS != 0))
        return THREAD_UNCACHED;
    claimed = cache_claim(&pool->segment, pool->face.session, thread->id);
    *cache = claimed == CACHE_NONE ? THREAD_UNCACHED : claimed + 1;
    return *cache;
}

struct actor thread_actor(struct thread *thread, fastalloc_pool *pool)
{
    uint32_t cache = thread->caches[pool->face.lane];

    if (cache == THREAD_UNTRIED || cache == THREAD_UNCACHED)
        cache = try_for_cache(thread, pool);
    return actor_with(thread, pool, cache);
}

/* ------------------------------------------------------------ other threads */

bool thread_others_inside_locked(const struct process *process, const fastalloc_pool *pool)
{
    const struct thread *self = (const struct thread *)(const void *)fastalloc_lanes_;
    const struct thread *thread;

    for (thread = process->threads; thread; thread = thread->next) {
        const struct fastalloc_gate_ *gate = shm_load(&thread->lanes[pool->face.lane].gate);

        if (thread == self)
            continue;
        /* The gate first: a thread goes from there on to being inside. */
        if ((gate && shm_load_acquire(&gate->busy)) ||
            __atomic_load_n(&thread->inside, __ATOMIC_ACQUIRE) == pool)
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
