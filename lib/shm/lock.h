/* SPDX-License-Identifier: MIT
 *
 * lock: the robust process-shared mutex of a depot.  The only place in the
 * library that calls the mutex functions on shared memory.
 *
 * A holder's death is routine: the next to lock gets LOCK_DIED, owns the lock,
 * repairs what it guards, and only then says lock_mend().  A lock is taken with
 * a deadline, since a holder may be stopped; it is never destroyed, and no
 * thread holds two.  The daemon never calls any of this: unlocking writes
 * through pointers that clients could forge.
 *
 * A mutex that was unlocked without mending is lost for ever (LOCK_LOST); no
 * path here does that, so it says that somebody damaged the memory.
 */
#ifndef SHM_LOCK_H
#define SHM_LOCK_H

#include "layout.h"

#include <time.h>

enum lock_result {
    LOCK_TAKEN,
    LOCK_DIED, /* taken, but the last holder died with it */
    LOCK_BUSY, /* not taken */
    LOCK_LOST  /* cannot be taken, ever */
};

int lock_init(struct shm_depot *depot);
enum lock_result lock_try(struct shm_depot *depot);
enum lock_result lock_wait(struct shm_depot *depot, const struct timespec *deadline);
/* Whether nobody holds it, alive or dead: what it guards is at rest.  A look only, also
 * on a read-only mapping. */
bool lock_is_free(const struct shm_depot *depot);
void lock_mend(struct shm_depot *depot);
void lock_release(struct shm_depot *depot);

/* The monotonic clock, `us` microseconds from now. */
struct timespec lock_deadline(long us);
bool lock_passed(const struct timespec *deadline);

#endif
