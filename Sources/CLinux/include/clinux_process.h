#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Other processes' address spaces: what takes credentials, ioctls and system calls that Swift cannot express.
 * What can fail returns 0 or more, or -errno. */

/* One VMA. */
struct clinux_vma {
    uint64_t start;
    /* Exclusive. */
    uint64_t end;
    bool readable;
    bool writable;
    /* Bytes of its name that were returned, without the terminator. */
    uint32_t name_length;
};

/* The VMA that covers `address`, or the next one if `or_next`. -ENOENT: none, -ESRCH: the mm is gone, -ENOTTY:
 * a kernel without PROCMAP_QUERY. `name` (may be NULL) receives its name without terminator. */
int clinux_query_vma(int maps, uint64_t address, bool or_next, struct clinux_vma *vma, char *name, uint32_t capacity);

/* Whether the mm that a writable /proc/PID/mem holds still has users: 1 or 0. Takes no lock of that mm. */
int clinux_probe_mm(int mem);

/* kcmp(KCMP_VM): 0 the same mm, > 0 different. */
int clinux_compare_mm(pid_t first, pid_t second);

/* open() with the access rights of another user and without any capability, so that the kernel itself decides whether
 * that user may look into a process. The descriptor; -ENOTSUP if the identity cannot be taken on. */
int clinux_open_as(const char *path, int flags, uid_t uid, gid_t gid);

/* Whether this process's user may look into a process without any capability in effect. That takes the
 * same ids and a dumpable process that holds no more capabilities than this one; Yama has no say in it. */
int clinux_may_read(pid_t pid);

/* Lets descriptors from this one on close by themselves where another program starts (Linux 5.11). */
int clinux_close_on_exec_from(int first);

/* A pidfd. */
int clinux_pidfd_open(pid_t pid);
/*
 * Of what process a pidfd is, and of which real user: PIDFD_GET_INFO (Linux 6.13), before that what /proc shows. -EBADF
 * for what is no pidfd, -ESRCH if the process has ended, -EPERM if its user cannot be seen from here.
 */
int clinux_pidfd_identity(int pidfd, int32_t *pid, uint32_t *uid);
/* Sends a signal to the process of a pidfd. */
int clinux_pidfd_signal(int pidfd, int signal);

/* Whether this thread has CAP_SYS_PTRACE. */
bool clinux_can_ptrace(void);
