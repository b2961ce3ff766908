/* SPDX-License-Identifier: MIT
 *
 * supply: see supply.h.
 *
 * Fresh slots: the word is claimed by CAS first, then the bump index, a hint,
 * raised.  Died between: the slot is the dead session's and swept; the next one
 * finds the word taken and goes on.  So all words below the hint were claimed.
 * Further ones go into the loaded magazine as in a free, from the claimer's hands.
 *
 * Returned slots: bitmap.h.
 */
#include "supply.h"

#include "bitmap.h"
#include "depot.h"
#include "magazine.h"
#include "revoke.h"
#include "seal.h"
#include "slot.h"
#include "tally.h"
#include "wait.h"

#include <time.h>

#define PAUSE_FIRST_US 20
#define PAUSE_LAST_US 2000
#define ROUND_PATIENCE_US 5000 /* for a depot's lock, in one round */
#define BRIEF_PATIENCE_US 100  /* before anybody's cache is revoked */

enum outcome {
    FOUND,
    NOTHING,   /* nothing there */
    CONTENDED, /* a depot that may have some is locked */
    LOST       /* a depot's lock is damaged */
};

static bool has_cache(const struct actor *actor)
{
    return actor->cache != CACHE_NONE;
}

static uint32_t next_depot(const struct segment *segment, uint32_t d)
{
    return d + 1 < segment->geometry.depots ? d + 1 : 0;
}

/* Right after the slot that is to be handed out was taken from elsewhere than the cache. */
static void count_past_cache(struct segment *segment, const struct actor *actor)
{
    tally_alloc(segment, actor);
    tally_exchange(segment, actor);
}

/* As magazine_pop(), of a magazine that was not the cache's. */
static bool pop_past_cache(struct segment *segment, const struct actor *actor, uint32_t magazine,
                           uint64_t *index)
{
    if (!magazine_pop(segment, magazine, actor->session, index))
        return false;
    count_past_cache(segment, actor);
    return true;
}

/* -------------------------------------------------- within one's own cache */

/* Pops from the loaded magazine, or the previous one. */
static bool pop_cached(struct segment *segment, const struct actor *actor, uint64_t *index)
{
    uint32_t loaded;
    bool popped;

    cache_enter(segment, actor);
    loaded = cache_loaded(segment, actor);
    popped = loaded != CACHE_NONE && magazine_pop(segment, loaded, actor->session, index);
    if (!popped) {
        loaded = cache_turn(segment, cache_record(segment, actor), CACHE_ENTRIES, 1);
        popped = loaded != CACHE_NONE && magazine_pop(segment, loaded, actor->session, index);
    }
    if (popped)
        tally_alloc(segment, actor);
    cache_leave(segment, actor);
    return popped;
}

/* Loads a magazine never used, where none is loaded.  CACHE_NONE: there is none. */
static uint32_t load_fresh(struct segment *segment, const struct actor *actor)
{
    uint32_t magazine;
    uint64_t word;

    if (!magazine_fresh(segment, actor->session, &magazine, &word))
        return CACHE_NONE;
    cache_load(segment, actor, magazine, word, &word);
    return magazine;
}

static bool push_cached(struct segment *segment, const struct actor *actor, uint64_t index,
                        uint64_t word)
{
    uint32_t loaded;

    cache_enter(segment, actor);
    loaded = cache_loaded(segment, actor);
    if (loaded == CACHE_NONE || magazine_count(segment, loaded) == segment->geometry.magazine_size)
        loaded = cache_turn(segment, cache_record(segment, actor), CACHE_ROOM, 1);
    if (loaded == CACHE_NONE && cache_loaded(segment, actor) == CACHE_NONE)
        loaded = load_fresh(segment, actor);
    if (loaded != CACHE_NONE)
        magazine_push(segment, loaded, index, word, false);
    cache_leave(segment, actor);
    return loaded != CACHE_NONE;
}

/* ---------------------------------------------------------------- depots */

/* Places a magazine of the actor's into its cache, depot `d` being locked: what it displaces
 * goes there. */
static void place_locked(struct segment *segment, const struct actor *actor, uint32_t d,
                         uint32_t magazine, uint64_t word)
{
    uint64_t displaced_word;
    uint32_t displaced = cache_load(segment, actor, magazine, word, &displaced_word);

    if (displaced != CACHE_NONE)
        depot_give_locked(segment, d, displaced, displaced_word);
}

/* Takes one slot from a locked depot: into the cache comes a whole magazine; an
 * actor without a cache owns the magazine while it holds the lock. */
static bool take_locked(struct segment *segment, const struct actor *actor, uint32_t d,
                        uint64_t *index)
{
    uint32_t magazine;
    bool popped = false;
    uint64_t word;

    if (!has_cache(actor)) {
        while (!popped && depot_take_stock_locked(segment, d, actor->session, &magazine, &word)) {
            popped = pop_past_cache(segment, actor, magazine, index);
            depot_give_locked(segment, d, magazine, word);
        }
        return popped;
    }
    if (!depot_has_stock(segment, d))
        return false; /* and no move, that would put thieves off */
    cache_enter(segment, actor);
    cache_moves(segment, actor);
    while (!popped && depot_take_stock_locked(segment, d, actor->session, &magazine, &word)) {
        place_locked(segment, actor, d, magazine, word);
        popped = pop_past_cache(segment, actor, magazine, index);
    }
    cache_leave(segment, actor);
    return popped;
}

/* Looks through the depots, the actor's first.  Without `deadline` only at those
 * that seem to have stock, and waits for none; with it at all, waiting. */
static enum outcome take_from_depots(struct segment *segment, const struct actor *actor,
                                     const struct timespec *deadline, uint64_t *index)
{
    enum outcome outcome = NOTHING;
    uint32_t turn, d = actor->depot;

    for (turn = 0; turn < segment->geometry.depots; turn++, d = next_depot(segment, d)) {
        bool popped;

        if (!deadline && !depot_has_stock(segment, d))
            continue;
        switch (depot_lock(segment, d, deadline)) {
        case LOCK_TAKEN:
        case LOCK_DIED:
            popped = take_locked(segment, actor, d, index);
            depot_unlock(segment, d);
            if (popped)
                return FOUND;
            break;
        case LOCK_BUSY:
            outcome = CONTENDED;
            break;
        case LOCK_LOST:
            if (outcome == NOTHING)
                outcome = LOST;
            break;
        }
    }
    return outcome;
}

/* ------------------------------------------- never used and returned slots */

/* Claims the next slot never used. */
static bool claim_fresh(struct segment *segment, uint32_t me, uint64_t *next, uint64_t *index)
{
    uint64_t capacity = segment_capacity(segment), at;

    for (at = *next; at < capacity; at++)
        if (slot_claim_fresh(segment, at, me)) {
            *index = at;
            *next = at + 1;
            return true;
        }
    *next = capacity;
    return false;
}

/* Takes one slot for the caller and, given a cache, as many more as the loaded
 * magazine has room for, by `claim`. */
static bool claim_many(struct segment *segment, const struct actor *actor, uint64_t *next,
                       bool (*claim)(struct segment *, uint32_t, uint64_t *, uint64_t *),
                       uint64_t *index)
{
    uint32_t loaded;
    uint64_t more;

    if (!claim(segment, actor->session, next, index))
        return false;
    count_past_cache(segment, actor);
    if (!has_cache(actor))
        return true;
    cache_enter(segment, actor);
    cache_moves(segment, actor);
    loaded = cache_loaded(segment, actor);
    if (loaded == CACHE_NONE)
        loaded = load_fresh(segment, actor);
    while (loaded != CACHE_NONE &&
           magazine_count(segment, loaded) < segment->geometry.magazine_size &&
           claim(segment, actor->session, next, &more))
        magazine_push(segment, loaded, more, shm_load(&segment->words[more]), true);
    cache_leave(segment, actor);
    return true;
}

static bool take_fresh(struct segment *segment, const struct actor *actor, uint64_t *index)
{
    uint64_t *bump = &segment->header->bump;
    uint64_t hint = shm_load(bump), next = hint;
    bool taken;

    if (hint >= segment_capacity(segment))
        return false;
    taken = claim_many(segment, actor, &next, claim_fresh, index);
    while (hint < next && !shm_cas(bump, &hint, next))
        ;
    return taken;
}

static bool claim_returned(struct segment *segment, uint32_t me, uint64_t *turn, uint64_t *index)
{
    *index = bitmap_take(segment, me, *turn);
    return *index != BITMAP_NONE;
}

static bool take_returned(struct segment *segment, const struct actor *actor, uint64_t *index)
{
    uint64_t turn = actor->turn;

    return claim_many(segment, actor, &turn, claim_returned, index);
}

/* In a pool without magazines: the slot words themselves, at most a few hundred.  A slot that is
 * withdrawn, below the capacity, may be given back. */
static int take_by_looking(struct segment *segment, const struct actor *actor, uint64_t *index)
{
    uint64_t at, capacity = segment_capacity(segment);
    bool withdrawn = false;

    for (at = 0; at < capacity; at++) {
        if (slot_claim_returned(segment, at, actor->session) ||
            slot_claim_fresh(segment, at, actor->session)) {
            count_past_cache(segment, actor);
            bitmap_clear(segment, at);
            *index = at;
            return 0;
        }
        withdrawn |= slot_owner_of(shm_load_ordered(&segment->words[at])) == SLOT_WITHDRAWN;
    }
    return withdrawn ? FASTALLOC_E_STALLED : FASTALLOC_E_EXHAUSTED;
}

/* --------------------------------------------------------- other caches */

/* Locks whichever depot can be had, the actor's first. */
static bool lock_some(struct segment *segment, const struct actor *actor, uint32_t *d)
{
    uint32_t turn;

    for (turn = 0; turn < segment->geometry.depots; turn++) {
        *d = (actor->depot + turn) % segment->geometry.depots;
        if (depot_lock(segment, *d, NULL) == LOCK_TAKEN)
            return true;
    }
    return false;
}

/* One round of revocation, its marks being set and the ordinary sources looked at. */
static enum revoke_result steal(struct segment *segment, const struct actor *actor,
                                const struct revocation *revocation, uint64_t *index)
{
    enum revoke_result result;
    uint32_t magazine, d;
    uint64_t word;

    if (!lock_some(segment, actor, &d))
        return REVOKE_BUSY;
    if (has_cache(actor))
        cache_enter(segment, actor);
    result = revoke_take(segment, actor, revocation, &magazine, &word);
    if (result == REVOKE_TOOK) {
        if (!pop_past_cache(segment, actor, magazine, index))
            result = REVOKE_AGAIN;
        if (has_cache(actor))
            place_locked(segment, actor, d, magazine, word);
        else
            depot_give_locked(segment, d, magazine, word);
    }
    if (has_cache(actor))
        cache_leave(segment, actor);
    depot_unlock(segment, d);
    return result;
}

/* ---------------------------------------------------------------- both */

static void pause_for(unsigned *us)
{
    struct timespec pause = {0, (long)*us * 1000};

    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    if (*us < PAUSE_LAST_US)
        *us *= 2;
}

/* Whoever is wanted by a thief gives what it has cached to the depot. */
static void yield_to_thief(struct segment *segment, const struct actor *actor)
{
    if (has_cache(actor) && cache_revoked(segment, actor))
        cache_yield(segment, actor);
}

/* A look at the ordinary sources but the actor's cache. */
static enum outcome take_beyond(struct segment *segment, const struct actor *actor,
                                const struct timespec *deadline, uint64_t *index)
{
    enum outcome depots;

    /* Without a cache a lock costs more than the bitmap. */
    if (!has_cache(actor) && take_returned(segment, actor, index))
        return FOUND;
    depots = take_from_depots(segment, actor, deadline, index);
    if (depots == FOUND || take_fresh(segment, actor, index) ||
        take_returned(segment, actor, index))
        return FOUND;
    return depots;
}

/* As take_beyond(), waiting for none but where depots that have some are all locked: their holders
 * are mostly done sooner than a revocation, which would empty everybody's caches into them. */
static enum outcome take_beyond_briefly(struct segment *segment, const struct actor *actor,
                                        uint64_t *index)
{
    enum outcome outcome = take_beyond(segment, actor, NULL, index);
    struct timespec deadline;

    if (outcome != CONTENDED)
        return outcome;
    deadline = lock_deadline(BRIEF_PATIENCE_US);
    return take_from_depots(segment, actor, &deadline, index);
}

/* A look at all ordinary sources. */
static enum outcome take_ordinary(struct segment *segment, const struct actor *actor,
                                  const struct timespec *deadline, uint64_t *index)
{
    if (has_cache(actor) && pop_cached(segment, actor, index))
        return FOUND;
    return take_beyond(segment, actor, deadline, index);
}

/* What a round of revocation that took nothing says, after a look at the
 * ordinary sources that ended in `ordinary`. */
static int verdict(enum revoke_result result, enum outcome ordinary)
{
    if (result != REVOKE_NONE || ordinary == CONTENDED)
        return FASTALLOC_E_STALLED;
    return ordinary == LOST ? FASTALLOC_E_POISONED : FASTALLOC_E_EXHAUSTED;
}

/* Nothing in the ordinary sources at first sight: finds a slot, or proof that
 * there is none, or by the deadline that the way to some is barred. */
static int insist(struct segment *segment, const struct actor *actor, uint64_t patience_us,
                  uint64_t *index)
{
    struct timespec deadline =
        lock_deadline((long)(patience_us < SUPPLY_PATIENCE_US ? patience_us : SUPPLY_PATIENCE_US));
    struct revocation revocation = {.notes = NULL};
    enum revoke_result result = REVOKE_AGAIN;
    unsigned pause = PAUSE_FIRST_US;
    int error;

    if (segment->geometry.caches == 0)
        return take_by_looking(segment, actor, index);
    do {
        struct timespec round = lock_deadline(ROUND_PATIENCE_US);
        enum outcome ordinary;

        error = FASTALLOC_E_STALLED;
        if (result == REVOKE_AGAIN && !revoke_begin(segment, actor, &revocation))
            break;
        ordinary = take_ordinary(segment, actor, &round, index);
        if (ordinary != FOUND)
            result = steal(segment, actor, &revocation, index);
        if (ordinary == FOUND || result == REVOKE_TOOK) {
            error = 0;
            break;
        }
        error = verdict(result, ordinary);
        if (error == FASTALLOC_E_STALLED && result != REVOKE_AGAIN)
            pause_for(&pause);
    } while (error == FASTALLOC_E_STALLED && !lock_passed(&deadline));
    revoke_end(&revocation);
    return error;
}

/* The slot is taken, and seen by all who look after the seal: now the seal.  False: it is closed,
 * and the slot went back. */
static bool pass_seal(struct segment *segment, const struct actor *actor, uint64_t found,
                      uint64_t *index, uint64_t *word)
{
    uint64_t live = shm_load(&segment->words[found]);

    if (seal_is_closed(segment)) {
        supply_free(segment, actor, found, live);
        return false;
    }
    *index = found;
    *word = live;
    return true;
}

int supply_alloc(struct segment *segment, const struct actor *actor, uint64_t patience_us,
                 uint64_t *index, uint64_t *word)
{
    uint64_t found;
    int error;

    yield_to_thief(segment, actor);
    if (has_cache(actor) && pop_cached(segment, actor, &found)) {
        error = 0;
    } else {
        if (take_beyond_briefly(segment, actor, &found) == FOUND)
            error = 0;
        else
            error = insist(segment, actor, patience_us, &found);
        tally_peak(segment, error != 0);
    }
    if (!error && !pass_seal(segment, actor, found, index, word))
        error = FASTALLOC_E_SEALED;
    return error;
}

bool supply_exchange(struct segment *segment, const struct actor *actor, uint64_t *index,
                     uint64_t *word)
{
    uint64_t found;

    if (take_from_depots(segment, actor, NULL, &found) != FOUND)
        return false;
    tally_peak(segment, false);
    return pass_seal(segment, actor, found, index, word);
}

/* A magazine with room comes into the cache, depot `d` being locked, and takes the slot; a full
 * one may go. */
static bool push_locked(struct segment *segment, const struct actor *actor, uint32_t d,
                        uint64_t index, uint64_t word)
{
    uint64_t magazine_word, displaced_word;
    uint32_t magazine, displaced;
    bool room;

    cache_enter(segment, actor);
    cache_moves(segment, actor);
    room = depot_take_room_locked(segment, d, actor->session, &magazine, &magazine_word) ||
           magazine_fresh(segment, actor->session, &magazine, &magazine_word);
    if (room) {
        displaced = cache_rotate(segment, actor, magazine, magazine_word, &displaced_word);
        if (displaced != CACHE_NONE)
            depot_give_locked(segment, d, displaced, displaced_word);
        magazine_push(segment, magazine, index, word, false);
    }
    cache_leave(segment, actor);
    return room;
}

/* As push_cached(), given another magazine by whichever depot can be had. */
static bool push_with_depots(struct segment *segment, const struct actor *actor, uint64_t index,
                             uint64_t word)
{
    uint32_t d = actor->depot, turn;
    bool pushed = false;

    for (turn = 0; turn < segment->geometry.depots && !pushed; turn++) {
        if (depot_lock(segment, d, NULL) == LOCK_TAKEN) {
            pushed = push_locked(segment, actor, d, index, word);
            depot_unlock(segment, d);
        }
        d = next_depot(segment, d);
    }
    return pushed;
}

/* Into the cache, if there is one and can be room in it. */
static bool keep_cached(struct segment *segment, const struct actor *actor, uint64_t index,
                        uint64_t word)
{
    if (!has_cache(actor) || wait_anybody(segment))
        return false;
    return push_cached(segment, actor, index, word) ||
           push_with_depots(segment, actor, index, word);
}

void supply_free(struct segment *segment, const struct actor *actor, uint64_t index, uint64_t word)
{
    yield_to_thief(segment, actor);
    if (keep_cached(segment, actor, index, word) ||
        bitmap_return(segment, actor->session, index, word))
        tally_free(segment, actor);
    /* Again, after the slot is there: who began to wait meanwhile may have looked too early. */
    wait_wake(segment);
}
