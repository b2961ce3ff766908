/* SPDX-License-Identifier: MIT
 *
 * memory: one number of bytes that are spoken for.
 */
#include "memory.h"

#include "os/backing.h"
#include "os/room.h"

#include <fastalloc/fastalloc.h>

/* What is reserved in one go.  So much at most is counted twice for a moment: as spoken
 * for, and as taken. */
#define CHUNK (UINT64_C(16) << 20)

/* Bytes that all jobs together have asked for and do not have yet. */
static uint64_t spoken_for;

/* Whoever came first looks first: nobody counts what others ask for after him, so that of
 * two who do not both fit one is refused, not both. */
static int look(int descriptor, uint64_t needed, struct reason *why)
{
    uint64_t before = __atomic_fetch_add(&spoken_for, needed, __ATOMIC_SEQ_CST);
    struct reason detail;
    char amount[32];
    int error;

    if (before == 0)
        return room_check(descriptor, needed, why);
    error = room_check(descriptor, before + needed, &detail);
    if (!error)
        return 0;
    backing_amount(amount, sizeof amount, before);
    return reason_set(why, error,
                      "%s (%s of that is for other pools, being made or grown just now)",
                      detail.text, amount);
}

static void give_up(uint64_t bytes)
{
    __atomic_fetch_sub(&spoken_for, bytes, __ATOMIC_SEQ_CST);
}

/* The words of a chunk's failure are about the chunk. */
static int say_how_far(int error, uint64_t needed, uint64_t done, const struct reason *detail,
                       struct reason *why)
{
    char all[32], part[32];

    if (error != FASTALLOC_E_NO_MEMORY)
        return reason_set(why, error, "%s", detail->text);
    backing_amount(all, sizeof all, needed);
    backing_amount(part, sizeof part, done);
    return reason_set(why, error,
                      "needs %s of shared memory, and only %s could be had: ask for less, or make "
                      "room (mount -o remount,size=... /dev/shm)",
                      all, part);
}

int memory_reserve(int descriptor, const struct extent *extents, unsigned count, uint64_t has,
                   struct reason *why)
{
    uint64_t needed = 0, left, done, step, got;
    struct reason detail;
    unsigned i;
    int error;

    for (i = 0; i < count; i++)
        needed += extents[i].length;
    needed = left = needed > has ? needed - has : 0;
    if (needed && (error = look(descriptor, needed, why))) {
        give_up(needed);
        return error;
    }
    error = 0;
    for (i = 0; i < count && !error; i++) {
        for (done = 0; done < extents[i].length && !error; done += step) {
            step = extents[i].length - done < CHUNK ? extents[i].length - done : CHUNK;
            error = backing_fill(descriptor, extents[i].from + done, step, &detail);
            got = error ? 0 : step < left ? step : left;
            left -= got;
            give_up(got);
        }
    }
    give_up(left);
    return error ? say_how_far(error, needed, needed - left, &detail, why) : 0;
}
