/* SPDX-License-Identifier: MIT
 *
 * worker: a process that runs one implementation's measurements as it is told to.
 *
 *     bench-worker [--cpu N] IMPLEMENTATION      reads questions from standard input, a line
 *                                                each: "WORKLOAD COUNT", or "version"
 *     bench-worker [--cpu N] IMPLEMENTATION WORKLOAD COUNT       one, and prints the answer
 *     bench-worker --list                        its implementations, a line each
 *     bench-worker --build                       compiler and machine, for instructions.sh
 *
 * and answers each with a line: the figures of the workload (suite.h says how many) separated
 * by spaces, or "none" where the implementation cannot do it, or "error " and a text.  COUNT 0
 * asks whether it can, and is answered by "none" or "ok" without measuring.  "version" is
 * answered by "version " and a text.
 *
 * Pinned workloads run on processor N.  Standard output is for answers: what libraries print
 * there goes to standard error.  Ends at the end of standard input, with its parent, and with
 * status 77 where the implementation is absent.
 */
#ifndef TESTS_BENCH_WORKER_H
#define TESTS_BENCH_WORKER_H

#include "implementation.h"

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WORKER_ABSENT 77 /* the exit status of bench_absent() */

/* The main() of a worker that has these implementations; the last of them is NULL. */
int worker_main(const struct bench_implementation *const implementations[], int argc, char **argv);

/* fork(), or ends the process.  The child is killed when its parent dies. */
pid_t worker_fork(void);

/* CLOCK_MONOTONIC, in nanoseconds.  Called right before a loop of one thread and right after it:
 * instructions.sh counts what is between. */
double worker_now(void);

#ifdef __cplusplus
}
#endif

#endif
