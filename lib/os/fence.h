/* SPDX-License-Identifier: MIT
 *
 * fence: how one knows that a session can touch its segment no more.
 *
 * A session maps the segment through a file description of its own, on which a
 * read lock (an open-file-description lock) stands on the byte numbered by the
 * session.  The lock lasts as long as any descriptor or any mapping of that
 * description: through exec, in forked children, in descriptors still in
 * flight.  When F_OFD_GETLK finds no such lock, nobody can write for that
 * session any more: its fence is open, and it may be swept.  End of file on a
 * socket, or a pidfd, only says when to look.
 *
 * Byte 0 is the sweeper's role: whoever holds its write lock sweeps.
 */
#ifndef OS_FENCE_H
#define OS_FENCE_H

#include <stdbool.h>
#include <stdint.h>

/* Locks session `session`'s byte on `descriptor`'s file description.  Returns 0 or
 * an errno. */
int fence_close(int descriptor, uint32_t session);

/* Whether the session's fence is open, asked through a description of one's
 * own that holds no lock.  Returns 1 open, 0 closed, or a negative errno. */
int fence_is_open(int descriptor, uint32_t session);

/* Takes the sweeper's role, without waiting.  Returns 0, EAGAIN or an errno. */
int fence_take_role(int descriptor);
void fence_drop_role(int descriptor);

/* The same role for processes that fork (local pools): a lock of the process, not
 * of the description, which children do not inherit.  It is lost when the process
 * closes any descriptor of the segment: the caller sees to that.  It and
 * fence_take_role()'s exclude each other. */
int fence_take_own_role(int descriptor);
void fence_drop_own_role(int descriptor);

#endif
