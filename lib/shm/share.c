/* SPDX-License-Identifier: MIT
 *
 * share: see share.h.
 */
#include "share.h"

#include "bitmap.h"
#include "session.h"
#include "tally.h"
#include "wait.h"

/* Each round means that another process came and went meanwhile.  More than this many, and
 * somebody plays with us: the daemon must get on. */
#define ROUNDS_MAX 1000

/* ------------------------------------------------------------------- rows */

static uint64_t *row_word(const struct segment *segment, uint64_t index, uint32_t word)
{
    return &segment->holders[index * segment->geometry.row_words + word];
}

static uint64_t *word_of(const struct segment *segment, uint64_t index, uint32_t session)
{
    return row_word(segment, index, (session - 1) / 64);
}

static uint64_t bit_of(uint32_t session)
{
    return UINT64_C(1) << ((session - 1) % 64);
}

static void set_bit(struct segment *segment, uint64_t index, uint32_t session)
{
    __atomic_fetch_or(word_of(segment, index, session), bit_of(session), __ATOMIC_SEQ_CST);
}

static void clear_bit(struct segment *segment, uint64_t index, uint32_t session)
{
    __atomic_fetch_and(word_of(segment, index, session), ~bit_of(session), __ATOMIC_SEQ_CST);
}

bool share_has(const struct segment *segment, uint64_t index, uint32_t session)
{
    return shm_load_ordered(word_of(segment, index, session)) & bit_of(session);
}

bool share_is_empty(const struct segment *segment, uint64_t index)
{
    uint32_t word;

    for (word = 0; word < segment->geometry.row_words; word++)
        if (shm_load_ordered(row_word(segment, index, word)))
            return false;
    return true;
}

uint32_t share_count(const struct segment *segment, uint64_t index)
{
    uint32_t word, count = 0;

    for (word = 0; word < segment->geometry.row_words; word++)
        count += (uint32_t)__builtin_popcountll(shm_load(row_word(segment, index, word)));
    return count;
}

/* ----------------------------------------------------------------- letting go */

/* Gives up: whose bits came and went so often, he will let go of it. */
static void open_again(struct segment *segment, uint64_t index, uint32_t closing)
{
    uint64_t word = shm_load_ordered(&segment->words[index]);

    if (slot_owner_of(word) == closing)
        slot_mark(segment, index, word, SLOT_SHARED);
}

/* Steps 2 to 4 of letting go, the bit being cleared.  True: the slot is closing, by `me`, and
 * nobody holds it; *word is its word, for step 5.  False: others see to it, or it is not
 * shared.  `rounds` counts down. */
static bool close_if_last(struct segment *segment, uint64_t index, uint32_t me, int *rounds,
                          uint64_t *word)
{
    uint32_t closing = SHARE_CLOSING + me;

    while ((*rounds)-- > 0) {
        uint64_t seen = shm_load_ordered(&segment->words[index]);
        uint32_t owner = slot_owner_of(seen);

        if (owner != SLOT_SHARED && owner != closing)
            return false;
        if (share_is_empty(segment, index)) {
            *word = seen;
            if (owner == closing)
                return true;
            slot_mark(segment, index, seen, closing);
        } else {
            if (owner == SLOT_SHARED)
                return false;
            slot_mark(segment, index, seen, SLOT_SHARED);
        }
    }
    open_again(segment, index, closing);
    return false;
}

bool share_drop(struct segment *segment, uint64_t index, uint32_t me, uint64_t *word)
{
    int rounds = ROUNDS_MAX;
    uint64_t seen;

    clear_bit(segment, index, me);
    while (close_if_last(segment, index, me, &rounds, &seen))
        if (slot_renew(segment, index, seen, me, word))
            return true;
    return false;
}

bool share_sweep(struct segment *segment, uint64_t index, uint32_t session, uint64_t *word)
{
    int rounds = ROUNDS_MAX;
    uint64_t seen;

    if (share_has(segment, index, session))
        clear_bit(segment, index, session);
    while (close_if_last(segment, index, session, &rounds, &seen) &&
           !slot_mark(segment, index, seen, session))
        ;
    seen = shm_load_ordered(&segment->words[index]);
    *word = seen;
    return slot_owner_of(seen) == SLOT_SHARED || share_closer(segment, slot_owner_of(seen));
}

/* Lets go of a slot that `me` never had. */
static void let_go(struct segment *segment, uint64_t index, uint32_t me, uint64_t *fallen)
{
    const struct actor actor = {me, CACHE_NONE, 0, 0};
    uint64_t word;

    if (!share_drop(segment, index, me, &word))
        return;
    if (fallen) {
        *fallen = word;
    } else {
        if (bitmap_return(segment, me, index, word))
            tally_free(segment, &actor);
        wait_wake(segment);
    }
}

/* -------------------------------------------------------- becoming a holder */

/* What is wrong with a handle. */
static int diagnose(const struct segment *segment, fastalloc_handle handle)
{
    int error = slot_diagnose(segment, handle);

    return error == FASTALLOC_E_DOUBLE_FREE ? FASTALLOC_E_STALE : error;
}

int share_make(struct segment *segment, fastalloc_handle handle, uint32_t me, uint64_t *fallen)
{
    uint64_t index = slot_index(segment, handle);
    uint64_t generation = slot_generation_in(segment, handle);
    uint64_t mine = slot_word(segment, generation, me);

    if (index >= segment_reserved(segment))
        return FASTALLOC_E_HANDLE;
    if (shm_load_ordered(&segment->words[index]) == mine) {
        set_bit(segment, index, me);
        if (slot_mark(segment, index, mine, SLOT_SHARED))
            return 0;
        let_go(segment, index, me, fallen);
    }
    return diagnose(segment, handle);
}

static bool is_joinable(const struct segment *segment, uint64_t word, uint64_t generation)
{
    return slot_generation_of(segment, word) == generation &&
           (slot_owner_of(word) == SLOT_SHARED || share_closer(segment, slot_owner_of(word)));
}

int share_refuse(const struct segment *segment, fastalloc_handle handle)
{
    uint64_t index = slot_index(segment, handle);
    uint64_t generation = slot_generation_in(segment, handle), word;
    uint32_t owner;

    if (index >= segment_reserved(segment))
        return FASTALLOC_E_HANDLE;
    word = shm_load_ordered(&segment->words[index]);
    owner = slot_owner_of(word);
    /* What is a dying session's was perhaps shared until just now. */
    if (slot_generation_of(segment, word) == generation &&
        (session_state(segment, owner) == SESSION_LIVE || owner == SLOT_ANYONE ||
         is_joinable(segment, word, generation)))
        return FASTALLOC_E_SHARING;
    return diagnose(segment, handle);
}

int share_join(struct segment *segment, fastalloc_handle handle, uint32_t me, uint64_t *fallen)
{
    uint64_t index = slot_index(segment, handle);
    uint64_t generation = slot_generation_in(segment, handle);
    uint64_t word;

    if (index >= segment_reserved(segment))
        return FASTALLOC_E_HANDLE;
    word = shm_load_ordered(&segment->words[index]);
    if (!is_joinable(segment, word, generation))
        return share_refuse(segment, handle);
    set_bit(segment, index, me);
    do {
        word = shm_load_ordered(&segment->words[index]);
        if (word == slot_word(segment, generation, SLOT_SHARED))
            return 0;
    } while (is_joinable(segment, word, generation) &&
             !slot_mark(segment, index, word, SLOT_SHARED));
    if (is_joinable(segment, word, generation))
        return 0;
    let_go(segment, index, me, fallen);
    return FASTALLOC_E_STALE;
}
