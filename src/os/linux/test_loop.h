/* What the tests of os/linux share: a loop that does not hang, a count of open descriptors. */
#ifndef OS_LINUX_TEST_LOOP_H
#define OS_LINUX_TEST_LOOP_H

#include <dirent.h>

#include "base/test.h"
#include "os/linux/linux.h"

enum { TEST_US_MAX = 5000000, TEST_TIMED_OUT = 99 };

static inline void test_give_up(void *ctx)
{
    os_stop(ctx, TEST_TIMED_OUT);
}

static inline void test_stop(void *ctx)
{
    os_stop(ctx, 0);
}

/* Until somebody stops the loop. */
static inline void test_run(struct os *os)
{
    os_alarm(os, os_now_us(os) + TEST_US_MAX, test_give_up, os);
    assert_int_equal(os_linux_run(os), 0);
    os_alarm(os, OS_NEVER, NULL, NULL);
}

static inline void test_run_for(struct os *os, uint64_t us)
{
    os_alarm(os, os_now_us(os) + us, test_stop, os);
    assert_int_equal(os_linux_run(os), 0);
}

static inline void test_stop_on_event(void *ctx, unsigned events)
{
    (void)events;
    os_stop(ctx, 0);
}

static inline unsigned test_count_fds(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static inline struct address test_address(const char *ip, uint16_t port)
{
    struct address a = { .set = false };
    assert_true(address_parse_ip(view_of(ip), &a));
    a.port = port;
    return a;
}

#endif
