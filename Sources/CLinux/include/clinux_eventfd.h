#pragma once

/* Adds 1 to the counter of somebody else's eventfd without ever blocking, however full it is: 0, or -errno; -EINVAL if
 * the descriptor is no eventfd. One thread at a time. */
int clinux_signal_eventfd(int eventfd);

/* An eventfd (EFD_CLOEXEC | EFD_NONBLOCK), or -1 and errno. */
int clinux_make_eventfd(void);
