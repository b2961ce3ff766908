/* SPDX-License-Identifier: MIT
 *
 * shared: memory that forked processes share, and what is read out of the histograms and
 * cells (loops_shared.h) that lie in it.
 */
#ifndef TESTS_BENCH_SHARED_H
#define TESTS_BENCH_SHARED_H

#include "loops_shared.h"

/* Zeroed pages that whoever is forked from now on shares; ends the process when there are none. */
void *shared_map(size_t bytes);
void shared_unmap(void *mapped, size_t bytes);

/* Adds all of `from` to `to`. */
void histogram_merge(struct bench_histogram *to, const struct bench_histogram *from);
/* The value that `fraction` of all values do not exceed (1: the highest), to within half of 1/128
 * of it; 0 when there are none. */
double histogram_value(const struct bench_histogram *, double fraction);

/* Takes out of every `members`-th cell from `first` on what is there and puts it into the ring,
 * which has to be empty.  Returns how many. */
size_t cells_empty(struct bench_cells *, size_t first, size_t members, struct bench_ring *);

#endif
