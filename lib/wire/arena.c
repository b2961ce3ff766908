/* SPDX-License-Identifier: MIT
 *
 * arena: a block of memory, handed out front to back.
 */
#include "arena.h"

#include <stdalign.h>
#include <stdint.h>

static void *arena_take(void *data, size_t size)
{
    struct arena *arena = data;
    size_t align = alignof(max_align_t);
    size_t skip = (align - (uintptr_t)(arena->bytes + arena->used) % align) % align;
    void *piece;

    if (skip > arena->size - arena->used || size > arena->size - arena->used - skip)
        return NULL;
    piece = arena->bytes + arena->used + skip;
    arena->used += skip + size;
    return piece;
}

static void arena_return(void *data, void *piece)
{
    (void)data;
    (void)piece;
}

void arena_init(struct arena *arena, void *bytes, size_t size)
{
    arena->allocator.alloc = arena_take;
    arena->allocator.free = arena_return;
    arena->allocator.allocator_data = arena;
    arena->bytes = bytes;
    arena->size = size;
    arena->used = 0;
}
