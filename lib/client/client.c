/* SPDX-License-Identifier: MIT
 *
 * client: see client.h.
 *
 * The socket blocks, with the time-out as its own.  A connection on which
 * something went wrong (no answer in time, a packet that cannot be read) is
 * closed, so that no late answer is taken for another's; the next request
 * connects again.  What could not even be sent is sent once more.  Pools do not
 * notice: a session lasts as long as its mapping, not its connection.
 */
#include "client.h"

#include "fault.h"
#include "os/packet.h"
#include "os/paths.h"
#include "pool.h"
#include "process.h"
#include "spawn.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT_DEFAULT_MS 5000u

struct fastalloc_client {
    pthread_mutex_t mutex; /* one request at a time */
    int socket;            /* -1: not connected */
    uint32_t timeout_ms;
    uint64_t next_id;
    uint64_t generation;    /* of the process when it connected */
    fastalloc_client *next; /* process.clients */
    char path[PATHS_MAX];
};

fastalloc_client **client_next(fastalloc_client *client)
{
    return &client->next;
}

void client_become_child(fastalloc_client *client)
{
    pthread_mutex_init(&client->mutex, NULL);
}

uint32_t client_timeout_ms(const fastalloc_client *client)
{
    return client->timeout_ms;
}

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

static int open_socket(const fastalloc_client *client, int *connected, struct reason *why)
{
    struct timeval timeout = {client->timeout_ms / 1000, client->timeout_ms % 1000 * 1000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), result, error;

    if (made < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot make a socket");
    setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    memcpy(address.sun_path, client->path, strlen(client->path) + 1);
    do
        result = connect(made, (struct sockaddr *)&address, sizeof address);
    while (result && errno == EINTR);
    if (result) {
        error = errno;
        close(made);
        return connect_error(client->path, error, why);
    }
    *connected = made;
    return 0;
}

/* -------------------------------------------------------------- exchanging */

static void drop(fastalloc_client *client)
{
    if (client->socket >= 0)
        close(client->socket);
    client->socket = -1;
}

/* The reply to request `id`, whatever it says. */
static int receive_reply(fastalloc_client *client, uint64_t id, struct wire_reply *reply,
                         int *descriptor, struct reason *why)
{
    uint8_t bytes[PACKET_MAX];
    struct reason detail;
    int came = -1, error;
    ssize_t length;

    do
        length = packet_receive(client->socket, bytes, &came);
    while (length == -EINTR);
    if (length == 0 || length == -ECONNRESET)
        return reason_set(why, FASTALLOC_E_NO_DAEMON,
                          "fastallocd at %s closed the connection before it answered: it may have "
                          "ended; try again",
                          client->path);
    if (length == -EAGAIN)
        return reason_set(why, FASTALLOC_E_TIMEOUT,
                          "fastallocd at %s did not answer within %u ms: is it stopped or "
                          "overloaded?",
                          client->path, client->timeout_ms);
    if (length < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, (int)-length,
                             "cannot receive from fastallocd at %s", client->path);
    error = wire_unpack_reply(bytes, (size_t)length, reply, &detail);
    if (error)
        reason_set(why, error, "the answer of %s cannot be read: %s", client->path, detail.text);
    else if (reply->id != id)
        error = reason_set(why, FASTALLOC_E_PROTOCOL, "%s answered request %llu, not %llu",
                           client->path, (unsigned long long)reply->id, (unsigned long long)id);
    if (error) {
        if (came >= 0)
            close(came);
        return error;
    }
    *descriptor = came;
    return 0;
}

/* One request on the open connection.  *sent tells whether the daemon may have it. */
static int exchange(fastalloc_client *client, struct wire_request *request,
                    struct wire_reply *reply, int *descriptor, bool *sent, struct reason *why)
{
    uint8_t bytes[WIRE_MAX];
    size_t length;
    int error;

    request->id = ++client->next_id;
    length = wire_pack_request(request, bytes);
    if (!length)
        return reason_set(why, FASTALLOC_E_INVALID, "the request does not fit a packet");
    do
        error = packet_send(client->socket, bytes, length, -1);
    while (error == EINTR);
    *sent = !error;
    if (error)
        return reason_system(why, error == EAGAIN ? FASTALLOC_E_TIMEOUT : FASTALLOC_E_NO_DAEMON,
                             error, "cannot send to fastallocd at %s", client->path);
    error = receive_reply(client, request->id, reply, descriptor, why);
    return error;
}

static int say_hello(fastalloc_client *client, struct reason *why)
{
    struct wire_request request = {.op = WIRE_HELLO};
    struct wire_reply reply;
    int descriptor = -1, error;
    bool sent;

    strncpy(request.hello.program, program_invocation_short_name, sizeof request.hello.program - 1);
    error = exchange(client, &request, &reply, &descriptor, &sent, why);
    if (descriptor >= 0)
        close(descriptor);
    if (!error && reply.error)
        return reason_set(why, reply.error, "%s", reply.message);
    /* Something answered there, or took the connection and hung up. */
    if (error == FASTALLOC_E_PROTOCOL || error == FASTALLOC_E_NAME ||
        error == FASTALLOC_E_NO_DAEMON)
        return reason_set(why, FASTALLOC_E_NOT_FASTALLOC,
                          "what listens on %s does not answer as fastallocd does: give the right "
                          "path",
                          client->path);
    return error;
}

/* Connects if need be; also in a forked child, whose copy of the parent's
 * connection is of no use. */
static int ensure_connected(fastalloc_client *client, struct reason *why)
{
    uint64_t generation = process_here()->generation;
    int error, tries;

    if (client->socket >= 0 && client->generation == generation)
        return 0;
    drop(client);
    /* Twice: a daemon that dies just now hangs up the first time and refuses the
     * second; somebody who is not fastallocd does as he did. */
    for (tries = 0; tries < 2; tries++) {
        error = open_socket(client, &client->socket, why);
        if (error)
            return error;
        client->generation = generation;
        error = say_hello(client, why);
        if (!error)
            return 0;
        drop(client);
        if (error != FASTALLOC_E_NOT_FASTALLOC)
            return error;
    }
    return error;
}

int client_request(fastalloc_client *client, struct wire_request *request, struct wire_reply *reply,
                   int *descriptor, struct reason *why)
{
    int came = -1, error = 0, tries, cancel_state;
    bool sent = false;

    /* Receiving is a cancellation point, and the mutex would stay locked. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&client->mutex);
    for (tries = 0; tries < 2 && !sent; tries++) {
        error = ensure_connected(client, why);
        if (error)
            break;
        error = exchange(client, request, reply, &came, &sent, why);
        if (error)
            drop(client);
    }
    pthread_mutex_unlock(&client->mutex);
    pthread_setcancelstate(cancel_state, NULL);
    if (!error && reply->error)
        error = reason_set(why, reply->error, "%s", reply->message);
    if (!error && descriptor && came < 0)
        error = reason_set(why, FASTALLOC_E_PROTOCOL,
                           "fastallocd at %s sent no descriptor: has this process too many open "
                           "files?",
                           client->path);
    if (came >= 0 && (error || !descriptor))
        close(came);
    else if (descriptor && !error)
        *descriptor = came;
    return error;
}

/* ------------------------------------------------------------------- public */

void fastalloc_connect_options_init(fastalloc_connect_options *options)
{
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
}

static bool wants_spawn(const fastalloc_connect_options *options)
{
    const char *value = secure_getenv("FASTALLOC_AUTOSPAWN");

    if (options->autospawn)
        return options->autospawn > 0;
    return value && value[0] && strcmp(value, "0") != 0;
}

static int connect_or_spawn(fastalloc_client *client, const fastalloc_connect_options *options,
                            struct reason *why)
{
    int error, cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    error = ensure_connected(client, why);
    if (error == FASTALLOC_E_NO_DAEMON && wants_spawn(options)) {
        error = spawn_daemon(client->path, why);
        if (!error)
            error = ensure_connected(client, why);
    }
    pthread_setcancelstate(cancel_state, NULL);
    return error;
}

int fastalloc_connect(fastalloc_client **out, const fastalloc_connect_options *or_null)
{
    fastalloc_connect_options options;
    fastalloc_client *client;
    struct reason why;
    int error;

    if (!out || (or_null && or_null->struct_size != sizeof options))
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_connect: %s",
                         !out ? "the output is NULL"
                              : "begin with fastalloc_connect_options_init()");
    fastalloc_connect_options_init(&options);
    if (or_null)
        options = *or_null;
    client = calloc(1, sizeof *client);
    if (!client)
        return fault_set(FASTALLOC_E_NO_MEMORY, "no memory to connect");
    client->socket = -1;
    client->timeout_ms = options.timeout_ms ? options.timeout_ms : TIMEOUT_DEFAULT_MS;
    pthread_mutex_init(&client->mutex, NULL);
    error = paths_socket(client->path, options.socket, wants_spawn(&options), &why);
    if (!error)
        error = connect_or_spawn(client, &options, &why);
    if (error) {
        pthread_mutex_destroy(&client->mutex);
        free(client);
        return fault_say(&why);
    }
    process_add_client(client);
    *out = client;
    return 0;
}

/* Some pool that was opened through the client. */
static fastalloc_pool *pool_of(const fastalloc_client *client)
{
    struct process *process = process_lock();
    fastalloc_pool *pool;

    for (pool = process->pools; pool && pool->client != client; pool = pool->next)
        ;
    process_unlock(process);
    return pool;
}

void fastalloc_disconnect(fastalloc_client *client)
{
    fastalloc_pool *pool;
    int cancel_state;

    if (!client)
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    while ((pool = pool_of(client)) && fastalloc_pool_close(pool) == 0)
        ;
    process_remove_client(client);
    drop(client);
    pthread_mutex_destroy(&client->mutex);
    free(client);
    pthread_setcancelstate(cancel_state, NULL);
}
