/* SPDX-License-Identifier: MIT
 *
 * backing: objects of shared memory, their size, their mappings.
 *
 * What is left of memory, which reserving asks first, stands in room.c.
 */
#include "backing.h"

#include "room.h"

#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reserving goes in chunks: the kernel takes back a call that a signal
 * interrupts, so one huge call might never end.  Halved at each interruption. */
#define CHUNK_MAX (UINT64_C(64) << 20)
#define CHUNK_MIN (UINT64_C(1) << 20)

void backing_amount(char *text, size_t size, uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    uint64_t rest = 0;

    while (bytes >= 1024 && unit < 6) {
        rest = bytes % 1024;
        bytes /= 1024;
        unit++;
    }
    rest = rest * 10 / 1024;
    if (rest > 0 && bytes < 100)
        snprintf(text, size, "%" PRIu64 ".%u %s", bytes, (unsigned)rest, units[unit]);
    else
        snprintf(text, size, "%" PRIu64 " %s", bytes, units[unit]);
}

int backing_random(void *bytes, size_t size, struct reason *why)
{
    char *next = bytes;
    ssize_t got;

    while (size > 0) {
        got = getrandom(next, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot get %zu random bytes",
                                 size);
        next += got;
        size -= (size_t)got;
    }
    return 0;
}

int backing_name(char name[BACKING_NAME_MAX], const char *prefix, struct reason *why)
{
    uint64_t number;
    int error;

    if (*prefix == '\0' || strlen(prefix) > BACKING_NAME_MAX - 19 || strchr(prefix, '/'))
        return reason_set(why, FASTALLOC_E_INVALID,
                          "\"%s\" cannot begin the names of shared memory: 1 to %d bytes without "
                          "\"/\" can",
                          prefix, BACKING_NAME_MAX - 19);
    error = backing_random(&number, sizeof number, why);
    if (error)
        return error;
    snprintf(name, BACKING_NAME_MAX, "/%s-%016" PRIx64, prefix, number);
    return 0;
}

/* ftruncate, which a signal may interrupt. */
static int set_size(int descriptor, uint64_t total)
{
    while (ftruncate(descriptor, (off_t)total) < 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

static int size_failure(int error, uint64_t total, struct reason *why)
{
    char amount[32];

    backing_amount(amount, sizeof amount, total);
    return reason_system(why, error == ENOSPC ? FASTALLOC_E_NO_MEMORY : FASTALLOC_E_SYSTEM, error,
                         "cannot make shared memory of %s", amount);
}

int backing_create(const char *name, uint64_t total, int *descriptor, struct reason *why)
{
    int made = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int error;

    if (made < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno,
                             "cannot make shared memory /dev/shm%s (is a tmpfs mounted on "
                             "/dev/shm, and may this user write there?)",
                             name);
    error = set_size(made, total);
    if (error) {
        shm_unlink(name);
        close(made);
        return size_failure(error, total, why);
    }
    *descriptor = made;
    return 0;
}

int backing_create_nameless(const char *label, uint64_t total, int *descriptor, struct reason *why)
{
    char cut[200]; /* the kernel allows 249 bytes */
    int made, error;

    snprintf(cut, sizeof cut, "%s", label);
    made = memfd_create(cut, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot make memory for \"%s\"", cut);
    error = set_size(made, total);
    if (error) {
        close(made);
        return size_failure(error, total, why);
    }
    if (fchmod(made, 0600) < 0 ||
        fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        error = errno;
        close(made);
        return reason_system(why, FASTALLOC_E_SYSTEM, error, "cannot seal the memory for \"%s\"",
                             cut);
    }
    *descriptor = made;
    return 0;
}

static int reserve_failure(int error, uint64_t length, uint64_t done, struct reason *why)
{
    char needed[32], got[32];

    backing_amount(needed, sizeof needed, length);
    backing_amount(got, sizeof got, done);
    if (error == ENOSPC || error == ENOMEM || error == EFBIG)
        return reason_system(why, FASTALLOC_E_NO_MEMORY, error,
                             "needs %s of shared memory, and only %s could be had: ask for less, "
                             "or make room (mount -o remount,size=... /dev/shm)",
                             needed, got);
    return reason_system(why, FASTALLOC_E_SYSTEM, error, "cannot reserve %s of shared memory",
                         needed);
}

int backing_fill(int descriptor, uint64_t from, uint64_t length, struct reason *why)
{
    uint64_t done = 0, chunk = CHUNK_MAX;
    int error;

    while (done < length) {
        uint64_t step = length - done < chunk ? length - done : chunk;

        error = posix_fallocate(descriptor, (off_t)(from + done), (off_t)step);
        if (error == EINTR) {
            if (chunk > CHUNK_MIN)
                chunk /= 2;
            continue;
        }
        if (error)
            return reserve_failure(error, length, done, why);
        done += step;
    }
    return 0;
}

int backing_reserve(int descriptor, uint64_t from, uint64_t length, struct reason *why)
{
    int error = room_check(descriptor, length, why);

    return error ? error : backing_fill(descriptor, from, length, why);
}

int backing_punch(int descriptor, uint64_t from, uint64_t length, struct reason *why)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t begin = (from + page - 1) / page * page, end = (from + length) / page * page;
    char amount[32];

    if (begin >= end)
        return 0;
    while (fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)begin,
                     (off_t)(end - begin)) < 0)
        if (errno != EINTR) {
            backing_amount(amount, sizeof amount, end - begin);
            return reason_system(why, FASTALLOC_E_SYSTEM, errno,
                                 "cannot give back %s of shared memory", amount);
        }
    return 0;
}

int backing_reopen(int descriptor, bool write, int *reopened, struct reason *why)
{
    char path[40];
    int made;

    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    made = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (made < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno,
                             "cannot open shared memory again through %s (is /proc mounted?)",
                             path);
    *reopened = made;
    return 0;
}

int backing_size(int descriptor, uint64_t *size, struct reason *why)
{
    struct stat status;

    if (fstat(descriptor, &status) < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot ask shared memory its size");
    *size = (uint64_t)status.st_size;
    return 0;
}

int backing_filled(int descriptor, uint64_t *bytes, struct reason *why)
{
    struct stat status;

    if (fstat(descriptor, &status) < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno,
                             "cannot ask shared memory how much of it there is");
    *bytes = (uint64_t)status.st_blocks * 512;
    return 0;
}

int backing_guard(void *mapped, uint64_t at, struct reason *why)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (mprotect((char *)mapped + at, page, PROT_NONE) < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno,
                             "cannot set up the guard page of shared memory");
    return 0;
}

int backing_map(int descriptor, uint64_t size, bool write, void *address, uint64_t guard_at,
                void **mapped, struct reason *why)
{
    int protection = PROT_READ | (write ? PROT_WRITE : 0);
    char amount[32];
    void *made;
    int error;

    made = mmap(address, size, protection, MAP_SHARED | (address ? MAP_FIXED : 0), descriptor, 0);
    if (made == MAP_FAILED) {
        error = errno;
        backing_amount(amount, sizeof amount, size);
        return reason_system(why, error == ENOMEM ? FASTALLOC_E_NO_MEMORY : FASTALLOC_E_SYSTEM,
                             error, "cannot map %s of shared memory", amount);
    }
    /* A core dump of every pool would be large, and slow to end the process. */
    madvise(made, size, MADV_DONTDUMP);
    error = guard_at ? backing_guard(made, guard_at, why) : 0;
    if (error) {
        munmap(made, size);
        return error;
    }
    *mapped = made;
    return 0;
}

void backing_unmap(void *mapped, uint64_t size)
{
    munmap(mapped, size);
}
