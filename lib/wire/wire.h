/* SPDX-License-Identifier: MIT
 *
 * wire: the messages between clients and the daemon, as plain structs, and
 * their packing and unpacking.  Pure bytes, no I/O.  The schema is
 * fastalloc.proto; protobuf-c types do not leave this folder.
 *
 * One message a packet, at most WIRE_MAX bytes, version first.  A peer of another
 * version is told so and nothing else of its message is looked at.  Within a
 * version unknown fields are refused.  Unpacking allocates from a fixed arena on
 * the stack, so that no input can make it ask for more.
 *
 * requests.c and replies.c hold one direction each, frame.c what they share.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "shm/reason.h"
#include "shm/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 2u
#define WIRE_MAX 4096u
#define WIRE_LIST_MAX 7u /* pools a listing's page holds, whatever their names */

enum wire_op {
    WIRE_HELLO = 1, /* who I am; before anything else */
    WIRE_CREATE,    /* make a pool and attach me */
    WIRE_OPEN,      /* attach me */
    WIRE_CLOSE,     /* end that session: I have unmapped it */
    WIRE_DESTROY,   /* free the name */
    WIRE_LIST,      /* a page of the pools there are */
    WIRE_STAT,      /* all about one pool, with a read-only descriptor */
    WIRE_GROW,      /* more slots */
    WIRE_SHRINK,    /* give back what I have withdrawn at the top */
    WIRE_RESUME,    /* that session is mine still: over this connection from now on */
    WIRE_RELEASE,   /* free quarantined slots */
    WIRE_SHUTDOWN   /* end, and keep the pools or destroy them */
};

/* A session, by what proves whose it is. */
struct wire_session {
    uint64_t pool_id;
    uint32_t session;
    uint64_t nonce;
};

struct wire_request {
    uint64_t id; /* the client's; comes back in the reply */
    enum wire_op op;
    union {
        struct {
            char program[64]; /* to show */
        } hello;
        struct pool_spec create; /* as asked: defaults not yet filled in */
        struct {
            /* name, and what the client expects (spec_match()) */
            struct pool_spec expected;
        } open;
        struct wire_session close, resume;
        struct {
            char name[SPEC_NAME_MAX + 1];
        } destroy, stat;
        struct {
            uint64_t after; /* serial of the last pool seen; 0: from the start */
        } list;
        struct {
            uint64_t pool_id;
            uint32_t session;
            uint64_t nonce;
            uint64_t capacity;  /* to have at least; 0: one step more */
            uint64_t from;      /* a step: the capacity the asker saw, and wants more than */
            uint64_t increment; /* a step: by so many; 0: as the pool is declared */
            bool one_way;       /* ahead of need: no reply, whatever comes of it.  May be sent
                                   while another request waits for its own */
        } grow;
        struct {
            uint64_t pool_id;
            uint32_t session;
            uint64_t nonce;
            uint64_t target; /* not below it */
        } shrink;
        struct {
            char name[SPEC_NAME_MAX + 1];
            uint64_t handle; /* 0: all */
        } release;
        struct {
            bool destroy;
        } shutdown;
    };
};

/* One pool in a listing. */
struct wire_pool {
    struct pool_spec spec; /* complete */
    uint64_t serial;       /* counts up as the daemon makes pools */
    uint64_t pool_id;
    uint64_t capacity; /* now */
    uint64_t bytes;    /* of the segment, as mapped */
    uint64_t created;  /* seconds since 1970 */
    uint32_t uid;      /* of the creator */
    uint32_t sessions; /* not yet swept */
    bool destroyed;    /* its name is gone, detaching users remain */
};

struct wire_reply {
    uint64_t id;
    enum wire_op op; /* of the request answered; 0 when that is unknown */
    int error;       /* 0 or FASTALLOC_E_...: then only `message` counts */
    char message[REASON_MAX];
    union {
        struct {
            char daemon[32]; /* its version, to show */
            uint32_t pid;
        } hello;
        struct { /* create, open; the segment's descriptor rides along: its file
                    description is the session's fence */
            uint64_t pool_id;
            uint32_t session;
            uint64_t nonce; /* proves, after a restart, whose session it was */
            uint64_t bytes;
        } attached;
        struct {
            uint32_t count;
            bool more;
            struct wire_pool pools[WIRE_LIST_MAX];
        } list;
        struct wire_pool stat; /* a read-only descriptor rides along */
        uint64_t capacity;     /* grow, shrink: the pool's now */
        uint64_t released;     /* release: how many slots */
    };
};

/* Pack into WIRE_MAX bytes.  Returns the length; 0 if it does not fit, which
 * no valid message can bring about. */
size_t wire_pack_request(const struct wire_request *request, uint8_t bytes[WIRE_MAX]);
size_t wire_pack_reply(const struct wire_reply *reply, uint8_t bytes[WIRE_MAX]);

/* Unpack `length` untrusted bytes.  On failure `*request` holds the id if that
 * much could be read (else 0), so that an answer can be sent.  Names are checked here
 * for what a C string cannot carry (NUL), everything else by spec_check_name()
 * and spec_complete().  Returns 0, FASTALLOC_E_VERSION, FASTALLOC_E_PROTOCOL, or
 * FASTALLOC_E_NAME. */
int wire_unpack_request(const uint8_t *bytes, size_t length, struct wire_request *request,
                        struct reason *why);
int wire_unpack_reply(const uint8_t *bytes, size_t length, struct wire_reply *reply,
                      struct reason *why);

#endif
