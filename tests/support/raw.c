/* SPDX-License-Identifier: MIT
 *
 * raw: packets by hand.
 */
#include "raw.h"

#include "os/packet.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 15

int raw_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(made, 0);
    strcpy(address.sun_path, path);
    ck_assert_int_eq(setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    ck_assert_msg(connect(made, (struct sockaddr *)&address, sizeof address) == 0,
                  "cannot connect to %s: %s", path, strerror(errno));
    return made;
}

int raw_client(const char *path)
{
    struct wire_request request = {.op = WIRE_HELLO};
    struct wire_reply reply;
    int made = raw_connect(path);

    strcpy(request.hello.program, "raw");
    ck_assert_int_eq(raw_call(made, &request, &reply, NULL), 0);
    ck_assert_int_eq(reply.op, WIRE_HELLO);
    return made;
}

void raw_send(int socket, const void *bytes, size_t length)
{
    ck_assert_int_eq(packet_send(socket, bytes, length, -1), 0);
}

bool raw_receive(int socket, struct wire_reply *reply, int *descriptor)
{
    uint8_t bytes[PACKET_MAX];
    struct reason why = {0, ""};
    int ridden = -1, error;
    ssize_t length = packet_receive(socket, bytes, &ridden);

    if (length == 0 || length == -ECONNRESET)
        return false;
    ck_assert_msg(length > 0, "no reply: %s", strerror((int)-length));
    error = wire_unpack_reply(bytes, (size_t)length, reply, &why);
    ck_assert_msg(error == 0, "a bad reply: %s", why.text);
    if (descriptor)
        *descriptor = ridden;
    else
        ck_assert_int_eq(ridden, -1);
    return true;
}

bool raw_is_closed(int socket)
{
    char byte[PACKET_MAX];
    ssize_t length = recv(socket, byte, sizeof byte, 0);

    return length == 0 || (length < 0 && errno == ECONNRESET);
}

int raw_call(int socket, struct wire_request *request, struct wire_reply *reply, int *descriptor)
{
    static uint64_t ids;
    uint8_t bytes[WIRE_MAX];
    size_t length;

    request->id = ++ids;
    length = wire_pack_request(request, bytes);
    ck_assert_uint_gt(length, 0);
    raw_send(socket, bytes, length);
    ck_assert(raw_receive(socket, reply, descriptor));
    ck_assert_uint_eq(reply->id, request->id);
    ck_assert_int_eq(reply->op, request->op);
    return reply->error;
}

struct pool_spec raw_spec(const char *name, uint64_t size, uint64_t capacity)
{
    struct pool_spec spec;

    memset(&spec, 0, sizeof spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.object_size = size;
    spec.capacity = capacity;
    return spec;
}

static int attach(int socket, struct wire_request *request, struct wire_reply *reply)
{
    int descriptor, error = raw_call(socket, request, reply, &descriptor);

    ck_assert_int_eq(descriptor >= 0, error == 0);
    return error ? error : descriptor;
}

int raw_create(int socket, const struct pool_spec *spec, struct wire_reply *reply)
{
    struct wire_request request = {.op = WIRE_CREATE, .create = *spec};

    return attach(socket, &request, reply);
}

int raw_open(int socket, const char *name, struct wire_reply *reply)
{
    struct wire_request request = {.op = WIRE_OPEN};

    snprintf(request.open.expected.name, sizeof request.open.expected.name, "%s", name);
    return attach(socket, &request, reply);
}

int raw_close(int socket, const struct wire_reply *attached)
{
    struct wire_request request = {.op = WIRE_CLOSE};
    struct wire_reply reply;

    request.close.pool_id = attached->attached.pool_id;
    request.close.session = attached->attached.session;
    request.close.nonce = attached->attached.nonce;
    return raw_call(socket, &request, &reply, NULL);
}

int raw_destroy(int socket, const char *name)
{
    struct wire_request request = {.op = WIRE_DESTROY};
    struct wire_reply reply;

    snprintf(request.destroy.name, sizeof request.destroy.name, "%s", name);
    return raw_call(socket, &request, &reply, NULL);
}

int raw_stat(int socket, const char *name, struct wire_reply *reply)
{
    struct wire_request request = {.op = WIRE_STAT};

    snprintf(request.stat.name, sizeof request.stat.name, "%s", name);
    return attach(socket, &request, reply);
}

static struct wire_request grow_request(const struct wire_reply *attached, uint64_t from,
                                        uint64_t increment)
{
    struct wire_request request = {.op = WIRE_GROW};

    request.grow.pool_id = attached->attached.pool_id;
    request.grow.session = attached->attached.session;
    request.grow.nonce = attached->attached.nonce;
    request.grow.from = from;
    request.grow.increment = increment;
    return request;
}

int64_t raw_grow(int socket, const struct wire_reply *attached, uint64_t capacity, uint64_t from,
                 uint64_t increment, struct wire_reply *reply)
{
    struct wire_request request = grow_request(attached, from, increment);

    request.grow.capacity = capacity;
    return raw_call(socket, &request, reply, NULL) ? reply->error : (int64_t)reply->capacity;
}

void raw_grow_ahead(int socket, const struct wire_reply *attached, uint64_t from,
                    uint64_t increment)
{
    struct wire_request request = grow_request(attached, from, increment);
    uint8_t bytes[WIRE_MAX];

    request.grow.one_way = true;
    raw_send(socket, bytes, wire_pack_request(&request, bytes));
}

int64_t raw_shrink(int socket, const struct wire_reply *attached, uint64_t target)
{
    struct wire_request request = {.op = WIRE_SHRINK};
    struct wire_reply reply;

    request.shrink.pool_id = attached->attached.pool_id;
    request.shrink.session = attached->attached.session;
    request.shrink.nonce = attached->attached.nonce;
    request.shrink.target = target;
    return raw_call(socket, &request, &reply, NULL) ? reply.error : (int64_t)reply.capacity;
}

int raw_resume(int socket, const struct wire_reply *attached)
{
    struct wire_request request = {.op = WIRE_RESUME};
    struct wire_reply reply;

    request.resume.pool_id = attached->attached.pool_id;
    request.resume.session = attached->attached.session;
    request.resume.nonce = attached->attached.nonce;
    return raw_call(socket, &request, &reply, NULL);
}

int64_t raw_release(int socket, const char *name, uint64_t handle)
{
    struct wire_request request = {.op = WIRE_RELEASE};
    struct wire_reply reply;

    snprintf(request.release.name, sizeof request.release.name, "%s", name);
    request.release.handle = handle;
    return raw_call(socket, &request, &reply, NULL) ? reply.error : (int64_t)reply.released;
}

int raw_shutdown(int socket, bool destroy, struct wire_reply *reply)
{
    struct wire_request request = {.op = WIRE_SHUTDOWN};

    request.shutdown.destroy = destroy;
    return raw_call(socket, &request, reply, NULL);
}

int64_t raw_capacity(int socket, const char *name)
{
    struct wire_reply reply;
    int segment = raw_stat(socket, name, &reply);

    if (segment < 0)
        return segment;
    close(segment);
    return (int64_t)reply.stat.capacity;
}

int64_t raw_sessions(int socket, const char *name)
{
    struct wire_reply reply;
    int segment = raw_stat(socket, name, &reply);

    if (segment < 0)
        return segment;
    close(segment);
    return reply.stat.sessions;
}
