/* SPDX-License-Identifier: MIT
 *
 * magazine: see magazine.h.
 */
#include "magazine.h"

uint32_t magazine_trimmed(const struct segment *segment, uint32_t magazine, uint32_t count)
{
    const uint32_t *words = magazine_at(segment, magazine);
    uint64_t reserved = segment_reserved(segment);

    while (count > 0) {
        uint32_t index = shm_load(&words[count]);

        if (index < reserved && slot_owner_of(shm_load(&segment->words[index])) == SLOT_IDLE)
            break;
        count--;
    }
    return count;
}

bool magazine_pop(struct segment *segment, uint32_t magazine, uint32_t me, uint64_t *index)
{
    uint32_t *words = magazine_at(segment, magazine);
    uint32_t count = magazine_count(segment, magazine);
    uint64_t reserved = segment_reserved(segment);

    for (; count > 0; count--) {
        uint32_t top = shm_load(&words[count]);
        uint64_t word;

        if (top >= reserved)
            continue;
        word = shm_load(&segment->words[top]);
        if (slot_owner_of(word) != SLOT_IDLE || !word)
            continue;
        slot_take(segment, top, word, me);
        shm_step();
        shm_store(&words[0], count - 1);
        *index = top;
        return true;
    }
    shm_store(&words[0], 0u);
    return false;
}

void magazine_push(struct segment *segment, uint32_t magazine, uint64_t index, uint64_t word,
                   bool fresh)
{
    uint32_t *words = magazine_at(segment, magazine);
    uint32_t count = magazine_count(segment, magazine);

    shm_store(&words[count + 1], (uint32_t)index);
    shm_step();
    shm_store(&words[0], count + 1);
    shm_step();
    if (fresh)
        slot_put_unused(segment, index, word);
    else
        slot_put(segment, index, word);
}

bool magazine_fresh(struct segment *segment, uint32_t me, uint32_t *magazine, uint64_t *word)
{
    uint64_t *bump = &segment->header->magazine_bump;
    uint32_t magazines = geometry_magazines(&segment->geometry, segment_reserved(segment));
    uint64_t at;

    /* As with fresh slots: the word is claimed first, then the hint raised, so
     * everything below the hint is in use, and a death in between costs the next a look. */
    for (at = shm_load(bump); at < magazines; at++) {
        uint64_t seen = 0, hint;

        if (!shm_cas(&segment->magazine_words[at], &seen, magazine_next_word(0, me, 0)))
            continue;
        *word = magazine_next_word(0, me, 0);
        *magazine = (uint32_t)at;
        hint = shm_load(bump);
        while (hint < at + 1 && !shm_cas(bump, &hint, at + 1))
            ;
        shm_store(magazine_at(segment, *magazine), 0u);
        return true;
    }
    return false;
}
