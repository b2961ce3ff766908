/* SPDX-License-Identifier: MIT
 *
 * dpdk: a worker whose implementation is DPDK's rte_mempool with caches of 256 objects,
 * on ordinary pages and without devices.
 *
 * Without huge pages DPDK takes all its memory from one shared mapping, so that processes
 * forked afterwards share the pools in it.  Its own allocator keeps its lists in private
 * memory: whatever is needed of it is allocated before anybody forks.  A thread or process
 * that joins has a cache of its own in its own memory, as DPDK provides for threads that are
 * not its own.
 */
#include "implementation.h"
#include "loops.h"
#include "loops_shared.h"
#include "worker.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <rte_version.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_OBJECTS 256u
/* Address space of all pools of a worker; what is not used takes no memory. */
#define MEGABYTES "768"
/* A cache holds up to one and a half times its size; so many may lie in the caches of others. */
#define JOINED_MAX 32u

struct mempool {
    struct rte_mempool *pool;
    struct rte_mempool_cache *cache; /* of this thread */
};

static struct rte_mempool_cache *empty_cache;

/* ------------------------------------------------------------ a pool of it */

/* DPDK pins its first thread to the processor of its lcore; we go where the suite says. */
static void begin(void)
{
    static char options[][24] = {
        "bench-worker-dpdk",    "--no-huge", "--no-pci", "--no-telemetry", "--no-shconf",
        "--log-level=critical", "-m",        MEGABYTES,  "--lcores=..."};
    char *arguments[sizeof options / sizeof *options];
    char *lcore = options[sizeof options / sizeof *options - 1];
    static bool begun;
    cpu_set_t processors;
    int first = 0;
    char why[160];
    size_t i;

    if (begun)
        return;
    if (sched_getaffinity(0, sizeof processors, &processors))
        bench_give_up("dpdk", "sched_getaffinity() failed");
    while (!CPU_ISSET(first, &processors))
        first++;
    for (i = 0; i < sizeof options / sizeof *options; i++)
        arguments[i] = options[i];
    snprintf(lcore, sizeof *options, "--lcores=0@%d", first);
    /* Where DPDK cannot make files for other processes, it goes on without. */
    setenv("RUNTIME_DIRECTORY", "/dev/null", 1);
    if (rte_eal_init((int)i, arguments) < 0) {
        snprintf(why, sizeof why, "DPDK does not run here: rte_eal_init(): %s",
                 rte_strerror(rte_errno));
        bench_absent(why);
    }
    sched_setaffinity(0, sizeof processors, &processors);
    empty_cache = rte_mempool_cache_create(CACHE_OBJECTS, SOCKET_ID_ANY);
    if (!empty_cache)
        bench_give_up("dpdk: rte_mempool_cache_create", rte_strerror(rte_errno));
    begun = true;
}

static void *mempool_start(size_t object_size, size_t slots)
{
    static unsigned started;
    struct mempool *mempool = malloc(sizeof *mempool);
    char name[RTE_MEMPOOL_NAMESIZE];

    begin();
    snprintf(name, sizeof name, "bench-%u", started++);
    if (!mempool)
        bench_give_up("dpdk", "no memory");
    mempool->pool = rte_mempool_create(
        name, (unsigned)slots + JOINED_MAX * (CACHE_OBJECTS + CACHE_OBJECTS / 2),
        (unsigned)object_size, CACHE_OBJECTS, 0, NULL, NULL, NULL, NULL, SOCKET_ID_ANY, 0);
    if (!mempool->pool)
        bench_give_up("dpdk: rte_mempool_create", rte_strerror(rte_errno));
    mempool->cache = rte_mempool_default_cache(mempool->pool, rte_lcore_id());
    return mempool;
}

/* An empty cache in the joiner's own memory: two processes that called
 * rte_mempool_cache_create() now would be given the same. */
static void *mempool_join(void *state)
{
    struct mempool *mempool = malloc(sizeof *mempool);

    if (!mempool)
        bench_give_up("dpdk", "no memory");
    mempool->pool = ((struct mempool *)state)->pool;
    mempool->cache = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof *mempool->cache);
    if (!mempool->cache)
        bench_give_up("dpdk", "no memory");
    memcpy(mempool->cache, empty_cache, sizeof *mempool->cache);
    return mempool;
}

static void mempool_leave(void *state)
{
    struct mempool *mempool = state;

    rte_mempool_cache_flush(mempool->cache, mempool->pool);
    free(mempool->cache);
    free(mempool);
}

/* ---------------------------------------------------------------- its use */

/* rte_mempool_get() and rte_mempool_put(), but that these first look up the cache. */

typedef struct mempool *mempool_state;
typedef void *mempool_handle;

BENCH_INLINE void *mempool_take(struct mempool *mempool, void **handle)
{
    void *object;

    if (rte_mempool_generic_get(mempool->pool, &object, 1, mempool->cache))
        bench_give_up("dpdk: rte_mempool_get", "no object");
    *handle = object;
    return object;
}

BENCH_INLINE void mempool_give(struct mempool *mempool, void *handle)
{
    rte_mempool_generic_put(mempool->pool, &handle, 1, mempool->cache);
}

BENCH_INLINE void *mempool_at(struct mempool *mempool, void *handle)
{
    (void)mempool;
    return handle;
}

/* Addresses are the same in all forked processes. */
BENCH_INLINE uint64_t mempool_token(struct mempool *mempool, void *handle)
{
    (void)mempool;
    return (uintptr_t)handle;
}

BENCH_INLINE void *mempool_accept(struct mempool *mempool, uint64_t token, void **object)
{
    return *object = mempool_at(mempool, (void *)(uintptr_t)token);
}

BENCH_DEFINE_LOOPS(mempool)
BENCH_DEFINE_LOOPS_SHARED(mempool)

static void mempool_batches(void *of, size_t count, size_t batch)
{
    struct mempool *mempool = of;
    void *objects[BENCH_CALL_MAX];
    size_t done, i;

    for (done = 0; done < count; done += batch) {
        if (rte_mempool_generic_get(mempool->pool, objects, (unsigned)batch, mempool->cache))
            bench_give_up("dpdk: rte_mempool_get_bulk", "no objects");
        for (i = 0; i < batch; i++)
            bench_write(objects[i], i);
        rte_mempool_generic_put(mempool->pool, objects, (unsigned)batch, mempool->cache);
    }
}

int main(int argc, char **argv)
{
    static const struct bench_implementation dpdk_mempool = {
        .name = "dpdk-mempool",
        .reach = BENCH_PROCESSES,
        .version = rte_version,
        .start = mempool_start,
        .join = mempool_join,
        .leave = mempool_leave,
        .batches = mempool_batches,
        BENCH_LOOPS(mempool),
    };
    static const struct bench_implementation *const implementations[] = {&dpdk_mempool, NULL};

    return worker_main(implementations, argc, argv);
}
