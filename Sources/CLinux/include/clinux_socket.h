#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

/* What the CMSG_* and AF_UNIX macros would say: Swift cannot import them.
 * What can fail returns 0 or more, or -errno. */

/* Descriptors that one message can carry (SCM_MAX_FD of the kernel). */
#define CLINUX_SCM_MAX_FD 253

/* What came with the bytes. */
struct clinux_ancillary {
    int fd_count;    /* descriptors in the caller's array, close-on-exec */
    bool truncated;  /* MSG_CTRUNC: descriptors were lost */
};

/* Receives bytes, whose number it returns, and at most CLINUX_SCM_MAX_FD descriptors. */
ssize_t clinux_receive(int socket, void *buffer, size_t size, int *fds, struct clinux_ancillary *ancillary);

/* Copies bytes that can be received, whose number it returns, and leaves them there. Descriptors are not touched: the
 * copy ends behind the first buffer that has some, and `has_descriptors` tells that there is one, in the copy or right
 * behind it. */
ssize_t clinux_peek(int socket, void *buffer, size_t size, bool *has_descriptors);

/* Receives as many whole buffers, which must have no descriptors, as have fewer than `size` bytes together, and leaves
   the next as it is. Returns their bytes; -EFAULT where the first has `size` bytes or more. */
ssize_t clinux_receive_whole(int socket, void *buffer, size_t size);

/* Where the next peek begins, which goes on from there by itself; -1: at the front, always. */
int clinux_set_peek_offset(int socket, int offset);

/* Sends bytes, and with the first of them `fd_count` descriptors. Returns the bytes sent; no SIGPIPE. */
ssize_t clinux_send(int socket, const void *buffer, size_t size, const int *fds, int fd_count);

/* The next connection, non-blocking and close-on-exec. */
int clinux_accept(int listener);

struct clinux_peer {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
};

/* Who connected (SO_PEERCRED). */
int clinux_peer_credentials(int socket, struct clinux_peer *peer);

/* A pidfd of who connected (SO_PEERPIDFD, Linux 6.5); -ENOPROTOOPT before. */
int clinux_peer_pidfd(int socket);

/* The supplementary groups of who connected (SO_PEERGROUPS): their number; -ERANGE for more than fit. */
int clinux_peer_groups(int socket, uint32_t *groups, int capacity);

/* A Unix stream socket, close-on-exec, non-blocking if asked for. */
int clinux_unix_socket(bool nonblocking);

/* A path that does not fit sun_path is -ENAMETOOLONG. */
int clinux_unix_bind(int socket, const char *path);
int clinux_unix_connect(int socket, const char *path);
