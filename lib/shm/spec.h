/* SPDX-License-Identifier: MIT
 *
 * spec: what somebody wants a pool to be, and whether it can be.  The one home
 * of the rules about names, sizes, alignments and counts: the client applies
 * them for a quick answer, the daemon because it trusts nobody.
 */
#ifndef SHM_SPEC_H
#define SHM_SPEC_H

#include "reason.h"

#include <stddef.h>
#include <stdint.h>

#define SPEC_NAME_MAX 255     /* bytes, without the NUL */
#define SPEC_TYPE_NAME_MAX 63 /* bytes, without the NUL */
#define SPEC_CAPACITY_MAX (UINT64_C(1) << 31)
#define SPEC_SESSIONS_MAX 60000u
#define SPEC_SHARING_SESSIONS_MAX 32000u /* of a pool that shares */
#define SPEC_THREADS_MAX 65536u
#define SPEC_THREADS_DEFAULT 128u
#define SPEC_SESSIONS_DEFAULT 256u
#define SPEC_MODE_DEFAULT 0600u
#define SPEC_NO_LOW_WATER UINT64_MAX
#define SPEC_LOW_WATER_FROM 1024u /* slots; smaller pools grow at need, unless told otherwise */

/* Features of a pool, in spec.flags: each has its part of the segment. */
#define SPEC_SHARING 1u /* FASTALLOC_SHARING: who holds each slot */
#define SPEC_NOTES 2u  /* FASTALLOC_DEADLINES, and implied by quarantine and heirs: a note a slot */
#define SPEC_STRICT 4u /* FASTALLOC_STRICT: frees decide by compare-and-swap */
#define SPEC_ZERO_ALLOC 8u /* FASTALLOC_ZERO_ON_ALLOC */
#define SPEC_ZERO_FREE 16u /* FASTALLOC_ZERO_ON_FREE */
#define SPEC_STAGES 32u    /* FASTALLOC_LIFECYCLE, and implied by ZERO_FREE: a byte a slot */
#define SPEC_FLAGS                                                                                 \
    (SPEC_SHARING | SPEC_NOTES | SPEC_STRICT | SPEC_ZERO_ALLOC | SPEC_ZERO_FREE | SPEC_STAGES)

struct pool_spec {
    char name[SPEC_NAME_MAX + 1];
    char type_name[SPEC_TYPE_NAME_MAX + 1];
    uint32_t type_version;
    uint32_t lifetime; /* FASTALLOC_UNTIL_LAST_DETACH, FASTALLOC_PERSISTENT */
    uint32_t mode;     /* permission bits of 0666 */
    uint32_t max_threads;
    uint32_t max_sessions;
    uint32_t flags;         /* features: SPEC_... */
    uint32_t on_death;      /* FASTALLOC_RECLAIM, _QUARANTINE, _HEIR */
    uint32_t quarantine_ms; /* how long; 0: until released by hand */
    uint32_t growth;        /* FASTALLOC_GROWTH_NONE, _LINEAR, _EXPONENTIAL */
    uint64_t object_size;
    uint64_t alignment;
    uint64_t capacity;      /* slots usable from the start */
    uint64_t max_capacity;  /* slots the segment has room for */
    uint64_t growth_amount; /* of LINEAR */
    uint64_t low_water;     /* idle slots below which it grows ahead of need; 0: by itself,
                               SPEC_NO_LOW_WATER: never */
    double growth_factor;   /* of EXPONENTIAL */
};

/* Whether `length` bytes are a name a pool can have: 1 to 255 bytes of UTF-8
 * without NUL, "/" or control characters, not "." or "..".
 * Returns 0 or FASTALLOC_E_NAME. */
int spec_check_name(const void *bytes, size_t length, struct reason *why);

/* Puts defaults where a field is 0 (alignment, max_capacity, max_threads,
 * max_sessions, mode), then checks everything but the name.  A pool that grows and
 * names no maximum gets 1,024 times its capacity, at least 65,536 slots, as far as
 * half of the machine's memory holds them.  Returns 0 or FASTALLOC_E_SIZE, _CAPACITY,
 * _OVERFLOW, _LIMIT, _ALIGNMENT, _GROWTH, _INVALID, _NAME (for the type's name). */
int spec_complete(struct pool_spec *spec, struct reason *why);

/* The capacity after one step of growth from `capacity`: by `increment` slots, or with 0
 * by the pool's own strategy (NONE: no step); never above the maximum. */
uint64_t spec_next_capacity(const struct pool_spec *spec, uint64_t capacity, uint64_t increment);

/* The number of idle slots below which a pool of that capacity grows ahead of need; 0: it
 * does not. */
uint64_t spec_low_water(const struct pool_spec *spec, uint64_t capacity);

/* Whether a pool made by `actual` is what `expected` takes it for: type name,
 * version, size and alignment, each where it is not empty or 0.  Returns 0 or
 * FASTALLOC_E_TYPE, _TYPE_SIZE, _TYPE_VERSION. */
int spec_match(const struct pool_spec *expected, const struct pool_spec *actual,
               struct reason *why);

#endif
