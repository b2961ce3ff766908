/* SPDX-License-Identifier: MIT
 *
 * check: the integrity of a pool.  Each slot is exactly one of: idle in one
 * magazine, owned by a live session, left to anyone, shared among live sessions (or being
 * closed by one), quarantined, returned (and flagged), never used; or above the
 * capacity, and withdrawn or never used.  None lost, none twice.
 *
 * A live session's bit in the row of a slot that is not shared is nothing: a joiner who
 * came too late, and was perhaps stopped before he could take it out; he will, or his
 * sweep.
 *
 * Works by looking only, on a read-only mapping if need be, and on a live pool:
 * an anomaly seen once may be an operation under way.  The caller looks again
 * after a while and keeps what has not changed: check_confirm().
 */
#ifndef SHM_CHECK_H
#define SHM_CHECK_H

#include "layout.h"

#define CHECK_FINDINGS_MAX 64
#define CHECK_TEXT_MAX 160

enum check_kind {
    CHECK_HEADER,          /* a header field contradicts the geometry */
    CHECK_SLOT_LOST,       /* idle or returned, but nowhere to be found; shared, but held by
                              nobody; withdrawn, but below the capacity */
    CHECK_SLOT_TWICE,      /* in two magazines, or twice in one */
    CHECK_SLOT_OWNED_IDLE, /* in a magazine though it has an owner */
    CHECK_SLOT_DEAD_OWNER, /* owned by no live session */
    CHECK_SLOT_WORD,       /* a word no protocol writes */
    CHECK_MAGAZINE_COUNT,  /* above its size */
    CHECK_MAGAZINE_ENTRY,  /* an index outside the table */
    CHECK_MAGAZINE_OWNER,  /* owned by nobody that exists, or by a session none
                             of whose caches has it */
    CHECK_CACHE,           /* a record that contradicts its magazines */
    CHECK_DEPOT_LIST,      /* a list with a cycle, a stranger or a bad index, or, at rest,
                              without one of its magazines */
    CHECK_BITMAP,          /* a flag whose parent is clear */
    CHECK_HOLDER           /* a session that is not live, in a row of holders */
};

struct check_finding {
    enum check_kind kind;
    uint64_t place; /* slot, magazine, cache, depot: as the kind says */
    uint64_t seen;  /* the word that was wrong */
    char text[CHECK_TEXT_MAX];
};

struct check_report {
    uint64_t total; /* findings, also those there was no room for */
    size_t count;   /* in `findings` */
    struct check_finding findings[CHECK_FINDINGS_MAX];
};

/* Looks up to `looks` times, `pause_us` apart, until nothing is found that every
 * look had, unchanged; reports what is left.  On a pool at rest one look is
 * enough.  Returns 0, or FASTALLOC_E_NO_MEMORY (it needs a byte a slot). */
int check_confirm(const struct segment *segment, unsigned looks, unsigned pause_us,
                  struct check_report *report);

/* "slot lost", "magazine owner", ...: for reports. */
const char *check_kind_name(enum check_kind kind);

#endif
