#pragma once
#include <stddef.h>

/* Messages of the kernel about devices that come and go (NETLINK_KOBJECT_UEVENT). */

/* A socket that does not block and is closed on exec, or -errno. */
int clinux_uevent_socket(void);

/* The next message of the kernel: its bytes; 0 for one of somebody else; -errno, -EAGAIN if there is none, -ENOBUFS if
 * some were lost. */
long clinux_uevent_receive(int fd, void *buffer, size_t bytes);
