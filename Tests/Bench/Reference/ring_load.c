/* The client of a ring of a bare SMMU, as Documentation/Protocol.md has it, and a server that only echoes.
 *
 *   ring_load load MEMFD KICK WAKE DEPTH SECONDS   translations of 128 pages, DEPTH of them on their way; prints a line
 *   ring_load serve MEMFD KICK WAKE                answers each submission with its own address, until it is killed
 *
 * Both look for 50 microseconds for the other side's next entry before they wait in poll. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

enum { SQ_TAIL = 0x40, SQ_HEAD = 0x80, CQ_TAIL = 0xc0, CQ_HEAD = 0x100, WANTS_KICK = 0x140, WANTS_WAKE = 0x180 };
enum { ENTRIES = 0x08, COMPLETIONS = 0x0c, SQ_AT = 0x10, CQ_AT = 0x14 };

static unsigned char *ring;
static int kick, wake;
static uint32_t entries, completions;
static uint64_t (*submissions)[4];
static uint64_t (*results)[8];

static inline uint32_t get(int offset) { return __atomic_load_n((uint32_t *)(ring + offset), __ATOMIC_ACQUIRE); }
static inline void put(int offset, uint32_t value)
{
    __atomic_store_n((uint32_t *)(ring + offset), value, __ATOMIC_RELEASE);
}
static inline void fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void map(char **arguments)
{
    struct stat facts;
    int memfd = atoi(arguments[0]);

    kick = atoi(arguments[1]);
    wake = atoi(arguments[2]);
    if (fstat(memfd, &facts) != 0)
        exit(1);
    ring = mmap(NULL, (size_t)facts.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    if (ring == MAP_FAILED || get(0) != 0x72736f69u)
        exit(1);
    entries = get(ENTRIES);
    completions = get(COMPLETIONS);
    submissions = (void *)(ring + get(SQ_AT));
    results = (void *)(ring + get(CQ_AT));
}

static void sleep_until_signalled(int eventfd)
{
    struct pollfd file = {.fd = eventfd, .events = POLLIN};
    eventfd_t count;

    if (poll(&file, 1, 1000) > 0)
        eventfd_read(eventfd, &count);
}

static void serve(void)
{
    uint32_t head = get(SQ_HEAD), tail = get(CQ_TAIL);
    uint64_t idle = 0;

    for (;;) {
        uint32_t limit = get(SQ_TAIL), done = 0;

        while (head != limit && done < 16 && tail - get(CQ_HEAD) < completions) {
            uint64_t *from = submissions[head++ & (entries - 1)], *to = results[tail++ & (completions - 1)];
            uint64_t words[4];

            for (int i = 0; i < 4; i++)
                words[i] = __atomic_load_n(from + i, __ATOMIC_ACQUIRE);
            for (int i = 0; i < 8; i++)
                __atomic_store_n(to + i, i == 0 ? words[0] : i == 2 ? words[1] : 0, __ATOMIC_RELEASE);
            done++;
        }
        if (done > 0) {
            put(SQ_HEAD, head);
            put(CQ_TAIL, tail);
            fence();
            if (get(WANTS_WAKE)) {
                put(WANTS_WAKE, 0);
                eventfd_write(wake, 1);
            }
            idle = 0;
            continue;
        }
        if (idle == 0)
            idle = now();
        if (now() - idle > 50000) {
            put(WANTS_KICK, 3);
            fence();
            if (get(SQ_TAIL) == head)
                sleep_until_signalled(kick);
            put(WANTS_KICK, 0);
            idle = 0;
        }
        relax();
    }
}

static void wait_for(uint32_t head)
{
    uint64_t start = now();

    while (get(CQ_TAIL) == head) {
        if (now() - start > 50000) {
            put(WANTS_WAKE, 1);
            fence();
            if (get(CQ_TAIL) == head)
                sleep_until_signalled(wake);
            start = now();
        }
        relax();
    }
}

static int load(uint32_t depth, double seconds)
{
    uint32_t tail = get(SQ_TAIL), head = get(CQ_HEAD), sent = 0, done = 0;
    uint64_t total = 0, start = now(), end = start + (uint64_t)(seconds * 1e9), time = start;

    while (time < end || sent != done) {
        uint32_t room = time < end ? depth - (sent - done) : 0;

        for (uint32_t i = 0; i < room; i++, sent++) {
            uint64_t *to = submissions[tail++ & (entries - 1)];
            uint64_t words[4] = {sent, (uint64_t)(sent * 7 & 127) << 12 | 0x18, 1, 1};

            for (int j = 0; j < 4; j++)
                __atomic_store_n(to + j, words[j], __ATOMIC_RELEASE);
        }
        if (room > 0) {
            put(SQ_TAIL, tail);
            fence();
            if (get(WANTS_KICK) & 1)
                eventfd_write(kick, 1);
        }
        wait_for(head);
        for (uint32_t limit = get(CQ_TAIL); head != limit; head++) {
            uint64_t *from = results[head & (completions - 1)];

            /* Nothing is kept that an invalidation could be about. */
            if ((from[1] & 0xff) == 16)
                continue;
            if ((uint32_t)from[0] != done || (from[1] & 0xff) != 0) {
                fprintf(stderr, "entry %u says %llx %llx\n", done, (unsigned long long)from[0],
                        (unsigned long long)from[1]);
                return 1;
            }
            done++;
        }
        put(CQ_HEAD, head);
        fence();
        if (get(WANTS_KICK) & 2)
            eventfd_write(kick, 1);
        if ((++total & 63) == 0)
            time = now();
    }
    printf("{\"ns\":%.2f,\"translations\":%u}\n", (double)(now() - start) / done, done);
    return 0;
}

int main(int count, char **arguments)
{
    if (count == 5 && strcmp(arguments[1], "serve") == 0) {
        map(arguments + 2);
        serve();
    }
    if (count == 7 && strcmp(arguments[1], "load") == 0) {
        map(arguments + 2);
        return load((uint32_t)atoi(arguments[5]), atof(arguments[6]));
    }
    fprintf(stderr, "usage: ring_load load|serve MEMFD KICK WAKE [DEPTH SECONDS]\n");
    return 2;
}
