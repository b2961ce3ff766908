/* SPDX-License-Identifier: MIT
 *
 * operations_daemon: crash points of the daemon.
 *
 * To add an operation, write what an earlier daemon and its guests leave behind
 * (`prepare`), the act, and which pools the next daemon is to find; and put it into the table.
 */
#include "house.h"

#include "shm/growth.h"
#include "shm/notes.h"
#include "shm/share.h"
#include "shm/slot.h"
#include "tests/support/pool.h"

#include <fastalloc/fastalloc.h>
#include <unistd.h>

/* ------------------------------------------------------------------ preparing */

static void require_created(struct house *house, const struct pool_spec *spec)
{
    TEST_REQUIRE(house_create(house, spec) == 0, "%s", house->result.reply.message);
}

static void require_opened(struct house *house, const char *name)
{
    TEST_REQUIRE(house_open(house, name) == 0, "%s", house->result.reply.message);
}

/* Nobody else is there, and nothing: what is left is of the creation. */
static void prepare_none(struct house *house)
{
    (void)house;
}

/* A pool "old", with a guest who stays. */
static void prepare_old(struct house *house)
{
    struct pool_spec spec = house_spec("old");

    require_created(house, &spec);
    house_seat(house, 20);
}

/* ... and one who has died, with slots. */
static void prepare_dead(struct house *house)
{
    prepare_old(house);
    require_opened(house, "old");
    house_unseat(house, house_seat(house, 50));
}

/* A pool whose only guest has died. */
static void prepare_left(struct house *house)
{
    struct pool_spec spec = house_spec("left");

    require_created(house, &spec);
    house_unseat(house, house_seat(house, 7));
}

/* An old one, and more: a persistent pool that nobody uses, one that all have left, one that is
 * destroyed. */
static void prepare_much(struct house *house)
{
    struct pool_spec persistent = house_spec("persistent"), destroyed = house_spec("destroyed");

    prepare_dead(house);
    prepare_left(house);
    persistent.lifetime = FASTALLOC_PERSISTENT;
    require_created(house, &persistent);
    house_unseat(house, house_seat(house, 10));
    require_created(house, &destroyed);
    house_seat(house, 5);
    TEST_REQUIRE(house_destroy(house, "destroyed") == 0, "%s", house->result.reply.message);
}

/* A pool that has grown from 300 to 600 slots, with a guest who has withdrawn the upper half
 * of what nobody uses. */
static struct guest *grow_old(struct house *house, uint64_t slots)
{
    struct pool_spec spec = house_spec("old");

    spec.max_capacity = 2000;
    require_created(house, &spec);
    TEST_REQUIRE(house_grow(house, "old", 600) == 0, "it does not grow");
    return house_seat(house, slots);
}

static void prepare_growing(struct house *house)
{
    struct guest *guest = grow_old(house, 600);
    uint64_t index;

    /* Some above 300 have been used, and some were withdrawn by a shrinking client. */
    for (index = 20; index < 600; index++)
        supply_free(&guest->segment, &guest->actor, index, guest->segment.words[index]);
    guest->held = 20;
    growth_withdraw(&guest->segment, &guest->actor, 450);
    TEST_REQUIRE(house_shrink(house, "old", 450) == 0, "it does not shrink");
    growth_end_withdrawing(&guest->segment, &guest->actor);
}

static void prepare_withdrawn(struct house *house)
{
    struct guest *guest = grow_old(house, 20);

    growth_withdraw(&guest->segment, &guest->actor, 300);
    growth_end_withdrawing(&guest->segment, &guest->actor);
}

/* A pool whose guest will leave 40 of 60 slots to anyone, for a time that has passed. */
static void prepare_leaving(struct house *house)
{
    struct pool_spec spec = house_spec("old");

    spec.flags = SPEC_NOTES;
    require_created(house, &spec);
    house_seat(house, 60)->held = 20;
}

static void leave_slots(struct house *house)
{
    struct guest *guest = &house->guests[0];
    uint64_t index, left = 0;

    for (index = 0; left < 40; index++)
        if (slot_owner_of(guest->segment.words[index]) == guest->actor.session)
            left += notes_leave(&guest->segment,
                                slot_handle(&guest->segment, guest->segment.words[index], index),
                                guest->actor.session, 1, notes_time(1)) == 0;
}

static void prepare_left_slots(struct house *house)
{
    prepare_leaving(house);
    leave_slots(house);
}

/* A guest has died in a pool that does with its 50 slots what `on_death` says. */
static struct guest *prepare_death(struct house *house, uint32_t on_death, uint32_t flags)
{
    struct pool_spec spec = house_spec("old");

    spec.on_death = on_death;
    spec.flags = flags;
    require_created(house, &spec);
    house_seat(house, 20);
    require_opened(house, "old");
    return house_seat(house, 50);
}

static void prepare_for_quarantine(struct house *house)
{
    house_unseat(house, prepare_death(house, FASTALLOC_QUARANTINE, 0));
}

static void prepare_quarantined(struct house *house)
{
    prepare_for_quarantine(house);
    registry_suspect_client(&house->registry, &house->client, 0);
    house_sweep(house);
}

static void prepare_for_heir(struct house *house)
{
    struct guest *dead = prepare_death(house, FASTALLOC_HEIR, 0);

    dead->segment.header->heir = house->guests[0].actor.session;
    house_unseat(house, dead);
}

/* The dead held some of the other's as well. */
static void prepare_dead_sharer(struct house *house)
{
    struct guest *dead = prepare_death(house, FASTALLOC_RECLAIM, SPEC_SHARING);
    struct segment *segment = &dead->segment;
    uint64_t index;

    for (index = 0; index < HOUSE_SLOTS; index++) {
        uint32_t owner = slot_owner_of(segment->words[index]);
        fastalloc_handle handle = slot_handle(segment, segment->words[index], index);

        if (index % 2 && owner && share_make(segment, handle, owner, NULL) == 0 &&
            owner != dead->actor.session)
            share_join(segment, handle, dead->actor.session, NULL);
    }
    house_unseat(house, dead);
}

/* A daemon died in the middle of growth: its manifest says more than the segment. */
static void prepare_half_grown(struct house *house)
{
    struct reason why;
    struct pool *pool;

    prepare_growing(house);
    pool = registry_find(&house->registry, "old");
    TEST_REQUIRE(pool_reserve(pool, 1200, &why) == 0, "%s", why.text);
    pool->capacity = pool->reserved = 1200;
    TEST_REQUIRE(pool_save(pool, &house->registry.store, &why) == 0, "%s", why.text);
}

/* ----------------------------------------------------------------------- acts */

static void act_grow(void *argument)
{
    house_grow(argument, "old", 900);
}

static void act_shrink(void *argument)
{
    house_shrink(argument, "old", 300);
}

static void act_create(void *argument)
{
    struct house *house = argument;
    struct pool_spec spec = house_spec("new");

    house_create(house, &spec);
}

static void act_open(void *argument)
{
    house_open(argument, "old");
}

static void act_sweep(void *argument)
{
    house_sweep(argument);
}

static void act_destroy(void *argument)
{
    house_destroy(argument, "old");
}

static void act_release(void *argument)
{
    struct house *house = argument;
    uint64_t count;

    pool_release_slots(registry_find(&house->registry, "old"), 0, &count);
}

static void act_restart(void *argument)
{
    struct house *house = argument;
    struct reason why;

    registry_open(&house->registry, house->place.socket, house->place.prefix, &why);
    house_sweep(house);
}

/* ---------------------------------------------------------------- expectations */

static struct pool *expect_pool(struct house *house, const char *name,
                                struct crash_verdict *verdict)
{
    struct pool *pool = registry_find(&house->registry, name);

    if (!pool)
        crash_find(verdict, "pool \"%s\" is gone", name);
    return pool;
}

static void expect_old(struct house *house, struct crash_verdict *verdict)
{
    struct pool *pool = expect_pool(house, "old", verdict);

    if (pool && pool_session_count(pool) != 1)
        crash_find(verdict, "%u sessions, not one", pool_session_count(pool));
}

/* ... and what was quarantined can be released, all of it. */
static void expect_released(struct house *house, struct crash_verdict *verdict)
{
    struct pool *pool = expect_pool(house, "old", verdict);
    uint64_t count;

    if (pool && pool_release_slots(pool, 0, &count))
        crash_find(verdict, "quarantined slots are not released");
    expect_old(house, verdict);
}

/* Whoever asked for it never had it: it is over as soon as it is there. */
static void expect_nothing_new(struct house *house, struct crash_verdict *verdict)
{
    expect_old(house, verdict);
    if (registry_find(&house->registry, "new"))
        crash_find(verdict, "pool \"new\", which nobody has, is there");
}

/* Destroyed or not: its guest still has it. */
static void expect_guest(struct house *house, struct crash_verdict *verdict)
{
    struct pool *pool =
        registry_find_id(&house->registry, house->guests[0].attached.attached.pool_id);

    if (!pool)
        crash_find(verdict, "the pool that a guest has is gone");
}

static void expect_nothing(struct house *house, struct crash_verdict *verdict)
{
    if (house->registry.pools)
        crash_find(verdict, "pool \"%s\", which nobody has, is there",
                   house->registry.pools->spec.name);
}

static void expect_much(struct house *house, struct crash_verdict *verdict)
{
    expect_old(house, verdict);
    expect_pool(house, "persistent", verdict);
    if (registry_find(&house->registry, "left") || registry_find(&house->registry, "destroyed"))
        crash_find(verdict, "a pool is there that should not be");
}

const struct house_operation creation_operations[] = {
    {
        .name = "daemon: create",
        .prepare = prepare_old,
        .opened = true,
        .act = act_create,
        .watch_new = true,
        .expect = expect_nothing_new,
    },
    {
        .name = "daemon: create, and everybody dies",
        .prepare = prepare_none,
        .opened = true,
        .act = act_create,
        .watch_new = true,
        .expect = expect_nothing,
    },
    {.name = NULL},
};

const struct house_operation upkeep_operations[] = {
    {
        .name = "daemon: open",
        .prepare = prepare_old,
        .opened = true,
        .act = act_open,
        .expect = expect_old,
    },
    {
        .name = "daemon: sweep",
        .prepare = prepare_dead,
        .opened = true,
        .act = act_sweep,
        .expect = expect_old,
    },
    {
        .name = "daemon: sweep into quarantine",
        .prepare = prepare_for_quarantine,
        .opened = true,
        .act = act_sweep,
        .expect = expect_released,
    },
    {
        .name = "daemon: release of quarantined slots",
        .prepare = prepare_quarantined,
        .opened = true,
        .act = act_release,
        .expect = expect_released,
    },
    {
        .name = "daemon: sweep for an heir",
        .prepare = prepare_for_heir,
        .opened = true,
        .act = act_sweep,
        .expect = expect_old,
        .may_keep = 50,
    },
    {
        .name = "daemon: sweep of one who shared",
        .prepare = prepare_dead_sharer,
        .opened = true,
        .act = act_sweep,
        .expect = expect_old,
    },
    {
        .name = "daemon: grow",
        .prepare = prepare_growing,
        .opened = true,
        .act = act_grow,
        .expect = expect_old,
    },
    {
        .name = "daemon: shrink",
        .prepare = prepare_withdrawn,
        .opened = true,
        .act = act_shrink,
        .expect = expect_old,
    },
    {
        .name = "daemon: expiry of left slots",
        .prepare = prepare_leaving,
        .opened = true,
        .enter = leave_slots,
        .act = act_sweep,
        .expect = expect_old,
    },
    {
        .name = "daemon: destroy",
        .prepare = prepare_old,
        .opened = true,
        .act = act_destroy,
        .expect = expect_guest,
    },
    {
        .name = "daemon: end of a pool",
        .prepare = prepare_left,
        .opened = true,
        .act = act_sweep,
        .expect = expect_nothing,
    },
    {.name = NULL},
};

const struct house_operation restart_operations[] = {
    {
        .name = "daemon: restart",
        .prepare = prepare_much,
        .act = act_restart,
        .expect = expect_much,
    },
    {
        .name = "daemon: restart when slots have expired",
        .prepare = prepare_left_slots,
        .act = act_restart,
        .expect = expect_old,
    },
    {
        .name = "daemon: restart in the middle of growth",
        .prepare = prepare_half_grown,
        .act = act_restart,
        .expect = expect_old,
    },
    {.name = NULL},
};
