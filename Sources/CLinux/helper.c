#define _GNU_SOURCE
#include "clinux_helper.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int clinux_packet_pair(int pair[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    /* Each end has flags of its own. */
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
        int error = errno;
        close(pair[0]);
        close(pair[1]);
        return -error;
    }
    return 0;
}

static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, int socket, int buffer)
{
    sigset_t none, all;
    int error = 0;

    sigemptyset(&none);
    sigfillset(&all);
    /* Output is for the pipe, where it is no message and ends the helper. */
    for (int fd = 0; fd < CLINUX_HELPER_BUFFER && error == 0; fd++)
        error = posix_spawn_file_actions_adddup2(actions, socket, fd);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(actions, buffer, CLINUX_HELPER_BUFFER);
    if (error == 0)
        error = posix_spawn_file_actions_addclosefrom_np(actions, CLINUX_HELPER_BUFFER + 1);
    if (error == 0)
        error = posix_spawnattr_setsigmask(attributes, &none);
    if (error == 0)
        error = posix_spawnattr_setsigdefault(attributes, &all);
    if (error == 0)
        error = posix_spawnattr_setpgroup(attributes, 0);
    if (error == 0)
        error = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    return error;
}

/* The lowest numbers that the copies may have, out of the way of those that they are to become. */
#define PARKED (CLINUX_HELPER_BUFFER + 1)

pid_t clinux_start_helper(const char *program, const char *first, const char *second, int socket, int buffer)
{
    char *arguments[] = {"iommud", (char *)first, (char *)second, NULL}, *environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid = 0;
    int error;
    int from = fcntl(socket, F_DUPFD_CLOEXEC, PARKED);
    int memory = fcntl(buffer, F_DUPFD_CLOEXEC, PARKED);

    if (from < 0 || memory < 0) {
        error = errno;
        goto close;
    }
    error = posix_spawn_file_actions_init(&actions);
    if (error != 0)
        goto close;
    error = posix_spawnattr_init(&attributes);
    if (error == 0) {
        error = prepare(&actions, &attributes, from, memory);
        if (error == 0)
            error = posix_spawn(&pid, program, &actions, &attributes, arguments, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
close:
    if (from >= 0)
        close(from);
    if (memory >= 0)
        close(memory);
    return error != 0 ? -error : pid;
}

int clinux_die_with_parent(void)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

int clinux_set_name(const char *name)
{
    return prctl(PR_SET_NAME, name) < 0 ? -errno : 0;
}

int clinux_pidfd_kill(int pidfd)
{
    return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0u) < 0 ? -errno : 0;
}

int clinux_pidfd_reap(int pidfd)
{
    siginfo_t information = {0};

    while (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &information, WEXITED | WNOHANG) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return information.si_pid != 0 ? 1 : 0;
}
