/* SPDX-License-Identifier: MIT
 *
 * listener: accepting.
 */
#include "listener.h"

#include "connection.h"
#include "log.h"

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

/* How many connections there are beyond a limit, this one counted; and the words for it. */
static unsigned excess(const struct server *server, const struct peer *peer, struct reason *why)
{
    unsigned all = server->connection_count, own = connection_count_of(server, peer->uid);

    why->code = 0;
    if (all >= LIMIT_CONNECTIONS) {
        reason_set(why, FASTALLOC_E_TOO_MANY,
                   "fastallocd has %u connections, the most it can have: try again later",
                   LIMIT_CONNECTIONS);
        return all - LIMIT_CONNECTIONS + 1;
    }
    if (own >= LIMIT_CONNECTIONS_PER_UID) {
        reason_set(why, FASTALLOC_E_TOO_MANY,
                   "uid %u has %u connections to fastallocd, the most it can have: disconnect "
                   "some",
                   peer->uid, LIMIT_CONNECTIONS_PER_UID);
        return own - LIMIT_CONNECTIONS_PER_UID + 1;
    }
    return 0;
}

static void welcome(struct server *server, int socket)
{
    unsigned beyond;
    struct reason why;
    struct peer peer;

    if (access_identify(&peer, socket, &why)) {
        log_warn("%s", why.text);
        close(socket);
        return;
    }
    beyond = excess(server, &peer, &why);
    if (beyond > LIMIT_REFUSALS) {
        access_forget(&peer);
        close(socket);
        return;
    }
    connection_begin(server, socket, &peer, beyond > 0 ? &why : NULL);
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
