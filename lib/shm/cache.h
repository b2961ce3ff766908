/* SPDX-License-Identifier: MIT
 *
 * cache: a thread's cache of free slots in a pool: a record in the segment with
 * a gate and up to two magazines, `loaded` and `previous`.
 *
 * The gate.  While `busy` is 1 nobody else touches the cache's magazines.  A
 * thief (revoke.h) marks the gate: sets its `room` to 0; has every processor pass a barrier,
 * waits for busy 0, and then takes magazines by CAS of their words, with the gate's epoch and
 * the words as he noted them.  The owner's next entry sees the mark, and:
 * clears it (room is again what a magazine holds), changes the gate's epoch (the thieves' notes
 * are void), and bumps by CAS the epoch of each magazine it still owns, dropping what it does
 * not.  Either the thief's CAS on a magazine comes first or the owner's, and
 * the other is told.
 *
 * Whether a magazine is still this cache's is told by its word being the one
 * noted when the cache got it: owner and epoch.  The owner alone would not do, since
 * another thread of the same session may have stolen it.
 *
 * A new record is marked, as all zeroes are, and so is one that a sweep has freed.
 *
 * A thread that waits, for a lock or for a thief's victim, is never busy.
 *
 * A death at any point leaves the magazines whose words name the session, with
 * counts whose top entries may be slots with an owner: the sweep's to mend
 * (sweep.h).  What the record says beside that is reset by it.
 */
#ifndef SHM_CACHE_H
#define SHM_CACHE_H

#include "layout.h"

#include <time.h>

/* Who acts: a session, and its thread's cache record (CACHE_NONE: without). */
#define CACHE_NONE UINT32_MAX
struct actor {
    uint32_t session;
    uint32_t cache;
    uint32_t depot; /* the depot it turns to first */
    uint64_t turn;  /* spreads searches of the return bitmap */
};

/* Claims a cache record for a thread.  CACHE_NONE when all are taken, or the
 * pool has none. */
uint32_t cache_claim(struct segment *segment, uint32_t session, uint32_t thread);

/* Gives every slot in the cache back: its magazines to the depot, or, where that
 * cannot be had in time, its slots one by one through the return bitmap. */
void cache_flush(struct segment *segment, const struct actor *actor);

/* Gives its magazines to the depot if that can be had at once, for a thief to
 * find.  Does not wait. */
void cache_yield(struct segment *segment, const struct actor *actor);

/* As cache_flush(), and frees the record.  Where the depot could not be had the record
 * keeps its (empty) magazines and stays the session's for its next thread. */
void cache_release(struct segment *segment, const struct actor *actor);

static inline struct shm_cache *cache_record(const struct segment *segment,
                                             const struct actor *actor)
{
    return &segment->caches[actor->cache];
}

/* For cache_enter() alone. */
void cache_readmit(struct segment *segment, struct shm_cache *record);

static inline void cache_enter(struct segment *segment, const struct actor *actor)
{
    struct shm_cache *record = cache_record(segment, actor);

    shm_store(&record->gate.busy, 1u);
    shm_step(); /* the thief's membarrier stands for the full fence here */
    if (!shm_load(&record->gate.room))
        cache_readmit(segment, record);
}

static inline void cache_leave(struct segment *segment, const struct actor *actor)
{
    shm_store_release(&cache_record(segment, actor)->gate.busy, 0u);
}

/* Whether a thief has marked the gate. */
static inline bool cache_revoked(const struct segment *segment, const struct actor *actor)
{
    return !shm_load(&cache_record(segment, actor)->gate.room);
}

/* Within the gate. */

/* Says that idle slots are about to come into the cache or leave it other than by
 * alloc and free: before they do, so that a thief who has seen them nowhere
 * because they moved is told (revoke.h). */
static inline void cache_moves(struct segment *segment, const struct actor *actor)
{
    __atomic_fetch_add(&cache_record(segment, actor)->moves, 1, __ATOMIC_SEQ_CST);
}

/* The loaded or previous magazine's index, CACHE_NONE if there is none. */
static inline uint32_t cache_magazine_in(const struct segment *segment, const uint32_t *noted)
{
    uint32_t index = shm_load_acquire(noted);

    return index && index <= segment->geometry.magazines ? index - 1 : CACHE_NONE;
}

static inline uint32_t cache_loaded(const struct segment *segment, const struct actor *actor)
{
    return cache_magazine_in(segment, &cache_record(segment, actor)->loaded);
}

static inline uint32_t cache_previous(const struct segment *segment, const struct actor *actor)
{
    return cache_magazine_in(segment, &cache_record(segment, actor)->previous);
}

/* The loaded one is absent or cannot serve: has the two change places if the previous one can,
 * which is that it has `least` entries, 1 or more, or room for so many.  Returns the magazine that
 * is loaded then; CACHE_NONE: nothing has changed.
 * Needs no more than a gate that was entered and not marked then, so that what is noted is the
 * cache's: the fast path comes here as it is (client/thread.h). */
enum cache_want { CACHE_ENTRIES, CACHE_ROOM };
uint32_t cache_turn(struct segment *segment, struct shm_cache *record, enum cache_want want,
                    uint32_t least);

/* Makes `magazine`, whose word (the actor's) is `word`, the loaded one; the one
 * loaded before becomes the previous one if there was none.  Returns what was displaced
 * (CACHE_NONE: nothing) with its word: the caller gives it to a depot. */
uint32_t cache_load(struct segment *segment, const struct actor *actor, uint32_t magazine,
                    uint64_t word, uint64_t *displaced_word);

/* As cache_load(), but the one loaded before always becomes the previous, and
 * the previous is displaced. */
uint32_t cache_rotate(struct segment *segment, const struct actor *actor, uint32_t magazine,
                      uint64_t word, uint64_t *displaced_word);

/* For thieves: the words noted for the two magazines. */
struct cache_notes {
    uint32_t magazine[2]; /* CACHE_NONE: none */
    uint64_t word[2];
};
void cache_read_notes(const struct segment *segment, uint32_t cache, struct cache_notes *notes);

#endif
