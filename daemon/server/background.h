/* SPDX-License-Identifier: MIT
 *
 * background: going on without a terminal, once it is known whether that works.
 */
#ifndef SERVER_BACKGROUND_H
#define SERVER_BACKGROUND_H

/* Forks.  In the child it returns the descriptor for background_ready(), and closes what it
 * inherited above stderr.  The parent does not return: it exits with 0 when the child
 * is ready, else with the child's exit status.  -1 when it cannot fork. */
int background_begin(void);

/* Lets the parent go, leaves terminal and directory (unless `socket` is relative to it),
 * and has the log go to syslog. */
void background_ready(int descriptor, const char *socket);

#endif
