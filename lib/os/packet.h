/* SPDX-License-Identifier: MIT
 *
 * packet: one message, with at most one descriptor, over a SOCK_SEQPACKET
 * socket.  Knows nothing of what the bytes mean.
 */
#ifndef OS_PACKET_H
#define OS_PACKET_H

#include <stddef.h>
#include <sys/types.h>

#define PACKET_MAX 4096

/* Sends one packet (never empty, never raising SIGPIPE) with `descriptor`, unless
 * that is -1, riding along; it stays the caller's.  Returns 0 or an errno (EAGAIN on
 * a non-blocking socket that is full). */
int packet_send(int socket, const void *bytes, size_t length, int descriptor);

/* Receives one packet into PACKET_MAX bytes.  *descriptor (close-on-exec) is the
 * caller's to close, -1 when none came; surplus ones are closed here.  With
 * `descriptor` NULL there is no room for any, and none is installed.  Returns the
 * length, 0 at the end of the stream, or a negative errno: -EMSGSIZE for a
 * packet that was too long. */
ssize_t packet_receive(int socket, void *bytes, int *descriptor);

#endif
