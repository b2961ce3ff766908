/* SPDX-License-Identifier: MIT
 *
 * session: the records of who is attached, and gifts between sessions.
 *
 * A session is one attachment of one process; its number (1 to max_sessions)
 * is what slot words carry as owner.  Whoever looks after the pool (the daemon;
 * in local pools the clients, holding the sweeper's role) opens sessions and
 * ends them:
 *
 *   FREE --open--> LIVE --begin_death--> DYING --sweep--> RETIRED --reuse--> FREE
 *
 * A number is not given out again while a gift to it may be under way: see
 * session_give().
 */
#ifndef SHM_SESSION_H
#define SHM_SESSION_H

#include "layout.h"

/* Enters a live session into its (free) record.  `comm` is cut to fit. */
void session_open(struct segment *segment, uint32_t session, uint32_t pid, uint32_t uid,
                  const char *comm);

/* LIVE to DYING: from here on nobody gives it anything.  Idempotent. */
void session_begin_death(struct segment *segment, uint32_t session);

/* RETIRED to FREE, unless a gift to it is still under way.  True when the
 * number may be given out again (also when it was free already). */
bool session_reuse(struct segment *segment, uint32_t session);

/* The record's state; anything unknown, or no such number: SESSION_FREE. */
enum session_state session_state(const struct segment *segment, uint32_t session);

/* The program's name from the record, printable and terminated, whatever is there. */
void session_comm(const struct segment *segment, uint32_t session, char comm[SESSION_COMM_MAX]);

/* How many are live. */
uint32_t session_count(const struct segment *segment);

/* Makes `to` the owner of a slot that `from` (the caller's own) owns.
 * Returns 0, FASTALLOC_E_SESSION, _STALE, _HANDLE, or _STALLED when other threads
 * of `from` are stopped in the middle of theirs. */
int session_give(struct segment *segment, uint32_t from, uint32_t to, fastalloc_handle handle);

#endif
