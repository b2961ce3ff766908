/* SPDX-License-Identifier: MIT
 *
 * lock: see lock.h.
 */
#include "lock.h"

#include <errno.h>
#include <linux/futex.h>

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1 /* as gcc says it */
#endif
#endif

/* ThreadSanitizer does not know pthread_mutex_clocklock(): it is told. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
static void tell_locked(pthread_mutex_t *mutex)
{
    __tsan_mutex_pre_lock(mutex, 0);
    __tsan_mutex_post_lock(mutex, 0, 0);
}
#else
static void tell_locked(pthread_mutex_t *mutex)
{
    (void)mutex;
}
#endif

int lock_init(struct shm_depot *depot)
{
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);

    if (error)
        return error;
    error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (!error)
        error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (!error)
        error = pthread_mutex_init(&depot->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return error;
}

static enum lock_result result_of(int error)
{
    switch (error) {
    case 0:
        return LOCK_TAKEN;
    case EOWNERDEAD:
        return LOCK_DIED;
    case EBUSY:
    case ETIMEDOUT:
    case EAGAIN:
    case EDEADLK:
        return LOCK_BUSY;
    default: /* ENOTRECOVERABLE; EINVAL for a garbled mutex */
        return LOCK_LOST;
    }
}

/* Looks first: a look shares the lock's line with its holder, a try takes it from him.  The lock of
 * a holder who died says so, and is for the taking. */
enum lock_result lock_try(struct shm_depot *depot)
{
#ifdef __GLIBC__
    int word = __atomic_load_n(&depot->mutex.__data.__lock, __ATOMIC_RELAXED);

    if (word && !((unsigned)word & FUTEX_OWNER_DIED))
        return LOCK_BUSY;
#endif
    return result_of(pthread_mutex_trylock(&depot->mutex));
}

enum lock_result lock_wait(struct shm_depot *depot, const struct timespec *deadline)
{
    enum lock_result result =
        result_of(pthread_mutex_clocklock(&depot->mutex, CLOCK_MONOTONIC, deadline));

    if (result == LOCK_TAKEN || result == LOCK_DIED)
        tell_locked(&depot->mutex);
    return result;
}

bool lock_is_free(const struct shm_depot *depot)
{
#ifdef __GLIBC__
    /* The futex word: thread id of the holder, or of a dead one with a bit; 0 when free. */
    return __atomic_load_n(&depot->mutex.__data.__lock, __ATOMIC_SEQ_CST) == 0;
#else
    (void)depot;
    return false;
#endif
}

void lock_mend(struct shm_depot *depot)
{
    pthread_mutex_consistent(&depot->mutex);
}

void lock_release(struct shm_depot *depot)
{
    pthread_mutex_unlock(&depot->mutex);
}

struct timespec lock_deadline(long us)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += us / 1000000;
    at.tv_nsec += us % 1000000 * 1000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

bool lock_passed(const struct timespec *deadline)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > deadline->tv_sec ||
           (now.tv_sec == deadline->tv_sec && now.tv_nsec >= deadline->tv_nsec);
}
