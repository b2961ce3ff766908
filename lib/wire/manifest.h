/* SPDX-License-Identifier: MIT
 *
 * manifest: what the daemon knows of a pool, as bytes that outlive it.  Clients
 * can write the segment, so whose it is, how large its parts are and who is
 * attached stand here, in a file that only the daemon can touch.
 *
 * The bytes are one protobuf message (schema: fastalloc.proto) whose last field
 * is a checksum of all that stands before it.
 */
#ifndef WIRE_MANIFEST_H
#define WIRE_MANIFEST_H

#include "shm/reason.h"
#include "shm/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_VERSION 2u
#define MANIFEST_SEGMENT_MAX 64 /* bytes of a segment's name, with the NUL */
#define MANIFEST_MAX (4u << 20) /* bytes; the most sessions there can be fit */

struct manifest_session {
    uint32_t number;
    uint32_t pid, uid; /* of the peer it was opened for */
    uint64_t nonce;
    bool closed; /* by its own wish: no death, whatever is done after one */
};

struct manifest {
    char segment[MANIFEST_SEGMENT_MAX]; /* the name for shm_open() */
    struct pool_spec spec;              /* complete */
    uint32_t uid, gid;                  /* of the creator */
    uint64_t pool_id;
    uint64_t first_generation;
    uint64_t serial;
    uint64_t created; /* seconds since 1970 */
    bool destroyed;
    uint64_t capacity; /* now: of these the objects have memory */
    uint64_t reserved; /* the highest capacity so far: of these the metadata has */
    uint32_t session_count;
    struct manifest_session *sessions; /* NULL when there are none */
};

/* Packs into memory of its own.  *bytes is the caller's to free().  Returns 0,
 * or FASTALLOC_E_NO_MEMORY. */
int manifest_pack(const struct manifest *manifest, uint8_t **bytes, size_t *length,
                  struct reason *why);

/* Unpacks and checks the checksum, and that the spec is complete as spec_complete()
 * would have it, the capacities are possible, and the sessions' numbers lie in its range,
 * none twice.  On success
 * manifest_release() gives the sessions back.  Returns 0, FASTALLOC_E_POISONED (damaged),
 * FASTALLOC_E_VERSION, or FASTALLOC_E_NO_MEMORY. */
int manifest_unpack(struct manifest *manifest, const uint8_t *bytes, size_t length,
                    struct reason *why);
void manifest_release(struct manifest *manifest);

#endif
