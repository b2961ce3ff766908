/* SPDX-License-Identifier: MIT
 *
 * revoke: see revoke.h.
 */
#include "revoke.h"

#include "magazine.h"

#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

bool revoke_register(void)
{
    return membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
}

bool revoke_barrier(void)
{
    return membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}

bool revoke_begin(struct segment *segment, const struct actor *actor, struct revocation *revocation)
{
    uint32_t c, s;

    if (!revocation->notes)
        revocation->notes = calloc(segment->geometry.caches, sizeof *revocation->notes);
    if (!revocation->works)
        revocation->works = calloc(segment->geometry.sessions + 1, sizeof *revocation->works);
    if (!revocation->notes || !revocation->works)
        return false;
    revocation->swept = shm_load_ordered(&segment->header->swept);
    for (s = 1; s <= segment->geometry.sessions; s++)
        revocation->works[s] = shm_load_ordered(&segment->sessions[s].ended);
    for (c = 0; c < segment->geometry.caches; c++) {
        struct shm_cache *record = &segment->caches[c];

        revocation->notes[c].epoch = shm_load_ordered(&record->epoch);
        revocation->notes[c].moves = shm_load_ordered(&record->moves);
        if (c != actor->cache && shm_load(&record->holder))
            shm_store_ordered(&record->gate.room, 0u);
    }
    return revoke_barrier();
}

void revoke_end(struct revocation *revocation)
{
    free(revocation->notes);
    free(revocation->works);
    revocation->notes = NULL;
    revocation->works = NULL;
}

/* Step 4 for one cache that is not busy.  A note that does not hold while the epoch
 * stands is a thief's leavings: that magazine is elsewhere. */
static enum revoke_result take_from(struct segment *segment, const struct actor *actor, uint32_t c,
                                    const struct revoke_note *note, uint32_t *magazine,
                                    uint64_t *word)
{
    enum revoke_result result = REVOKE_NONE;
    struct cache_notes held;
    int i;

    cache_read_notes(segment, c, &held);
    for (i = 0; i < 2; i++) {
        if (held.magazine[i] == CACHE_NONE ||
            (shm_load_ordered(&segment->magazine_words[held.magazine[i]]) != held.word[i] &&
             shm_load_ordered(&segment->caches[c].epoch) == note->epoch) ||
            !magazine_count(segment, held.magazine[i]))
            continue;
        result = REVOKE_AGAIN;
        /* The epoch after the notes: an owner who came back changes it before it
         * notes new words, so these are from before, and his CAS or ours wins. */
        if (shm_load_ordered(&segment->caches[c].epoch) != note->epoch)
            break;
        *word = held.word[i];
        __atomic_fetch_add(&segment->caches[c].moves, 1, __ATOMIC_SEQ_CST);
        if (magazine_pass(segment, held.magazine[i], word, actor->session, 0)) {
            *magazine = held.magazine[i];
            return REVOKE_TOOK;
        }
    }
    return result;
}

/* How many magazines a cache has.  A note that no longer holds, since a thief has been, is none. */
static uint32_t held_by(const struct segment *segment, uint32_t c)
{
    struct cache_notes notes;
    uint32_t held = 0;
    int i;

    cache_read_notes(segment, c, &notes);
    for (i = 0; i < 2; i++)
        held += notes.magazine[i] != CACHE_NONE &&
                shm_load_ordered(&segment->magazine_words[notes.magazine[i]]) == notes.word[i];
    return held;
}

/* Whether some session owns a magazine that is in no cache: in transit, or left
 * there by a death. */
static bool some_in_transit(const struct segment *segment)
{
    uint32_t magazine, c, owned = 0, held = 0;

    for (magazine = 0; magazine < segment->geometry.magazines; magazine++)
        owned += slot_owner_is_session(
            segment, magazine_owner(shm_load_ordered(&segment->magazine_words[magazine])));
    for (c = 0; c < segment->geometry.caches; c++)
        held += held_by(segment, c);
    return owned > held;
}

/* What a pair of counts, begun and ended, says of works on the bitmap since `noted` of them
 * were ended: none; some, all over; or some under way, or left so by a death. */
static enum revoke_result look_at_works(const uint32_t *begun, const uint32_t *ended,
                                        uint32_t noted)
{
    uint32_t now = shm_load_ordered(begun);

    if (now == noted)
        return REVOKE_NONE;
    return shm_load_ordered(ended) == now ? REVOKE_AGAIN : REVOKE_BUSY;
}

/* Whether a session is in its sweep, or was when its sweeper died. */
static bool some_dying(const struct segment *segment)
{
    uint32_t s;

    for (s = 1; s <= segment->geometry.sessions; s++)
        if (shm_load_ordered(&segment->sessions[s].state) == SESSION_DYING)
            return true;
    return false;
}

/* Whether anything has happened since step 1 that may have hidden a slot.  `busy` is what
 * has been found so far. */
static enum revoke_result judge(const struct segment *segment, const struct actor *actor,
                                const struct revocation *revocation, bool busy)
{
    const struct shm_header *header = segment->header;
    enum revoke_result role = look_at_works(&header->sweeps, &header->swept, revocation->swept);
    bool again = role == REVOKE_AGAIN;
    uint32_t c, s;

    busy |= role == REVOKE_BUSY;
    for (s = 1; s <= segment->geometry.sessions; s++) {
        const struct shm_session *record = &segment->sessions[s];
        enum revoke_result works =
            look_at_works(&record->begun, &record->ended, revocation->works[s]);

        again |= works == REVOKE_AGAIN;
        busy |= works == REVOKE_BUSY;
    }
    for (c = 0; c < segment->geometry.caches; c++)
        again |= c != actor->cache &&
                 shm_load_ordered(&segment->caches[c].moves) != revocation->notes[c].moves;
    if (again)
        return REVOKE_AGAIN;
    return busy ? REVOKE_BUSY : REVOKE_NONE;
}

enum revoke_result revoke_take(struct segment *segment, const struct actor *actor,
                               const struct revocation *revocation, uint32_t *magazine,
                               uint64_t *word)
{
    bool busy = false, again = false;
    uint32_t c;

    for (c = 0; c < segment->geometry.caches; c++) {
        if (c == actor->cache)
            continue;
        if (shm_load_ordered(&segment->caches[c].gate.busy)) {
            busy = true;
            continue;
        }
        switch (take_from(segment, actor, c, &revocation->notes[c], magazine, word)) {
        case REVOKE_TOOK:
            return REVOKE_TOOK;
        case REVOKE_AGAIN:
            again = true;
            break;
        case REVOKE_NONE:
        case REVOKE_BUSY:
            break;
        }
    }
    if (again)
        return REVOKE_AGAIN;
    /* What is under way first, what has changed after it: else one could hide in the
     * time between the two looks. */
    busy |= some_in_transit(segment) || some_dying(segment);
    return judge(segment, actor, revocation, busy);
}
