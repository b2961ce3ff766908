/* SPDX-License-Identifier: MIT
 *
 * connection: see connection.h.
 *
 * A connection on which something went wrong (no answer in time, a packet that cannot be
 * read) is closed, so that no late answer is taken for another's.  An answer that came
 * too late for its asker's own deadline is told by its id, and dropped.
 */
#include "connection.h"

#include "fork.h"
#include "os/packet.h"
#include "process.h"
#include "shm/wait.h"

#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)
#define HELLOS 6        /* until it is taken for somebody else, */
#define PAUSE_NS 500000 /* with pauses of twice that, four times, ... */

/* --------------------------------------------------------------- connecting */

static bool is_no_socket(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && !S_ISSOCK(status.st_mode);
}

static int connect_error(const char *path, int error, struct reason *why)
{
    /* Linux refuses a connection to a plain file as to a socket nobody listens on. */
    if (error == ECONNREFUSED && is_no_socket(path))
        error = ENOTSOCK;
    switch (error) {
    case ENOENT:
    case ECONNREFUSED:
        return reason_system(why, FASTALLOC_E_NO_DAEMON, error,
                             "no fastallocd listens on %s (start it, or set FASTALLOC_SOCKET to "
                             "where it listens, or FASTALLOC_AUTOSPAWN=1)",
                             path);
    case EPROTOTYPE:
    case ENOTSOCK:
        return reason_system(why, FASTALLOC_E_NOT_FASTALLOC, error,
                             "%s is not a fastallocd socket: give the right path", path);
    case EACCES:
    case EPERM:
        return reason_system(why, FASTALLOC_E_PERMISSION, error,
                             "not allowed to connect to %s: ask who runs that daemon", path);
    case EAGAIN:
    case EINPROGRESS:
        return reason_system(why, FASTALLOC_E_TIMEOUT, error,
                             "%s did not accept a connection in time", path);
    default:
        return reason_system(why, FASTALLOC_E_SYSTEM, error, "cannot connect to %s", path);
    }
}

static int open_socket(struct connection *connection, struct reason *why)
{
    struct timeval timeout = {connection->timeout_ms / 1000, connection->timeout_ms % 1000 * 1000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), result, error;

    if (made < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot make a socket");
    setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    memcpy(address.sun_path, connection->path, strlen(connection->path) + 1);
    do
        result = connect(made, (struct sockaddr *)&address, sizeof address);
    while (result && errno == EINTR);
    if (result) {
        error = errno;
        close(made);
        return connect_error(connection->path, error, why);
    }
    connection->socket = made;
    connection->generation = process_here()->generation;
    return 0;
}

static int say_hello(struct connection *connection, struct reason *why)
{
    struct wire_request request = {.op = WIRE_HELLO};
    struct wire_reply reply;
    int descriptor = -1, error;
    bool sent;

    strncpy(request.hello.program, program_invocation_short_name, sizeof request.hello.program - 1);
    error = connection_exchange(connection, &request, CONNECTION_FOREVER, &reply, &descriptor,
                                &sent, why);
    if (descriptor >= 0)
        close(descriptor);
    if (!error && reply.error)
        return reason_set(why, reply.error, "%s", reply.message);
    /* Something answered there, or took the connection and hung up; where fastallocd was
     * before, that one ended just now. */
    if (error == FASTALLOC_E_PROTOCOL || error == FASTALLOC_E_NAME ||
        (error == FASTALLOC_E_NO_DAEMON && !connection->met))
        return reason_set(why, FASTALLOC_E_NOT_FASTALLOC,
                          "what listens on %s does not answer as fastallocd does: give the right "
                          "path",
                          connection->path);
    return error;
}

bool connection_is_open(const struct connection *connection)
{
    return connection->socket >= 0 && connection->generation == process_here()->generation;
}

int connection_open(struct connection *connection, struct reason *why)
{
    struct timespec pause = {0, PAUSE_NS};
    int error = 0, tries;

    connection_drop(connection);
    /* More than once: a daemon that ends just now hangs up, and then refuses, or is another;
     * somebody who is not fastallocd does as he did. */
    for (tries = 0; tries < HELLOS; tries++) {
        error = open_socket(connection, why);
        if (error)
            return error;
        error = say_hello(connection, why);
        if (!error) {
            connection->met = true;
            return 0;
        }
        connection_drop(connection);
        if (error != FASTALLOC_E_NOT_FASTALLOC)
            return error;
        pause.tv_nsec *= 2;
        nanosleep(&pause, NULL);
    }
    return error;
}

void connection_drop(struct connection *connection)
{
    if (connection->socket >= 0)
        close(connection->socket);
    connection->socket = -1;
}

/* -------------------------------------------------------------- exchanging */

/* Until something comes, or `until`.  False when nothing did. */
static bool await(int socket, uint64_t until)
{
    struct pollfd ready = {.fd = socket, .events = POLLIN};
    int result;

    do {
        uint64_t now = wait_now(), left = now < until ? (until - now) / NS_PER_MS + 1 : 0;

        result = poll(&ready, 1, left < INT32_MAX ? (int)left : INT32_MAX);
    } while ((result < 0 && errno == EINTR) || (result == 0 && wait_now() < until));
    return result != 0;
}

static int receive_error(const struct connection *connection, ssize_t length, struct reason *why)
{
    if (length == 0 || length == -ECONNRESET)
        return reason_set(why, FASTALLOC_E_NO_DAEMON,
                          "fastallocd at %s closed the connection before it answered: it may have "
                          "ended; try again",
                          connection->path);
    return reason_system(why, FASTALLOC_E_SYSTEM, (int)-length,
                         "cannot receive from fastallocd at %s", connection->path);
}

static int timeout_error(const struct connection *connection, struct reason *why)
{
    return reason_set(why, FASTALLOC_E_TIMEOUT,
                      "fastallocd at %s did not answer within %u ms: is it stopped or overloaded?",
                      connection->path, connection->timeout_ms);
}

/* One packet, which is there. */
static int receive_one(struct connection *connection, struct wire_reply *reply, int *descriptor,
                       struct reason *why)
{
    uint8_t bytes[PACKET_MAX];
    struct reason detail;
    ssize_t length;
    int error;

    length = packet_receive(connection->socket, bytes, descriptor);
    if (length == -EAGAIN)
        return timeout_error(connection, why);
    if (length <= 0)
        return receive_error(connection, length, why);
    error = wire_unpack_reply(bytes, (size_t)length, reply, &detail);
    if (error)
        return reason_set(why, error, "the answer of %s cannot be read: %s", connection->path,
                          detail.text);
    return 0;
}

/* The reply to request `id`, whatever it says. */
static int receive_reply(struct connection *connection, uint64_t id, bool fenced,
                         struct wire_reply *reply, int *descriptor, struct reason *why)
{
    int came = -1, error;

    if (fenced)
        fork_hold();
    error = receive_one(connection, reply, &came, why);
    if (!error && reply->id != id && reply->id > connection->abandoned)
        error = reason_set(why, FASTALLOC_E_PROTOCOL, "%s answered request %llu, not %llu",
                           connection->path, (unsigned long long)reply->id, (unsigned long long)id);
    if (came >= 0 && (error || reply->id != id)) {
        close(came);
        came = -1;
    }
    if (fenced && came < 0)
        fork_release();
    if (!error && reply->id == id)
        *descriptor = came;
    return error;
}

static int send_request(struct connection *connection, struct wire_request *request,
                        struct reason *why)
{
    uint8_t bytes[WIRE_MAX];
    size_t length;
    int error;

    request->id = ++connection->next_id;
    length = wire_pack_request(request, bytes);
    if (!length)
        return reason_set(why, FASTALLOC_E_INVALID, "the request does not fit a packet");
    do
        error = packet_send(connection->socket, bytes, length, -1);
    while (error == EINTR);
    if (error)
        return reason_system(why, error == EAGAIN ? FASTALLOC_E_TIMEOUT : FASTALLOC_E_NO_DAEMON,
                             error, "cannot send to fastallocd at %s", connection->path);
    return 0;
}

int connection_exchange(struct connection *connection, struct wire_request *request,
                        uint64_t deadline, struct wire_reply *reply, int *descriptor, bool *sent,
                        struct reason *why)
{
    bool fenced = request->op == WIRE_CREATE || request->op == WIRE_OPEN;
    uint64_t until = wait_now() + connection->timeout_ms * NS_PER_MS;
    int error;

    *descriptor = -1;
    *sent = false;
    error = send_request(connection, request, why);
    if (error)
        goto drop;
    *sent = true;
    do {
        if (!await(connection->socket, deadline < until ? deadline : until)) {
            error = timeout_error(connection, why);
            if (deadline >= until)
                goto drop;
            connection->abandoned = request->id;
            return error;
        }
        error = receive_reply(connection, request->id, fenced, reply, descriptor, why);
        if (error)
            goto drop;
    } while (reply->id != request->id);
    return 0;

drop:
    connection_drop(connection);
    return error;
}

void connection_post(struct connection *connection, struct wire_request *request)
{
    uint8_t bytes[WIRE_MAX];
    size_t length;

    request->id = ++connection->next_id;
    length = wire_pack_request(request, bytes);
    /* A connection that broke is noticed by the next request. */
    if (length)
        (void)!send(connection->socket, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}
