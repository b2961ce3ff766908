/* SPDX-License-Identifier: MIT
 *
 * stacks: what one would write first.
 *
 *   bare-array     a stack of free objects, without any check: the limit.  Each thread and each
 *                  process has one of its own
 *   robust-mutex   the same, shared, behind a robust process-shared mutex
 *   treiber        a lock-free stack of free indices, its head with a tag
 *
 * What is shared lies in MAP_SHARED memory, so that forked processes share it too.
 */
#include "implementations.h"

#include "loops.h"
#include "loops_crate.h"
#include "loops_shared.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

/* Free objects by their offset, so that none is computed. */
struct stack {
    size_t object_size, slots;
    char *objects;
    uint32_t count;
    uint32_t free[];
};

static void *share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        bench_give_up("mmap", strerror(errno));
    memset(memory, 0, size);
    return memory;
}

static const char *none(void)
{
    return "";
}

/* -------------------------------------------------------------- bare-array */

typedef struct stack *bare_state;
typedef uint32_t bare_handle;

static void fill(struct stack *stack, size_t object_size, size_t slots)
{
    uint32_t i;

    stack->object_size = object_size;
    stack->slots = slots;
    stack->objects = share(slots * object_size);
    for (i = 0; i < slots; i++)
        stack->free[i] = (uint32_t)((slots - 1 - i) * object_size);
    stack->count = (uint32_t)slots;
}

static void *bare_start(size_t object_size, size_t slots)
{
    struct stack *stack = share(sizeof *stack + slots * sizeof *stack->free);

    fill(stack, object_size, slots);
    return stack;
}

static void *bare_join(void *of)
{
    const struct stack *stack = of;

    return bare_start(stack->object_size, stack->slots);
}

static void bare_leave(void *of)
{
    struct stack *stack = of;

    munmap(stack->objects, stack->slots * stack->object_size);
    munmap(stack, sizeof *stack + stack->slots * sizeof *stack->free);
}

BENCH_INLINE void *bare_take(struct stack *stack, uint32_t *handle)
{
    *handle = stack->free[--stack->count];
    return stack->objects + *handle;
}

BENCH_INLINE void bare_give(struct stack *stack, uint32_t handle)
{
    stack->free[stack->count++] = handle;
}

BENCH_INLINE uint64_t bare_token(struct stack *stack, uint32_t handle)
{
    (void)stack;
    return handle + UINT64_C(1);
}

BENCH_INLINE void *bare_at(struct stack *stack, uint32_t handle)
{
    return stack->objects + handle;
}

BENCH_INLINE uint32_t bare_accept(struct stack *stack, uint64_t token, void **object)
{
    *object = bare_at(stack, (uint32_t)(token - 1));
    return (uint32_t)(token - 1);
}

BENCH_DEFINE_LOOPS(bare)
BENCH_DEFINE_LOOPS_SHARED(bare)
BENCH_DEFINE_CRATE(bare, NULL)

const struct bench_implementation bench_bare_array = {
    .name = "bare-array",
    .reach = BENCH_ALONE,
    .version = none,
    .start = bare_start,
    .join = bare_join,
    .leave = bare_leave,
    .stop = bare_leave,
    BENCH_LOOPS(bare),
    .crate = &bare_crate,
};

/* ------------------------------------------------------------ robust-mutex */

struct locked_stack {
    pthread_mutex_t mutex;
    struct stack stack;
};

typedef struct locked_stack *locked_state;
typedef uint32_t locked_handle;

static void *locked_start(size_t object_size, size_t slots)
{
    struct locked_stack *locked = share(sizeof *locked + slots * sizeof *locked->stack.free);
    pthread_mutexattr_t attributes;
    int error;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    error = pthread_mutex_init(&locked->mutex, &attributes);
    if (error)
        bench_give_up("pthread_mutex_init", strerror(error));
    pthread_mutexattr_destroy(&attributes);
    fill(&locked->stack, object_size, slots);
    return locked;
}

static void locked_stop(void *of)
{
    struct locked_stack *locked = of;
    const struct stack *stack = &locked->stack;

    munmap(stack->objects, stack->slots * stack->object_size);
    munmap(locked, sizeof *locked + stack->slots * sizeof *stack->free);
}

/* Who died inside has lost a slot at most: the count is one store.  That is good enough here. */
__attribute__((cold, noinline)) static void locked_again(struct locked_stack *locked, int error)
{
    if (error != EOWNERDEAD)
        bench_give_up("pthread_mutex_lock", strerror(error));
    pthread_mutex_consistent(&locked->mutex);
}

BENCH_INLINE void lock(struct locked_stack *locked)
{
    int error = pthread_mutex_lock(&locked->mutex);

    if (__builtin_expect(error, 0))
        locked_again(locked, error);
}

BENCH_INLINE void *locked_take(struct locked_stack *locked, uint32_t *handle)
{
    void *object;

    lock(locked);
    if (!locked->stack.count)
        bench_give_up("robust-mutex", "no free slot");
    object = bare_take(&locked->stack, handle);
    pthread_mutex_unlock(&locked->mutex);
    return object;
}

BENCH_INLINE void locked_give(struct locked_stack *locked, uint32_t handle)
{
    lock(locked);
    bare_give(&locked->stack, handle);
    pthread_mutex_unlock(&locked->mutex);
}

BENCH_INLINE uint64_t locked_token(struct locked_stack *locked, uint32_t handle)
{
    return bare_token(&locked->stack, handle);
}

BENCH_INLINE void *locked_at(struct locked_stack *locked, uint32_t handle)
{
    return bare_at(&locked->stack, handle);
}

BENCH_INLINE uint32_t locked_accept(struct locked_stack *locked, uint64_t token, void **object)
{
    return bare_accept(&locked->stack, token, object);
}

BENCH_DEFINE_LOOPS(locked)
BENCH_DEFINE_LOOPS_SHARED(locked)
BENCH_DEFINE_CRATE(locked, NULL)

const struct bench_implementation bench_robust_mutex = {
    .name = "robust-mutex",
    .reach = BENCH_SURVIVES,
    .version = none,
    .start = locked_start,
    .stop = locked_stop,
    BENCH_LOOPS(locked),
    .crate = &locked_crate,
};

/* ----------------------------------------------------------------- treiber */

/* The tag, in the high half of the head, changes with every take: who read the head before
 * another took and gave the same slot fails.  Links are index + 1, 0 at the end. */
struct linked_stack {
    _Alignas(64) uint64_t head;
    _Alignas(64) size_t object_size;
    char *objects;
    uint32_t next[];
};

typedef struct linked_stack *linked_state;
typedef uint32_t linked_handle;

#define TAG_ONE (UINT64_C(1) << 32)
#define LINK_MASK (TAG_ONE - 1)

static void *linked_start(size_t object_size, size_t slots)
{
    struct linked_stack *stack = share(sizeof *stack + slots * sizeof *stack->next);
    uint32_t i;

    stack->object_size = object_size;
    stack->objects = share(slots * object_size);
    for (i = 0; i < slots; i++)
        stack->next[i] = i + 1 < slots ? i + 2 : 0;
    stack->head = 1;
    return stack;
}

BENCH_INLINE void *linked_take(struct linked_stack *stack, uint32_t *handle)
{
    uint64_t head = __atomic_load_n(&stack->head, __ATOMIC_ACQUIRE), rest;

    do {
        if (!(head & LINK_MASK))
            bench_give_up("treiber", "no free slot");
        *handle = (uint32_t)(head & LINK_MASK) - 1;
        rest = (head & ~LINK_MASK) + TAG_ONE +
               __atomic_load_n(&stack->next[*handle], __ATOMIC_RELAXED);
    } while (!__atomic_compare_exchange_n(&stack->head, &head, rest, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    return stack->objects + *handle * stack->object_size;
}

BENCH_INLINE void linked_give(struct linked_stack *stack, uint32_t handle)
{
    uint64_t head = __atomic_load_n(&stack->head, __ATOMIC_RELAXED);

    do
        __atomic_store_n(&stack->next[handle], (uint32_t)(head & LINK_MASK), __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&stack->head, &head, (head & ~LINK_MASK) | (handle + 1),
                                        true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

BENCH_INLINE uint64_t linked_token(struct linked_stack *stack, uint32_t handle)
{
    (void)stack;
    return handle + UINT64_C(1);
}

BENCH_INLINE void *linked_at(struct linked_stack *stack, uint32_t handle)
{
    return stack->objects + handle * stack->object_size;
}

BENCH_INLINE uint32_t linked_accept(struct linked_stack *stack, uint64_t token, void **object)
{
    *object = linked_at(stack, (uint32_t)(token - 1));
    return (uint32_t)(token - 1);
}

BENCH_DEFINE_LOOPS(linked)
BENCH_DEFINE_LOOPS_SHARED(linked)
BENCH_DEFINE_CRATE(linked, NULL)

const struct bench_implementation bench_treiber = {
    .name = "treiber",
    .reach = BENCH_PROCESSES,
    .version = none,
    .start = linked_start,
    BENCH_LOOPS(linked),
    .crate = &linked_crate,
};
