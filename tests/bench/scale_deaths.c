/* SPDX-License-Identifier: MIT
 *
 * scale_deaths: many processes attached to one pool, killed at once, for real: what attaching
 * them, and getting their slots back, costs beside what the costs say.
 */
#define _GNU_SOURCE
#include "scale.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fastalloc/fastalloc.h>

static fastalloc_pool *make_pool(uint32_t processes, uint64_t slots)
{
    fastalloc_pool_config config;
    fastalloc_pool *pool;
    int error;

    fastalloc_pool_config_init(&config);
    config.name = "bench-scale";
    config.object_size = 8;
    config.capacity = slots;
    config.max_sessions = processes + 8;
    config.max_threads = processes + 8;
    error = fastalloc_pool_create_local(&config, &pool);
    if (error)
        scale_give_up("no pool of %llu slots: %s", (unsigned long long)slots,
                      fastalloc_strerror(error));
    return pool;
}

/* Takes its slots and waits for its end. */
__attribute__((noreturn)) static void hold(fastalloc_pool *pool, uint64_t count, uint32_t *ready)
{
    fastalloc_handle handle;
    uint64_t i;
    int error;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (i = 0; i < count; i++) {
        error = fastalloc_alloc(pool, &handle, NULL);
        if (error)
            scale_give_up("an allocation fails: %s", fastalloc_strerror(error));
    }
    __atomic_fetch_add(ready, 1, __ATOMIC_SEQ_CST);
    for (;;)
        pause();
}

static void attach_all(fastalloc_pool *pool, uint32_t processes, uint64_t count, pid_t *children)
{
    uint32_t *ready = scale_share(sizeof *ready), i;

    for (i = 0; i < processes; i++) {
        children[i] = scale_fork();
        if (children[i] == 0)
            hold(pool, count, ready);
        /* One after the other: each has to have the role for itself, and waits 2 s for it. */
        while (__atomic_load_n(ready, __ATOMIC_SEQ_CST) <= i) {
            if (waitpid(children[i], NULL, WNOHANG) > 0)
                scale_give_up("process %u, that was to hold slots, has ended", i);
            usleep(50);
        }
    }
    scale_unshare(ready, sizeof *ready);
}

void scale_kill_many(const struct scale_costs *costs, uint32_t processes, uint64_t slots)
{
    fastalloc_pool *pool = make_pool(processes, slots);
    pid_t *children = calloc(processes, sizeof *children);
    fastalloc_stats stats = {.struct_size = sizeof stats};
    double began, attached, back, pass = costs->of[SCALE_SWEEP_SLOT].median * (double)slots;
    uint64_t each = slots / processes / 2, taken, held = each * processes;
    fastalloc_handle handle;
    uint32_t i;

    if (!children)
        scale_give_up("no memory for %u processes", processes);
    began = scale_now_ns();
    attach_all(pool, processes, each, children);
    attached = scale_now_ns() - began;
    for (i = 0; i < processes; i++)
        kill(children[i], SIGKILL);
    for (i = 0; i < processes; i++)
        waitpid(children[i], NULL, 0);
    began = scale_cpu_ns();
    /* The one that finds nothing left sweeps, all of them. */
    for (taken = 0; taken < slots; taken++)
        if (fastalloc_alloc(pool, &handle, NULL))
            break;
    back = scale_cpu_ns() - began;
    if (taken < slots)
        scale_give_up("%llu of %llu slots came back", (unsigned long long)taken,
                      (unsigned long long)slots);
    if (fastalloc_pool_stats(pool, &stats) || stats.reclaimed < held)
        scale_give_up("the pool knows of %llu slots that came back, not %llu",
                      (unsigned long long)stats.reclaimed, (unsigned long long)held);
    printf("\n%u processes with half of %llu slots attach to one local pool, one after the other, "
           "in %.0f ms; all "
           "are killed, and another has every slot after %.0f ms of "
           "processor time (by the costs %.0f).\n",
           processes, (unsigned long long)slots, attached / 1e6, back / 1e6,
           (processes * (pass + costs->of[SCALE_SWEEP_RETURNED].median * (double)held / 2 +
                         costs->of[SCALE_FENCE_1000].median) +
            (costs->of[SCALE_SWEEP_TAKEN].median + costs->of[SCALE_RETURNED_TAKE].median) *
                (double)held) /
               1e6);
    free(children);
    fastalloc_pool_close(pool);
}
