/* SPDX-License-Identifier: MIT
 *
 * weave: plays the acts of several at once in every order there is of their steps, a step
 * being one access to shared memory, and with deaths between any two.
 *
 * The acts run the code of lib/shm itself, compiled so that it stops before each access
 * (woven.h), each on a stack of its own in one thread.  A state is what the memory says
 * and what each of them has read so far; one that was met before is not gone on from again.  The
 * order of accesses is sequential consistency: what a processor may reorder beyond it is not
 * found here.
 */
#ifndef FAULT_WEAVE_H
#define FAULT_WEAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEAVE_ACTORS_MAX 6u

/* Address sanitizers do not know of stacks that are put back. */
#if defined(__SANITIZE_ADDRESS__)
#define WEAVE_CAN 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WEAVE_CAN 0
#else
#define WEAVE_CAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define WEAVE_CAN 0
#else
#define WEAVE_CAN 1
#endif

struct weave_actor {
    void (*run)(void *stage, unsigned me); /* `me` counts from 0 */
    bool (*ready)(void *stage);            /* whether he may begin; NULL: at once.  Reads nothing
                                              but the stage and weave_is_dead() */
    bool mortal;                           /* may die before any step of his */
};

struct weave {
    const char *name;
    void *stage;
    const struct weave_actor *actors;
    unsigned count;
    unsigned deaths; /* at most */
    void *memory;    /* all that they share and that changes */
    size_t size;
    void *record; /* what they write down for verify and each other */
    size_t record_size;
    void (*verify)(void *stage); /* when all have ended or died; fails the test if need be */
};

/* Plays all orders, says how many states there were, and returns it. */
uint64_t weave_play(const struct weave *weave);

/* For ready, run and verify: whether an actor died, or came to his end. */
bool weave_is_dead(unsigned actor);
bool weave_has_ended(unsigned actor);

/* As TEST_REQUIRE(), and says in which order it happened: "a b b C ..." are steps of the
 * first, the second, the second, and the death of the third. */
#define WEAVE_REQUIRE(condition, ...)                                                              \
    do {                                                                                           \
        if (!(condition))                                                                          \
            weave_fail(#condition, __VA_ARGS__);                                                   \
    } while (0)
void weave_fail(const char *condition, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

#endif
