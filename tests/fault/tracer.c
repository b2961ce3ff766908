/* SPDX-License-Identifier: MIT
 *
 * tracer: see tracer.h.
 *
 * The act stands between two breakpoints that are part of this program.  Tracer and
 * child are kept on one processor: a step is then a switch of context and no
 * interrupt from one processor to another, three times as fast.
 */
#include "tracer.h"

#include "tests/support/pool.h"

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STEPS_MAX 4000000u
#define HITS_MAX 300u     /* of a point that is not noted: more take too long to get to */
#define INSIDE_US 500     /* for a child to get into a system call */
#define STATUS_UNTRACED 3 /* of a child that may not be traced */

#if defined(__x86_64__)

/* ------------------------------------------------------------- the child */

/* The breakpoints.  Each executes a trap as its very first instruction, and returns. */
void tracer_begins_here(void);
void tracer_ends_here(void);
__asm__(".text\n"
        ".globl tracer_begins_here\n.hidden tracer_begins_here\n"
        ".type tracer_begins_here, @function\n"
        "tracer_begins_here:\n\tint3\n\tret\n"
        ".size tracer_begins_here, . - tracer_begins_here\n"
        ".globl tracer_ends_here\n.hidden tracer_ends_here\n"
        ".type tracer_ends_here, @function\n"
        "tracer_ends_here:\n\tint3\n\tret\n"
        ".size tracer_ends_here, . - tracer_ends_here\n");

static void run_child(const struct tracer_act *act)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
        _exit(STATUS_UNTRACED);
    if (act->enter)
        act->enter(act->argument);
    tracer_begins_here();
    act->run(act->argument);
    tracer_ends_here();
    if (act->then)
        act->then(act->argument);
    tracer_ends_here();
    _exit(0);
}

/* ------------------------------------------------------------ the tracer */

static cpu_set_t everywhere;
static bool pinned;

static void pin(void)
{
    cpu_set_t here;

    if (sched_getaffinity(0, sizeof everywhere, &everywhere))
        return;
    CPU_ZERO(&here);
    CPU_SET((unsigned)sched_getcpu(), &here);
    pinned = sched_setaffinity(0, sizeof here, &here) == 0;
}

static void unpin(void)
{
    if (pinned)
        sched_setaffinity(0, sizeof everywhere, &everywhere);
    pinned = false;
}

static uint64_t get_register(pid_t child, size_t offset)
{
    return (uint64_t)ptrace(PTRACE_PEEKUSER, child, offset, NULL);
}

#define END ((uint64_t)(uintptr_t)tracer_ends_here)
/* LeakSanitizer, where there is one, fails in a process that is traced: it asks here. */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

#define RIP offsetof(struct user_regs_struct, rip)
#define RAX offsetof(struct user_regs_struct, rax)

static void poke(pid_t child, uint64_t address, uint64_t word)
{
    TEST_REQUIRE(ptrace(PTRACE_POKETEXT, child, address, word) == 0, "PTRACE_POKETEXT: %s",
                 strerror(errno));
}

/* Waits for the next stop that is a trap; other signals are handed on.  False when the child has
 * ended, well. */
static bool wait_for_trap(pid_t child, int request)
{
    int status;

    for (;;) {
        TEST_REQUIRE(waitpid(child, &status, __WALL) == child, "waitpid fails");
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            return false;
        TEST_REQUIRE(WIFSTOPPED(status), "the child ended with status 0x%x", status);
        if (WSTOPSIG(status) == SIGTRAP)
            return true;
        ptrace(request, child, NULL, (long)WSTOPSIG(status));
    }
}

static bool resume(pid_t child, int request)
{
    TEST_REQUIRE(ptrace(request, child, NULL, 0L) == 0, "ptrace: %s", strerror(errno));
    return wait_for_trap(child, request);
}

static bool is_at(pid_t child, void (*breakpoint)(void))
{
    return get_register(child, RIP) == (uint64_t)(uintptr_t)breakpoint + 1;
}

/* Starts a child, up to the beginning of the act. */
static pid_t start(const struct tracer_act *act)
{
    pid_t child;
    int status;

    fflush(NULL);
    child = fork();
    TEST_REQUIRE(child >= 0, "fork fails");
    if (child == 0)
        run_child(act);
    TEST_REQUIRE(waitpid(child, &status, __WALL) == child, "waitpid fails");
    TEST_REQUIRE(WIFSTOPPED(status), "the child ended with status 0x%x", status);
    ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_EXITKILL);
    while (!is_at(child, tracer_begins_here))
        TEST_REQUIRE(resume(child, PTRACE_CONT), "the child ended before the act");
    return child;
}

static void idle(void *argument)
{
    (void)argument;
}

bool tracer_can(void)
{
    struct tracer_act act = {.run = idle};
    int status = 0;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0)
        run_child(&act);
    if (child < 0 || waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status)) {
        fprintf(stderr, "SKIPPED: this system does not let a process trace its child (ptrace)\n");
        return false;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return true;
}

/* -------------------------------------------------------------- recording */

/* How often each instruction was reached so far: open addressing. */
struct reached {
    uint64_t address;
    uint32_t times;
    bool is_call;
};

struct recorder {
    const struct tracer_act *act;
    pid_t child;
    struct reached *table;
    size_t slots, used;
    const void *memory; /* watched, and a copy of it */
    char *last;
    size_t size;
    uint64_t robust_head, robust[2]; /* the list's first entry, and the pending one */
    struct trace *trace;
    size_t room, other_room;
};

static struct reached *look_up(struct recorder *recorder, uint64_t address)
{
    size_t at = (size_t)(address * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (recorder->slots - 1);

    while (recorder->table[at].times && recorder->table[at].address != address)
        at = (at + 1) & (recorder->slots - 1);
    return &recorder->table[at];
}

static void widen(struct recorder *recorder)
{
    struct reached *old = recorder->table;
    size_t count = recorder->slots, i;

    recorder->slots = count ? 2 * count : 4096;
    recorder->table = calloc(recorder->slots, sizeof *old);
    TEST_REQUIRE(recorder->table, "no memory");
    for (i = 0; i < count; i++)
        if (old[i].times)
            *look_up(recorder, old[i].address) = old[i];
    free(old);
}

/* Counts the instruction that is next. */
static struct reached *count_step(struct recorder *recorder, uint64_t address)
{
    struct reached *reached;

    if (2 * recorder->used >= recorder->slots)
        widen(recorder);
    reached = look_up(recorder, address);
    if (!reached->times++) {
        uint64_t code = (uint64_t)ptrace(PTRACE_PEEKTEXT, recorder->child, address, NULL);

        recorder->used++;
        reached->address = address;
        reached->is_call = (code & 0xffff) == 0x050f;
    }
    return reached;
}

static void append(struct trace_point **points, size_t *count, size_t *room,
                   const struct trace_point *point)
{
    if (*count == *room) {
        *room = *room ? 2 * *room : 1024;
        *points = realloc(*points, *room * sizeof **points);
        TEST_REQUIRE(*points, "no memory");
    }
    (*points)[(*count)++] = *point;
}

static void note(struct recorder *recorder, const struct reached *reached, enum trace_kind kind)
{
    struct trace *trace = recorder->trace;
    struct trace_point point = {reached->address, reached->times, trace->steps, kind};

    if (kind != TRACE_OTHER)
        append(&trace->points, &trace->count, &recorder->room, &point);
    else if (point.hit <= HITS_MAX)
        append(&trace->others, &trace->other_count, &recorder->other_room, &point);
}

static void look_for_memory(struct recorder *recorder)
{
    const struct tracer_act *act = recorder->act;
    size_t size = 0;
    const void *memory = act->memory ? act->memory(act->argument, &size) : NULL;

    if (memory == recorder->memory && size == recorder->size)
        return;
    recorder->memory = memory;
    recorder->size = size;
    recorder->last = realloc(recorder->last, size + 1);
    TEST_REQUIRE(recorder->last, "no memory");
    if (memory)
        memcpy(recorder->last, memory, size);
}

static bool has_changed(struct recorder *recorder)
{
    bool changed = recorder->memory && memcmp(recorder->last, recorder->memory, recorder->size);
    uint64_t robust[2];

    if (changed)
        memcpy(recorder->last, recorder->memory, recorder->size);
    robust[0] = (uint64_t)ptrace(PTRACE_PEEKDATA, recorder->child, recorder->robust_head, NULL);
    robust[1] =
        (uint64_t)ptrace(PTRACE_PEEKDATA, recorder->child, recorder->robust_head + 16, NULL);
    changed |= memcmp(robust, recorder->robust, sizeof robust) != 0;
    memcpy(recorder->robust, robust, sizeof robust);
    return changed;
}

static bool may_block(uint64_t call)
{
    return call == SYS_futex || call == SYS_nanosleep || call == SYS_clock_nanosleep ||
           call == SYS_poll || call == SYS_recvmsg || call == SYS_fallocate || call == SYS_fcntl;
}

static void record_steps(struct recorder *recorder)
{
    bool was_call = false, changed = false;
    struct trace *trace = recorder->trace;

    for (;;) {
        struct reached *reached = count_step(recorder, get_register(recorder->child, RIP));
        bool at_end = reached->address == END;

        if (was_call)
            note(recorder, reached, TRACE_RETURN);
        else if (changed || at_end)
            note(recorder, reached, TRACE_CHANGE);
        else if (!reached->is_call)
            note(recorder, reached, TRACE_OTHER);
        if (at_end)
            return;
        was_call = reached->is_call;
        if (was_call) {
            note(recorder, reached, TRACE_CALL);
            if (may_block(get_register(recorder->child, RAX)))
                note(recorder, reached, TRACE_INSIDE);
        }
        TEST_REQUIRE(trace->steps++ < STEPS_MAX, "more than %u steps are too many", STEPS_MAX);
        if (!resume(recorder->child, PTRACE_SINGLESTEP)) {
            recorder->child = 0;
            return;
        }
        if (was_call)
            look_for_memory(recorder);
        changed = has_changed(recorder);
    }
}

void tracer_record(struct trace *trace, const struct tracer_act *act)
{
    struct recorder recorder = {.act = act, .trace = trace};
    struct tracee tracee;
    size_t length;
    void *head;

    memset(trace, 0, sizeof *trace);
    pin();
    recorder.child = start(act);
    TEST_REQUIRE(syscall(SYS_get_robust_list, recorder.child, &head, &length) == 0,
                 "get_robust_list: %s", strerror(errno));
    recorder.robust_head = (uint64_t)(uintptr_t)head;
    look_for_memory(&recorder);
    has_changed(&recorder);
    record_steps(&recorder);
    unpin();
    tracee = (struct tracee){.child = recorder.child};
    tracer_kill(&tracee);
    free(recorder.table);
    free(recorder.last);
}

void trace_free(struct trace *trace)
{
    free(trace->points);
    free(trace->others);
    memset(trace, 0, sizeof *trace);
}

size_t trace_draw(struct trace_point *points, size_t count, size_t wanted, uint64_t *random)
{
    size_t i;

    for (i = 0; i < wanted && i < count; i++) {
        size_t other = i + test_random(random) % (count - i);
        struct trace_point point = points[i];

        points[i] = points[other];
        points[other] = point;
    }
    return i;
}

void trace_describe(const struct trace *trace, const struct trace_point *point, char *text,
                    size_t size)
{
    static const char *const kinds[] = {
        [TRACE_OTHER] = "",
        [TRACE_CHANGE] = ", after a change",
        [TRACE_CALL] = ", before a system call",
        [TRACE_INSIDE] = ", inside a system call",
        [TRACE_RETURN] = ", after a system call",
    };
    Dl_info info;
    void *address = (void *)(uintptr_t)point->address;
    const char *file, *slash;

    if (!dladdr(address, &info)) {
        snprintf(text, size, "step %u of %u%s, at %p", point->step, trace->steps,
                 kinds[point->kind], address);
        return;
    }
    slash = strrchr(info.dli_fname, '/');
    file = slash ? slash + 1 : info.dli_fname;
    snprintf(text, size, "step %u of %u%s, at %s+0x%llx (%s)", point->step, trace->steps,
             kinds[point->kind], file,
             (unsigned long long)(point->address - (uint64_t)(uintptr_t)info.dli_fbase),
             info.dli_sname ? info.dli_sname : "?");
}

/* --------------------------------------------------------------- going there */

/* Lets the child go on to `address`, over and over, until it is there for the `hit`-th
 * time.  False when the act ends before; the child is 0 if its process does. */
static bool go_to(struct tracee *tracee, uint64_t address, uint32_t hit)
{
    pid_t child = tracee->child;
    uint64_t code, trap, rip = get_register(child, RIP);
    uint32_t seen = rip == address;

    errno = 0;
    code = (uint64_t)ptrace(PTRACE_PEEKTEXT, child, address, NULL);
    TEST_REQUIRE(errno == 0, "PTRACE_PEEKTEXT: %s", strerror(errno));
    trap = (code & ~UINT64_C(0xff)) | 0xcc;
    while (seen < hit) {
        if (rip == address) {
            /* The one it stands on, without the trap. */
            if (!resume(child, PTRACE_SINGLESTEP))
                break;
            rip = get_register(child, RIP);
            seen += rip == address;
            continue;
        }
        poke(child, address, trap);
        if (!resume(child, PTRACE_CONT))
            break;
        poke(child, address, code);
        if (is_at(child, tracer_ends_here))
            return address == END;
        rip = get_register(child, RIP) - 1;
        TEST_REQUIRE(rip == address, "a trap at %llx", (unsigned long long)rip);
        TEST_REQUIRE(ptrace(PTRACE_POKEUSER, child, RIP, rip) == 0, "PTRACE_POKEUSER: %s",
                     strerror(errno));
        seen++;
    }
    if (seen < hit)
        tracee->child = 0;
    return seen == hit;
}

bool tracer_reach(struct tracee *tracee, const struct tracer_act *act,
                  const struct trace_point *point)
{
    bool reached;

    pin();
    tracee->child = start(act);
    reached = go_to(tracee, point->address, point->hit);
    unpin();
    tracee->ended = !reached || point->address == END;
    tracee->runs = reached && point->kind == TRACE_INSIDE;
    if (tracee->runs) {
        ptrace(PTRACE_CONT, tracee->child, NULL, NULL);
        nanosleep(&(struct timespec){.tv_nsec = INSIDE_US * 1000}, NULL);
    }
    return reached;
}

static void run_to_end(struct tracee *tracee)
{
    bool alive;

    do {
        alive = tracee->runs ? wait_for_trap(tracee->child, PTRACE_CONT)
                             : resume(tracee->child, PTRACE_CONT);
        TEST_REQUIRE(alive, "the child ended early");
        tracee->runs = false;
    } while (!is_at(tracee->child, tracer_ends_here));
}

void tracer_finish(struct tracee *tracee)
{
    if (!tracee->ended)
        run_to_end(tracee);
    tracee->ended = true;
}

void tracer_go_on(struct tracee *tracee)
{
    run_to_end(tracee);
}

#else /* not x86-64 */

bool tracer_can(void)
{
    fprintf(stderr, "SKIPPED: single-stepping is for x86-64 only\n");
    return false;
}

#endif

void tracer_kill(struct tracee *tracee)
{
    if (!tracee->child)
        return;
    kill(tracee->child, SIGKILL);
    waitpid(tracee->child, NULL, __WALL);
    tracee->child = 0;
}
