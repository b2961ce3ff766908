/* SPDX-License-Identifier: MIT
 *
 * layout: see layout.h.
 */
#include "layout.h"

#include "lock.h"
#include "magazine.h"
#include "slot.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define DEPOTS_MIN 4u
#define DEPOTS_MAX 64u
#define THREADS_PER_DEPOT 8u
#define TOTAL_MAX (UINT64_C(1) << 46) /* what a process's address space can hold */

#if defined(__GLIBC__)
#define LIBC_KIND 1u
#else
#define LIBC_KIND 2u
#endif

_Static_assert(sizeof(struct shm_session) == 3 * LAYOUT_LINE, "a session record is three lines");
_Static_assert(sizeof(struct shm_depot) == 2 * LAYOUT_LINE, "a depot is two lines");
_Static_assert(sizeof(struct shm_cache) == 2 * LAYOUT_LINE, "a cache record is two lines");
_Static_assert(sizeof(struct shm_header) <= 1024, "the header fits its part");

#define HEADER_BYTES 1024u

/* ------------------------------------------------------------- geometry */

/* Larger pools have larger magazines.  What bounds them is memory, two for each configured thread:
 * that two caches' worth of threads could hold the whole pool costs less than smaller magazines
 * do, since who finds nothing takes a whole magazine from whoever sleeps (16 processes in bursts of
 * up to 96 in a pool of 1,024: 2.6 ns an operation with 63, 5 with 31, 10 with 15).  Where there
 * are slots enough for each thread to bear it, 255: what one process allocates and another frees
 * travels in half as many exchanges (a hand-over takes 0.8 to 0.9 of the time).  A gate's room is a
 * byte, so more is none.  A magazine is a whole number of cache lines: its count and its entries.
 * Below 256 slots no cache pays: a leaf or two of the return bitmap cover the pool. */
static uint32_t magazine_size_for(uint64_t max_capacity, uint32_t threads)
{
    if (max_capacity >= 65536 && max_capacity >= UINT64_C(512) * threads)
        return 255;
    if (max_capacity >= 4096)
        return 127;
    if (max_capacity >= 1024)
        return 63;
    if (max_capacity >= 256)
        return 15;
    return 0;
}

/* Threads spread over the depots, and each tries one after the other and waits for none, so what
 * counts is how many there are: with 1 or 2, as a depot for each of two processors would be, who
 * loses his processor with the lock in his hands is in the others' way (16 processes on two
 * processors: 3.5 and 1.5 times as long an operation as with 4), and many processors find all
 * of them locked.  From 4 on more cost nothing there, nor where one allocates and another frees. */
static uint32_t depots_for(uint32_t threads)
{
    uint32_t depots = threads / THREADS_PER_DEPOT;

    if (depots < DEPOTS_MIN)
        return DEPOTS_MIN;
    return depots < DEPOTS_MAX ? depots : DEPOTS_MAX;
}

static uint32_t index_bits_for(uint64_t max_capacity)
{
    uint32_t bits = SLOT_INDEX_BITS_MIN;

    while (max_capacity > UINT64_C(1) << bits)
        bits++;
    return bits;
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* Gives the next part its place and returns where it begins. */
static uint64_t place(uint64_t *end, uint64_t bytes)
{
    uint64_t at = *end;

    *end = round_up(at + bytes, LAYOUT_LINE);
    return at;
}

static void plan_bitmap(struct geometry *g)
{
    uint64_t bits = g->max_capacity;

    g->levels = 0;
    do {
        bits = (bits + 63) / 64;
        g->level_words[g->levels++] = bits;
    } while (bits > 1);
}

static uint64_t magazine_bytes(const struct geometry *g)
{
    return (g->magazine_size + UINT64_C(1)) * sizeof(uint32_t);
}

uint32_t geometry_magazines(const struct geometry *geometry, uint64_t capacity)
{
    uint32_t size = geometry->magazine_size;

    return size ? (uint32_t)((capacity + size - 1) / size) + 2 * geometry->caches : 0;
}

int geometry_plan(struct geometry *geometry, const struct pool_spec *spec, struct reason *why)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t end = HEADER_BYTES, bitmap_words = 0, object_bytes;
    struct geometry g = {0};
    uint32_t level;

    g.object_size = spec->object_size;
    g.alignment = spec->alignment;
    g.stride = round_up(spec->object_size, spec->alignment);
    g.capacity = spec->capacity;
    g.max_capacity = spec->max_capacity;
    g.index_bits = index_bits_for(g.max_capacity);
    g.magazine_size = magazine_size_for(g.max_capacity, spec->max_threads);
    g.caches = g.magazine_size ? spec->max_threads : 0;
    g.sessions = spec->max_sessions;
    g.depots = depots_for(spec->max_threads);
    /* Each cache holds two, the depots the rest: even with every slot idle in full
     * magazines of the depots there is one with room for each cache. */
    g.magazines = geometry_magazines(&g, g.max_capacity);
    g.flags = spec->flags;
    if (g.flags & SPEC_SHARING)
        g.row_words = (g.sessions + 63) / 64;
    plan_bitmap(&g);
    for (level = 0; level < g.levels; level++)
        bitmap_words += g.level_words[level];

    g.sessions_at = place(&end, (g.sessions + UINT64_C(1)) * sizeof(struct shm_session));
    end = round_up(end, sizeof(struct shm_depot));
    g.depots_at = place(&end, g.depots * sizeof(struct shm_depot));
    g.caches_at = place(&end, (uint64_t)g.caches * sizeof(struct shm_cache));
    g.magazine_words_at = place(&end, (uint64_t)g.magazines * sizeof(uint64_t));
    g.magazine_links_at = place(&end, (uint64_t)g.magazines * sizeof(uint32_t));
    g.bitmap_at = place(&end, bitmap_words * sizeof(uint64_t));
    g.magazines_at = place(&end, g.magazines * magazine_bytes(&g));
    g.words_at = place(&end, g.max_capacity * sizeof(uint64_t));
    g.notes_at = place(&end, g.flags & SPEC_NOTES ? g.max_capacity * sizeof(uint64_t) : 0);
    g.holders_at = place(&end, g.max_capacity * g.row_words * sizeof(uint64_t));
    g.stages_at = place(&end, g.flags & SPEC_STAGES ? g.max_capacity : 0);
    g.guard_at = round_up(end, page);
    g.objects_at = g.guard_at + page;
    if (__builtin_mul_overflow(g.stride, g.max_capacity, &object_bytes))
        return reason_set(why, FASTALLOC_E_OVERFLOW,
                          "%" PRIu64 " objects of %" PRIu64 " bytes overflow", g.max_capacity,
                          g.stride);
    if (object_bytes > TOTAL_MAX - g.objects_at - page)
        return reason_set(why, FASTALLOC_E_LIMIT,
                          "%" PRIu64 " objects of %" PRIu64 " bytes are beyond what a process "
                          "can map (2^46 bytes): lower the capacity or the object size",
                          g.max_capacity, g.object_size);
    g.total = round_up(g.objects_at + object_bytes, page);
    *geometry = g;
    return 0;
}

/* ---------------------------------------------------------------- extents */

/* Adds units [from, to) of a part; fixed parts come with the first capacity. */
static unsigned add_extent(struct extent *extents, unsigned count, uint64_t at, uint64_t from,
                           uint64_t to, uint64_t unit)
{
    if (from >= to || unit == 0)
        return count;
    extents[count].from = at + from * unit;
    extents[count].length = (to - from) * unit;
    return count + 1;
}

unsigned geometry_extents(const struct geometry *geometry, uint64_t from, uint64_t to,
                          struct extent extents[EXTENTS_MAX])
{
    const struct geometry *g = geometry;
    uint32_t magazines = from ? geometry_magazines(g, from) : 0;
    unsigned count = 0;

    if (from == 0)
        count = add_extent(extents, count, 0, 0, g->magazines_at, 1);
    count = add_extent(extents, count, g->magazines_at, magazines, geometry_magazines(g, to),
                       magazine_bytes(g));
    count = add_extent(extents, count, g->words_at, from, to, sizeof(uint64_t));
    if (g->flags & SPEC_NOTES)
        count = add_extent(extents, count, g->notes_at, from, to, sizeof(uint64_t));
    count = add_extent(extents, count, g->holders_at, from, to, g->row_words * sizeof(uint64_t));
    if (g->flags & SPEC_STAGES)
        count = add_extent(extents, count, g->stages_at, from, to, 1);
    return add_extent(extents, count, g->objects_at, from, to, g->stride);
}

struct extent geometry_objects_above(const struct geometry *geometry, uint64_t capacity)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t from = round_up(geometry->objects_at + capacity * geometry->stride, page);

    return (struct extent){from, from < geometry->total ? geometry->total - from : 0};
}

void segment_bind(struct segment *segment, void *base, const struct geometry *geometry)
{
    char *bytes = base;

    segment->geometry = *geometry;
    segment->base = bytes;
    segment->header = (void *)bytes;
    segment->sessions = (void *)(bytes + geometry->sessions_at);
    segment->depots = (void *)(bytes + geometry->depots_at);
    segment->caches = (void *)(bytes + geometry->caches_at);
    segment->magazine_words = (void *)(bytes + geometry->magazine_words_at);
    segment->magazine_links = (void *)(bytes + geometry->magazine_links_at);
    segment->magazines = (void *)(bytes + geometry->magazines_at);
    segment->words = (void *)(bytes + geometry->words_at);
    segment->notes = geometry->flags & SPEC_NOTES ? (void *)(bytes + geometry->notes_at) : NULL;
    segment->holders = geometry->row_words ? (void *)(bytes + geometry->holders_at) : NULL;
    segment->stages = geometry->flags & SPEC_STAGES ? (void *)(bytes + geometry->stages_at) : NULL;
    segment->bitmap = (void *)(bytes + geometry->bitmap_at);
    segment->objects = bytes + geometry->objects_at;
}

/* ---------------------------------------------------- creating, attaching */

static struct shm_fingerprint fingerprint(void)
{
    return (struct shm_fingerprint){
        .word_size = sizeof(void *),
        .byte_order = 0x01020304,
        .page_size = (uint32_t)sysconf(_SC_PAGESIZE),
        .mutex_size = sizeof(pthread_mutex_t),
        .mutex_align = _Alignof(pthread_mutex_t),
        .libc = LIBC_KIND,
    };
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo), over the constant part but the magic. */
static uint64_t checksum_of(const struct shm_header *header)
{
    const unsigned char *bytes = (const unsigned char *)header;
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    size_t i;

    for (i = sizeof header->magic; i < offsetof(struct shm_header, checksum); i++)
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    return sum;
}

int segment_format(struct segment *segment, void *base, const struct pool_spec *spec,
                   const struct geometry *geometry, uint64_t pool_id, uint64_t first_generation,
                   struct reason *why)
{
    struct shm_header *header = base;
    struct segment made;
    uint32_t d;
    int error;

    segment_bind(&made, base, geometry);
    for (d = 0; d < geometry->depots; d++) {
        error = lock_init(&made.depots[d]);
        if (error)
            return reason_system(why, FASTALLOC_E_SYSTEM, error,
                                 "cannot make a robust process-shared mutex");
    }
    header->major = LAYOUT_MAJOR;
    header->minor = LAYOUT_MINOR;
    header->fingerprint = fingerprint();
    header->pool_id = pool_id;
    header->first_generation = slot_generation_within(first_generation, geometry->index_bits);
    header->total = geometry->total;
    header->object_size = spec->object_size;
    header->alignment = spec->alignment;
    header->capacity = spec->capacity;
    header->max_capacity = spec->max_capacity;
    header->max_threads = spec->max_threads;
    header->max_sessions = spec->max_sessions;
    header->type_version = spec->type_version;
    header->lifetime = spec->lifetime;
    header->flags = spec->flags;
    header->growth = spec->growth;
    header->growth_amount = spec->growth_amount;
    header->growth_factor = spec->growth_factor;
    header->low_water = spec->low_water;
    header->on_death = spec->on_death;
    header->quarantine_ms = spec->quarantine_ms;
    header->magazine_size = geometry->magazine_size;
    header->depots = geometry->depots;
    header->objects_at = geometry->objects_at;
    memcpy(header->name, spec->name, sizeof header->name);
    memcpy(header->type_name, spec->type_name, sizeof header->type_name);
    header->checksum = checksum_of(header);
    shm_store_release(&header->reserved, spec->capacity);
    shm_store_release(&header->published, spec->capacity);
    shm_store_release(&header->magic, LAYOUT_MAGIC);
    *segment = made;
    return 0;
}

/* Whether this process can work on what wrote the header at all. */
static int check_version(const struct shm_header *seen, struct reason *why)
{
    struct shm_fingerprint mine = fingerprint();

    if (seen->magic != LAYOUT_MAGIC)
        return reason_set(why, FASTALLOC_E_VERSION,
                          "the segment is not a published fastalloc pool (magic 0x%016" PRIx64
                          "): its creator may have died",
                          seen->magic);
    if (seen->major != LAYOUT_MAJOR || seen->flags & ~(uint64_t)SPEC_FLAGS)
        return reason_set(why, FASTALLOC_E_VERSION,
                          "the pool has layout %u.%u with features 0x%" PRIx64
                          ", this library layout %u.%u with 0x%x: bring library and daemon to "
                          "one version",
                          seen->major, seen->minor, seen->flags, LAYOUT_MAJOR, LAYOUT_MINOR,
                          SPEC_FLAGS);
    if (memcmp(&seen->fingerprint, &mine, sizeof mine))
        return reason_set(why, FASTALLOC_E_VERSION,
                          "the pool was made by a program of another kind (%u-byte words, "
                          "%u-byte pages, %u-byte mutexes, libc %u; here %u, %u, %u, %u): build "
                          "all programs for one machine and C library",
                          seen->fingerprint.word_size, seen->fingerprint.page_size,
                          seen->fingerprint.mutex_size, seen->fingerprint.libc, mine.word_size,
                          mine.page_size, mine.mutex_size, mine.libc);
    return 0;
}

static int check_shape(const struct shm_header *seen, const struct pool_spec *spec,
                       struct geometry *geometry, uint64_t size, struct reason *why)
{
    struct pool_spec completed = *spec;
    struct reason detail = {0, "the numbers do not fit together"};

    if (spec_check_name(spec->name, strlen(spec->name), &detail) ||
        spec_complete(&completed, &detail) || memcmp(&completed, spec, sizeof completed) ||
        geometry_plan(geometry, spec, &detail) || geometry->total != seen->total ||
        geometry->total > size || geometry->objects_at != seen->objects_at ||
        geometry->magazine_size != seen->magazine_size || geometry->depots != seen->depots ||
        seen->checksum != checksum_of(seen) || seen->pool_id == 0 || seen->first_generation == 0 ||
        seen->first_generation !=
            slot_generation_within(seen->first_generation, geometry->index_bits))
        return reason_set(why, FASTALLOC_E_POISONED,
                          "the header of pool \"%s\" is damaged (%s; %" PRIu64
                          " bytes named, %" PRIu64 " mapped): destroy the pool and make it anew",
                          spec->name, detail.text, seen->total, size);
    return 0;
}

int segment_attach(struct segment *segment, void *base, uint64_t size, struct pool_spec *spec,
                   struct reason *why)
{
    const struct shm_header *header = base;
    struct pool_spec read = {0};
    struct shm_header seen;
    struct geometry geometry;
    int error;

    if (size < sizeof seen)
        return reason_set(why, FASTALLOC_E_POISONED,
                          "the segment has %" PRIu64 " bytes, too few for a header", size);
    seen.magic = shm_load_acquire(&header->magic);
    /* One copy, looked at alone from here on: others may write the original. */
    memcpy((char *)&seen + sizeof seen.magic, (const char *)base + sizeof seen.magic,
           sizeof seen - sizeof seen.magic);
    error = check_version(&seen, why);
    if (error)
        return error;

    memcpy(read.name, seen.name, strnlen(seen.name, SPEC_NAME_MAX));
    memcpy(read.type_name, seen.type_name, strnlen(seen.type_name, SPEC_TYPE_NAME_MAX));
    read.type_version = seen.type_version;
    read.lifetime = seen.lifetime;
    read.mode = SPEC_MODE_DEFAULT; /* the daemon's to know */
    read.max_threads = seen.max_threads;
    read.max_sessions = seen.max_sessions;
    read.object_size = seen.object_size;
    read.alignment = seen.alignment;
    read.capacity = seen.capacity;
    read.max_capacity = seen.max_capacity;
    read.flags = (uint32_t)seen.flags;
    read.growth = seen.growth;
    read.growth_amount = seen.growth_amount;
    read.growth_factor = seen.growth_factor;
    read.low_water = seen.low_water;
    read.on_death = seen.on_death;
    read.quarantine_ms = seen.quarantine_ms;
    error = check_shape(&seen, &read, &geometry, size, why);
    if (error)
        return error;

    segment_bind(segment, base, &geometry);
    if (spec)
        *spec = read;
    return 0;
}

/* ------------------------------------------------------------- the pool */

uint32_t segment_state(const struct segment *segment)
{
    uint32_t state = shm_load_ordered(&segment->header->state);

    if (state == POOL_LIVE)
        return shm_load_ordered(&segment->header->seals) & 1 ? POOL_SEALED : POOL_LIVE;
    return state < POOL_STATES ? state : POOL_POISONED;
}

void segment_set_state(struct segment *segment, uint32_t state)
{
    uint32_t c;

    shm_store_ordered(&segment->header->state, state);
    for (c = 0; c < segment->geometry.caches; c++)
        if (shm_load_ordered(&segment->caches[c].holder))
            shm_store_ordered(&segment->caches[c].gate.room, 0u);
}
