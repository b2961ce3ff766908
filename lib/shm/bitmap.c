/* SPDX-License-Identifier: MIT
 *
 * bitmap: see bitmap.h.
 */
#include "bitmap.h"

#include "slot.h"

/* The word of `level` that stands for slot `index`. */
static uint64_t *word_at(const struct segment *segment, uint32_t level, uint64_t index)
{
    uint64_t at = index >> (6 * (level + 1));
    uint32_t below;

    for (below = 0; below < level; below++)
        at += segment->geometry.level_words[below];
    return &segment->bitmap[at];
}

static uint64_t bit_at(uint32_t level, uint64_t index)
{
    return UINT64_C(1) << (index >> (6 * level) & 63);
}

/* Sets the bits of `index` from `level` upwards. */
static void set_from(struct segment *segment, uint32_t level, uint64_t index)
{
    for (; level < segment->geometry.levels; level++) {
        uint64_t *word = word_at(segment, level, index);
        uint64_t bit = bit_at(level, index);

        if (!(shm_load_ordered(word) & bit))
            __atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
    }
}

/* Clears the parents' bits of a word that is empty, from `level` upwards. */
static void clear_from(struct segment *segment, uint32_t level, uint64_t index)
{
    for (; level < segment->geometry.levels; level++) {
        uint64_t *parent = word_at(segment, level, index);
        uint64_t bit = bit_at(level, index);
        uint64_t before = __atomic_fetch_and(parent, ~bit, __ATOMIC_SEQ_CST);

        if (shm_load_ordered(word_at(segment, level - 1, index))) {
            set_from(segment, level, index);
            return;
        }
        if (before & ~bit)
            return;
    }
}

void bitmap_set(struct segment *segment, uint64_t index)
{
    /* The leaf by an unconditional RMW: the write that the reads above pair with. */
    __atomic_fetch_or(word_at(segment, 0, index), bit_at(0, index), __ATOMIC_SEQ_CST);
    set_from(segment, 1, index);
}

void bitmap_clear(struct segment *segment, uint64_t index)
{
    uint64_t bit = bit_at(0, index);
    uint64_t before = __atomic_fetch_and(word_at(segment, 0, index), ~bit, __ATOMIC_SEQ_CST);

    if (slot_owner_of(shm_load_ordered(&segment->words[index])) == SLOT_RETURNED)
        bitmap_set(segment, index);
    else if (!(before & ~bit))
        clear_from(segment, 1, index);
}

bool bitmap_has(const struct segment *segment, uint64_t index)
{
    uint32_t level;

    for (level = 0; level < segment->geometry.levels; level++)
        if (!(shm_load_ordered(word_at(segment, level, index)) & bit_at(level, index)))
            return false;
    return true;
}

/* A set bit of `word`, the first from `turn` on. */
static unsigned pick(uint64_t word, uint64_t turn)
{
    unsigned from = turn & 63;
    uint64_t turned = word >> from | word << ((64 - from) & 63);

    return ((unsigned)__builtin_ctzll(turned) + from) & 63;
}

/* Whether a bit of `level` that stands for `index` has something below it: a word,
 * or at the leaves a slot.  Others are never set but by damage. */
static bool has_below(const struct segment *segment, uint32_t level, uint64_t index)
{
    uint64_t below =
        level ? segment->geometry.level_words[level - 1] : segment->geometry.max_capacity;

    return index >> (6 * level) < below;
}

uint64_t bitmap_find(struct segment *segment, uint64_t turn)
{
    uint32_t top = segment->geometry.levels - 1;

    for (;;) {
        uint64_t index = 0;
        uint32_t level = top;

        for (;;) {
            uint64_t *word = word_at(segment, level, index);
            uint64_t bits = shm_load_ordered(word);

            if (!bits)
                break;
            index |= (uint64_t)pick(bits, turn >> (6 * level)) << (6 * level);
            if (!has_below(segment, level, index)) {
                __atomic_fetch_and(word, ~bit_at(level, index), __ATOMIC_SEQ_CST);
                index = 0;
                level = top;
                continue;
            }
            if (level-- == 0)
                return index;
        }
        if (level == top)
            return BITMAP_NONE;
        /* A parent's bit over an empty word: somebody is between two steps, or
         * died there.  Clear it, as they would have, and look again. */
        clear_from(segment, level + 1, index);
    }
}

bool bitmap_is_empty(const struct segment *segment)
{
    return shm_load_ordered(word_at(segment, segment->geometry.levels - 1, 0)) == 0;
}

/* Counting the bits of a word is a call, where the processor is any. */
static uint64_t count_bits(uint64_t word)
{
    return word ? (uint64_t)__builtin_popcountll(word) : 0;
}

uint64_t bitmap_count(const struct segment *segment)
{
    uint64_t leaves = segment->geometry.level_words[0], group, leaf, count = 0;
    const uint64_t *parents = &segment->bitmap[leaves];

    if (segment->geometry.levels == 1)
        return count_bits(shm_load(&segment->bitmap[0]));
    if (bitmap_is_empty(segment))
        return 0;
    for (group = 0; group < segment->geometry.level_words[1]; group++) {
        uint64_t bits = shm_load(&parents[group]);

        for (; bits; bits &= bits - 1) {
            leaf = group * 64 + (uint64_t)__builtin_ctzll(bits);
            if (leaf < leaves)
                count += count_bits(shm_load(&segment->bitmap[leaf]));
        }
    }
    return count;
}

void bitmap_begin(struct segment *segment, uint32_t session)
{
    if (segment->geometry.caches) /* else there are no thieves */
        __atomic_fetch_add(&segment->sessions[session].begun, 1, __ATOMIC_SEQ_CST);
}

void bitmap_end(struct segment *segment, uint32_t session)
{
    if (segment->geometry.caches)
        __atomic_fetch_add(&segment->sessions[session].ended, 1, __ATOMIC_SEQ_CST);
}

void bitmap_begin_role(struct segment *segment)
{
    __atomic_fetch_add(&segment->header->sweeps, 1, __ATOMIC_SEQ_CST);
}

void bitmap_end_role(struct segment *segment)
{
    shm_store_ordered(&segment->header->swept, shm_load_ordered(&segment->header->sweeps));
}

bool bitmap_return(struct segment *segment, uint32_t me, uint64_t index, uint64_t word)
{
    bool returned;

    bitmap_begin(segment, me);
    returned = slot_return(segment, index, word);
    if (returned)
        bitmap_set(segment, index);
    bitmap_end(segment, me);
    return returned;
}

uint64_t bitmap_take(struct segment *segment, uint32_t me, uint64_t turn)
{
    uint64_t index;
    bool taken;

    if (bitmap_is_empty(segment))
        return BITMAP_NONE; /* and no announcement, that would put thieves off */
    bitmap_begin(segment, me);
    do {
        index = bitmap_find(segment, turn);
        if (index == BITMAP_NONE)
            break;
        taken = slot_claim_returned(segment, index, me);
        bitmap_clear(segment, index);
    } while (!taken);
    bitmap_end(segment, me);
    return index;
}
