/* SPDX-License-Identifier: MIT
 *
 * cache: see cache.h.
 */
#include "cache.h"

#include "bitmap.h"
#include "depot.h"
#include "magazine.h"
#include "tally.h"

#define PATIENCE_US 100000 /* for the depot's lock, when giving everything back */

/* ------------------------------------------------------------- the gate */

/* Whether the magazine noted is still the cache's; bumps its epoch if so. */
static bool keep(struct segment *segment, uint32_t *magazine, uint64_t *noted)
{
    uint32_t index = shm_load(magazine);
    uint64_t word = shm_load(noted);

    if (!index || index > segment->geometry.magazines)
        return false;
    if (!magazine_pass(segment, index - 1, &word, magazine_owner(word), 0))
        return false;
    shm_store(noted, word);
    return true;
}

/* Re-entry after a thief's mark, and the first entry of all.  The mark before the epoch: a
 * thief who marks in between has noted the old epoch, and his mark stays.  The epoch before
 * the magazines: a thief who has checked it and not yet taken the magazine loses his CAS, or
 * wins it before we look. */
void cache_readmit(struct segment *segment, struct shm_cache *record)
{
    shm_store_ordered(&record->gate.room, (uint8_t)segment->geometry.magazine_size);
    __atomic_fetch_add(&record->epoch, 1, __ATOMIC_SEQ_CST);
    if (!keep(segment, &record->loaded, &record->loaded_word))
        shm_store(&record->loaded, 0u);
    if (!keep(segment, &record->previous, &record->previous_word))
        shm_store(&record->previous, 0u);
}

/* -------------------------------------------------------- the magazines */

static void set_loaded(struct shm_cache *record, uint32_t magazine, uint64_t word)
{
    shm_store(&record->loaded_word, word);
    shm_store(&record->loaded, magazine == CACHE_NONE ? 0 : magazine + 1);
}

static void set_previous(struct shm_cache *record, uint32_t magazine, uint64_t word)
{
    shm_store(&record->previous_word, word);
    shm_store(&record->previous, magazine == CACHE_NONE ? 0 : magazine + 1);
}

uint32_t cache_turn(struct segment *segment, struct shm_cache *record, enum cache_want want,
                    uint32_t least)
{
    uint32_t loaded = shm_load(&record->loaded);
    uint32_t previous = cache_magazine_in(segment, &record->previous), count;
    uint64_t loaded_word = shm_load(&record->loaded_word);
    uint64_t previous_word = shm_load(&record->previous_word);

    if (previous == CACHE_NONE)
        return CACHE_NONE;
    count = magazine_count(segment, previous);
    if ((want == CACHE_ROOM ? segment->geometry.magazine_size - count : count) < least)
        return CACHE_NONE;
    /* A thief who reads one and then the other could miss what changes places. */
    __atomic_fetch_add(&record->moves, 1, __ATOMIC_SEQ_CST);
    shm_store(&record->loaded_word, previous_word);
    shm_store(&record->loaded, previous + 1);
    shm_store(&record->previous_word, loaded_word);
    shm_store(&record->previous, loaded);
    shm_step(); /* a sweep looks in the loaded one for a free that is half done */
    return previous;
}

uint32_t cache_load(struct segment *segment, const struct actor *actor, uint32_t magazine,
                    uint64_t word, uint64_t *displaced_word)
{
    struct shm_cache *record = cache_record(segment, actor);
    uint32_t displaced = cache_loaded(segment, actor);

    *displaced_word = shm_load(&record->loaded_word);
    if (displaced != CACHE_NONE && cache_previous(segment, actor) == CACHE_NONE) {
        set_previous(record, displaced, *displaced_word);
        displaced = CACHE_NONE;
    }
    set_loaded(record, magazine, word);
    return displaced;
}

uint32_t cache_rotate(struct segment *segment, const struct actor *actor, uint32_t magazine,
                      uint64_t word, uint64_t *displaced_word)
{
    struct shm_cache *record = cache_record(segment, actor);
    uint32_t displaced = cache_previous(segment, actor);

    *displaced_word = shm_load(&record->previous_word);
    set_previous(record, cache_loaded(segment, actor), shm_load(&record->loaded_word));
    set_loaded(record, magazine, word);
    return displaced;
}

void cache_read_notes(const struct segment *segment, uint32_t cache, struct cache_notes *notes)
{
    const struct shm_cache *record = &segment->caches[cache];

    notes->magazine[0] = cache_magazine_in(segment, &record->loaded);
    notes->word[0] = shm_load_acquire(&record->loaded_word);
    notes->magazine[1] = cache_magazine_in(segment, &record->previous);
    notes->word[1] = shm_load_acquire(&record->previous_word);
}

/* ------------------------------------------------------ coming and going */

/* Before the claim: whoever looks below the hint misses no cache. */
static void raise_bump(struct segment *segment, uint32_t above)
{
    uint64_t *bump = &segment->header->cache_bump, hint = shm_load(bump);

    while (hint < above && !shm_cas(bump, &hint, (uint64_t)above))
        ;
}

uint32_t cache_claim(struct segment *segment, uint32_t session, uint32_t thread)
{
    uint64_t mine = (uint64_t)session << 32 | thread, orphan = (uint64_t)session << 32;
    int pass;
    uint32_t c;

    /* First one that a thread of this session could not give back. */
    for (pass = 0; pass < 2; pass++)
        for (c = 0; c < segment->geometry.caches; c++) {
            struct shm_cache *record = &segment->caches[c];
            uint64_t seen = pass == 0 ? orphan : 0;

            if (shm_load(&record->holder) != seen)
                continue;
            raise_bump(segment, c + 1);
            if (!shm_cas(&record->holder, &seen, mine))
                continue;
            /* A thief who noted the record while it was free did not mark it. */
            __atomic_fetch_add(&record->epoch, 1, __ATOMIC_SEQ_CST);
            return c;
        }
    return CACHE_NONE;
}

/* Moves entries of the loaded magazine into a partial one of the depot, so that
 * partial magazines do not pile up.  Each slot goes through the actor's hands,
 * as in an alloc and a free, and changes its generation, so that a slot whose word
 * stays the same stays in its magazine (sweep.c counts on it). */
static void merge_locked(struct segment *segment, const struct actor *actor, uint32_t d,
                         uint32_t magazine)
{
    uint32_t room;
    uint64_t word, index;

    if (!magazine_count(segment, magazine) ||
        magazine_count(segment, magazine) == segment->geometry.magazine_size ||
        !shm_load(&segment->depots[d].partial) ||
        !depot_take_stock_locked(segment, d, actor->session, &room, &word))
        return;
    while (magazine_count(segment, room) < segment->geometry.magazine_size &&
           magazine_pop(segment, magazine, actor->session, &index))
        magazine_push(segment, room, index, shm_load(&segment->words[index]), false);
    depot_give_locked(segment, d, room, word);
}

/* Empties a magazine through the return bitmap. */
static void scatter(struct segment *segment, const struct actor *actor, uint32_t magazine)
{
    uint64_t index;

    while (magazine_pop(segment, magazine, actor->session, &index))
        bitmap_return(segment, actor->session, index, shm_load(&segment->words[index]));
}

/* Gives both magazines to the depot, which is locked, and forgets them. */
static void give_magazines_locked(struct segment *segment, const struct actor *actor)
{
    struct shm_cache *record = cache_record(segment, actor);
    struct cache_notes notes;
    int i;

    cache_enter(segment, actor);
    cache_moves(segment, actor);
    cache_read_notes(segment, actor->cache, &notes);
    for (i = 0; i < 2; i++)
        if (notes.magazine[i] != CACHE_NONE) {
            merge_locked(segment, actor, actor->depot, notes.magazine[i]);
            depot_give_locked(segment, actor->depot, notes.magazine[i], notes.word[i]);
        }
    set_loaded(record, CACHE_NONE, 0);
    set_previous(record, CACHE_NONE, 0);
    /* Whatever a thief noted of these magazines is void. */
    __atomic_fetch_add(&record->epoch, 1, __ATOMIC_SEQ_CST);
    cache_leave(segment, actor);
}

/* Empties both magazines through the return bitmap, and keeps them. */
static void scatter_slots(struct segment *segment, const struct actor *actor)
{
    struct cache_notes notes;
    int i;

    cache_enter(segment, actor);
    cache_moves(segment, actor);
    cache_read_notes(segment, actor->cache, &notes);
    for (i = 0; i < 2; i++)
        if (notes.magazine[i] != CACHE_NONE)
            scatter(segment, actor, notes.magazine[i]);
    cache_leave(segment, actor);
}

void cache_yield(struct segment *segment, const struct actor *actor)
{
    if (depot_lock(segment, actor->depot, NULL) != LOCK_TAKEN)
        return;
    give_magazines_locked(segment, actor);
    depot_unlock(segment, actor->depot);
}

void cache_flush(struct segment *segment, const struct actor *actor)
{
    struct timespec deadline = lock_deadline(PATIENCE_US);

    if (depot_lock(segment, actor->depot, &deadline) == LOCK_TAKEN) {
        give_magazines_locked(segment, actor);
        depot_unlock(segment, actor->depot);
    } else {
        scatter_slots(segment, actor);
    }
}

void cache_release(struct segment *segment, const struct actor *actor)
{
    struct shm_cache *record = cache_record(segment, actor);
    uint64_t holder;

    cache_flush(segment, actor);
    tally_end_cache(segment, actor->session, actor->cache);
    holder =
        cache_loaded(segment, actor) == CACHE_NONE && cache_previous(segment, actor) == CACHE_NONE
            ? 0
            : (uint64_t)actor->session << 32;
    shm_store_release(&record->holder, holder);
}
