/* SPDX-License-Identifier: MIT
 *
 * fence: open-file-description locks on single bytes of a segment.
 */
#include "fence.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* The lock on byte `byte`; l_pid has to be 0 for this kind of lock. */
static struct flock lock_on(uint32_t byte, short type)
{
    struct flock lock;

    memset(&lock, 0, sizeof lock);
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = (off_t)byte;
    lock.l_len = 1;
    return lock;
}

static int set_lock(int descriptor, uint32_t byte, short type)
{
    struct flock lock = lock_on(byte, type);

    while (fcntl(descriptor, F_OFD_SETLK, &lock) < 0)
        if (errno != EINTR)
            return errno == EACCES ? EAGAIN : errno;
    return 0;
}

int fence_close(int descriptor, uint32_t session)
{
    if (session == 0)
        return EINVAL;
    return set_lock(descriptor, session, F_RDLCK);
}

int fence_is_open(int descriptor, uint32_t session)
{
    /* What would keep a writer out is exactly a read lock of somebody else. */
    struct flock lock = lock_on(session, F_WRLCK);

    if (session == 0)
        return -EINVAL;
    while (fcntl(descriptor, F_OFD_GETLK, &lock) < 0)
        if (errno != EINTR)
            return -errno;
    return lock.l_type == F_UNLCK;
}

int fence_take_role(int descriptor)
{
    return set_lock(descriptor, 0, F_WRLCK);
}

void fence_drop_role(int descriptor)
{
    set_lock(descriptor, 0, F_UNLCK);
}

static int lock_process_role(int descriptor, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    int result;

    do
        result = fcntl(descriptor, F_SETLK, &lock);
    while (result < 0 && errno == EINTR);
    if (result == 0)
        return 0;
    return errno == EACCES ? EAGAIN : errno;
}

int fence_take_own_role(int descriptor)
{
    return lock_process_role(descriptor, F_WRLCK);
}

void fence_drop_own_role(int descriptor)
{
    lock_process_role(descriptor, F_UNLCK);
}
