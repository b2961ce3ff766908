/* SPDX-License-Identifier: MIT
 *
 * tracer: runs an act in a forked child under ptrace, so that a test can stop it or
 * kill it between any two of its instructions.
 *
 * One pass single-steps the child through the act and notes at which instructions a
 * watched piece of memory changed, the kernel's list of the thread's robust locks
 * changed, or a system call was made.  Going to one of them again costs no steps: a
 * breakpoint stops the child where the instruction is reached for the noted time.
 *
 * x86-64 only, and only where the system lets a process trace its child.
 */
#ifndef FAULT_TRACER_H
#define FAULT_TRACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tracer_act {
    void (*enter)(void *argument); /* in the child, before it is watched; or NULL */
    void (*run)(void *argument);   /* watched */
    void (*then)(void *argument);  /* in the child, afterwards; or NULL */
    void *argument;
    /* What to watch for changes; NULL while there is nothing.  Asked at the beginning and
     * after each system call. */
    const void *(*memory)(void *argument, size_t *size);
};

enum trace_kind {
    TRACE_OTHER,  /* nothing to be seen from outside */
    TRACE_CHANGE, /* the instruction before changed the memory, or the robust list */
    TRACE_CALL,   /* a system call is next */
    TRACE_INSIDE, /* ... and is entered: one that may block */
    TRACE_RETURN  /* a system call has returned */
};

/* A point of an act: before the instruction at `address` when that is reached for the
 * `hit`-th time. */
struct trace_point {
    uint64_t address;
    uint32_t hit;
    uint32_t step; /* instructions before it */
    enum trace_kind kind;
};

struct trace {
    uint32_t steps;             /* instructions of the act */
    struct trace_point *points; /* noted ones, in order */
    size_t count;
    struct trace_point *others; /* all the rest that can be gone to soon */
    size_t other_count;
};

/* Whether acts can be traced here.  If not, says on stderr why. */
bool tracer_can(void);

/* Steps through the act in a child, to its end. */
void tracer_record(struct trace *trace, const struct tracer_act *act);
void trace_free(struct trace *trace);

/* Moves `wanted` of the points, by chance, to the front; returns how many there are. */
size_t trace_draw(struct trace_point *points, size_t count, size_t wanted, uint64_t *random);

/* "step 17 of 55, after a change, at check_crashpoints+0x1234". */
void trace_describe(const struct trace *trace, const struct trace_point *point, char *text,
                    size_t size);

/* A child that does the act and is stopped at a point of it. */
struct tracee {
    pid_t child;
    bool ended; /* it has come to the end of the act */
    bool runs;  /* it is inside a system call, or beyond */
};

/* Returns false when the act ended before the point was reached: then the child waits
 * at the end of the act (or is gone, if the act ends its process). */
bool tracer_reach(struct tracee *tracee, const struct tracer_act *act,
                  const struct trace_point *point);

/* Lets it go on to the end of the act; and then do what follows, to its end. */
void tracer_finish(struct tracee *tracee);
void tracer_go_on(struct tracee *tracee);

/* Kills it with SIGKILL, wherever it is, and reaps it. */
void tracer_kill(struct tracee *tracee);

#endif
