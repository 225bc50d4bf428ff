#pragma once
#include <stdint.h>
#include <sys/types.h>

/* Helper processes: this program once more, in a process that may be abandoned.
 * What can fail returns 0 or more, or -errno. */

/* Descriptors of a helper. It has no others when it begins. */
#define CLINUX_HELPER_SOCKET 0
#define CLINUX_HELPER_BUFFER 3

/* A pair of sockets that keep messages apart (SOCK_SEQPACKET), close-on-exec; the first is non-blocking. */
int clinux_packet_pair(int pair[2]);

/* Starts `program` with two arguments, an empty environment, default signals, and a process group of its own. Its
 * descriptors 0, 1 and 2 are `socket`, 3 is `buffer`. Returns its pid. */
pid_t clinux_start_helper(const char *program, const char *first, const char *second, int socket, int buffer);

/* Has the kernel kill this process when the thread that started it ends. */
int clinux_die_with_parent(void);

/* Names this process in /proc/PID/comm: 15 bytes of it. */
int clinux_set_name(const char *name);

/* Kills a process. */
int clinux_pidfd_kill(int pidfd);

/* Takes the exit status of a child that has ended: 1; 0: it has not, -ECHILD: it is no child of this process. */
int clinux_pidfd_reap(int pidfd);
