/* SPDX-License-Identifier: MIT
 *
 * survey: counting what is where, by looking only.  Works on a read-only
 * mapping of a live pool; the figures are a snapshot.
 */
#ifndef SHM_SURVEY_H
#define SHM_SURVEY_H

#include "layout.h"

struct survey {
    uint64_t capacity;
    uint64_t never_used; /* below the capacity */
    uint64_t cached;     /* idle, in threads' caches */
    uint64_t stocked;    /* idle, in the depots */
    uint64_t returned;   /* idle, flagged in the return bitmap */
    uint64_t anyone, shared, quarantined;
    uint64_t live;     /* owned by one session */
    uint64_t threads;  /* that have a cache */
    uint64_t rebuilds; /* of depots' lists, after a sweep or a death inside one */
};

/* Looks at every slot once.  `by_session`, unless NULL, is an array of
 * geometry.sessions + 1 counts, filled with the slots each session owns or is a holder
 * of. */
void survey_slots(const struct segment *segment, struct survey *survey, uint64_t *by_session);

/* Slots below the capacity that were ever used.  Costs a look, or as many as the hint lags. */
uint64_t survey_used(const struct segment *segment);

/* Slots in somebody's hands, from the magazines and the bitmap alone: cheaper
 * than looking at every slot, exact when nobody works meanwhile. */
uint64_t survey_allocated(const struct segment *segment);

/* The sessions that own or hold most, largest first, as text: "worker[4121] 812,
 * feed[4100] 100".  At most `most` of them; "" when nobody has anything. */
void survey_holders(const struct segment *segment, unsigned most, char *text, size_t size);

#endif
