/* SPDX-License-Identifier: MIT
 *
 * crash: plays a scene: somebody does an act and is killed at a point of it, others
 * recover and go on working, and then it is counted whether anything was lost or doubled.
 * Again for each point of the act.
 *
 * By default some of the points are drawn by chance.  With FASTALLOC_TEST_LONG set
 * (`make check-crash`) it is all that were noted, and a sample of the others.
 * FASTALLOC_TEST_SEED, which is printed, repeats what was drawn.
 */
#ifndef FAULT_CRASH_H
#define FAULT_CRASH_H

#include "tracer.h"

/* What the survivors found; in memory they share with the player. */
struct crash_verdict {
    uint64_t lost;     /* slots that nobody has and nobody gets */
    uint64_t doubled;  /* slots given out that somebody had */
    uint64_t findings; /* anything else that is not as it should be */
    char text[400];    /* the first of those */
};

struct crash_scene {
    const char *name;
    struct tracer_act act;
    /* All get act.argument.  `set` comes before each act, and leads to the same state each time;
     * `variant`, from 0 on, for what is to happen between death and recovery. */
    unsigned variants;
    void (*set)(void *stage, unsigned variant);
    void (*meet)(void *stage); /* while the doomed stands at its point; or NULL */
    /* After the death, in a process of its own. */
    void (*judge)(void *stage, struct crash_verdict *verdict);
};

/* Says in the verdict what is wrong, if it is the first. */
void crash_find(struct crash_verdict *verdict, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Plays the scene and prints its line of the table; what was broken goes to stderr.  Returns how
 * many of the deaths left something broken: crash_require_none(), when the stage is cleared. */
unsigned crash_play(const struct crash_scene *scene);
void crash_require_none(const char *name, unsigned broken);

/* The line above. */
void crash_print_head(const char *what);

/* Has the program start again, its functions all found beforehand: looking for one at its
 * first call takes a thousand instructions that are none of the act's. */
void crash_bind_now(char **argv);

/* The time limit of a test that plays one scene, in seconds. */
double crash_time_limit(void);

#endif
