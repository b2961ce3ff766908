/* SPDX-License-Identifier: MIT
 *
 * access: peer credentials and permission bits.
 */
#include "access.h"

#include "limits.h"

#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

/* Supplementary groups only add rights: where they cannot be had, there are none. */
static void ask_groups(struct peer *peer, int socket)
{
    socklen_t size = 0;
    gid_t *groups;

    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE ||
        size == 0 || size > LIMIT_GROUPS * sizeof *groups)
        return;
    groups = malloc(size);
    if (!groups)
        return;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0) {
        free(groups);
        return;
    }
    peer->groups = groups;
    peer->group_count = size / sizeof *groups;
}

int access_identify(struct peer *peer, int socket, struct reason *why)
{
    struct ucred credentials;
    socklen_t size = sizeof credentials;

    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return reason_system(why, FASTALLOC_E_SYSTEM, errno, "cannot tell who connected");
    memset(peer, 0, sizeof *peer);
    peer->pid = (uint32_t)credentials.pid;
    peer->uid = credentials.uid;
    peer->gid = credentials.gid;
    ask_groups(peer, socket);
    return 0;
}

void access_forget(struct peer *peer)
{
    free(peer->groups);
    peer->groups = NULL;
    peer->group_count = 0;
}

static bool is_member(const struct peer *peer, uint32_t gid)
{
    uint32_t i;

    if (peer->gid == gid)
        return true;
    for (i = 0; i < peer->group_count; i++)
        if (peer->groups[i] == gid)
            return true;
    return false;
}

bool access_may_use(const struct peer *peer, uint32_t uid, uint32_t gid, uint32_t mode)
{
    if (peer->uid == 0 || peer->uid == uid)
        return true;
    if (is_member(peer, gid))
        return (mode & 060) == 060;
    return (mode & 06) == 06;
}

bool access_may_destroy(const struct peer *peer, uint32_t uid)
{
    return peer->uid == 0 || peer->uid == uid;
}

bool access_may_shut_down(const struct peer *peer)
{
    return peer->uid == 0 || peer->uid == geteuid();
}
