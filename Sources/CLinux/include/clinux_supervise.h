#pragma once
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Supervising the system calls of another program by seccomp user notification.
 * What can fail returns 0 or more, or -errno. */

/* One system call that is stopped. */
struct clinux_notification {
    uint64_t id;
    /* The thread that makes it. */
    int32_t thread;
    /* One of the CLINUX_CALL_* below. */
    int32_t call;
    uint64_t args[6];
};

enum {
    CLINUX_CALL_OTHER,
    CLINUX_CALL_IOCTL,
    /* open(2), openat(2), openat2(2): args as openat's; for openat2 `args[2]` is the address of `struct open_how`. */
    CLINUX_CALL_OPENAT,
    CLINUX_CALL_OPENAT2,
    CLINUX_CALL_PREAD,
    CLINUX_CALL_PWRITE,
    /* fstat(2), and fstatat(2) and statx(2) with AT_EMPTY_PATH: args[0] is the descriptor, args[1] the path or 0,
     * args[2] where the result goes, args[3] the mask of statx. */
    CLINUX_CALL_FSTAT,
    CLINUX_CALL_STATX,
};

/* Stops in this process and what it becomes: ioctl(2) of iommufd and vfio, opens of files for reading and writing
 * without O_CREAT, looks at open files, and pread(2) and pwrite(2) at offsets from `first_offset` on, a multiple of
 * 2^32. Sets PR_SET_NO_NEW_PRIVS. Returns the listener, close-on-exec. -EBUSY: something else listens already. */
int clinux_stop_calls(uint64_t first_offset);

/* Makes waking the two sides cheaper where the kernel knows how (6.6). */
void clinux_prefer_same_cpu(int listener);

/* The next call that was stopped. -EAGAIN: it has gone again; -ENOENT: nobody is left. */
int clinux_next_call(int listener, struct clinux_notification *call);

/* Whether a stopped call still waits, so that what was read of its thread is that thread's. */
bool clinux_call_waits(int listener, uint64_t id);

/* Ends a call: with a value, or with `error`, a positive errno. */
int clinux_answer_call(int listener, uint64_t id, int64_t value, int error);

/* Lets a call go on as if it had not been stopped. */
int clinux_let_call_go_on(int listener, uint64_t id);

/* Gives the program a descriptor, and with `answers` ends the call with its number. `number` < 0: the lowest free one,
 * else in the place of that one. Returns the number. */
int clinux_give_descriptor(int listener, uint64_t id, int fd, bool close_on_exec, bool answers, int number);

/* A copy of a thread's descriptor. `pidfd` is one of the thread or of its process. */
int clinux_take_descriptor(int pidfd, int fd);

/* What `call` (CLINUX_CALL_FSTAT or CLINUX_CALL_STATX) says of a file, as if it were the character device `major`,
 * `minor`. Returns the bytes of the result. */
#define CLINUX_STATUS_SIZE 256
int clinux_describe_as_device(int fd, int call, uint32_t mask, uint32_t major, uint32_t minor, void *result);

/* A pidfd of a thread; of its process where the kernel has none of threads (before 6.9). */
int clinux_open_thread(int thread);

/* Bytes read from or written to a thread's memory by its number; all of them, or -EFAULT. */
int clinux_read_thread(int thread, uint64_t address, void *buffer, size_t size);
int clinux_write_thread(int thread, uint64_t address, const void *buffer, size_t size);

/* poll(2) for so many nanoseconds; < 0: for as long as it takes. */
int clinux_poll(struct pollfd *sources, uint32_t count, int64_t nanoseconds);

/* Mount ids tell bind mounts of one file apart. 0: unknown. */
uint64_t clinux_mount_id(int fd);

/* O_PATH, which only GNU sources see. */
#define CLINUX_O_PATH 010000000

/* openat2(2) within a root, without following magic links; O_PATH. */
int clinux_find_in_root(int root, const char *path, bool follow);

/* A user namespace (unless this user may mount already) and a mount namespace, in which nothing that is mounted is seen
 * outside. The process has one thread. */
int clinux_enter_namespaces(void);
int clinux_bind_mount(const char *source, const char *target);
int clinux_mount_memory(const char *target);
int clinux_move_mount(const char *source, const char *target);
