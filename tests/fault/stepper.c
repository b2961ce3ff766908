/* SPDX-License-Identifier: MIT
 *
 * stepper: see stepper.h.
 */
#include "stepper.h"

#include "tests/support/pool.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { FIRST, BETWEEN, AFTER };

/* Of the child, while it steps itself. */
static struct {
    uint64_t steps, last;
    int signal_at_last;
    bool look;
    volatile sig_atomic_t on;
} self;

/* What a child that is traced looks at. */
enum { STEPS_ROOM = 1000000 };
static struct {
    const void *memory;
    size_t size;
    char *last;
    uint64_t *steps;  /* shared */
    uint8_t *changes; /* shared */
} trace;

static void look(void)
{
    if (self.steps >= STEPS_ROOM || !memcmp(trace.last, trace.memory, trace.size))
        return;
    trace.changes[self.steps] = 1;
    memcpy(trace.last, trace.memory, trace.size);
}

/* Turns stepping on or off in the interrupted context; false where that cannot be. */
static bool set_trap_flag(void *context, bool on)
{
#if STEPPER_CAN
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    const greg_t trap = 0x100;

    *flags = on ? *flags | trap : *flags & ~trap;
    return true;
#else
    (void)context;
    (void)on;
    return false;
#endif
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    if (self.on && self.steps && self.look)
        look();
    if (self.on && self.steps == self.last) {
        self.on = 0;
        kill(getpid(), self.signal_at_last);
    }
    self.steps++;
    if (!set_trap_flag(context, self.on))
        _exit(2);
}

static void step_oneself(void (*act)(void *), void *argument)
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigaction(SIGTRAP, &action, NULL);
    self.on = 1;
    raise(SIGTRAP); /* the flag is set from the handler's return on */
    act(argument);
    self.on = 0;
}

static void *share(size_t size)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    TEST_REQUIRE(shared != MAP_FAILED, "no memory");
    return shared;
}

static pid_t fork_child(void)
{
    pid_t child = fork();

    TEST_REQUIRE(child >= 0, "fork fails");
    return child;
}

bool stepper_die(void (*act)(void *), void *argument, uint64_t step)
{
    int status;
    pid_t child = fork_child();

    if (child == 0) {
        self.last = step;
        self.signal_at_last = SIGKILL;
        step_oneself(act, argument);
        _exit(0);
    }
    TEST_REQUIRE(waitpid(child, &status, 0) == child, "waitpid fails");
    TEST_REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
                     (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL),
                 "the child ended with status 0x%x", status);
    return WIFSIGNALED(status);
}

uint64_t stepper_trace(void (*act)(void *), void *argument, const void *memory, size_t size,
                       uint8_t **changes)
{
    uint64_t counted;
    int status;
    pid_t child;

    trace.memory = memory;
    trace.size = size;
    trace.last = malloc(size);
    memcpy(trace.last, memory, size);
    trace.steps = share(sizeof *trace.steps);
    trace.changes = share(STEPS_ROOM);
    child = fork_child();
    if (child == 0) {
        self.last = UINT64_MAX;
        self.look = true;
        step_oneself(act, argument);
        *trace.steps = self.steps;
        _exit(0);
    }
    TEST_REQUIRE(waitpid(child, &status, 0) == child, "waitpid fails");
    TEST_REQUIRE(status == 0, "the child ended with status 0x%x", status);
    counted = *trace.steps;
    TEST_REQUIRE(counted < STEPS_ROOM, "%llu steps are too many", (unsigned long long)counted);
    *changes = malloc(counted + 1);
    memcpy(*changes, trace.changes, counted + 1);
    munmap(trace.steps, sizeof *trace.steps);
    munmap(trace.changes, STEPS_ROOM);
    free(trace.last);
    return counted;
}

void stepper_choose(uint8_t *chosen, const uint8_t *changes, uint64_t steps, bool changed,
                    uint64_t budget, uint64_t *random)
{
    uint64_t step, cost = 0;

    for (step = 1; step <= steps; step++)
        cost += changes[step] == changed ? step : 0;
    for (step = 1; step <= steps; step++)
        if (changes[step] == changed && test_random(random) % (cost + 1) <= budget)
            chosen[step] = 1;
}

static void wait_for_stop(const struct stepper *stepper)
{
    int status;

    TEST_REQUIRE(waitpid(stepper->child, &status, WUNTRACED) == stepper->child, "waitpid fails");
    TEST_REQUIRE(WIFSTOPPED(status), "the child ended with status 0x%x", status);
}

void stepper_stop(struct stepper *stepper, void (*act)(void *), void (*second)(void *),
                  void *argument, uint64_t step)
{
    stepper->phase = share(sizeof *stepper->phase);
    stepper->child = fork_child();
    if (stepper->child == 0) {
        self.last = step;
        self.signal_at_last = SIGSTOP;
        step_oneself(act, argument);
        *stepper->phase = BETWEEN;
        raise(SIGSTOP);
        second(argument);
        *stepper->phase = AFTER;
        for (;;)
            raise(SIGSTOP);
    }
    wait_for_stop(stepper);
}

static void run_until(struct stepper *stepper, uint32_t phase)
{
    while (*stepper->phase < phase) {
        kill(stepper->child, SIGCONT);
        wait_for_stop(stepper);
    }
}

void stepper_finish(struct stepper *stepper)
{
    run_until(stepper, BETWEEN);
}

void stepper_go_on(struct stepper *stepper)
{
    run_until(stepper, AFTER);
}

void stepper_end(struct stepper *stepper)
{
    kill(stepper->child, SIGKILL);
    TEST_REQUIRE(waitpid(stepper->child, NULL, 0) == stepper->child, "waitpid fails");
    munmap((void *)stepper->phase, sizeof *stepper->phase);
}
