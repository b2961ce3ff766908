/* SPDX-License-Identifier: MIT
 *
 * frame: see frame.h.
 */
#include "frame.h"

#include "fields.h"
#include "wire.h"

#include <fastalloc/fastalloc.h>

/* Tags of the two fields that every version begins with. */
#define TAG_VERSION 0x0d
#define TAG_ID 0x11

static uint64_t read_fixed(const uint8_t *bytes, unsigned width)
{
    uint64_t value = 0;

    while (width-- > 0)
        value = value << 8 | bytes[width];
    return value;
}

int frame_start(const uint8_t *bytes, size_t length, uint64_t *id, struct reason *why)
{
    uint32_t version;

    *id = 0;
    if (length < 5 || bytes[0] != TAG_VERSION)
        return reason_set(why, FASTALLOC_E_PROTOCOL,
                          "a packet of %zu bytes does not begin with a protocol version", length);
    version = (uint32_t)read_fixed(bytes + 1, 4);
    if (length >= 14 && bytes[5] == TAG_ID)
        *id = read_fixed(bytes + 6, 8);
    if (version != WIRE_VERSION)
        return reason_set(why, FASTALLOC_E_VERSION,
                          "the other side speaks version %u of the protocol, this one version %u: "
                          "use a library and a fastallocd of the same version",
                          version, WIRE_VERSION);
    if (length > WIRE_MAX)
        return reason_set(why, FASTALLOC_E_PROTOCOL,
                          "a packet of %zu bytes is too long: at most %u", length, WIRE_MAX);
    return 0;
}

ProtobufCMessage *frame_unpack(const ProtobufCMessageDescriptor *descriptor, struct arena *arena,
                               const uint8_t *bytes, size_t length, struct reason *why)
{
    ProtobufCMessage *message =
        protobuf_c_message_unpack(descriptor, &arena->allocator, length, bytes);

    if (!message) {
        reason_set(why, FASTALLOC_E_PROTOCOL, "a packet of %zu bytes is not a valid message",
                   length);
        return NULL;
    }
    if (fields_has_unknown(message)) {
        reason_set(why, FASTALLOC_E_PROTOCOL,
                   "a packet of %zu bytes has fields that version %u does not know", length,
                   WIRE_VERSION);
        return NULL;
    }
    return message;
}

size_t frame_pack(const ProtobufCMessage *message, uint8_t bytes[WIRE_MAX])
{
    if (protobuf_c_message_get_packed_size(message) > WIRE_MAX)
        return 0;
    return protobuf_c_message_pack(message, bytes);
}
