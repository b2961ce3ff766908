/* SPDX-License-Identifier: MIT
 *
 * loops: those of one thread that are timed, made by macro for each implementation, so that
 * what can be inlined is inlined into every one of them alike.
 *
 * Each loop does `count` allocations, writes the first 8 bytes of each object, and does
 * as many frees; batch100 whole batches.
 */
#ifndef TESTS_BENCH_LOOPS_H
#define TESTS_BENCH_LOOPS_H

#include "implementation.h"

#define BENCH_BATCH 100u
#define BENCH_HELD 1024u
#define BENCH_CALL_MAX 256u /* objects a batch call asks for */

/* Makes the compiler believe that somebody reads it. */
BENCH_INLINE void bench_write(void *object, uint64_t value)
{
    *(uint64_t *)object = value;
    __asm__ volatile("" : : "r"(object) : "memory");
}

/* The high bits of a linear congruential generator (Knuth's MMIX constants). */
BENCH_INLINE size_t bench_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(*state >> 54);
}

#define BENCH_DEFINE_LOOPS(name)                                                                   \
    BENCH_INLINE void name##_use(name##_state state, name##_handle *handle, uint64_t value)        \
    {                                                                                              \
        bench_write(name##_take(state, handle), value);                                            \
    }                                                                                              \
    static void name##_pair(void *of, size_t count)                                                \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handle;                                                                      \
        size_t i;                                                                                  \
                                                                                                   \
        for (i = 0; i < count; i++) {                                                              \
            name##_use(state, &handle, i);                                                         \
            name##_give(state, handle);                                                            \
        }                                                                                          \
    }                                                                                              \
    static void name##_batch100(void *of, size_t count)                                            \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle handles[BENCH_BATCH];                                                        \
        size_t i, j;                                                                               \
                                                                                                   \
        for (i = 0; i < count; i += BENCH_BATCH) {                                                 \
            for (j = 0; j < BENCH_BATCH; j++)                                                      \
                name##_use(state, &handles[j], j);                                                 \
            for (j = 0; j < BENCH_BATCH; j++)                                                      \
                name##_give(state, handles[j]);                                                    \
        }                                                                                          \
    }                                                                                              \
    static void name##_churn1024(void *of, size_t count)                                           \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle held[BENCH_HELD];                                                            \
        uint64_t random = 1;                                                                       \
        size_t i, at;                                                                              \
                                                                                                   \
        for (i = 0; i < BENCH_HELD; i++)                                                           \
            name##_use(state, &held[i], i);                                                        \
        for (i = 0; i < count; i++) {                                                              \
            at = bench_random(&random);                                                            \
            name##_give(state, held[at]);                                                          \
            name##_use(state, &held[at], i);                                                       \
        }                                                                                          \
        for (i = 0; i < BENCH_HELD; i++)                                                           \
            name##_give(state, held[i]);                                                           \
    }

#endif
