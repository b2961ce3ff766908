/* SPDX-License-Identifier: MIT
 *
 * growth: see growth.h.
 *
 * Withdrawing a slot that lies idle in a magazine: the magazine is taken as from a depot or as by
 * a thief, its slots go through the caller's hands one by one (word g|me, count - 1, as in
 * an allocation), those to be withdrawn go on to g+1|WITHDRAWN, the others back in.  At each point
 * a death leaves them to the caller's sweep.
 */
#include "growth.h"

#include "bitmap.h"
#include "depot.h"
#include "lock.h"
#include "magazine.h"
#include "revoke.h"
#include "slot.h"
#include "stages.h"
#include "tally.h"
#include "wait.h"

#define PATIENCE_US 100000u /* for a depot's lock */
#define ENTRIES_MAX 128u    /* of a magazine, at most */

/* ------------------------------------------------------- the role's holder */

/* Turns WITHDRAWN slots of [from, to) into returned ones.  Who did this before may have died
 * between a word and its bit: so each returned one gets its bit. */
static void readmit(struct segment *segment, uint64_t from, uint64_t to)
{
    uint64_t index;

    for (index = from; index < to; index++) {
        uint64_t word = shm_load_ordered(&segment->words[index]);

        if (slot_owner_of(word) == SLOT_RETURNED ||
            (slot_owner_of(word) == SLOT_WITHDRAWN &&
             slot_mark(segment, index, word, SLOT_RETURNED)))
            bitmap_set(segment, index);
    }
}

void growth_publish(struct segment *segment, uint64_t capacity)
{
    struct shm_header *header = segment->header;

    bitmap_begin_role(segment);
    if (capacity > segment_reserved(segment))
        shm_store_ordered(&header->reserved, capacity);
    if (capacity > segment_capacity(segment)) {
        stages_renew(segment, segment_capacity(segment), capacity);
        shm_store_ordered(&header->published, capacity);
        shm_store(&header->growths, shm_load(&header->growths) + 1);
        shm_store_ordered(&header->growth_asked, UINT64_C(0));
    }
    readmit(segment, 0, segment_capacity(segment));
    bitmap_end_role(segment);
    wait_wake(segment);
}

uint64_t growth_retreat(struct segment *segment, uint64_t target)
{
    uint64_t capacity = segment_capacity(segment), at = capacity;

    bitmap_begin_role(segment);
    while (at > target && at > 1 &&
           slot_owner_of(shm_load_ordered(&segment->words[at - 1])) == SLOT_WITHDRAWN)
        at--;
    if (at < capacity) {
        shm_store_ordered(&segment->header->published, at);
        shm_store_ordered(&segment->header->growth_asked, UINT64_C(0));
    }
    readmit(segment, target < at ? target : at, at);
    bitmap_end_role(segment);
    wait_wake(segment);
    return at;
}

/* ----------------------------------------------------------- withdrawing */

static bool has_entry_from(const struct segment *segment, uint32_t magazine, uint32_t count,
                           uint64_t target)
{
    const uint32_t *words = magazine_at(segment, magazine);
    uint32_t i;

    for (i = 1; i <= count && i <= segment->geometry.magazine_size; i++)
        if (shm_load(&words[i]) >= target)
            return true;
    return false;
}

/* Of a magazine of the caller's.  What is kept for a while counts as allocated by `me`, without a
 * cache, and freed: if we die here, the sweep counts as much back. */
static void filter(struct segment *segment, uint32_t me, uint32_t magazine, uint64_t target)
{
    const struct actor actor = {me, CACHE_NONE, 0, 0};
    uint64_t kept[ENTRIES_MAX], index;
    uint32_t count = 0;

    while (count < ENTRIES_MAX && magazine_pop(segment, magazine, me, &index)) {
        if (index >= target) {
            slot_withdraw(segment, index, shm_load(&segment->words[index]));
        } else {
            tally_alloc(segment, &actor);
            kept[count++] = index;
        }
    }
    while (count > 0) {
        index = kept[--count];
        magazine_push(segment, magazine, index, shm_load(&segment->words[index]), false);
        tally_free(segment, &actor);
    }
}

static void withdraw_from_depot(struct segment *segment, const struct actor *actor, uint32_t d,
                                uint64_t target)
{
    struct timespec deadline = lock_deadline(PATIENCE_US);
    uint32_t magazine;

    if (depot_lock(segment, d, &deadline) != LOCK_TAKEN)
        return;
    for (magazine = 0; magazine < segment->geometry.magazines; magazine++) {
        uint64_t word = shm_load_ordered(&segment->magazine_words[magazine]);

        if (magazine_owner(word) != MAGAZINE_DEPOT_BASE + d ||
            !has_entry_from(segment, magazine, magazine_n(word), target) ||
            !depot_pick_locked(segment, d, magazine, actor->session, &word))
            continue;
        filter(segment, actor->session, magazine, target);
        depot_put_back_locked(segment, d, magazine, word);
    }
    depot_unlock(segment, d);
}

/* Takes a magazine out of another cache, and gives to the depot what is left of it. */
static enum revoke_result withdraw_from_caches(struct segment *segment, const struct actor *actor,
                                               const struct revocation *revocation, uint64_t target)
{
    struct timespec deadline = lock_deadline(PATIENCE_US);
    enum revoke_result result;
    uint32_t magazine;
    uint64_t word;

    if (depot_lock(segment, actor->depot, &deadline) != LOCK_TAKEN)
        return REVOKE_BUSY;
    if (actor->cache != CACHE_NONE)
        cache_enter(segment, actor);
    result = revoke_take(segment, actor, revocation, &magazine, &word);
    if (result == REVOKE_TOOK) {
        filter(segment, actor->session, magazine, target);
        depot_give_locked(segment, actor->depot, magazine, word);
    }
    if (actor->cache != CACHE_NONE)
        cache_leave(segment, actor);
    depot_unlock(segment, actor->depot);
    return result;
}

static void withdraw_loose(struct segment *segment, uint64_t target)
{
    uint64_t index;

    for (index = segment_capacity(segment); index-- > target;) {
        uint64_t word = shm_load_ordered(&segment->words[index]);

        if ((word == 0 || slot_owner_of(word) == SLOT_RETURNED) &&
            slot_withdraw(segment, index, word) && word != 0)
            bitmap_clear(segment, index);
    }
}

void growth_withdraw(struct segment *segment, const struct actor *actor, uint64_t target)
{
    struct revocation revocation = {.notes = NULL};
    enum revoke_result result = REVOKE_TOOK;
    uint32_t d, round;

    if (actor->cache != CACHE_NONE)
        cache_flush(segment, actor);
    bitmap_begin(segment, actor->session);
    /* First those that nobody must look for. */
    withdraw_loose(segment, target);
    /* Each cache has two magazines; who is awake may fill his again, and is let be. */
    for (round = 0; round <= 2 * segment->geometry.caches && segment->geometry.caches; round++) {
        if (!revoke_begin(segment, actor, &revocation))
            break;
        result = withdraw_from_caches(segment, actor, &revocation, target);
        if (result == REVOKE_NONE || result == REVOKE_BUSY)
            break;
    }
    revoke_end(&revocation);
    for (d = 0; d < segment->geometry.depots && segment->geometry.magazine_size; d++)
        withdraw_from_depot(segment, actor, d, target);
    withdraw_loose(segment, target);
}

void growth_end_withdrawing(struct segment *segment, const struct actor *actor)
{
    bitmap_end(segment, actor->session);
}

/* -------------------------------------------------------------- low water */

bool growth_is_due(struct segment *segment, uint64_t low_water)
{
    uint64_t capacity = segment_capacity(segment), bump = shm_load(&segment->header->bump);
    uint64_t asked = shm_load(&segment->header->growth_asked), idle;
    uint32_t d;

    if (low_water == 0 || asked == capacity || capacity >= segment->geometry.max_capacity)
        return false;
    idle = bump < capacity ? capacity - bump : 0;
    for (d = 0; d < segment->geometry.depots && idle < low_water; d++)
        idle += depot_stock(segment, d);
    if (idle < low_water)
        idle += bitmap_count(segment);
    return idle < low_water && shm_cas(&segment->header->growth_asked, &asked, capacity);
}
