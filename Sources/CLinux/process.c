#include "clinux_process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* include/uapi/linux/fs.h, since 6.11 */
struct procmap_query_words {
    uint64_t size;
    uint64_t query_flags;
    uint64_t query_addr;
    uint64_t vma_start;
    uint64_t vma_end;
    uint64_t vma_flags;
    uint64_t vma_page_size;
    uint64_t vma_offset;
    uint64_t inode;
    uint32_t dev_major;
    uint32_t dev_minor;
    uint32_t vma_name_size;
    uint32_t build_id_size;
    uint64_t vma_name_addr;
    uint64_t build_id_addr;
};

#define QUERY_READABLE 0x01
#define QUERY_WRITABLE 0x02
#define QUERY_OR_NEXT 0x10
#define QUERY_IOCTL _IOC(_IOC_READ | _IOC_WRITE, 'f', 17, sizeof(struct procmap_query_words))

int clinux_query_vma(int maps, uint64_t address, bool or_next, struct clinux_vma *vma, char *name, uint32_t capacity)
{
    struct procmap_query_words query;
    memset(&query, 0, sizeof query);
    query.size = sizeof query;
    query.query_addr = address;
    query.query_flags = or_next ? QUERY_OR_NEXT : 0;
    if (name != NULL) {
        query.vma_name_addr = (uint64_t)(uintptr_t)name;
        query.vma_name_size = capacity;
    }
    while (ioctl(maps, QUERY_IOCTL, &query) != 0) {
        if (errno != EINTR)
            return -errno;
    }
    vma->start = query.vma_start;
    vma->end = query.vma_end;
    vma->readable = (query.vma_flags & QUERY_READABLE) != 0;
    vma->writable = (query.vma_flags & QUERY_WRITABLE) != 0;
    vma->name_length = name != NULL && query.vma_name_size > 0 ? query.vma_name_size - 1 : 0;
    return 0;
}

/* A page nobody can read, so that the kernel cannot copy from it. */
static void *unreadable_page(void)
{
    static void *page;
    void *known = __atomic_load_n(&page, __ATOMIC_ACQUIRE);
    if (known != NULL)
        return known;
    void *made = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED)
        return NULL;
    if (!__atomic_compare_exchange_n(&page, &known, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        munmap(made, 4096);
        return known;
    }
    return made;
}

/* The kernel looks whether the mm has users before it copies the data to write: a write of nothing readable says 0
 * when the mm is gone and EFAULT while it lives, and never touches the mm or waits for its locks. */
int clinux_probe_mm(int mem)
{
    void *page = unreadable_page();
    if (page == NULL)
        return -ENOMEM;
    ssize_t result = pwrite(mem, page, 1, 0);
    if (result == 0)
        return 0;
    if (result < 0 && errno == EFAULT)
        return 1;
    return result < 0 ? -errno : -EINVAL;
}

int clinux_compare_mm(pid_t first, pid_t second)
{
    long result = syscall(SYS_kcmp, first, second, 1 /* KCMP_VM */, 0ul, 0ul);
    return result < 0 ? -errno : (int)result;
}

static int get_capabilities(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    return (int)syscall(SYS_capget, &header, data);
}

/* Leaves out what changes nothing: a sandbox may forbid the call, and without capabilities there is nothing to drop. */
static int set_capabilities(const struct __user_cap_data_struct data[2])
{
    struct __user_cap_data_struct current[2];
    if (get_capabilities(current) == 0 && current[0].effective == data[0].effective &&
        current[1].effective == data[1].effective)
        return 0;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    return (int)syscall(SYS_capset, &header, data);
}

bool clinux_can_ptrace(void)
{
    struct __user_cap_data_struct data[2];
    return get_capabilities(data) == 0 && (data[0].effective & (1u << CAP_SYS_PTRACE)) != 0;
}

/* Every change of ids, and every capability regained, makes the kernel forget it. */
static void keep_parent_death_signal(int signal)
{
    if (signal != 0)
        prctl(PR_SET_PDEATHSIG, signal);
}

/* File system ids and capabilities belong to the thread; both are put back before returning. */
int clinux_open_as(const char *path, int flags, uid_t uid, gid_t gid)
{
    struct __user_cap_data_struct saved[2], reduced[2];
    int death_signal = 0;
    if (get_capabilities(saved) != 0)
        return -errno;
    prctl(PR_GET_PDEATHSIG, &death_signal);
    gid_t old_gid = (gid_t)setfsgid(gid);
    uid_t old_uid = (uid_t)setfsuid(uid);
    int result;
    if ((uid_t)setfsuid((uid_t)-1) != uid || (gid_t)setfsgid((gid_t)-1) != gid) {
        result = -ENOTSUP;
    } else {
        result = 0;
        if (get_capabilities(reduced) == 0) {
            /* Not only CAP_SYS_PTRACE opens processes: for reading CAP_PERFMON and CAP_SYS_ADMIN do too. */
            reduced[0].effective = 0;
            reduced[1].effective = 0;
            if (set_capabilities(reduced) != 0)
                result = -errno;
        } else {
            result = -errno;
        }
        keep_parent_death_signal(death_signal);
        if (result == 0) {
            result = open(path, flags | O_CLOEXEC);
            if (result < 0)
                result = -errno;
        }
    }
    /* The first gives back the right to change ids, the second undoes what changing them did to capabilities. */
    set_capabilities(saved);
    setfsuid(old_uid);
    setfsgid(old_gid);
    set_capabilities(saved);
    keep_parent_death_signal(death_signal);
    return result;
}

int clinux_pidfd_open(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0u);
    return fd < 0 ? -errno : fd;
}

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

int clinux_close_on_exec_from(int first)
{
    if (syscall(SYS_close_range, (unsigned)first, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        return 0;
    /* Before there was a call for it, every number that may be open is tried. */
    long limit = sysconf(_SC_OPEN_MAX);
    for (int number = first; number < (limit > 0 ? (int)limit : 65536); number++)
        (void)fcntl(number, F_SETFD, FD_CLOEXEC);
    return 0;
}

struct process_info {
    uint64_t mask;
    uint64_t cgroup;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define PROCESS_INFO_CREDENTIALS (1u << 1)
#define PROCESS_INFO_GET _IOWR(0xff, 11, struct process_info)

/* "Pid:" of a descriptor's fdinfo: -1 of a process that has ended; 0: it is no pidfd. */
static int fdinfo_pid(int pidfd)
{
    char path[64], line[256];
    int pid = 0;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Pid: %d", &pid) == 1)
            break;
    fclose(file);
    return pid;
}

int clinux_pidfd_identity(int pidfd, int32_t *pid, uint32_t *uid)
{
    struct process_info info = {.mask = PROCESS_INFO_CREDENTIALS};
    char path[64];
    struct stat status;
    int known = fdinfo_pid(pidfd);

    if (known == 0)
        return -EBADF;
    if (known < 0)
        return -ESRCH;
    *pid = known;
    if (ioctl(pidfd, PROCESS_INFO_GET, &info) == 0 && (info.mask & PROCESS_INFO_CREDENTIALS)) {
        *uid = info.ruid;
        return 0;
    }
    snprintf(path, sizeof path, "/proc/%d", known);
    if (stat(path, &status) < 0)
        return clinux_pidfd_signal(pidfd, 0) == -ESRCH ? -ESRCH : -EPERM;
    /* It is still the same process, or what was looked at may have been another. */
    if (clinux_pidfd_signal(pidfd, 0) == -ESRCH)
        return -ESRCH;
    *uid = status.st_uid;
    return 0;
}

int clinux_pidfd_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0u) < 0 ? -errno : 0;
}

/* get_robust_list() compares real ids and permitted capabilities, and asks nothing else of the process. */
int clinux_may_read(pid_t pid)
{
    struct __user_cap_data_struct saved[2], reduced[2];
    if (get_capabilities(saved) != 0)
        return -errno;
    memcpy(reduced, saved, sizeof reduced);
    reduced[0].effective = 0;
    reduced[1].effective = 0;
    if (set_capabilities(reduced) != 0)
        return -errno;
    void *head;
    size_t length;
    int death_signal = 0;
    prctl(PR_GET_PDEATHSIG, &death_signal);
    int result = syscall(SYS_get_robust_list, pid, &head, &length) == 0 ? 0 : -errno;
    set_capabilities(saved);
    keep_parent_death_signal(death_signal);
    return result;
}
