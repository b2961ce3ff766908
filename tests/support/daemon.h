/* SPDX-License-Identifier: MIT
 *
 * daemon: a real fastallocd of a test's own, with its own socket in a temporary
 * directory and its own prefix of segment names, so that tests run side by side.
 *
 * For use inside Check tests: whatever goes wrong here fails the test at once.
 *
 *     struct test_daemon daemon;
 *     test_daemon_start(&daemon, NULL);
 *     ... connect to daemon.socket ...
 *     test_daemon_stop(&daemon);
 *
 * The program is $FASTALLOCD, else daemon/fastallocd below the working directory.
 */
#ifndef TESTS_SUPPORT_DAEMON_H
#define TESTS_SUPPORT_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

struct test_daemon {
    pid_t pid;          /* 0 while it does not run */
    char directory[64]; /* the test's own; other files may be put there */
    char socket[96];    /* in it */
    char log[96];       /* in it: what the daemon wrote to stderr */
    char prefix[32];    /* of the names in /dev/shm */
    int descriptors;    /* the test had open at the start */
    const char *const *more;
};

/* Makes the directory, starts the daemon in the foreground with the further arguments
 * `more` (ends with NULL; may be NULL; has to outlive `daemon`), and waits until it
 * listens. */
void test_daemon_start(struct test_daemon *daemon, const char *const *more);

/* As test_daemon_start() in two steps: makes the directory; runs the daemon there.
 * The second also starts one again after test_daemon_kill() or _end(). */
void test_daemon_prepare(struct test_daemon *daemon, const char *const *more);
void test_daemon_run(struct test_daemon *daemon);

/* Kills it with SIGKILL and reaps it; its files and segments stay. */
void test_daemon_kill(struct test_daemon *daemon);

/* Ends it with SIGTERM and requires that it exits with 0 within 10 s; files and
 * segments of live pools stay.  For one with --exit-when-idle that should end by itself:
 * test_daemon_wait(). */
void test_daemon_end(struct test_daemon *daemon);
void test_daemon_wait(struct test_daemon *daemon);

/* Ends it (unless it has ended) and requires that nothing is left: no process with
 * the directory among its arguments, no segment with the prefix, no file but the
 * log, no more descriptors in this process than at the start.  Removes the directory. */
void test_daemon_stop(struct test_daemon *daemon);

/* How many segments with the daemon's prefix there are in /dev/shm. */
unsigned test_daemon_segments(const struct test_daemon *daemon);

/* How many descriptors a process has open; pid 0: this one. */
int test_descriptors(pid_t pid);

/* Waits until `condition` holds for `argument`, at most 10 s; returns whether it does. */
bool test_eventually(bool (*condition)(void *argument), void *argument);

/* As above for test_daemon_segments(). */
bool test_daemon_segments_become(const struct test_daemon *daemon, unsigned count);

/* Whether the daemon's log has `text` in it. */
bool test_daemon_logged(const struct test_daemon *daemon, const char *text);

#endif
