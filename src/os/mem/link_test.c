/* Frames between processes, with handles. */
#include "base/test.h"
#include "os/mem/os_mem.h"

#include <string.h>

struct fixture {
    struct mem_world *world;
    struct mem_host *host;
    struct os *os;
    struct os_link *a, *b;
};

static char memory[OS_FRAME_MAX], big[OS_FRAME_MAX + 1];

static struct fixture begin(void)
{
    struct fixture f = { .world = mem_world_new(1) };
    f.host = mem_host_new(f.world, "a");
    f.os = mem_process_new(f.host);
    assert_int_equal(os_link_pair(f.os, &f.a, &f.b), OS_OK);
    return f;
}

static void end(struct fixture *f)
{
    assert_int_equal(mem_world_open_handles(f->world), 0);
    mem_world_free(f->world);
}

static void run_all(struct fixture *f)
{
    assert_true(mem_world_run(f->world, 1000000));
}

static enum os_status receive(struct os_link *link, struct view *frame, struct os_handle *handle)
{
    static struct os_handle none;
    struct buffer to = BUFFER_OF(memory);
    enum os_status status = os_link_receive(link, &to, handle ? handle : &none);
    *frame = buffer_view(&to);
    return status;
}

static void test_frames(void **state)
{
    (void)state;
    struct fixture f = begin();
    struct view frame;
    assert_int_equal(os_link_send(f.a, (struct view){ big, OS_FRAME_MAX + 1 }, NULL), OS_TOO_LARGE);
    assert_int_equal(os_link_send(f.a, (struct view){ big, OS_FRAME_MAX }, NULL), OS_OK);
    assert_int_equal(os_link_send(f.a, VIEW_NONE, NULL), OS_OK);
    assert_int_equal(os_link_send(f.a, VIEW("last"), NULL), OS_OK);
    assert_int_equal(receive(f.b, &frame, NULL), OS_AGAIN); /* on its way */
    run_all(&f);
    assert_int_equal(receive(f.b, &frame, NULL), OS_OK);
    assert_int_equal(frame.len, OS_FRAME_MAX);
    assert_int_equal(receive(f.b, &frame, NULL), OS_OK);
    assert_int_equal(frame.len, 0);
    os_link_close(f.a); /* what was sent before still comes, then the end */
    run_all(&f);
    assert_int_equal(receive(f.b, &frame, NULL), OS_OK);
    assert_true(view_equal(frame, VIEW("last")));
    assert_int_equal(receive(f.b, &frame, NULL), OS_END);
    assert_int_equal(os_link_send(f.b, VIEW("x"), NULL), OS_END);
    os_link_close(f.b);
    end(&f);
}

struct pump {
    struct os_link *link;
    uint32_t next, count;
    unsigned again;
};

static void send_all(void *ctx, unsigned events)
{
    struct pump *p = ctx;
    (void)events;
    while (p->next < p->count) {
        char bytes[1000];
        memset(bytes, 0, sizeof(bytes));
        memcpy(bytes, &p->next, sizeof(p->next));
        enum os_status status = os_link_send(p->link, (struct view){ bytes, sizeof(bytes) }, NULL);
        if (status == OS_AGAIN) {
            p->again++;
            return;
        }
        assert_int_equal(status, OS_OK);
        p->next++;
    }
    os_link_watch(p->link, 0, NULL, NULL);
}

static void receive_one(void *ctx, unsigned events)
{
    struct pump *p = ctx;
    struct view frame;
    uint32_t number;
    assert_int_equal(events, OS_READABLE);
    assert_int_equal(receive(p->link, &frame, NULL), OS_OK);
    memcpy(&number, frame.at, sizeof(number));
    assert_int_equal(number, p->next++);
}

/* The other side is slow: frames wait with the sender, none is lost, the order stays. */
static void test_window(void **state)
{
    (void)state;
    struct fixture f = begin();
    struct pump out = { f.a, 0, 2000, 0 }, in = { f.b, 0, 2000, 0 };
    os_link_watch(f.a, OS_WRITABLE, send_all, &out);
    run_all(&f);
    assert_true(out.again > 0 && out.next < 2000);
    os_link_watch(f.b, OS_READABLE, receive_one, &in);
    run_all(&f);
    assert_int_equal(in.next, 2000);
    os_link_close(f.a);
    os_link_close(f.b);
    end(&f);
}

/* A handle that goes with a frame is a copy; what is on its way when the link ends is closed. */
static void test_handles(void **state)
{
    (void)state;
    struct fixture f = begin();
    struct os *other = mem_process_new(f.host);
    struct os_stream *here, *there;
    struct os_link *c, *d;
    struct os_handle got;
    struct view frame;
    size_t n;
    char text[8];
    mem_stream_pair(f.os, other, &here, &there);
    const struct os_handle stream = { .kind = OS_HANDLE_STREAM, .stream = here };
    os_link_send(f.a, VIEW("take"), &stream);
    os_stream_close(here); /* the copy keeps it open */
    run_all(&f);
    assert_int_equal(receive(f.b, &frame, &got), OS_OK);
    assert_int_equal(got.kind, OS_HANDLE_STREAM);
    const struct os_slice hello = { "hello", 5 };
    os_stream_write(got.stream, &hello, 1, &n);
    run_all(&f);
    assert_int_equal(os_stream_read(there, text, sizeof(text), &n), OS_OK);
    os_link_send(f.a, VIEW("drop"), &got);
    os_handle_close(&got);
    assert_int_equal(got.kind, OS_HANDLE_NONE);
    run_all(&f);
    assert_int_equal(os_stream_read(there, text, sizeof(text), &n), OS_AGAIN); /* the frame has it */
    os_link_close(f.b);
    run_all(&f);
    assert_int_equal(os_stream_read(there, text, sizeof(text), &n), OS_END);
    os_link_close(f.a);
    os_stream_close(there);
    /* a link over a link */
    os_link_pair(f.os, &f.a, &f.b);
    os_link_pair(f.os, &c, &d);
    const struct os_handle link = { .kind = OS_HANDLE_LINK, .link = d };
    os_link_send(f.a, VIEW("link"), &link);
    os_link_close(d);
    os_link_send(c, VIEW("early"), NULL); /* to an end that is on its way itself */
    run_all(&f);
    mem_process_set_handles_max(f.os, mem_process_open_handles(f.os) + 1);
    assert_int_equal(receive(f.b, &frame, &got), OS_OK);
    assert_int_equal(receive(got.link, &frame, NULL), OS_OK);
    assert_true(view_equal(frame, VIEW("early")));
    os_link_send(f.a, VIEW("more"), &got);
    run_all(&f);
    assert_int_equal(receive(f.b, &frame, &got), OS_TOO_MANY);
    struct os_handle all[] = { { .kind = OS_HANDLE_LINK, .link = f.a },
                               { .kind = OS_HANDLE_LINK, .link = f.b },
                               { .kind = OS_HANDLE_LINK, .link = c } };
    for (size_t i = 0; i < 3; i++)
        os_handle_close(&all[i]);
    mem_process_kill(f.os);
    end(&f);
}

/* A copy of the lock's file, held by another process, keeps the lock. */
static void test_lock_copy(void **state)
{
    (void)state;
    struct fixture f = begin();
    enum os_status status;
    struct os *other = mem_process_new(f.host);
    struct os_dir *root = os_dir_path(f.os, "/", &status);
    struct os_file *file = NULL, *second = NULL;
    struct os_handle got;
    struct view frame;
    struct os_op ops[] = {
        { .kind = OS_OPEN, .flags = OS_FOR_WRITE | OS_CREATE, .dir = root, .name = "lock", .file = &file },
        { .kind = OS_LOCK, .file = &file },
        { .kind = OS_OPEN, .flags = OS_FOR_WRITE, .dir = root, .name = "lock", .file = &second },
    };
    struct os_op lock = { .kind = OS_LOCK, .file = &second };
    os_run_ops(other, ops, 3);
    const struct os_handle copy = { .kind = OS_HANDLE_FILE, .file = file };
    os_link_send(f.a, VIEW("lock"), &copy);
    run_all(&f);
    assert_int_equal(receive(f.b, &frame, &got), OS_OK);
    os_file_close(file);
    os_run_ops(other, &lock, 1);
    assert_int_equal(lock.status, OS_LOCKED);
    os_handle_close(&got);
    os_run_ops(other, &lock, 1);
    assert_int_equal(lock.status, OS_OK);
    mem_process_kill(other);
    mem_process_kill(f.os);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_handles),
        cmocka_unit_test(test_lock_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
