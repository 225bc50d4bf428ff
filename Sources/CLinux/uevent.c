#include "clinux_uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

int clinux_uevent_socket(void)
{
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd < 0)
        return -errno;
    /* Group 1 is the kernel's; udev repeats what it has processed in group 2. */
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

long clinux_uevent_receive(int fd, void *buffer, size_t bytes)
{
    struct sockaddr_nl sender = {0};
    socklen_t length = sizeof sender;
    ssize_t count = recvfrom(fd, buffer, bytes, 0, (struct sockaddr *)&sender, &length);
    if (count < 0)
        return -errno;
    /* Whoever may send has a port number; the kernel's is 0. */
    return length == sizeof sender && sender.nl_pid == 0 ? (long)count : 0;
}
