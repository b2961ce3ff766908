/* SPDX-License-Identifier: MIT
 *
 * scale_pool: see scale_pool.h.
 */
#define _GNU_SOURCE
#include "scale_pool.h"

#include "os/backing.h"
#include "shm/revoke.h"
#include "shm/session.h"
#include "shm/slot.h"
#include "shm/supply.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

double scale_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double scale_cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static cpu_set_t usable; /* as the program was started */

unsigned scale_processors(void)
{
    if (CPU_COUNT(&usable) == 0 && sched_getaffinity(0, sizeof usable, &usable))
        scale_give_up("cannot tell which processors to use: %s", strerror(errno));
    return (unsigned)CPU_COUNT(&usable);
}

void scale_pin(unsigned n)
{
    unsigned left = n % scale_processors();
    cpu_set_t one;
    int cpu;

    for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &usable) && left-- == 0)
            break;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one))
        scale_give_up("cannot keep to processor %d: %s", cpu, strerror(errno));
}

pid_t scale_fork(void)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child < 0)
        scale_give_up("cannot fork: %s", strerror(errno));
    return child;
}

void *scale_share(size_t bytes)
{
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        scale_give_up("cannot share %zu bytes: %s", bytes, strerror(errno));
    return shared;
}

void scale_unshare(void *shared, size_t bytes)
{
    munmap(shared, bytes);
}

/* ---------------------------------------------------------------- pools */

static int plan(struct pool_spec *spec, uint64_t slots, uint64_t object_size, uint32_t threads,
                uint32_t sessions, uint32_t flags, struct geometry *geometry)
{
    struct reason why = {0, ""};

    memset(spec, 0, sizeof *spec);
    strcpy(spec->name, "scale");
    spec->object_size = object_size;
    spec->capacity = slots;
    spec->max_threads = threads;
    spec->max_sessions = sessions;
    spec->flags = flags;
    if (spec_complete(spec, &why) || geometry_plan(geometry, spec, &why)) {
        fprintf(stderr, "bench-scale: %s\n", why.text);
        return -1;
    }
    return 0;
}

int scale_plan(uint64_t slots, uint64_t object_size, uint32_t threads, uint32_t sessions,
               uint32_t flags, struct geometry *geometry)
{
    struct pool_spec spec;

    return plan(&spec, slots, object_size, threads, sessions, flags, geometry);
}

static void *get_memory(struct scale_pool *pool, bool backed)
{
    struct reason why = {0, ""};
    void *base;

    pool->descriptor = -1;
    if (!backed)
        return scale_share(pool->bytes);
    if (backing_create_nameless("bench-scale", pool->bytes, &pool->descriptor, &why) ||
        backing_reserve(pool->descriptor, 0, pool->bytes, &why) ||
        backing_map(pool->descriptor, pool->bytes, true, NULL, 0, &base, &why))
        scale_give_up("%s", why.text);
    return base;
}

void scale_pool_make(struct scale_pool *pool, uint64_t slots, uint32_t threads, uint32_t sessions,
                     bool backed)
{
    struct reason why = {0, ""};
    struct geometry geometry;
    struct pool_spec spec;

    if (plan(&spec, slots, 8, threads, sessions, 0, &geometry))
        scale_give_up("no pool of %llu slots", (unsigned long long)slots);
    pool->bytes = geometry.total;
    if (segment_format(&pool->segment, get_memory(pool, backed), &spec, &geometry, 7, 1000, &why))
        scale_give_up("%s", why.text);
    if (!revoke_register())
        scale_give_up("membarrier is refused here");
}

void scale_pool_end(struct scale_pool *pool)
{
    munmap(pool->segment.base, pool->bytes);
    if (pool->descriptor >= 0)
        close(pool->descriptor);
}

struct actor scale_pool_actor(struct scale_pool *pool, uint32_t session, bool cached)
{
    struct actor actor = {.session = session,
                          .cache = CACHE_NONE,
                          .depot = session % pool->segment.geometry.depots,
                          .turn = session * UINT64_C(0x9e3779b97f4a7c15)};

    if (session_state(&pool->segment, session) != SESSION_LIVE)
        session_open(&pool->segment, session, (uint32_t)getpid(), 0, "bench-scale");
    if (cached)
        actor.cache = cache_claim(&pool->segment, session, session);
    return actor;
}

void scale_pool_stock(struct scale_pool *pool, const struct actor *actor, uint64_t slots)
{
    uint64_t *taken = malloc(slots * sizeof *taken), i, word;

    if (!taken)
        scale_give_up("no memory for %llu slots", (unsigned long long)slots);
    for (i = 0; i < slots; i++)
        if (supply_alloc(&pool->segment, actor, SUPPLY_PATIENCE_US, &taken[i], &word))
            scale_give_up("allocating slot %llu fails", (unsigned long long)i);
    while (i-- > 0)
        supply_free(&pool->segment, actor, taken[i], shm_load(&pool->segment.words[taken[i]]));
    free(taken);
}

void scale_pool_own(struct scale_pool *pool, uint32_t session, uint64_t from, uint64_t to)
{
    for (; from < to; from++)
        if (!slot_claim_fresh(&pool->segment, from, session) &&
            !slot_claim_returned(&pool->segment, from, session))
            scale_give_up("slot %llu is not to be had", (unsigned long long)from);
}
