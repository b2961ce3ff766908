/* SPDX-License-Identifier: MIT
 *
 * counted: what the tests of statistics share: a pool, and what must be true of its figures.
 */
#ifndef TESTS_INTEGRATION_COUNTED_H
#define TESTS_INTEGRATION_COUNTED_H

#include "both.h"

/* both_begin() with a pool "counted" of so many slots, up to 16 sessions, shared slots and
 * deadlines. */
void counted_begin(int kind, size_t capacity);

fastalloc_stats counted(fastalloc_pool *pool);
fastalloc_stats counted_session(uint32_t session);

/* Of both_pool, while nobody works: what was allocated, freed and reclaimed is what is in use, and
 * what other functions say is in use. */
void counted_require_sum(void);

/* These four. */
void counted_require(uint64_t usage, uint64_t allocations, uint64_t frees, uint64_t failures);

#endif
