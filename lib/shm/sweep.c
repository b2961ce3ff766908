/* SPDX-License-Identifier: MIT
 *
 * sweep: see sweep.h.
 *
 * Order, and why.  The sweeper may die after any line; the next one begins at
 * the top.
 *
 *   1 state = DYING            no gifts from here on (session.c)
 *   2 caches: moves, epoch + 1 what thieves noted of them is void
 *   3 magazines                each that names the session: count what is left
 *                              below the top entries whose slot has an owner (a death
 *                              in alloc or free), CAS to depot|n.  A thief may win
 *                              the CAS: then it is his, whole.  Nothing is
 *                              written into a magazine before it changes hands.
 *   4 slots                    each the session owns: CAS to g+1|RETURNED, set its
 *                              bit; each RETURNED one met: set its bit, as its
 *                              returner may have died before it could.  Slots of
 *                              retired sessions too: a gift that came too late.
 *   5 dirty                    the depot's lists are rebuilt by its next locker
 *   6 cache records            reset, then freed
 *   7 intents, state = RETIRED the number is free once no gift is under way
 *
 * A suspect in 3.  A session that died in a free, after the count and before the
 * word, leaves its slot live and on top.  Another process that had the handle may adopt
 * that slot and free it, into a magazine of its own, before the sweep comes: then
 * the top entry looks idle and is not this magazine's.  So where a cache of the
 * session died busy, a top entry that is idle is looked for in all other magazines,
 * and dropped if it lies there.  The search is exact while the slot's word stays the
 * same: an idle slot stays in its magazine until its word changes.  And a word that
 * changes meanwhile tells that the slot is somebody else's.
 *
 * 3 before 4: a slot taken back first could be allocated and freed into another
 * magazine while its old entry stands above the trimmed count's slots: twice.
 * 5 after 3: a locker that rebuilt in between would miss what came later.
 */
#include "sweep.h"

#include "bitmap.h"
#include "magazine.h"
#include "session.h"
#include "slot.h"

static void void_notes(struct segment *segment, uint32_t session)
{
    uint32_t c;

    for (c = 0; c < segment->geometry.caches; c++) {
        struct shm_cache *record = &segment->caches[c];

        if (cache_session_of(shm_load_ordered(&record->holder)) != session)
            continue;
        __atomic_fetch_add(&record->moves, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&record->epoch, 1, __ATOMIC_SEQ_CST);
    }
}

static bool died_busy(const struct segment *segment, uint32_t session)
{
    uint32_t c;

    for (c = 0; c < segment->geometry.caches; c++)
        if (cache_session_of(shm_load_ordered(&segment->caches[c].holder)) == session &&
            shm_load_ordered(&segment->caches[c].gate.busy))
            return true;
    return false;
}

/* Whether a magazine other than `except` holds the slot. */
static bool is_in_another(const struct segment *segment, uint32_t index, uint32_t except)
{
    uint32_t magazine, i;

    for (magazine = 0; magazine < segment->geometry.magazines; magazine++) {
        uint64_t word = shm_load_ordered(&segment->magazine_words[magazine]);
        const uint32_t *words = magazine_at(segment, magazine);
        uint32_t extent = slot_owner_is_session(segment, magazine_owner(word))
                              ? magazine_count(segment, magazine)
                              : magazine_n(word);

        if (magazine == except || word == 0)
            continue;
        for (i = 1; i <= extent && i <= segment->geometry.magazine_size; i++)
            if (shm_load(&words[i]) == index)
                return true;
    }
    return false;
}

/* The count without a top entry that is idle, but elsewhere. */
static uint32_t without_suspect(const struct segment *segment, uint32_t magazine, uint32_t n)
{
    uint32_t index = n ? shm_load(&magazine_at(segment, magazine)[n]) : 0;
    uint64_t word;

    if (n == 0 || index >= segment->geometry.max_capacity)
        return n;
    word = shm_load_ordered(&segment->words[index]);
    /* Were it this magazine's, nobody else could change its word. */
    if (slot_owner_of(word) == SLOT_IDLE && !is_in_another(segment, index, magazine) &&
        shm_load_ordered(&segment->words[index]) == word)
        return n;
    return magazine_trimmed(segment, magazine, n - 1);
}

static uint64_t hand_over_magazines(struct segment *segment, uint32_t session, uint32_t depot)
{
    bool busy = died_busy(segment, session);
    uint64_t handed = 0;
    uint32_t magazine;

    for (magazine = 0; magazine < segment->geometry.magazines; magazine++) {
        uint64_t word = shm_load_ordered(&segment->magazine_words[magazine]);
        uint32_t n;

        if (magazine_owner(word) != session)
            continue;
        n = magazine_trimmed(segment, magazine, magazine_count(segment, magazine));
        if (busy)
            n = without_suspect(segment, magazine, n);
        handed += magazine_pass(segment, magazine, &word, MAGAZINE_DEPOT_BASE + depot, n);
    }
    return handed;
}

/* Whether the sweep of `session` is to take a slot of `owner`. */
static bool is_orphan(const struct segment *segment, uint32_t owner, uint32_t session)
{
    enum session_state state;

    if (owner == session)
        return true;
    if (!slot_owner_is_session(segment, owner))
        return false;
    state = session_state(segment, owner);
    return state == SESSION_RETIRED || state == SESSION_FREE;
}

static uint64_t take_back_slots(struct segment *segment, uint32_t session)
{
    uint64_t index, taken = 0;

    for (index = 0; index < segment->geometry.max_capacity; index++) {
        uint64_t word = shm_load_ordered(&segment->words[index]);
        uint32_t owner = slot_owner_of(word);

        if (owner == SLOT_IDLE)
            continue;
        if (owner == SLOT_RETURNED) {
            bitmap_set(segment, index);
        } else if (is_orphan(segment, owner, session) && slot_return(segment, index, word)) {
            bitmap_set(segment, index);
            taken++;
        }
    }
    return taken;
}

static uint64_t free_caches(struct segment *segment, uint32_t session)
{
    uint64_t freed = 0;
    uint32_t c;

    for (c = 0; c < segment->geometry.caches; c++) {
        struct shm_cache *record = &segment->caches[c];

        if (cache_session_of(shm_load_ordered(&record->holder)) != session)
            continue;
        shm_store(&record->loaded, 0u);
        shm_store(&record->previous, 0u);
        shm_store(&record->loaded_word, UINT64_C(0));
        shm_store(&record->previous_word, UINT64_C(0));
        shm_store(&record->gate.revoked, 0u);
        shm_store_ordered(&record->gate.busy, 0u);
        shm_store_ordered(&record->holder, UINT64_C(0));
        freed++;
    }
    return freed;
}

void sweep_session(struct segment *segment, uint32_t session, struct sweep_result *result)
{
    uint32_t depot = session % segment->geometry.depots, i;
    struct sweep_result done;

    session_begin_death(segment, session);
    void_notes(segment, session);
    done.magazines = hand_over_magazines(segment, session, depot);
    done.slots = take_back_slots(segment, session);
    shm_store_ordered(&segment->depots[depot].dirty, 1u);
    done.caches = free_caches(segment, session);
    for (i = 0; i < SESSION_INTENTS; i++)
        shm_store_ordered(&segment->sessions[session].intents[i], 0u);
    shm_store_ordered(&segment->sessions[session].state, (uint32_t)SESSION_RETIRED);
    if (result)
        *result = done;
}
