/* SPDX-License-Identifier: MIT
 *
 * small: pools without caches, of a few hundred slots at most: their usual allocation and free,
 * which is one slot out of the return bitmap or into it, without what the other slow calls need.
 *
 * Crash story: bitmap_take() and supply_free(), whose it is.  Nothing is locked and nothing waits,
 * so there is no place where a thread could be cancelled.
 */
#ifndef CLIENT_SMALL_H
#define CLIENT_SMALL_H

#include "pool.h"

/* Each returns whether it has served.  If not, nothing has happened, and the slow call says why. */
bool small_alloc(fastalloc_pool *pool, fastalloc_handle *handle, void **object);
bool small_free(fastalloc_pool *pool, fastalloc_handle handle);

#endif
