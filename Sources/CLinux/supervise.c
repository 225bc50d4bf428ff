#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clinux_supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "which calls a program makes is known for x86-64 and arm64"
#endif

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
/* ';', of iommufd and vfio. */
#define IOCTL_TYPE 0x3b00

#define LOW(arg) (offsetof(struct seccomp_data, args[arg]) + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0))
#define HIGH(arg) (offsetof(struct seccomp_data, args[arg]) + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 0 : 4))

#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define IF_NOT(value, skipped) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skipped))
#define MASK(bits) BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (bits))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define STOP BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)

/* Who only reads, or makes a file, does not open a device to drive it. */
#define OPEN_BITS (O_ACCMODE | O_CREAT | O_DIRECTORY | O_PATH)

/* Five instructions. */
#define STOP_EMPTY_PATH(number, flags)                                                                             \
    IF_NOT(number, 5), LOAD(LOW(flags)), MASK(AT_EMPTY_PATH), IF_NOT(AT_EMPTY_PATH, 1), STOP, ALLOW
#define STOP_OPEN(number, flags) IF_NOT(number, 5), LOAD(LOW(flags)), MASK(OPEN_BITS), IF_NOT(O_RDWR, 1), STOP, ALLOW
#define STOP_OFFSET(number, high)                                                                                  \
    IF_NOT(number, 4), LOAD(HIGH(3)), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (high), 0, 1), STOP, ALLOW

int clinux_stop_calls(uint64_t first_offset)
{
    const uint32_t high = (uint32_t)(first_offset >> 32);
    struct sock_filter filter[] = {
        LOAD(offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0),
        ALLOW,
        LOAD(offsetof(struct seccomp_data, nr)),
        IF_NOT(__NR_ioctl, 5), LOAD(LOW(1)), MASK(0xff00), IF_NOT(IOCTL_TYPE, 1), STOP, ALLOW,
        STOP_OPEN(__NR_openat, 2),
#ifdef __NR_open
        STOP_OPEN(__NR_open, 1),
#endif
        IF_NOT(__NR_openat2, 1), STOP,
#ifdef __NR_fstat
        IF_NOT(__NR_fstat, 1), STOP,
#endif
        STOP_EMPTY_PATH(__NR_newfstatat, 3),
        STOP_EMPTY_PATH(__NR_statx, 2),
        STOP_OFFSET(__NR_pread64, high),
        STOP_OFFSET(__NR_pwrite64, high),
        ALLOW,
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -errno;
    long listener = syscall(
        SYS_seccomp, SECCOMP_SET_MODE_FILTER,
        SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
    return listener < 0 ? -errno : (int)listener;
}

void clinux_prefer_same_cpu(int listener)
{
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, 1UL);
}

int clinux_next_call(int listener, struct clinux_notification *call)
{
    struct seccomp_notif stopped;
    memset(&stopped, 0, sizeof(stopped));
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &stopped) != 0)
        return errno == ENOENT || errno == EINTR ? -EAGAIN : -errno;
    memset(call, 0, sizeof(*call));
    call->id = stopped.id;
    call->thread = (int32_t)stopped.pid;
    for (int index = 0; index < 6; index++) call->args[index] = stopped.data.args[index];
    switch (stopped.data.nr) {
    case __NR_ioctl: call->call = CLINUX_CALL_IOCTL; break;
    case __NR_openat: call->call = CLINUX_CALL_OPENAT; break;
    case __NR_openat2: call->call = CLINUX_CALL_OPENAT2; break;
#ifdef __NR_open
    case __NR_open:
        call->call = CLINUX_CALL_OPENAT;
        call->args[3] = call->args[2];
        call->args[2] = call->args[1];
        call->args[1] = call->args[0];
        call->args[0] = (uint64_t)(int64_t)AT_FDCWD;
        break;
#endif
#ifdef __NR_fstat
    case __NR_fstat:
        call->call = CLINUX_CALL_FSTAT;
        call->args[2] = call->args[1];
        call->args[1] = 0;
        break;
#endif
    case __NR_newfstatat: call->call = CLINUX_CALL_FSTAT; break;
    case __NR_statx:
        call->call = CLINUX_CALL_STATX;
        call->args[2] = call->args[4];
        break;
    case __NR_pread64: call->call = CLINUX_CALL_PREAD; break;
    case __NR_pwrite64: call->call = CLINUX_CALL_PWRITE; break;
    default: call->call = CLINUX_CALL_OTHER;
    }
    return 0;
}

bool clinux_call_waits(int listener, uint64_t id)
{
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static int respond(int listener, struct seccomp_notif_resp *answer)
{
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, answer) != 0 ? -errno : 0;
}

int clinux_answer_call(int listener, uint64_t id, int64_t value, int error)
{
    struct seccomp_notif_resp answer = {.id = id, .val = error != 0 ? 0 : value, .error = -error, .flags = 0};
    return respond(listener, &answer);
}

int clinux_let_call_go_on(int listener, uint64_t id)
{
    struct seccomp_notif_resp answer = {.id = id, .val = 0, .error = 0, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    return respond(listener, &answer);
}

int clinux_give_descriptor(int listener, uint64_t id, int fd, bool close_on_exec, bool answers, int number)
{
    struct seccomp_notif_addfd given = {
        .id = id,
        .flags = (answers ? SECCOMP_ADDFD_FLAG_SEND : 0) | (number >= 0 ? SECCOMP_ADDFD_FLAG_SETFD : 0),
        .srcfd = (uint32_t)fd,
        .newfd = number >= 0 ? (uint32_t)number : 0,
        .newfd_flags = close_on_exec ? O_CLOEXEC : 0,
    };
    int result = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &given);
    return result < 0 ? -errno : result;
}

int clinux_take_descriptor(int pidfd, int fd)
{
    long copy = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    return copy < 0 ? -errno : (int)copy;
}
