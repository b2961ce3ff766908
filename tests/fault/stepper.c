/* SPDX-License-Identifier: MIT
 *
 * stepper: see stepper.h.
 */
#include "stepper.h"

#include "tests/support/pool.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { BEFORE = 0, DURING = 1, AFTER = 2 };

static void wait_for_stop(const struct stepper *stepper, int *status)
{
    TEST_REQUIRE(waitpid(stepper->child, status, __WALL) == stepper->child, "waitpid fails");
    TEST_REQUIRE(WIFSTOPPED(*status), "the child ended with status 0x%x after %llu steps",
                  *status, (unsigned long long)stepper->steps);
    TEST_REQUIRE(WSTOPSIG(*status) == SIGTRAP || WSTOPSIG(*status) == SIGSTOP,
                  "the child got signal %d after %llu steps", WSTOPSIG(*status),
                  (unsigned long long)stepper->steps);
}

/* One processor for both: stepping is then a mere switch of contexts. */
static void share_processor(void)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
}

void stepper_begin(struct stepper *stepper, void (*act)(void *), void *argument)
{
    int status;

    stepper->steps = 0;
    stepper->phase = mmap(NULL, sizeof *stepper->phase, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne((void *)stepper->phase, MAP_FAILED);
    stepper->child = fork();
    TEST_REQUIRE(stepper->child >= 0, "fork fails");
    if (stepper->child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        *stepper->phase = DURING;
        act(argument);
        *stepper->phase = AFTER;
        for (;;)
            raise(SIGSTOP);
    }
    share_processor();
    wait_for_stop(stepper, &status);
    while (*stepper->phase == BEFORE) {
        TEST_REQUIRE(ptrace(PTRACE_SINGLESTEP, stepper->child, NULL, NULL) == 0, "ptrace fails");
        wait_for_stop(stepper, &status);
    }
}

bool stepper_go(struct stepper *stepper, uint64_t steps)
{
    int status;

    for (; steps && *stepper->phase == DURING; steps--) {
        TEST_REQUIRE(ptrace(PTRACE_SINGLESTEP, stepper->child, NULL, NULL) == 0, "ptrace fails");
        wait_for_stop(stepper, &status);
        stepper->steps++;
    }
    return *stepper->phase == DURING;
}

void stepper_finish(struct stepper *stepper)
{
    int status;

    while (*stepper->phase != AFTER) {
        TEST_REQUIRE(ptrace(PTRACE_CONT, stepper->child, NULL, NULL) == 0, "ptrace fails");
        wait_for_stop(stepper, &status);
    }
}

void stepper_kill(struct stepper *stepper)
{
    kill(stepper->child, SIGKILL);
    ck_assert_int_eq(waitpid(stepper->child, NULL, __WALL), stepper->child);
    munmap((void *)stepper->phase, sizeof *stepper->phase);
}

#if defined(__x86_64__)

#define TRAP_FLAG 0x100

/* Of the child, while it steps itself. */
static struct {
    uint64_t steps, last;
    void (*look)(uint64_t);
    volatile sig_atomic_t on;
} self;

static void on_trap(int number, siginfo_t *info, void *context)
{
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];

    (void)number;
    (void)info;
    *flags = self.on ? *flags | TRAP_FLAG : *flags & ~(greg_t)TRAP_FLAG;
    if (!self.on)
        return;
    if (self.steps && self.look)
        self.look(self.steps);
    if (self.steps == self.last)
        kill(getpid(), SIGKILL);
    self.steps++;
}

static void step_oneself(void (*act)(void *), void *argument, uint64_t last,
                         void (*look)(uint64_t))
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigaction(SIGTRAP, &action, NULL);
    self.look = look;
    self.last = last;
    self.on = 1;
    raise(SIGTRAP); /* the flag is set from the handler's return on */
    act(argument);
    self.on = 0;
}

bool stepper_die(void (*act)(void *), void *argument, uint64_t step)
{
    int status;
    pid_t child = fork();

    TEST_REQUIRE(child >= 0, "fork fails");
    if (child == 0) {
        step_oneself(act, argument, step, NULL);
        _exit(0);
    }
    TEST_REQUIRE(waitpid(child, &status, 0) == child, "waitpid fails");
    TEST_REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
                      (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL),
                  "the child ended with status 0x%x", status);
    return WIFSIGNALED(status);
}

uint64_t stepper_trace(void (*act)(void *), void *argument, void (*look)(uint64_t))
{
    uint64_t *steps =
        mmap(NULL, sizeof *steps, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t counted;
    int status;
    pid_t child;

    ck_assert_ptr_ne(steps, MAP_FAILED);
    child = fork();
    TEST_REQUIRE(child >= 0, "fork fails");
    if (child == 0) {
        step_oneself(act, argument, UINT64_MAX, look);
        *steps = self.steps;
        _exit(0);
    }
    TEST_REQUIRE(waitpid(child, &status, 0) == child, "waitpid fails");
    ck_assert_int_eq(status, 0);
    counted = *steps;
    munmap(steps, sizeof *steps);
    return counted;
}

#else

bool stepper_die(void (*act)(void *), void *argument, uint64_t step)
{
    struct stepper stepper;
    bool during;

    stepper_begin(&stepper, act, argument);
    during = stepper_go(&stepper, step);
    stepper_kill(&stepper);
    return during;
}

/* The parent looks, which does as well: what there is to see is shared. */
uint64_t stepper_trace(void (*act)(void *), void *argument, void (*look)(uint64_t))
{
    struct stepper stepper;
    uint64_t steps;

    stepper_begin(&stepper, act, argument);
    while (stepper_go(&stepper, 1))
        look(stepper.steps);
    steps = stepper.steps;
    stepper_kill(&stepper);
    return steps;
}

#endif
