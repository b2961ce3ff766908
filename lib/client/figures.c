/* SPDX-License-Identifier: MIT
 *
 * figures: what is asked in passing: single figures of a pool, and what a handle says by itself.
 */
#include "pool.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "thread.h"

#include <inttypes.h>
#include <stdio.h>

struct figures {
    uint64_t capacity, allocated;
};

/* Attaches a forked child first.  All 0 for a pool that cannot be reached. */
static struct figures figures_of(fastalloc_pool *pool)
{
    struct figures figures = {0, 0};
    struct thread *thread;
    int error;

    if (!pool)
        return figures;
    thread = thread_begin(pool, &error);
    if (!thread)
        return figures;
    figures.allocated = survey_allocated(&pool->segment);
    /* After it: what was added meanwhile is idle. */
    figures.capacity = segment_capacity(&pool->segment);
    thread_end(thread, pool);
    if (figures.allocated > figures.capacity)
        figures.allocated = figures.capacity;
    return figures;
}

size_t fastalloc_pool_capacity(fastalloc_pool *pool)
{
    struct thread *thread;
    uint64_t capacity;
    int error;

    if (!pool)
        return 0;
    thread = thread_begin(pool, &error);
    if (!thread)
        return 0;
    capacity = segment_capacity(&pool->segment);
    thread_end(thread, pool);
    return (size_t)capacity;
}

size_t fastalloc_pool_allocated(fastalloc_pool *pool)
{
    return (size_t)figures_of(pool).allocated;
}

size_t fastalloc_pool_available(fastalloc_pool *pool)
{
    struct figures figures = figures_of(pool);

    return (size_t)(figures.capacity - figures.allocated);
}

int fastalloc_pool_is_full(fastalloc_pool *pool)
{
    struct figures figures = figures_of(pool);

    return figures.capacity > 0 && figures.allocated == figures.capacity;
}

int fastalloc_pool_is_empty(fastalloc_pool *pool)
{
    struct figures figures = figures_of(pool);

    return figures.capacity > 0 && figures.allocated == 0;
}

int fastalloc_pool_can_grow(fastalloc_pool *pool)
{
    size_t capacity = fastalloc_pool_capacity(pool);

    return capacity > 0 && capacity < pool->segment.geometry.max_capacity &&
           pool->spec.growth != FASTALLOC_GROWTH_NONE;
}

/* ---------------------------------------------------------------- handles */

size_t fastalloc_handle_index(fastalloc_pool *pool, fastalloc_handle handle)
{
    return pool ? (size_t)slot_index(&pool->segment, handle) : 0;
}

char *fastalloc_handle_text(fastalloc_pool *pool, fastalloc_handle handle,
                            char text[FASTALLOC_HANDLE_TEXT])
{
    if (!pool || handle == FASTALLOC_NONE)
        snprintf(text, FASTALLOC_HANDLE_TEXT, "none");
    else
        snprintf(text, FASTALLOC_HANDLE_TEXT, "%" PRIu64 "@%" PRIx64,
                 slot_index(&pool->segment, handle), slot_generation_in(&pool->segment, handle));
    return text;
}
