/* SPDX-License-Identifier: MIT
 *
 * backing: the memory behind a segment: making it, reserving it, mapping it.
 * No idea of what is inside.
 */
#ifndef OS_BACKING_H
#define OS_BACKING_H

#include "shm/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BACKING_NAME_MAX 64

/* A name for shm_open(): "/" prefix "-" 16 hexadecimal digits at random. */
int backing_name(char name[BACKING_NAME_MAX], const char *prefix, struct reason *why);

/* Makes a named object: O_EXCL, mode 0600, close-on-exec, size `total`.
 * *descriptor is the caller's to close; the name the caller's to unlink. */
int backing_create(const char *name, uint64_t total, int *descriptor, struct reason *why);

/* Makes an object without a name (memfd, mode 0600, sealed against shrinking and
 * growing).  *descriptor is the caller's to close. */
int backing_create_nameless(const char *label, uint64_t total, int *descriptor, struct reason *why);

/* Reserves the bytes [from, from + length), in chunks, so that no touch can fail
 * later.  Looks first at what there is (file system, memory cgroup), because past a
 * cgroup's limit the caller would be killed.  FASTALLOC_E_NO_MEMORY says what is needed,
 * what is there, and the mend. */
int backing_reserve(int descriptor, uint64_t from, uint64_t length, struct reason *why);

/* The same without the look, for who has asked room_check() for a larger whole. */
int backing_fill(int descriptor, uint64_t from, uint64_t length, struct reason *why);

/* Gives the memory of the whole pages within [from, from + length) back: they read as zero
 * then, and the size stays.  Returns 0 or FASTALLOC_E_SYSTEM. */
int backing_punch(int descriptor, uint64_t from, uint64_t length, struct reason *why);

/* How many bytes have memory. */
int backing_filled(int descriptor, uint64_t *bytes, struct reason *why);

/* A new file description of the same object, through /proc.  `write` false gives one that
 * cannot be mapped writable.  *descriptor is the caller's to close. */
int backing_reopen(int descriptor, bool write, int *reopened, struct reason *why);

/* The object's size, or FASTALLOC_E_SYSTEM. */
int backing_size(int descriptor, uint64_t *size, struct reason *why);

/* Maps all of it, shared, left out of core dumps; at `address` exactly where
 * that is not NULL (over whatever is mapped there).  [guard_at, guard_at +
 * page) is made inaccessible unless guard_at is 0. */
int backing_map(int descriptor, uint64_t size, bool write, void *address, uint64_t guard_at,
                void **mapped, struct reason *why);
/* Makes the page at `at` inaccessible. */
int backing_guard(void *mapped, uint64_t at, struct reason *why);
void backing_unmap(void *mapped, uint64_t size);

/* `size` random bytes.  Returns 0 or FASTALLOC_E_SYSTEM. */
int backing_random(void *bytes, size_t size, struct reason *why);

/* "1.5 GiB", "640 KiB", "12 bytes". */
void backing_amount(char *text, size_t size, uint64_t bytes);

#endif
