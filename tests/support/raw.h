/* SPDX-License-Identifier: MIT
 *
 * raw: a client of the daemon that says exactly what it is told to, for tests of what the
 * library would never say.  Fails the Check test when the transport does.
 */
#ifndef TESTS_SUPPORT_RAW_H
#define TESTS_SUPPORT_RAW_H

#include "wire/wire.h"

#include <stdbool.h>
#include <stddef.h>

/* Connects, without a hello.  Receiving gives up after 15 s. */
int raw_connect(const char *path);

/* Connects and says hello. */
int raw_client(const char *path);

/* Sends bytes as they are. */
void raw_send(int socket, const void *bytes, size_t length);

/* Receives a reply; false at the end of the connection.  *descriptor, unless NULL, is -1 or
 * the caller's to close; with NULL none may come. */
bool raw_receive(int socket, struct wire_reply *reply, int *descriptor);

/* Whether the other end closes the connection, without another word. */
bool raw_is_closed(int socket);

/* A request and its reply; returns reply->error. */
int raw_call(int socket, struct wire_request *request, struct wire_reply *reply, int *descriptor);

/* The requests, with the rest of the spec at its defaults.  create and open return the
 * descriptor of the segment, or the error (negative). */
struct pool_spec raw_spec(const char *name, uint64_t size, uint64_t capacity);
int raw_create(int socket, const struct pool_spec *spec, struct wire_reply *reply);
int raw_open(int socket, const char *name, struct wire_reply *reply);
int raw_close(int socket, const struct wire_reply *attached);
int raw_destroy(int socket, const char *name);
int raw_stat(int socket, const char *name, struct wire_reply *reply);

/* Growth to `capacity` slots at least, or with 0 by a step from `from` (`increment` 0: as the
 * pool is declared).  Returns the capacity, or the error; `attached` says whose session. */
int64_t raw_grow(int socket, const struct wire_reply *attached, uint64_t capacity, uint64_t from,
                 uint64_t increment, struct wire_reply *reply);
/* A step that nobody answers. */
void raw_grow_ahead(int socket, const struct wire_reply *attached, uint64_t from,
                    uint64_t increment);
int64_t raw_shrink(int socket, const struct wire_reply *attached, uint64_t target);
int raw_resume(int socket, const struct wire_reply *attached);
/* Returns how many slots, or the error. */
int64_t raw_release(int socket, const char *name, uint64_t handle);
int raw_shutdown(int socket, bool destroy, struct wire_reply *reply);

/* What a listing says of the pool: its capacity, or its sessions; or the error. */
int64_t raw_capacity(int socket, const char *name);
int64_t raw_sessions(int socket, const char *name);

#endif
