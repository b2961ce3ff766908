/* SPDX-License-Identifier: MIT
 *
 * depot: see depot.h.
 */
#include "depot.h"

#include "magazine.h"

static uint32_t owner_of_depot(uint32_t d)
{
    return MAGAZINE_DEPOT_BASE + d;
}

static uint32_t *list_for(struct segment *segment, struct shm_depot *depot, uint32_t n)
{
    if (n == 0)
        return &depot->empty;
    return n >= segment->geometry.magazine_size ? &depot->full : &depot->partial;
}

static void link_locked(struct segment *segment, struct shm_depot *depot, uint32_t magazine,
                        uint32_t n)
{
    uint32_t *head = list_for(segment, depot, n);

    shm_store(&segment->magazine_links[magazine], shm_load(head));
    shm_step();
    shm_store(head, magazine + 1);
    shm_store(&depot->stock, shm_load(&depot->stock) + n);
}

static void rebuild_locked(struct segment *segment, uint32_t d)
{
    struct shm_depot *depot = &segment->depots[d];
    uint32_t magazine;

    shm_store_ordered(&depot->dirty, 0u);
    shm_store(&depot->full, 0u);
    shm_store(&depot->partial, 0u);
    shm_store(&depot->empty, 0u);
    shm_store(&depot->stock, UINT64_C(0));
    for (magazine = 0; magazine < segment->geometry.magazines; magazine++) {
        uint64_t word = shm_load_ordered(&segment->magazine_words[magazine]);

        if (magazine_owner(word) == owner_of_depot(d))
            link_locked(segment, depot, magazine, magazine_n(word));
    }
    shm_store(&depot->rebuilds, shm_load(&depot->rebuilds) + 1);
}

enum lock_result depot_lock(struct segment *segment, uint32_t d, const struct timespec *deadline)
{
    struct shm_depot *depot = &segment->depots[d];
    enum lock_result result = lock_try(depot);

    if (result == LOCK_BUSY && deadline)
        result = lock_wait(depot, deadline);
    switch (result) {
    case LOCK_TAKEN:
        if (shm_load_ordered(&depot->dirty))
            rebuild_locked(segment, d);
        break;
    case LOCK_DIED:
        rebuild_locked(segment, d);
        shm_step();
        lock_mend(depot);
        break;
    case LOCK_BUSY:
    case LOCK_LOST:
        return result;
    }
    return LOCK_TAKEN;
}

void depot_unlock(struct segment *segment, uint32_t d)
{
    lock_release(&segment->depots[d]);
}

bool depot_has_stock(const struct segment *segment, uint32_t d)
{
    const struct shm_depot *depot = &segment->depots[d];

    return shm_load(&depot->partial) || shm_load(&depot->full) || shm_load_ordered(&depot->dirty);
}

uint64_t depot_stock(const struct segment *segment, uint32_t d)
{
    uint64_t stock = shm_load(&segment->depots[d].stock), most = segment->geometry.max_capacity;

    return stock < most ? stock : most;
}

bool depot_has_room(const struct segment *segment, uint32_t d)
{
    const struct shm_depot *depot = &segment->depots[d];

    return shm_load(&depot->empty) || shm_load(&depot->partial) || shm_load_ordered(&depot->dirty);
}

/* Whether a list's head names a magazine of the depot; *word is its word. */
static bool is_sound(const struct segment *segment, uint32_t d, uint32_t first, uint64_t *word)
{
    if (first == 0 || first > segment->geometry.magazines)
        return false;
    *word = shm_load(&segment->magazine_words[first - 1]);
    return magazine_owner(*word) == owner_of_depot(d);
}

/* Takes the first magazine of a list.  A head that does not name a magazine of
 * this depot means that the lists are wrong: they are rebuilt once. */
static bool take_first_locked(struct segment *segment, uint32_t d, uint32_t *head, uint32_t me,
                              uint32_t *magazine, uint64_t *word)
{
    struct shm_depot *depot = &segment->depots[d];
    uint32_t first = shm_load(head);
    uint64_t seen;

    if (!first)
        return false;
    if (!is_sound(segment, d, first, &seen)) {
        rebuild_locked(segment, d);
        first = shm_load(head);
        if (!is_sound(segment, d, first, &seen))
            return false;
    }
    shm_store(head, shm_load(&segment->magazine_links[first - 1]));
    shm_store(&depot->stock, shm_load(&depot->stock) - magazine_n(seen));
    shm_step();
    shm_store(magazine_at(segment, first - 1), magazine_n(seen));
    shm_step();
    if (!magazine_pass(segment, first - 1, &seen, me, 0))
        return false;
    *magazine = first - 1;
    *word = seen;
    return true;
}

bool depot_take_stock_locked(struct segment *segment, uint32_t d, uint32_t me, uint32_t *magazine,
                             uint64_t *word)
{
    struct shm_depot *depot = &segment->depots[d];

    return take_first_locked(segment, d, &depot->partial, me, magazine, word) ||
           take_first_locked(segment, d, &depot->full, me, magazine, word);
}

bool depot_take_room_locked(struct segment *segment, uint32_t d, uint32_t me, uint32_t *magazine,
                            uint64_t *word)
{
    struct shm_depot *depot = &segment->depots[d];

    return take_first_locked(segment, d, &depot->empty, me, magazine, word) ||
           take_first_locked(segment, d, &depot->partial, me, magazine, word);
}

bool depot_pick_locked(struct segment *segment, uint32_t d, uint32_t magazine, uint32_t me,
                       uint64_t *word)
{
    uint64_t seen = shm_load_ordered(&segment->magazine_words[magazine]);

    if (magazine_owner(seen) != owner_of_depot(d))
        return false;
    shm_store_ordered(&segment->depots[d].dirty, 1u);
    shm_store(magazine_at(segment, magazine), magazine_n(seen));
    shm_step();
    if (!magazine_pass(segment, magazine, &seen, me, 0))
        return false;
    *word = seen;
    return true;
}

void depot_put_back_locked(struct segment *segment, uint32_t d, uint32_t magazine, uint64_t word)
{
    magazine_pass(segment, magazine, &word, owner_of_depot(d), magazine_count(segment, magazine));
}

void depot_give_locked(struct segment *segment, uint32_t d, uint32_t magazine, uint64_t word)
{
    uint32_t n = magazine_count(segment, magazine);

    if (!magazine_pass(segment, magazine, &word, owner_of_depot(d), n))
        return;
    shm_step();
    link_locked(segment, &segment->depots[d], magazine, n);
}
