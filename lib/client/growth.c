/* SPDX-License-Identifier: MIT
 *
 * growth: see growth.h.
 */
#include "growth.h"

#include "attach.h"
#include "client.h"
#include "fault.h"
#include "local.h"
#include "pool.h"
#include "shm/growth.h"
#include "shm/wait.h"
#include "thread.h"

#include <time.h>

#define LEAST_NS UINT64_C(5000000)  /* for an answer, whatever the deadline */
#define STEP_NS UINT64_C(200000000) /* for a step that is decided */
#define PAUSE_NS 100000

/* ------------------------------------------------------------------ asking */

/* By how many slots, as this process's own function says; 0: as the pool does. */
static uint64_t increment_from(const fastalloc_pool *pool, uint64_t capacity)
{
    uint64_t room = pool->segment.geometry.max_capacity - capacity, increment;

    if (!pool->growth_function)
        return 0;
    increment = pool->growth_function((size_t)capacity, pool->growth_argument);
    return increment < room ? increment : room;
}

static void begin_request(const fastalloc_pool *pool, struct wire_request *request)
{
    *request = (struct wire_request){.op = WIRE_GROW};
    request->grow.pool_id = pool->pool_id;
    request->grow.session = pool->face.session;
    request->grow.nonce = pool->nonce;
}

/* A step that another asked for may be on its way still: decided, not yet published. */
static void await_step(const fastalloc_pool *pool, uint64_t capacity)
{
    const struct timespec pause = {0, PAUSE_NS};
    uint64_t until = wait_now() + STEP_NS;

    while (segment_capacity(&pool->segment) < capacity && wait_now() < until)
        nanosleep(&pause, NULL);
}

static int ask_daemon(fastalloc_pool *pool, struct wire_request *request,
                      const struct urgency *urgency, struct reason *why)
{
    uint64_t least = wait_now() + LEAST_NS;
    struct wire_reply reply;
    int error;

    if (urgency->once)
        error =
            client_request_once(pool->client, request,
                                urgency->deadline > least ? urgency->deadline : least, &reply, why);
    else
        error = client_request(pool->client, request, &reply, NULL, why);
    if (error)
        return error;
    await_step(pool, reply.capacity);
    pool_refresh(pool);
    return 0;
}

int growth_ask(fastalloc_pool *pool, uint64_t from, const struct urgency *urgency,
               struct reason *why)
{
    uint64_t increment = increment_from(pool, from);
    struct wire_request request;

    if (!pool->client)
        return local_grow(pool, from, increment, 0, why);
    begin_request(pool, &request);
    request.grow.from = from;
    request.grow.increment = increment;
    return ask_daemon(pool, &request, urgency, why);
}

/* With the client's mutex held: whoever wins the mark here also sends. */
static bool fill_ahead(struct wire_request *request, void *argument)
{
    fastalloc_pool *pool = argument;
    uint64_t capacity = segment_capacity(&pool->segment);

    if (!growth_is_due(&pool->segment, spec_low_water(&pool->spec, capacity)))
        return false;
    begin_request(pool, request);
    request->grow.from = capacity;
    request->grow.increment = increment_from(pool, capacity);
    request->grow.one_way = true;
    return true;
}

void growth_ask_ahead(fastalloc_pool *pool)
{
    if (pool->client && pool->spec.growth != FASTALLOC_GROWTH_NONE &&
        segment_capacity(&pool->segment) < pool->segment.geometry.max_capacity)
        client_post(pool->client, fill_ahead, pool);
}

/* ----------------------------------------------------------------- growing */

static int grow_to(fastalloc_pool *pool, uint64_t capacity, struct reason *why)
{
    const struct urgency patient = {0, FASTALLOC_FOREVER, false};
    struct wire_request request;

    if (!pool->client)
        return local_grow(pool, 0, 0, capacity, why);
    begin_request(pool, &request);
    request.grow.capacity = capacity;
    return ask_daemon(pool, &request, &patient, why);
}

static int grow_a_step(fastalloc_pool *pool, uint64_t from, struct reason *why)
{
    const struct urgency patient = {0, FASTALLOC_FOREVER, false};

    if (pool->spec.growth == FASTALLOC_GROWTH_NONE && !pool->growth_function)
        return reason_set(why, FASTALLOC_E_GROWTH,
                          "pool \"%s\" has no strategy of growth: say to how many slots",
                          pool->spec.name);
    return growth_ask(pool, from, &patient, why);
}

static int grow(fastalloc_pool *pool, uint64_t capacity, struct reason *why)
{
    uint64_t maximum = pool->segment.geometry.max_capacity;
    uint64_t now = segment_capacity(&pool->segment);

    if (capacity > maximum || (!capacity && now >= maximum))
        return reason_set(why, FASTALLOC_E_MAX_CAPACITY,
                          "pool \"%s\" has %llu slots and grows to %llu at most, as its "
                          "max_capacity was set when it was created",
                          pool->spec.name, (unsigned long long)now, (unsigned long long)maximum);
    if (!capacity)
        return grow_a_step(pool, now, why);
    return capacity > now ? grow_to(pool, capacity, why) : 0;
}

static int state_error(const fastalloc_pool *pool, struct reason *why)
{
    uint32_t state = segment_state(&pool->segment);
    int error = state == POOL_DESTROYED ? FASTALLOC_E_DESTROYED : FASTALLOC_E_POISONED;

    if (state == POOL_LIVE || state == POOL_SEALED)
        return 0;
    return reason_set(why, error, "pool \"%s\": %s", pool->spec.name, fastalloc_strerror(error));
}

int fastalloc_pool_grow(fastalloc_pool *pool, size_t capacity)
{
    struct thread *thread;
    struct reason why;
    int error;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_grow: pool is NULL");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    attach_forget_advice(pool, segment_capacity(&pool->segment));
    error = state_error(pool, &why);
    if (!error)
        error = grow(pool, capacity, &why);
    if (!error)
        error = attach_advise(pool, &why);
    thread_end(thread, pool);
    return error ? fault_say(&why) : 0;
}

/* --------------------------------------------------------------- shrinking */

static int shrink_by_daemon(fastalloc_pool *pool, const struct actor *actor, uint64_t target,
                            uint64_t *now, struct reason *why)
{
    struct wire_request request = {.op = WIRE_SHRINK};
    struct wire_reply reply;
    int error;

    /* What is withdrawn is nobody's until the daemon has heard of it: first whether it hears. */
    error = client_reach(pool->client, why);
    if (error)
        return error;
    growth_withdraw(&pool->segment, actor, target);
    request.shrink.pool_id = pool->pool_id;
    request.shrink.session = pool->face.session;
    request.shrink.nonce = pool->nonce;
    request.shrink.target = target;
    error = client_request(pool->client, &request, &reply, NULL, why);
    growth_end_withdrawing(&pool->segment, actor);
    if (!error)
        *now = reply.capacity;
    return error;
}

static int shrink(fastalloc_pool *pool, const struct actor *actor, uint64_t target, uint64_t *now,
                  struct reason *why)
{
    int error = state_error(pool, why);

    *now = segment_capacity(&pool->segment);
    if (error || target >= *now)
        return error;
    if (target == 0)
        target = 1;
    if (pool->client)
        return shrink_by_daemon(pool, actor, target, now, why);
    return local_shrink(pool, actor, target, now, why);
}

int fastalloc_pool_shrink(fastalloc_pool *pool, size_t capacity, size_t *now)
{
    struct thread *thread;
    struct actor actor;
    struct reason why;
    uint64_t left;
    int error;

    if (!pool)
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_pool_shrink: pool is NULL");
    thread = thread_begin(pool, &error);
    if (!thread)
        return error;
    actor = thread_actor(thread, pool);
    error = shrink(pool, &actor, capacity, &left, &why);
    attach_forget_advice(pool, segment_capacity(&pool->segment));
    thread_end(thread, pool);
    if (error)
        return fault_say(&why);
    if (now)
        *now = (size_t)left;
    return 0;
}
