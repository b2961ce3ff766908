/* SPDX-License-Identifier: MIT
 *
 * desk: for tests of the daemon without its loop: a registry in a directory of the test's
 * own, two clients, requests that go in as bytes; what takes long is done at once.
 */
#ifndef TESTS_UNIT_DESK_H
#define TESTS_UNIT_DESK_H

#include "server/request.h"
#include "tests/support/daemon.h"

extern struct test_daemon place; /* never run: its directory and prefix */
extern struct registry registry;
extern struct client client, other;  /* of uid 1000, 2000 */
extern struct request_result result; /* of the last request */

/* The fixture.  At its end nothing may be left. */
void desk_set_up(void);
void desk_tear_down(void);

/* As a daemon that dies and one that starts: nothing is removed on the way. */
void desk_restart(void);

/* Makes a client of that uid, which has said hello. */
void desk_greet(struct client *who, uint32_t uid);

/* What the last request has left to be done: building, releasing. */
void desk_build(struct client *who);
void desk_release(void);

/* Handles a request, and what it leaves to be done; returns the reply's error. */
int desk_handle(struct client *who, const struct wire_request *request);

/* The requests; `create` is the first client's, of 1,000 slots of 64 bytes. */
struct pool_spec desk_spec_of(const char *name);
int desk_create_as(struct client *who, const struct pool_spec *spec);
int desk_create(const char *name);
int desk_open_as(struct client *who, const char *name);
int desk_close_as(struct client *who, const struct wire_reply *attached);
int desk_destroy_as(struct client *who, const char *name);

/* Takes the result's descriptor. */
int desk_descriptor(void);

/* What the sweeper does for a suspect whose fence is open. */
void desk_sweep(struct pool *pool, uint32_t number);

/* What is done with a pool that is over. */
void desk_leave(struct pool *pool);

#endif
