/* SPDX-License-Identifier: MIT
 *
 * fork: what a forked child takes along, and what it lets go of.
 *
 * A child inherits what its parent has mapped, and every descriptor; with the mapping of a
 * session, or a descriptor of its file description, it keeps that session's fence
 * shut.  What is listed with the process it can let go of.  So while a session's descriptor
 * is on its way (received, mapped, not yet listed; or no longer), forks are held back: fork()
 * waits, through pthread_atfork(), for a tenth of a second at most.  A child that was made past
 * that (clone(), _Fork(), vfork(), or a fork() by a handler that broke into an attach)
 * may have such a share that it does not know of, until it execs or ends.
 */
#ifndef CLIENT_FORK_H
#define CLIENT_FORK_H

/* Has fork() ask: once a process. */
void fork_install(void);

/* Holds forks back.  Lock order: after a client's mutex, before the process's. */
void fork_hold(void);
void fork_release(void);

/* In a child: nobody holds forks back here. */
void fork_become_child(void);

#endif
