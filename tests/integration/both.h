/* SPDX-License-Identifier: MIT
 *
 * both: tests that run twice, on a local pool and on one of a daemon's.
 */
#ifndef TESTS_INTEGRATION_BOTH_H
#define TESTS_INTEGRATION_BOTH_H

#include "api.h"
#include "tests/support/daemon.h"

enum both_kind { BOTH_LOCAL, BOTH_DAEMON, BOTH_KINDS };

extern struct test_daemon both_daemon;
extern fastalloc_client *both_client; /* NULL: local */
extern fastalloc_pool *both_pool;

/* Makes the pool, and for the daemon's kind daemon and connection before. */
void both_begin(int kind, const fastalloc_pool_config *config);

/* Closes it, and ends those. */
void both_end(int kind);

/* Runs a suite: the first list once for each kind (`_i` is which), the second once.  Each ends
 * with NULL.  What main() returns. */
int both_run(const char *name, const TTest *const *of_both, const TTest *const *once,
             double seconds);

#endif
