/* SPDX-License-Identifier: MIT
 *
 * implementations: those of bench-worker.  Boost.Interprocess and DPDK have workers of their
 * own, since what they link is no business of the others.
 */
#ifndef TESTS_BENCH_IMPLEMENTATIONS_H
#define TESTS_BENCH_IMPLEMENTATIONS_H

#include "implementation.h"

/* fastalloc.c */
extern const struct bench_implementation bench_fastalloc_inline, bench_fastalloc_call,
    bench_fastalloc;
/* libc.c */
extern const struct bench_implementation bench_malloc, bench_mimalloc, bench_jemalloc;
/* stacks.c */
extern const struct bench_implementation bench_bare_array, bench_robust_mutex, bench_treiber;

#endif
