/* SPDX-License-Identifier: MIT
 *
 * scale_play: the workloads, as one process does them.
 */
#define _GNU_SOURCE
#include "scale_play.h"

#include <sched.h>
#include <time.h>

double play_cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13; /* Marsaglia's xorshift */
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

bool play_is_over(const struct player *player)
{
    return __atomic_load_n(&player->stage->stop, __ATOMIC_RELAXED);
}

void play_await(const uint32_t *flag, uint32_t value)
{
    while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) < value)
        sched_yield();
}

/* ---------------------------------------------------------------- workloads */

/* Each does some thousand operations. */

static void do_pairs(struct player *player)
{
    uint32_t i;

    for (i = 0; i < 2000; i++)
        play_give(player, play_take(player));
    player->ops += 4000;
}

static void do_walk(struct player *player)
{
    uint64_t coins = 0;
    uint32_t i;

    for (i = 0; i < 4096; i++) {
        coins = i % 64 ? coins >> 1 : draw(&player->random);
        if (player->held == 0 || (player->held < SCALE_HELD_MOST && !(coins & 1)))
            player->handles[player->held++] = play_take(player);
        else
            play_give(player, player->handles[--player->held]);
    }
    player->ops += 4096;
}

static void do_burst(struct player *player)
{
    uint32_t i;

    for (i = 0; i < player->set->burst; i++)
        player->handles[i] = play_take(player);
    while (i-- > 0)
        play_give(player, player->handles[i]);
    player->ops += 2 * player->set->burst;
}

/* Waits until the other side of the ring is there; the time of that is not the workload's.  False
 * when all is over. */
static bool await_ring(struct player *player, const uint64_t *place, uint64_t until)
{
    double began;

    if ((int64_t)(__atomic_load_n(place, __ATOMIC_ACQUIRE) - until) >= 0)
        return true;
    began = play_cpu_ns();
    while ((int64_t)(__atomic_load_n(place, __ATOMIC_ACQUIRE) - until) < 0) {
        if (play_is_over(player))
            return false;
        sched_yield();
    }
    player->waited += play_cpu_ns() - began;
    return true;
}

static void do_produce(struct player *player, struct ring *ring)
{
    uint64_t at = ring->written, i;

    if (!await_ring(player, &ring->read, at + SCALE_RING_STEP - SCALE_RING))
        return;
    for (i = 0; i < SCALE_RING_STEP; i++)
        ring->slots[(at + i) % SCALE_RING] = play_take(player);
    __atomic_store_n(&ring->written, at + i, __ATOMIC_RELEASE);
    player->ops += i;
}

static void do_consume(struct player *player, struct ring *ring)
{
    uint64_t at = ring->read, i;

    if (!await_ring(player, &ring->written, at + SCALE_RING_STEP))
        return;
    for (i = 0; i < SCALE_RING_STEP; i++)
        play_give(player, ring->slots[(at + i) % SCALE_RING]);
    __atomic_store_n(&ring->read, at + i, __ATOMIC_RELEASE);
    player->ops += i;
}

static void do_larson(struct player *player)
{
    uint32_t i;

    for (i = 0; i < 1000; i++) {
        uint64_t *cell = &player->stage->cells[draw(&player->random) % PLAY_CELLS];
        fastalloc_handle found = __atomic_exchange_n(cell, play_take(player), __ATOMIC_ACQ_REL);

        if (!found)
            continue;
        /* The line with the word is needed anyway. */
        if (player->pool && !fastalloc_handle_is_mine(player->pool, found))
            player->foreign++;
        play_give(player, found);
    }
    player->ops += 2000;
}

void play_work(struct player *player)
{
    struct ring *ring = &player->stage->rings[player->me / 2];

    switch (player->set->workload) {
    case SCALE_PAIR:
        do_pairs(player);
        break;
    case SCALE_WALK:
        do_walk(player);
        break;
    case SCALE_BURST:
        do_burst(player);
        break;
    case SCALE_HANDOVER:
        if (player->me % 2)
            do_consume(player, ring);
        else
            do_produce(player, ring);
        break;
    case SCALE_LARSON:
        do_larson(player);
        break;
    case SCALE_POISSON:
    case SCALE_WORKLOADS:
        scale_give_up("no such workload for real");
    }
}
