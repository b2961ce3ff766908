/* SPDX-License-Identifier: MIT
 *
 * crew: see crew.h.
 */
#include "crew.h"

#include "shared.h"
#include "worker.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 60u /* for all of a crew's life */
#define POLL_MS 0.3
/* Of a member before it is ready: the first call may have to attach to a pool. */
#define FIRST_PAIRS 1000u

struct member {
    BENCH_ALIGNED uint64_t done;
    uint32_t working;
    unsigned number;
    pid_t pid;
    pthread_t thread;
    const struct crew_task *task;
};

struct crew {
    uint32_t phase;   /* futex */
    uint32_t arrived; /* at meetings, ever; futex */
    cpu_set_t processors;
    struct member members[CREW_MEMBERS_MAX];
};

static void wait_while(const uint32_t *word, uint32_t value)
{
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
        syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void wake_all(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void crew_sleep(double ms)
{
    struct timespec pause = {(time_t)(ms / 1e3),
                             (long)((ms - 1e3 * (double)(time_t)(ms / 1e3)) * 1e6)};

    while (nanosleep(&pause, &pause) && errno == EINTR)
        ;
}

/* ------------------------------------------------------------------- members */

/* The processors we may use, in turn. */
static void pin(const struct crew *crew, unsigned member)
{
    unsigned left = member % (unsigned)CPU_COUNT(&crew->processors);
    cpu_set_t one;
    int cpu = 0;

    while (!CPU_ISSET(cpu, &crew->processors) || left-- > 0)
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one))
        bench_give_up("sched_setaffinity", strerror(errno));
}

static void work(struct member *member)
{
    const struct crew_task *task = member->task;
    const struct bench_implementation *implementation = task->implementation;
    void *state;

    pin(task->crew, member->number);
    state = implementation->join ? implementation->join(task->state) : task->state;
    if (implementation->pair)
        implementation->pair(state, FIRST_PAIRS);
    __atomic_store_n(&member->working, 1u, __ATOMIC_RELEASE);
    wait_while(&task->crew->phase, CREW_GATHER);
    task->act(task, member->number, state);
    if (implementation->leave)
        implementation->leave(state);
}

static void *thread_main(void *member)
{
    work(member);
    return NULL;
}

static void begin(struct member *member)
{
    int error;

    member->working = 0;
    if (member->task->processes) {
        pid_t child = worker_fork();

        if (child == 0) {
            work(member);
            _exit(EXIT_SUCCESS);
        }
        member->pid = child;
        return;
    }
    error = pthread_create(&member->thread, NULL, thread_main, member);
    if (error)
        bench_give_up("pthread_create", strerror(error));
}

enum crew_phase crew_phase(const struct crew_task *task)
{
    return (enum crew_phase)__atomic_load_n(&task->crew->phase, __ATOMIC_RELAXED);
}

void crew_count(const struct crew_task *task, unsigned member, uint64_t done)
{
    struct member *self = &task->crew->members[member];

    __atomic_store_n(&self->done, self->done + done, __ATOMIC_RELAXED);
}

void crew_meet(const struct crew_task *task)
{
    uint32_t *arrived = &task->crew->arrived;
    uint32_t now = __atomic_add_fetch(arrived, 1u, __ATOMIC_ACQ_REL);
    uint32_t all = (now + task->members - 1) / task->members * task->members;

    if (now == all)
        wake_all(arrived);
    /* Who comes to the next meeting takes the word further. */
    while ((int32_t)(now - all) < 0) {
        wait_while(arrived, now);
        now = __atomic_load_n(arrived, __ATOMIC_ACQUIRE);
    }
}

/* -------------------------------------------------------------------- leader */

/* One who ends before its time: everything is in vain. */
static void give_up_on(const struct member *member, int status)
{
    char text[80];

    snprintf(text, sizeof text,
             WIFSIGNALED(status) ? "killed by signal %d" : "ended with status %d",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    fprintf(stderr, "bench: member %u of %u\n", member->number + 1, member->task->members);
    bench_give_up(member->task->implementation->name, text);
}

/* Whether the member has ended, as it should. */
static bool has_ended(struct member *member)
{
    int status;

    if (!member->pid)
        return true;
    if (waitpid(member->pid, &status, WNOHANG) != member->pid)
        return false;
    member->pid = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        give_up_on(member, status);
    return true;
}

void crew_start(struct crew_task *task)
{
    struct crew *crew = shared_map(sizeof *crew);
    unsigned i;

    if (task->members > CREW_MEMBERS_MAX)
        bench_give_up("crew", "more members than it has room for");
    alarm(PATIENCE_S);
    if (sched_getaffinity(0, sizeof crew->processors, &crew->processors))
        bench_give_up("sched_getaffinity", strerror(errno));
    task->crew = crew;
    for (i = 0; i < task->members; i++) {
        crew->members[i].number = i;
        crew->members[i].task = task;
        begin(&crew->members[i]);
    }
    for (i = 0; i < task->members; i++)
        while (!__atomic_load_n(&crew->members[i].working, __ATOMIC_ACQUIRE)) {
            if (task->processes && has_ended(&crew->members[i]))
                bench_give_up("crew", "a member has ended before it began");
            crew_sleep(POLL_MS);
        }
}

void crew_go(struct crew_task *task, enum crew_phase phase)
{
    __atomic_store_n(&task->crew->phase, (uint32_t)phase, __ATOMIC_RELEASE);
    wake_all(&task->crew->phase);
}

/* Polled: of several that wait for each other, any may be the one that fails. */
static void wait_for_processes(struct crew *crew, unsigned members)
{
    unsigned i, left;

    do {
        left = 0;
        for (i = 0; i < members; i++)
            left += !has_ended(&crew->members[i]);
        if (left)
            crew_sleep(POLL_MS);
    } while (left);
}

void crew_finish(struct crew_task *task)
{
    unsigned i;

    if (task->processes)
        wait_for_processes(task->crew, task->members);
    else
        for (i = 0; i < task->members; i++)
            pthread_join(task->crew->members[i].thread, NULL);
    alarm(0);
    shared_unmap(task->crew, sizeof *task->crew);
    task->crew = NULL;
}

struct crew_sum crew_sum(const struct crew_task *task)
{
    struct crew_sum sum = {worker_now(), 0};
    unsigned i;

    for (i = 0; i < task->members; i++)
        sum.done += __atomic_load_n(&task->crew->members[i].done, __ATOMIC_RELAXED);
    sum.when = (sum.when + worker_now()) / 2;
    return sum;
}

/* -------------------------------------------------------------------- deaths */

bool crew_is_working(const struct crew_task *task, unsigned member)
{
    return __atomic_load_n(&task->crew->members[member].working, __ATOMIC_ACQUIRE);
}

void crew_kill(const struct crew_task *task, unsigned member)
{
    kill(task->crew->members[member].pid, SIGKILL);
}

bool crew_replace(const struct crew_task *task, unsigned member)
{
    struct member *killed = &task->crew->members[member];
    int status;

    if (waitpid(killed->pid, &status, WNOHANG) != killed->pid)
        return false;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        give_up_on(killed, status);
    begin(killed);
    return true;
}
