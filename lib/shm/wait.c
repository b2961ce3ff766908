/* SPDX-License-Identifier: MIT
 *
 * wait: see wait.h.
 */
#include "wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

uint64_t wait_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

bool wait_on(uint32_t *word, uint32_t seen, uint64_t deadline)
{
    struct timespec until = {(time_t)(deadline / NS_PER_S), (long)(deadline % NS_PER_S)};

    /* FUTEX_WAIT_BITSET takes the time as a deadline. */
    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, deadline == UINT64_MAX ? NULL : &until,
                NULL, FUTEX_BITSET_MATCH_ANY) == 0)
        return true;
    return errno != ETIMEDOUT;
}

void wait_wake_all(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

uint32_t wait_begin(struct segment *segment)
{
    uint32_t epoch = shm_load_ordered(&segment->header->free_epoch);
    uint32_t *waiters = &segment->header->waiters;
    uint32_t seen = shm_load_ordered(waiters);

    while (!shm_cas(waiters, &seen, (seen + 2) | WAIT_SOMEBODY))
        ;
    return epoch;
}

bool wait_sleep(struct segment *segment, uint32_t epoch, uint64_t deadline)
{
    return wait_on(&segment->header->free_epoch, epoch, deadline);
}

void wait_wake(struct segment *segment)
{
    struct shm_header *header = segment->header;
    uint32_t seen = shm_load_ordered(&header->waiters);

    if (!(seen & WAIT_SOMEBODY))
        return;
    __atomic_fetch_add(&header->free_epoch, 1, __ATOMIC_SEQ_CST);
    wait_wake_all(&header->free_epoch);
    shm_cas(&header->waiters, &seen, seen & ~WAIT_SOMEBODY);
}
