/* SPDX-License-Identifier: MIT
 *
 * server: the running daemon: its loop, and what the loop's files share.
 *
 * libuv is known to server.c, listener.c, connection.c, sweeper.c and jobs.c alone.
 * Everything here happens on the loop's thread, but what a job does (jobs.c).
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/instance.h"
#include "server/options.h"
#include "server/registry.h"
#include "wire/wire.h"

#include <stdbool.h>
#include <uv.h>

struct connection;
struct job;

struct server {
    const struct options *options;
    struct instance instance;
    struct registry registry;
    uv_loop_t loop;
    uv_signal_t signals[3];
    uv_poll_t accepting; /* listener.c */
    uv_timer_t accept_again;
    int reserve;                  /* a descriptor to give up when there is no other */
    uv_timer_t looking, expiring; /* sweeper.c */
    uv_timer_t first_client;
    struct connection *connections;
    unsigned connection_count;
    unsigned jobs;      /* under way or queued */
    unsigned sweepers;  /* jobs.c: sweeps and releases under way, at most LIMIT_SWEEPERS; */
    struct job *queued; /* and those that wait for these, a utlist */
    bool waited;        /* had a client, or has waited long enough for one */
    bool stopping;
    bool destroy; /* every pool, at the end */
    struct {
        int socket; /* of who asked for the end, and hears when it has come; -1: nobody */
        struct wire_reply reply;
    } farewell;
};

/* Claims the socket, takes up what an earlier daemon left, calls ready(argument), and serves
 * until SIGTERM or SIGINT, or with --exit-when-idle until the last client has gone.
 * Returns 0, or why it could not begin. */
int server_run(const struct options *options, void (*ready)(void *argument), void *argument,
               struct reason *why);

/* Ends as on SIGTERM, or with `destroy` takes every pool along; then sends the reply to the
 * client at `socket`.  Returns 0, or FASTALLOC_E_SYSTEM: then nothing ends. */
int server_shut_down(struct server *server, bool destroy, int socket,
                     const struct wire_reply *reply, struct reason *why);

/* To be called after anything that may have been the last. */
void server_consider_end(struct server *server);

#endif
