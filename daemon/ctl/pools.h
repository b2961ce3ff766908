/* SPDX-License-Identifier: MIT
 *
 * pools: what the daemon says about pools, and looking into a pool's memory by
 * oneself: the daemon sends a descriptor that can only be read, so that looking costs it
 * nothing and harms nobody.
 *
 * That memory is written by the pool's users, who may also truncate it: it is
 * validated as at any attach, and what reads it runs within view_run().
 */
#ifndef CTL_POOLS_H
#define CTL_POOLS_H

#include "shm/layout.h"
#include "shm/reason.h"
#include "wire/wire.h"

#include <fastalloc/fastalloc.h>
#include <stdbool.h>

/* Every pool there is, by name.  *pools is the caller's to free.  Returns 0 or
 * FASTALLOC_E_... */
int pools_list(fastalloc_client *client, struct wire_pool **pools, size_t *count,
               struct reason *why);

/* "persistent", "until last detach", "destroyed": what becomes of a pool. */
const char *pools_lifetime(const struct wire_pool *pool);

/* How it grows, and what becomes of a dead session's slots, as the options of create have it:
 * "none", "linear:100", "exponential:1.5"; "reclaim", "quarantine:1000", "heir".  The
 * caller's to free. */
char *pools_growth(const struct pool_spec *spec);
char *pools_on_death(const struct pool_spec *spec);

/* Bytes of shared memory that a pool of `capacity` slots has; of these all but the objects
 * (unless NULL). */
uint64_t pools_memory(const struct geometry *geometry, uint64_t capacity, uint64_t *metadata);

struct view {
    struct wire_pool pool; /* as the daemon has it */
    struct segment segment;
    void *mapped;
    uint64_t size;
};

/* Opens the pool of that name for looking.  Returns 0 or FASTALLOC_E_... */
int view_open(struct view *view, fastalloc_client *client, const char *name, struct reason *why);
void view_close(struct view *view);

/* Runs `work`; FASTALLOC_E_POISONED when the memory was not there (any more). */
int view_run(const struct view *view, void (*work)(void *argument), void *argument,
             struct reason *why);

#endif
