/* SPDX-License-Identifier: MIT
 *
 * fault: the calling thread's latest failure.
 *
 * Failures of allocating and of handles can be frequent, so only the facts are
 * noted when they happen; fastalloc_last_error() makes the words.
 */
#ifndef CLIENT_FAULT_H
#define CLIENT_FAULT_H

#include "shm/reason.h"

#include <fastalloc/fastalloc.h>
#include <stdbool.h>

struct fault {
    int code;
    bool worded;           /* `reason` holds the text */
    const char *operation; /* "alloc", "free", ... */
    uint64_t pool;         /* its serial in this process */
    fastalloc_handle handle;
    int instead; /* of an allocation that waited: what it heard last; else 0 */
    struct reason reason;
};

/* Notes a failure with its words.  Returns the code. */
int fault_say(const struct reason *why);

/* Notes what operation failed on what.  Returns `code`. */
int fault_note(int code, const char *operation, const fastalloc_pool *pool,
               fastalloc_handle handle);

/* Notes that an allocation waited in vain, and what it heard last.  Returns
 * FASTALLOC_E_TIMEOUT. */
int fault_timeout(int instead, const fastalloc_pool *pool);

/* Notes a failure with words made here.  Returns `code`. */
int fault_set(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
