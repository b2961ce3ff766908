/* SPDX-License-Identifier: MIT
 *
 * scale_runs: the simulation's workloads done for real, by forked processes with a pool of their
 * own.
 *
 * Throughput is of processor time: operations for each nanosecond that the processes had a
 * processor, times the processors there are for them.  On an idle machine that is operations
 * a second; on a busy one it leaves out most of what the others took.
 */
#define _GNU_SOURCE
#include "scale_play.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 65536u /* at least */
#define OBJECT 64u

/* As many as there are by default, or as are needed. */
static uint32_t threads_for(uint32_t processes)
{
    return processes > 128 ? processes : 128;
}

fastalloc_pool *play_make_pool(uint32_t processes)
{
    fastalloc_pool_config config;
    fastalloc_pool *pool;
    int error;

    fastalloc_pool_config_init(&config);
    config.name = "bench-scale";
    config.object_size = OBJECT;
    config.capacity = SLOTS + (size_t)processes * 8192;
    config.max_threads = threads_for(processes);
    error = fastalloc_pool_create_local(&config, &pool);
    if (error)
        scale_give_up("no pool of %zu slots: %s", config.capacity, fastalloc_strerror(error));
    return pool;
}

void scale_run_shape(uint32_t processes, uint32_t *magazine, uint32_t *depots)
{
    struct geometry geometry;

    if (scale_plan(SLOTS + (uint64_t)processes * 8192, OBJECT, threads_for(processes), 0, 0,
                   &geometry))
        scale_give_up("no pool for %u processes", processes);
    *magazine = geometry.magazine_size;
    *depots = geometry.depots;
}

__attribute__((noreturn)) static void play(struct player *player)
{
    static fastalloc_handle handles[SCALE_HELD_MOST + 1];
    uint64_t before, foreign;
    double began, waited;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    scale_pin(player->me);
    player->handles = handles;
    player->random = (player->me + 1) * UINT64_C(0x9e3779b97f4a7c15);
    while (player->set->workload == SCALE_WALK && player->held < SCALE_HELD_MOST / 2)
        handles[player->held++] = play_take(player);
    play_work(player);
    __atomic_fetch_add(&player->stage->ready, 1, __ATOMIC_SEQ_CST);
    play_await(&player->stage->begun, 1);
    before = player->ops;
    foreign = player->foreign;
    waited = player->waited;
    began = play_cpu_ns();
    while (!play_is_over(player))
        play_work(player);
    player->stage->done[player->me].ns = play_cpu_ns() - began - (player->waited - waited);
    player->stage->done[player->me].ops = player->ops - before;
    player->stage->done[player->me].foreign = player->foreign - foreign;
    _exit(0);
}

static void sleep_ns(double ns)
{
    struct timespec time = {(time_t)(ns / 1e9), (long)fmod(ns, 1e9)};

    while (nanosleep(&time, &time) && errno == EINTR)
        ;
}

/* A hand-over is as fast as the side that needs more for an operation; each has half of the
 * processors. */
static double handover_mops(const struct stage *stage, uint32_t threads)
{
    double sides = fmax(1, fmin(threads, scale_processors()) / 2), slowest = 0;
    uint32_t side, i;

    for (side = 0; side < 2; side++) {
        double time = 0, ops = 0;

        for (i = side; i < threads; i += 2) {
            time += stage->done[i].ns;
            ops += (double)stage->done[i].ops;
        }
        if (ops <= 0)
            return 0;
        slowest = fmax(slowest, time / ops);
    }
    return 2e3 / slowest * sides;
}

/* Starts them, lets them run, and adds up.  Of a pool also its exchanges. */
struct scale_run play_all(const struct scale_setting *set, fastalloc_pool *pool, double ns)
{
    struct stage *stage = scale_share(sizeof *stage);
    fastalloc_stats stats = {.struct_size = sizeof stats};
    struct scale_run run = {0, 0, 0};
    pid_t children[PLAY_MOST];
    double time = 0, ops = 0;
    uint32_t i;

    for (i = 0; i < set->threads; i++) {
        struct player player = {.stage = stage, .pool = pool, .set = set, .me = i};

        children[i] = scale_fork();
        if (children[i] == 0)
            play(&player);
    }
    if (set->workload == SCALE_HANDOVER)
        sleep_ns(5e6); /* one that is not there yet holds up the other */
    else
        play_await(&stage->ready, set->threads);
    if (pool)
        fastalloc_pool_stats_reset(pool);
    __atomic_store_n(&stage->begun, 1u, __ATOMIC_RELEASE);
    sleep_ns(ns);
    if (pool)
        fastalloc_pool_stats(pool, &stats);
    __atomic_store_n(&stage->stop, 1u, __ATOMIC_RELEASE);
    for (i = 0; i < set->threads; i++) {
        int status;

        if (waitpid(children[i], &status, 0) < 0 || status)
            scale_give_up("process %u of workload %s failed", i,
                          scale_workload_names[set->workload]);
        time += stage->done[i].ns;
        ops += (double)stage->done[i].ops;
        run.foreign += (double)stage->done[i].foreign;
    }
    run.foreign = ops > 0 ? 2 * run.foreign / ops : 0;
    run.mops = set->workload == SCALE_HANDOVER
                   ? handover_mops(stage, set->threads)
                   : ops / time * 1e3 * fmin(set->threads, scale_processors());
    run.ops_each = stats.exchanges ? (double)stats.total_allocations / (double)stats.exchanges : 0;
    scale_unshare(stage, sizeof *stage);
    return run;
}

bool scale_run(const struct scale_setting *set, double seconds, struct scale_run *run)
{
    double ns = seconds * 1e9 * fmax(1, set->threads / (double)scale_processors());
    fastalloc_pool *pool;

    if (set->threads > PLAY_MOST || (set->workload == SCALE_HANDOVER && set->threads % 2))
        return false;
    pool = play_make_pool(set->threads);
    *run = play_all(set, pool, ns);
    fastalloc_pool_close(pool);
    return run->mops > 0;
}
