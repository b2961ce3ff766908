/* SPDX-License-Identifier: MIT
 *
 * openmetrics: the figures of pools in the OpenMetrics text format, version 1.0, for
 * monitoring.  The one home of the metrics' names.
 *
 * A counter of OpenMetrics should not fall, so counters count since the pool was made, whatever
 * was reset; when that was is their "_created".  The times to reclaim alone begin anew.
 */
#ifndef CTL_OPENMETRICS_H
#define CTL_OPENMETRICS_H

#include "ctl.h"

/* stat --openmetrics: of the pools named, or of all that this user may open.  Returns an exit
 * value: CTL_FAILED where a pool that was named, or is damaged, had to be left out. */
int openmetrics(struct ctl *ctl);

#endif
