/* SPDX-License-Identifier: MIT
 *
 * fastalloc: this library as it is measured.
 *
 *   fastalloc-inline   FASTALLOC_INLINE: the fast path in the caller
 *   fastalloc-call     through libfastalloc.so
 *   fastalloc          no loops: for what is neither (creating a pool, recovering one)
 */
#define FASTALLOC_INLINE
#include "implementations.h"

#include "loops.h"
#include "loops_crate.h"
#include "loops_shared.h"

#include <fastalloc/fastalloc.h>

static void *start(size_t object_size, size_t slots)
{
    fastalloc_pool_config config;
    fastalloc_pool *pool;

    fastalloc_pool_config_init(&config);
    config.name = "bench";
    config.object_size = object_size;
    config.alignment = object_size < 64 ? object_size : 64;
    config.capacity = slots;
    if (fastalloc_pool_create_local(&config, &pool))
        bench_give_up("no pool", fastalloc_last_error());
    return pool;
}

static void *start_growing(size_t object_size, size_t from, size_t to)
{
    fastalloc_pool_config config;
    fastalloc_pool *pool;

    fastalloc_pool_config_init(&config);
    config.name = "bench";
    config.object_size = object_size;
    config.capacity = from;
    config.max_capacity = to;
    config.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    config.growth_factor = 2;
    if (fastalloc_pool_create_local(&config, &pool))
        bench_give_up("no pool", fastalloc_last_error());
    return pool;
}

static void stop(void *pool)
{
    if (fastalloc_pool_close(pool))
        bench_give_up("fastalloc_pool_close", fastalloc_last_error());
}

BENCH_INLINE uint64_t token_of(fastalloc_handle handle)
{
    return handle;
}

/* ----------------------------------------------------------------- inlined */

typedef fastalloc_pool *inlined_state;
typedef fastalloc_handle inlined_handle;

BENCH_INLINE void *inlined_take(fastalloc_pool *pool, fastalloc_handle *handle)
{
    void *object;

    if (fastalloc_alloc(pool, handle, &object))
        bench_give_up("fastalloc_alloc", fastalloc_last_error());
    return object;
}

BENCH_INLINE void inlined_give(fastalloc_pool *pool, fastalloc_handle handle)
{
    if (fastalloc_free(pool, handle))
        bench_give_up("fastalloc_free", fastalloc_last_error());
}

BENCH_INLINE uint64_t inlined_token(fastalloc_pool *pool, fastalloc_handle handle)
{
    (void)pool;
    return token_of(handle);
}

BENCH_INLINE fastalloc_handle inlined_accept(fastalloc_pool *pool, uint64_t token, void **object)
{
    if (fastalloc_receive(pool, token, object))
        bench_give_up("fastalloc_receive", fastalloc_last_error());
    return token;
}

BENCH_INLINE void *inlined_at(fastalloc_pool *pool, fastalloc_handle handle)
{
    return fastalloc_get(pool, handle);
}

BENCH_DEFINE_LOOPS(inlined)
BENCH_DEFINE_LOOPS_SHARED(inlined)
BENCH_DEFINE_CRATE(inlined, start_growing)

/* ------------------------------------------------------------------ called */

/* In parentheses the names are those of the functions, not of the macros. */
typedef fastalloc_pool *called_state;
typedef fastalloc_handle called_handle;

BENCH_INLINE void *called_take(fastalloc_pool *pool, fastalloc_handle *handle)
{
    void *object;

    if ((fastalloc_alloc)(pool, handle, &object))
        bench_give_up("fastalloc_alloc", fastalloc_last_error());
    return object;
}

BENCH_INLINE void called_give(fastalloc_pool *pool, fastalloc_handle handle)
{
    if ((fastalloc_free)(pool, handle))
        bench_give_up("fastalloc_free", fastalloc_last_error());
}

BENCH_INLINE uint64_t called_token(fastalloc_pool *pool, fastalloc_handle handle)
{
    (void)pool;
    return token_of(handle);
}

BENCH_INLINE fastalloc_handle called_accept(fastalloc_pool *pool, uint64_t token, void **object)
{
    if ((fastalloc_receive)(pool, token, object))
        bench_give_up("fastalloc_receive", fastalloc_last_error());
    return token;
}

BENCH_INLINE void *called_at(fastalloc_pool *pool, fastalloc_handle handle)
{
    return (fastalloc_get)(pool, handle);
}

BENCH_DEFINE_LOOPS(called)
BENCH_DEFINE_LOOPS_SHARED(called)
BENCH_DEFINE_CRATE(called, start_growing)

static void batches(void *state, size_t count, size_t batch)
{
    fastalloc_handle handles[BENCH_CALL_MAX];
    void *objects[BENCH_CALL_MAX];
    fastalloc_pool *pool = state;
    size_t i, j;

    for (i = 0; i < count; i += batch) {
        if (fastalloc_alloc_batch(pool, batch, handles, objects))
            bench_give_up("fastalloc_alloc_batch", fastalloc_last_error());
        for (j = 0; j < batch; j++)
            bench_write(objects[j], j);
        if (fastalloc_free_batch(pool, batch, handles, NULL))
            bench_give_up("fastalloc_free_batch", fastalloc_last_error());
    }
}

const struct bench_implementation bench_fastalloc_inline = {
    .name = "fastalloc-inline",
    .reach = BENCH_SURVIVES,
    .version = fastalloc_version,
    .start = start,
    .stop = stop,
    BENCH_LOOPS(inlined),
    .crate = &inlined_crate,
};

const struct bench_implementation bench_fastalloc_call = {
    .name = "fastalloc-call",
    .reach = BENCH_SURVIVES,
    .version = fastalloc_version,
    .start = start,
    .batches = batches,
    .stop = stop,
    BENCH_LOOPS(called),
    .crate = &called_crate,
};

const struct bench_implementation bench_fastalloc = {
    .name = "fastalloc",
    .reach = BENCH_SURVIVES,
    .version = fastalloc_version,
    .start = start,
};
