/* SPDX-License-Identifier: MIT
 *
 * packet: sendmsg and recvmsg, with or without a descriptor.
 */
#include "packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Room for one descriptor, aligned as the macros want it. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int packet_send(int socket, const void *bytes, size_t length, int descriptor)
{
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message;
    union control control;

    if (length == 0 || length > PACKET_MAX)
        return EINVAL;
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (descriptor >= 0) {
        memset(&control, 0, sizeof control);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &descriptor, sizeof(int));
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
    }
    while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/* Stores the first descriptor in *kept (which is -1 before) and closes the others. */
static void collect_descriptors(struct msghdr *message, int *kept)
{
    struct cmsghdr *header;
    size_t i, count;
    int one;

    for (header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (i = 0; i < count; i++) {
            memcpy(&one, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (*kept < 0)
                *kept = one;
            else
                close(one);
        }
    }
}

ssize_t packet_receive(int socket, void *bytes, int *descriptor)
{
    struct iovec part = {.iov_base = bytes, .iov_len = PACKET_MAX};
    struct msghdr message;
    union control control;
    ssize_t length;
    int kept = -1;

    do {
        memset(&message, 0, sizeof message);
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        if (descriptor) {
            /* CMSG_SPACE would leave the kernel room for two. */
            message.msg_control = control.bytes;
            message.msg_controllen = CMSG_LEN(sizeof(int));
        }
        length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return -errno;
    if (descriptor)
        collect_descriptors(&message, &kept);
    if (message.msg_flags & MSG_TRUNC) {
        if (kept >= 0)
            close(kept);
        return -EMSGSIZE;
    }
    if (descriptor)
        *descriptor = kept;
    return length;
}
