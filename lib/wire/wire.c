/* SPDX-License-Identifier: MIT
 *
 * wire: requests and replies to and from bytes.
 */
#include "wire.h"

#include "arena.h"
#include "fields.h"

#include <fastalloc/fastalloc.h>
#include <stdalign.h>
#include <string.h>

/* Three times what the largest valid message takes; the rest of what 4096
 * bytes can ask for is nobody's honest wish. */
#define WIRE_ARENA (16 * 1024)

/* Tags of the two fields that every version begins with. */
#define TAG_VERSION 0x0d
#define TAG_ID 0x11

/* ----------------------------------------------------------- both directions */

static uint64_t read_fixed(const uint8_t *bytes, unsigned width)
{
    uint64_t value = 0;

    while (width-- > 0)
        value = value << 8 | bytes[width];
    return value;
}

/* Reads version and id, and nothing behind them. */
static int read_start(const uint8_t *bytes, size_t length, uint64_t *id, struct reason *why)
{
    uint32_t version;

    *id = 0;
    if (length < 5 || bytes[0] != TAG_VERSION)
        return reason_set(why, FASTALLOC_E_PROTOCOL,
                          "a packet of %zu bytes does not begin with a protocol version", length);
    version = (uint32_t)read_fixed(bytes + 1, 4);
    if (length >= 14 && bytes[5] == TAG_ID)
        *id = read_fixed(bytes + 6, 8);
    if (version != WIRE_VERSION)
        return reason_set(why, FASTALLOC_E_VERSION,
                          "the other side speaks version %u of the protocol, this one version %u: "
                          "use a library and a fastallocd of the same version",
                          version, WIRE_VERSION);
    if (length > WIRE_MAX)
        return reason_set(why, FASTALLOC_E_PROTOCOL,
                          "a packet of %zu bytes is too long: at most %u", length, WIRE_MAX);
    return 0;
}

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *descriptor, struct arena *arena,
                                const uint8_t *bytes, size_t length, struct reason *why)
{
    ProtobufCMessage *message =
        protobuf_c_message_unpack(descriptor, &arena->allocator, length, bytes);

    if (!message) {
        reason_set(why, FASTALLOC_E_PROTOCOL, "a packet of %zu bytes is not a valid message",
                   length);
        return NULL;
    }
    if (fields_has_unknown(message)) {
        reason_set(why, FASTALLOC_E_PROTOCOL,
                   "a packet of %zu bytes has fields that version %u does not know", length,
                   WIRE_VERSION);
        return NULL;
    }
    return message;
}

static size_t pack(const ProtobufCMessage *message, uint8_t bytes[WIRE_MAX])
{
    if (protobuf_c_message_get_packed_size(message) > WIRE_MAX)
        return 0;
    return protobuf_c_message_pack(message, bytes);
}

static bool is_op(uint32_t op)
{
    return op >= WIRE_HELLO && op <= WIRE_STAT;
}

/* ------------------------------------------------------------------ requests */

size_t wire_pack_request(const struct wire_request *request, uint8_t bytes[WIRE_MAX])
{
    Fastalloc__Wire__Request message = FASTALLOC__WIRE__REQUEST__INIT;
    Fastalloc__Wire__Hello hello = FASTALLOC__WIRE__HELLO__INIT;
    Fastalloc__Wire__Spec spec;
    Fastalloc__Wire__Close closing = FASTALLOC__WIRE__CLOSE__INIT;
    Fastalloc__Wire__ByName by_name = FASTALLOC__WIRE__BY_NAME__INIT;
    Fastalloc__Wire__List list = FASTALLOC__WIRE__LIST__INIT;

    message.version = WIRE_VERSION;
    message.id = request->id;
    switch (request->op) {
    case WIRE_HELLO:
        fields_put_text(&hello.program, request->hello.program, sizeof request->hello.program);
        message.op_case = FASTALLOC__WIRE__REQUEST__OP_HELLO;
        message.hello = &hello;
        break;
    case WIRE_CREATE:
        fields_put_spec(&spec, &request->create);
        message.op_case = FASTALLOC__WIRE__REQUEST__OP_CREATE;
        message.create = &spec;
        break;
    case WIRE_OPEN:
        fields_put_spec(&spec, &request->open.expected);
        message.op_case = FASTALLOC__WIRE__REQUEST__OP_OPEN;
        message.open = &spec;
        break;
    case WIRE_CLOSE:
        closing.pool_id = request->close.pool_id;
        closing.session = request->close.session;
        closing.nonce = request->close.nonce;
        message.op_case = FASTALLOC__WIRE__REQUEST__OP_CLOSE;
        message.close = &closing;
        break;
    case WIRE_DESTROY:
        fields_put_text(&by_name.name, request->destroy.name, sizeof request->destroy.name);
        message.op_case = FASTALLOC__WIRE__REQUEST__OP_DESTROY;
        message.destroy = &by_name;
        break;
    case WIRE_LIST:
        list.after = request->list.after;
        message.op_case = FASTALLOC__WIRE__REQUEST__OP_LIST;
        message.list = &list;
        break;
    case WIRE_STAT:
        fields_put_text(&by_name.name, request->stat.name, sizeof request->stat.name);
        message.op_case = FASTALLOC__WIRE__REQUEST__OP_STAT;
        message.stat = &by_name;
        break;
    }
    return pack(&message.base, bytes);
}

static int get_request(struct wire_request *request, const Fastalloc__Wire__Request *message,
                       struct reason *why)
{
    switch (message->op_case) {
    case FASTALLOC__WIRE__REQUEST__OP_HELLO:
        request->op = WIRE_HELLO;
        return fields_get_text(request->hello.program, sizeof request->hello.program,
                               &message->hello->program, FASTALLOC_E_PROTOCOL,
                               "the program's name", why);
    case FASTALLOC__WIRE__REQUEST__OP_CREATE:
        request->op = WIRE_CREATE;
        return fields_get_spec(&request->create, message->create, why);
    case FASTALLOC__WIRE__REQUEST__OP_OPEN:
        request->op = WIRE_OPEN;
        return fields_get_spec(&request->open.expected, message->open, why);
    case FASTALLOC__WIRE__REQUEST__OP_CLOSE:
        request->op = WIRE_CLOSE;
        request->close.pool_id = message->close->pool_id;
        request->close.session = message->close->session;
        request->close.nonce = message->close->nonce;
        return 0;
    case FASTALLOC__WIRE__REQUEST__OP_DESTROY:
        request->op = WIRE_DESTROY;
        return fields_get_text(request->destroy.name, sizeof request->destroy.name,
                               &message->destroy->name, FASTALLOC_E_NAME, "the pool's name", why);
    case FASTALLOC__WIRE__REQUEST__OP_LIST:
        request->op = WIRE_LIST;
        request->list.after = message->list->after;
        return 0;
    case FASTALLOC__WIRE__REQUEST__OP_STAT:
        request->op = WIRE_STAT;
        return fields_get_text(request->stat.name, sizeof request->stat.name, &message->stat->name,
                               FASTALLOC_E_NAME, "the pool's name", why);
    case FASTALLOC__WIRE__REQUEST__OP__NOT_SET:
    case _FASTALLOC__WIRE__REQUEST__OP__CASE_IS_INT_SIZE:
        break;
    }
    return reason_set(why, FASTALLOC_E_PROTOCOL, "a request that asks for nothing");
}

int wire_unpack_request(const uint8_t *bytes, size_t length, struct wire_request *request,
                        struct reason *why)
{
    alignas(max_align_t) unsigned char block[WIRE_ARENA];
    struct arena arena;
    const Fastalloc__Wire__Request *message;
    struct wire_request result;
    int error;

    memset(&result, 0, sizeof result);
    memset(request, 0, sizeof *request);
    error = read_start(bytes, length, &result.id, why);
    request->id = result.id;
    if (error)
        return error;
    arena_init(&arena, block, sizeof block);
    message = (void *)unpack(&fastalloc__wire__request__descriptor, &arena, bytes, length, why);
    if (!message)
        return FASTALLOC_E_PROTOCOL;
    /* A repeated field may have overruled the one that was looked at. */
    if (message->version != WIRE_VERSION || message->id != result.id)
        return reason_set(why, FASTALLOC_E_PROTOCOL, "a request that contradicts itself");
    error = get_request(&result, message, why);
    request->op = result.op;
    if (error)
        return error;
    *request = result;
    return 0;
}

/* ------------------------------------------------------------------- replies */

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
    return fields_get_spec(&pool->spec, in->spec, why);
}

/* All that the parts of a reply need while it is packed. */
struct reply_parts {
    Fastalloc__Wire__Reply message;
    Fastalloc__Wire__Welcome welcome;
    Fastalloc__Wire__Attached attached;
    Fastalloc__Wire__Done done;
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

size_t wire_pack_reply(const struct wire_reply *reply, uint8_t bytes[WIRE_MAX])
{
    struct reply_parts parts;
    Fastalloc__Wire__Reply *message = &parts.message;

    fastalloc__wire__reply__init(message);
    message->version = WIRE_VERSION;
    message->id = reply->id;
    if (reply->error) {
        put_failure(&parts, reply);
        return pack(&message->base, bytes);
    }
    fastalloc__wire__done__init(&parts.done);
    switch (reply->op) {
    case WIRE_HELLO:
        fastalloc__wire__welcome__init(&parts.welcome);
        fields_put_text(&parts.welcome.daemon, reply->hello.daemon, sizeof reply->hello.daemon);
        parts.welcome.pid = reply->hello.pid;
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_HELLO;
        message->hello = &parts.welcome;
        break;
    case WIRE_CREATE:
        put_attached(&parts, reply);
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_CREATE;
        message->create = &parts.attached;
        break;
    case WIRE_OPEN:
        put_attached(&parts, reply);
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_OPEN;
        message->open = &parts.attached;
        break;
    case WIRE_CLOSE:
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_CLOSE;
        message->close = &parts.done;
        break;
    case WIRE_DESTROY:
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_DESTROY;
        message->destroy = &parts.done;
        break;
    case WIRE_LIST:
        put_listing(&parts, reply);
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_LIST;
        message->list = &parts.listing;
        break;
    case WIRE_STAT:
        put_pool(&parts.pools[0], &parts.specs[0], &reply->stat);
        message->result_case = FASTALLOC__WIRE__REPLY__RESULT_STAT;
        message->stat = &parts.pools[0];
        break;
    }
    return pack(&message->base, bytes);
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
    alignas(max_align_t) unsigned char block[WIRE_ARENA];
    struct arena arena;
    const Fastalloc__Wire__Reply *message;
    struct wire_reply result;
    int error;

    memset(&result, 0, sizeof result);
    memset(reply, 0, sizeof *reply);
    error = read_start(bytes, length, &result.id, why);
    reply->id = result.id;
    if (error)
        return error;
    arena_init(&arena, block, sizeof block);
    message = (void *)unpack(&fastalloc__wire__reply__descriptor, &arena, bytes, length, why);
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
