#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clinux_supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

/* What a supervisor does about the threads of another program, and that program's view of the file system. */

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

_Static_assert(CLINUX_O_PATH == O_PATH, "O_PATH");

int clinux_describe_as_device(int fd, int call, uint32_t mask, uint32_t major, uint32_t minor, void *result)
{
    memset(result, 0, CLINUX_STATUS_SIZE);
    if (call == CLINUX_CALL_STATX) {
        struct statx *status = result;
        _Static_assert(sizeof(*status) <= CLINUX_STATUS_SIZE, "statx");
        if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, mask, status) != 0) return -errno;
        status->stx_mode = (uint16_t)(S_IFCHR | 0660);
        status->stx_rdev_major = major;
        status->stx_rdev_minor = minor;
        status->stx_size = 0;
        return (int)sizeof(*status);
    }
    struct stat *status = result;
    _Static_assert(sizeof(*status) <= CLINUX_STATUS_SIZE, "stat");
    if (fstat(fd, status) != 0) return -errno;
    status->st_mode = S_IFCHR | 0660;
    status->st_rdev = makedev(major, minor);
    status->st_size = 0;
    return (int)sizeof(*status);
}

/* The process that a thread belongs to. */
static int process_of(int thread)
{
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%d/status", thread);
    FILE *status = fopen(path, "re");
    if (status == NULL) return -errno;
    int process = -ESRCH;
    while (fgets(line, sizeof(line), status) != NULL)
        if (sscanf(line, "Tgid: %d", &process) == 1) break;
    fclose(status);
    return process;
}

int clinux_open_thread(int thread)
{
    long pidfd = syscall(SYS_pidfd_open, thread, PIDFD_THREAD);
    if (pidfd < 0 && errno == EINVAL) {
        int process = process_of(thread);
        if (process < 0) return process;
        pidfd = syscall(SYS_pidfd_open, process, 0);
    }
    return pidfd < 0 ? -errno : (int)pidfd;
}

int clinux_read_thread(int thread, uint64_t address, void *buffer, size_t size)
{
    struct iovec here = {.iov_base = buffer, .iov_len = size};
    struct iovec there = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
    if (size == 0) return 0;
    ssize_t count = process_vm_readv(thread, &here, 1, &there, 1, 0);
    if (count < 0) return -errno;
    return (size_t)count == size ? 0 : -EFAULT;
}

int clinux_write_thread(int thread, uint64_t address, const void *buffer, size_t size)
{
    struct iovec here = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = size};
    struct iovec there = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
    if (size == 0) return 0;
    ssize_t count = process_vm_writev(thread, &here, 1, &there, 1, 0);
    if (count < 0) return -errno;
    return (size_t)count == size ? 0 : -EFAULT;
}

int clinux_poll(struct pollfd *sources, uint32_t count, int64_t nanoseconds)
{
    struct timespec time = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    int ready = ppoll(sources, count, nanoseconds < 0 ? NULL : &time, NULL);
    return ready < 0 ? -errno : ready;
}

uint64_t clinux_mount_id(int fd)
{
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    FILE *info = fopen(path, "re");
    if (info == NULL) return 0;
    unsigned long id = 0;
    while (fgets(line, sizeof(line), info) != NULL)
        if (sscanf(line, "mnt_id: %lu", &id) == 1) break;
    fclose(info);
    return id;
}

int clinux_find_in_root(int root, const char *path, bool follow)
{
    struct open_how how = {
        .flags = (uint64_t)(O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW)),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    ssize_t count = write(fd, text, strlen(text));
    int result = count < 0 ? -errno : 0;
    close(fd);
    return result;
}

static int enter_user_namespace(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    char map[64];
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return -errno;
    int result = write_file("/proc/self/setgroups", "deny");
    if (result < 0 && result != -ENOENT) return result;
    snprintf(map, sizeof(map), "%u %u 1", uid, uid);
    result = write_file("/proc/self/uid_map", map);
    if (result < 0) return result;
    snprintf(map, sizeof(map), "%u %u 1", gid, gid);
    return write_file("/proc/self/gid_map", map);
}

int clinux_enter_namespaces(void)
{
    if (unshare(CLONE_NEWNS) != 0) {
        int result = enter_user_namespace();
        if (result < 0) return result;
    }
    return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0 ? -errno : 0;
}

int clinux_bind_mount(const char *source, const char *target)
{
    return mount(source, target, NULL, MS_BIND | MS_REC, NULL) != 0 ? -errno : 0;
}

int clinux_mount_memory(const char *target)
{
    return mount("iommuctl", target, "tmpfs", MS_NOSUID, "mode=755") != 0 ? -errno : 0;
}

int clinux_move_mount(const char *source, const char *target)
{
    return mount(source, target, NULL, MS_MOVE, NULL) != 0 ? -errno : 0;
}
