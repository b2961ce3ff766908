/* SPDX-License-Identifier: MIT
 *
 * deaths: what a death costs those who live on.
 */
#ifndef TESTS_BENCH_DEATHS_H
#define TESTS_BENCH_DEATHS_H

#include <stddef.h>

enum death { RECLAIM, RECOVER, DEATHS };

extern const char *const death_names[DEATHS];
extern const char *const death_texts[DEATHS];

/* One death of that kind, in milliseconds.  Ends the program when it cannot be had.
 *
 *   reclaim   a process that holds half of a pool of 65,536 slots is killed: from the kill until
 *             another process has every one of them
 *   recover   a process is killed inside a depot's lock, in a pool of a million slots that are all
 *             idle in that depot: what the next to lock it needs to build its lists anew */
double death_measure(enum death death);

/* Ends what they started. */
void death_end(void);

#endif
