/* SPDX-License-Identifier: MIT
 *
 * family: for crash points of the client library: a process with a local pool, of which
 * it holds some slots, and its children, of which one dies and the next finds out what
 * that left.
 *
 * To add an operation, write its act, and where needed what the doomed does before
 * (`enter`), and put it into the table in operations_client.c, or operations_lifecycle.c.
 */
#ifndef FAULT_FAMILY_H
#define FAULT_FAMILY_H

#include "crash.h"

#include <fastalloc/fastalloc.h>

#define FAMILY_SLOTS 300u

enum { FAMILY_HELD = 20, FAMILY_HANDLES = 700 };

/* Shared between all of them. */
struct family {
    fastalloc_pool *pool;
    void *copy; /* of the segment */
    size_t size;
    fastalloc_handle parents[FAMILY_HANDLES]; /* the parent's own */
    size_t held;                              /* so many of them, that stay the parent's */
    size_t held_at_first;
    fastalloc_handle handles[FAMILY_HANDLES]; /* the doomed's */
    size_t count;
    unsigned variant;
    int64_t gap; /* of the statistics, as prepared: tallied.h */
    const struct family_operation *operation;
};

struct family_operation {
    const char *name;
    void (*shape)(fastalloc_pool_config *); /* where the pool is not the usual; or NULL */
    void (*prepare)(struct family *);       /* in the parent, once; or NULL */
    void (*enter)(void *family);            /* of the doomed, before the act; or NULL */
    void (*act)(void *family);
    void (*meet)(
        struct family *); /* in another child, while the doomed stands at its point; or NULL */
    /* In the survivor, which is attached, before anything is counted; or NULL. */
    void (*survive)(struct family *family, struct crash_verdict *verdict);
    uint64_t may_keep; /* slots that may have got an owner who lives: given, inherited */
};

extern const struct family_operation client_operations[], client_seal_operations[],
    lifecycle_operations[];

/* For prepare: the parent holds `count` slots more. */
void family_hold(struct family *family, size_t count);

void family_play(const struct family_operation *operation);

#endif
