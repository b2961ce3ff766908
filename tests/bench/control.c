/* SPDX-License-Identifier: MIT
 *
 * control: what the loops of loops_shared.h cost themselves: an implementation that allocates
 * nothing.  Its handover is the ring alone, its latencies are the timer's, its exchange is the
 * table's.
 */
#include "control.h"

#include "loops_shared.h"

typedef void *nothing_state;
typedef uint64_t nothing_handle;

/* One for each thread: nobody waits for another's. */
static __thread BENCH_ALIGNED uint64_t dummy;

static const char *version(void)
{
    return "none";
}

static void *start(size_t object_size, size_t slots)
{
    (void)object_size, (void)slots;
    return NULL;
}

BENCH_INLINE void *nothing_take(void *none, uint64_t *handle)
{
    (void)none;
    *handle = 1;
    return &dummy;
}

BENCH_INLINE void nothing_give(void *none, uint64_t handle)
{
    (void)none, (void)handle;
}

BENCH_INLINE uint64_t nothing_token(void *none, uint64_t handle)
{
    (void)none;
    return handle;
}

BENCH_INLINE uint64_t nothing_accept(void *none, uint64_t token, void **object)
{
    (void)none;
    *object = &dummy;
    return token;
}

BENCH_DEFINE_LOOPS_SHARED(nothing)

const struct bench_implementation bench_ring_alone = {
    .name = "ring",
    .reach = BENCH_PROCESSES,
    .version = version,
    .start = start,
    .sample = nothing_sample,
    .produce = nothing_produce,
    .consume = nothing_consume,
    .exchange = nothing_exchange,
};
