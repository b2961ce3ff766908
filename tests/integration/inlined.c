/* SPDX-License-Identifier: MIT
 *
 * inlined: the fast path as a program has it that defines FASTALLOC_INLINE, for
 * tests that mix it with the called one.
 */
#define FASTALLOC_INLINE
#include "api.h"

int inlined_alloc(fastalloc_pool *pool, fastalloc_handle *handle, void **object)
{
    return fastalloc_alloc(pool, handle, object);
}

int inlined_free(fastalloc_pool *pool, fastalloc_handle handle)
{
    return fastalloc_free(pool, handle);
}

void *inlined_get(fastalloc_pool *pool, fastalloc_handle handle)
{
    return fastalloc_get(pool, handle);
}

static struct fastalloc_gate_ *gate_of(fastalloc_pool *pool)
{
    return fastalloc_lane_of_((const struct fastalloc_face_ *)(const void *)pool)->gate;
}

bool inlined_has_cache(fastalloc_pool *pool)
{
    return gate_of(pool) != NULL;
}

void inlined_stop_inside(fastalloc_pool *pool)
{
    ck_assert_ptr_nonnull(gate_of(pool));
    FASTALLOC_STORE_(gate_of(pool)->busy, 1u);
}

void inlined_go_on(fastalloc_pool *pool)
{
    __atomic_store_n(&gate_of(pool)->busy, 0u, __ATOMIC_RELEASE);
}
