#define _GNU_SOURCE /* pipe2, O_PATH */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "os/linux/test_loop.h"

struct ends {
    struct os *os;
    struct os_link *a, *b;
    char memory[OS_FRAME_MAX];
    struct buffer frame;
    struct os_handle handle;
};

static void open_ends(struct ends *e)
{
    e->os = os_linux_new(NULL, 0);
    assert_non_null(e->os);
    assert_int_equal(os_link_pair(e->os, &e->a, &e->b), OS_OK);
    buffer_init(&e->frame, e->memory, sizeof e->memory);
    e->handle.kind = OS_HANDLE_NONE;
}

static void close_ends(struct ends *e)
{
    if (e->a)
        os_link_close(e->a);
    if (e->b)
        os_link_close(e->b);
    os_linux_free(e->os);
}

static enum os_status receive(struct ends *e)
{
    return os_link_receive(e->b, &e->frame, &e->handle);
}

/* ---- frames ---- */

static void test_frames_arrive_whole(void **state)
{
    static const size_t sizes[] = { 0, 1, 2, 4095, 4096, 4097, 65535, OS_FRAME_MAX };
    static char text[OS_FRAME_MAX + 1];
    struct ends e;
    (void)state;
    memset(text, 'x', sizeof text);
    open_ends(&e);
    assert_int_equal(receive(&e), OS_AGAIN);
    for (size_t i = 0; i < ROWS(sizes); i++) {
        struct view frame = { text, sizes[i] };
        assert_int_equal(os_link_send(e.a, frame, NULL), OS_OK);
        assert_int_equal(receive(&e), OS_OK);
        assert_true(view_equal(buffer_view(&e.frame), frame));
        assert_int_equal(e.handle.kind, OS_HANDLE_NONE);
    }
    assert_int_equal(os_link_send(e.a, VIEW_NONE, NULL), OS_OK);
    assert_int_equal(receive(&e), OS_OK);
    assert_int_equal(e.frame.len, 0);
    assert_int_equal(os_link_send(e.a, (struct view){ text, sizeof text }, NULL), OS_TOO_LARGE);
    assert_int_equal(receive(&e), OS_AGAIN);
    close_ends(&e);
}

struct traffic {
    struct ends *ends;
    uint32_t sent, received;
    unsigned again;
};

enum { FRAMES = 2000 };

static void on_room(void *ctx, unsigned events)
{
    static char text[OS_FRAME_MAX];
    struct traffic *t = ctx;
    (void)events;
    for (; t->sent < FRAMES; t->sent++) {
        memcpy(text, &t->sent, sizeof t->sent);
        size_t len = t->sent % 3 ? sizeof text : sizeof t->sent;
        if (os_link_send(t->ends->a, (struct view){ text, len }, NULL) == OS_OK)
            continue;
        t->again++;
        return;
    }
    os_link_watch(t->ends->a, 0, NULL, NULL);
}

static void on_frame(void *ctx, unsigned events)
{
    struct traffic *t = ctx;
    uint32_t number;
    (void)events;
    assert_int_equal(receive(t->ends), OS_OK);
    memcpy(&number, t->ends->memory, sizeof number);
    assert_int_equal(number, t->received);
    if (++t->received == FRAMES)
        os_stop(t->ends->os, 0);
}

static void test_slow_receiver(void **state)
{
    struct ends e;
    struct traffic t = { .ends = &e };
    (void)state;
    open_ends(&e);
    os_link_watch(e.a, OS_WRITABLE, on_room, &t);
    os_link_watch(e.b, OS_READABLE, on_frame, &t);
    test_run(e.os);
    assert_true(t.again > 0);
    close_ends(&e);
}

/* What was said before the end is heard, also when the one who said it had not heard everything. */
static void test_end_comes_after_the_frames(void **state)
{
    struct ends e;
    (void)state;
    open_ends(&e);
    assert_int_equal(os_link_send(e.b, VIEW("unread"), NULL), OS_OK);
    assert_int_equal(os_link_send(e.a, VIEW("one"), NULL), OS_OK);
    assert_int_equal(os_link_send(e.a, VIEW("two"), NULL), OS_OK);
    os_link_close(e.a);
    e.a = NULL;
    os_link_watch(e.b, OS_READABLE, test_stop_on_event, e.os);
    test_run(e.os);
    assert_int_equal(receive(&e), OS_OK);
    assert_true(view_equal(buffer_view(&e.frame), VIEW("one")));
    assert_int_equal(receive(&e), OS_OK);
    assert_true(view_equal(buffer_view(&e.frame), VIEW("two")));
    test_run(e.os);
    assert_int_equal(receive(&e), OS_END);
    assert_int_equal(os_link_send(e.b, VIEW("more"), NULL), OS_END);
    close_ends(&e);
}

/* ---- handles ---- */

static struct os_handle pass_on(struct ends *e, struct os_handle handle)
{
    assert_int_equal(os_link_send(e->a, VIEW("take this"), &handle), OS_OK);
    enum os_handle_kind kind = handle.kind;
    os_handle_close(&handle); /* the copy is on its way and does not care */
    assert_int_equal(handle.kind, OS_HANDLE_NONE);
    assert_int_equal(receive(e), OS_OK);
    assert_int_equal(e->handle.kind, kind);
    assert_true(view_equal(buffer_view(&e->frame), VIEW("take this")));
    return e->handle;
}

static void check_connection(struct os *os, struct os_stream *client, struct os_stream *server)
{
    char buf[8];
    size_t put, got;
    const struct os_slice slice = { "hi", 2 };
    assert_int_equal(os_stream_write(client, &slice, 1, &put), OS_OK);
    os_stream_watch(server, OS_READABLE, test_stop_on_event, os);
    test_run(os);
    assert_int_equal(os_stream_read(server, buf, sizeof buf, &got), OS_OK);
    assert_int_equal(got, 2);
}

static void test_listener_and_stream(void **state)
{
    struct ends e;
    struct os_listener *listener;
    struct os_stream *client, *server;
    struct address any = test_address("127.0.0.1", 0), at;
    (void)state;
    open_ends(&e);
    assert_int_equal(os_listen(e.os, &any, true, &listener, &at), OS_OK);
    struct os_handle h = pass_on(&e, (struct os_handle){ .kind = OS_HANDLE_LISTENER, .listener = listener });
    assert_int_equal(os_connect(e.os, &at, NULL, &client), OS_OK);
    os_listener_watch(h.listener, true, test_stop_on_event, e.os);
    test_run(e.os);
    assert_int_equal(os_accept(h.listener, &server), OS_OK);
    os_handle_close(&h);
    h = pass_on(&e, (struct os_handle){ .kind = OS_HANDLE_STREAM, .stream = server });
    check_connection(e.os, client, h.stream);
    struct address local = os_stream_local(client), peer = os_stream_peer(h.stream);
    assert_true(peer.set && peer.port == local.port);
    os_handle_close(&h);
    os_stream_close(client);
    close_ends(&e);
}

static void test_link_in_a_link(void **state)
{
    struct ends e;
    struct os_link *near, *far;
    (void)state;
    open_ends(&e);
    assert_int_equal(os_link_pair(e.os, &near, &far), OS_OK);
    struct os_handle h = pass_on(&e, (struct os_handle){ .kind = OS_HANDLE_LINK, .link = far });
    assert_int_equal(os_link_send(h.link, VIEW("from afar"), NULL), OS_OK);
    assert_int_equal(os_link_receive(near, &e.frame, &e.handle), OS_OK);
    assert_true(view_equal(buffer_view(&e.frame), VIEW("from afar")));
    os_handle_close(&h);
    assert_int_equal(os_link_receive(near, &e.frame, &e.handle), OS_END);
    os_link_close(near);
    close_ends(&e);
}

static void test_file_and_dir(void **state)
{
    struct ends e;
    struct os_file *file = NULL;
    enum os_status status;
    char byte;
    (void)state;
    open_ends(&e);
    struct os_dir *dir = os_dir_path(e.os, "/proc/self", &status);
    assert_int_equal(status, OS_OK);
    struct os_handle d = pass_on(&e, (struct os_handle){ .kind = OS_HANDLE_DIR, .dir = dir });
    struct os_op open = { .kind = OS_OPEN, .dir = d.dir, .name = "status", .flags = OS_FOR_READ, .file = &file };
    os_run_ops(e.os, &open, 1);
    assert_int_equal(open.status, OS_OK);
    struct os_handle f = pass_on(&e, (struct os_handle){ .kind = OS_HANDLE_FILE, .file = file });
    struct os_op read = { .kind = OS_READ, .file = &f.file, .buf = &byte, .len = 1 };
    os_run_ops(e.os, &read, 1);
    assert_int_equal(read.status, OS_OK);
    assert_int_equal(byte, 'N'); /* of "Name:" */
    os_handle_close(&f);
    os_handle_close(&d);
    close_ends(&e);
}

/* ---- whoever is at the other end ---- */

enum { FD_NONE, FD_PIPE, FD_SOCKET, FD_LISTENER, FD_LINK, FD_REGULAR, FD_DIRECTORY, FD_DEVICE, FD_PATH, FD_KINDS };

static int make_fd(int kind)
{
    int ends[2];
    switch (kind) {
    case FD_PIPE:
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        close(ends[1]);
        return ends[0];
    case FD_SOCKET:
        return socket(AF_INET, SOCK_STREAM, 0);
    case FD_LISTENER:
        ends[0] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(listen(ends[0], 1), 0);
        return ends[0];
    case FD_LINK:
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
        close(ends[1]);
        return ends[0];
    case FD_REGULAR:
        return open("/proc/self/exe", O_RDONLY);
    case FD_DIRECTORY:
        return open("/", O_RDONLY);
    case FD_DEVICE:
        return open("/dev/zero", O_RDONLY);
    case FD_PATH:
        return open("/", O_PATH);
    }
    return -1;
}

/* A packet with any bytes and any descriptors. */
static void send_raw(int to, const void *bytes, size_t len, const int *fd_kinds, size_t fd_count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(253 * sizeof(int))];
    } control;
    int fds[253];
    struct iovec iov = { os_linux_unconst(bytes), len };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
    for (size_t i = 0; i < fd_count; i++)
        fds[i] = make_fd(fd_kinds[i]);
    if (fd_count) {
        memset(&control, 0, sizeof control);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    }
    assert_int_equal(sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT), len);
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
}

static void test_hostile_packets(void **state)
{
    static const struct {
        const char *name;
        const char *bytes;
        size_t len;
        int fds[3];
        enum os_status status;
    } rows[] = {
        { "empty", "", 0, { 0 }, OS_END },
        { "empty with descriptor", "", 0, { FD_PIPE }, OS_END },
        { "unknown kind", "\6x", 2, { 0 }, OS_INVALID },
        { "unknown kind with descriptor", "\6x", 2, { FD_LINK }, OS_INVALID },
        { "unknown kind 255", "\377x", 2, { FD_SOCKET }, OS_INVALID },
        { "extra descriptor", "\0x", 2, { FD_PIPE }, OS_INVALID },
        { "extra descriptors", "\0x", 2, { FD_PIPE, FD_SOCKET }, OS_INVALID },
        { "stream without", "\1x", 2, { 0 }, OS_INVALID },
        { "file without", "\4", 1, { 0 }, OS_INVALID },
        { "stream twice", "\1x", 2, { FD_SOCKET, FD_SOCKET }, OS_INVALID },
        { "file thrice", "\4x", 2, { FD_REGULAR, FD_REGULAR, FD_REGULAR }, OS_INVALID },
        { "stream", "\1x", 2, { FD_SOCKET }, OS_OK },
        { "stream: listener", "\1x", 2, { FD_LISTENER }, OS_INVALID },
        { "stream: link", "\1x", 2, { FD_LINK }, OS_INVALID },
        { "stream: pipe", "\1x", 2, { FD_PIPE }, OS_INVALID },
        { "listener", "\2x", 2, { FD_LISTENER }, OS_OK },
        { "listener: stream", "\2x", 2, { FD_SOCKET }, OS_INVALID },
        { "listener: file", "\2x", 2, { FD_REGULAR }, OS_INVALID },
        { "link", "\3x", 2, { FD_LINK }, OS_OK },
        { "link: stream", "\3x", 2, { FD_SOCKET }, OS_INVALID },
        { "file", "\4x", 2, { FD_REGULAR }, OS_OK },
        { "file: pipe", "\4x", 2, { FD_PIPE }, OS_INVALID },
        { "file: directory", "\4x", 2, { FD_DIRECTORY }, OS_INVALID },
        { "file: device", "\4x", 2, { FD_DEVICE }, OS_INVALID },
        { "file: link", "\4x", 2, { FD_LINK }, OS_INVALID },
        { "dir", "\5x", 2, { FD_DIRECTORY }, OS_OK },
        { "dir: path only", "\5x", 2, { FD_PATH }, OS_OK }, /* harmless: nothing can be done with it */
        { "dir: file", "\5x", 2, { FD_REGULAR }, OS_INVALID },
    };
    struct ends e;
    (void)state;
    open_ends(&e);
    unsigned before = test_count_fds();
    for (size_t i = 0; i < ROWS(rows); i++) {
        size_t fds = 0;
        while (fds < 3 && rows[i].fds[fds])
            fds++;
        send_raw(e.a->watch.fd, rows[i].bytes, rows[i].len, rows[i].fds, fds);
        assert_row(receive(&e) == rows[i].status, rows[i].name);
        assert_row((e.handle.kind != OS_HANDLE_NONE) == (rows[i].status == OS_OK), rows[i].name);
        os_handle_close(&e.handle);
        assert_row(test_count_fds() == before, rows[i].name);
    }
    assert_int_equal(os_link_send(e.a, VIEW("still good"), NULL), OS_OK);
    assert_int_equal(receive(&e), OS_OK);
    close_ends(&e);
}

static void test_too_long_or_too_many(void **state)
{
    static char bytes[OS_FRAME_MAX + 2];
    static int fds[253];
    struct ends e;
    (void)state;
    open_ends(&e);
    unsigned before = test_count_fds();
    for (size_t i = 0; i < 253; i++)
        fds[i] = FD_REGULAR;
    send_raw(e.a->watch.fd, bytes, OS_FRAME_MAX + 2, NULL, 0);
    assert_int_equal(receive(&e), OS_INVALID);
    bytes[0] = OS_HANDLE_FILE;
    send_raw(e.a->watch.fd, bytes, OS_FRAME_MAX + 2, fds, 1);
    assert_int_equal(receive(&e), OS_INVALID);
    send_raw(e.a->watch.fd, bytes, 2, fds, 253);
    assert_int_equal(receive(&e), OS_INVALID);
    assert_int_equal(test_count_fds(), before);
    close_ends(&e);
}

/* H161 */
static void test_any_bytes(void **state)
{
    static char bytes[4096];
    struct ends e;
    uint64_t seed = 161;
    (void)state;
    open_ends(&e);
    unsigned before = test_count_fds();
    for (int round = 0; round < 20000; round++) {
        int fds[4];
        size_t count = test_random(&seed) % 5,
               len = 1 + test_random(&seed) % (test_random(&seed) % 8 ? 16 : sizeof bytes);
        for (size_t i = 0; i < count; i++)
            fds[i] = 1 + (int)(test_random(&seed) % (FD_KINDS - 1));
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)test_random(&seed);
        bytes[0] = (char)(test_random(&seed) % 8);
        send_raw(e.a->watch.fd, bytes, len, fds, count);
        enum os_status status = receive(&e);
        assert_true(status == OS_OK || status == OS_INVALID);
        assert_true(status == OS_OK || e.handle.kind == OS_HANDLE_NONE);
        os_handle_close(&e.handle);
    }
    assert_int_equal(test_count_fds(), before);
    close_ends(&e);
}

static void limit_fds(rlim_t n)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = n ? n : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Without a free descriptor the frame with the handle is lost, but the link goes on. */
static void test_no_room_for_a_handle(void **state)
{
    struct ends e;
    enum os_status status;
    (void)state;
    open_ends(&e);
    struct os_handle h = { .kind = OS_HANDLE_DIR, .dir = os_dir_path(e.os, "/", &status) };
    assert_int_equal(os_link_send(e.a, VIEW("lost"), &h), OS_OK);
    assert_int_equal(os_link_send(e.a, VIEW("next"), NULL), OS_OK);
    limit_fds(3);
    assert_int_equal(receive(&e), OS_TOO_MANY);
    assert_int_equal(e.handle.kind, OS_HANDLE_NONE);
    assert_int_equal(receive(&e), OS_OK);
    assert_true(view_equal(buffer_view(&e.frame), VIEW("next")));
    limit_fds(0);
    os_handle_close(&h);
    close_ends(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_arrive_whole),
        cmocka_unit_test(test_slow_receiver),
        cmocka_unit_test(test_end_comes_after_the_frames),
        cmocka_unit_test(test_listener_and_stream),
        cmocka_unit_test(test_link_in_a_link),
        cmocka_unit_test(test_file_and_dir),
        cmocka_unit_test(test_hostile_packets),
        cmocka_unit_test(test_too_long_or_too_many),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_no_room_for_a_handle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
