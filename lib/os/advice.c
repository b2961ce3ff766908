/* SPDX-License-Identifier: MIT
 *
 * advice: see advice.h.
 */
#include "advice.h"

#include "backing.h"

#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define AMOUNT_MAX 48

/* "8.0 MiB", or "none". */
static void limit_text(char text[AMOUNT_MAX], rlim_t limit)
{
    if (limit == RLIM_INFINITY)
        snprintf(text, AMOUNT_MAX, "unlimited");
    else
        backing_amount(text, AMOUNT_MAX, limit);
}

static int refuse_lock(int error, uint64_t length, struct reason *why)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    char wanted[AMOUNT_MAX], allowed[AMOUNT_MAX];

    getrlimit(RLIMIT_MEMLOCK, &limit);
    backing_amount(wanted, sizeof wanted, length);
    limit_text(allowed, limit.rlim_cur);
    if (error == EPERM || error == ENOMEM || (error == EAGAIN && limit.rlim_cur < length))
        return reason_set(why, FASTALLOC_E_LIMIT,
                          "cannot lock %s into memory (FASTALLOC_MLOCK): RLIMIT_MEMLOCK is %s for "
                          "all that the process locks: raise it (ulimit -l, LimitMEMLOCK= of the "
                          "service) or give CAP_IPC_LOCK",
                          wanted, allowed);
    return reason_system(why, error == EAGAIN ? FASTALLOC_E_NO_MEMORY : FASTALLOC_E_SYSTEM, error,
                         "cannot lock %s into memory (FASTALLOC_MLOCK)", wanted);
}

/* Writes to each page without changing anything, whoever else writes there. */
static void touch(char *from, uint64_t length, uint64_t page)
{
    uint64_t at;

    for (at = 0; at < length; at += page)
        __atomic_fetch_or(from + at, 0, __ATOMIC_RELAXED);
}

static int prefault(char *from, uint64_t length, uint64_t page, struct reason *why)
{
    char wanted[AMOUNT_MAX];
    int error;

    do
        error = madvise(from, length, MADV_POPULATE_WRITE) ? errno : 0;
    while (error == EINTR);
    if (!error)
        return 0;
    if (error == EINVAL || error == ENOSYS) {
        touch(from, length, page);
        return 0;
    }
    backing_amount(wanted, sizeof wanted, length);
    return reason_system(why, error == ENOMEM ? FASTALLOC_E_NO_MEMORY : FASTALLOC_E_SYSTEM, error,
                         "cannot make %s present (FASTALLOC_PREFAULT)", wanted);
}

/* Huge pages first, for those that the others make present. */
int advice_give(char *from, uint64_t length, uint32_t advice, struct reason *why)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), before = (uintptr_t)from % page;
    int error = 0;

    if (!length)
        return 0;
    from -= before;
    length = (before + length + page - 1) / page * page;
    if (advice & FASTALLOC_HUGE_PAGES)
        (void)!madvise(from, length, MADV_HUGEPAGE);
    if ((advice & FASTALLOC_MLOCK) && mlock(from, length))
        error = refuse_lock(errno, length, why);
    if (!error && (advice & FASTALLOC_PREFAULT))
        error = prefault(from, length, page, why);
    return error;
}
