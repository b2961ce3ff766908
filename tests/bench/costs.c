/* SPDX-License-Identifier: MIT
 *
 * costs: the list of what is measured beside the pair, and the private daemon that it needs.
 */
#include "costs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define END_PATIENCE_MS 3000

const struct workload workloads_costs[] = {
    {.name = "create",
     .group = "memory",
     .unit = "ms",
     .meaning = "making a pool of 524,288 slots of 256 bytes, through the daemon and locally; "
                "posix_fallocate of as many bytes before and after; what one is of the other",
     .figures = {"", "fallocate", "ratio", "local", "local-fallocate", "local-ratio"},
     .units = {"ms", "ms", "ratio", "ms", "ms", "ratio"},
     .run_ms = 300,
     .quick = true,
     .measure = costs_create},
    {.name = "attach",
     .group = "memory",
     .unit = "ms",
     .meaning =
         "fastalloc_pool_open() of a pool of a million slots, in a process that is connected "
         "(-first: and its first allocation)",
     .figures = {"", "first"},
     .run_ms = 20,
     .quick = true,
     .measure = costs_attach},
    {.name = "metadata",
     .group = "metadata",
     .unit = "bytes",
     .meaning =
         "of a segment beyond its objects, for each slot, with 128 threads and 256 sessions; "
         "the most it is of 14 a slot, 64 KiB a pool and 1.5 KiB a thread",
     .figures = {"100", "1000", "10000", "100000", "1000000", "10000000", "ratio"},
     .units = {[6] = "ratio"},
     .argument = COSTS_ALL,
     .quick = true,
     .measure = costs_metadata},
    {.name = "metadata-slot",
     .group = "metadata",
     .unit = "bytes",
     .meaning = "of that, what each slot adds",
     .figures = {"100", "1000", "10000", "100000", "1000000", "10000000"},
     .argument = COSTS_SLOT,
     .quick = true,
     .measure = costs_metadata},
    {.name = "metadata-thread",
     .group = "metadata",
     .unit = "bytes",
     .meaning = "of that, what each configured thread adds",
     .figures = {"1000", "10000", "100000", "1000000", "10000000"},
     .argument = COSTS_THREAD,
     .quick = true,
     .measure = costs_metadata},
    {.name = "metadata-pool",
     .group = "metadata",
     .unit = "bytes",
     .meaning = "of that, what a pool has anyway, sessions included",
     .figures = {"100", "1000", "10000", "100000", "1000000", "10000000"},
     .argument = COSTS_POOL,
     .quick = true,
     .measure = costs_metadata},
    {.name = "reclaim",
     .group = "deaths",
     .unit = "ms",
     .meaning = "from killing the holder of 32,768 of 65,536 slots until another process has the "
                "last of them",
     .run_ms = 10,
     .quick = true,
     .measure = costs_reclaim},
    {.name = "recover",
     .group = "deaths",
     .unit = "ms",
     .meaning = "the lock of a depot that has a million slots, its holder killed, until its lists "
                "stand again (robust-mutex: the lock alone)",
     .quick = true,
     .measure = costs_recover},
    {.name = "growth",
     .group = "growth",
     .unit = "ns",
     .meaning = "an allocation of a million while the pool grows from 1,000 slots: by 20,000, to "
                "double, by half; to double in a local pool; without growing",
     .figures = {"linear", "exponential", "custom", "local", "none"},
     .run_ms = 600,
     .measure = costs_growth},
    {.name = "growth-longest",
     .group = "growth",
     .unit = "us",
     .meaning = "the longest of these allocations",
     .figures = {"linear", "exponential", "custom", "local", "none"},
     .run_ms = 600,
     .measure = costs_growth_longest},
    {.name = "exhausted-waiters",
     .group = "exhaustion",
     .unit = "us",
     .meaning = "8 processes wait for a slot: from a free to the return of the allocation that has "
                "it; of a pool without and with caches, and of a semaphore alone",
     .figures = {"", "max", "cached", "cached-max", "semaphore", "semaphore-max"},
     .run_ms = 120,
     .quick = true,
     .measure = costs_waiters},
    {.name = "exhausted-handoff",
     .group = "exhaustion",
     .unit = "Mpairs/s",
     .meaning = "8 processes allocate, waiting, and free, in a pool that has 4 slots for them; "
                "without and with caches, and by a semaphore alone",
     .figures = {"", "cached", "semaphore"},
     .run_ms = 200,
     .quick = true,
     .measure = costs_handoff},
    {.name = NULL},
};

bool costs_apply(const struct bench_implementation *implementation)
{
    return strcmp(implementation->name, "fastalloc") == 0;
}

/* ------------------------------------------------------------------ helpers */

void costs_must(bool good, const char *what)
{
    if (!good)
        bench_give_up(what, fastalloc_last_error());
}

static int compare(const void *left, const void *right)
{
    double l = *(const double *)left, r = *(const double *)right;

    return (l > r) - (l < r);
}

double costs_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

void costs_config(fastalloc_pool_config *config, const char *name, size_t object_size,
                  size_t capacity)
{
    fastalloc_pool_config_init(config);
    config->name = name;
    config->object_size = object_size;
    config->capacity = capacity;
}

void *costs_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        bench_give_up("no shared memory", strerror(errno));
    return memory;
}

void costs_join(pid_t child, const char *what)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            bench_give_up(what, strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        bench_give_up(what, "a process of it has failed");
}

/* ------------------------------------------------------------------- daemon */

static char directory[] = "/tmp/fastalloc-bench-XXXXXX", socket_path[64];
static fastalloc_client *client;
static pid_t owner; /* whose daemon it is, not a forked child's */

/* The daemon removes its socket when its last client has gone. */
static void end_daemon(void)
{
    const struct timespec pause = {0, 1000000};
    char path[80];
    int tries;

    if (getpid() != owner)
        return;
    fastalloc_disconnect(client);
    for (tries = 0; tries < END_PATIENCE_MS && access(socket_path, F_OK) == 0; tries++)
        nanosleep(&pause, NULL);
    snprintf(path, sizeof path, "%s.lock", socket_path);
    unlink(path);
    snprintf(path, sizeof path, "%s.d", socket_path);
    rmdir(path);
    rmdir(directory);
}

fastalloc_client *costs_connect(void)
{
    fastalloc_connect_options options;
    fastalloc_client *made;

    fastalloc_connect_options_init(&options);
    options.socket = socket_path;
    options.autospawn = 1;
    costs_must(!fastalloc_connect(&made, &options), "no daemon");
    return made;
}

fastalloc_client *costs_client(void)
{
    if (client)
        return client;
    if (!mkdtemp(directory))
        bench_give_up("no temporary directory", strerror(errno));
    snprintf(socket_path, sizeof socket_path, "%s/socket", directory);
    owner = getpid();
    atexit(end_daemon);
    client = costs_connect();
    return client;
}
