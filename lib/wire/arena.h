/* SPDX-License-Identifier: MIT
 *
 * arena: memory for unpacking one message, from a fixed block.  What does not
 * fit is refused, so no input can make unpacking ask for more than the block.
 * Single pieces are not given back; the block goes as a whole.
 */
#ifndef WIRE_ARENA_H
#define WIRE_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct arena {
    ProtobufCAllocator allocator; /* what protobuf-c is given */
    unsigned char *bytes;
    size_t size, used;
};

/* Makes an arena of `size` bytes at `bytes`, which stay the caller's. */
void arena_init(struct arena *arena, void *bytes, size_t size);

#endif
