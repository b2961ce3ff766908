/* SPDX-License-Identifier: MIT
 *
 * frame: what requests and replies share: how a packet begins, and the way between the
 * generated types and bytes.
 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include "arena.h"
#include "shm/reason.h"
#include "wire.h"

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

/* Three times what the largest valid message takes; the rest of what 4096
 * bytes can ask for is nobody's honest wish. */
#define FRAME_ARENA (16 * 1024)

/* Reads version and id, and nothing behind them.  *id is 0 where it is not there.  Returns
 * 0, FASTALLOC_E_VERSION or FASTALLOC_E_PROTOCOL. */
int frame_start(const uint8_t *bytes, size_t length, uint64_t *id, struct reason *why);

/* The message, in the arena; NULL when it is none, or has unknown fields. */
ProtobufCMessage *frame_unpack(const ProtobufCMessageDescriptor *descriptor, struct arena *arena,
                               const uint8_t *bytes, size_t length, struct reason *why);

/* The length, or 0 when it does not fit. */
size_t frame_pack(const ProtobufCMessage *message, uint8_t bytes[WIRE_MAX]);

#endif
