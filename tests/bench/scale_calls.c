/* SPDX-License-Identifier: MIT
 *
 * scale_calls: the costs of calls as programs make them.
 */
#define _GNU_SOURCE
#include "scale_play.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPEATS 31u
#define RUNS 9u
#define BURST 16u

/* A loop by one process, in ns an operation. */
static struct scale_value measure_loop(struct player *player, uint64_t ops)
{
    double values[REPEATS], began;
    uint64_t before;
    unsigned i;

    play_work(player);
    for (i = 0; i < REPEATS; i++) {
        before = player->ops;
        began = play_cpu_ns();
        while (player->ops - before < ops)
            play_work(player);
        values[i] = (play_cpu_ns() - began) / (double)(player->ops - before);
    }
    return scale_value_of(values, REPEATS);
}

static struct scale_value beside(struct scale_value all, double part, double times)
{
    return (struct scale_value){fmax(all.min - part, 0) * times,
                                fmax(all.median - part, 0) * times};
}

/* Bursts of a few, beginning at all levels of the cache: where the level passes the end of a
 * magazine, there and back, each burst has two swaps, elsewhere none. */
static void measure_swap(struct scale_costs *costs, struct player *player,
                         struct scale_setting *set)
{
    struct scale_value value, least = {INFINITY, INFINITY}, most = {0, 0};
    uint32_t held, level;
    fastalloc_handle *handles = player->handles;

    set->burst = BURST;
    for (level = 0; level <= 2 * set->magazine; level += BURST - 1) {
        for (held = 0; held < level; held++)
            handles[held] = play_take(player);
        player->handles = handles + held;
        value = measure_loop(player, 100 * 2 * BURST);
        player->handles = handles;
        while (held-- > 0)
            play_give(player, handles[held]);
        if (value.median < least.median)
            least = value;
        if (value.median > most.median)
            most = value;
    }
    costs->of[SCALE_SWAP] = beside(most, least.median, BURST);
}

/* Frees in one process what another allocated; both on processors of their own. */
static struct scale_value measure_foreign_free(fastalloc_pool *pool)
{
    struct stage *stage = scale_share(sizeof *stage);
    double *values = scale_share(REPEATS * sizeof *values), began;
    struct player player = {.stage = stage, .pool = pool};
    struct scale_value value;
    uint32_t i, r;
    pid_t child = scale_fork();

    if (child == 0) {
        scale_pin(1);
        play_give(&player, play_take(&player)); /* attaches */
        for (r = 0; r < REPEATS; r++) {
            play_await(&stage->begun, r + 1);
            began = play_cpu_ns();
            for (i = 0; i < 1000; i++)
                play_give(&player, stage->cells[i]);
            values[r] = (play_cpu_ns() - began) / 1000;
            __atomic_store_n(&stage->ready, r + 1, __ATOMIC_RELEASE);
        }
        _exit(0);
    }
    scale_pin(0);
    for (r = 0; r < REPEATS; r++) {
        for (i = 0; i < 1000; i++)
            stage->cells[i] = play_take(&player);
        __atomic_store_n(&stage->begun, r + 1, __ATOMIC_RELEASE);
        play_await(&stage->ready, r + 1);
    }
    if (waitpid(child, NULL, 0) < 0)
        scale_give_up("cannot wait: %s", strerror(errno));
    value = scale_value_of(values, REPEATS);
    scale_unshare(values, REPEATS * sizeof *values);
    scale_unshare(stage, sizeof *stage);
    return value;
}

/* What an operation takes in a real run: of processes of their own, with a pool or without. */
static struct scale_value measure_run(enum scale_workload workload, uint32_t threads,
                                      fastalloc_pool *pool)
{
    struct scale_setting set = {.workload = workload, .threads = threads};
    double values[RUNS], mops;
    unsigned i, tries = 0;

    for (i = 0; i < RUNS;) {
        mops = play_all(&set, pool, 20e6).mops;
        if (mops > 0)
            values[i++] = 1e3 / mops;
        else if (++tries > 10 * RUNS)
            scale_give_up("processes get no time together: is the machine this busy?");
    }
    return scale_value_of(values, RUNS);
}

void scale_measure_calls(struct scale_costs *costs)
{
    static fastalloc_handle handles[64 * 1024];
    struct scale_setting set = {.workload = SCALE_BURST, .threads = 1, .cores = 1};
    struct stage *stage = scale_share(sizeof *stage);
    struct player player = {.stage = stage, .pool = play_make_pool(1), .set = &set};
    struct scale_outcome played;
    struct scale_costs round;
    double op;

    player.handles = handles;
    player.random = 1;
    scale_run_shape(1, &set.magazine, &set.depots);
    scale_pin(0);

    costs->of[SCALE_OP] = measure_run(SCALE_PAIR, 1, player.pool);
    measure_swap(costs, &player, &set);
    op = costs->of[SCALE_OP].median;
    /* One of many: how many exchanges that is, the simulation knows. */
    set.burst = 20 * set.magazine;
    set.spare = set.burst;
    set.run_ns = 2e6;
    scale_costs_round(&round);
    scale_simulate(&round, &set, &played);
    costs->of[SCALE_EXCHANGE] =
        beside(measure_loop(&player, 20 * 2 * set.burst), op, played.ops_each);

    costs->of[SCALE_FOREIGN_FREE] = measure_foreign_free(player.pool);
    costs->of[SCALE_COIN] = beside(measure_run(SCALE_WALK, 1, player.pool), op, 1);
    fastalloc_pool_close(player.pool);
    player.pool = NULL;
    set.workload = SCALE_LARSON;
    costs->of[SCALE_CELL] = beside(measure_loop(&player, 20000), 0, 2);
    /* Two operations a handle. */
    costs->of[SCALE_RING_HANDLE] = beside(measure_run(SCALE_HANDOVER, 2, NULL), 0, 2);
    scale_unshare(stage, sizeof *stage);
}
