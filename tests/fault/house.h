/* SPDX-License-Identifier: MIT
 *
 * house: for crash points of the daemon: a place with pools, guests attached to them and
 * guests gone, in which a daemon is killed and another one takes over.
 *
 * There is no loop and no socket: the doomed does what the loop would have it do.  Guests are
 * sessions that this process holds, so they outlive the daemon.
 */
#ifndef FAULT_HOUSE_H
#define FAULT_HOUSE_H

#include "crash.h"
#include "tests/support/daemon.h"

#include "server/request.h"
#include "shm/cache.h"

#define HOUSE_SLOTS 300u

enum { GUESTS_MAX = 8 };

struct guest {
    int descriptor; /* its fence */
    struct segment segment;
    struct actor actor;
    struct wire_reply attached;
    uint64_t held; /* slots; of one that has left: not any more */
    bool here;
};

struct house {
    struct test_daemon place; /* never run: its directory and prefix */
    struct registry registry;
    struct client client;
    struct request_result result;
    struct guest guests[GUESTS_MAX];
    unsigned guest_count;
    unsigned variant;
    const struct house_operation *operation;
    char watched[300]; /* the segment's path; "": one that is not there yet */
    const void *memory;
    size_t memory_size;
};

struct house_operation {
    const char *name;
    void (*prepare)(struct house *); /* by an earlier daemon, which then is gone */
    bool opened;                     /* the doomed has opened its registry before the act */
    void (*enter)(struct house *);   /* what happens then, before the act; or NULL */
    void (*act)(void *house);        /* of the doomed */
    bool watch_new;                  /* what is watched is made by the act */
    /* By the next daemon, after it has put everything in order: whether the pools are those
     * that there should be; says so in the verdict. */
    void (*expect)(struct house *house, struct crash_verdict *verdict);
    uint64_t may_keep; /* slots that may have got another owner instead of being free */
};

extern const struct house_operation creation_operations[], upkeep_operations[],
    restart_operations[];

void house_play(const struct house_operation *operation);

/* ---------------------------------------------------- for prepare, act, expect */

/* Requests, and what the loop does after each.  Return the reply's error. */
int house_create(struct house *house, const struct pool_spec *spec);
int house_open(struct house *house, const char *name);
int house_close(struct house *house, const struct guest *guest);
int house_destroy(struct house *house, const char *name);
struct pool_spec house_spec(const char *name);

/* What the loop's jobs do for a wish.  Return 0 or the error. */
int house_grow(struct house *house, const char *name, uint64_t capacity);
int house_shrink(struct house *house, const char *name, uint64_t target);

/* Who made the last request becomes a guest, and owns `slots`. */
struct guest *house_seat(struct house *house, uint64_t slots);
void house_unseat(struct house *house, struct guest *guest);

/* What the sweeper does: looks at all suspects, sweeps, takes back what has
 * expired, lets go of pools that are over. */
void house_sweep(struct house *house);

#endif
