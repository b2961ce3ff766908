/* SPDX-License-Identifier: MIT
 *
 * look: everything that is shown of one pool, read from its memory in one go: what it is,
 * where its slots are, who is attached, its statistics.  Copies, so that showing it needs
 * the memory no more.
 */
#ifndef CTL_LOOK_H
#define CTL_LOOK_H

#include "pools.h"
#include "shm/survey.h"

#include <fastalloc/fastalloc.h>
#include <stdbool.h>

/* A session, live or being swept. */
struct attached {
    uint32_t session, pid, uid;
    bool dying;
    uint64_t started;
    char comm[SESSION_COMM_MAX];
    uint64_t slots, caches;
    struct shm_counts counts; /* since it attached */
};

/* What was counted since the pool was made, whatever was reset. */
struct totals {
    struct shm_counts counts;
    uint64_t exchanges, reclaimed, deaths;
};

struct look {
    struct wire_pool pool; /* as the daemon has it */
    struct geometry geometry;
    uint32_t state, heir, growths;
    struct survey survey;
    fastalloc_stats stats; /* since the last reset */
    struct totals totals;
    uint64_t reclaim_ns;       /* all of stats.reclaims together */
    size_t sessions;           /* how many are attached */
    struct attached *attached; /* that many, or NULL where nobody asked */
};

/* Looks at the pool of that name, and where asked at `each` session: slots times sessions.
 * Returns 0 or FASTALLOC_E_...; look_end() releases what a look that succeeded holds. */
int look_at(struct look *look, fastalloc_client *client, const char *name, bool each,
            struct reason *why);
void look_end(struct look *look);

/* "live", "sealed", "destroyed", "poisoned"; all there are, up to a NULL. */
const char *look_state(const struct look *look);
extern const char *const look_states[];

#endif
