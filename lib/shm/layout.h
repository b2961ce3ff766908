/* SPDX-License-Identifier: MIT
 *
 * layout: the segment's byte format, its creation, and its validation at attach.
 *
 * One segment of shared memory holds one pool:
 *
 *   header | sessions | depots | caches | magazine words | magazine links |
 *   return bitmap | magazines | slot words | (notes) | (holders) | (stages) | guard page |
 *   objects
 *
 * All of it is laid out, and mapped, for the pool's maximum.  The parts up to the bitmap
 * have their memory from the start; of the others only what the capacity needs is
 * reserved, and more as it grows (growth.h).
 * Metadata is out of band: objects lie alone on their pages, behind a guard
 * page.  Types are of fixed width, references are indices, there are no
 * pointers.  Every part begins on a cache line, the objects on a page.
 *
 * Fresh shared memory is zero, and zero is the right first state of everything
 * but the header and the depots' mutexes: a zero slot word is a slot never
 * used, a zero magazine word a magazine never used, a zero session or cache
 * record a free one.  So creating costs no more than reserving the memory.
 *
 * The header is published by writing its magic last (release).  Attaching
 * recomputes the geometry from the few numbers that determine it and refuses
 * a header that says otherwise, so that every offset used afterwards is one
 * that this process computed: nothing read later from the segment is used as
 * an offset without a bound.
 *
 * This is no public interface.  Processes attach only to a segment of their
 * own layout version and fingerprint.
 */
#ifndef SHM_LAYOUT_H
#define SHM_LAYOUT_H

#include "reason.h"
#include "spec.h"

#include <fastalloc/fastalloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAYOUT_MAGIC UINT64_C(0x636f6c6c61747366) /* "fstalloc", little-endian */
#define LAYOUT_MAJOR 4u
#define LAYOUT_MINOR 0u
#define LAYOUT_LINE 64u /* the unit that parts are aligned to */

/* ------------------------------------------------------------- geometry */

/* Everything about a segment's shape that follows from its spec: one process
 * computes it alike with every other. */
struct geometry {
    uint64_t object_size, alignment, stride;
    uint64_t capacity;      /* slots usable at creation */
    uint64_t max_capacity;  /* slots in the table */
    uint32_t index_bits;    /* of a handle */
    uint32_t magazine_size; /* entries a magazine holds; 0: too small a pool for
                               caches, every thread works on the return bitmap */
    uint32_t magazines;
    uint32_t caches;
    uint32_t sessions; /* records 1 to `sessions`; record 0 is unused */
    uint32_t depots;
    uint32_t flags;     /* features: SPEC_... */
    uint32_t row_words; /* 64-bit words of a row of holders; 0: the pool does not share */
    uint32_t levels;    /* of the return bitmap */
    uint64_t level_words[6];
    uint64_t sessions_at, depots_at, caches_at, magazine_words_at, magazine_links_at, bitmap_at,
        magazines_at, words_at, notes_at, holders_at, stages_at, guard_at, objects_at;
    uint64_t total; /* bytes of the segment, whole pages */
};

/* Computes the geometry of a completed spec (spec_complete()).  Returns 0 or
 * FASTALLOC_E_OVERFLOW, FASTALLOC_E_LIMIT. */
int geometry_plan(struct geometry *geometry, const struct pool_spec *spec, struct reason *why);

/* Bytes of the segment. */
struct extent {
    uint64_t from, length;
};
#define EXTENTS_MAX 7

/* What has to have memory before the capacity can go from `from` slots to `to`, beyond what
 * `from` needs; with `from` 0 everything that `to` needs.  Returns how many there are.  They
 * may overlap the pages of what `from` has. */
unsigned geometry_extents(const struct geometry *geometry, uint64_t from, uint64_t to,
                          struct extent extents[EXTENTS_MAX]);

/* The whole pages of objects that only slots from `capacity` on touch. */
struct extent geometry_objects_above(const struct geometry *geometry, uint64_t capacity);

/* How many magazines a pool of that capacity may use. */
uint32_t geometry_magazines(const struct geometry *geometry, uint64_t capacity);

/* ------------------------------------------------------ records, as stored */

/* What kind of machine and library wrote the segment. */
struct shm_fingerprint {
    uint32_t word_size, byte_order, page_size, mutex_size, mutex_align, libc;
};

/* States of a pool, in header.state. */
enum {
    POOL_LIVE = 0,
    POOL_DESTROYED = 1, /* by its name; detaching users remain */
    POOL_POISONED = 2,  /* damaged: allocate no more */
    POOL_STATES,
    POOL_SEALED = POOL_STATES /* never stored: live, and sealed (seal.h) */
};

/* Counts for statistics.  They go on for ever; who wants them from some point on notes what they
 * were then.  See tally.h. */
struct shm_counts {
    uint64_t allocations, frees, failures, waits;
};

struct shm_header {
    /* Written at creation, constant from then on. */
    uint64_t magic;
    uint32_t major, minor;
    struct shm_fingerprint fingerprint;
    uint64_t pool_id;          /* random, never 0 */
    uint64_t first_generation; /* of every slot; random in each pool, never 0 */
    uint64_t total;
    uint64_t object_size, alignment, capacity, max_capacity;
    uint32_t max_threads, max_sessions;
    uint32_t type_version, lifetime;
    uint32_t magazine_size, depots;
    uint64_t objects_at;
    uint64_t flags; /* features of the pool, SPEC_...; unknown ones are refused */
    uint32_t growth, on_death, quarantine_ms, unused;
    uint64_t growth_amount, low_water;
    double growth_factor;
    char name[SPEC_NAME_MAX + 1];
    char type_name[SPEC_TYPE_NAME_MAX + 1];
    uint64_t checksum; /* of all above but the magic: damage, not malice, is what it finds */

    /* Seldom written.  A line of their own each, not to disturb each other. */
    uint32_t state __attribute__((aligned(LAYOUT_LINE))); /* POOL_... */
    uint32_t sweeps, swept; /* works of the sweeper's role: begun, ended (bitmap.h) */
    uint32_t seals;         /* odd: sealed.  Counts sealing and unsealing: seal.h */
    uint64_t pid_namespace; /* of everybody attached; 0 until the first */
    uint64_t root;          /* a handle, the users' */
    uint64_t published;     /* capacity now, never above max_capacity */
    uint64_t reserved;      /* the highest capacity so far: the metadata below has memory */
    uint64_t growth_asked;  /* the capacity at which somebody last asked for more ahead of need */
    uint64_t next_deadline; /* of notes, in their unit; 0: none: notes.h */
    uint32_t heir;          /* a session; 0: none */
    uint32_t growths;       /* so far, to show */

    uint64_t bump __attribute__((aligned(LAYOUT_LINE))); /* slots below were used (a hint) */
    uint64_t magazine_bump;                              /* magazines below were used (a hint) */
    uint64_t cache_bump;                                 /* caches below were claimed (a hint) */

    /* For waiting: wait.h. */
    uint32_t free_epoch __attribute__((aligned(LAYOUT_LINE)));
    uint32_t waiters;

    /* For statistics: tally.h. */
    uint64_t peak __attribute__((aligned(LAYOUT_LINE)));
    uint64_t reclaimed;                               /* slots that came back by sweeps */
    uint64_t deaths;                                  /* sessions swept */
    uint64_t reclaim_last, reclaim_most, reclaim_all; /* ns, of sweeps */
    uint64_t reclaims;                                /* how many sweeps those are of */
    uint64_t exchanges_before;                        /* what had been counted at the last reset */
    struct shm_counts before;
    uint64_t reclaimed_before, deaths_before, growths_before;
};

/* States of a session, in shm_session.state.  See session.h. */
enum session_state {
    SESSION_FREE = 0,
    SESSION_LIVE = 1,
    SESSION_DYING = 2,  /* being swept */
    SESSION_RETIRED = 3 /* swept; a gift to it may still be on its way */
};

#define SESSION_INTENTS 4
#define SESSION_COMM_MAX 16

struct shm_session {
    uint32_t state; /* enum session_state */
    uint32_t pid;   /* to show, never to decide by */
    uint32_t uid;
    uint32_t intents[SESSION_INTENTS]; /* sessions that gifts are under way to */
    uint32_t begun, ended;             /* works on the return bitmap: bitmap.h */
    uint64_t started;                  /* seconds since 1970, to show */
    char comm[SESSION_COMM_MAX];       /* the program's name, to show */

    uint32_t inherited __attribute__((aligned(LAYOUT_LINE))); /* futex word: counts what came */
    uint32_t unused;
    /* For statistics: tally.h. */
    uint64_t ended_allocations, ended_frees; /* of this session's threads that had a cache and
                                                ended */
    struct shm_counts counts; /* failures and waits; allocations and frees without a cache: of
                                 all sessions that ever had the record */
    uint64_t unused_line;

    struct shm_counts before __attribute__((aligned(LAYOUT_LINE))); /* counts when it began */
} __attribute__((aligned(LAYOUT_LINE)));

struct shm_depot {
    pthread_mutex_t mutex;         /* robust, process-shared; touched by lock.c alone */
    uint32_t dirty;                /* the lists are out of date: rebuild under the lock */
    uint32_t full, partial, empty; /* heads: magazine index + 1, 0 at the end */
    uint64_t rebuilds;             /* how often, to show */
    uint64_t stock;                /* idle slots in the lists, as these are derived */
} __attribute__((aligned(2 * LAYOUT_LINE)));

struct shm_cache {
    struct fastalloc_gate_ gate;
    uint64_t epoch;                      /* of the gate: changes when a thief's notes are void */
    uint64_t moves;                      /* idle slots came or went, but by alloc and free */
    uint64_t holder;                     /* session << 32 | kernel thread id; 0: free */
    uint32_t loaded, previous;           /* magazine index + 1, 0: none */
    uint64_t loaded_word, previous_word; /* their words when they came here */
    /* For statistics: tally.h. */
    uint64_t allocations_before, frees_before; /* the gate's when the holder came */
    uint64_t exchanges;                        /* allocations past the cache */
    uint64_t reserved[4];
} __attribute__((aligned(2 * LAYOUT_LINE)));

static inline uint32_t cache_session_of(uint64_t holder)
{
    return (uint32_t)(holder >> 32);
}

/* ---------------------------------------------------------------- attached */

/* A segment as mapped into this process: addresses and bounds computed here,
 * constant while attached.  `base` may be a read-only mapping for those who
 * only look (check, survey). */
struct segment {
    struct geometry geometry;
    char *base;
    struct shm_header *header;
    struct shm_session *sessions;
    struct shm_depot *depots;
    struct shm_cache *caches;
    uint64_t *magazine_words;
    uint32_t *magazine_links;
    uint32_t *magazines; /* (magazine_size + 1) words each: count, entries */
    uint64_t *words;     /* slot words */
    uint64_t *notes;     /* NULL in pools without */
    uint64_t *holders;   /* rows of geometry.row_words; NULL in pools that do not share */
    uint8_t *stages;     /* NULL in pools without */
    uint64_t *bitmap;    /* all levels, the leaves first */
    char *objects;
};

/* Points `segment` at the parts of a mapping.  Reads nothing. */
void segment_bind(struct segment *segment, void *base, const struct geometry *geometry);

/* Lays out a new segment in zeroed memory at `base` and publishes it. */
int segment_format(struct segment *segment, void *base, const struct pool_spec *spec,
                   const struct geometry *geometry, uint64_t pool_id, uint64_t first_generation,
                   struct reason *why);

/* Reads a header of unknown origin (`size` bytes are mapped at `base`), checks
 * all of it, recomputes the geometry, and binds `segment`.  Fills in `spec`
 * (unless NULL) with what the pool is.  Returns 0; FASTALLOC_E_VERSION (not
 * published, other layout, other machine or libc) or FASTALLOC_E_POISONED (the
 * header contradicts itself or the size). */
int segment_attach(struct segment *segment, void *base, uint64_t size, struct pool_spec *spec,
                   struct reason *why);

/* The pool's state, POOL_...: of a live one whether it is sealed; anything else reads as
 * POOL_POISONED. */
uint32_t segment_state(const struct segment *segment);

/* Changes the pool's state, and has every thread's next entry notice.  Takes no lock. */
void segment_set_state(struct segment *segment, uint32_t state);

/* One-word accesses to shared memory, named for the order they give. */
#define shm_load(place) __atomic_load_n((place), __ATOMIC_RELAXED)
#define shm_load_acquire(place) __atomic_load_n((place), __ATOMIC_ACQUIRE)
#define shm_load_ordered(place) __atomic_load_n((place), __ATOMIC_SEQ_CST)
#define shm_store(place, value) __atomic_store_n((place), (value), __ATOMIC_RELAXED)
#define shm_store_release(place, value) __atomic_store_n((place), (value), __ATOMIC_RELEASE)
#define shm_store_ordered(place, value) __atomic_store_n((place), (value), __ATOMIC_SEQ_CST)
/* Compare and swap; `expected` is a pointer, updated on failure. */
#define shm_cas(place, expected, desired)                                                          \
    __atomic_compare_exchange_n((place), (expected), (desired), false, __ATOMIC_SEQ_CST,           \
                                __ATOMIC_SEQ_CST)
/* Between two steps of a protocol: what stands above happens before what
 * stands below, for whoever looks after this thread has died. */
#define shm_step() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* Slots usable now: reads `published` once and bounds it. */
static inline uint64_t segment_capacity(const struct segment *segment)
{
    uint64_t published = shm_load_acquire(&segment->header->published);

    return published < segment->geometry.max_capacity ? published : segment->geometry.max_capacity;
}

/* Slots whose words can be looked at: reads `reserved` once and bounds it.  Never falls;
 * every handle ever given out is below it. */
static inline uint64_t segment_reserved(const struct segment *segment)
{
    uint64_t reserved = shm_load_acquire(&segment->header->reserved);

    return reserved < segment->geometry.max_capacity ? reserved : segment->geometry.max_capacity;
}

#endif
