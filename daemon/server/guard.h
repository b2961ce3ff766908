/* SPDX-License-Identifier: MIT
 *
 * guard: touching memory that clients can take away.
 *
 * A client can truncate a segment, and touching what is gone raises SIGBUS.  All work of
 * the daemon on a mapped segment goes through guard_run(), which ends it there and then
 * instead of the daemon.  So that work must hold nothing that has to be given back.
 */
#ifndef SERVER_GUARD_H
#define SERVER_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Installs the handler.  Once, before guard_run(). */
void guard_install(void);

/* Calls work(argument).  False when it touched a byte of [base, base + size) that is not
 * there any more: it was left in the middle.  Not to be nested; any thread. */
bool guard_run(void (*work)(void *argument), void *argument, const void *base, size_t size);

#endif
