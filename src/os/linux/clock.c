/* Time and chance. */
#include "os/linux/linux.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t os_now_us(struct os *os)
{
    struct turns *t = &os->turns;
    if (!t->running) /* start-up, or a command without a loop: no turns, so the time goes on */
        return read_clock(CLOCK_MONOTONIC);
    if (t->now_us == 0)
        t->now_us = read_clock(CLOCK_MONOTONIC);
    return t->now_us;
}

uint64_t os_wall_us(struct os *os)
{
    (void)os;
    return read_clock(CLOCK_REALTIME);
}

int os_utc_offset_min(struct os *os, uint64_t wall_us)
{
    (void)os;
    time_t at = (time_t)(wall_us / 1000000);
    struct tm local;
    return localtime_r(&at, &local) ? (int)(local.tm_gmtoff / 60) : 0;
}

bool os_random(struct os *os, void *to, size_t n)
{
    (void)os;
    for (char *at = to; n > 0;) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno != EINTR)
            return false;
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
    return true;
}
