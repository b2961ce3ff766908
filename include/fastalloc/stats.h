/* SPDX-License-Identifier: MIT
 *
 * Statistics: always on.  Included by fastalloc.h.
 *
 * What is exact and what is not.  The totals are sums of counters that each thread keeps by
 * itself: exact for all calls that have returned, but that a process killed inside a call may
 * leave one of its counts short by one.  While nobody works, and no reset came between,
 *
 *     total_allocations - total_deallocations - reclaimed == current_usage.
 *
 * A batch that failed, and an allocation that a hook refused, count as one failure; the slots
 * they had for a while count as allocations and as frees.  So do those that the library has for a
 * moment by itself: the helper of fastalloc_pool_event(), shrinking.
 *
 * current_usage and available are snapshots, exact while nobody allocates or frees.
 *
 * peak_usage is sampled: when an allocation goes past the thread's cache, when one fails, and
 * when statistics are read.  In pools without caches (under 256 slots) that is each allocation,
 * and exact.  Else what a cache serves in between is not seen, and a new peak only when it is
 * higher by more than max_capacity / 512; so the true peak is above it by at most that, and two
 * magazines for each thread (of 15 slots each where max_capacity is up to 1,023, 63 up to
 * 4,095, else 127; 255 from 65,536 on where that is 512 for each thread of max_threads).  An
 * allocation that fails for want of a slot makes it exact. */
#ifndef FASTALLOC_STATS_H
#define FASTALLOC_STATS_H

#ifndef FASTALLOC_FASTALLOC_H
#error "include <fastalloc/fastalloc.h>"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Counts are of slots or events, since the pool was made or its statistics were reset. */
typedef struct fastalloc_stats {
    uint32_t struct_size; /* set by the caller, sizeof */
    uint32_t session;     /* whose; 0: the whole pool's */
    char name[256];       /* the pool's */

    uint64_t total_allocations;
    uint64_t total_deallocations; /* by frees; what sweeps brought back is `reclaimed` */
    uint64_t allocation_failures; /* allocations that returned an error, but for arguments */
    uint64_t waits;               /* allocations that slept for a slot */
    uint64_t current_usage;       /* slots allocated now; of a session: that it owns or holds */
    uint64_t peak_usage;          /* the most there were; of a session: 0, not kept */

    /* The rest is 0 for a session, but for capacity. */
    uint64_t capacity, max_capacity, available;
    uint64_t growth_count;
    uint64_t exchanges;       /* allocations that went past the thread's cache */
    uint64_t reclaimed;       /* slots taken back: from sessions that ended, when their time was
                                 up, from quarantine */
    uint64_t deaths;          /* sessions that ended, by a death or by closing the pool */
    uint64_t reclaims;        /* of these the ones that left slots: timed for the next three */
    uint64_t reclaim_last_ns; /* from noticing the end to the slots' being free */
    uint64_t reclaim_most_ns;
    uint64_t reclaim_mean_ns;

    double utilization_rate;      /* current_usage of capacity, 0 to 100 */
    double peak_utilization_rate; /* peak_usage of capacity, 0 to 100 */
    double hit_rate;              /* allocations that succeeded, 0 to 1; 1 before the first */
    double cache_rate;            /* of those, served by the thread's cache, 0 to 1; 1 likewise */
} fastalloc_stats;

/* The pool's.  O(magazines + caches + sessions).  Returns 0 or FASTALLOC_E_INVALID. */
FASTALLOC_API int fastalloc_pool_stats(fastalloc_pool *, fastalloc_stats *stats);

/* One session's, since it attached; exact while none of its threads ends.  Looks at every slot.
 * Returns 0, FASTALLOC_E_INVALID, or FASTALLOC_E_SESSION when there is none of that number. */
FASTALLOC_API int fastalloc_session_stats(fastalloc_pool *, uint32_t session,
                                          fastalloc_stats *stats);

/* Begins the pool's counts anew.  capacity and current_usage stay what they are; the peak becomes
 * the current usage, and is never below it.  A session's counts go on.  Returns 0 or
 * FASTALLOC_E_INVALID. */
FASTALLOC_API int fastalloc_pool_stats_reset(fastalloc_pool *);

/* Reports. */
#define FASTALLOC_REPORT_TEXT 0u /* several lines, for people */
#define FASTALLOC_REPORT_LINE                                                                      \
    1u /* Pool: 30/100 (30.0%) | Allocs: 50 | Deallocs: 20 | Failures: 0 */
#define FASTALLOC_REPORT_PAIRS 2u /* every figure as key=value, one a line */

/* Writes a report as snprintf() would: at most `size` bytes with the NUL; returns the length of
 * the whole, or FASTALLOC_E_INVALID. */
FASTALLOC_API int fastalloc_stats_report(const fastalloc_stats *stats, uint32_t form, char *buffer,
                                         size_t size);

#ifdef __cplusplus
}
#endif

#endif /* FASTALLOC_STATS_H */
