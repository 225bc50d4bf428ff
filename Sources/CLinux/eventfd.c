#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clinux_eventfd.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* A write() to a full eventfd blocks unless its owner made it non-blocking, which the owner may change at any time.
 * The completion of an asynchronous read signals an eventfd from within the kernel, which never waits. */
static aio_context_t context;
static int source = -1;

int clinux_prepare_signals(void)
{
    if (source < 0)
        source = (int)syscall(SYS_memfd_create, "iommud-signal", 1u /* MFD_CLOEXEC */);
    if (source < 0)
        return -errno;
    if (context == 0 && syscall(SYS_io_setup, 16u, &context) != 0) {
        context = 0;
        return -errno;
    }
    return 0;
}

int clinux_signal_eventfd(int eventfd)
{
    int result = clinux_prepare_signals();
    if (result != 0)
        return result;
    char byte;
    struct iocb request;
    memset(&request, 0, sizeof request);
    request.aio_lio_opcode = IOCB_CMD_PREAD;
    request.aio_fildes = (uint32_t)source;
    request.aio_buf = (uint64_t)(uintptr_t)&byte;
    request.aio_nbytes = 1;
    request.aio_flags = IOCB_FLAG_RESFD;
    request.aio_resfd = (uint32_t)eventfd;
    struct iocb *list[1] = {&request};
    if (syscall(SYS_io_submit, context, 1l, list) != 1)
        return -errno;
    struct io_event event;
    struct timespec now = {0, 0};
    syscall(SYS_io_getevents, context, 0l, 1l, &event, &now);
    return 0;
}

int clinux_alarm_create(void)
{
    int alarm = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return alarm < 0 ? -errno : alarm;
}

int clinux_alarm_set(int alarm, uint64_t nanoseconds)
{
    struct itimerspec when = {0};

    when.it_value.tv_sec = (time_t)(nanoseconds / 1000000000u);
    when.it_value.tv_nsec = (long)(nanoseconds % 1000000000u);
    return timerfd_settime(alarm, TFD_TIMER_ABSTIME, &when, NULL) < 0 ? -errno : 0;
}

void clinux_alarm_clear(int alarm)
{
    uint64_t count;

    if (read(alarm, &count, sizeof count) < 0)
        return;
}

int clinux_make_eventfd(void)
{
    int made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return made < 0 ? -errno : made;
}
