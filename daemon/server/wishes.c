/* SPDX-License-Identifier: MIT
 *
 * wishes: see wishes.h.
 */
#include "wishes.h"

#include <fastalloc/fastalloc.h>
#include <inttypes.h>
#include <utlist.h>

/* By what the users see: the capacity itself is ahead of that for a moment, and who is told of
 * slots has to find them. */
bool wish_is_fulfilled(const struct pool *pool, const struct wish *wish)
{
    return wish->number ? pool->published >= wish->number : pool->published > wish->from;
}

uint64_t wish_target(const struct pool *pool, const struct wish *wish)
{
    if (wish->number)
        return wish->number > pool->capacity ? wish->number : pool->capacity;
    return spec_next_capacity(&pool->spec, pool->capacity, wish->increment);
}

int wish_check(const struct pool *pool, const struct wish *wish, struct reason *why)
{
    const char *name = pool->spec.name;
    uint64_t most = pool->spec.max_capacity;

    if (pool->damaged)
        return reason_set(why, FASTALLOC_E_POISONED,
                          "the shared memory of pool \"%s\" is damaged: destroy the pool", name);
    if (pool->destroyed)
        return reason_set(why, FASTALLOC_E_DESTROYED, "pool \"%s\" is destroyed: it grows no more",
                          name);
    if (wish_is_fulfilled(pool, wish))
        return 0;
    if (wish->number > most)
        return reason_set(why, FASTALLOC_E_MAX_CAPACITY,
                          "pool \"%s\" cannot grow to %" PRIu64 " slots: it was created with room "
                          "for %" PRIu64 ", and has %" PRIu64,
                          name, wish->number, most, pool->capacity);
    /* Whether it can be shows when what is under way is done. */
    if (pool->published != pool->capacity)
        return 0;
    if (pool->capacity == most)
        return reason_set(why, FASTALLOC_E_MAX_CAPACITY,
                          "pool \"%s\" has its maximum of %" PRIu64
                          " slots: create it with a larger "
                          "max_capacity",
                          name, most);
    if (wish_target(pool, wish) == pool->capacity)
        return reason_set(why, FASTALLOC_E_GROWTH,
                          "pool \"%s\" of %" PRIu64 " slots does not grow by itself: say how many "
                          "it is to have, or create it with a growth strategy",
                          name, pool->capacity);
    return 0;
}

/* -------------------------------------------------------------- who waits */

static bool needs_job(const struct wish *wish)
{
    return wish->kind == WISH_GROWTH || wish->kind == WISH_SHRINK || wish->kind == WISH_RELEASE;
}

struct client *wish_first(const struct pool *pool)
{
    struct client *client;

    DL_FOREACH2(pool->waiters, client, waiter_next)
    if (needs_job(&client->wish))
        return client;
    return NULL;
}

void wish_drop(struct client *client)
{
    if (client->awaits_pool)
        DL_DELETE2(client->awaits_pool->waiters, client, waiter_prev, waiter_next);
    client->awaits_pool = NULL;
}

struct client *wish_next_grown(struct pool *pool, uint64_t failed)
{
    struct client *client;

    DL_FOREACH2(pool->waiters, client, waiter_next)
    {
        const struct wish *wish = &client->wish;

        if (wish->kind == WISH_GROWTH &&
            (failed ? wish_target(pool, wish) >= failed : wish_is_fulfilled(pool, wish))) {
            wish_drop(client);
            return client;
        }
    }
    return NULL;
}

struct client *wish_next_served(struct pool *pool, enum wish_kind kind)
{
    struct client *client;

    DL_FOREACH2(pool->waiters, client, waiter_next)
    if (client->wish.kind == kind && client->wish.served) {
        wish_drop(client);
        return client;
    }
    return NULL;
}
