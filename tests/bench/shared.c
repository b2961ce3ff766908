/* SPDX-License-Identifier: MIT
 *
 * shared: see shared.h.
 */
#include "shared.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>

void *shared_map(size_t bytes)
{
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (mapped == MAP_FAILED)
        bench_give_up("no memory to share", strerror(errno));
    return mapped;
}

void shared_unmap(void *mapped, size_t bytes)
{
    munmap(mapped, bytes);
}

/* ----------------------------------------------------------------- histogram */

void histogram_merge(struct bench_histogram *to, const struct bench_histogram *from)
{
    size_t i;

    to->count += from->count;
    if (from->most > to->most)
        to->most = from->most;
    for (i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
}

/* The middle of the values that are counted there. */
static double value_of_bucket(size_t bucket)
{
    size_t shift = bucket >> BENCH_HISTOGRAM_FINE;

    /* As long as one value has one bucket: up to two rounds of them. */
    if (shift < 2)
        return (double)bucket;
    shift--;
    return ((double)(bucket - (shift << BENCH_HISTOGRAM_FINE)) + 0.5) *
               (double)(UINT64_C(1) << shift) -
           0.5;
}

double histogram_value(const struct bench_histogram *histogram, double fraction)
{
    uint64_t wanted = (uint64_t)ceil(fraction * (double)histogram->count), below = 0;
    double value;
    size_t i;

    if (fraction >= 1 || !histogram->count)
        return (double)histogram->most;
    for (i = 0; i < BENCH_HISTOGRAM_BUCKETS - 1; i++) {
        below += histogram->buckets[i];
        if (below && below >= wanted)
            break;
    }
    value = value_of_bucket(i);
    return value < (double)histogram->most ? value : (double)histogram->most;
}

/* --------------------------------------------------------------------- cells */

size_t cells_empty(struct bench_cells *cells, size_t first, size_t members, struct bench_ring *ring)
{
    size_t at, found = 0;

    for (at = first; at < BENCH_CELLS; at += members) {
        uint64_t token = bench_cells_swap(cells, at, 0);

        if (token) {
            bench_ring_put(ring, token);
            found++;
        }
    }
    bench_ring_publish(ring);
    return found;
}
