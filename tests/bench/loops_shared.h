/* SPDX-License-Identifier: MIT
 *
 * loops_shared: the loops of many threads and processes, made by macro for each
 * implementation (implementation.h), and what they share: a ring of tokens, a table of
 * tokens, a histogram of times.  All three are plain memory, shared by forks (shared.h).
 *
 * Also compiled as C++, within a class: no statics, no implicit conversions.
 */
#ifndef TESTS_BENCH_LOOPS_SHARED_H
#define TESTS_BENCH_LOOPS_SHARED_H

#include "implementation.h"
#include "loops.h"

#include <sched.h>
#include <time.h>

#define BENCH_LINE 128 /* bytes: two cache lines, for those that are fetched in pairs */
#define BENCH_ALIGNED __attribute__((aligned(BENCH_LINE)))

/* ------------------------------------------------------------------- waiting */

#define BENCH_SPINS 256u

/* Once more round a loop that waits for another processor; gives ours away at times, for the
 * case that it is the one waited for that needs it. */
BENCH_INLINE void bench_wait(unsigned *spins)
{
    if (++*spins % BENCH_SPINS == 0)
        sched_yield();
#if defined(__x86_64__) || defined(__i386__)
    else
        __asm__ volatile("pause" : : : "memory");
#endif
}

/* ---------------------------------------------------------------------- ring */

/* One puts, one takes.  Each publishes how far it is once in a burst only, and remembers how
 * far it has seen the other: so the ring costs a fraction of a cache miss a token, and what
 * the objects cost shows. */
#define BENCH_RING_SIZE 1024u
#define BENCH_RING_BURST 32u

struct bench_ring {
    BENCH_ALIGNED uint64_t put; /* the producer's own */
    uint64_t released_seen;
    BENCH_ALIGNED uint64_t published;
    BENCH_ALIGNED uint64_t taken; /* the consumer's own */
    uint64_t published_seen;
    BENCH_ALIGNED uint64_t released;
    BENCH_ALIGNED uint64_t tokens[BENCH_RING_SIZE];
};

BENCH_INLINE void bench_ring_publish(struct bench_ring *ring)
{
    __atomic_store_n(&ring->published, ring->put, __ATOMIC_RELEASE);
}

BENCH_INLINE void bench_ring_put(struct bench_ring *ring, uint64_t token)
{
    uint64_t at = ring->put;

    if (at - ring->released_seen == BENCH_RING_SIZE) {
        unsigned spins = 0;

        bench_ring_publish(ring);
        while ((ring->released_seen = __atomic_load_n(&ring->released, __ATOMIC_ACQUIRE)) ==
               at - BENCH_RING_SIZE)
            bench_wait(&spins);
    }
    ring->tokens[at % BENCH_RING_SIZE] = token;
    ring->put = at + 1;
    if (ring->put % BENCH_RING_BURST == 0)
        bench_ring_publish(ring);
}

BENCH_INLINE void bench_ring_release(struct bench_ring *ring)
{
    __atomic_store_n(&ring->released, ring->taken, __ATOMIC_RELEASE);
}

BENCH_INLINE uint64_t bench_ring_take(struct bench_ring *ring)
{
    uint64_t at = ring->taken, token;

    if (at == ring->published_seen) {
        unsigned spins = 0;

        while ((ring->published_seen = __atomic_load_n(&ring->published, __ATOMIC_ACQUIRE)) == at)
            bench_wait(&spins);
    }
    token = ring->tokens[at % BENCH_RING_SIZE];
    ring->taken = at + 1;
    if (ring->taken % BENCH_RING_BURST == 0)
        bench_ring_release(ring);
    return token;
}

/* --------------------------------------------------------------------- cells */

/* Objects that everybody replaces: each cell a line of its own, so that two who meet in one
 * are after the same object. */
#define BENCH_CELLS 1024u

struct bench_cells {
    struct {
        BENCH_ALIGNED uint64_t token; /* 0: none */
    } cells[BENCH_CELLS];
};

BENCH_INLINE uint64_t bench_cells_swap(struct bench_cells *cells, size_t at, uint64_t token)
{
    return __atomic_exchange_n(&cells->cells[at].token, token, __ATOMIC_ACQ_REL);
}

/* ----------------------------------------------------------------- histogram */

/* Log-linear: 128 buckets to each power of two, so a value is known to half of 1/128 of it.
 * Values are ticks (below); what is above 2^40 of them counts as that. */
#define BENCH_HISTOGRAM_FINE 7
#define BENCH_HISTOGRAM_TOP 40
#define BENCH_HISTOGRAM_BUCKETS                                                                    \
    ((BENCH_HISTOGRAM_TOP - BENCH_HISTOGRAM_FINE + 1u) << BENCH_HISTOGRAM_FINE)

struct bench_histogram {
    uint64_t count, most; /* of values; the highest of them */
    uint64_t buckets[BENCH_HISTOGRAM_BUCKETS];
};

BENCH_INLINE size_t bench_histogram_bucket(uint64_t value)
{
    unsigned shift =
        63u - (unsigned)__builtin_clzll(value | 1u << BENCH_HISTOGRAM_FINE) - BENCH_HISTOGRAM_FINE;

    if (value >> BENCH_HISTOGRAM_TOP)
        return BENCH_HISTOGRAM_BUCKETS - 1;
    return ((size_t)shift << BENCH_HISTOGRAM_FINE) + (size_t)(value >> shift);
}

BENCH_INLINE void bench_histogram_add(struct bench_histogram *histogram, uint64_t value)
{
    histogram->buckets[bench_histogram_bucket(value)]++;
    histogram->count++;
    if (value > histogram->most)
        histogram->most = value;
}

/* Time in ticks, of the time-stamp counter or else nanoseconds: not before all that stands
 * before it is done, and with nothing begun that stands behind. */
BENCH_INLINE uint64_t bench_ticks(void)
{
#ifdef __x86_64__
    uint32_t low, high;

    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
#else
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
#endif
}

/* ----------------------------------------------------------------- the loops */

/* The compiler believes that the address is used here. */
BENCH_INLINE void bench_have(const void *object)
{
    __asm__ volatile("" : : "r"(object) : "memory");
}

/* And here the first 8 bytes of the object. */
BENCH_INLINE void bench_read(const void *object)
{
    uint64_t value = *(const uint64_t *)object;

    __asm__ volatile("" : : "r"(value) : "memory");
}

#define BENCH_BURST 1024u /* objects, by sample() */

/* sample: times each single operation: bursts of 1 to 1,024 allocations and as many frees in
 * the same order, until there are `count` of either: more than a thread's cache holds, so that what
 * is shared is met at the rate that such a program has.  Writing the object, and noting the time,
 * are outside of what is timed.
 * produce, consume: one allocates, writes, tells; the other is told, reads, frees.
 * exchange: allocates, writes, puts it in a place at random, frees what was there. */
#define BENCH_DEFINE_LOOPS_SHARED(name)                                                            \
    static void name##_sample(void *of, size_t count, struct bench_histogram *histogram)           \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        name##_handle held[BENCH_BURST];                                                           \
        uint64_t random = bench_ticks(), began, ended;                                             \
        size_t i, burst, done;                                                                     \
                                                                                                   \
        for (done = 0; done < count; done += burst) {                                              \
            burst = bench_random(&random) % BENCH_BURST + 1;                                       \
            for (i = 0; i < burst; i++) {                                                          \
                void *object;                                                                      \
                                                                                                   \
                began = bench_ticks();                                                             \
                object = name##_take(state, &held[i]);                                             \
                bench_have(object);                                                                \
                ended = bench_ticks();                                                             \
                bench_write(object, i);                                                            \
                bench_histogram_add(histogram, ended - began);                                     \
            }                                                                                      \
            for (i = 0; i < burst; i++) {                                                          \
                began = bench_ticks();                                                             \
                name##_give(state, held[i]);                                                       \
                ended = bench_ticks();                                                             \
                bench_histogram_add(histogram, ended - began);                                     \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static void name##_produce(void *of, size_t count, struct bench_ring *ring)                    \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        size_t i;                                                                                  \
                                                                                                   \
        for (i = 0; i < count; i++) {                                                              \
            name##_handle handle;                                                                  \
            void *object = name##_take(state, &handle);                                            \
                                                                                                   \
            bench_write(object, i);                                                                \
            bench_ring_put(ring, name##_token(state, handle));                                     \
        }                                                                                          \
        bench_ring_publish(ring);                                                                  \
    }                                                                                              \
    static void name##_consume(void *of, size_t count, struct bench_ring *ring)                    \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        size_t i;                                                                                  \
                                                                                                   \
        for (i = 0; i < count; i++) {                                                              \
            void *object;                                                                          \
            name##_handle handle = name##_accept(state, bench_ring_take(ring), &object);           \
                                                                                                   \
            bench_read(object);                                                                    \
            name##_give(state, handle);                                                            \
        }                                                                                          \
        bench_ring_release(ring);                                                                  \
    }                                                                                              \
    static void name##_exchange(void *of, size_t count, struct bench_cells *cells, uint64_t seed)  \
    {                                                                                              \
        name##_state state = (name##_state)of;                                                     \
        uint64_t random = seed;                                                                    \
        size_t i;                                                                                  \
                                                                                                   \
        for (i = 0; i < count; i++) {                                                              \
            name##_handle handle;                                                                  \
            void *object = name##_take(state, &handle);                                            \
            uint64_t token;                                                                        \
                                                                                                   \
            bench_write(object, i);                                                                \
            token = bench_cells_swap(cells, bench_random(&random) % BENCH_CELLS,                   \
                                     name##_token(state, handle));                                 \
            if (!token)                                                                            \
                continue;                                                                          \
            handle = name##_accept(state, token, &object);                                         \
            bench_read(object);                                                                    \
            name##_give(state, handle);                                                            \
        }                                                                                          \
    }

#endif
