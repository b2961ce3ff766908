/* SPDX-License-Identifier: MIT
 *
 * request: what a client asks for, and what comes of it.  No I/O with clients, no loop:
 * requests come as structs, and what takes long is handed back to the caller.
 */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include "server/registry.h"
#include "wire/wire.h"

enum request_next {
    REQUEST_ANSWER,  /* the reply is complete: send it */
    REQUEST_BUILD,   /* run pool_build() on `pool` (which is busy), then request_built() */
    REQUEST_SWEEP,   /* `session` has become a suspect: answer when it is swept, or after
                       LIMIT_CLOSE_MS */
    REQUEST_RELEASE, /* `pool` is over, names and all: answer after pool_release() */
    REQUEST_WISH,    /* `pool` is to fulfil `wish`, off the loop: then answer */
    REQUEST_AHEAD,   /* `pool` has something to do that nobody waits for: no answer */
    REQUEST_NOTHING, /* nothing to do, no answer */
    REQUEST_SHUTDOWN /* end the daemon, with its pools if `destroy`; answer at the very end */
};

struct request_result {
    enum request_next next;
    struct wire_reply reply; /* to be sent at once, or when the time has come */
    int descriptor;          /* to send along and to close; -1: none */
    bool hang_up;            /* close the connection behind the reply */
    struct pool *pool;
    struct session *session;
    struct wish wish;
    bool destroy;
};

/* Whether the packet is a request that nothing answers, and which may come at any time. */
bool request_is_one_way(const uint8_t *bytes, size_t length);

/* Handles one packet of a client.  Violations of the protocol (what is no message, what is
 * of another version, anything before hello, a second hello) end the connection; what
 * merely cannot be done does not. */
void request_handle(struct registry *registry, struct client *client, const uint8_t *bytes,
                    size_t length, uint64_t now, struct request_result *result);

/* After pool_build(), which returned `error` and `why`.  `client` attaches to the new
 * pool; it may be NULL when it has gone meanwhile.  Completes `result`, which the
 * request_handle() of the create filled in.  When nobody is attached in the end the pool
 * is over, and `result->next` is REQUEST_RELEASE. */
void request_built(struct registry *registry, struct client *client, struct pool *pool, int error,
                   const struct reason *why, struct request_result *result);

/* A reply that says no.  `op` may be 0. */
void request_refuse(struct wire_reply *reply, uint64_t id, enum wire_op op,
                    const struct reason *why);

#endif
