#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Single-copy atomic accesses to memory that another process may be writing: a table word is read once. */

static inline __attribute__((always_inline)) uint64_t clinux_load64(const void *p)
{
    return __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE);
}

static inline __attribute__((always_inline)) void clinux_store64(void *p, uint64_t v)
{
    __atomic_store_n((uint64_t *)p, v, __ATOMIC_RELEASE);
}

static inline __attribute__((always_inline)) uint32_t clinux_load32(const void *p)
{
    return __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE);
}

static inline __attribute__((always_inline)) void clinux_store32(void *p, uint32_t v)
{
    __atomic_store_n((uint32_t *)p, v, __ATOMIC_RELEASE);
}

static inline __attribute__((always_inline)) uint32_t clinux_exchange32(void *p, uint32_t v)
{
    return __atomic_exchange_n((uint32_t *)p, v, __ATOMIC_SEQ_CST);
}

/* What was stored before is seen by whoever stores after a fence of his own what is loaded afterwards. */
static inline __attribute__((always_inline)) void clinux_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Tells the processor that a loop waits for somebody else's store. */
static inline __attribute__((always_inline)) void clinux_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Returns whether *p was `expected` and is now `desired`. */
static inline __attribute__((always_inline)) bool clinux_cas64(void *p, uint64_t expected, uint64_t desired)
{
    return __atomic_compare_exchange_n((uint64_t *)p, &expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
