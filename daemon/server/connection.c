/* SPDX-License-Identifier: MIT
 *
 * connection: reading requests, sending replies.
 */
#include "connection.h"

#include "jobs.h"
#include "log.h"
#include "os/packet.h"
#include "request.h"
#include "sweeper.h"
#include "wishes.h"

#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

enum connection_state { STATE_READING, STATE_WAITING, STATE_SENDING, STATE_ENDED };

struct connection {
    struct client client; /* first: one is the other */
    struct server *server;
    enum connection_state state;
    int socket;
    uv_poll_t poll;
    uv_timer_t deadline;
    unsigned handles;      /* not yet closed */
    struct reason refusal; /* with a code: what the first request is answered by */
    struct request_result result;
    struct connection *prev, *next;
};

static void on_event(uv_poll_t *handle, int status, int events);
static void on_deadline(uv_timer_t *timer);

static struct connection *connection_of(struct client *client)
{
    return (struct connection *)client;
}

struct request_result *connection_result(struct client *client)
{
    return &connection_of(client)->result;
}

/* -------------------------------------------------------------------- states */

static void enter(struct connection *connection, enum connection_state state, int events,
                  unsigned deadline_ms)
{
    connection->state = state;
    uv_poll_start(&connection->poll, events, on_event);
    if (deadline_ms > 0)
        uv_timer_start(&connection->deadline, on_deadline, deadline_ms, 0);
    else
        uv_timer_stop(&connection->deadline);
}

static void read_next(struct connection *connection)
{
    enter(connection, STATE_READING, UV_READABLE,
          connection->client.greeted ? 0 : LIMIT_HANDSHAKE_MS);
}

static void wait_for(struct connection *connection, struct pool *pool, const struct wish *wish)
{
    struct client *client = &connection->client;

    client->awaits_pool = pool;
    client->wish = *wish;
    DL_APPEND2(pool->waiters, client, waiter_prev, waiter_next);
    enter(connection, STATE_WAITING, UV_READABLE | UV_DISCONNECT,
          wish->kind == WISH_SWEEP ? LIMIT_CLOSE_MS : 0);
}

static void wait_no_more(struct client *client)
{
    wish_drop(client);
    client->wish.kind = WISH_NONE;
}

static void drop_descriptor(struct connection *connection)
{
    if (connection->result.descriptor >= 0)
        close(connection->result.descriptor);
    connection->result.descriptor = -1;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;

    if (--connection->handles == 0)
        free(connection);
}

void connection_end(struct connection *connection)
{
    struct server *server = connection->server;
    struct client *client = &connection->client;

    if (connection->state == STATE_ENDED)
        return;
    connection->state = STATE_ENDED;
    log_debug("pid %u uid %u disconnected", client->peer.pid, client->peer.uid);
    wait_no_more(client);
    drop_descriptor(connection);
    registry_suspect_client(&server->registry, client, uv_now(&server->loop));
    access_forget(&client->peer);
    DL_DELETE(server->connections, connection);
    server->connection_count--;
    server->waited |= client->greeted;
    uv_close((uv_handle_t *)&connection->poll, on_handle_closed);
    uv_close((uv_handle_t *)&connection->deadline, on_handle_closed);
    close(connection->socket);
    if (!server->stopping) {
        sweeper_wake(server);
        server_consider_end(server);
    }
}

void connection_end_all(struct server *server)
{
    while (server->connections)
        connection_end(server->connections);
}

/* ------------------------------------------------------------------- sending */

static void send_reply(struct connection *connection)
{
    struct request_result *result = &connection->result;
    uint8_t bytes[WIRE_MAX];
    size_t length = wire_pack_reply(&result->reply, bytes);
    int error = packet_send(connection->socket, bytes, length, result->descriptor);

    if (error == EAGAIN) {
        if (connection->state != STATE_SENDING)
            enter(connection, STATE_SENDING, UV_WRITABLE | UV_DISCONNECT, LIMIT_REPLY_MS);
        return;
    }
    drop_descriptor(connection);
    if (error) {
        log_debug("no reply to pid %u: %s", connection->client.peer.pid, strerror(error));
        connection_end(connection);
    } else if (result->hang_up) {
        connection_end(connection);
    } else {
        read_next(connection);
    }
}

void connection_answer(struct client *client)
{
    wait_no_more(client);
    send_reply(connection_of(client));
}

void connection_refuse(struct client *client, const struct reason *why)
{
    struct wire_reply *reply = &connection_of(client)->result.reply;

    request_refuse(reply, reply->id, reply->op, why);
    connection_answer(client);
}

/* ------------------------------------------------------------------- reading */

static void shut_down(struct connection *connection)
{
    struct request_result *result = &connection->result;
    struct reason why;

    if (server_shut_down(connection->server, result->destroy, connection->socket, &result->reply,
                         &why))
        connection_refuse(&connection->client, &why);
}

static void proceed(struct connection *connection)
{
    static const struct wish for_pool = {.kind = WISH_POOL};
    struct request_result *result = &connection->result;
    struct server *server = connection->server;
    struct wish wish = {.kind = WISH_SWEEP};

    switch (result->next) {
    case REQUEST_ANSWER:
        sweeper_watch(server);
        send_reply(connection);
        break;
    case REQUEST_BUILD:
        wait_for(connection, result->pool, &for_pool);
        jobs_build(server, result->pool);
        break;
    case REQUEST_SWEEP:
        wish.session = result->session->number;
        wait_for(connection, result->pool, &wish);
        sweeper_wake(server);
        break;
    case REQUEST_RELEASE:
        wait_for(connection, result->pool, &for_pool);
        jobs_release(server, result->pool);
        break;
    case REQUEST_WISH:
        wait_for(connection, result->pool, &result->wish);
        sweeper_continue(server, result->pool);
        break;
    case REQUEST_AHEAD:
        sweeper_continue(server, result->pool);
        break;
    case REQUEST_NOTHING:
        break;
    case REQUEST_SHUTDOWN:
        shut_down(connection);
        break;
    }
}

/* The answer to a packet that is not to be handled. */
static void send_away(struct connection *connection, const uint8_t *bytes, size_t length,
                      const struct reason *why)
{
    struct request_result *result = &connection->result;
    struct wire_request request;

    memset(&request, 0, sizeof request);
    if (length > 0)
        wire_unpack_request(bytes, length, &request, NULL);
    memset(result, 0, sizeof *result);
    request_refuse(&result->reply, request.id, request.op, why);
    result->descriptor = -1;
    result->hang_up = true;
    log_warn("pid %u uid %u is sent away: %s", connection->client.peer.pid,
             connection->client.peer.uid, why->text);
    send_reply(connection);
}

static void receive(struct connection *connection)
{
    struct server *server = connection->server;
    struct request_result *result = &connection->result;
    uint8_t bytes[PACKET_MAX];
    struct reason why;
    /* Nobody has a descriptor for us: without room for one none is installed. */
    ssize_t length = packet_receive(connection->socket, bytes, NULL);

    if (length == -EAGAIN)
        return;
    if (length == -EMSGSIZE) {
        reason_set(&why, FASTALLOC_E_PROTOCOL, "a packet of more than %d bytes", PACKET_MAX);
        send_away(connection, NULL, 0, &why);
    } else if (length <= 0) {
        connection_end(connection);
    } else if (connection->refusal.code) {
        send_away(connection, bytes, (size_t)length, &connection->refusal);
    } else {
        request_handle(&server->registry, &connection->client, bytes, (size_t)length,
                       uv_now(&server->loop), result);
        proceed(connection);
    }
}

/* While the client waits: takes a request that nothing answers.  Any other stays where it
 * is, and all behind it, until the answer is out. */
static void receive_one_way(struct connection *connection)
{
    struct server *server = connection->server;
    struct request_result result;
    uint8_t bytes[PACKET_MAX];
    ssize_t length = recv(connection->socket, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);

    if (length == 0) {
        connection_end(connection);
        return;
    }
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length < 0 || !request_is_one_way(bytes, (size_t)length)) {
        uv_poll_start(&connection->poll, UV_DISCONNECT, on_event);
        return;
    }
    length = packet_receive(connection->socket, bytes, NULL);
    if (length <= 0)
        return;
    request_handle(&server->registry, &connection->client, bytes, (size_t)length,
                   uv_now(&server->loop), &result);
    if (result.next == REQUEST_AHEAD)
        sweeper_continue(server, result.pool);
}

static void on_event(uv_poll_t *handle, int status, int events)
{
    struct connection *connection = handle->data;

    switch (connection->state) {
    case STATE_READING:
        receive(connection);
        break;
    case STATE_SENDING:
        if (status < 0 || (events & UV_DISCONNECT))
            connection_end(connection);
        else
            send_reply(connection);
        break;
    case STATE_WAITING:
        if (status < 0 || (events & UV_DISCONNECT))
            connection_end(connection);
        else
            receive_one_way(connection);
        break;
    case STATE_ENDED:
        break;
    }
}

/* A close whose fence stays closed is answered; one that is being swept waits on. */
static void answer_close(struct connection *connection)
{
    struct client *client = &connection->client;
    const struct session *session = pool_find_session(client->awaits_pool, client->wish.session);

    if (session && !session->open)
        connection_answer(client);
}

static void on_deadline(uv_timer_t *timer)
{
    struct connection *connection = timer->data;
    const struct client *client = &connection->client;

    switch (connection->state) {
    case STATE_READING:
        log_warn("pid %u uid %u said no hello within %u ms: closed", client->peer.pid,
                 client->peer.uid, LIMIT_HANDSHAKE_MS);
        connection_end(connection);
        break;
    case STATE_SENDING:
        log_warn("pid %u uid %u did not read its reply within %u ms: closed", client->peer.pid,
                 client->peer.uid, LIMIT_REPLY_MS);
        connection_end(connection);
        break;
    case STATE_WAITING:
        if (client->wish.kind == WISH_SWEEP)
            answer_close(connection);
        break;
    case STATE_ENDED:
        break;
    }
}

/* ------------------------------------------------------------------ beginning */

void connection_begin(struct server *server, int socket, const struct peer *peer,
                      const struct reason *refusal)
{
    struct connection *connection = calloc(1, sizeof *connection);
    struct peer gone = *peer;

    if (!connection || uv_poll_init(&server->loop, &connection->poll, socket)) {
        log_warn("pid %u is turned away: fastallocd has no memory for a connection", peer->pid);
        access_forget(&gone);
        free(connection);
        close(socket);
        return;
    }
    uv_timer_init(&server->loop, &connection->deadline);
    connection->poll.data = connection->deadline.data = connection;
    connection->handles = 2;
    connection->server = server;
    connection->socket = socket;
    connection->client.peer = *peer;
    connection->result.descriptor = -1;
    if (refusal)
        connection->refusal = *refusal;
    DL_APPEND(server->connections, connection);
    server->connection_count++;
    log_debug("pid %u uid %u connected", peer->pid, peer->uid);
    read_next(connection);
}

unsigned connection_count_of(const struct server *server, uint32_t uid)
{
    const struct connection *connection;
    unsigned count = 0;

    DL_FOREACH(server->connections, connection)
    count += connection->client.peer.uid == uid;
    return count;
}
