/* SPDX-License-Identifier: MIT
 *
 * operations_wait: crash points of those who wait, for a lock or for a slot, and of those
 * who wake them.
 */
#include "stage.h"

#include "shm/sweep.h"
#include "shm/wait.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHORT_US 3000
#define LONG_NS UINT64_C(20000000000)
#define NAP_NS 2000000

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

/* --------------------------------------------------------------------- locks */

static pid_t holder;

/* Somebody holds every lock while the doomed waits for one. */
static void hold_locks(struct stage *stage, bool begins)
{
    if (begins)
        holder = test_pool_lock_all(&stage->pool);
    else if (holder)
        test_pool_release(holder);
    if (!begins)
        holder = 0;
}

static void let_locks_go(struct stage *stage, struct crash_verdict *verdict)
{
    (void)stage;
    (void)verdict;
    kill(holder, SIGKILL);
    nap();
}

static void act_wait_for_a_lock(void *argument)
{
    struct stage *stage = argument;
    uint64_t index, word;

    supply_alloc(&stage->pool.segment, &stage->doomed_bare, SHORT_US, &index, &word);
}

/* --------------------------------------------------------------------- slots */

/* The living has everything but what the doomed owns. */
static void prepare_empty(struct stage *stage)
{
    stage_own(stage, &stage->doomed, 1);
    test_pool_drain(&stage->pool, &stage->doomed);
}

static void wait_for_a_slot(struct stage *stage, const struct actor *actor, uint64_t deadline,
                            uint64_t *index)
{
    uint32_t epoch;
    uint64_t word;

    do
        epoch = wait_begin(&stage->pool.segment);
    while (supply_alloc(&stage->pool.segment, actor, SHORT_US, index, &word) &&
           wait_sleep(&stage->pool.segment, epoch, deadline));
}

static void act_wait(void *argument)
{
    struct stage *stage = argument;
    uint64_t index;

    wait_for_a_slot(stage, &stage->doomed_bare, wait_now() + SHORT_US * 1000, &index);
}

static pid_t waiter;
static volatile uint32_t *woken; /* shared */

/* Somebody is asleep, waiting for a slot, while the doomed frees one. */
static void let_one_wait(struct stage *stage, bool begins)
{
    struct actor actor = test_pool_bare_actor(&stage->pool, DEAD);
    uint64_t index;

    if (!woken)
        woken =
            mmap(NULL, sizeof *woken, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!begins && waiter)
        test_pool_release(waiter);
    waiter = 0;
    if (!begins)
        return;
    *woken = 0;
    waiter = fork();
    if (waiter == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        wait_for_a_slot(stage, &actor, wait_now() + LONG_NS, &index);
        *woken = 1;
        for (;;)
            pause();
    }
    while (!wait_anybody(&stage->pool.segment))
        nap();
    nap();
}

static void act_free(void *argument)
{
    struct stage *stage = argument;

    fastalloc_free_inline_(&stage->lane, stage->handle);
}

static void act_free_bare(void *argument)
{
    struct stage *stage = argument;

    supply_free(&stage->pool.segment, &stage->doomed_bare, stage_index(stage), stage->word);
}

/* The doomed is swept: all it had is idle, and who waited has one of that. */
static void expect_woken(struct stage *stage, struct crash_verdict *verdict)
{
    unsigned naps;

    sweep_session(&stage->pool.segment, DOOMED, NULL, NULL);
    for (naps = 0; naps < 1000 && !*woken; naps++)
        nap();
    if (!*woken)
        crash_find(verdict, "a waiter sleeps beside idle slots");
    kill(waiter, SIGKILL);
    nap();
}

/* The living frees one, as if somebody had waited; from then on frees wake nobody. */
static void expect_no_waiter(struct stage *stage, struct crash_verdict *verdict)
{
    wait_wake(&stage->pool.segment);
    if (wait_anybody(&stage->pool.segment))
        crash_find(verdict, "frees go on waking, though nobody waits");
}

const struct operation wait_operations[] = {
    {
        .name = "wait for a lock",
        .prepare = prepare_stocked,
        .act = act_wait_for_a_lock,
        .again = hold_locks,
        .survive = let_locks_go,
    },
    {
        .name = "wait for a slot",
        .prepare = prepare_empty,
        .act = act_wait,
        .verify = expect_no_waiter,
    },
    {
        .name = "free when another waits",
        .prepare = prepare_empty,
        .act = act_free,
        .again = let_one_wait,
        .survive = expect_woken,
        .verify = expect_no_waiter,
    },
    {
        .name = "free uncached when another waits",
        .prepare = prepare_empty,
        .act = act_free_bare,
        .again = let_one_wait,
        .survive = expect_woken,
        .verify = expect_no_waiter,
    },
    {.name = NULL},
};
