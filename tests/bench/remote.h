/* SPDX-License-Identifier: MIT
 *
 * remote: a worker process (worker.h) as its parent sees it: started, asked, ended, and never
 * waited for longer than agreed.
 */
#ifndef TESTS_BENCH_REMOTE_H
#define TESTS_BENCH_REMOTE_H

#include "roster.h"

#include <sys/types.h>

#define REMOTE_TEXT_MAX 512

struct remote {
    const struct contender *contender;
    pid_t pid;                 /* 0: not running */
    int to, from, noise;       /* pipes, and what it writes to standard error: a file of its own */
    char why[REMOTE_TEXT_MAX]; /* it is absent, or has failed: what to tell the reader */
};

enum remote_answer {
    REMOTE_TEXT,   /* an answer */
    REMOTE_NONE,   /* it cannot do that */
    REMOTE_ABSENT, /* and has ended: `why` tells; no failure */
    REMOTE_FAILED  /* died, hung (it is killed), or answered an error: `why` tells */
};

/* Starts it, not to be found running.  Both of absence and of failure `why` tells. */
enum remote_answer remote_start(struct remote *, const struct contender *, int cpu);

/* Asks a question (no newline) and waits for the answer, of at most REMOTE_TEXT_MAX bytes. */
enum remote_answer remote_ask(struct remote *, const char *question, int timeout_ms,
                              char answer[REMOTE_TEXT_MAX]);

/* Ends it where it runs. */
void remote_stop(struct remote *);

#endif
