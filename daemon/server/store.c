/* SPDX-License-Identifier: MIT
 *
 * store: manifests on disk.
 */
#include "store.h"

#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME_MAX 32

int store_open(struct store *store, const char *socket_path, struct reason *why)
{
    struct stat status;
    int error;

    snprintf(store->path, sizeof store->path, "%s.d", socket_path);
    if (mkdir(store->path, 0700) < 0 && errno != EEXIST)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot make the directory %s",
                             store->path);
    store->directory = open(store->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (store->directory < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot open the directory %s",
                             store->path);
    if (fstat(store->directory, &status) < 0) {
        error = errno;
        close(store->directory);
        return reason_system(why, FASTALLOC_E_SYSTEM, error, "cannot look at %s", store->path);
    }
    if (status.st_uid != geteuid() || (status.st_mode & 077)) {
        close(store->directory);
        return reason_set(why, FASTALLOC_E_PERMISSION,
                          "%s belongs to uid %u with mode %04o: it has to be this user's (uid %u) "
                          "alone, mode 0700",
                          store->path, status.st_uid, status.st_mode & 07777, geteuid());
    }
    return 0;
}

void store_close(struct store *store)
{
    close(store->directory);
    store->directory = -1;
    rmdir(store->path);
}

static void file_name(char name[FILE_NAME_MAX], uint64_t pool_id, const char *suffix)
{
    snprintf(name, FILE_NAME_MAX, "%016" PRIx64 ".%s", pool_id, suffix);
}

/* ------------------------------------------------------------------- writing */

static int write_all(int file, const uint8_t *bytes, size_t length)
{
    ssize_t done;

    while (length > 0) {
        done = write(file, bytes, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno;
        bytes += done;
        length -= (size_t)done;
    }
    return 0;
}

static int write_file(const struct store *store, uint64_t pool_id, const uint8_t *bytes,
                      size_t length)
{
    char name[FILE_NAME_MAX], beside[FILE_NAME_MAX];
    int file, error;

    file_name(name, pool_id, "pool");
    file_name(beside, pool_id, "new");
    file = openat(store->directory, beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                  0600);
    if (file < 0)
        return errno;
    error = write_all(file, bytes, length);
    if (close(file) < 0 && !error)
        error = errno;
    if (!error && renameat(store->directory, beside, store->directory, name) < 0)
        error = errno;
    if (error)
        unlinkat(store->directory, beside, 0);
    return error;
}

int store_save(const struct store *store, const struct manifest *manifest, struct reason *why)
{
    uint8_t *bytes;
    size_t length;
    int error = manifest_pack(manifest, &bytes, &length, why);

    if (error)
        return error;
    error = write_file(store, manifest->pool_id, bytes, length);
    free(bytes);
    if (error)
        return reason_system(why, FASTALLOC_E_SYSTEM, error,
                             "cannot write the manifest of pool \"%s\" into %s",
                             manifest->spec.name, store->path);
    return 0;
}

void store_remove(const struct store *store, uint64_t pool_id)
{
    char name[FILE_NAME_MAX];

    file_name(name, pool_id, "pool");
    if (unlinkat(store->directory, name, 0) < 0 && errno != ENOENT)
        log_warn("cannot remove the manifest %s/%s: %s", store->path, name, strerror(errno));
}

/* ------------------------------------------------------------------- reading */

/* Reads a whole file into memory of its own. */
static int read_file(int directory, const char *name, uint8_t **bytes, size_t *length)
{
    int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    uint8_t *made = NULL;
    ssize_t got = -1;
    int error = 0;

    if (file < 0)
        return errno;
    if (fstat(file, &status) < 0)
        error = errno;
    else if (!S_ISREG(status.st_mode) || status.st_size > MANIFEST_MAX)
        error = EFBIG;
    else if (!(made = malloc((size_t)status.st_size + 1)))
        error = ENOMEM;
    else if ((got = read(file, made, (size_t)status.st_size)) < 0)
        error = errno;
    close(file);
    if (error) {
        free(made);
        return error;
    }
    *bytes = made;
    *length = (size_t)got;
    return 0;
}

/* Kept for a look by hand: there may be a segment that only this file names. */
static void put_aside(const struct store *store, const char *name, const char *reason)
{
    char aside[FILE_NAME_MAX + 8];

    snprintf(aside, sizeof aside, "%.*s.bad", FILE_NAME_MAX, name);
    if (renameat(store->directory, name, store->directory, aside) < 0)
        snprintf(aside, sizeof aside, "%.*s", FILE_NAME_MAX, name);
    log_warn("a pool is lost: %s (kept as %s/%s)", reason, store->path, aside);
}

/* Whether read_file() found that this is no manifest, rather than that it cannot tell. */
static bool is_no_manifest(int error)
{
    return error == EFBIG || error == ELOOP;
}

static int load_one(const struct store *store, const char *name,
                    int (*take)(void *taker, struct manifest *manifest, struct reason *why),
                    void *taker, struct reason *why)
{
    struct manifest manifest;
    struct reason detail;
    uint8_t *bytes = NULL;
    size_t length = 0;
    int error = read_file(store->directory, name, &bytes, &length);

    if (is_no_manifest(error)) {
        put_aside(store, name, strerror(error));
        return 0;
    }
    if (error)
        return reason_set(why, FASTALLOC_E_SYSTEM,
                          "cannot read the manifest %s/%s: %s.  " STORE_ADVICE, store->path, name,
                          strerror(error));
    error = manifest_unpack(&manifest, bytes, length, &detail);
    free(bytes);
    if (error == FASTALLOC_E_NO_MEMORY)
        return reason_set(why, error, "cannot read the manifest %s/%s: %s.  " STORE_ADVICE,
                          store->path, name, detail.text);
    if (error == FASTALLOC_E_POISONED) {
        put_aside(store, name, detail.text);
    } else if (error) {
        log_warn("%s/%s is left alone: %s", store->path, name, detail.text);
    } else {
        error = take(taker, &manifest, why);
        manifest_release(&manifest);
        return error;
    }
    return 0;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t length = strlen(name), rest = strlen(suffix);

    return length == 16 + rest && strcmp(name + length - rest, suffix) == 0;
}

int store_load(const struct store *store,
               int (*take)(void *taker, struct manifest *manifest, struct reason *why), void *taker,
               struct reason *why)
{
    int copy = openat(store->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    int error = 0;

    if (!directory) {
        if (copy >= 0)
            close(copy);
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot read the directory %s",
                             store->path);
    }
    while (!error && (errno = 0, entry = readdir(directory))) {
        if (ends_with(entry->d_name, ".new"))
            unlinkat(store->directory, entry->d_name, 0);
        else if (ends_with(entry->d_name, ".pool"))
            error = load_one(store, entry->d_name, take, taker, why);
    }
    if (!error && errno)
        error = reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot read the directory %s",
                              store->path);
    closedir(directory);
    return error;
}
