/* SPDX-License-Identifier: MIT
 *
 * control: an implementation that allocates nothing, to subtract from the others.
 */
#ifndef TESTS_BENCH_CONTROL_H
#define TESTS_BENCH_CONTROL_H

#include "implementation.h"

extern const struct bench_implementation bench_ring_alone; /* "ring" */

#endif
