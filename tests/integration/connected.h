/* SPDX-License-Identifier: MIT
 *
 * connected: tests that begin with a daemon and a client that is connected to it.
 */
#ifndef TESTS_INTEGRATION_CONNECTED_H
#define TESTS_INTEGRATION_CONNECTED_H

#include "api.h"
#include "tests/support/daemon.h"

#define CONNECTED_SLOTS 1000

extern struct test_daemon connected_daemon;
extern fastalloc_client *connected_client;

/* What outputs hold before calls that must not write them. */
extern fastalloc_pool *const untouched;
extern fastalloc_client *const untouched_client;

/* A pool of CONNECTED_SLOTS slots of 64 bytes; the same opened once more. */
fastalloc_pool *connected_create(const char *name);
fastalloc_pool *connected_open_again(fastalloc_client *through, const char *name);

/* Calls that are to fail: require that nothing was written and nothing is left. */
int connected_try_create(const fastalloc_pool_config *config);
int connected_try_open(const char *name, const fastalloc_pool_config *expected);
int connected_try_connect(const char *socket, uint32_t timeout_ms);

/* A test that runs several times, `_i` counting; a list ends with NULL. */
struct connected_loop {
    const TTest *test;
    int times;
};

/* Runs a suite; `tests` ends with NULL, `loops` may be NULL.  What main() returns. */
int connected_run(const char *name, const TTest *const *tests, const struct connected_loop *loops);

#endif
