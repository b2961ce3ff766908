/* SPDX-License-Identifier: MIT
 *
 * tallied: for crash points: whether the statistics have lost count.
 */
#ifndef FAULT_TALLIED_H
#define FAULT_TALLIED_H

#include "crash.h"

#include "shm/survey.h"
#include "shm/tally.h"

#include <inttypes.h>

/* What was allocated, and neither freed nor reclaimed, less the slots in use; counted since the
 * pool was made, whatever was reset meanwhile.  0 where nobody died inside a call. */
static inline int64_t tallied_gap(const struct segment *segment)
{
    const struct shm_header *header = segment->header;
    struct survey survey;
    fastalloc_stats stats;

    tally_read(segment, &stats);
    survey_slots(segment, &survey, NULL);
    return (int64_t)(stats.total_allocations + header->before.allocations -
                     stats.total_deallocations - header->before.frees - header->reclaimed -
                     survey.live - survey.anyone - survey.shared - survey.quarantined);
}

/* One death since the gap was `before`: each count is short by one at most. */
static inline void tallied_judge(const struct segment *segment, int64_t before,
                                 struct crash_verdict *verdict)
{
    int64_t gap = tallied_gap(segment) - before;
    fastalloc_stats stats;

    if (gap < -1 || gap > 1)
        crash_find(verdict, "by the statistics %" PRId64 " more slots are in use than there are",
                   gap);
    tally_read(segment, &stats);
    if (stats.peak_usage < stats.current_usage || stats.peak_usage > stats.max_capacity ||
        stats.hit_rate < 0 || stats.hit_rate > 1)
        crash_find(verdict, "the statistics make no sense");
}

#endif
