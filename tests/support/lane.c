/* SPDX-License-Identifier: MIT
 *
 * lane: see lane.h.
 */
#include "lane.h"

#include "shm/magazine.h"
#include "shm/slot.h"
#include "shm/tally.h"
#include "shm/wait.h"

__thread struct fastalloc_lane_ *fastalloc_lanes_ __attribute__((tls_model("initial-exec")));

static __thread struct fastalloc_lane_ lanes[1];

/* Stands for the loaded magazine of a cache that has none: empty for alloc;
 * a free never gets here, as the lane's gate is nil then. */
static void point(struct fastalloc_pool *pool)
{
    uint32_t loaded = pool->actor.cache == CACHE_NONE || wait_anybody(pool->segment)
                          ? CACHE_NONE
                          : cache_loaded(pool->segment, &pool->actor);

    lanes[0].gate = loaded == CACHE_NONE ? NULL : &pool->segment->caches[pool->actor.cache].gate;
    lanes[0].loaded = loaded == CACHE_NONE ? NULL : magazine_at(pool->segment, loaded);
}

void lane_open(struct fastalloc_pool *pool, struct test_pool *test, const struct actor *actor)
{
    const struct geometry *geometry = &test->segment.geometry;

    pool->segment = &test->segment;
    pool->actor = *actor;
    pool->face = (struct fastalloc_face_){
        .words = test->segment.words,
        .objects = test->segment.objects,
        .stride = geometry->stride,
        .index_mask = (UINT64_C(1) << geometry->index_bits) - 1,
        .freeing = (UINT64_C(1) << geometry->index_bits) - actor->session,
        .slots = (uint32_t)geometry->max_capacity,
        .session = actor->session,
        .sessions = geometry->sessions,
        .releaser = actor->session,
        .lane = 0,
    };
    fastalloc_lanes_ = lanes;
    point(pool);
}

static void leave(struct fastalloc_pool *pool)
{
    if (pool->actor.cache != CACHE_NONE)
        cache_leave(pool->segment, &pool->actor);
}

/* As client/thread.h has it. */
static bool turn(struct fastalloc_pool *pool, enum cache_want want)
{
    struct fastalloc_gate_ *gate = lanes[0].gate;
    uint32_t loaded;

    if (!gate)
        return false;
    shm_store(&gate->busy, 1u);
    shm_step();
    loaded = shm_load(lanes[0].loaded);
    if (!shm_load(&gate->room) || (want == CACHE_ROOM ? loaded < shm_load(&gate->room) : loaded))
        return false;
    loaded = cache_turn(pool->segment, &pool->segment->caches[pool->actor.cache], want, 1);
    if (loaded == CACHE_NONE)
        return false;
    lanes[0].loaded = magazine_at(pool->segment, loaded);
    return true;
}

int fastalloc_alloc_slow_(fastalloc_pool *pool, fastalloc_handle *handle, void **object)
{
    uint64_t index, word;
    int error;

    if (turn(pool, CACHE_ENTRIES))
        return fastalloc_alloc_inline_(pool, handle, object);
    leave(pool);
    error = supply_alloc(pool->segment, &pool->actor, SUPPLY_PATIENCE_US, &index, &word);
    point(pool);
    if (error)
        return error;
    *handle = slot_handle(pool->segment, word, index);
    if (object)
        *object = pool->segment->objects + index * pool->segment->geometry.stride;
    return 0;
}

/* In the gate, and not marked when it was entered. */
static bool has_room(void)
{
    const struct fastalloc_gate_ *gate = lanes[0].gate;

    return gate && shm_load(lanes[0].loaded) < shm_load(&gate->room);
}

int fastalloc_free_slow_(fastalloc_pool *pool, fastalloc_handle handle)
{
    uint64_t word;
    int error;

    turn(pool, CACHE_ROOM);
    if (has_room()) {
        error = slot_own(pool->segment, handle, pool->actor.session, &word);
        if (!error) {
            magazine_push(pool->segment, cache_loaded(pool->segment, &pool->actor),
                          slot_index(pool->segment, handle), word, false);
            tally_free(pool->segment, &pool->actor);
        }
        leave(pool);
        return error;
    }
    leave(pool);
    error = slot_own(pool->segment, handle, pool->actor.session, &word);
    if (!error)
        supply_free(pool->segment, &pool->actor, slot_index(pool->segment, handle), word);
    point(pool);
    return error;
}

void *fastalloc_get_slow_(fastalloc_pool *pool, fastalloc_handle handle)
{
    (void)pool;
    (void)handle;
    return NULL;
}

int fastalloc_handle_is_mine_slow_(fastalloc_pool *pool, fastalloc_handle handle)
{
    (void)pool;
    (void)handle;
    return 0;
}

int fastalloc_adopt_slow_(fastalloc_pool *pool, fastalloc_handle handle)
{
    uint64_t word;

    return slot_own(pool->segment, handle, pool->actor.session, &word);
}
