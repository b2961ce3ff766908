/* SPDX-License-Identifier: MIT
 *
 * deaths: see deaths.h.
 */
#include "deaths.h"

#include "shm/cache.h"
#include "shm/depot.h"
#include "shm/lock.h"
#include "shm/magazine.h"
#include "shm/slot.h"

#include <fastalloc/fastalloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RECLAIM_SLOTS 65536u
#define RECLAIM_PATIENCE_MS 5000u
#define RECOVER_SLOTS 1000000u
#define OWNER 1u

const char *const death_names[DEATHS] = {"reclaim", "recover"};
const char *const death_texts[DEATHS] = {
    "from killing the holder of 32,768 of 65,536 slots to having the last of them",
    "the lock of a depot that has a million slots, its holder killed",
};

__attribute__((noreturn, cold)) static void give_up(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, fastalloc_last_error());
    death_end();
    exit(1);
}

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void must(bool good, const char *what)
{
    if (!good)
        give_up(what);
}

/* --------------------------------------------------------------- reclaiming */

static char directory[] = "/tmp/fastalloc-bench-XXXXXX", socket_path[64];
static bool has_directory;
static fastalloc_client *client;
static fastalloc_pool *pool;
static fastalloc_handle handles[RECLAIM_SLOTS];

/* A private daemon, which ends with us. */
static void start_daemon(void)
{
    fastalloc_connect_options options;
    fastalloc_pool_config config;

    must(mkdtemp(directory) != NULL, "no temporary directory");
    has_directory = true;
    snprintf(socket_path, sizeof socket_path, "%s/socket", directory);
    fastalloc_connect_options_init(&options);
    options.socket = socket_path;
    options.autospawn = 1;
    must(!fastalloc_connect(&client, &options), "no daemon");
    fastalloc_pool_config_init(&config);
    config.name = "bench-reclaim";
    config.object_size = 64;
    config.capacity = RECLAIM_SLOTS;
    must(!fastalloc_pool_create(client, &config, &pool), "no pool");
}

/* A child that holds half of the pool. */
static pid_t start_holder(void)
{
    int ready[2];
    pid_t child;
    char byte;

    must(pipe(ready) == 0, "no pipe");
    child = fork();
    must(child >= 0, "cannot fork");
    if (child == 0) {
        size_t i;

        for (i = 0; i < RECLAIM_SLOTS / 2; i++)
            if (fastalloc_alloc(pool, &handles[i], NULL))
                _exit(1);
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    close(ready[1]);
    must(read(ready[0], &byte, 1) == 1, "the holder has failed");
    close(ready[0]);
    return child;
}

static double reclaim(void)
{
    double began, took;
    pid_t holder;
    size_t i;

    if (!client)
        start_daemon();
    holder = start_holder();
    for (i = 0; i < RECLAIM_SLOTS / 2; i++)
        must(!fastalloc_alloc(pool, &handles[i], NULL), "fastalloc_alloc");
    began = now_ms();
    kill(holder, SIGKILL);
    for (; i < RECLAIM_SLOTS; i++)
        must(
            !fastalloc_alloc_wait(pool, &handles[i], NULL, fastalloc_deadline(RECLAIM_PATIENCE_MS)),
            "fastalloc_alloc_wait");
    took = now_ms() - began;
    waitpid(holder, NULL, 0);
    must(!fastalloc_free_batch(pool, RECLAIM_SLOTS, handles, NULL), "fastalloc_free_batch");
    fastalloc_thread_flush(pool);
    return took;
}

void death_end(void)
{
    fastalloc_disconnect(client);
    client = NULL;
    /* The daemon removes its socket when its last client has gone. */
    if (has_directory) {
        const struct timespec pause = {0, 10000000};
        char path[80];
        int tries;

        snprintf(path, sizeof path, "%s.lock", socket_path);
        for (tries = 0; tries < 300 && access(socket_path, F_OK) == 0; tries++)
            nanosleep(&pause, NULL);
        unlink(path);
        snprintf(path, sizeof path, "%s.d", socket_path);
        rmdir(path);
        rmdir(directory);
        has_directory = false;
    }
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
    uint32_t magazine = 0, d = OWNER % 4;
    struct geometry geometry;
    uint64_t word = 0, index;
    struct reason why;
    void *base;

    must(!spec_complete(&spec, &why) && !geometry_plan(&geometry, &spec, &why), why.text);
    base = mmap(NULL, geometry.total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(base != MAP_FAILED, "no memory");
    must(!segment_format(&segment, base, &spec, &geometry, 1, 1, &why), why.text);
    must(depot_lock(&segment, d, NULL) == LOCK_TAKEN, "depot_lock");
    for (index = 0; index < RECOVER_SLOTS; index++) {
        if (index % geometry.magazine_size == 0) {
            if (index)
                depot_give_locked(&segment, d, magazine, word);
            must(magazine_fresh(&segment, OWNER, &magazine, &word), "no magazine");
        }
        must(slot_claim_fresh(&segment, index, OWNER), "the slot is taken");
        magazine_push(&segment, magazine, index, segment.words[index], true);
    }
    depot_give_locked(&segment, d, magazine, word);
    depot_unlock(&segment, d);
}

static double recover(void)
{
    uint32_t d = OWNER % 4;
    double began, took;
    uint64_t rebuilds;
    pid_t child;
    int status;

    if (!segment.base)
        fill_depot();
    rebuilds = segment.depots[d].rebuilds;
    child = fork();
    must(child >= 0, "cannot fork");
    if (child == 0) {
        if (depot_lock(&segment, d, NULL) == LOCK_TAKEN)
            raise(SIGKILL);
        _exit(1);
    }
    waitpid(child, &status, 0);
    must(WIFSIGNALED(status), "the holder has failed");
    began = now_ms();
    must(depot_lock(&segment, d, NULL) == LOCK_TAKEN, "depot_lock");
    took = now_ms() - began;
    must(segment.depots[d].rebuilds == rebuilds + 1, "nothing was rebuilt");
    depot_unlock(&segment, d);
    return took;
}

double death_measure(enum death death)
{
    switch (death) {
    case RECLAIM:
        return reclaim();
    case RECOVER:
        return recover();
    case DEATHS:
        break;
    }
    abort();
}
