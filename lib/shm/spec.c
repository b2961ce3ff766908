/* SPDX-License-Identifier: MIT
 *
 * spec: see spec.h.
 */
#include "spec.h"

#include <fastalloc/fastalloc.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define ALIGNMENT_MAX 4096u
#define NATURAL_ALIGNMENT_MAX 16u
#define METADATA_PER_SLOT 16u /* bytes, at most, without notes and holders */
#define GROWTH_DEFAULT_TIMES 1024u
#define GROWTH_DEFAULT_LEAST 65536u

/* The length of the UTF-8 character at `s` (`left` bytes remain), 0 if it is
 * none: overlong forms, surrogates and what is past U+10FFFF included. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length, i;
    uint32_t character;

    if (s[0] < 0x80)
        return 1;
    length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || left < length)
        return 0;
    character = s[0] & (0x7fu >> length);
    for (i = 1; i < length; i++) {
        if ((s[i] & 0xc0u) != 0x80u)
            return 0;
        character = character << 6 | (s[i] & 0x3fu);
    }
    if (character < least[length] || character > 0x10ffff ||
        (character >= 0xd800 && character <= 0xdfff))
        return 0;
    return length;
}

/* Whether the text is UTF-8 without control characters (C0, DEL, C1) and, for
 * names, "/".  `what` is what the message calls it. */
static int check_text(const void *bytes, size_t length, const char *what, bool slash,
                      struct reason *why)
{
    const unsigned char *s = bytes;
    size_t i, step;

    for (i = 0; i < length; i += step) {
        step = utf8_length(s + i, length - i);
        if (!step)
            return reason_set(why, FASTALLOC_E_NAME,
                              "%s is not UTF-8 at byte %zu (0x%02x): use UTF-8 text", what, i,
                              s[i]);
        if (s[i] < 0x20 || s[i] == 0x7f || (s[i] == 0xc2 && s[i + 1] < 0xa0))
            return reason_set(why, FASTALLOC_E_NAME,
                              "%s has a control character (0x%02x) at byte %zu: leave it out", what,
                              s[i] == 0xc2 ? s[i + 1] : s[i], i);
        if (s[i] == '/' && !slash)
            return reason_set(why, FASTALLOC_E_NAME,
                              "%s has a \"/\" at byte %zu: use another separator, such as \".\"",
                              what, i);
    }
    return 0;
}

int spec_check_name(const void *bytes, size_t length, struct reason *why)
{
    if (length == 0)
        return reason_set(why, FASTALLOC_E_NAME, "pool name is empty: give it 1 to %d bytes",
                          SPEC_NAME_MAX);
    if (length > SPEC_NAME_MAX)
        return reason_set(why, FASTALLOC_E_NAME, "pool name has %zu bytes: at most %d are allowed",
                          length, SPEC_NAME_MAX);
    if ((length == 1 && !memcmp(bytes, ".", 1)) || (length == 2 && !memcmp(bytes, "..", 2)))
        return reason_set(why, FASTALLOC_E_NAME,
                          "pool name is \"%.*s\": choose one that is not a directory's",
                          (int)length, (const char *)bytes);
    return check_text(bytes, length, "pool name", false, why);
}

/* The largest power of two, up to the limit, that divides the size. */
static uint64_t natural_alignment(uint64_t size)
{
    uint64_t lowest = size & (~size + 1);

    return lowest < NATURAL_ALIGNMENT_MAX ? lowest : NATURAL_ALIGNMENT_MAX;
}

static int check_counts(const struct pool_spec *spec, struct reason *why)
{
    if (spec->capacity == 0)
        return reason_set(why, FASTALLOC_E_CAPACITY,
                          "capacity is 0: a pool needs at least one slot");
    if (spec->max_capacity < spec->capacity)
        return reason_set(why, FASTALLOC_E_CAPACITY,
                          "maximum capacity %" PRIu64 " is below the capacity %" PRIu64
                          ": raise it, or leave it 0",
                          spec->max_capacity, spec->capacity);
    if (spec->max_capacity > SPEC_CAPACITY_MAX)
        return reason_set(why, FASTALLOC_E_LIMIT,
                          "capacity %" PRIu64 " is above the limit of %" PRIu64
                          " slots a pool: use several pools",
                          spec->max_capacity, SPEC_CAPACITY_MAX);
    if (spec->max_threads > SPEC_THREADS_MAX)
        return reason_set(why, FASTALLOC_E_LIMIT,
                          "max_threads %u is above the limit of %u: threads beyond it work, "
                          "without a cache",
                          spec->max_threads, SPEC_THREADS_MAX);
    if (spec->max_sessions > SPEC_SESSIONS_MAX)
        return reason_set(why, FASTALLOC_E_LIMIT, "max_sessions %u is above the limit of %u",
                          spec->max_sessions, SPEC_SESSIONS_MAX);
    return 0;
}

/* ---------------------------------------------------------------- growth */

static int check_growth(const struct pool_spec *spec, struct reason *why)
{
    switch (spec->growth) {
    case FASTALLOC_GROWTH_NONE:
        break;
    case FASTALLOC_GROWTH_LINEAR:
        if (spec->growth_amount == 0)
            return reason_set(why, FASTALLOC_E_GROWTH,
                              "linear growth by 0 slots is none: set growth_amount");
        break;
    case FASTALLOC_GROWTH_EXPONENTIAL:
        if (!isfinite(spec->growth_factor) || spec->growth_factor <= 1)
            return reason_set(why, FASTALLOC_E_GROWTH,
                              "growth factor %g is no growth: it has to be finite and above 1, "
                              "such as 2",
                              spec->growth_factor);
        break;
    default:
        return reason_set(why, FASTALLOC_E_GROWTH,
                          "growth strategy %u is unknown: use FASTALLOC_GROWTH_NONE, _LINEAR, "
                          "_EXPONENTIAL or _CUSTOM",
                          spec->growth);
    }
    return 0;
}

/* For a pool that grows and does not say how far. */
static uint64_t default_maximum(const struct pool_spec *spec)
{
    uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES), page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t fit = pages * page / 2 / (spec->object_size + spec->alignment + METADATA_PER_SLOT);
    uint64_t most = spec->capacity < SPEC_CAPACITY_MAX / GROWTH_DEFAULT_TIMES
                        ? spec->capacity * GROWTH_DEFAULT_TIMES
                        : SPEC_CAPACITY_MAX;

    if (most < GROWTH_DEFAULT_LEAST)
        most = GROWTH_DEFAULT_LEAST;
    if (most > fit)
        most = fit;
    return most > spec->capacity ? most : spec->capacity;
}

uint64_t spec_next_capacity(const struct pool_spec *spec, uint64_t capacity, uint64_t increment)
{
    uint64_t room = spec->max_capacity > capacity ? spec->max_capacity - capacity : 0;
    double step;

    if (!increment)
        switch (spec->growth) {
        case FASTALLOC_GROWTH_LINEAR:
            increment = spec->growth_amount;
            break;
        case FASTALLOC_GROWTH_EXPONENTIAL:
            step = (double)capacity * (spec->growth_factor - 1);
            increment = step < 1 ? 1 : step < (double)room ? (uint64_t)step : room;
            break;
        default:
            break;
        }
    return capacity + (increment < room ? increment : room);
}

uint64_t spec_low_water(const struct pool_spec *spec, uint64_t capacity)
{
    if (spec->growth == FASTALLOC_GROWTH_NONE || spec->low_water == SPEC_NO_LOW_WATER)
        return 0;
    if (spec->low_water)
        return spec->low_water;
    return capacity >= SPEC_LOW_WATER_FROM ? capacity / 8 : 0;
}

/* ------------------------------------------------------------ all of it */

static int check_policy(const struct pool_spec *spec, struct reason *why)
{
    if (spec->flags & ~SPEC_FLAGS)
        return reason_set(why, FASTALLOC_E_INVALID, "features 0x%x are unknown to this version",
                          spec->flags & ~SPEC_FLAGS);
    if (spec->on_death > FASTALLOC_HEIR)
        return reason_set(why, FASTALLOC_E_INVALID,
                          "on_death %u is unknown: use FASTALLOC_RECLAIM, FASTALLOC_QUARANTINE or "
                          "FASTALLOC_HEIR",
                          spec->on_death);
    if (spec->quarantine_ms && spec->on_death != FASTALLOC_QUARANTINE)
        return reason_set(why, FASTALLOC_E_INVALID,
                          "quarantine_ms is %u, but nothing is quarantined: set on_death to "
                          "FASTALLOC_QUARANTINE",
                          spec->quarantine_ms);
    if (spec->flags & SPEC_SHARING && spec->max_sessions > SPEC_SHARING_SESSIONS_MAX)
        return reason_set(why, FASTALLOC_E_LIMIT,
                          "max_sessions %u is above the limit of %u for a pool with "
                          "FASTALLOC_SHARING",
                          spec->max_sessions, SPEC_SHARING_SESSIONS_MAX);
    return 0;
}

int spec_complete(struct pool_spec *spec, struct reason *why)
{
    uint64_t stride, bytes;
    int error;

    if (spec->object_size == 0)
        return reason_set(why, FASTALLOC_E_SIZE,
                          "object size is 0: give the bytes of one object, such as sizeof(T)");
    if (!spec->alignment)
        spec->alignment = natural_alignment(spec->object_size);
    if (!spec->max_capacity)
        spec->max_capacity =
            spec->growth == FASTALLOC_GROWTH_NONE ? spec->capacity : default_maximum(spec);
    if (spec->on_death == FASTALLOC_QUARANTINE || spec->on_death == FASTALLOC_HEIR)
        spec->flags |= SPEC_NOTES;
    if (spec->flags & SPEC_ZERO_FREE)
        spec->flags |= SPEC_STAGES;
    if (!spec->max_threads)
        spec->max_threads = SPEC_THREADS_DEFAULT;
    if (!spec->max_sessions)
        spec->max_sessions = SPEC_SESSIONS_DEFAULT;
    if (!spec->mode)
        spec->mode = SPEC_MODE_DEFAULT;

    if (spec->alignment & (spec->alignment - 1))
        return reason_set(why, FASTALLOC_E_ALIGNMENT,
                          "alignment %" PRIu64 " is not a power of two: use 1, 2, 4, ..., %u",
                          spec->alignment, ALIGNMENT_MAX);
    if (spec->alignment > ALIGNMENT_MAX)
        return reason_set(why, FASTALLOC_E_ALIGNMENT,
                          "alignment %" PRIu64 " is above a page: use at most %u", spec->alignment,
                          ALIGNMENT_MAX);
    if (__builtin_add_overflow(spec->object_size, spec->alignment - 1, &stride) ||
        (stride &= ~(spec->alignment - 1),
         __builtin_mul_overflow(
             stride, spec->max_capacity > spec->capacity ? spec->max_capacity : spec->capacity,
             &bytes)) ||
        bytes > INT64_MAX)
        return reason_set(why, FASTALLOC_E_OVERFLOW,
                          "%" PRIu64 " objects of %" PRIu64 " bytes do not fit into 2^63 bytes: "
                          "lower the capacity or the object size",
                          spec->max_capacity, spec->object_size);
    error = check_counts(spec, why);
    if (error)
        return error;
    if (spec->lifetime > FASTALLOC_PERSISTENT)
        return reason_set(why, FASTALLOC_E_INVALID,
                          "lifetime %u is unknown: use FASTALLOC_UNTIL_LAST_DETACH or "
                          "FASTALLOC_PERSISTENT",
                          spec->lifetime);
    error = check_growth(spec, why);
    if (!error)
        error = check_policy(spec, why);
    if (error)
        return error;
    if (spec->mode & ~0666u)
        return reason_set(why, FASTALLOC_E_INVALID,
                          "mode 0%o has bits other than 0666: read and write, for owner, group "
                          "and others",
                          spec->mode);
    return check_text(spec->type_name, strnlen(spec->type_name, sizeof spec->type_name),
                      "type name", true, why);
}

int spec_match(const struct pool_spec *expected, const struct pool_spec *actual, struct reason *why)
{
    if (expected->type_name[0] && strcmp(expected->type_name, actual->type_name))
        return reason_set(why, FASTALLOC_E_TYPE,
                          "pool \"%s\" holds objects of type \"%s\", not \"%s\": open it as what "
                          "it is, or use another name",
                          actual->name, actual->type_name, expected->type_name);
    if (expected->type_version && expected->type_version != actual->type_version)
        return reason_set(why, FASTALLOC_E_TYPE_VERSION,
                          "pool \"%s\" holds version %u of its type, not %u: bring the programs "
                          "to one version, or use another name",
                          actual->name, actual->type_version, expected->type_version);
    if (expected->object_size && expected->object_size != actual->object_size)
        return reason_set(why, FASTALLOC_E_TYPE_SIZE,
                          "pool \"%s\" holds objects of %" PRIu64 " bytes, not %" PRIu64
                          ": were the programs built from the same source?",
                          actual->name, actual->object_size, expected->object_size);
    if (expected->alignment > actual->alignment)
        return reason_set(why, FASTALLOC_E_TYPE_SIZE,
                          "pool \"%s\" aligns its objects to %" PRIu64 " bytes, not %" PRIu64
                          ": create it with the alignment that is needed",
                          actual->name, actual->alignment, expected->alignment);
    return 0;
}
