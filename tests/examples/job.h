/* SPDX-License-Identifier: MIT
 *
 * job: what the reader keeps about the word count, all of it private to its process:
 * of a block that is out only where in which file it begins.
 */
#ifndef EXAMPLES_JOB_H
#define EXAMPLES_JOB_H

#include "text.h"
#include "worker.h"

#include <sys/types.h>

#define BATCHES 2 /* a worker has at a time */
#define WORKERS_MAX 32

/* Where a block's text comes from: enough to make it again. */
struct source {
    size_t file;
    uint64_t offset;
    uint32_t length, within;
};

struct batch {
    uint32_t count; /* 0: free */
    bool taken;     /* the worker has adopted it */
    blocks_handle handles[BATCH];
    struct source sources[BATCH];
};

enum fate { WAITING, WORKING, KILLED, FINISHED };

struct worker {
    pid_t pid; /* 0 once reaped */
    pid_t shown_pid;
    int socket;
    enum fate fate;
    struct batch batches[BATCHES];
    uint64_t blocks, words;
    uint32_t lost; /* blocks it had in its hands when killed */
};

struct job {
    /* as asked */
    unsigned workers;
    bool kill;
    const char *at_kill, *at_end; /* commands to run, or NULL */
    const char *socket;
    uint64_t repeat;

    struct text text;
    char pool_name[32];
    fastalloc_client *client;
    blocks_pool pool;
    struct worker worker[WORKERS_MAX + 1]; /* the last is the one in reserve */

    /* where the reader is */
    uint64_t pass, offset, read;
    size_t file;
    int descriptor; /* of that file, -1: not open */
    bool within;

    struct batch again[BATCHES]; /* a dead worker's, to be given to another */
    unsigned again_count;
    uint64_t words, expected;
    unsigned victim;      /* 1 for the first worker; 0: nobody was killed */
    uint64_t catch_until; /* on the clock of job_now_us(); 0: not tried yet */
    uint64_t in_use_before, in_use_after;
    uint64_t reclaim_us;
};

extern struct job job;

/* Counts the words of all the text, with the workers there are; kills one of them on the
 * way if that is asked for. */
void job_count(void (*progress)(void));

/* The monotonic clock. */
uint64_t job_now_us(void);

/* Runs a command of the shell, which finds the pool's name in $WORDCOUNT_POOL; nothing
 * for NULL.  Fails the demonstration when the command does. */
void job_run(const char *command);

/* Slots of the pool in use now. */
uint64_t job_in_use(void);

/* Ends the demonstration, leaving neither processes nor the pool behind. */
__attribute__((format(printf, 1, 2))) _Noreturn void job_fail(const char *format, ...);

#endif
