/* SPDX-License-Identifier: MIT
 *
 * scale_play: one process of a real run and the workloads it does, for scale_runs.c (many of them)
 * and scale_calls.c (what a call costs).
 */
#ifndef TESTS_BENCH_SCALE_PLAY_H
#define TESTS_BENCH_SCALE_PLAY_H

#define FASTALLOC_INLINE
#include "scale.h"

#include <fastalloc/fastalloc.h>

#define PLAY_CELLS 4096u /* of larson */
#define PLAY_MOST 64u    /* processes */

struct ring {
    uint64_t written __attribute__((aligned(128)));
    uint64_t read __attribute__((aligned(128)));
    fastalloc_handle slots[SCALE_RING] __attribute__((aligned(128)));
};

struct stage {
    uint32_t ready, begun, stop;
    uint64_t cells[PLAY_CELLS] __attribute__((aligned(128)));
    struct {
        uint64_t ops __attribute__((aligned(128)));
        uint64_t foreign;
        double ns;
    } done[PLAY_MOST];
    struct ring rings[PLAY_MOST / 2];
};

struct player {
    struct stage *stage;
    fastalloc_pool *pool; /* NULL: the loop without one */
    const struct scale_setting *set;
    uint32_t me;
    uint64_t random, ops;
    double waited;    /* of its processor time, for the other side of a ring */
    uint64_t foreign; /* frees of what others allocated, where that is counted */
    uint32_t held;
    fastalloc_handle *handles;
};

/* Does some thousand operations of the player's workload. */
void play_work(struct player *player);

bool play_is_over(const struct player *player);
void play_await(const uint32_t *flag, uint32_t value);
double play_cpu_ns(void);

fastalloc_pool *play_make_pool(uint32_t processes);

/* The workload by as many processes as it says, for so many ns. */
struct scale_run play_all(const struct scale_setting *set, fastalloc_pool *pool, double ns);

/* Without a pool handles are numbers. */
static inline fastalloc_handle play_take(struct player *player)
{
    fastalloc_handle handle = player->ops + 1;
    void *object;
    int error;

    if (!player->pool)
        return handle;
    error = fastalloc_alloc(player->pool, &handle, &object);
    if (error)
        scale_give_up("an allocation fails: %s", fastalloc_strerror(error));
    *(volatile uint64_t *)object = handle;
    return handle;
}

static inline void play_give(struct player *player, fastalloc_handle handle)
{
    int error;

    if (!player->pool)
        return;
    error = fastalloc_free(player->pool, handle);
    if (error)
        scale_give_up("a free fails: %s", fastalloc_strerror(error));
}

#endif
