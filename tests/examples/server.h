/* SPDX-License-Identifier: MIT
 *
 * server: what the master of server_connections and its workers have in common.
 */
#ifndef EXAMPLES_SERVER_H
#define EXAMPLES_SERVER_H

#include "example.h"

#include <stdatomic.h>

/* A connection, from accept() to close().  Everybody can read it; the worker that serves it
 * writes.  Which one that is the pool knows. */
struct connection {
    int descriptor;       /* the worker's: means nothing elsewhere */
    atomic_uint requests; /* answered so far */
    uint32_t filled;      /* bytes of `request` */
    char peer[24];
    char request[2048]; /* as far as it has come */
};
FASTALLOC_DEFINE_POOL(connections, struct connection);

/* A worker's life: takes connections from the listener and serves them until SIGTERM.
 * Returns its exit status. */
int worker_live(connections_pool pool, int listener);

#endif
