#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/linux/test_loop.h"

static int set_up(void **state)
{
    *state = os_linux_new(NULL, 0);
    assert_non_null(*state);
    return 0;
}

static int tear_down(void **state)
{
    os_linux_free(*state);
    return 0;
}

static uint64_t real_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void busy_us(uint64_t us)
{
    for (uint64_t end = real_us() + us; real_us() < end;)
        ;
}

/* ---- tasks ---- */

struct order {
    struct os *os;
    char text[64];
    struct os_task a, b, again;
    unsigned rounds;
};

static void say(struct order *o, const char *word)
{
    strcat(o->text, word);
}

static void run_b(void *ctx)
{
    say(ctx, "b");
}

static void run_a(void *ctx)
{
    struct order *o = ctx;
    say(o, "a");
    os_later(o->os, &o->a); /* the next turn's */
    os_later(o->os, &o->b); /* in the first turn it waits already, and nothing changes; in the second it does not */
    if (++o->rounds == 3)
        os_stop(o->os, 0);
}

static void test_tasks(void **state)
{
    struct order o = { .os = *state };
    o.a = (struct os_task){ run_a, &o, NULL, false };
    o.b = (struct os_task){ run_b, &o, NULL, false };
    os_later(o.os, &o.a);
    os_later(o.os, &o.b);
    os_later(o.os, &o.a);
    assert_string_equal(o.text, "");
    assert_int_equal(os_linux_run(o.os), 0); /* without any event: the loop does not sleep while tasks wait */
    assert_string_equal(o.text, "abaab");
    assert_true(o.a.waiting && o.b.waiting == false);
}

static void after_event(void *ctx)
{
    struct order *o = ctx;
    say(o, "t");
    os_stop(o->os, 0);
}

static void on_first_event(void *ctx, unsigned events)
{
    struct order *o = ctx;
    (void)events;
    say(o, "e");
    os_later(o->os, &o->again);
}

/* A task that an event asked for runs after the other events of the turn. */
static void test_task_after_all_events(void **state)
{
    struct order o = { .os = *state };
    struct os_link *links[8];
    o.again = (struct os_task){ after_event, &o, NULL, false };
    for (int i = 0; i < 8; i += 2) {
        assert_int_equal(os_link_pair(o.os, &links[i], &links[i + 1]), OS_OK);
        os_link_send(links[i], VIEW("x"), NULL);
        os_link_watch(links[i + 1], OS_READABLE, on_first_event, &o);
    }
    test_run(o.os);
    assert_string_equal(o.text, "eeeet");
    for (int i = 0; i < 8; i++)
        os_link_close(links[i]);
}

/* ---- time ---- */

struct alarm {
    struct os *os;
    uint64_t deadline_us, set_us;
    unsigned calls;
};

static void on_alarm(void *ctx)
{
    struct alarm *a = ctx;
    uint64_t now = os_now_us(a->os);
    a->calls++;
    assert_true(now >= a->deadline_us);
    busy_us(2000);
    assert_int_equal(os_now_us(a->os), now); /* stands still */
    os_stop(a->os, 0);
}

static void test_alarm_is_never_early(void **state)
{
    static const uint64_t delays_us[] = { 0, 1, 500, 999, 1000, 1001, 1500, 3333, 20000 };
    for (size_t i = 0; i < ROWS(delays_us); i++) {
        struct alarm a = { .os = *state, .set_us = real_us() };
        a.deadline_us = a.set_us + delays_us[i];
        os_alarm(a.os, a.deadline_us, on_alarm, &a);
        assert_int_equal(os_linux_run(a.os), 0);
        assert_int_equal(a.calls, 1);
        assert_true(real_us() - a.deadline_us < 500000);
    }
}

static void must_not_ring(void *ctx)
{
    (void)ctx;
    fail_msg("an alarm that was replaced");
}

static void test_alarm_is_replaced(void **state)
{
    struct alarm a = { .os = *state };
    os_alarm(a.os, real_us() + 1000, must_not_ring, NULL);
    os_alarm(a.os, real_us() + 3000, on_alarm, &a);
    assert_int_equal(os_linux_run(a.os), 0);
    os_alarm(a.os, real_us() + 1000, must_not_ring, NULL);
    os_alarm(a.os, OS_NEVER, NULL, NULL);
    os_alarm(a.os, OS_NEVER - 1, must_not_ring, NULL);
    struct os_task stop = { test_stop, a.os, NULL, false };
    busy_us(3000);
    os_later(a.os, &stop);
    assert_int_equal(os_linux_run(a.os), 0);
}

struct ringer {
    struct os *os;
    struct os_link *link;
    unsigned rings;
};

static void ring_again(void *ctx)
{
    struct ringer *r = ctx;
    r->rings++;
    os_alarm(r->os, 0, ring_again, r);
}

/* Alarms that are always due do not keep the loop from its events. */
static void test_alarm_in_the_past(void **state)
{
    struct ringer r = { .os = *state };
    struct os_link *other;
    os_link_pair(r.os, &r.link, &other);
    os_alarm(r.os, 0, ring_again, &r);
    os_link_send(other, VIEW("x"), NULL);
    os_link_watch(r.link, OS_READABLE, test_stop_on_event, r.os);
    assert_int_equal(os_linux_run(r.os), 0);
    os_link_close(r.link);
    os_link_close(other);
}

static void on_turn(void *ctx)
{
    struct alarm *a = ctx;
    static struct os_task task;
    uint64_t now = os_now_us(a->os);
    if (a->calls)
        assert_true(now >= a->set_us + 1000); /* the busy time of the last turn is seen in this one */
    a->set_us = now;
    busy_us(1000);
    assert_int_equal(os_now_us(a->os), now);
    task = (struct os_task){ on_turn, a, NULL, false };
    if (++a->calls < 5)
        os_later(a->os, &task);
    else
        os_stop(a->os, 0);
}

static void test_time_goes_on_between_turns(void **state)
{
    struct alarm a = { .os = *state };
    struct os_task task = { on_turn, &a, NULL, false };
    os_later(a.os, &task);
    assert_int_equal(os_linux_run(a.os), 0);
    uint64_t before = os_now_us(a.os);
    busy_us(1000);
    assert_true(os_now_us(a.os) >= before + 1000); /* there are no turns outside of the loop */
}

static void test_zone_and_chance(void **state)
{
    static const struct {
        const char *zone;
        uint64_t wall_s;
        int offset_min;
    } rows[] = {
        { "UTC", 0, 0 },
        { "IST-5:30", 1700000000, 330 },
        { "NST3:30NDT,M3.2.0,M11.1.0", 1700000000, -210 },
        { "NST3:30NDT,M3.2.0,M11.1.0", 1690000000, -150 },
        { "CET-1CEST,M3.5.0,M10.5.0/3", 2147483648, 60 },  /* 2038-01-19 (H169) */
        { "CET-1CEST,M3.5.0,M10.5.0/3", 4118083200, 120 }, /* summer of 2100 */
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        setenv("TZ", rows[i].zone, 1);
        tzset();
        assert_row(os_utc_offset_min(*state, rows[i].wall_s * 1000000) == rows[i].offset_min, rows[i].zone);
    }
    unsetenv("TZ");
    tzset();
    char a[1000] = { 0 }, b[1000] = { 0 };
    assert_true(os_random(*state, a, sizeof a) && os_random(*state, b, sizeof b));
    assert_memory_not_equal(a, b, sizeof a);
    assert_true(os_wall_us(*state) / 1000000 - (uint64_t)time(NULL) <= 1);
    assert_true(os_core_count(*state) >= 1);
}

/* ---- the end ---- */

struct ender {
    struct os *os;
    unsigned calls;
};

static void on_event_after_stop(void *ctx, unsigned events)
{
    struct ender *e = ctx;
    (void)events;
    e->calls++;
}

static void stop_twice(void *ctx)
{
    struct ender *e = ctx;
    os_stop(e->os, 7);
    os_stop(e->os, 8);
}

static void test_stop_ends_after_the_turn(void **state)
{
    struct ender e = { .os = *state };
    struct os_link *a, *b;
    os_link_pair(e.os, &a, &b);
    os_link_send(a, VIEW("x"), NULL);
    os_link_watch(b, OS_READABLE, on_event_after_stop, &e);
    struct os_task task = { stop_twice, &e, NULL, false };
    os_later(e.os, &task);
    assert_int_equal(os_linux_run(e.os), 7); /* the first counts */
    assert_int_equal(e.calls, 0);            /* no event after the turn of the stop */
    os_alarm(e.os, 0, stop_twice, &e);
    e.calls = 0;
    assert_int_equal(os_linux_run(e.os), 7);
    os_link_close(a);
    os_link_close(b);
    os_stop(e.os, 1); /* and freeing without another run is no harm */
}

/* ---- signals ---- */

struct signals {
    struct os *os;
    unsigned stops, reloads;
};

static void on_signal(void *ctx, enum os_signal signal)
{
    struct signals *s = ctx;
    s->stops += signal == OS_SIGNAL_STOP;
    s->reloads += signal == OS_SIGNAL_RELOAD;
    os_stop(s->os, 0);
}

static void test_signals(void **state)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
    struct signals s = { .os = *state };
    os_on_signal(s.os, on_signal, &s);
    for (size_t i = 0; i < ROWS(numbers); i++) {
        raise(numbers[i]);
        assert_int_equal(s.stops + s.reloads, i); /* from the loop only */
        test_run(s.os);
    }
    assert_int_equal(s.stops, 2);
    assert_int_equal(s.reloads, 1);
    raise(SIGPIPE);
    raise(SIGXFSZ);
}

/* ---- users ---- */

static void test_users(void **state)
{
    struct os_user user;
    struct os *os = *state;
    assert_int_equal(os_user_find(os, VIEW("root"), &user), OS_OK);
    assert_true(user.user == 0 && user.group == 0);
    assert_string_equal(user.name, "root");
    assert_true(user.home[0] == '/');
    const struct view none[] = { VIEW("no-such-user-here"), VIEW("root\0x"), VIEW(""), VIEW("root ") };
    for (size_t i = 0; i < ROWS(none); i++)
        assert_int_equal(os_user_find(os, none[i], &user), OS_NOT_FOUND);
    char name[300];
    memset(name, 'r', sizeof name);
    assert_int_equal(os_user_find(os, (struct view){ name, sizeof name }, &user), OS_NOT_FOUND);
    assert_int_equal(os_is_root(os), geteuid() == 0);
}

static void test_every_status_has_words(void **state)
{
    (void)state;
    for (enum os_status s = OS_OK; s <= OS_IO; s++)
        assert_true(strcmp(os_status_text(s), "unknown status") != 0);
    assert_string_equal(os_status_text(1000), "unknown status");
}

/* ---- the log ---- */

struct log_pipe {
    int saved, reader;
    struct os *os;
    char *text;
    size_t len;
};

enum { LOG_TEXT_MAX = 1 << 20 };

static void open_log(struct log_pipe *l)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fflush(stderr);
    l->saved = dup(2);
    l->reader = ends[0];
    dup2(ends[1], 2);
    close(ends[1]);
    fcntl(l->reader, F_SETFL, O_NONBLOCK);
    l->os = os_linux_new(NULL, 0);
    l->text = calloc(1, LOG_TEXT_MAX);
    l->len = 0;
}

static void read_log(struct log_pipe *l)
{
    for (ssize_t n; (n = read(l->reader, l->text + l->len, LOG_TEXT_MAX - l->len - 1)) > 0;)
        l->len += (size_t)n;
}

/* Reads until nothing comes any more. */
static void drain_log(struct log_pipe *l)
{
    for (size_t before = SIZE_MAX; before != l->len;) {
        before = l->len;
        read_log(l);
        test_run_for(l->os, 5000);
    }
}

static void close_log(struct log_pipe *l)
{
    os_linux_free(l->os);
    fflush(stderr);
    dup2(l->saved, 2);
    close(l->saved);
    close(l->reader);
    free(l->text);
}

static void test_log_lines(void **state)
{
    struct log_pipe l;
    char long_line[5000];
    (void)state;
    memset(long_line, 'y', sizeof long_line);
    open_log(&l);
    int mode_of_others = fcntl(l.saved, F_GETFL);
    os_log(l.os, VIEW("hello"));
    os_log(l.os, VIEW(""));
    os_log(l.os, VIEW("two\nlines\r\0\033[0m \303\274"));
    os_log(l.os, (struct view){ long_line, sizeof long_line });
    read_log(&l);
    const char *expected = "hello\n\ntwo?lines???[0m \303\274\nyyy";
    bool same = strncmp(l.text, expected, strlen(expected)) == 0;
    size_t long_len = strlen(strchr(l.text, 'y'));
    close_log(&l);
    assert_true(same);
    assert_int_equal(long_len, 4096);
    assert_int_equal(fcntl(2, F_GETFL), mode_of_others);
}

/* H94 */
static void test_log_that_nobody_reads(void **state)
{
    enum { LINES = 20000 };
    struct log_pipe l;
    char line[64];
    unsigned dropped = 0, told = 0, whole = 0;
    (void)state;
    open_log(&l);
    uint64_t before = real_us();
    for (unsigned i = 0; i < LINES; i++) {
        snprintf(line, sizeof line, "line %u of a log that is not read", i);
        os_log(l.os, view_of(line));
    }
    uint64_t took = real_us() - before;
    drain_log(&l);
    os_log(l.os, VIEW("the end"));
    drain_log(&l);
    char *text = l.text;
    l.text = NULL;
    close_log(&l);
    assert_true(took < 1000000);
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        unsigned number;
        *end = '\0';
        if (sscanf(at, "log: %u lines dropped", &number) == 1)
            dropped += number;
        else if (sscanf(at, "line %u of a log that is not read", &number) == 1)
            whole++, assert_int_equal(number, whole - 1);
        else
            assert_string_equal(at, "the end"), told++;
    }
    assert_true(dropped > 0);
    assert_int_equal(whole + dropped, LINES); /* the books balance */
    assert_int_equal(told, 1);
    free(text);
}

static void test_log_without_reader(void **state)
{
    struct log_pipe l;
    (void)state;
    open_log(&l);
    close(l.reader);
    l.reader = dup(l.saved);
    for (int i = 0; i < 1000; i++)
        os_log(l.os, VIEW("to nobody")); /* no SIGPIPE, no growing */
    bool empty = l.os->log.waiting.len == 0;
    close_log(&l);
    assert_true(empty);
}

int main(void)
{
#define WITH_OS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_OS(test_tasks),
        WITH_OS(test_task_after_all_events),
        WITH_OS(test_alarm_is_never_early),
        WITH_OS(test_alarm_is_replaced),
        WITH_OS(test_alarm_in_the_past),
        WITH_OS(test_time_goes_on_between_turns),
        WITH_OS(test_zone_and_chance),
        WITH_OS(test_stop_ends_after_the_turn),
        WITH_OS(test_signals),
        WITH_OS(test_users),
        cmocka_unit_test(test_every_status_has_words),
        cmocka_unit_test(test_log_lines),
        cmocka_unit_test(test_log_that_nobody_reads),
        cmocka_unit_test(test_log_without_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
