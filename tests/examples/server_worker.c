/* SPDX-License-Identifier: MIT
 *
 * server_worker: accepts, serves, closes.  See server_connections.c.
 *
 * What epoll keeps for a connection is its handle.  An event that was under way when the
 * connection was closed finds the handle stale, even when another connection has the same slot
 * and the same descriptor by then.
 */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

/* Two numbers that no connection has. */
#define LISTENER FASTALLOC_NONE
#define SIGNALS UINT64_MAX

static connections_pool pool;
static int epoll;

static void watch(int descriptor, uint32_t events, uint64_t number)
{
    struct epoll_event event = {.events = events, .data.u64 = number};

    expect(epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0);
}

/* ------------------------------------------------------------------- connections */

static void answer(int descriptor, const char *status, const char *body, int keep)
{
    char head[256];
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                          "Connection: %s\r\n\r\n",
                          status, strlen(body), keep ? "keep-alive" : "close");

    /* Who does not read what it asked for gets no more of it. */
    if (send(descriptor, head, (size_t)length, MSG_NOSIGNAL | MSG_MORE) != length ||
        send(descriptor, body, strlen(body), MSG_NOSIGNAL) != (ssize_t)strlen(body))
        shutdown(descriptor, SHUT_RDWR);
}

static void end(connections_handle handle, struct connection *connection)
{
    close(connection->descriptor);
    ok(connections_free(pool, handle));
}

static void accept_one(int listener)
{
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int descriptor =
        accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *connection;
    connections_handle handle;
    int error;

    if (descriptor < 0) /* another worker was quicker, or the peer has gone */
        return;
    error = connections_alloc(pool, &handle, &connection);
    if (error) { /* as many as there may be, or the server is about to end */
        answer(descriptor, "503 Service Unavailable", "No connection is free.\n", 0);
        close(descriptor);
        return;
    }
    connection->descriptor = descriptor;
    connection->filled = 0;
    atomic_store(&connection->requests, 0);
    snprintf(connection->peer, sizeof connection->peer, "%s:%u", inet_ntoa(peer.sin_addr),
             ntohs(peer.sin_port));
    watch(descriptor, EPOLLIN, handle.value);
}

/* ------------------------------------------------------------------------ status */

struct page {
    size_t length;
    char text[16384];
};

__attribute__((format(printf, 2, 3))) static void write_line(struct page *page, const char *format,
                                                             ...)
{
    size_t room = sizeof page->text - page->length;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(page->text + page->length, room, format, arguments);
    va_end(arguments);
    if (length > 0 && (size_t)length < room) /* a line or nothing of it */
        page->length += (size_t)length;
    page->text[page->length] = '\0';
}

static int write_connection(const fastalloc_slot *slot, void *argument)
{
    const struct connection *connection = slot->object;

    /* Another worker's may be just coming or going: this is a look in passing. */
    write_line(argument, "%-8u %-22.22s %u\n", slot->pid, connection->peer,
               atomic_load(&connection->requests));
    return 0;
}

/* Every connection of every worker, and what the pool has counted. */
static void show_status(int descriptor, int keep)
{
    fastalloc_stats stats = {.struct_size = sizeof stats};
    struct page page = {0};
    char report[256];

    ok(fastalloc_pool_stats(pool.pool, &stats));
    expect(fastalloc_stats_report(&stats, FASTALLOC_REPORT_LINE, report, sizeof report) > 0);
    write_line(&page, "%s\nreclaimed from dead workers: %llu\n\n", report,
               (unsigned long long)stats.reclaimed);
    write_line(&page, "%-8s %-22s %s\n", "worker", "peer", "requests");
    ok(fastalloc_pool_walk(pool.pool, write_connection, &page));
    answer(descriptor, "200 OK", page.text, keep);
}

/* ---------------------------------------------------------------------- requests */

/* Answers one request.  Returns whether the connection stays. */
static int respond(struct connection *connection, const char *request)
{
    int is_1_0 = strstr(request, " HTTP/1.0\r\n") != NULL;
    int keep = is_1_0 ? strcasestr(request, "\r\nConnection: keep-alive") != NULL
                      : strcasestr(request, "\r\nConnection: close") == NULL;

    atomic_fetch_add(&connection->requests, 1);
    if (strncmp(request, "GET ", 4) != 0) {
        answer(connection->descriptor, "405 Method Not Allowed", "Only GET.\n", 0);
        return 0;
    }
    if (strncmp(request + 4, "/status ", 8) == 0)
        show_status(connection->descriptor, keep);
    else if (strncmp(request + 4, "/ ", 2) == 0)
        answer(connection->descriptor, "200 OK", "Hello from a pool.\n", keep);
    else
        answer(connection->descriptor, "404 Not Found", "There are / and /status.\n", keep);
    return keep;
}

/* Answers the requests that have come in whole.  Returns whether the connection stays. */
static int respond_to_all(struct connection *connection)
{
    char *request = connection->request, *blank;
    int stays = 1;

    request[connection->filled] = '\0';
    while (stays && (blank = strstr(request, "\r\n\r\n"))) {
        blank[2] = '\0';
        stays = respond(connection, request);
        request = blank + 4;
    }
    connection->filled -= (uint32_t)(request - connection->request);
    memmove(connection->request, request, connection->filled);
    return stays;
}

static void serve(connections_handle handle)
{
    struct connection *connection = connections_get(pool, handle);
    size_t room;
    ssize_t length;

    if (!connection) /* closed since */
        return;
    room = sizeof connection->request - 1 - connection->filled;
    length = recv(connection->descriptor, connection->request + connection->filled, room, 0);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= 0) { /* the peer has closed; or no room: a request of that size is none */
        end(handle, connection);
        return;
    }
    connection->filled += (uint32_t)length;
    if (!respond_to_all(connection))
        end(handle, connection);
}

/* ---------------------------------------------------------------------- the life */

static int end_if_mine(const fastalloc_slot *slot, void *session)
{
    if (slot->state == FASTALLOC_OWNED && slot->session == *(uint32_t *)session)
        end((connections_handle){slot->handle}, slot->object);
    return 0;
}

/* A worker keeps no list of its connections: the pool has it. */
static int leave(void)
{
    uint32_t session = fastalloc_pool_session(pool.pool);

    ok(fastalloc_pool_walk(pool.pool, end_if_mine, &session));
    return 0;
}

int worker_live(connections_pool shared, int listener)
{
    struct epoll_event events[64];
    sigset_t terminate;
    int count, i;

    pool = shared; /* this process becomes a user of its own with the first call */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    sigemptyset(&terminate);
    sigaddset(&terminate, SIGTERM);
    watch(signalfd(-1, &terminate, SFD_CLOEXEC), EPOLLIN, SIGNALS);
    watch(listener, EPOLLIN | EPOLLEXCLUSIVE, LISTENER);
    for (;;) {
        count = epoll_wait(epoll, events, 64, -1);
        expect(count >= 0 || errno == EINTR);
        for (i = 0; i < count; i++) {
            if (events[i].data.u64 == SIGNALS)
                return leave();
            if (events[i].data.u64 == LISTENER)
                accept_one(listener);
            else
                serve((connections_handle){events[i].data.u64});
        }
    }
}
