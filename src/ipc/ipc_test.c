#include "ipc/ipc.h"

#include <string.h>

#include "base/test.h"
#include "os/mem/os_mem.h"

/* Two ends in one process; what one hears is written down, frames separated by blanks. */
struct pair {
    struct mem_world *world;
    struct os *os;
    struct ipc a, b;
    char heard[256];
    size_t heard_len;
    unsigned handles;
    bool gone;
};

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct pair *pair = ctx;
    struct view rest = unpack_bytes(body, body->rest.len);
    assert_true(pair->heard_len + rest.len + 3 < sizeof pair->heard);
    pair->heard[pair->heard_len++] = (char)type;
    if (rest.len)
        memcpy(pair->heard + pair->heard_len, rest.at, rest.len);
    pair->heard_len += rest.len;
    pair->heard[pair->heard_len++] = ' ';
    pair->handles += handle->kind != OS_HANDLE_NONE;
    if (type == 'x')
        ipc_end(&pair->b);
}

static void on_gone(void *ctx)
{
    struct pair *pair = ctx;
    pair->gone = true;
}

static void on_nothing(void *ctx)
{
    (void)ctx;
}

static void open_pair(struct pair *pair)
{
    struct os_link *a, *b;
    *pair = (struct pair){ .world = mem_world_new(1) };
    pair->os = mem_process_new(mem_host_new(pair->world, "h"));
    assert_int_equal(os_link_pair(pair->os, &a, &b), OS_OK);
    ipc_open(&pair->a, pair->os, a, &(struct ipc_owner){ pair, on_frame, NULL, on_nothing });
    ipc_open(&pair->b, pair->os, b, &(struct ipc_owner){ pair, on_frame, NULL, on_gone });
}

static void expect(struct pair *pair, const char *heard)
{
    mem_world_run(pair->world, 1000000);
    pair->heard[pair->heard_len] = 0;
    assert_string_equal(pair->heard, heard);
}

static void close_pair(struct pair *pair)
{
    ipc_close(&pair->a);
    ipc_close(&pair->b);
    mem_world_free(pair->world);
}

static void test_frames_keep_their_order(void **state)
{
    struct pair pair;
    struct os_link *c, *d;
    (void)state;
    open_pair(&pair);
    assert_int_equal(os_link_pair(pair.os, &c, &d), OS_OK);
    const struct os_handle handle = { .kind = OS_HANDLE_LINK, .link = c };
    assert_true(ipc_add(&pair.a, VIEW("one")));
    assert_true(ipc_add(&pair.a, VIEW("2")));
    assert_true(ipc_send(&pair.a, VIEW("three")));
    assert_true(ipc_add(&pair.a, VIEW("four")));
    assert_true(ipc_send_handle(&pair.a, VIEW("five"), &handle));
    assert_true(ipc_add(&pair.a, VIEW("six")));
    assert_true(ipc_add(&pair.a, VIEW("seven")));
    expect(&pair, "one 2 three four five ");
    assert_int_equal(pair.handles, 1);
    ipc_flush(&pair.a);
    ipc_flush(&pair.a);
    expect(&pair, "one 2 three four five six seven ");
    os_link_close(c);
    os_link_close(d);
    close_pair(&pair);
}

/* More than one packet holds, and frames that are too large for any bundle. */
static void test_sizes(void **state)
{
    static char text[40000], got[256];
    struct pair pair;
    (void)state;
    open_pair(&pair);
    memset(text, 'y', sizeof text);
    for (unsigned i = 0; i < 40; i++) {
        char frame[2];
        frame[0] = 'a';
        frame[1] = (char)('0' + i % 10);
        assert_true(ipc_add(&pair.a, (struct view){ frame, 2 }));
        got[i * 3] = 'a', got[i * 3 + 1] = frame[1], got[i * 3 + 2] = ' ';
    }
    ipc_flush(&pair.a);
    expect(&pair, got);
    for (unsigned i = 0; i < 10; i++)
        assert_true(ipc_add(&pair.a, (struct view){ text, i % 2 ? 40000 : 10000 }));
    close_pair(&pair);
    assert_false(ipc_add(&pair.a, VIEW("closed")));
    ipc_flush(&pair.a);
}

/* H161: a bundle that is none ends the link; what stood before the damage was heard. */
static void test_malformed_bundles(void **state)
{
    static const struct {
        struct view packet;
        const char *heard;
    } rows[] = {
        { { "\377\5\0\0\0ab", 7 }, "" },
        { { "\377\1\0\0\0a\2\0\0\0b", 11 }, "a " },
        { { "\377\1\0\0", 4 }, "" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct pair pair;
        open_pair(&pair);
        ipc_send(&pair.a, rows[i].packet);
        expect(&pair, rows[i].heard);
        assert_true(pair.gone);
        close_pair(&pair);
    }
}

/* Once the owner has ended the link it hears nothing more, not even what came in the same packet. */
static void test_end_in_a_bundle(void **state)
{
    struct pair pair;
    (void)state;
    open_pair(&pair);
    ipc_add(&pair.a, VIEW("a"));
    ipc_add(&pair.a, VIEW("x"));
    ipc_add(&pair.a, VIEW("b"));
    ipc_flush(&pair.a);
    expect(&pair, "a x ");
    assert_true(pair.gone);
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_keep_their_order),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_malformed_bundles),
        cmocka_unit_test(test_end_in_a_bundle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
