/* SPDX-License-Identifier: MIT
 *
 * instance: the lock file and the listening socket.
 */
#include "instance.h"

#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 128

/* Another daemon may just be ending, or starting: it has the lock and does not listen. */
#define PATIENCE_TRIES 40
#define PATIENCE_NS 50000000L

static int make_directory(const char *path, struct reason *why)
{
    char directory[PATHS_MAX];
    char *slash;
    struct stat status;

    snprintf(directory, sizeof directory, "%s", path);
    slash = strrchr(directory, '/');
    if (!slash || slash == directory)
        return 0;
    *slash = '\0';
    if (stat(directory, &status) == 0)
        return 0;
    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot make the directory %s",
                             directory);
    /* Root serves everybody: who may use a pool is decided pool by pool. */
    if (geteuid() == 0 && chmod(directory, 0755) < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot open the directory %s",
                             directory);
    return 0;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strnlen(path, sizeof address.sun_path - 1));
    return address;
}

/* Whether anybody at all listens there. */
static bool somebody_listens(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = 0;

    if (probe < 0)
        return true;
    if (connect(probe, (struct sockaddr *)&address, sizeof address) < 0)
        error = errno;
    close(probe);
    return error != ECONNREFUSED && error != ENOENT && error != ENOTSOCK;
}

/* -------------------------------------------------------------------- the lock */

/* Opens and locks the file; *held tells that somebody else has the lock.  The file may be
 * taken away by a daemon that ends between our opening and locking it: then once more. */
static int try_lock(struct instance *instance, bool *held, struct reason *why)
{
    struct stat mine, there;
    int error;

    for (;;) {
        instance->lock = open(instance->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (instance->lock < 0)
            return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot open the lock file %s",
                                 instance->lock_path);
        *held = false;
        if (flock(instance->lock, LOCK_EX | LOCK_NB) < 0) {
            error = errno;
            *held = error == EWOULDBLOCK;
            if (*held)
                return 0;
            close(instance->lock);
            return reason_system(why, FASTALLOC_E_SYSTEM, error, "cannot lock %s",
                                 instance->lock_path);
        }
        if (fstat(instance->lock, &mine) == 0 && stat(instance->lock_path, &there) == 0 &&
            mine.st_ino == there.st_ino && mine.st_dev == there.st_dev)
            return 0;
        close(instance->lock);
    }
}

static int refuse_second(struct instance *instance, struct reason *why)
{
    char text[16] = "";
    ssize_t length = pread(instance->lock, text, sizeof text - 1, 0);

    if (length > 0)
        text[length] = '\0';
    return reason_set(why, FASTALLOC_E_EXISTS,
                      "another fastallocd (pid %ld) serves %s: stop it first, or choose another "
                      "--socket",
                      strtol(text, NULL, 10), instance->path);
}

static int take_lock(struct instance *instance, struct reason *why)
{
    unsigned tries;
    bool held;
    int error;

    for (tries = 0;; tries++) {
        error = try_lock(instance, &held, why);
        if (error || !held)
            break;
        if (somebody_listens(instance->path) || tries >= PATIENCE_TRIES) {
            error = refuse_second(instance, why);
            close(instance->lock);
            break;
        }
        close(instance->lock);
        nanosleep(&(struct timespec){.tv_nsec = PATIENCE_NS}, NULL);
    }
    if (error)
        return error;
    if (ftruncate(instance->lock, 0) < 0 || dprintf(instance->lock, "%ld\n", (long)getpid()) < 0) {
        error = errno;
        close(instance->lock);
        return reason_system(why, FASTALLOC_E_SYSTEM, error, "cannot write the lock file %s",
                             instance->lock_path);
    }
    return 0;
}

/* ------------------------------------------------------------------ the socket */

static int remove_stale(const char *path, struct reason *why)
{
    struct stat status;

    if (lstat(path, &status) < 0) {
        if (errno == ENOENT)
            return 0;
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot look at %s", path);
    }
    if (!S_ISSOCK(status.st_mode))
        return reason_set(why, FASTALLOC_E_INVALID,
                          "%s is there and is no socket; it was not touched: remove it, or choose "
                          "another --socket",
                          path);
    if (somebody_listens(path))
        return reason_set(why, FASTALLOC_E_INVALID,
                          "some other program listens on %s: choose another --socket", path);
    if (unlink(path) < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot remove the stale socket %s",
                             path);
    return 0;
}

static int listen_there(struct instance *instance, struct reason *why)
{
    struct sockaddr_un address = address_of(instance->path);
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before;
    int error, bound = -1;

    if (made < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot make a socket");
    before = umask(geteuid() == 0 ? 0111 : 0177);
    bound = bind(made, (struct sockaddr *)&address, sizeof address);
    error = errno;
    umask(before);
    if (bound == 0 && listen(made, BACKLOG) < 0) {
        error = errno;
        unlink(instance->path);
        bound = -1;
    }
    if (bound < 0) {
        close(made);
        return reason_system(why, FASTALLOC_E_SYSTEM, error, "cannot listen on %s", instance->path);
    }
    instance->listener = made;
    return 0;
}

int instance_claim(struct instance *instance, const char *path, struct reason *why)
{
    int error;

    snprintf(instance->path, sizeof instance->path, "%s", path);
    snprintf(instance->lock_path, sizeof instance->lock_path, "%s.lock", path);
    instance->lock = instance->listener = -1;
    error = make_directory(path, why);
    if (error)
        return error;
    error = take_lock(instance, why);
    if (error)
        return error;
    error = remove_stale(path, why);
    if (!error)
        error = listen_there(instance, why);
    if (error)
        instance_release(instance);
    return error;
}

void instance_deafen(struct instance *instance)
{
    if (instance->listener < 0)
        return;
    unlink(instance->path);
    close(instance->listener);
    instance->listener = -1;
}

void instance_release(struct instance *instance)
{
    instance_deafen(instance);
    unlink(instance->lock_path);
    close(instance->lock);
    instance->lock = -1;
}
