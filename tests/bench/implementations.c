/* SPDX-License-Identifier: MIT
 *
 * implementations: see implementations.h.
 *
 *   fastalloc-inline   FASTALLOC_INLINE: the fast path in the caller
 *   fastalloc-call     through libfastalloc.so
 *   malloc             the C library's
 *   bare-array         a stack of indices, without any check: the limit
 *   robust-mutex       the same stack, behind a robust process-shared mutex
 */
#define FASTALLOC_INLINE
#include "implementations.h"

#include "workloads.h"

#include <fastalloc/fastalloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noreturn, cold, noinline)) static void give_up(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, fastalloc_last_error());
    exit(1);
}

/* --------------------------------------------------------------- fastalloc */

static void *fastalloc_start(void)
{
    fastalloc_pool_config config;
    fastalloc_pool *pool;

    fastalloc_pool_config_init(&config);
    config.name = "bench";
    config.object_size = BENCH_OBJECT_SIZE;
    config.alignment = BENCH_OBJECT_SIZE;
    config.capacity = BENCH_SLOTS;
    if (fastalloc_pool_create_local(&config, &pool))
        give_up("no pool");
    return pool;
}

typedef fastalloc_pool *inlined_state;
typedef fastalloc_handle inlined_handle;

BENCH_INLINE void *inlined_take(fastalloc_pool *pool, fastalloc_handle *handle)
{
    void *object;

    if (fastalloc_alloc(pool, handle, &object))
        give_up("fastalloc_alloc");
    return object;
}

BENCH_INLINE void inlined_give(fastalloc_pool *pool, fastalloc_handle handle)
{
    if (fastalloc_free(pool, handle))
        give_up("fastalloc_free");
}

BENCH_DEFINE_WORKLOADS(inlined)

/* In parentheses the names are those of the functions, not of the macros. */
typedef fastalloc_pool *called_state;
typedef fastalloc_handle called_handle;

BENCH_INLINE void *called_take(fastalloc_pool *pool, fastalloc_handle *handle)
{
    void *object;

    if ((fastalloc_alloc)(pool, handle, &object))
        give_up("fastalloc_alloc");
    return object;
}

BENCH_INLINE void called_give(fastalloc_pool *pool, fastalloc_handle handle)
{
    if ((fastalloc_free)(pool, handle))
        give_up("fastalloc_free");
}

BENCH_DEFINE_WORKLOADS(called)

/* ------------------------------------------------------------------ malloc */

typedef void *libc_state; /* none */
typedef void *libc_handle;

static void *libc_start(void)
{
    return NULL;
}

BENCH_INLINE void *libc_take(void *none, void **handle)
{
    void *object = malloc(BENCH_OBJECT_SIZE);

    (void)none;
    if (!object)
        give_up("malloc");
    *handle = object;
    return object;
}

BENCH_INLINE void libc_give(void *none, void *handle)
{
    (void)none;
    free(handle);
}

BENCH_DEFINE_WORKLOADS(libc)

/* -------------------------------------------------- a stack of free indices */

struct stack {
    char *objects;
    uint32_t count;
    uint32_t free[BENCH_SLOTS];
};

typedef struct stack *bare_state;
typedef uint32_t bare_handle;

static void fill_stack(struct stack *stack)
{
    uint32_t i;

    stack->objects = aligned_alloc(BENCH_OBJECT_SIZE, (size_t)BENCH_SLOTS * BENCH_OBJECT_SIZE);
    if (!stack->objects)
        give_up("no memory");
    memset(stack->objects, 0, (size_t)BENCH_SLOTS * BENCH_OBJECT_SIZE);
    for (i = 0; i < BENCH_SLOTS; i++)
        stack->free[i] = BENCH_SLOTS - 1 - i;
    stack->count = BENCH_SLOTS;
}

static void *bare_start(void)
{
    struct stack *stack = malloc(sizeof *stack);

    if (!stack)
        give_up("no memory");
    fill_stack(stack);
    return stack;
}

BENCH_INLINE void *bare_take(struct stack *stack, uint32_t *handle)
{
    *handle = stack->free[--stack->count];
    return stack->objects + (size_t)*handle * BENCH_OBJECT_SIZE;
}

BENCH_INLINE void bare_give(struct stack *stack, uint32_t handle)
{
    stack->free[stack->count++] = handle;
}

BENCH_DEFINE_WORKLOADS(bare)

struct locked_stack {
    pthread_mutex_t mutex;
    struct stack stack;
};

typedef struct locked_stack *locked_state;
typedef uint32_t locked_handle;

static void *locked_start(void)
{
    struct locked_stack *locked = malloc(sizeof *locked);
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (!locked || pthread_mutex_init(&locked->mutex, &attributes))
        give_up("no mutex");
    pthread_mutexattr_destroy(&attributes);
    fill_stack(&locked->stack);
    return locked;
}

BENCH_INLINE void *locked_take(struct locked_stack *locked, uint32_t *handle)
{
    void *object;

    if (pthread_mutex_lock(&locked->mutex))
        give_up("pthread_mutex_lock");
    object = bare_take(&locked->stack, handle);
    pthread_mutex_unlock(&locked->mutex);
    return object;
}

BENCH_INLINE void locked_give(struct locked_stack *locked, uint32_t handle)
{
    if (pthread_mutex_lock(&locked->mutex))
        give_up("pthread_mutex_lock");
    bare_give(&locked->stack, handle);
    pthread_mutex_unlock(&locked->mutex);
}

BENCH_DEFINE_WORKLOADS(locked)

/* --------------------------------------------------------------- together */

const char *const workload_names[WORKLOADS] = {"pair", "batch100", "churn1024"};

const struct implementation implementations[IMPLEMENTATIONS] = {
    {"fastalloc-inline", fastalloc_start, {inlined_pair, inlined_batch100, inlined_churn1024}},
    {"fastalloc-call", fastalloc_start, {called_pair, called_batch100, called_churn1024}},
    [IMPLEMENTATION_MALLOC] = {"malloc", libc_start, {libc_pair, libc_batch100, libc_churn1024}},
    {"bare-array", bare_start, {bare_pair, bare_batch100, bare_churn1024}},
    {"robust-mutex", locked_start, {locked_pair, locked_batch100, locked_churn1024}},
};
