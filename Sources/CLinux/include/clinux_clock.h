#pragma once
#include <stdint.h>
#include <time.h>

/* A counter that grows evenly with time and costs a few nanoseconds to read; its rate is to be measured. */
static inline __attribute__((always_inline)) uint64_t clinux_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}
