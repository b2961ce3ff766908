/* SPDX-License-Identifier: MIT
 *
 * progress: what is measured just now and how long the rest will take, in one line of a
 * terminal.  Where standard error is none, nothing is written.
 */
#ifndef TESTS_BENCH_PROGRESS_H
#define TESTS_BENCH_PROGRESS_H

/* Times are of what is still to be done, as planned: how good the plan is shows as it goes. */
void progress_start(double planned_ms);
__attribute__((format(printf, 1, 2))) void progress_show(const char *format, ...);
/* So much of the plan is done. */
void progress_done(double planned_ms);
/* Removes the line: before anything else is written, and at the end. */
void progress_clear(void);

#endif
