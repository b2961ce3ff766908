/* SPDX-License-Identifier: MIT
 *
 * ctl: for tests of fastallocctl: a daemon, the program run on it, what it wrote, a pool's
 * memory, processes that hold slots.  Fails the Check test when anything goes wrong.
 */
#ifndef TESTS_INTEGRATION_CTL_H
#define TESTS_INTEGRATION_CTL_H

#include "shm/layout.h"
#include "tests/support/daemon.h"

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

struct ctl_result {
    int status; /* of exit; a signal's number is negative */
    char out[32768], err[4096];
};

extern struct test_daemon ctl_daemon;
extern struct ctl_result ctl_result; /* of the last run */

/* Starts the daemon, for fastallocctl to find; stops it, with every pool destroyed and
 * nothing left. */
void ctl_start(void);
void ctl_stop(void);

/* Runs it with these arguments (up to a NULL) and returns the exit status. */
int ctl_run(const char *first, ...);

/* As ctl_run(), requires the exit status, and returns the JSON (the caller's). */
json_t *ctl_json(int status, const char *first, ...);

/* Runs it with stdout on `out`, or in ctl_result.out for -1. */
void ctl_run_onto(int out, char *const *arguments);

/* Runs it on a terminal 80 columns wide, with arguments that end with NULL, requires success,
 * and returns what that shows (up to 4 KiB, which is what a terminal keeps): static. */
const char *ctl_on_a_terminal(const char *first, ...);

void ctl_create(const char *name, const char *size, const char *capacity);

/* What an object has to have. */
json_int_t ctl_number(const json_t *object, const char *key);
const char *ctl_string(const json_t *object, const char *key);

void ctl_assert_has(const char *text, const char *part);

/* The only segment of the daemon, open or mapped for damaging. */
int ctl_open_segment(void);
void ctl_map_segment(struct segment *segment, void **mapped, uint64_t *size);

/* A process that opens the pool and has `slots` of it (up to 64) until let go. */
struct ctl_holder {
    pid_t pid;
    int pipe;
};
struct ctl_holder ctl_hold(const char *name, size_t slots);
void ctl_let_go(struct ctl_holder *holder);

#endif
