/* SPDX-License-Identifier: MIT
 *
 * store: the directory of manifests, one file a pool: PATH.d/<pool_id>.pool.
 *
 * A file is written beside and renamed, so that it is always whole; and it stands before
 * its segment is made and until after that is gone, so that no crash leaves a segment
 * that nobody knows of.  There is no fsync: what manifests speak of does not outlive the
 * machine either.
 */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include "shm/reason.h"
#include "wire/manifest.h"

#include <stdint.h>

#define STORE_PATH_MAX 128

/* For who starts a daemon that cannot take up everything there is. */
#define STORE_ADVICE                                                                               \
    "Nothing was changed: raise what it lacks (open files: \"ulimit -n\", LimitNOFILE=; "          \
    "memory), and start it again"

struct store {
    int directory;
    char path[STORE_PATH_MAX];
};

/* Opens the directory, making it (0700) where needed.  One that others could write to,
 * or of another owner, is refused.  Returns 0 or FASTALLOC_E_SYSTEM, _PERMISSION. */
int store_open(struct store *store, const char *socket_path, struct reason *why);

/* Removes the directory when it is empty. */
void store_close(struct store *store);

/* Writes or replaces the pool's manifest.  Any thread, for different pools at once.
 * Returns 0 or FASTALLOC_E_SYSTEM, _NO_MEMORY. */
int store_save(const struct store *store, const struct manifest *manifest, struct reason *why);

void store_remove(const struct store *store, uint64_t pool_id);

/* Reads every manifest there is and hands it to `take`, which may keep its sessions by
 * setting manifest->sessions to NULL.  What is damaged is reported and put aside;
 * half-written files are removed.  What may well be good but cannot be read now ends the
 * loading, as does an error of `take`.  Returns 0, that error, or FASTALLOC_E_SYSTEM,
 * _NO_MEMORY. */
int store_load(const struct store *store,
               int (*take)(void *taker, struct manifest *manifest, struct reason *why), void *taker,
               struct reason *why);

#endif
