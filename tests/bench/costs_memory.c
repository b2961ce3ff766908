/* SPDX-License-Identifier: MIT
 *
 * costs_memory: making a pool beside reserving its memory, attaching to one, and what of its
 * memory is not objects.
 */
#include "costs.h"

#include "shm/layout.h"
#include "shm/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CREATE_SLOTS 524288u
#define CREATE_SIZE 256u
#define ATTACH_SLOTS 1000000u
#define ATTACH_SIZE 64u
#define ATTACHES 5

/* What metadata may be, for each slot, pool and configured thread. */
#define SLOT_BYTES 14.0
#define POOL_BYTES 65536.0
#define THREAD_BYTES 1536.0

static void plan(struct geometry *geometry, size_t object_size, size_t capacity)
{
    struct pool_spec spec = {.object_size = object_size, .capacity = capacity};
    struct reason why;

    if (spec_complete(&spec, &why) || geometry_plan(geometry, &spec, &why))
        bench_give_up("no geometry", why.text);
}

/* ----------------------------------------------------------------- creating */

/* What a pool of so many bytes cannot do without: ns. */
static double fallocate_bytes(uint64_t bytes, bool named)
{
    double began, took;
    char name[64];
    int file, error;

    snprintf(name, sizeof name, "/fastalloc-bench-%d", (int)getpid());
    began = worker_now();
    file = named ? shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)
                 : memfd_create("fastalloc-bench", MFD_CLOEXEC);
    if (named && file >= 0)
        shm_unlink(name);
    if (file < 0 || ftruncate(file, (off_t)bytes))
        bench_give_up("no shared memory", strerror(errno));
    error = posix_fallocate(file, 0, (off_t)bytes);
    took = worker_now() - began;
    if (error)
        bench_give_up("posix_fallocate", strerror(error));
    close(file);
    return took;
}

/* Closing gives the memory back before it returns, as above: also the daemon's answer waits
 * until the last session's pool is gone. */
static double create(fastalloc_client *client)
{
    fastalloc_pool_config config;
    fastalloc_pool *pool;
    double began, took;

    costs_config(&config, "bench-create", CREATE_SIZE, CREATE_SLOTS);
    began = worker_now();
    costs_must(!(client ? fastalloc_pool_create(client, &config, &pool)
                        : fastalloc_pool_create_local(&config, &pool)),
               "no pool");
    took = worker_now() - began;
    costs_must(!fastalloc_pool_close(pool), "fastalloc_pool_close");
    return took;
}

/* Between two of its like, so that a change of the machine's mood meets both. */
static void create_beside(fastalloc_client *client, uint64_t bytes, double *figures)
{
    double bare = fallocate_bytes(bytes, client != NULL), made = create(client);

    bare = (bare + fallocate_bytes(bytes, client != NULL)) / 2;
    figures[0] = made / 1e6;
    figures[1] = bare / 1e6;
    figures[2] = made / bare;
}

COSTS_MEASURE(costs_create)
{
    struct geometry geometry;

    (void)workload;
    if (!costs_apply(implementation))
        return 0;
    if (count == 0)
        return 6;
    plan(&geometry, CREATE_SIZE, CREATE_SLOTS);
    create_beside(costs_client(), geometry.total, figures);
    create_beside(NULL, geometry.total, figures + 3);
    return 6;
}

/* ---------------------------------------------------------------- attaching */

/* In a child: how long opening takes, and opening and the first allocation. */
static void attach_once(double took[2])
{
    fastalloc_client *client = costs_connect();
    fastalloc_handle handle;
    fastalloc_pool *pool;
    double began = worker_now();

    costs_must(!fastalloc_pool_open(client, "bench-attach", NULL, &pool), "fastalloc_pool_open");
    took[0] = worker_now() - began;
    costs_must(!fastalloc_alloc(pool, &handle, NULL), "fastalloc_alloc");
    took[1] = worker_now() - began;
    fastalloc_disconnect(client);
    _exit(0);
}

COSTS_MEASURE(costs_attach)
{
    static fastalloc_pool *pool;
    static double(*shared)[2];
    double opened[ATTACHES], first[ATTACHES];
    fastalloc_pool_config config;
    pid_t child;
    int i;

    (void)workload;
    if (!costs_apply(implementation))
        return 0;
    if (count == 0)
        return 2;
    if (!pool) {
        costs_config(&config, "bench-attach", ATTACH_SIZE, ATTACH_SLOTS);
        costs_must(!fastalloc_pool_create(costs_client(), &config, &pool), "no pool");
        shared = costs_shared(sizeof *shared);
    }
    for (i = 0; i < ATTACHES; i++) {
        child = worker_fork();
        if (child == 0)
            attach_once(*shared);
        costs_join(child, "attach");
        opened[i] = (*shared)[0];
        first[i] = (*shared)[1];
    }
    figures[0] = costs_median(opened, ATTACHES) / 1e6;
    figures[1] = costs_median(first, ATTACHES) / 1e6;
    return 2;
}

/* ----------------------------------------------------------------- metadata */

/* All bytes but the objects', and which of them come with slots, threads and the pool. */
struct parts {
    double all, slots, threads, pool;
    double capacity, caches;
};

static struct parts metadata(uint64_t capacity)
{
    uint64_t slots = 8 * capacity, threads = 0, all, magazine, full;
    struct geometry g;
    uint32_t level;

    plan(&g, ATTACH_SIZE, capacity);
    all = g.total - capacity * g.stride;
    for (level = 0; level < g.levels; level++)
        slots += 8 * g.level_words[level];
    if (g.magazine_size) {
        /* Its word, its link, its count and its entries. */
        magazine = 8 + 4 + 4 * (g.magazine_size + UINT64_C(1));
        full = (capacity + g.magazine_size - 1) / g.magazine_size;
        slots += magazine * full;
        threads = g.caches * sizeof(struct shm_cache) + magazine * (g.magazines - full);
    }
    return (struct parts){
        .all = (double)all,
        .slots = (double)slots,
        .threads = (double)threads,
        .pool = (double)(all - slots - threads),
        .capacity = (double)capacity,
        .caches = (double)g.caches,
    };
}

/* The most it is at any of these sizes of what it may be. */
static double worst_ratio(const char *const *capacities)
{
    double ratio, worst = 0;

    for (; strcmp(*capacities, "ratio"); capacities++) {
        struct parts parts = metadata(strtoull(*capacities, NULL, 10));

        ratio = parts.all /
                (SLOT_BYTES * parts.capacity + POOL_BYTES + THREAD_BYTES * SPEC_THREADS_DEFAULT);
        if (ratio > worst)
            worst = ratio;
    }
    return worst;
}

static double metadata_figure(const struct workload *workload, int i)
{
    struct parts parts;

    if (!strcmp(workload->figures[i], "ratio"))
        return worst_ratio(workload->figures);
    parts = metadata(strtoull(workload->figures[i], NULL, 10));
    switch ((enum costs_metadata)workload->argument) {
    case COSTS_ALL:
        return parts.all / parts.capacity;
    case COSTS_SLOT:
        return parts.slots / parts.capacity;
    case COSTS_THREAD:
        return parts.caches > 0 ? parts.threads / parts.caches : 0;
    case COSTS_POOL:
        return parts.pool;
    }
    abort();
}

COSTS_MEASURE(costs_metadata)
{
    int i = 0;

    if (!costs_apply(implementation))
        return 0;
    for (; i < SUITE_FIGURES_MAX && workload->figures[i]; i++)
        if (count)
            figures[i] = metadata_figure(workload, i);
    return i;
}
