/* SPDX-License-Identifier: MIT
 *
 * user: for tests of what the daemon does for pools at work: a daemon, and clients that are
 * attached, spoken for packet by packet, with the segment before them to work on directly.
 */
#ifndef TESTS_INTEGRATION_USER_H
#define TESTS_INTEGRATION_USER_H

#include "shm/layout.h"
#include "tests/support/daemon.h"
#include "tests/support/raw.h"

#include <stdint.h>

extern struct test_daemon daemon_;
extern struct wire_reply reply; /* the last */

/* The fixture. */
void user_start(void);
void user_stop(void);

struct user {
    int socket;
    struct wire_reply attached;
    struct segment segment;
    void *mapped;
};

/* Connects and attaches, to a pool of that name or one made for it. */
void user_attach(struct user *user, const char *name);
void user_create(struct user *user, const struct pool_spec *spec);

/* Maps what `reply` says, and closes the descriptor. */
void user_map(struct user *user, int descriptor);

/* Unmaps, closes its session, disconnects. */
void user_leave(struct user *user);

/* A pool "orders" of 64-byte objects that grows by the factor. */
struct pool_spec user_growing(uint64_t capacity, uint64_t most, double factor);

/* A step of growth: the capacity, or the error. */
int64_t user_step(struct user *user, uint64_t from, uint64_t increment);

/* Bytes of the segment of "orders" that have memory. */
uint64_t user_filled(const struct user *user);

/* What test_eventually() is asked about. */
struct user_expected {
    const struct user *user;
    int64_t number;
};

/* Whether what the user sees of the capacity, or what the daemon says of the sessions of
 * "orders", becomes that. */
bool user_capacity_becomes(const struct user *user, int64_t capacity);
bool user_sessions_become(const struct user *user, int64_t sessions);

#endif
