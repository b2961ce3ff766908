/* SPDX-License-Identifier: MIT
 *
 * worker: the processes that count, and what they and the reader say to each other.
 *
 *   reader                                             worker
 *     a batch of handles, each a block of text  -GO-->   adopts them: its slots now
 *                                             <-TAKEN-
 *                                                        counts, writes the answers into
 *                                                        the slots
 *     adopts them back, adds up, frees them   <-DONE--
 *
 * over a socket that keeps messages whole and orders what was written to a slot before
 * with what is read from it behind.  A worker ends when its socket does.
 */
#ifndef EXAMPLES_WORKER_H
#define EXAMPLES_WORKER_H

#include <fastalloc/fastalloc.h>

#define BATCH 8 /* blocks in one message, at most */

struct block {
    uint64_t words;  /* the worker's answer */
    uint32_t length; /* of the text */
    uint32_t within; /* a word longer than a block goes on here */
    char text[4096 - 16];
};
FASTALLOC_DEFINE_POOL(blocks, struct block);

enum kind { GO, TAKEN, DONE };

struct message {
    enum kind kind;
    uint32_t count;
    blocks_handle handles[BATCH];
};

/* A worker's life: connects to the daemon when the first batch arrives, and returns its
 * exit status. */
int worker_live(int socket, const char *daemon_socket, const char *pool_name);

#endif
