/* SPDX-License-Identifier: MIT
 *
 * growth: asking for more slots, and giving slots back: the daemon, or in a local pool
 * doing it.  What a step is stands in shm/growth.h.
 */
#ifndef CLIENT_GROWTH_H
#define CLIENT_GROWTH_H

#include "obtain.h"
#include "shm/reason.h"

#include <fastalloc/fastalloc.h>
#include <stdint.h>

/* A step of growth from the capacity `from`, unless the pool has more by now.  Returns 0, or why
 * not. */
int growth_ask(fastalloc_pool *pool, uint64_t from, const struct urgency *urgency,
               struct reason *why);

/* Asks for a step ahead of need, if it is due and nobody has: never waits.  Local pools have
 * nobody to ask, and grow at need. */
void growth_ask_ahead(fastalloc_pool *pool);

#endif
