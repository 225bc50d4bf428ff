#pragma once
#include <stdint.h>

/* What can fail returns 0 or more, or -errno. */

/* Makes ready what clinux_signal_eventfd() needs, which it then keeps. -EAGAIN if the system has no asynchronous
 * I/O left (fs.aio-max-nr). One thread at a time. */
int clinux_prepare_signals(void);

/* Adds 1 to the counter of somebody else's eventfd without ever blocking, however full it is. -EINVAL if the descriptor
 * is no eventfd. One thread at a time. */
int clinux_signal_eventfd(int eventfd);

/* An eventfd (EFD_CLOEXEC | EFD_NONBLOCK). */
int clinux_make_eventfd(void);

/* A timer descriptor (CLOCK_MONOTONIC, close-on-exec, non-blocking). */
int clinux_alarm_create(void);

/* Makes it readable once the clock shows `nanoseconds`, which is not 0, and not before. */
int clinux_alarm_set(int alarm, uint64_t nanoseconds);

/* Not readable any more until set again. */
void clinux_alarm_clear(int alarm);
