/*
 * Clocks that jump. Preloaded into a process, it adds two numbers of nanoseconds, kept in the file
 * named by CK_CLOCKS, to what the wall clock and CLOCK_BOOTTIME say. Two more, which may be left out,
 * make CLOCK_BOOTTIME run faster, or slower where it is negative, by so many thousandths from a
 * time on that this clock would show by itself. The file is mapped, so a number that is written to
 * it counts from the next reading on. The monotonic clock is left alone.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000LL

struct jumps {
    long long wall, boot;
    long long since, permille; /* zeros beyond the end of a shorter file */
};

static const volatile struct jumps *jumps(void) {
    static const volatile struct jumps *mapped;
    static const struct jumps none;
    if (!mapped) {
        const char *path = getenv("CK_CLOCKS");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *at = fd < 0 ? MAP_FAILED : mmap(0, sizeof none, PROT_READ, MAP_SHARED, fd, 0);
        if (fd >= 0) close(fd);
        mapped = at == MAP_FAILED ? &none : at;
    }
    return mapped;
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    int result = syscall(SYS_clock_gettime, clock, out);
    long long by = 0;
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) by = jumps()->wall;
    if (clock == CLOCK_BOOTTIME) {
        long long gone = out->tv_sec * BILLION + out->tv_nsec - jumps()->since;
        by = jumps()->boot;
        if (gone > 0) by += gone * jumps()->permille / 1000; /* never back, even by a nanosecond */
    }
    if (result == 0 && by) {
        long long at = out->tv_sec * BILLION + out->tv_nsec + by;
        if (at < 0) at = 0;
        out->tv_sec = at / BILLION;
        out->tv_nsec = at % BILLION;
    }
    return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec at;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &at) != 0) return -1;
    out->tv_sec = at.tv_sec;
    out->tv_usec = at.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (out) *out = at.tv_sec;
    return at.tv_sec;
}
