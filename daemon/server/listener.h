/* SPDX-License-Identifier: MIT
 *
 * listener: accepts clients, within limits.  Out of descriptors it drops the newcomer, for
 * which it keeps one in reserve.
 */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include "server/server.h"

int listener_start(struct server *server, struct reason *why);
void listener_stop(struct server *server);

#endif
