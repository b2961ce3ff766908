/* SPDX-License-Identifier: MIT
 *
 * listener: accepting.
 */
#include "listener.h"

#include "connection.h"
#include "log.h"
#include "os/packet.h"
#include "request.h"

#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* When even the reserve could not be had back. */
#define AGAIN_MS 100

static void on_connect(uv_poll_t *handle, int status, int events);

static void on_again(uv_timer_t *timer)
{
    struct server *server = timer->data;

    uv_poll_start(&server->accepting, UV_READABLE, on_connect);
}

static int open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Gives up the reserve to take the newcomer in, and closes both. */
static void drop_newcomer(struct server *server, int error)
{
    int newcomer;

    log_warn("a client is turned away: %s", strerror(error));
    if (server->reserve >= 0) {
        close(server->reserve);
        newcomer = accept4(server->instance.listener, NULL, NULL, SOCK_CLOEXEC);
        if (newcomer >= 0)
            close(newcomer);
    }
    server->reserve = open_reserve();
    if (server->reserve < 0) {
        uv_poll_stop(&server->accepting);
        uv_timer_start(&server->accept_again, on_again, AGAIN_MS, 0);
    }
}

/* Tells a client that is one too many, and closes.  What it has sent is read first:
 * closing on unread data would cost it the reply. */
static void refuse(int socket, const struct reason *why)
{
    uint8_t bytes[WIRE_MAX];
    struct wire_reply reply;
    size_t length;

    request_refuse(&reply, 0, 0, why);
    length = wire_pack_reply(&reply, bytes);
    packet_send(socket, bytes, length, -1);
    shutdown(socket, SHUT_WR);
    packet_receive(socket, bytes, NULL);
    close(socket);
}

static int check_limits(const struct server *server, const struct peer *peer, struct reason *why)
{
    if (server->connection_count >= LIMIT_CONNECTIONS)
        return reason_set(why, FASTALLOC_E_TOO_MANY,
                          "fastallocd has %u connections, the most it can have: try again later",
                          server->connection_count);
    if (connection_count_of(server, peer->uid) >= LIMIT_CONNECTIONS_PER_UID)
        return reason_set(why, FASTALLOC_E_TOO_MANY,
                          "uid %u has %u connections to fastallocd, the most it can have: "
                          "disconnect some",
                          peer->uid, LIMIT_CONNECTIONS_PER_UID);
    return 0;
}

static void welcome(struct server *server, int socket)
{
    struct reason why;
    struct peer peer;

    if (access_identify(&peer, socket, &why)) {
        log_warn("%s", why.text);
        close(socket);
        return;
    }
    if (check_limits(server, &peer, &why)) {
        log_warn("pid %u is turned away: %s", peer.pid, why.text);
        access_forget(&peer);
        refuse(socket, &why);
        return;
    }
    connection_begin(server, socket, &peer);
}

static void on_connect(uv_poll_t *handle, int status, int events)
{
    struct server *server = handle->data;
    unsigned i;
    int socket;

    (void)status;
    (void)events;
    for (i = 0; i < LIMIT_ACCEPTS_AT_ONCE; i++) {
        socket = accept4(server->instance.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (socket >= 0) {
            welcome(server, socket);
        } else if (errno == EINTR || errno == ECONNABORTED) {
            continue;
        } else {
            if (errno != EAGAIN)
                drop_newcomer(server, errno);
            return;
        }
    }
}

int listener_start(struct server *server, struct reason *why)
{
    int error;

    server->reserve = open_reserve();
    if (server->reserve < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot open /dev/null");
    server->accepting.data = server;
    server->accept_again.data = server;
    uv_timer_init(&server->loop, &server->accept_again);
    error = uv_poll_init(&server->loop, &server->accepting, server->instance.listener);
    if (!error)
        error = uv_poll_start(&server->accepting, UV_READABLE, on_connect);
    if (error)
        return reason_system(why, FASTALLOC_E_SYSTEM, -error, "cannot wait for clients");
    return 0;
}

void listener_stop(struct server *server)
{
    uv_close((uv_handle_t *)&server->accepting, NULL);
    uv_close((uv_handle_t *)&server->accept_again, NULL);
    instance_deafen(&server->instance);
    if (server->reserve >= 0)
        close(server->reserve);
    server->reserve = -1;
}
