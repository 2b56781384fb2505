#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "os/linux/test_loop.h"

struct pair {
    struct os *os;
    struct os_listener *listener;
    struct os_stream *client, *server;
};

static struct address listen_on(struct os *os, const char *ip, struct os_listener **listener)
{
    struct address at = test_address(ip, 0), bound;
    assert_int_equal(os_listen(os, &at, true, listener, &bound), OS_OK);
    assert_true(bound.port != 0);
    return bound;
}

static struct os_stream *accept_one(struct os *os, struct os_listener *listener)
{
    struct os_stream *stream;
    os_listener_watch(listener, true, test_stop_on_event, os);
    test_run(os);
    assert_int_equal(os_accept(listener, &stream), OS_OK);
    os_listener_watch(listener, false, NULL, NULL);
    return stream;
}

static void open_pair(struct pair *p, const char *ip)
{
    *p = (struct pair){ .os = os_linux_new(NULL, 0) };
    assert_non_null(p->os);
    struct address at = listen_on(p->os, ip, &p->listener);
    assert_int_equal(os_connect(p->os, &at, NULL, &p->client), OS_OK);
    p->server = accept_one(p->os, p->listener);
}

static void close_pair(struct pair *p)
{
    if (p->client)
        os_stream_close(p->client);
    if (p->server)
        os_stream_close(p->server);
    os_listener_close(p->listener);
    os_linux_free(p->os);
}

static enum os_status write_text(struct os_stream *stream, const char *text)
{
    size_t put;
    const struct os_slice slice = { text, strlen(text) };
    enum os_status status = os_stream_write(stream, &slice, 1, &put);
    assert_true(status != OS_OK || put == slice.len);
    return status;
}

/* ---- bytes both ways ---- */

enum { LOAD = 8 << 20, PIECES = 64 };

struct load {
    struct os *os;
    struct os_stream *stream;
    size_t sent, received;
    unsigned again, partial;
    struct load *other;
};

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 13));
}

static void load_write(struct load *l)
{
    static uint8_t data[LOAD];
    if (data[1] == 0)
        for (size_t i = 0; i < LOAD; i++)
            data[i] = pattern(i);
    while (l->sent < LOAD) {
        struct os_slice slices[PIECES];
        size_t at = l->sent, asked = 0, put;
        for (size_t i = 0; i < PIECES; i++) {
            size_t len = at + asked + i * 97 <= LOAD ? i * 97 : LOAD - at - asked; /* the first is empty */
            slices[i] = (struct os_slice){ data + at + asked, len };
            asked += len;
        }
        enum os_status status = os_stream_write(l->stream, slices, PIECES, &put);
        if (status == OS_AGAIN) {
            l->again++;
            return;
        }
        assert_int_equal(status, OS_OK);
        l->partial += put < asked;
        l->sent += put;
    }
    os_stream_shutdown(l->stream);
}

/* True at the end of the stream. */
static bool load_read(struct load *l)
{
    uint8_t buf[50000];
    for (;;) {
        size_t got;
        enum os_status status = os_stream_read(l->stream, buf, sizeof buf, &got);
        if (status == OS_AGAIN || status == OS_END)
            return status == OS_END;
        assert_int_equal(status, OS_OK);
        for (size_t i = 0; i < got; i++)
            if (buf[i] != pattern(l->received + i))
                fail_msg("byte %zu", l->received + i);
        l->received += got;
    }
}

static void on_load(void *ctx, unsigned events)
{
    struct load *l = ctx;
    bool ended = false;
    if (events & OS_WRITABLE && l->sent < LOAD)
        load_write(l);
    if (events & OS_READABLE)
        ended = load_read(l);
    os_stream_watch(l->stream, (ended ? 0u : OS_READABLE) | (l->sent < LOAD ? OS_WRITABLE : 0u), on_load, l);
    if (l->sent == LOAD && l->received == LOAD && l->other->sent == LOAD && l->other->received == LOAD)
        os_stop(l->os, 0);
}

static void test_both_ways_at_once(void **state)
{
    struct pair p;
    (void)state;
    open_pair(&p, "127.0.0.1");
    struct load a = { .os = p.os, .stream = p.client }, b = { .os = p.os, .stream = p.server };
    a.other = &b;
    b.other = &a;
    os_stream_watch(p.client, OS_READABLE | OS_WRITABLE, on_load, &a);
    os_stream_watch(p.server, OS_READABLE | OS_WRITABLE, on_load, &b);
    test_run(p.os);
    assert_true(a.again > 0 && a.partial > 0); /* the way was full at times */
    close_pair(&p);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *listen, *connect, *peer;
    } rows[] = {
        { "127.0.0.1", "127.0.0.1", "127.0.0.1" },
        { "::1", "::1", "::1" },
        { "::", "127.0.0.1", "127.0.0.1" }, /* takes both, and IPv4 is IPv4 (H75) */
        { "::", "::1", "::1" },
        { "0.0.0.0", "127.0.0.1", "127.0.0.1" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct os *os = os_linux_new(NULL, 0);
        struct os_listener *listener;
        struct os_stream *client;
        struct address bound = listen_on(os, rows[i].listen, &listener);
        struct address to = test_address(rows[i].connect, bound.port), from = test_address(rows[i].peer, 0);
        assert_int_equal(os_connect(os, &to, &from, &client), OS_OK);
        struct os_stream *server = accept_one(os, listener);
        struct address local = os_stream_local(client), peer = os_stream_peer(server), far = os_stream_peer(client);
        assert_row(memcmp(peer.ip, from.ip, 16) == 0 && peer.set, rows[i].connect);
        assert_row(peer.port == local.port && far.port == bound.port, rows[i].connect);
        assert_row(memcmp(&far.ip, to.ip, 16) == 0, rows[i].connect);
        os_stream_close(client);
        os_stream_close(server);
        os_listener_close(listener);
        os_linux_free(os);
    }
}

static void test_socket_options(void **state)
{
    struct pair p;
    (void)state;
    open_pair(&p, "127.0.0.1");
    int fds[] = { p.client->watch.fd, p.server->watch.fd };
    for (size_t i = 0; i < ROWS(fds); i++) {
        int on = 0;
        socklen_t len = sizeof on;
        assert_int_equal(getsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
        assert_int_equal(on, 1);
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
    }
    assert_true(sizeof(struct os_stream) <= 320); /* what an idle connection costs here */
    close_pair(&p);
}

/* ---- ends and errors ---- */

static void test_end_of_stream(void **state)
{
    struct pair p;
    char buf[16];
    size_t got;
    (void)state;
    open_pair(&p, "127.0.0.1");
    assert_int_equal(os_stream_read(p.server, buf, sizeof buf, &got), OS_AGAIN);
    assert_int_equal(write_text(p.client, "bye"), OS_OK);
    os_stream_shutdown(p.client);
    os_stream_watch(p.server, OS_READABLE, test_stop_on_event, p.os);
    test_run(p.os);
    assert_int_equal(os_stream_read(p.server, buf, sizeof buf, &got), OS_OK);
    assert_int_equal(got, 3);
    test_run(p.os); /* the end is readable as well */
    assert_int_equal(os_stream_read(p.server, buf, sizeof buf, &got), OS_END);
    assert_int_equal(write_text(p.server, "still here"), OS_OK); /* the other direction is open */
    os_stream_watch(p.client, OS_READABLE, test_stop_on_event, p.os);
    test_run(p.os);
    assert_int_equal(os_stream_read(p.client, buf, sizeof buf, &got), OS_OK);
    close_pair(&p);
}

static void reset(struct os_stream *stream)
{
    struct linger linger = { 1, 0 };
    setsockopt(stream->watch.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    os_stream_close(stream);
}

/* A reset is told whatever was wanted. */
static void test_reset(void **state)
{
    static const unsigned wanted[] = { OS_READABLE, OS_WRITABLE, OS_READABLE | OS_WRITABLE };
    char buf[16];
    size_t got;
    (void)state;
    for (size_t i = 0; i < ROWS(wanted); i++) {
        struct pair p;
        open_pair(&p, "127.0.0.1");
        reset(p.client);
        p.client = NULL;
        os_stream_watch(p.server, wanted[i], test_stop_on_event, p.os);
        test_run(p.os);
        assert_int_equal(os_stream_read(p.server, buf, sizeof buf, &got), OS_RESET);
        assert_int_equal(write_text(p.server, "x"), OS_RESET);
        close_pair(&p);
    }
}

static void test_refused(void **state)
{
    struct os *os = os_linux_new(NULL, 0);
    struct os_listener *listener;
    struct os_stream *stream;
    char buf[1];
    size_t got;
    (void)state;
    struct address at = listen_on(os, "127.0.0.1", &listener);
    os_listener_close(listener);
    enum os_status status = os_connect(os, &at, NULL, &stream);
    if (status == OS_OK) {
        os_stream_watch(stream, OS_WRITABLE, test_stop_on_event, os);
        test_run(os);
        status = os_stream_read(stream, buf, sizeof buf, &got);
        os_stream_close(stream);
    }
    assert_int_equal(status, OS_REFUSED);
    struct address foreign = test_address("192.0.2.77", 0);
    assert_int_equal(os_connect(os, &at, &foreign, &stream), OS_UNREACHABLE); /* not an address of ours */
    assert_null(stream);
    os_linux_free(os);
}

/* ---- watches ---- */

struct counter {
    struct pair *pair;
    unsigned calls, stop_at, seen;
};

static void on_count(void *ctx, unsigned events)
{
    struct counter *c = ctx;
    c->seen |= events;
    if (++c->calls == c->stop_at)
        os_stop(c->pair->os, 0);
}

static void test_watch_is_level_triggered(void **state)
{
    struct pair p;
    (void)state;
    open_pair(&p, "127.0.0.1");
    struct counter c = { .pair = &p, .stop_at = 10 };
    write_text(p.client, "x");
    os_stream_watch(p.server, OS_READABLE, on_count, &c);
    test_run(p.os);
    assert_int_equal(c.calls, 10); /* it is still there */
    assert_int_equal(c.seen, OS_READABLE);

    os_stream_watch(p.server, 0, NULL, NULL);
    test_run_for(p.os, 20000);
    assert_int_equal(c.calls, 10);
    assert_int_equal(p.server->watch.armed, 0); /* happened unwanted, so nobody looks for it any more */

    c.stop_at = 11;
    os_stream_watch(p.server, OS_READABLE | OS_WRITABLE, on_count, &c);
    test_run(p.os);
    assert_int_equal(c.seen, OS_READABLE | OS_WRITABLE);
    close_pair(&p);
}

/* Not reading for a while, and then again, must not cost a system call. */
static void test_watch_is_lazy(void **state)
{
    struct pair p;
    (void)state;
    open_pair(&p, "127.0.0.1");
    struct counter c = { .pair = &p };
    os_stream_watch(p.server, OS_READABLE, on_count, &c);
    test_run_for(p.os, 5000);
    os_stream_watch(p.server, 0, NULL, NULL);
    test_run_for(p.os, 5000);
    assert_int_equal(p.server->watch.armed, OS_READABLE);
    os_stream_watch(p.server, OS_READABLE, on_count, &c);
    write_text(p.client, "x");
    c.stop_at = 1;
    test_run(p.os);
    close_pair(&p);
}

static void on_close_both(void *ctx, unsigned events)
{
    struct counter *c = ctx;
    (void)events;
    c->calls++;
    os_stream_close(c->pair->server);
    os_stream_close(c->pair->client);
    c->pair->server = c->pair->client = NULL;
    os_stop(c->pair->os, 0);
}

/* Of two streams with an event in one turn the first closes the other: that one's callback does not come. */
static void test_close_from_callback(void **state)
{
    struct pair p;
    (void)state;
    open_pair(&p, "127.0.0.1");
    struct counter c = { .pair = &p };
    write_text(p.client, "x");
    write_text(p.server, "x");
    os_stream_watch(p.client, OS_READABLE, on_close_both, &c);
    os_stream_watch(p.server, OS_READABLE, on_close_both, &c);
    test_run(p.os);
    test_run_for(p.os, 5000);
    assert_int_equal(c.calls, 1);
    close_pair(&p);
}

static void test_what_the_loop_refuses_is_told(void **state)
{
    struct pair p;
    (void)state;
    open_pair(&p, "127.0.0.1");
    FILE *file = tmpfile(); /* nothing that epoll takes */
    struct os_stream *stream = os_linux_stream_new(p.os, dup(fileno(file)), NULL);
    struct counter c = { .pair = &p, .stop_at = 1 };
    os_stream_watch(stream, OS_READABLE, on_count, &c);
    assert_int_equal(c.calls, 0);
    test_run(p.os);
    os_stream_watch(stream, OS_READABLE, on_count, &c);
    os_stream_close(stream); /* before it was told */
    test_run_for(p.os, 5000);
    assert_int_equal(c.calls, 1);
    fclose(file);
    close_pair(&p);
}

/* ---- listeners ---- */

static void test_listeners_beside_each_other(void **state)
{
    struct os *os = os_linux_new(NULL, 0);
    struct os_listener *first, *second, *other;
    struct os_stream *clients[64], *stream;
    unsigned by_first = 0, by_second = 0;
    (void)state;
    struct address at = listen_on(os, "::", &first);
    at = (struct address){ .port = at.port, .set = true };
    assert_int_equal(os_listen(os, &at, true, &other, NULL), OS_IN_USE);
    assert_null(other);
    assert_int_equal(os_listen(os, &at, false, &second, NULL), OS_OK);
    struct address to = test_address("127.0.0.1", at.port);
    for (size_t i = 0; i < ROWS(clients); i++)
        assert_int_equal(os_connect(os, &to, NULL, &clients[i]), OS_OK);
    test_run_for(os, 20000);
    for (; os_accept(first, &stream) == OS_OK; by_first++)
        os_stream_close(stream);
    for (; os_accept(second, &stream) == OS_OK; by_second++)
        os_stream_close(stream);
    assert_int_equal(by_first + by_second, ROWS(clients));
    assert_true(by_first > 0 && by_second > 0);
    for (size_t i = 0; i < ROWS(clients); i++)
        os_stream_close(clients[i]);
    os_listener_close(first);
    os_listener_close(second);
    os_linux_free(os);
}

struct accepter {
    struct os *os;
    struct os_listener *listener;
    unsigned calls, accepted, turned_away;
};

static void on_connection(void *ctx, unsigned events)
{
    struct accepter *a = ctx;
    struct os_stream *stream;
    (void)events;
    a->calls++;
    enum os_status status = os_accept(a->listener, &stream);
    if (status == OS_OK)
        os_stream_close(stream);
    a->accepted += status == OS_OK;
    a->turned_away += status == OS_TOO_MANY;
}

static void limit_fds(bool limited)
{
    struct rlimit limit;
    int lowest_free = dup(0);
    close(lowest_free);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limited ? (rlim_t)lowest_free : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static double cpu_s(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/* The listener's part of H88: a client is told, and the loop does not spin. */
static void test_no_descriptors_left(void **state)
{
    enum { CLIENTS = 5 };
    (void)state;
    for (int with_reserve = 0; with_reserve < 2; with_reserve++) {
        struct os *os = os_linux_new(NULL, 0);
        struct accepter a = { .os = os };
        struct os_stream *clients[CLIENTS];
        char byte;
        size_t got;
        struct address at = listen_on(os, "127.0.0.1", &a.listener);
        os_listener_watch(a.listener, true, on_connection, &a);
        for (int i = 0; i < CLIENTS; i++)
            assert_int_equal(os_connect(os, &at, NULL, &clients[i]), OS_OK);
        if (!with_reserve) {
            close(os->accepting.reserve);
            os->accepting.reserve = -1;
        }
        limit_fds(true);
        double before = cpu_s();
        test_run_for(os, 450000);
        assert_true(cpu_s() - before < 0.05);
        if (with_reserve) { /* each has been let in and shut out again */
            assert_int_equal(a.turned_away, CLIENTS);
            for (int i = 0; i < CLIENTS; i++)
                assert_int_equal(os_stream_read(clients[i], &byte, 1, &got), OS_END);
        } else { /* looked after now and then */
            assert_true(a.calls > 1 && a.calls <= 6);
            assert_int_equal(a.accepted, 0);
        }
        limit_fds(false);
        test_run_for(os, 150000); /* better times */
        assert_int_equal(a.accepted, with_reserve ? 0 : CLIENTS);
        for (int i = 0; i < CLIENTS; i++)
            os_stream_close(clients[i]);
        os_listener_close(a.listener);
        os_linux_free(os);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways_at_once),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_socket_options),
        cmocka_unit_test(test_end_of_stream),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_watch_is_level_triggered),
        cmocka_unit_test(test_watch_is_lazy),
        cmocka_unit_test(test_close_from_callback),
        cmocka_unit_test(test_what_the_loop_refuses_is_told),
        cmocka_unit_test(test_listeners_beside_each_other),
        cmocka_unit_test(test_no_descriptors_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
