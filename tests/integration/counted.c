/* SPDX-License-Identifier: MIT
 *
 * counted: see counted.h.
 */
#include "counted.h"

void counted_begin(int kind, size_t capacity)
{
    fastalloc_pool_config config = api_config("counted", 64, capacity);

    config.max_sessions = 16;
    config.features = FASTALLOC_SHARING | FASTALLOC_DEADLINES;
    both_begin(kind, &config);
}

fastalloc_stats counted(fastalloc_pool *pool)
{
    fastalloc_stats stats = {.struct_size = sizeof stats};

    require_ok(fastalloc_pool_stats(pool, &stats));
    return stats;
}

fastalloc_stats counted_session(uint32_t session)
{
    fastalloc_stats stats = {.struct_size = sizeof stats};

    require_ok(fastalloc_session_stats(both_pool, session, &stats));
    return stats;
}

void counted_require_sum(void)
{
    fastalloc_stats stats = counted(both_pool);
    fastalloc_pool_info info = api_info(both_pool);

    ck_assert_uint_eq(stats.total_allocations - stats.total_deallocations - stats.reclaimed,
                      stats.current_usage);
    ck_assert_uint_eq(stats.current_usage, info.allocated);
    ck_assert_uint_eq(stats.available, info.available);
    ck_assert_uint_eq(stats.capacity, info.capacity);
    ck_assert_uint_ge(stats.peak_usage, stats.current_usage);
}

void counted_require(uint64_t usage, uint64_t allocations, uint64_t frees, uint64_t failures)
{
    fastalloc_stats stats = counted(both_pool);

    ck_assert_uint_eq(stats.current_usage, usage);
    ck_assert_uint_eq(stats.total_allocations, allocations);
    ck_assert_uint_eq(stats.total_deallocations, frees);
    ck_assert_uint_eq(stats.allocation_failures, failures);
}
