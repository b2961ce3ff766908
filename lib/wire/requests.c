/* SPDX-License-Identifier: MIT
 *
 * requests: to bytes and from bytes.
 */
#include "wire.h"

#include "arena.h"
#include "fields.h"
#include "frame.h"

#include <fastalloc/fastalloc.h>
#include <stdalign.h>
#include <string.h>

/* All that the parts of a request need while it is packed. */
struct request_parts {
    Fastalloc__Wire__Request message;
    Fastalloc__Wire__Hello hello;
    Fastalloc__Wire__Spec spec;
    Fastalloc__Wire__Session session;
    Fastalloc__Wire__ByName by_name;
    Fastalloc__Wire__List list;
    Fastalloc__Wire__Grow grow;
    Fastalloc__Wire__Shrink shrink;
    Fastalloc__Wire__Release release;
    Fastalloc__Wire__Shutdown shutdown;
};

static Fastalloc__Wire__Session *put_session(struct request_parts *parts, uint64_t pool_id,
                                             uint32_t session, uint64_t nonce)
{
    fastalloc__wire__session__init(&parts->session);
    parts->session.pool_id = pool_id;
    parts->session.session = session;
    parts->session.nonce = nonce;
    return &parts->session;
}

static Fastalloc__Wire__Spec *put_spec(struct request_parts *parts, const struct pool_spec *spec)
{
    fields_put_spec(&parts->spec, spec);
    return &parts->spec;
}

static Fastalloc__Wire__ByName *put_name(struct request_parts *parts, const char *name)
{
    fastalloc__wire__by_name__init(&parts->by_name);
    fields_put_text(&parts->by_name.name, name, SPEC_NAME_MAX + 1);
    return &parts->by_name;
}

static Fastalloc__Wire__Grow *put_grow(struct request_parts *parts,
                                       const struct wire_request *request)
{
    fastalloc__wire__grow__init(&parts->grow);
    parts->grow.session =
        put_session(parts, request->grow.pool_id, request->grow.session, request->grow.nonce);
    parts->grow.capacity = request->grow.capacity;
    parts->grow.from = request->grow.from;
    parts->grow.increment = request->grow.increment;
    parts->grow.one_way = request->grow.one_way;
    return &parts->grow;
}

static Fastalloc__Wire__Shrink *put_shrink(struct request_parts *parts,
                                           const struct wire_request *request)
{
    fastalloc__wire__shrink__init(&parts->shrink);
    parts->shrink.session =
        put_session(parts, request->shrink.pool_id, request->shrink.session, request->shrink.nonce);
    parts->shrink.target = request->shrink.target;
    return &parts->shrink;
}

static Fastalloc__Wire__Release *put_release(struct request_parts *parts,
                                             const struct wire_request *request)
{
    fastalloc__wire__release__init(&parts->release);
    fields_put_text(&parts->release.name, request->release.name, sizeof request->release.name);
    parts->release.handle = request->release.handle;
    return &parts->release;
}

/* Sets the request's one part.  With an operation there is none of, it asks for nothing. */
static void put_request(struct request_parts *parts, const struct wire_request *request)
{
    Fastalloc__Wire__Request *message = &parts->message;

    switch (request->op) {
    case WIRE_HELLO:
        fastalloc__wire__hello__init(&parts->hello);
        fields_put_text(&parts->hello.program, request->hello.program,
                        sizeof request->hello.program);
        message->op_case = FASTALLOC__WIRE__REQUEST__OP_HELLO;
        message->hello = &parts->hello;
        break;
    case WIRE_CREATE:
        message->op_case = FASTALLOC__WIRE__REQUEST__OP_CREATE;
        message->create = put_spec(parts, &request->create);
        break;
    case WIRE_OPEN:
        message->op_case = FASTALLOC__WIRE__REQUEST__OP_OPEN;
        message->open = put_spec(parts, &request->open.expected);
        break;
    case WIRE_CLOSE:
        message->op_case = FASTALLOC__WIRE__REQUEST__OP_CLOSE;
        message->close = put_session(parts, request->close.pool_id, request->close.session,
                                     request->close.nonce);
        break;
    case WIRE_DESTROY:
        message->op_case = FASTALLOC__WIRE__REQUEST__OP_DESTROY;
        message->destroy = put_name(parts, request->destroy.name);
        break;
    case WIRE_LIST:
        fastalloc__wire__list__init(&parts->list);
        parts->list.after = request->list.after;
        message->op_case = FASTALLOC__WIRE__REQUEST__OP_LIST;
        message->list = &parts->list;
        break;
    case WIRE_STAT:
        message->op_case = FASTALLOC__WIRE__REQUEST__OP_STAT;
        message->stat = put_name(parts, request->stat.name);
        break;
    case WIRE_GROW:
        message->op_case = FASTALLOC__WIRE__REQUEST__OP_GROW;
        message->grow = put_grow(parts, request);
        break;
    case WIRE_SHRINK:
        message->op_case = FASTALLOC__WIRE__REQUEST__OP_SHRINK;
        message->shrink = put_shrink(parts, request);
        break;
    case WIRE_RESUME:
        message->op_case = FASTALLOC__WIRE__REQUEST__OP_RESUME;
        message->resume = put_session(parts, request->resume.pool_id, request->resume.session,
                                      request->resume.nonce);
        break;
    case WIRE_RELEASE:
        message->op_case = FASTALLOC__WIRE__REQUEST__OP_RELEASE;
        message->release = put_release(parts, request);
        break;
    case WIRE_SHUTDOWN:
        fastalloc__wire__shutdown__init(&parts->shutdown);
        parts->shutdown.destroy = request->shutdown.destroy;
        message->op_case = FASTALLOC__WIRE__REQUEST__OP_SHUTDOWN;
        message->shutdown = &parts->shutdown;
        break;
    }
}

size_t wire_pack_request(const struct wire_request *request, uint8_t bytes[WIRE_MAX])
{
    struct request_parts parts;

    fastalloc__wire__request__init(&parts.message);
    parts.message.version = WIRE_VERSION;
    parts.message.id = request->id;
    put_request(&parts, request);
    return frame_pack(&parts.message.base, bytes);
}

static void get_session(struct wire_session *out, const Fastalloc__Wire__Session *in)
{
    out->pool_id = in->pool_id;
    out->session = in->session;
    out->nonce = in->nonce;
}

static int get_name(char name[SPEC_NAME_MAX + 1], const ProtobufCBinaryData *in, struct reason *why)
{
    return fields_get_text(name, SPEC_NAME_MAX + 1, in, FASTALLOC_E_NAME, "the pool's name", why);
}

static int get_grow(struct wire_request *request, const Fastalloc__Wire__Grow *in,
                    struct reason *why)
{
    if (!in->session)
        return reason_set(why, FASTALLOC_E_PROTOCOL, "a request to grow without a session");
    request->grow.pool_id = in->session->pool_id;
    request->grow.session = in->session->session;
    request->grow.nonce = in->session->nonce;
    request->grow.capacity = in->capacity;
    request->grow.from = in->from;
    request->grow.increment = in->increment;
    request->grow.one_way = in->one_way;
    return 0;
}

static int get_shrink(struct wire_request *request, const Fastalloc__Wire__Shrink *in,
                      struct reason *why)
{
    if (!in->session)
        return reason_set(why, FASTALLOC_E_PROTOCOL, "a request to shrink without a session");
    request->shrink.pool_id = in->session->pool_id;
    request->shrink.session = in->session->session;
    request->shrink.nonce = in->session->nonce;
    request->shrink.target = in->target;
    return 0;
}

static int get_request(struct wire_request *request, const Fastalloc__Wire__Request *message,
                       struct reason *why)
{
    switch (message->op_case) {
    case FASTALLOC__WIRE__REQUEST__OP_HELLO:
        request->op = WIRE_HELLO;
        return fields_get_text(request->hello.program, sizeof request->hello.program,
                               &message->hello->program, FASTALLOC_E_PROTOCOL, "the program's name",
                               why);
    case FASTALLOC__WIRE__REQUEST__OP_CREATE:
        request->op = WIRE_CREATE;
        return fields_get_spec(&request->create, message->create, why);
    case FASTALLOC__WIRE__REQUEST__OP_OPEN:
        request->op = WIRE_OPEN;
        return fields_get_spec(&request->open.expected, message->open, why);
    case FASTALLOC__WIRE__REQUEST__OP_CLOSE:
        request->op = WIRE_CLOSE;
        get_session(&request->close, message->close);
        return 0;
    case FASTALLOC__WIRE__REQUEST__OP_DESTROY:
        request->op = WIRE_DESTROY;
        return get_name(request->destroy.name, &message->destroy->name, why);
    case FASTALLOC__WIRE__REQUEST__OP_LIST:
        request->op = WIRE_LIST;
        request->list.after = message->list->after;
        return 0;
    case FASTALLOC__WIRE__REQUEST__OP_STAT:
        request->op = WIRE_STAT;
        return get_name(request->stat.name, &message->stat->name, why);
    case FASTALLOC__WIRE__REQUEST__OP_GROW:
        request->op = WIRE_GROW;
        return get_grow(request, message->grow, why);
    case FASTALLOC__WIRE__REQUEST__OP_SHRINK:
        request->op = WIRE_SHRINK;
        return get_shrink(request, message->shrink, why);
    case FASTALLOC__WIRE__REQUEST__OP_RESUME:
        request->op = WIRE_RESUME;
        get_session(&request->resume, message->resume);
        return 0;
    case FASTALLOC__WIRE__REQUEST__OP_RELEASE:
        request->op = WIRE_RELEASE;
        request->release.handle = message->release->handle;
        return get_name(request->release.name, &message->release->name, why);
    case FASTALLOC__WIRE__REQUEST__OP_SHUTDOWN:
        request->op = WIRE_SHUTDOWN;
        request->shutdown.destroy = message->shutdown->destroy;
        return 0;
    case FASTALLOC__WIRE__REQUEST__OP__NOT_SET:
    case _FASTALLOC__WIRE__REQUEST__OP__CASE_IS_INT_SIZE:
        break;
    }
    return reason_set(why, FASTALLOC_E_PROTOCOL, "a request that asks for nothing");
}

int wire_unpack_request(const uint8_t *bytes, size_t length, struct wire_request *request,
                        struct reason *why)
{
    alignas(max_align_t) unsigned char block[FRAME_ARENA];
    struct arena arena;
    const Fastalloc__Wire__Request *message;
    struct wire_request result;
    int error;

    memset(&result, 0, sizeof result);
    memset(request, 0, sizeof *request);
    error = frame_start(bytes, length, &result.id, why);
    request->id = result.id;
    if (error)
        return error;
    arena_init(&arena, block, sizeof block);
    message =
        (void *)frame_unpack(&fastalloc__wire__request__descriptor, &arena, bytes, length, why);
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
