/* SPDX-License-Identifier: MIT
 *
 * operations_lifecycle: crash points of allocating and freeing where more is done to a slot
 * than that: the program's functions, wiping, frees that decide.
 *
 * The doomed's functions note how far they come.  The survivor gets every slot, and its
 * functions compare: who died with a slot is told to the next, and who freed it, or never had it,
 * is not; what is handed out is initialised; what was to be wiped is zero.  (Between a function's
 * last act and its being noted that it has returned there are some instructions: deaths
 * there may be told either way.)
 */
#include "family.h"

#include "client/pool.h"
#include "shm/stages.h"
#include "tests/support/pool.h"

#include <string.h>
#include <sys/mman.h>

enum { SLOTS_MOST = 2 * FAMILY_SLOTS, WORDS = 8, SOME = 5 };

#define MAGIC UINT64_C(0x6d61676963616c21)

/* Of each slot: what the doomed has done to it. */
struct record {
    uint8_t initialising, acquiring, released, freed, seen;
};

/* The first word is family.c's. */
struct object {
    uint64_t value, magic, payload[WORDS - 2];
};

static struct record *records; /* shared */
static bool doomed, refuses;
static struct crash_verdict *found; /* of the survivor */

/* --------------------------------------------------------- the functions */

static struct record *record_of(fastalloc_pool *pool, const void *object)
{
    const char *first = pool->face.objects;

    return &records[(size_t)((const char *)object - first) / pool->face.stride];
}

static bool is_wiped_after_use(const fastalloc_pool *pool)
{
    return pool->segment.geometry.flags & SPEC_ZERO_FREE;
}

static int initialize(fastalloc_pool *pool, fastalloc_handle handle, void *at, uint32_t flags,
                      void *argument)
{
    struct record *record = record_of(pool, at);
    struct object *object = at;
    const uint64_t *words = at;
    unsigned i;

    (void)handle, (void)flags, (void)argument;
    if (doomed) {
        record->initialising = 1;
        record->freed = 0;
    }
    if (found && is_wiped_after_use(pool))
        for (i = 0; i < WORDS; i++)
            if (words[i])
                crash_find(found, "word %u of what was to be wiped is 0x%llx", i,
                           (unsigned long long)words[i]);
    if (found && record->acquiring && !is_wiped_after_use(pool))
        crash_find(found, "a slot that was used is initialised again");
    memset(object->payload, 0x77, sizeof object->payload);
    object->magic = MAGIC;
    return refuses;
}

static int reset(fastalloc_pool *pool, fastalloc_handle handle, void *at, uint32_t flags,
                 void *argument)
{
    (void)handle, (void)flags, (void)argument;
    if (doomed)
        record_of(pool, at)->freed = 0;
    if (found && !record_of(pool, at)->initialising)
        crash_find(found, "a slot that was never used is reset");
    return refuses;
}

static int on_acquire(fastalloc_pool *pool, fastalloc_handle handle, void *at, uint32_t flags,
                      void *argument)
{
    struct record *record = record_of(pool, at);
    struct object *object = at;
    bool reclaimed = flags & FASTALLOC_RECLAIMED;

    (void)handle, (void)argument;
    if (doomed) {
        record->acquiring = 1;
        record->released = record->freed = 0;
        memset(object->payload, 0xee, sizeof object->payload);
    }
    if (!found || record->seen)
        return 0;
    record->seen = 1;
    if (object->magic != MAGIC)
        crash_find(found, "what is handed out is not initialised");
    if (record->acquiring && !record->released && !reclaimed)
        crash_find(found, "nobody is told that the slot was the dead one's");
    if ((!record->initialising || record->freed) && reclaimed)
        crash_find(found, "a slot counts as reclaimed that was freed, or that nobody had");
    return 0;
}

static void on_release(fastalloc_pool *pool, fastalloc_handle handle, void *at, void *argument)
{
    (void)handle, (void)argument;
    if (doomed)
        record_of(pool, at)->released = 1;
}

/* ------------------------------------------------------------------- pools */

static void shape_hooks(fastalloc_pool_config *config)
{
    config->object_size = sizeof(struct object);
    config->initialize = initialize;
    config->reset = reset;
    config->on_acquire = on_acquire;
    config->on_release = on_release;
    records = mmap(NULL, SLOTS_MOST * sizeof *records, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    TEST_REQUIRE(records != MAP_FAILED, "no memory");
}

static void shape_wiping(fastalloc_pool_config *config)
{
    shape_hooks(config);
    config->features = FASTALLOC_ZERO_ON_FREE;
}

static void shape_sharing(fastalloc_pool_config *config)
{
    shape_hooks(config);
    config->features = FASTALLOC_SHARING;
}

static void shape_growing(fastalloc_pool_config *config)
{
    shape_hooks(config);
    config->max_capacity = SLOTS_MOST;
}

static void shape_strict(fastalloc_pool_config *config)
{
    config->features = FASTALLOC_STRICT;
}

/* All slots above the usual were used, and are shrunk away. */
static void prepare_shrunk(struct family *family)
{
    static fastalloc_handle handles[SLOTS_MOST - FAMILY_HELD];
    size_t now;

    TEST_REQUIRE(fastalloc_pool_grow(family->pool, SLOTS_MOST) == 0, "%s", fastalloc_last_error());
    TEST_REQUIRE(
        fastalloc_alloc_batch(family->pool, SLOTS_MOST - FAMILY_HELD, handles, NULL) == 0 &&
            fastalloc_free_batch(family->pool, SLOTS_MOST - FAMILY_HELD, handles, NULL) == 0,
        "%s", fastalloc_last_error());
    TEST_REQUIRE(fastalloc_pool_shrink(family->pool, FAMILY_SLOTS, &now) == 0 &&
                     now == FAMILY_SLOTS,
                 "shrunk to %zu", now);
}

/* ---------------------------------------------------- of the doomed, before */

/* What was never used, or has been given back, is not initialised; the rest, used by the parent,
 * is. */
static void enter(void *argument)
{
    struct family *family = argument;
    struct segment *segment = &family->pool->segment;
    uint64_t index;

    memset(records, 0, SLOTS_MOST * sizeof *records);
    for (index = 0; index < segment->geometry.max_capacity; index++) {
        void *object = segment->objects + index * segment->geometry.stride;

        if (index >= segment_capacity(segment) || stages_of(segment, index) == STAGE_NEW)
            memset(object, is_wiped_after_use(family->pool) ? 0 : 0xdd, sizeof(struct object));
        else
            records[index].initialising = records[index].acquiring = 1;
        if (index < segment_capacity(segment) && !(stages_of(segment, index) & STAGE_HELD))
            records[index].freed = records[index].released = 1;
    }
    doomed = true;
    family->count = SOME;
    TEST_REQUIRE(fastalloc_alloc_batch(family->pool, SOME, family->handles, NULL) == 0, "%s",
                 fastalloc_last_error());
}

static void free_noted(struct family *family, fastalloc_handle handle)
{
    void *object = fastalloc_get(family->pool, handle);

    if (fastalloc_free(family->pool, handle) == 0)
        record_of(family->pool, object)->freed = 1;
}

/* The next to be allocated was used. */
static void enter_with_one_used(void *argument)
{
    struct family *family = argument;

    enter(family);
    free_noted(family, family->handles[--family->count]);
}

static void enter_refusing(void *argument)
{
    enter(argument);
    refuses = true;
}

static void enter_refusing_one_used(void *argument)
{
    enter_with_one_used(argument);
    refuses = true;
}

static void enter_sharing(void *argument)
{
    struct family *family = argument;

    enter(family);
    TEST_REQUIRE(fastalloc_share(family->pool, family->handles[0]) == 0, "%s",
                 fastalloc_last_error());
}

static void enter_plainly(void *argument)
{
    struct family *family = argument;

    family->count = SOME;
    TEST_REQUIRE(fastalloc_alloc_batch(family->pool, SOME, family->handles, NULL) == 0, "%s",
                 fastalloc_last_error());
}

/* --------------------------------------------------------------------- acts */

static void act_alloc(void *argument)
{
    struct family *family = argument;

    fastalloc_alloc(family->pool, &family->handles[family->count], NULL);
}

static void act_free(void *argument)
{
    struct family *family = argument;

    free_noted(family, family->handles[0]);
}

static void act_unref(void *argument)
{
    struct family *family = argument;
    void *object = fastalloc_get(family->pool, family->handles[0]);

    if (fastalloc_unref(family->pool, family->handles[0]) == 0)
        record_of(family->pool, object)->freed = 1;
}

static void act_grow(void *argument)
{
    struct family *family = argument;

    fastalloc_pool_grow(family->pool, SLOTS_MOST);
}

static void act_free_plainly(void *argument)
{
    struct family *family = argument;

    fastalloc_free(family->pool, family->handles[0]);
}

/* Twice: the second is told. */
static void act_free_twice(void *argument)
{
    act_free_plainly(argument);
    act_free_plainly(argument);
}

/* ------------------------------------------------------------- the survivor */

/* Its functions compare from now on. */
static void survive(struct family *family, struct crash_verdict *verdict)
{
    (void)family;
    doomed = refuses = false;
    found = verdict;
}

const struct family_operation lifecycle_operations[] = {
    {
        .name = "lifecycle: alloc of a slot never used",
        .shape = shape_hooks,
        .enter = enter,
        .act = act_alloc,
        .survive = survive,
    },
    {
        .name = "lifecycle: alloc of a slot that was used",
        .shape = shape_hooks,
        .enter = enter_with_one_used,
        .act = act_alloc,
        .survive = survive,
    },
    {
        .name = "lifecycle: alloc that initialize refuses",
        .shape = shape_hooks,
        .enter = enter_refusing,
        .act = act_alloc,
        .survive = survive,
    },
    {
        .name = "lifecycle: alloc that reset refuses",
        .shape = shape_hooks,
        .enter = enter_refusing_one_used,
        .act = act_alloc,
        .survive = survive,
    },
    {
        .name = "lifecycle: free",
        .shape = shape_hooks,
        .enter = enter,
        .act = act_free,
        .survive = survive,
    },
    {
        .name = "lifecycle: unref of the last reference",
        .shape = shape_sharing,
        .enter = enter_sharing,
        .act = act_unref,
        .survive = survive,
    },
    {
        .name = "lifecycle: growing over what was shrunk away",
        .shape = shape_growing,
        .prepare = prepare_shrunk,
        .enter = enter,
        .act = act_grow,
        .survive = survive,
    },
    {
        .name = "zero on free: alloc",
        .shape = shape_wiping,
        .enter = enter_with_one_used,
        .act = act_alloc,
        .survive = survive,
    },
    {
        .name = "zero on free: alloc that is refused",
        .shape = shape_wiping,
        .enter = enter_refusing,
        .act = act_alloc,
        .survive = survive,
    },
    {
        .name = "zero on free: free",
        .shape = shape_wiping,
        .enter = enter,
        .act = act_free,
        .survive = survive,
    },
    {
        .name = "strict: free",
        .shape = shape_strict,
        .enter = enter_plainly,
        .act = act_free_plainly,
    },
    {
        .name = "strict: free, twice",
        .shape = shape_strict,
        .enter = enter_plainly,
        .act = act_free_twice,
    },
    {.name = NULL},
};
