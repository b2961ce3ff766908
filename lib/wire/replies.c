/* SPDX-License-Identifier: MIT
 *
 * replies: to bytes and from bytes.
 */
#include "wire.h"

#include "arena.h"
#include "fields.h"
#include "frame.h"

#include <fastalloc/fastalloc.h>
#include <stdalign.h>
#include <string.h>

static bool is_op(uint32_t op)
{
    return op >= WIRE_HELLO && op <= WIRE_SHUTDOWN;
}

static void put_pool(Fastalloc__Wire__Pool *out, Fastalloc__Wire__Spec *spec,
                     const struct wire_pool *pool)
{
    fastalloc__wire__pool__init(out);
    fields_put_spec(spec, &pool->spec);
    out->spec = spec;
    out->serial = pool->serial;
    out->pool_id = pool->pool_id;
    out->bytes = pool->bytes;
    out->created = pool->created;
    out->uid = pool->uid;
    out->sessions = pool->sessions;
    out->destroyed = pool->destroyed;
    out->capacity = pool->capacity;
}

static int get_pool(struct wire_pool *pool, const Fastalloc__Wire__Pool *in, struct reason *why)
{
    pool->serial = in->serial;
    pool->pool_id = in->pool_id;
    pool->bytes = in->bytes;
    pool->created = in->created;
    pool->uid = in->uid;
    pool->sessions = in->sessions;
    pool->destroyed = in->destroyed;
    pool->capacity = in->capacity;
    return fields_get_spec(&pool->spec, in->spec, why);
}

/* All that the parts of a reply need while it is packed. */
struct reply_parts {
    Fastalloc__Wire__Reply message;
    Fastalloc__Wire__Welcome welcome;
    Fastalloc__Wire__Attached attached;
    Fastalloc__Wire__Done done;
    Fastalloc__Wire__Capacity capacity;
    Fastalloc__Wire__Count count;
    Fastalloc__Wire__Failure failure;
    Fastalloc__Wire__Listing listing;
    Fastalloc__Wire__Pool pools[WIRE_LIST_MAX], *pool_list[WIRE_LIST_MAX];
    Fastalloc__Wire__Spec specs[WIRE_LIST_MAX];
};

static void put_failure(struct reply_parts *parts, const struct wire_reply *reply)
{
    fastalloc__wire__failure__init(&parts->failure);
    parts->failure.op = reply->op;
    parts->failure.error = reply->error;
    fields_put_text(&parts->failure.message, reply->message, sizeof reply->message);
    parts->message.result_case = FASTALLOC__WIRE__REPLY__RESULT_FAILURE;
    parts->message.failure = &parts->failure;
}

static void put_attached(struct reply_parts *parts, const struct wire_reply *reply)
{
    fastalloc__wire__attached__init(&parts->attached);
    parts->attached.pool_id = reply->attached.pool_id;
    parts->attached.session = reply->attached.session;
    parts->attached.nonce = reply->attached.nonce;
    parts->attached.bytes = reply->attached.bytes;
}

static void put_listing(struct reply_parts *parts, const struct wire_reply *reply)
{
    uint32_t i, count = reply->list.count < WIRE_LIST_MAX ? reply->list.count : WIRE_LIST_MAX;

    fastalloc__wire__listing__init(&parts->listing);
    for (i = 0; i < count; i++) {
        put_pool(&parts->pools[i], &parts->specs[i], &reply->list.pools[i]);
        parts->pool_list[i] = &parts->pools[i];
    }
    parts->listing.n_pools = count;
    parts->listing.pools = parts->pool_list;
    parts->listing.more = reply->list.more;
}

static Fastalloc__Wire__Capacity *put_capacity(struct reply_parts *parts,
                                               const struct wire_reply *reply)
{
    fastalloc__wire__capacity__init(&parts->capacity);
    parts->capacity.capacity = reply->capacity;
    return &parts->capacity;
}

/* Sets the one part of a reply that says yes. */
static void put_result(struct reply_parts *parts, const struct wire_reply *reply)
{
    Fastalloc__Wire__Reply *message = &parts->message;

    fastalloc__wire__done__init(&parts->done);
    switch (reply->op) {
    case WIRE_HELLO:
        fastalloc__wire__welcome__init(&parts->welcome);
        fields_put_text(&parts->welcome.daemon, reply->hello.daemon, sizeof reply->hello.daemon);
        parts->welcome.pid = reply->hello.pid;
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_HELLO;
        message->hello = &parts->welcome;
        break;
    case WIRE_CREATE:
        put_attached(parts, reply);
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_CREATE;
        message->create = &parts->attached;
        break;
    case WIRE_OPEN:
        put_attached(parts, reply);
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_OPEN;
        message->open = &parts->attached;
        break;
    case WIRE_CLOSE:
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_CLOSE;
        message->close = &parts->done;
        break;
    case WIRE_DESTROY:
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_DESTROY;
        message->destroy = &parts->done;
        break;
    case WIRE_LIST:
        put_listing(parts, reply);
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_LIST;
        message->list = &parts->listing;
        break;
    case WIRE_STAT:
        put_pool(&parts->pools[0], &parts->specs[0], &reply->stat);
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_STAT;
        message->stat = &parts->pools[0];
        break;
    case WIRE_GROW:
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_GROW;
        message->grow = put_capacity(parts, reply);
        break;
    case WIRE_SHRINK:
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_SHRINK;
        message->shrink = put_capacity(parts, reply);
        break;
    case WIRE_RESUME:
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_RESUME;
        message->resume = &parts->done;
        break;
    case WIRE_RELEASE:
        fastalloc__wire__count__init(&parts->count);
        parts->count.count = reply->released;
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_RELEASE;
        message->release = &parts->count;
        break;
    case WIRE_SHUTDOWN:
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_SHUTDOWN;
        message->shutdown = &parts->done;
        break;
    }
}

size_t wire_pack_reply(const struct wire_reply *reply, uint8_t bytes[WIRE_MAX])
{
    struct reply_parts parts;

    fastalloc__wire__reply__init(&parts.message);
    parts.message.version = WIRE_VERSION;
    parts.message.id = reply->id;
    if (reply->error)
        put_failure(&parts, reply);
    else
        put_result(&parts, reply);
    return frame_pack(&parts.message.base, bytes);
}

static void get_attached(struct wire_reply *reply, const Fastalloc__Wire__Attached *in)
{
    reply->attached.pool_id = in->pool_id;
    reply->attached.session = in->session;
    reply->attached.nonce = in->nonce;
    reply->attached.bytes = in->bytes;
}

static int get_listing(struct wire_reply *reply, const Fastalloc__Wire__Listing *in,
                       struct reason *why)
{
    size_t i;
    int error;

    if (in->n_pools > WIRE_LIST_MAX)
        return reason_set(why, FASTALLOC_E_PROTOCOL, "a page of %zu pools: at most %u are allowed",
                          in->n_pools, WIRE_LIST_MAX);
    for (i = 0; i < in->n_pools; i++) {
        error = get_pool(&reply->list.pools[i], in->pools[i], why);
        if (error)
            return error;
    }
    reply->list.count = (uint32_t)in->n_pools;
    reply->list.more = in->more;
    return 0;
}

static int get_failure(struct wire_reply *reply, const Fastalloc__Wire__Failure *in,
                       struct reason *why)
{
    if (in->error >= 0 || (in->op != 0 && !is_op(in->op)))
        return reason_set(why, FASTALLOC_E_PROTOCOL, "a failure with code %d of operation %u",
                          in->error, in->op);
    reply->op = in->op;
    reply->error = in->error;
    return fields_get_text(reply->message, sizeof reply->message, &in->message,
                           FASTALLOC_E_PROTOCOL, "an error's text", why);
}

static int get_reply(struct wire_reply *reply, const Fastalloc__Wire__Reply *message,
                     struct reason *why)
{
    switch (message->result_case) {
    case FASTALLOC__WIRE__REPLY__RESULT_HELLO:
        reply->op = WIRE_HELLO;
        reply->hello.pid = message->hello->pid;
        return fields_get_text(reply->hello.daemon, sizeof reply->hello.daemon,
                               &message->hello->daemon, FASTALLOC_E_PROTOCOL,
                               "the daemon's version", why);
    case FASTALLOC__WIRE__REPLY__RESULT_CREATE:
        reply->op = WIRE_CREATE;
        get_attached(reply, message->create);
        return 0;
    case FASTALLOC__WIRE__REPLY__RESULT_OPEN:
        reply->op = WIRE_OPEN;
        get_attached(reply, message->open);
        return 0;
    case FASTALLOC__WIRE__REPLY__RESULT_CLOSE:
        reply->op = WIRE_CLOSE;
        return 0;
    case FASTALLOC__WIRE__REPLY__RESULT_DESTROY:
        reply->op = WIRE_DESTROY;
        return 0;
    case FASTALLOC__WIRE__REPLY__RESULT_LIST:
        reply->op = WIRE_LIST;
        return get_listing(reply, message->list, why);
    case FASTALLOC__WIRE__REPLY__RESULT_STAT:
        reply->op = WIRE_STAT;
        return get_pool(&reply->stat, message->stat, why);
    case FASTALLOC__WIRE__REPLY__RESULT_GROW:
        reply->op = WIRE_GROW;
        reply->capacity = message->grow->capacity;
        return 0;
    case FASTALLOC__WIRE__REPLY__RESULT_SHRINK:
        reply->op = WIRE_SHRINK;
        reply->capacity = message->shrink->capacity;
        return 0;
    case FASTALLOC__WIRE__REPLY__RESULT_RESUME:
        reply->op = WIRE_RESUME;
        return 0;
    case FASTALLOC__WIRE__REPLY__RESULT_RELEASE:
        reply->op = WIRE_RELEASE;
        reply->released = message->release->count;
        return 0;
    case FASTALLOC__WIRE__REPLY__RESULT_SHUTDOWN:
        reply->op = WIRE_SHUTDOWN;
        return 0;
    case FASTALLOC__WIRE__REPLY__RESULT_FAILURE:
        return get_failure(reply, message->failure, why);
    case FASTALLOC__WIRE__REPLY__RESULT__NOT_SET:
    case _FASTALLOC__WIRE__REPLY__RESULT__CASE_IS_INT_SIZE:
        break;
    }
    return reason_set(why, FASTALLOC_E_PROTOCOL, "a reply that says nothing");
}

int wire_unpack_reply(const uint8_t *bytes, size_t length, struct wire_reply *reply,
                      struct reason *why)
{
    alignas(max_align_t) unsigned char block[FRAME_ARENA];
    struct arena arena;
    const Fastalloc__Wire__Reply *message;
    struct wire_reply result;
    int error;

    memset(&result, 0, sizeof result);
    memset(reply, 0, sizeof *reply);
    error = frame_start(bytes, length, &result.id, why);
    reply->id = result.id;
    if (error)
        return error;
    arena_init(&arena, block, sizeof block);
    message = (void *)frame_unpack(&fastalloc__wire__reply__descriptor, &arena, bytes, length, why);
    if (!message)
        return FASTALLOC_E_PROTOCOL;
    if (message->version != WIRE_VERSION || message->id != result.id)
        return reason_set(why, FASTALLOC_E_PROTOCOL, "a reply that contradicts itself");
    error = get_reply(&result, message, why);
    if (error)
        return error;
    *reply = result;
    return 0;
}
