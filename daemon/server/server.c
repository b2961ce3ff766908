/* SPDX-License-Identifier: MIT
 *
 * server: beginning, running, ending.
 */
#include "server.h"

#include "connection.h"
#include "guard.h"
#include "listener.h"
#include "log.h"
#include "os/packet.h"
#include "sweeper.h"

#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const int signal_numbers[3] = {SIGTERM, SIGINT, SIGHUP};

/* --------------------------------------------------------------------- ending */

static void close_handles(struct server *server)
{
    unsigned i;

    for (i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&server->signals[i], NULL);
    uv_close((uv_handle_t *)&server->looking, NULL);
    uv_close((uv_handle_t *)&server->expiring, NULL);
    uv_close((uv_handle_t *)&server->first_client, NULL);
}

/* No new clients, no old ones; what is dead already is swept, and then nothing keeps the
 * loop. */
static void begin_end(struct server *server)
{
    server->stopping = true;
    uv_timer_stop(&server->expiring);
    listener_stop(server);
    connection_end_all(server);
    sweeper_look_at_all(server);
    if (server->jobs == 0)
        close_handles(server);
}

static bool is_idle(const struct server *server)
{
    return server->options->exit_when_idle && server->waited && server->connection_count == 0 &&
           server->jobs == 0 && registry_session_count(&server->registry) == 0;
}

void server_consider_end(struct server *server)
{
    if (server->stopping) {
        if (server->jobs == 0 && !uv_is_closing((uv_handle_t *)&server->looking))
            close_handles(server);
    } else if (is_idle(server)) {
        log_info("the last client has gone: ending");
        begin_end(server);
    }
}

int server_shut_down(struct server *server, bool destroy, int socket,
                     const struct wire_reply *reply, struct reason *why)
{
    int copy = fcntl(socket, F_DUPFD_CLOEXEC, 0);

    if (copy < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno,
                             "fastallocd cannot keep a connection to its end");
    server->farewell.socket = copy;
    server->farewell.reply = *reply;
    server->destroy |= destroy;
    begin_end(server);
    return 0;
}

/* The last of all: who gets it finds nothing left. */
static void say_farewell(struct server *server)
{
    uint8_t bytes[WIRE_MAX];
    size_t length;

    if (server->farewell.socket < 0)
        return;
    length = wire_pack_reply(&server->farewell.reply, bytes);
    packet_send(server->farewell.socket, bytes, length, -1);
    close(server->farewell.socket);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *server = handle->data;

    if (server->stopping || (number == SIGHUP && !server->options->foreground))
        return;
    log_info("ending on signal %d (%s)", number, strsignal(number));
    begin_end(server);
}

static void on_first_client(uv_timer_t *timer)
{
    struct server *server = timer->data;

    server->waited = true;
    server_consider_end(server);
}

/* ------------------------------------------------------------------- beginning */

/* Each client and each pool takes a descriptor; more are allowed than are usual. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int start_handles(struct server *server, struct reason *why)
{
    unsigned i;
    int error;

    for (i = 0; i < 3; i++) {
        server->signals[i].data = server;
        error = uv_signal_init(&server->loop, &server->signals[i]);
        if (!error)
            error = uv_signal_start(&server->signals[i], on_signal, signal_numbers[i]);
        if (error)
            return reason_set(why, FASTALLOC_E_SYSTEM, "cannot wait for signals: %s",
                              uv_strerror(error));
    }
    server->first_client.data = server;
    uv_timer_init(&server->loop, &server->first_client);
    if (server->options->exit_when_idle)
        uv_timer_start(&server->first_client, on_first_client, LIMIT_FIRST_CLIENT_MS, 0);
    error = listener_start(server, why);
    if (!error)
        sweeper_start(server);
    return error;
}

/* From before the socket can be connected to until there are handlers, so that who finds the daemon
 * there can end it in order. */
static void hold_signals(int how)
{
    sigset_t set;
    unsigned i;

    sigemptyset(&set);
    for (i = 0; i < 3; i++)
        sigaddset(&set, signal_numbers[i]);
    sigprocmask(how, &set, NULL);
}

static void serve(struct server *server)
{
    log_info("fastallocd %d.%d.%d (pid %ld) serves %s", FASTALLOC_VERSION_MAJOR,
             FASTALLOC_VERSION_MINOR, FASTALLOC_VERSION_PATCH, (long)getpid(),
             server->instance.path);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    log_info("ended, %s", server->destroy          ? "all pools destroyed"
                          : server->registry.pools ? "live pools are kept"
                                                   : "no pools are left");
}

int server_run(const struct options *options, void (*ready)(void *argument), void *argument,
               struct reason *why)
{
    struct server server;
    int error;

    memset(&server, 0, sizeof server);
    server.options = options;
    server.destroy = options->exit_when_idle;
    server.reserve = server.farewell.socket = -1;
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    raise_descriptor_limit();
    setenv("UV_THREADPOOL_SIZE", LIMIT_WORKERS, 1);
    guard_install();
    hold_signals(SIG_BLOCK);
    error = instance_claim(&server.instance, options->socket, why);
    if (error)
        return error;
    error = registry_open(&server.registry, options->socket, options->prefix, why);
    if (error)
        goto release;
    error = uv_loop_init(&server.loop);
    if (error) {
        error = reason_set(why, FASTALLOC_E_SYSTEM, "cannot start the event loop: %s",
                           uv_strerror(error));
        goto close;
    }
    error = start_handles(&server, why);
    if (error)
        goto close; /* the process ends: the loop goes with it */
    hold_signals(SIG_UNBLOCK);
    if (ready)
        ready(argument);
    serve(&server);
    uv_loop_close(&server.loop);
close:
    registry_close(&server.registry, server.destroy);
release:
    instance_release(&server.instance);
    say_farewell(&server);
    return error;
}
