/* SPDX-License-Identifier: MIT
 *
 * operations_client_seal: crash points of sealing, opening again and draining.  Whoever dies of it
 * leaves the pool sealed or open, and nothing else.
 */
#include "family.h"

#include "client/pool.h"
#include "shm/wait.h"
#include "tests/support/pool.h"

static void enter_attached(void *argument)
{
    struct family *family = argument;

    TEST_REQUIRE(fastalloc_pool_session(family->pool), "%s", fastalloc_last_error());
}

static void prepare_sealed(struct family *family)
{
    TEST_REQUIRE(fastalloc_pool_seal(family->pool) == 0, "%s", fastalloc_last_error());
}

static void act_seal(void *argument)
{
    struct family *family = argument;

    fastalloc_pool_seal(family->pool);
}

static void act_unseal(void *argument)
{
    struct family *family = argument;

    fastalloc_pool_unseal(family->pool);
}

/* In vain: the parent holds some. */
static void act_drain(void *argument)
{
    struct family *family = argument;

    fastalloc_pool_drain(family->pool, fastalloc_deadline(2));
}

/* The dead has been swept.  Sealed, every thread is told at its next call: also those that it
 * did not come to. */
static void expect_marked(const struct segment *segment, struct crash_verdict *verdict)
{
    uint32_t c;

    for (c = 0; c < segment->geometry.caches; c++)
        if (shm_load(&segment->caches[c].holder) && shm_load(&segment->caches[c].gate.room))
            crash_find(verdict, "the pool is sealed, and the thread of cache %u does not hear", c);
}

static void expect_alloc(struct family *family, int expected, struct crash_verdict *verdict)
{
    fastalloc_handle handle;
    int error = fastalloc_alloc(family->pool, &handle, NULL);

    if (error != expected)
        crash_find(verdict, "alloc: %s, not %s", fastalloc_error_name(error),
                   fastalloc_error_name(expected));
    if (!error && fastalloc_free(family->pool, handle))
        crash_find(verdict, "free: %s", fastalloc_last_error());
}

static void survive_sealing(struct family *family, struct crash_verdict *verdict)
{
    const struct segment *segment = &family->pool->segment;
    bool sealed = segment_state(segment) == POOL_SEALED;

    if (sealed)
        expect_marked(segment, verdict);
    expect_alloc(family, sealed ? FASTALLOC_E_SEALED : 0, verdict);
    if (fastalloc_pool_seal(family->pool))
        crash_find(verdict, "seal: %s", fastalloc_last_error());
    expect_alloc(family, FASTALLOC_E_SEALED, verdict);
    if (fastalloc_pool_drain(family->pool, 0) != FASTALLOC_E_TIMEOUT)
        crash_find(verdict, "drain: %s", fastalloc_last_error());
    if (fastalloc_pool_unseal(family->pool))
        crash_find(verdict, "unseal: %s", fastalloc_last_error());
    expect_alloc(family, 0, verdict);
    if (wait_anybody(segment))
        crash_find(verdict, "frees go on waking, though nobody waits");
}

const struct family_operation client_seal_operations[] = {
    {
        .name = "client: seal",
        .enter = enter_attached,
        .act = act_seal,
        .survive = survive_sealing,
    },
    {
        .name = "client: unseal",
        .prepare = prepare_sealed,
        .enter = enter_attached,
        .act = act_unseal,
        .survive = survive_sealing,
    },
    {
        .name = "client: drain",
        .enter = enter_attached,
        .act = act_drain,
        .survive = survive_sealing,
    },
    {.name = NULL},
};
