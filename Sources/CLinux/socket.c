#define _GNU_SOURCE
#include "clinux_socket.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#ifndef SO_PEEK_OFF
#define SO_PEEK_OFF 42
#endif
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(CLINUX_SCM_MAX_FD * sizeof(int))];
};

ssize_t clinux_receive(int socket, void *buffer, size_t size, int *fds, struct clinux_ancillary *ancillary)
{
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    union control control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t received;

    ancillary->fd_count = 0;
    ancillary->truncated = false;
    do {
        received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (received < 0 && errno == EINTR);
    if (received < 0)
        return -errno;
    /* Where not even the first descriptor found room there is no control message, only the flag. */
    ancillary->truncated = (message.msg_flags & MSG_CTRUNC) != 0;
    if (message.msg_controllen == 0)
        return received;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds + ancillary->fd_count, CMSG_DATA(c), count * sizeof(int));
        ancillary->fd_count += (int)count;
    }
    return received;
}

ssize_t clinux_peek(int socket, void *buffer, size_t size, bool *has_descriptors)
{
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t peeked;

    do {
        peeked = recvmsg(socket, &message, MSG_PEEK);
    } while (peeked < 0 && errno == EINTR);
    *has_descriptors = peeked >= 0 && (message.msg_flags & MSG_CTRUNC) != 0;
    return peeked < 0 ? -errno : peeked;
}

ssize_t clinux_receive_whole(int socket, void *buffer, size_t size)
{
    /* The kernel copies a buffer as a whole or, where it faults, not at all: the last byte has no place to go to. */
    struct iovec parts[2] = {{.iov_base = buffer, .iov_len = size - 1}, {.iov_base = NULL, .iov_len = 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t received;

    do {
        received = recvmsg(socket, &message, 0);
    } while (received < 0 && errno == EINTR);
    return received < 0 ? -errno : received;
}

int clinux_set_peek_offset(int socket, int offset)
{
    return setsockopt(socket, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) < 0 ? -errno : 0;
}

ssize_t clinux_send(int socket, const void *buffer, size_t size, const int *fds, int fd_count)
{
    ssize_t sent;

    if (fd_count <= 0) {
        do {
            sent = send(socket, buffer, size, MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        return sent < 0 ? -errno : sent;
    }
    if (fd_count > CLINUX_SCM_MAX_FD)
        return -EINVAL;

    union control control;
    struct iovec part = {.iov_base = (void *)buffer, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = CMSG_SPACE((size_t)fd_count * sizeof(int))};
    memset(&control, 0, sizeof control);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN((size_t)fd_count * sizeof(int));
    memcpy(CMSG_DATA(&control.header), fds, (size_t)fd_count * sizeof(int));
    do {
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

int clinux_accept(int listener)
{
    int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return socket < 0 ? -errno : socket;
}

int clinux_peer_credentials(int socket, struct clinux_peer *peer)
{
    struct ucred credentials;
    socklen_t size = sizeof credentials;

    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return -errno;
    peer->pid = credentials.pid;
    peer->uid = credentials.uid;
    peer->gid = credentials.gid;
    return 0;
}

int clinux_peer_pidfd(int socket)
{
    int pidfd = -1;
    socklen_t size = sizeof pidfd;

    if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0)
        return -errno;
    return pidfd;
}

int clinux_peer_groups(int socket, uint32_t *groups, int capacity)
{
    socklen_t size = (socklen_t)((size_t)capacity * sizeof *groups);

    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
        return -errno;
    return (int)(size / sizeof *groups);
}

int clinux_unix_socket(bool nonblocking)
{
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0);
    return s < 0 ? -errno : s;
}

static int address(struct sockaddr_un *to, const char *path)
{
    size_t length = strlen(path);

    if (length >= sizeof to->sun_path)
        return -ENAMETOOLONG;
    memset(to, 0, sizeof *to);
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, path, length + 1);
    return 0;
}

int clinux_unix_bind(int socket, const char *path)
{
    struct sockaddr_un to;
    int error = address(&to, path);

    if (error)
        return error;
    return bind(socket, (const struct sockaddr *)&to, sizeof to) < 0 ? -errno : 0;
}

int clinux_unix_connect(int socket, const char *path)
{
    struct sockaddr_un to;
    int error = address(&to, path);

    if (error)
        return error;
    return connect(socket, (const struct sockaddr *)&to, sizeof to) < 0 ? -errno : 0;
}
