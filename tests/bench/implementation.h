/* SPDX-License-Identifier: MIT
 *
 * implementation: what every implementation that is measured brings, and the worker that
 * runs it: a process of its own, so that no allocator sees another's threads, mappings or
 * malloc (worker.h).
 *
 * An implementation `name` brings, all BENCH_INLINE,
 *
 *     name##_state                     a pointer to what it works on
 *     name##_handle                    what freeing needs
 *     void *name##_take(name##_state, name##_handle *)     an object, or does not return
 *     void name##_give(name##_state, name##_handle)
 *     uint64_t name##_token(name##_state, name##_handle)   never 0: to tell another thread, or
 *                                                          process where it can
 *     name##_handle name##_accept(name##_state, uint64_t token, void **object)
 *                                                          makes it the receiver's, and finds it
 *     void *name##_at(name##_state, name##_handle)         the object of a handle, as its users
 *                                                          find it
 *
 * and includes loops.h and loops_shared.h, which make of these the loops that are timed, by
 * macro, so that what can be inlined is inlined into every one of them alike.  The macros are
 * C and C++.
 */
#ifndef TESTS_BENCH_IMPLEMENTATION_H
#define TESTS_BENCH_IMPLEMENTATION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_INLINE __attribute__((always_inline)) static inline

struct bench_cells;     /* loops_shared.h: tokens that everybody exchanges */
struct bench_ring;      /* one producer, one consumer, tokens */
struct bench_histogram; /* of single operations' times */
struct bench_crate;     /* loops_crate.h: what a single-process pool's users measure */

/* `count` allocations and as many frees. */
typedef void bench_loop(void *state, size_t count);

enum bench_reach {
    BENCH_ALONE,     /* one thread */
    BENCH_THREADS,   /* its threads free each other's objects */
    BENCH_PROCESSES, /* and its processes, forked after start() */
    BENCH_SURVIVES   /* and any of these may be killed at any moment */
};

struct bench_implementation {
    const char *name; /* as in bench-results.json */
    enum bench_reach reach;
    /* Of what is measured: "22.11", "1.74", "glibc 2.36".  Calls bench_absent() where that is not
     * there (a library that should have been preloaded). */
    const char *(*version)(void);

    /* A new pool of objects of so many bytes, or what stands for one; ends the process by
     * bench_give_up() or bench_absent() when it cannot.  `slots` of them are in use at most. */
    void *(*start)(size_t object_size, size_t slots);
    /* In a new thread or a forked child, before its first call: the state it uses.  NULL:
     * the same.  leave(), in the same thread, when it is done. */
    void *(*join)(void *state);
    void (*leave)(void *state);

    /* loops.h.  NULL in what stands for no allocator ("fastalloc", "ring"). */
    bench_loop *pair, *batch100, *churn1024;
    /* Calls for 1 to 256 objects at once: `count` objects, `batch` a call.  NULL: it has none. */
    void (*batches)(void *state, size_t count, size_t batch);

    /* loops_shared.h */
    void (*sample)(void *state, size_t count, struct bench_histogram *);
    void (*produce)(void *state, size_t count, struct bench_ring *);
    void (*consume)(void *state, size_t count, struct bench_ring *);
    void (*exchange)(void *state, size_t count, struct bench_cells *, uint64_t seed);

    const struct bench_crate *crate; /* loops_crate.h; NULL: not measured with it */
    void (*stop)(void *state);       /* gives back what start() made; NULL: it cannot */
};

/* Of an implementation's initialiser in C: what the two macros have made. */
#define BENCH_LOOPS(name)                                                                          \
    .pair = name##_pair, .batch100 = name##_batch100, .churn1024 = name##_churn1024,               \
    .sample = name##_sample, .produce = name##_produce, .consume = name##_consume,                 \
    .exchange = name##_exchange

/* Ends the process: "bench: WHAT: WHY". */
__attribute__((noreturn, cold, noinline)) void bench_give_up(const char *what, const char *why);
/* Ends it too, but that is no failure: the implementation is left out, and this is said. */
__attribute__((noreturn, cold, noinline)) void bench_absent(const char *why);

#ifdef __cplusplus
}
#endif

#endif
