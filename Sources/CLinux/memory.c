#define _GNU_SOURCE
#include "clinux_memory.h"

#include <stdio.h>
#include <sys/file.h>

int clinux_keep_room(int fd, uint64_t start, uint64_t bytes)
{
    int result;

    do {
        result = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)start, (off_t)bytes);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int clinux_lock(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

int clinux_reopen(int fd)
{
    char path[32];
    int flags = fcntl(fd, F_GETFL);
    int again;

    if (flags < 0)
        return -errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    again = open(path, (flags & O_ACCMODE) | O_CLOEXEC);
    return again < 0 ? -errno : again;
}
