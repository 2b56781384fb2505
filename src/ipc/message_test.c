#include "ipc/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/test.h"

static char memory[OS_FRAME_MAX];

/* The body of a frame in memory of exactly its size, so that the sanitizer sees a byte too many. */
static struct unpack body_of(const struct buffer *frame, size_t len, char **exact)
{
    *exact = malloc(len + !len);
    memcpy(*exact, frame->at, len);
    struct unpack body = unpack_of((struct view){ *exact, len });
    unpack_u8(&body);
    return body;
}

static struct ipc_relay_job a_job(struct buffer *recipients)
{
    ipc_recipient_add(recipients, 7, VIEW("joe@example.org"));
    ipc_recipient_add(recipients, 70000, VIEW("\"a b\"@example.org"));
    return (struct ipc_relay_job){ { "123456789012345" },  1, 2, 3, 4, VIEW("out"), VIEW("example.org"),
                                   buffer_view(recipients) };
}

static void test_relay_job(void **state)
{
    char list[128], *exact;
    struct buffer recipients = BUFFER_OF(list), frame = BUFFER_OF(memory);
    struct ipc_relay_job m = a_job(&recipients), got;
    uint32_t number;
    struct view path;
    (void)state;
    ipc_relay_job_pack(&frame, &m);
    struct unpack body = body_of(&frame, frame.len, &exact);
    assert_true(ipc_relay_job_unpack(&body, &got));
    assert_memory_equal(&got.id, &m.id, MAIL_ID_SIZE);
    assert_true(got.segment == 1 && got.offset == 2 && got.content_size == 3 && got.head_size == 4);
    assert_true(view_equal(got.action, m.action) && view_equal(got.domain, m.domain));
    assert_true(ipc_recipient_next(&got.recipients, &number, &path) && number == 7);
    assert_true(view_equal(path, VIEW("joe@example.org")));
    assert_true(ipc_recipient_next(&got.recipients, &number, &path) && number == 70000);
    assert_true(view_equal(path, VIEW("\"a b\"@example.org")));
    assert_false(ipc_recipient_next(&got.recipients, &number, &path));
    free(exact);
}

/* H33, H161: what a broken neighbour says is refused, not believed. */
static void test_every_truncation(void **state)
{
    char list[128], *exact;
    struct buffer recipients = BUFFER_OF(list), frame = BUFFER_OF(memory);
    struct ipc_relay_job m = a_job(&recipients);
    (void)state;
    ipc_relay_job_pack(&frame, &m);
    for (size_t len = 1; len < frame.len; len++) {
        struct unpack body = body_of(&frame, len, &exact);
        assert_false(ipc_relay_job_unpack(&body, &m));
        free(exact);
    }
    buffer_clear(&frame);
    const struct ipc_result result = { .outcome = IPC_FAILED, .text = VIEW("no"), .remote = VIEW("mx") };
    ipc_result_pack(&frame, &result);
    for (size_t len = 1; len <= frame.len; len++) {
        struct ipc_result got;
        struct unpack body = body_of(&frame, len, &exact);
        assert_int_equal(ipc_result_unpack(&body, &got), len == frame.len);
        free(exact);
    }
}

static void test_recipients_that_are_none(void **state)
{
    static const struct {
        const char *name;
        struct view list;
    } rows[] = {
        { "no recipient", { "", 0 } },
        { "empty path", { "\1\0\0\0\0\0", 6 } },
        { "longer than it is", { "\1\0\0\0\5\0a@b", 9 } },
        { "something behind", { "\1\0\0\0\3\0a@b\1", 10 } },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct buffer frame = BUFFER_OF(memory);
        struct ipc_relay_job m = { .recipients = rows[i].list };
        ipc_relay_job_pack(&frame, &m);
        struct unpack body = unpack_of(buffer_view(&frame));
        unpack_u8(&body);
        assert_row(!ipc_relay_job_unpack(&body, &m), rows[i].name);
    }
}

static void test_too_many_recipients(void **state)
{
    static char list[IPC_RELAY_MAX * 16 + 16];
    (void)state;
    for (unsigned count = IPC_RELAY_MAX; count <= IPC_RELAY_MAX + 1; count++) {
        struct buffer recipients = BUFFER_OF(list), frame = BUFFER_OF(memory);
        for (unsigned i = 0; i < count; i++)
            ipc_recipient_add(&recipients, i, VIEW("a@b"));
        struct ipc_relay_job m = { .recipients = buffer_view(&recipients) };
        ipc_relay_job_pack(&frame, &m);
        struct unpack body = unpack_of(buffer_view(&frame));
        unpack_u8(&body);
        assert_int_equal(ipc_relay_job_unpack(&body, &m), count == IPC_RELAY_MAX);
    }
}

static void test_result(void **state)
{
    static char text[IPC_TEXT_MAX + 100];
    struct buffer frame = BUFFER_OF(memory);
    struct ipc_result got;
    (void)state;
    memset(text, 'x', sizeof text);
    ipc_result_pack(&frame, &(struct ipc_result){ { "123456789012345" },
                                                  9,
                                                  IPC_DEFERRED,
                                                  451,
                                                  { 4, 4, 2 },
                                                  { text, sizeof text },
                                                  VIEW("mx.example.org [192.0.2.1]:25"),
                                                  7,
                                                  IPC_UNREACHED,
                                                  true });
    assert_true(frame.len <= IPC_RESULT_MAX);
    struct unpack body = unpack_of(buffer_view(&frame));
    assert_int_equal(unpack_u8(&body), IPC_RESULT);
    assert_true(ipc_result_unpack(&body, &got));
    assert_true(got.recipient == 9 && got.outcome == IPC_DEFERRED && got.code == 451 && got.status[2] == 2);
    assert_int_equal(got.text.len, IPC_TEXT_MAX);
    assert_true(view_equal(got.remote, VIEW("mx.example.org [192.0.2.1]:25")));
    assert_true(got.phase == 7 && got.reach == IPC_UNREACHED && got.uncertain);
    memory[frame.len - 2] = IPC_UNREACHED + 1;
    body = unpack_of(buffer_view(&frame));
    unpack_u8(&body);
    assert_false(ipc_result_unpack(&body, &got));
}

static void test_resolving(void **state)
{
    char list[64];
    struct buffer frame = BUFFER_OF(memory), records = BUFFER_OF(list);
    struct ipc_resolve ask;
    struct ipc_resolved got;
    struct view rdata;
    (void)state;
    ipc_resolve_pack(&frame, &(struct ipc_resolve){ 5, OS_DNS_MX, VIEW("example.org") });
    struct unpack body = unpack_of(buffer_view(&frame));
    assert_int_equal(unpack_u8(&body), IPC_RESOLVE);
    assert_true(ipc_resolve_unpack(&body, &ask));
    assert_true(ask.ticket == 5 && ask.type == OS_DNS_MX && view_equal(ask.name, VIEW("example.org")));
    ipc_record_add(&records, VIEW("\0\12\2mx\0"));
    ipc_record_add(&records, VIEW(""));
    buffer_clear(&frame);
    ipc_resolved_pack(&frame, &(struct ipc_resolved){ 5, OS_DNS_FOUND, true, 300, buffer_view(&records) });
    for (size_t len = 1; len <= frame.len; len++) {
        char *exact;
        body = body_of(&frame, len, &exact);
        assert_int_equal(ipc_resolved_unpack(&body, &got), len == frame.len);
        if (len == frame.len) {
            assert_true(got.ticket == 5 && got.result == OS_DNS_FOUND && got.secure && got.ttl_s == 300);
            assert_true(ipc_record_next(&got.records, &rdata) && view_equal(rdata, VIEW("\0\12\2mx\0")));
            assert_true(ipc_record_next(&got.records, &rdata) && rdata.len == 0);
            assert_false(ipc_record_next(&got.records, &rdata));
        }
        free(exact);
    }
}

/* A list of records that stops in the middle of one is malformed, not short. */
static void test_records_cut(void **state)
{
    struct buffer frame = BUFFER_OF(memory);
    struct ipc_resolved got;
    (void)state;
    ipc_resolved_pack(&frame, &(struct ipc_resolved){ .records = VIEW("\3\0ab") });
    struct unpack body = unpack_of(buffer_view(&frame));
    unpack_u8(&body);
    assert_false(ipc_resolved_unpack(&body, &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relay_job),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_recipients_that_are_none),
        cmocka_unit_test(test_too_many_recipients),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_resolving),
        cmocka_unit_test(test_records_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
