/* SPDX-License-Identifier: MIT
 *
 * sweep: see sweep.h.
 *
 * Order, and why.  The sweeper may die after any line; the next one begins at
 * the top.
 *
 *   1 state = DYING, begun     no gifts from here on (session.c); thieves are told
 *   2 caches: moves, epoch + 1 what thieves noted of them is void
 *   3 magazines                each that names the session: count what is left
 *                              below the top entries whose slot has an owner (a death
 *                              in alloc or free), CAS to depot|n.  A thief may win
 *                              the CAS: then it is his, whole.  Nothing is
 *                              written into a magazine before it changes hands.
 *   4 slots                    each the session owns: CAS to g+1|RETURNED, set its
 *                              bit; or, by the pool's policy, a note, then CAS to
 *                              g|QUARANTINED or to the heir, who is LIVE: his own sweep
 *                              would need the role that we hold.  Each RETURNED one met: set
 *                              its bit, as its returner may have died before it could.
 *                              Slots of retired sessions too: a gift that came too late.
 *                              Its holds on shared ones (share.h).  WITHDRAWN ones
 *                              below the capacity: RETURNED; who shrank has died (growth.h).
 *   5 dirty                    the depot's lists are rebuilt by its next locker
 *   6 cache records            reset, then freed
 *   7 intents, works ended
 *   8 waiters and heir woken   also if the dead one was just about to, and as long as a
 *                              sweeper who dies here is followed by another
 *   9 ended, state = RETIRED   the number is free once no gift is under way.  Last: a session
 *                              that is DYING is swept again
 *
 * A suspect in 3.  A session that died in a free, after the count and before the
 * word, leaves its slot live and on top.  Another process that had the handle may adopt
 * that slot and free it, into a magazine of its own, before the sweep comes: then
 * the top entry looks idle and is not this magazine's.  So where a cache of the
 * session died busy, the top entry of its loaded magazine, if idle, is looked for in all
 * other magazines, and dropped if it lies there.  The search is exact while the slot's word
 * stays the same: an idle slot stays in its magazine until its word changes.  And a word that
 * changes meanwhile tells that the slot is somebody else's.
 *
 * 3 before 4: a slot taken back first could be allocated and freed into another
 * magazine while its old entry stands above the trimmed count's slots: twice.
 * 5 after 3: a locker that rebuilt in between would miss what came later.
 */
#include "sweep.h"

#include "bitmap.h"
#include "magazine.h"
#include "notes.h"
#include "seal.h"
#include "session.h"
#include "share.h"
#include "slot.h"
#include "tally.h"
#include "wait.h"

#include <stdlib.h>

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

#define NO_SLOT UINT32_MAX

/* A magazine whose top entry may be another magazine's: see above. */
struct suspect {
    uint32_t magazine, n; /* n entries were left by trimming, once and for all: what had
                             an owner then may be idle, elsewhere, a moment later */
    uint32_t slot;        /* the top one of these; NO_SLOT: none is left */
    uint64_t word;        /* of that slot, as first seen */
    bool elsewhere;
};

static int by_slot(const void *left, const void *right)
{
    const struct suspect *a = left, *b = right;

    return a->slot < b->slot ? -1 : a->slot > b->slot;
}

/* The magazine a busy cache had loaded: at most one a cache, since a free goes into
 * the loaded magazine alone. */
static bool find_suspect(const struct segment *segment, uint32_t session, uint32_t c,
                         struct suspect *suspect)
{
    const struct shm_cache *record = &segment->caches[c];
    uint32_t loaded = shm_load_ordered(&record->loaded);

    if (cache_session_of(shm_load_ordered(&record->holder)) != session ||
        !shm_load_ordered(&record->gate.busy) || loaded == 0 ||
        loaded > segment->geometry.magazines ||
        magazine_owner(shm_load_ordered(&segment->magazine_words[loaded - 1])) != session)
        return false;
    suspect->magazine = loaded - 1;
    suspect->n = magazine_trimmed(segment, loaded - 1, magazine_count(segment, loaded - 1));
    suspect->slot = suspect->n ? shm_load(&magazine_at(segment, loaded - 1)[suspect->n]) : NO_SLOT;
    suspect->elsewhere = suspect->slot >= segment_reserved(segment);
    if (suspect->elsewhere)
        suspect->slot = NO_SLOT;
    else
        suspect->word = shm_load_ordered(&segment->words[suspect->slot]);
    return true;
}

/* Looks the entries of one magazine up among the suspects. */
static void look_up_entries(const struct segment *segment, uint32_t magazine,
                            struct suspect *suspects, size_t count)
{
    uint64_t word = shm_load_ordered(&segment->magazine_words[magazine]);
    const uint32_t *words = magazine_at(segment, magazine);
    uint32_t i, extent = slot_owner_is_session(segment, magazine_owner(word))
                             ? shm_load_ordered(&words[0])
                             : magazine_n(word);

    for (i = 1; i <= extent && i <= segment->geometry.magazine_size; i++) {
        struct suspect key = {.slot = shm_load_ordered(&words[i])}, *found;

        found = bsearch(&key, suspects, count, sizeof key, by_slot);
        if (found && found->magazine != magazine)
            found->elsewhere = true;
    }
}

/* Finds the suspects of a session, and which of them lie elsewhere: one pass over the
 * magazines, however many there are.  `*suspects` is the caller's to free.  Without
 * memory there are none; then a slot may lie in two magazines, until the entry that is
 * met while the slot has an owner is dropped. */
static size_t find_suspects(const struct segment *segment, uint32_t session,
                            struct suspect **suspects)
{
    struct suspect *list = calloc(segment->geometry.caches + 1, sizeof *list);
    uint32_t c, magazine;
    size_t count = 0, i;

    *suspects = list;
    for (c = 0; list && c < segment->geometry.caches; c++)
        count += find_suspect(segment, session, c, &list[count]);
    if (!count)
        return 0;
    qsort(list, count, sizeof *list, by_slot);
    for (magazine = 0; magazine < segment->geometry.magazines; magazine++)
        look_up_entries(segment, magazine, list, count);
    /* The second look comes after all that was read above, each in order. */
    for (i = 0; i < count; i++)
        list[i].elsewhere |= list[i].slot != NO_SLOT &&
                             (slot_owner_of(list[i].word) != SLOT_IDLE ||
                              shm_load_ordered(&segment->words[list[i].slot]) != list[i].word);
    return count;
}

/* The count of a magazine to be handed over: trimmed, and without its suspect if
 * that lies elsewhere. */
static uint32_t count_left(const struct segment *segment, uint32_t magazine,
                           const struct suspect *suspects, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (suspects[i].magazine == magazine) {
            uint32_t n = suspects[i].n;

            return suspects[i].elsewhere && n ? magazine_trimmed(segment, magazine, n - 1) : n;
        }
    return magazine_trimmed(segment, magazine, magazine_count(segment, magazine));
}

static uint64_t hand_over_magazines(struct segment *segment, uint32_t session, uint32_t depot)
{
    struct suspect *suspects;
    size_t count = find_suspects(segment, session, &suspects);
    uint64_t handed = 0;
    uint32_t magazine;

    for (magazine = 0; magazine < segment->geometry.magazines; magazine++) {
        uint64_t word = shm_load_ordered(&segment->magazine_words[magazine]);
        uint32_t n;

        if (magazine_owner(word) != session)
            continue;
        n = count_left(segment, magazine, suspects, count);
        handed += magazine_pass(segment, magazine, &word, MAGAZINE_DEPOT_BASE + depot, n);
    }
    free(suspects);
    return handed;
}

/* Whether no session of that number is left: its slots came to it by a gift, too late. */
static bool is_orphan(const struct segment *segment, uint32_t owner)
{
    enum session_state state;

    if (!slot_owner_is_session(segment, owner))
        return false;
    state = session_state(segment, owner);
    return state == SESSION_RETIRED || state == SESSION_FREE;
}

struct sweeping {
    struct segment *segment;
    uint32_t session, heir; /* heir 0: none who could inherit */
    struct sweep_policy policy;
    uint32_t pid; /* of the dead, for notes */
    struct sweep_result result;
};

static void reclaim(struct sweeping *sweeping, uint64_t index, uint64_t word)
{
    if (!slot_return(sweeping->segment, index, word))
        return;
    tally_reclaim(sweeping->segment);
    bitmap_set(sweeping->segment, index);
    sweeping->result.slots++;
}

/* A slot that the dead session owned, by the pool's policy. */
static void dispose(struct sweeping *sweeping, uint64_t index, uint64_t word)
{
    uint32_t on_death = sweeping->policy.on_death, until = NOTES_NEVER, next;

    if (!sweeping->segment->notes || on_death == FASTALLOC_RECLAIM ||
        (on_death == FASTALLOC_HEIR && !sweeping->heir)) {
        reclaim(sweeping, index, word);
        return;
    }
    if (on_death == FASTALLOC_QUARANTINE && sweeping->policy.quarantine_ms)
        until = notes_time(wait_now() + sweeping->policy.quarantine_ms * UINT64_C(1000000));
    next = on_death == FASTALLOC_HEIR ? sweeping->heir : SLOT_QUARANTINED;
    sweeping->result.kept += notes_mark(sweeping->segment, index, word, next, sweeping->pid, until);
}

static void take_back(struct sweeping *sweeping, uint64_t index, uint64_t word)
{
    struct segment *segment = sweeping->segment;
    uint32_t owner = slot_owner_of(word);

    if (owner == SLOT_IDLE)
        return;
    if (owner == SLOT_RETURNED ||
        (owner == SLOT_WITHDRAWN && slot_mark(segment, index, word, SLOT_RETURNED)))
        bitmap_set(segment, index);
    else if (owner == sweeping->session)
        dispose(sweeping, index, word);
    else if (is_orphan(segment, owner))
        reclaim(sweeping, index, word);
    else if (owner == SLOT_ANYONE || owner == SLOT_QUARANTINED)
        notes_remind(segment, index); /* who left it may have died before he could */
}

static void take_back_slots(struct sweeping *sweeping)
{
    struct segment *segment = sweeping->segment;
    uint64_t index, capacity = segment_capacity(segment);
    /* A bit of the dead may stand in any row there ever was. */
    uint64_t end = segment->holders ? segment_reserved(segment) : capacity;

    for (index = 0; index < end; index++) {
        uint64_t word = shm_load_ordered(&segment->words[index]);

        if (segment->holders && share_sweep(segment, index, sweeping->session, &word))
            continue;
        if (index < capacity)
            take_back(sweeping, index, word);
    }
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
        shm_store(&record->gate.room, 0u);
        shm_store_ordered(&record->gate.busy, 0u);
        tally_end_cache(segment, session, c);
        shm_store_ordered(&record->holder, UINT64_C(0));
        freed++;
    }
    return freed;
}

/* The session that inherits, or 0. */
static uint32_t find_heir(const struct segment *segment, uint32_t session)
{
    uint32_t heir = shm_load_ordered(&segment->header->heir);

    return heir != session && session_state(segment, heir) == SESSION_LIVE ? heir : 0;
}

/* Clears what there is of the session but its state: who gets the number next inherits
 * nothing by it. */
static void clear_record(struct segment *segment, uint32_t session)
{
    struct shm_session *record = &segment->sessions[session];
    uint32_t heir = session, i;

    shm_cas(&segment->header->heir, &heir, 0u);

    for (i = 0; i < SESSION_INTENTS; i++)
        shm_store_ordered(&record->intents[i], 0u);
    shm_store_ordered(&record->ended, shm_load(&record->begun));
}

static void tell_heir(struct segment *segment, uint32_t heir)
{
    uint32_t *inherited = &segment->sessions[heir].inherited;

    __atomic_fetch_add(inherited, 1, __ATOMIC_SEQ_CST);
    wait_wake_all(inherited);
}

void sweep_session(struct segment *segment, uint32_t session, const struct sweep_policy *policy,
                   struct sweep_result *result)
{
    uint32_t depot = session % segment->geometry.depots;
    struct sweeping sweeping = {.segment = segment, .session = session};

    if (policy)
        sweeping.policy = *policy;
    sweeping.heir = find_heir(segment, session);
    sweeping.pid = shm_load(&segment->sessions[session].pid);
    session_begin_death(segment, session);
    bitmap_begin_role(segment);
    void_notes(segment, session);
    sweeping.result.magazines = hand_over_magazines(segment, session, depot);
    take_back_slots(&sweeping);
    shm_store_ordered(&segment->depots[depot].dirty, 1u);
    sweeping.result.caches = free_caches(segment, session);
    clear_record(segment, session);
    seal_spread(segment); /* it may have died sealing */
    wait_wake(segment);
    if (sweeping.heir && sweeping.policy.on_death == FASTALLOC_HEIR)
        tell_heir(segment, sweeping.heir);
    bitmap_end_role(segment);
    tally_death(segment);
    shm_store_ordered(&segment->sessions[session].state, (uint32_t)SESSION_RETIRED);
    if (result)
        *result = sweeping.result;
}
