#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

/* memfds: what Swift's Glibc overlay does not import because it hides behind _GNU_SOURCE or computed macros.
 * What can fail returns 0 or more, or -errno. */

#define CLINUX_SEAL_SEAL 0x1
#define CLINUX_SEAL_SHRINK 0x2
#define CLINUX_SEAL_GROW 0x4
#define CLINUX_SEAL_WRITE 0x8
#define CLINUX_SEAL_FUTURE_WRITE 0x10

#define CLINUX_TMPFS_MAGIC 0x01021994
#define CLINUX_HUGETLBFS_MAGIC 0x958458f6
#define CLINUX_PROC_SUPER_MAGIC 0x9fa0

/* A sealable memfd. `huge` asks for the default huge page size. */
static inline int clinux_memfd_create(const char *name, bool huge)
{
    unsigned int flags = 0x1u /* MFD_CLOEXEC */ | 0x2u /* MFD_ALLOW_SEALING */ | (huge ? 0x4u /* MFD_HUGETLB */ : 0);
    int fd = (int)syscall(SYS_memfd_create, name, flags);
    return fd < 0 ? -errno : fd;
}

/* The seals; -EINVAL for a file that has none. */
static inline int clinux_get_seals(int fd)
{
    int seals = fcntl(fd, 1024 + 10 /* F_GET_SEALS */);
    return seals < 0 ? -errno : seals;
}

static inline int clinux_add_seals(int fd, int seals)
{
    return fcntl(fd, 1024 + 9 /* F_ADD_SEALS */, seals) < 0 ? -errno : 0;
}

/* The file system's magic number. */
static inline int64_t clinux_filesystem(int fd)
{
    struct statfs buffer;
    return fstatfs(fd, &buffer) != 0 ? -errno : (int64_t)(uint32_t)buffer.f_type;
}

/* Bytes of the file system's blocks; of its pages where those are huge. */
static inline int64_t clinux_block_size(int fd)
{
    struct statfs buffer;
    return fstatfs(fd, &buffer) != 0 ? -errno : (int64_t)buffer.f_bsize;
}

/* The same open file once more, close-on-exec. */
static inline int clinux_duplicate(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? -errno : copy;
}

/* Address space that reads as zeros and costs no memory, nor any of what vm.overcommit_memory=2 or RLIMIT_DATA
 * allow. */
static inline int clinux_reserve(uint64_t bytes, void **where)
{
    *where = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return *where == MAP_FAILED ? -errno : 0;
}

/* Makes whole pages of reserved address space writable; -ENOMEM where no more memory may be had. */
static inline int clinux_commit(void *start, uint64_t bytes)
{
    return mprotect(start, bytes, PROT_READ | PROT_WRITE) < 0 ? -errno : 0;
}

/* A shared mapping of a whole file. */
static inline int clinux_map_file(int fd, uint64_t bytes, bool writable, void **where)
{
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    *where = mmap(NULL, bytes, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);
    return *where == MAP_FAILED ? -errno : 0;
}

/* Writes into our own mapping through the kernel: where a store would raise SIGBUS this returns -EFAULT. */
static inline ssize_t clinux_write_own_mapping(void *to, const void *from, size_t bytes)
{
    struct iovec local = {(void *)(uintptr_t)from, bytes}, remote = {to, bytes};
    ssize_t written = syscall(SYS_process_vm_writev, getpid(), &local, 1ul, &remote, 1ul, 0ul);
    return written < 0 ? -errno : written;
}

/* Has the file system keep room for a part of a file, whose size does not change. */
int clinux_keep_room(int fd, uint64_t start, uint64_t bytes);

/* Takes the lock of an open file, which ends with it; -EWOULDBLOCK where another process has it. */
int clinux_lock(int fd);

/* The same file opened anew, with the rights that this descriptor has: another open file of it. */
int clinux_reopen(int fd);
