/* SPDX-License-Identifier: MIT
 *
 * seal: see seal.h.
 */
#include "seal.h"

#include "revoke.h"
#include "slot.h"
#include "wait.h"

uint32_t seal_close(struct segment *segment)
{
    uint32_t *seals = &segment->header->seals, seen = shm_load_ordered(seals);

    while (!(seen & 1))
        if (shm_cas(seals, &seen, seen + 1))
            seen++;
    wait_wake(segment);
    return seen;
}

static void mark(struct segment *segment)
{
    uint32_t c;

    for (c = 0; c < segment->geometry.caches; c++)
        if (shm_load_ordered(&segment->caches[c].holder))
            shm_store_ordered(&segment->caches[c].gate.room, 0u);
}

bool seal_mark(struct segment *segment)
{
    mark(segment);
    return segment->geometry.caches == 0 || revoke_barrier();
}

void seal_spread(struct segment *segment)
{
    if (seal_is_closed(segment))
        mark(segment);
}

bool seal_is_quiet(const struct segment *segment, uint32_t *cache)
{
    while (*cache < segment->geometry.caches) {
        if (shm_load_ordered(&segment->caches[*cache].gate.busy))
            return false;
        ++*cache;
    }
    return true;
}

/* WITHDRAWN: above the capacity, or on its way there. */
static bool is_free(uint64_t word)
{
    uint32_t owner = slot_owner_of(word);

    return owner == SLOT_IDLE || owner == SLOT_RETURNED || owner == SLOT_WITHDRAWN;
}

bool seal_is_empty(const struct segment *segment, uint64_t *slot)
{
    uint64_t reserved = segment_reserved(segment);

    while (*slot < reserved) {
        if (!is_free(shm_load_ordered(&segment->words[*slot])))
            return false;
        ++*slot;
    }
    return true;
}

bool seal_holds(const struct segment *segment, uint32_t count)
{
    return shm_load_ordered(&segment->header->seals) == count;
}

void seal_open(struct segment *segment)
{
    uint32_t *seals = &segment->header->seals, seen = shm_load_ordered(seals);

    while (seen & 1)
        if (shm_cas(seals, &seen, seen + 1))
            return;
}
