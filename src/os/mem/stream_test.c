/* Connections: every segmentation, windows, breaks, and how they come about. */
#include "base/test.h"
#include "os/mem/os_mem.h"

#include <stdio.h>
#include <string.h>

struct fixture {
    struct mem_world *world;
    struct mem_host *host, *far;
    struct os *os, *peer;
};

static struct fixture begin(uint64_t seed)
{
    struct fixture f = { .world = mem_world_new(seed) };
    f.host = mem_host_new(f.world, "near");
    f.far = mem_host_new(f.world, "far");
    mem_host_add_address(f.host, "192.0.2.1");
    mem_host_add_address(f.far, "192.0.2.2");
    mem_host_add_address(f.far, "2001:db8::2");
    f.os = mem_process_new(f.host);
    f.peer = mem_process_new(f.far);
    return f;
}

/* Reads whatever comes, and says in which pieces: "ab|c|." */
struct sink {
    struct os_stream *stream;
    char text[256];
    struct buffer to;
    size_t bytes;
    unsigned calls;
    enum os_status status;
};

static void sink_read(void *ctx, unsigned events)
{
    struct sink *s = ctx;
    char bytes[4096];
    size_t got;
    assert_true(events & OS_READABLE);
    s->calls++;
    s->status = os_stream_read(s->stream, bytes, sizeof(bytes), &got);
    s->bytes += got;
    if (s->status == OS_OK)
        buffer_addf(&s->to, "%.*s|", (int)(got < 64 ? got : 64), bytes);
    if (s->status != OS_OK && s->status != OS_AGAIN)
        os_stream_watch(s->stream, 0, NULL, NULL);
}

static void sink_open(struct sink *s, struct os_stream *stream)
{
    *s = (struct sink){ .stream = stream };
    buffer_init(&s->to, s->text, sizeof(s->text));
    os_stream_watch(stream, OS_READABLE, sink_read, s);
}

static const char *sink_text(struct sink *s)
{
    s->text[s->to.len] = 0;
    return s->text;
}

static enum os_status put(struct os_stream *stream, const char *text, size_t *n)
{
    const struct os_slice slice = { text, strlen(text) };
    return os_stream_write(stream, &slice, 1, n);
}

static struct mem_flow flow_of(enum mem_split split, uint64_t at)
{
    struct mem_flow flow = mem_flow_plain;
    flow.split = split;
    flow.split_at = at;
    return flow;
}

static void run_all(struct fixture *f)
{
    assert_true(mem_world_run(f->world, 1000000));
}

static void test_split(void **state)
{
    (void)state;
    static const struct {
        enum mem_split split;
        uint64_t at;
        const char *pieces;
    } rows[] = {
        { MEM_WHOLE, 0, "hello world|" }, { MEM_BYTES, 0, "h|e|l|l|o| |w|o|r|l|d|" },
        { MEM_AT, 0, "hello world|" },    { MEM_AT, 1, "h|ello world|" },
        { MEM_AT, 10, "hello worl|d|" },  { MEM_AT, 11, "hello world|" },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct fixture f = begin(1);
        struct os_stream *a, *b;
        struct sink sink;
        size_t n;
        struct mem_flow flow = flow_of(rows[i].split, rows[i].at);
        mem_stream_pair(f.os, f.peer, &a, &b);
        mem_stream_set_flow(a, &flow);
        sink_open(&sink, b);
        assert_int_equal(put(a, "hello ", &n), OS_OK);
        assert_int_equal(put(a, "world", &n), OS_OK);
        run_all(&f);
        assert_string_equal(sink_text(&sink), rows[i].pieces);
        os_stream_close(a);
        run_all(&f);
        assert_int_equal(sink.status, OS_END);
        os_stream_close(b);
        assert_int_equal(mem_world_open_handles(f.world), 0);
        mem_world_free(f.world);
    }
}

/* Pieces of any size, the same from the same seed, never a byte lost or moved. */
static void test_random_split(void **state)
{
    (void)state;
    char texts[40][256];
    unsigned different = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct fixture f = begin(seed / 2);
        struct os_stream *a, *b;
        struct sink sink;
        size_t n;
        struct mem_flow flow = flow_of(MEM_RANDOM, 0);
        mem_world_set_flow(f.world, &flow);
        mem_stream_pair(f.os, f.peer, &a, &b);
        sink_open(&sink, b);
        put(a, "The quick brown fox jumps over the lazy dog", &n);
        run_all(&f);
        strcpy(texts[seed], sink_text(&sink));
        if (seed % 2)
            assert_string_equal(texts[seed], texts[seed - 1]);
        else if (seed)
            different += strcmp(texts[seed], texts[seed - 1]) != 0;
        char joined[64];
        size_t len = 0;
        for (const char *c = texts[seed]; *c; c++)
            if (*c != '|')
                joined[len++] = *c;
        joined[len] = 0;
        assert_string_equal(joined, "The quick brown fox jumps over the lazy dog");
        mem_world_free(f.world);
    }
    assert_true(different > 10);
}

struct writer {
    struct os_stream *stream;
    size_t left;
    unsigned again;
};

static void write_on(void *ctx, unsigned events)
{
    struct writer *w = ctx;
    static const char bytes[1000];
    enum os_status status = OS_OK;
    assert_true(events & OS_WRITABLE);
    while (w->left > 0 && status == OS_OK) {
        const struct os_slice slices[] = { { bytes, w->left < 300 ? w->left : 300 }, { bytes, 0 } };
        size_t n;
        status = os_stream_write(w->stream, slices, 2, &n);
        assert_true(n > 0 || status == OS_AGAIN);
        w->left -= n;
        w->again += status == OS_AGAIN;
    }
    if (w->left == 0) {
        os_stream_watch(w->stream, 0, NULL, NULL);
        os_stream_shutdown(w->stream);
    }
}

/* A window of any size lets everything through, in its time. */
static void test_window(void **state)
{
    (void)state;
    static const size_t windows[] = { 1, 2, 7, 299, 300, 4096, 65536 };
    for (size_t i = 0; i < ROWS(windows); i++) {
        struct fixture f = begin(1);
        struct os_stream *a, *b;
        struct sink sink;
        struct mem_flow flow = mem_flow_plain;
        flow.window = windows[i];
        mem_world_set_flow(f.world, &flow);
        mem_stream_pair(f.os, f.peer, &a, &b);
        struct writer w = { a, 5000, 0 };
        sink_open(&sink, b);
        os_stream_watch(a, OS_WRITABLE, write_on, &w);
        run_all(&f);
        assert_int_equal(sink.bytes, 5000);
        assert_int_equal(sink.status, OS_END);
        assert_int_equal(w.again > 0, windows[i] < 5000);
        mem_world_free(f.world);
    }
}

static void test_slow_reader(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    struct os_stream *a, *b;
    size_t n, total = 0;
    char text[100];
    mem_stream_pair(f.os, f.peer, &a, &b);
    while (put(a, "0123456789", &n) == OS_OK)
        total += n;
    assert_int_equal(total, 65536);
    run_all(&f);
    assert_int_equal(put(a, "x", &n), OS_AGAIN);
    assert_int_equal(os_stream_read(b, text, sizeof(text), &n), OS_OK);
    assert_int_equal(n, 100);
    assert_int_equal(put(a, "x", &n), OS_OK);
    mem_world_free(f.world);
}

/* What each side sees when the connection breaks after so many bytes. */
static void test_break(void **state)
{
    (void)state;
    static const struct {
        enum mem_break then;
        uint64_t at;
        const char *pieces;
        enum os_status reader, writer;
    } rows[] = {
        { MEM_FIN, 0, "", OS_END, OS_RESET },        { MEM_FIN, 3, "hel|", OS_END, OS_RESET },
        { MEM_FIN, 5, "hello|", OS_END, OS_RESET },  { MEM_RST, 0, "", OS_RESET, OS_RESET },
        { MEM_RST, 4, "hell|", OS_RESET, OS_RESET }, { MEM_RST, 6, "hello|", OS_AGAIN, OS_OK },
        { MEM_STALL, 2, "he|", OS_AGAIN, OS_OK },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct fixture f = begin(1);
        struct os_stream *a, *b;
        struct sink sink;
        size_t n;
        char byte;
        struct mem_flow flow = mem_flow_plain;
        flow.then = rows[i].then;
        flow.break_at = rows[i].at;
        mem_stream_pair(f.os, f.peer, &a, &b);
        mem_stream_set_flow(a, &flow);
        sink_open(&sink, b);
        put(a, "hello", &n);
        run_all(&f);
        if (strcmp(sink_text(&sink), rows[i].pieces) != 0)
            fail_msg("row %zu: '%s'", i, sink_text(&sink));
        if (rows[i].reader != OS_AGAIN)
            assert_int_equal(sink.status, rows[i].reader); /* it was told */
        assert_int_equal(os_stream_read(b, &byte, 1, &n), rows[i].reader);
        assert_int_equal(put(a, "x", &n), rows[i].writer);
        mem_stream_set_flow(a, &mem_flow_plain);
        run_all(&f);
        if (rows[i].then == MEM_STALL)
            assert_string_equal(sink_text(&sink), "he|llox|"); /* it was only slow */
        mem_world_free(f.world);
    }
}

static void test_close(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    struct os_stream *a, *b;
    char text[8];
    size_t n;
    /* our last bytes and the end arrive; what the other side writes then is answered by a reset */
    mem_stream_pair(f.os, f.peer, &a, &b);
    put(a, "bye", &n);
    os_stream_close(a);
    run_all(&f);
    assert_int_equal(put(b, "and you", &n), OS_OK);
    assert_int_equal(os_stream_read(b, text, sizeof(text), &n), OS_OK);
    assert_int_equal(n, 3);
    assert_int_equal(os_stream_read(b, text, sizeof(text), &n), OS_END);
    run_all(&f);
    assert_int_equal(os_stream_read(b, text, sizeof(text), &n), OS_RESET);
    assert_int_equal(put(b, "hello?", &n), OS_RESET);
    os_stream_close(b);
    /* closing over unread bytes is a reset at once */
    mem_stream_pair(f.os, f.peer, &a, &b);
    put(b, "unread", &n);
    run_all(&f);
    os_stream_close(a);
    run_all(&f);
    assert_int_equal(os_stream_read(b, text, sizeof(text), &n), OS_RESET);
    os_stream_close(b);
    /* shutdown ends one direction only */
    mem_stream_pair(f.os, f.peer, &a, &b);
    os_stream_shutdown(a);
    assert_int_equal(put(a, "x", &n), OS_RESET);
    put(b, "still", &n);
    run_all(&f);
    assert_int_equal(os_stream_read(b, text, sizeof(text), &n), OS_END);
    assert_int_equal(os_stream_read(a, text, sizeof(text), &n), OS_OK);
    os_stream_close(a);
    os_stream_close(b);
    assert_int_equal(mem_world_open_handles(f.world), 0);
    mem_world_free(f.world);
}

static void close_inside(void *ctx, unsigned events)
{
    (void)events;
    os_stream_close(ctx);
}

/* Level-triggered: it comes again while there is something; a callback may close its own stream. */
static void test_watch(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    struct os_stream *a, *b;
    struct sink sink;
    size_t n;
    mem_stream_pair(f.os, f.peer, &a, &b);
    sink_open(&sink, b);
    run_all(&f);
    assert_int_equal(sink.calls, 0);
    put(a, "hello", &n);
    run_all(&f);
    assert_int_equal(sink.calls, 1);
    os_stream_watch(b, OS_READABLE, close_inside, b);
    put(a, "hello", &n);
    run_all(&f);
    os_stream_close(a);
    assert_int_equal(mem_world_open_handles(f.world), 0);
    mem_world_free(f.world);
}

/* ---- connecting ---- */

static struct address address_of(const char *text)
{
    struct address a = { .set = true };
    assert_true(address_parse(view_of(text), &a));
    return a;
}

static void on_writable(void *ctx, unsigned events)
{
    unsigned *seen = ctx;
    *seen |= events;
}

static enum os_status outcome(struct fixture *f, struct os_stream *stream)
{
    unsigned seen = 0;
    char byte;
    size_t n;
    os_stream_watch(stream, OS_READABLE | OS_WRITABLE, on_writable, &seen);
    assert_false(seen); /* never from inside */
    for (unsigned i = 0; i < 1000 && !seen; i++)
        mem_world_step(f->world);
    os_stream_watch(stream, 0, NULL, NULL);
    enum os_status status = os_stream_read(stream, &byte, 1, &n);
    return status == OS_AGAIN && (seen & OS_WRITABLE) ? OS_OK : status;
}

static void test_connect(void **state)
{
    (void)state;
    static const struct {
        const char *listens, *to;
        enum os_status status;
    } rows[] = {
        { "192.0.2.2:25", "192.0.2.2:25", OS_OK },
        { "*:25", "192.0.2.2:25", OS_OK },
        { "*:25", "[2001:db8::2]:25", OS_OK },
        { "0.0.0.0:25", "192.0.2.2:25", OS_OK },
        { "0.0.0.0:25", "[2001:db8::2]:25", OS_REFUSED },
        { "192.0.2.2:25", "192.0.2.2:26", OS_REFUSED },
        { "127.0.0.1:25", "192.0.2.2:25", OS_REFUSED },
        { "*:25", "127.0.0.1:25", OS_REFUSED }, /* loopback is the near host's own */
        { "*:25", "192.0.2.3:25", OS_UNREACHABLE },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct fixture f = begin(1);
        struct address at = address_of(rows[i].listens), to = address_of(rows[i].to), from;
        struct os_listener *listener;
        struct os_stream *client, *server;
        assert_int_equal(os_listen(f.peer, &at, true, &listener, NULL), OS_OK);
        assert_int_equal(os_accept(listener, &server), OS_AGAIN);
        assert_int_equal(os_connect(f.os, &to, NULL, &client), OS_OK);
        enum os_status status = outcome(&f, client);
        if (status != rows[i].status)
            fail_msg("row %zu: %s", i, os_status_text(status));
        assert_int_equal(os_accept(listener, &server), status == OS_OK ? OS_OK : OS_AGAIN);
        if (status == OS_OK) {
            from = os_stream_peer(server);
            assert_memory_equal(from.ip, os_stream_local(client).ip, 16);
            assert_int_equal(from.port, os_stream_local(client).port);
            assert_int_equal(os_stream_local(server).port, 25);
            os_stream_close(server);
        }
        os_stream_close(client);
        os_listener_close(listener);
        assert_int_equal(mem_world_open_handles(f.world), 0);
        mem_world_free(f.world);
    }
}

static void test_listen(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    struct address any = address_of("*:0"), one = address_of("127.0.0.1:25"), bound,
                   elsewhere = address_of("192.0.2.9:25");
    struct os_listener *first, *second, *third;
    assert_int_equal(os_listen(f.os, &any, true, &first, &bound), OS_OK);
    assert_int_not_equal(bound.port, 0);
    assert_int_equal(os_listen(f.os, &bound, true, &second, NULL), OS_IN_USE);
    assert_int_equal(os_listen(f.os, &bound, false, &second, NULL), OS_OK);
    assert_int_equal(os_listen(f.os, &one, true, &third, NULL), OS_OK);
    os_listener_close(third);
    assert_int_equal(os_listen(f.os, &one, true, &third, NULL), OS_OK);
    assert_int_equal(os_listen(f.os, &elsewhere, true, &third, NULL), OS_UNREACHABLE);
    mem_world_free(f.world);
}

/* Several listeners of one address share what comes; with one closed its waiting connections break. */
static void test_shared_listeners(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    struct address at = address_of("192.0.2.2:25");
    struct os_listener *listeners[2];
    struct os_stream *clients[32], *server;
    unsigned counts[2] = { 0, 0 };
    for (size_t i = 0; i < 2; i++)
        os_listen(f.peer, &at, i == 0, &listeners[i], NULL);
    for (size_t i = 0; i < 32; i++)
        os_connect(f.os, &at, NULL, &clients[i]);
    run_all(&f);
    for (unsigned i = 0; i < 2; i++)
        while (counts[i] < 4 && os_accept(listeners[i], &server) == OS_OK)
            counts[i]++;
    assert_int_equal(counts[0] + counts[1], 8);
    os_listener_close(listeners[0]);
    run_all(&f);
    unsigned reset = 0;
    for (size_t i = 0; i < 32; i++)
        reset += outcome(&f, clients[i]) == OS_RESET;
    assert_true(reset > 0 && reset < 28);
    mem_process_set_handles_max(f.peer, mem_process_open_handles(f.peer));
    assert_int_equal(os_accept(listeners[1], &server), OS_TOO_MANY);
    mem_world_free(f.world);
}

static void decide(void *ctx, struct mem_connect *connect)
{
    *connect = *(const struct mem_connect *)ctx;
}

static void test_hook(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    struct address to = address_of("192.0.2.2:25");
    struct mem_connect black_hole = { .fate = OS_TIMED_OUT, .to = to, .delay_us = 127000000 };
    struct os_listener *listener;
    struct os_stream *stream;
    os_listen(f.peer, &to, true, &listener, NULL);
    mem_world_on_connect(f.world, decide, &black_hole);
    uint64_t start = mem_world_now_us(f.world);
    os_connect(f.os, &to, NULL, &stream);
    assert_int_equal(outcome(&f, stream), OS_TIMED_OUT);
    assert_true(mem_world_now_us(f.world) - start >= 127000000);
    struct mem_connect drops = { .to = to, .there = mem_flow_plain, .back = mem_flow_plain };
    drops.back.then = MEM_RST;
    mem_world_on_connect(f.world, decide, &drops);
    os_connect(f.os, &to, NULL, &stream);
    run_all(&f);
    assert_int_equal(outcome(&f, stream), OS_RESET);
    mem_world_free(f.world);
}

/* A host that lost its power says nothing; once it is back it knows nothing of the connection. */
static void test_dead_host(void **state)
{
    (void)state;
    for (unsigned comes_back = 0; comes_back < 2; comes_back++) {
        struct fixture f = begin(1);
        struct address to = address_of("192.0.2.2:25");
        struct os_listener *listener;
        struct os_stream *client, *late, *server;
        size_t n;
        os_listen(f.peer, &to, true, &listener, NULL);
        os_connect(f.os, &to, NULL, &client);
        run_all(&f);
        os_accept(listener, &server);
        mem_host_crash(f.far, (struct mem_choice){ MEM_KEEP_NONE, 0 });
        assert_int_equal(put(client, "hello?", &n), OS_OK);
        mem_world_run(f.world, 60000000);
        assert_int_equal(put(client, "hello?", &n), OS_OK); /* nobody has said anything */
        os_connect(f.os, &to, NULL, &late);
        if (comes_back)
            mem_host_start(f.far);
        assert_true(mem_world_run(f.world, 1000000000));
        assert_int_equal(outcome(&f, client), comes_back ? OS_RESET : OS_TIMED_OUT);
        assert_int_equal(outcome(&f, late), comes_back ? OS_REFUSED : OS_TIMED_OUT);
        mem_world_free(f.world);
    }
}

static void test_flow_trace(void **state)
{
    (void)state;
    uint64_t hashes[3];
    for (uint64_t i = 0; i < 3; i++) {
        struct fixture f = begin(i < 2 ? 5 : 6);
        struct os_stream *a, *b;
        struct mem_flow flow = flow_of(MEM_RANDOM, 0);
        mem_world_set_flow(f.world, &flow);
        mem_stream_pair(f.os, f.peer, &a, &b);
        struct writer w = { a, 20000, 0 };
        struct sink sink;
        sink_open(&sink, b);
        os_stream_watch(a, OS_WRITABLE, write_on, &w);
        run_all(&f);
        hashes[i] = mem_world_trace_hash(f.world);
        mem_world_free(f.world);
    }
    assert_true(hashes[0] == hashes[1] && hashes[0] != hashes[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),      cmocka_unit_test(test_random_split),
        cmocka_unit_test(test_window),     cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_break),      cmocka_unit_test(test_close),
        cmocka_unit_test(test_watch),      cmocka_unit_test(test_connect),
        cmocka_unit_test(test_listen),     cmocka_unit_test(test_shared_listeners),
        cmocka_unit_test(test_hook),       cmocka_unit_test(test_dead_host),
        cmocka_unit_test(test_flow_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
