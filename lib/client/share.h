/* SPDX-License-Identifier: MIT
 *
 * share: which shared slots this process holds, and how many references to each: the
 * counts are private, only holding or not is for others to see (shm/share.h).
 *
 * They belong to the session: those of a forked child, which is another, begin empty, and
 * those of one that goes on as its parent stay.
 */
#ifndef CLIENT_SHARE_H
#define CLIENT_SHARE_H

#include <pthread.h>
#include <stdint.h>

struct hold;

struct holds {
    pthread_mutex_t mutex; /* the table, and the session's bits in the rows of holders */
    struct hold *table;    /* by handle */
    uint32_t session;      /* whose they are */
    uint32_t told;         /* how far it has been told what it inherits */
};

void holds_init(struct holds *holds);
void holds_release(struct holds *holds);

/* In a forked child, alone there: makes the mutex anew, and drops a table that another thread
 * was at work on. */
void holds_become_child(struct holds *holds);

#endif
