/* SPDX-License-Identifier: MIT
 *
 * costs_supply: what it costs when slots run out: a pool that grows under its users, and one that
 * is exhausted while processes wait in it.
 *
 * A semaphore that counts the slots, and does nothing else, is measured beside the waiting: what
 * the kernel needs to wake a process.
 */
#include "costs.h"

#include <linux/futex.h>
#include <semaphore.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------------- growing */

#define GROWTH_FROM 1000u
#define GROWTH_TO 1000000u
#define GROWTH_SIZE 64u

static size_t by_half(size_t capacity, void *argument)
{
    (void)argument;
    return capacity / 2;
}

static fastalloc_pool *start_growing(const char *how)
{
    fastalloc_pool_config config;
    fastalloc_pool *pool;

    costs_config(&config, "bench-growth", GROWTH_SIZE, GROWTH_FROM);
    config.max_capacity = GROWTH_TO;
    config.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    config.growth_factor = 2;
    if (!strcmp(how, "linear")) {
        config.growth = FASTALLOC_GROWTH_LINEAR;
        config.growth_amount = GROWTH_TO / 50;
    } else if (!strcmp(how, "custom")) {
        config.growth = FASTALLOC_GROWTH_CUSTOM;
        config.growth_function = by_half;
    } else if (!strcmp(how, "none")) {
        config.growth = FASTALLOC_GROWTH_NONE;
        config.capacity = GROWTH_TO;
    }
    costs_must(!(strcmp(how, "local") ? fastalloc_pool_create(costs_client(), &config, &pool)
                                      : fastalloc_pool_create_local(&config, &pool)),
               "no pool");
    return pool;
}

static void take_one(fastalloc_pool *pool)
{
    fastalloc_handle handle;
    void *object;

    costs_must(!fastalloc_alloc(pool, &handle, &object), "fastalloc_alloc");
    *(uint64_t *)object = handle;
}

/* ns for each of all the slots. */
static double grow(const char *how)
{
    fastalloc_pool *pool = start_growing(how);
    double began = worker_now(), took;
    size_t i;

    for (i = 0; i < GROWTH_TO; i++)
        take_one(pool);
    took = worker_now() - began;
    costs_must(!fastalloc_pool_close(pool), "fastalloc_pool_close");
    return took / GROWTH_TO;
}

/* us that the slowest took. */
static double grow_longest(const char *how)
{
    fastalloc_pool *pool = start_growing(how);
    double before = worker_now(), now, longest = 0;
    size_t i;

    for (i = 0; i < GROWTH_TO; i++, before = now) {
        take_one(pool);
        now = worker_now();
        if (now - before > longest)
            longest = now - before;
    }
    costs_must(!fastalloc_pool_close(pool), "fastalloc_pool_close");
    return longest / 1e3;
}

static int each_way(const struct bench_implementation *implementation,
                    const struct workload *workload, size_t count, double *figures,
                    double (*measure)(const char *how))
{
    int i = 0;

    if (!costs_apply(implementation))
        return 0;
    for (; i < SUITE_FIGURES_MAX && workload->figures[i]; i++)
        if (count)
            figures[i] = measure(workload->figures[i]);
    return i;
}

COSTS_MEASURE(costs_growth)
{
    return each_way(implementation, workload, count, figures, grow);
}

COSTS_MEASURE(costs_growth_longest)
{
    return each_way(implementation, workload, count, figures, grow_longest);
}

/* ------------------------------------------------------------------- waiting */

#define WAITERS 8
#define WAIT_ROUNDS 8
#define WAIT_PATIENCE_MS 20000u
#define SETTLE_NS 300000 /* until those who were woken for nothing sleep again */
#define SMALL_SLOTS 100u /* a pool that has no caches */
#define LARGE_SLOTS 300u /* one that has */
#define HANDOFF_SLOTS 4u
#define HANDOFF_NS 60e6

/* What slots are waited for in: a pool, or the semaphore. */
struct scarce {
    fastalloc_pool *pool; /* NULL: the semaphore */
    sem_t *semaphore;
};

/* What parent and children share. */
struct wait_board {
    sem_t semaphore;
    uint32_t come, gone, woken, stop; /* how many have; futex words */
    double began, took[WAITERS * WAIT_ROUNDS];
    uint64_t done[WAITERS][8]; /* a line each */
};

static struct wait_board *board;
static fastalloc_handle held[LARGE_SLOTS];

static void take(struct scarce scarce, fastalloc_handle *handle)
{
    if (scarce.pool)
        costs_must(
            !fastalloc_alloc_wait(scarce.pool, handle, NULL, fastalloc_deadline(WAIT_PATIENCE_MS)),
            "fastalloc_alloc_wait");
    else
        while (sem_wait(scarce.semaphore))
            ;
}

static void give(struct scarce scarce, fastalloc_handle handle)
{
    if (scarce.pool)
        costs_must(!fastalloc_free(scarce.pool, handle), "fastalloc_free");
    else
        sem_post(scarce.semaphore);
}

/* A pool of so many slots, of which this process holds all but `free`; with no slots a
 * semaphore. */
static struct scarce start_scarce(size_t slots, unsigned free)
{
    struct scarce scarce = {NULL, &board->semaphore};
    fastalloc_pool_config config;
    size_t i;

    if (slots) {
        costs_config(&config, "bench-wait", 64, slots);
        costs_must(!fastalloc_pool_create_local(&config, &scarce.pool), "no pool");
        for (i = 0; i < slots - free; i++)
            costs_must(!fastalloc_alloc(scarce.pool, &held[i], NULL), "fastalloc_alloc");
    } else if (sem_init(scarce.semaphore, 1, free)) {
        bench_give_up("sem_init", "no semaphore");
    }
    memset(&board->come, 0, sizeof *board - offsetof(struct wait_board, come));
    return scarce;
}

static void end_scarce(struct scarce scarce)
{
    if (scarce.pool)
        costs_must(!fastalloc_pool_close(scarce.pool), "fastalloc_pool_close");
    else
        sem_destroy(scarce.semaphore);
}

static void doze(long ns)
{
    const struct timespec pause = {0, ns};

    nanosleep(&pause, NULL);
}

static uint32_t count_up(uint32_t *word)
{
    uint32_t before = __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);

    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    return before;
}

/* Until it has been counted up to there.  A child that dies meanwhile ends the wait. */
static void await(uint32_t *word, uint32_t target)
{
    const struct timespec patience = {WAIT_PATIENCE_MS / 1000, 0};
    double until = worker_now() + WAIT_PATIENCE_MS * 1e6;
    uint32_t seen;

    while ((seen = __atomic_load_n(word, __ATOMIC_SEQ_CST)) < target) {
        syscall(SYS_futex, word, FUTEX_WAIT, seen, &patience, NULL, 0);
        if (worker_now() > until)
            bench_give_up("waiters", "one of them has stopped");
    }
}

/* Each waits once a round, keeps what it got until all have got one, and gives it back. */
static void wait_in_child(struct scarce scarce)
{
    fastalloc_handle handle = FASTALLOC_NONE;
    double now;
    uint32_t round, sample;

    for (round = 1; round <= WAIT_ROUNDS; round++) {
        count_up(&board->come);
        take(scarce, &handle);
        now = worker_now();
        sample = __atomic_load_n(&board->woken, __ATOMIC_SEQ_CST);
        board->took[sample] = now - board->began;
        count_up(&board->woken);
        await(&board->woken, round * WAITERS);
        give(scarce, handle);
        count_up(&board->gone);
        await(&board->stop, round);
    }
    _exit(0);
}

static void start_children(struct scarce scarce, pid_t children[WAITERS],
                           void (*run)(struct scarce))
{
    int i;

    for (i = 0; i < WAITERS; i++) {
        children[i] = worker_fork();
        if (children[i] == 0)
            run(scarce);
    }
}

/* The parent has all slots that they wait for, and frees one after the other. */
static void wake(size_t slots, double *median, double *most)
{
    struct scarce scarce = start_scarce(slots, 0);
    size_t samples = 0, round, i;
    pid_t children[WAITERS];

    start_children(scarce, children, wait_in_child);
    for (round = 1; round <= WAIT_ROUNDS; round++) {
        await(&board->come, (uint32_t)(round * WAITERS));
        for (i = 0; i < WAITERS; i++) {
            doze(SETTLE_NS);
            board->began = worker_now();
            give(scarce, held[i]);
            await(&board->woken, (uint32_t)++samples);
        }
        await(&board->gone, (uint32_t)(round * WAITERS));
        for (i = 0; i < WAITERS; i++)
            take(scarce, &held[i]);
        count_up(&board->stop);
    }
    for (i = 0; i < WAITERS; i++)
        costs_join(children[i], "exhausted-waiters");
    end_scarce(scarce);
    *median = costs_median(board->took, samples) / 1e3;
    *most = board->took[samples - 1] / 1e3;
}

COSTS_MEASURE(costs_waiters)
{
    (void)workload;
    if (!costs_apply(implementation))
        return 0;
    if (!board)
        board = costs_shared(sizeof *board);
    if (count) {
        wake(SMALL_SLOTS, &figures[0], &figures[1]);
        wake(LARGE_SLOTS, &figures[2], &figures[3]);
        wake(0, &figures[4], &figures[5]);
    }
    return 6;
}

/* -------------------------------------------------------------- handing off */

static void hand_off_in_child(struct scarce scarce)
{
    fastalloc_handle handle = FASTALLOC_NONE;
    uint32_t me = count_up(&board->come);
    uint64_t done = 0;

    await(&board->gone, 1);
    for (; !__atomic_load_n(&board->stop, __ATOMIC_RELAXED); done++) {
        take(scarce, &handle);
        give(scarce, handle);
    }
    board->done[me][0] = done;
    _exit(0);
}

/* Million allocations, and as many frees, a second. */
static double hand_off(size_t slots)
{
    struct scarce scarce = start_scarce(slots, HANDOFF_SLOTS);
    pid_t children[WAITERS];
    uint64_t done = 0;
    double began, took;
    int i;

    start_children(scarce, children, hand_off_in_child);
    await(&board->come, WAITERS);
    began = worker_now();
    count_up(&board->gone);
    while ((took = worker_now() - began) < HANDOFF_NS)
        doze((long)(HANDOFF_NS - took) + 1);
    count_up(&board->stop);
    for (i = 0; i < WAITERS; i++) {
        costs_join(children[i], "exhausted-handoff");
        done += board->done[i][0];
    }
    took = worker_now() - began;
    end_scarce(scarce);
    return (double)done / took * 1e3;
}

COSTS_MEASURE(costs_handoff)
{
    (void)workload;
    if (!costs_apply(implementation))
        return 0;
    if (!board)
        board = costs_shared(sizeof *board);
    if (count) {
        figures[0] = hand_off(SMALL_SLOTS);
        figures[1] = hand_off(LARGE_SLOTS);
        figures[2] = hand_off(0);
    }
    return 3;
}
