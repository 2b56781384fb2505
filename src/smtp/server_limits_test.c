#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/dialogue.h"

#define BEGUN "EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"

static size_t count_of(struct view text, const char *what)
{
    size_t count = 0, len = strlen(what);
    for (size_t at = 0; at + len <= text.len; at++)
        count += text.at[at] == what[0] && memcmp(text.at + at, what, len) == 0;
    return count;
}

static void feed_many(struct dialogue *d, char c, size_t count)
{
    char chunk[8192];
    memset(chunk, c, sizeof chunk);
    for (size_t n; count && !d->closed; count -= n) {
        n = count < sizeof chunk ? count : sizeof chunk;
        dialogue_feed(d, (struct view){ chunk, n });
        assert_true(d->pending.len < SMTP_COMMAND_MAX);
    }
}

/* H13 */
static void long_commands(void **state)
{
    (void)state;
    static const struct {
        size_t len; /* with CRLF */
        const char *reply;
        bool closed;
    } rows[] = { { 512, "250 ", false },
                 { 513, "250 ", false },
                 { 2047, "250 ", false },
                 { 2048, "250 ", false },
                 { 2049, "500 5.5.2 line too long\r\n", false },
                 { 12289, "500 5.5.2 line too long\r\n", false },
                 { 65536, "500 5.5.2 line too long\r\n", false },
                 { 65537, "421 ", true },
                 { 100000000, "421 ", true } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dialogue d;
        dialogue_start(&d, &dialogue_strict);
        d.replies.len = 0;
        dialogue_feed(&d, VIEW("NOOP "));
        feed_many(&d, 'x', rows[i].len - 7);
        dialogue_feed(&d, VIEW("\r"));
        dialogue_feed(&d, VIEW("\n"));
        if (!view_starts(text_view(&d.replies), view_of(rows[i].reply)) || d.closed != rows[i].closed ||
            count_of(text_view(&d.replies), "\r\n") != 1)
            fail_msg("%zu bytes: %.*s", rows[i].len, VIEW_FORMAT(text_view(&d.replies)));
        dialogue_free(&d);
    }
}

/* H13: the same in all cuts; what follows the line is a command again; the second one ends it. */
static void long_commands_cut(void **state)
{
    (void)state;
    struct text bytes = { 0 };
    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < 300; n++)
            text_add(&bytes, VIEW("\rNOOP x\n\r"));
        text_add(&bytes, VIEW("\r\nNOOP\r\n"));
    }
    struct dialogue whole, cut;
    dialogue_play(&whole, &dialogue_strict, text_view(&bytes), bytes.len, 1);
    assert_true(
        view_equal(text_view(&whole.replies), VIEW("220 mx.test ESMTP\r\n500 5.5.2 line too long\r\n250 2.0.0 "
                                                   "ok\r\n421 4.7.0 mx.test line too long again, closing\r\n")));
    for (size_t first = 0; first < bytes.len; first += first % 100 == 50 ? 450 : 1) {
        dialogue_play(&cut, &dialogue_strict, text_view(&bytes), first, first ? bytes.len : 1);
        if (!view_equal(text_view(&cut.replies), text_view(&whole.replies)))
            fail_msg("cut at %zu: %.*s", first, VIEW_FORMAT(text_view(&cut.replies)));
        dialogue_free(&cut);
    }
    dialogue_free(&whole);
    free(bytes.at);
}

/* H13 and O3: lines of text of any length pass as they are. */
static void long_text_lines(void **state)
{
    (void)state;
    static const size_t lengths[] = { 998, 999, 1001, 2048, 2049, 65537, 1000000 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct text bytes = { 0 }, events = { 0 };
        struct dialogue d;
        text_add(&bytes, VIEW("HELO a\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n"));
        text_add(&events, VIEW("HELO a\nMAIL <a>\nRCPT <b>\nEND "));
        size_t start = bytes.len;
        for (size_t n = 0; n < lengths[i]; n += 8)
            text_addf(&bytes, "%07zu.", n);
        bytes.len = start + lengths[i];
        text_add(&bytes, VIEW("\r\n"));
        text_add(&events, view_slice(text_view(&bytes), start, bytes.len));
        text_add(&events, VIEW("\n"));
        text_add(&bytes, VIEW(".\r\n"));
        dialogue_play(&d, &dialogue_lenient, text_view(&bytes), start + 500, 4093);
        if (!view_equal(text_view(&d.events), text_view(&events)))
            fail_msg("%zu bytes", lengths[i]);
        dialogue_free(&d);
        free(bytes.at);
        free(events.at);
    }
}

/* H20 */
static void size_lies(void **state)
{
    (void)state;
    static const struct {
        size_t real; /* with the line ends, without the dot */
        const char *declared, *mail_reply, *end_reply;
    } rows[] = {
        { 999, "", "250", "250 " },
        { 1000, "", "250", "250 " },
        { 1001, "", "250", "552 5.3.4" },
        { 999, " SIZE=1", "250", "250 " },
        { 1000, " SIZE=1", "250", "250 " },
        { 1001, " SIZE=1", "250", "552 5.3.4" },
        { 5000000, " SIZE=1", "250", "552 5.3.4" },
        { 10, " SIZE=1001", "552", NULL },
        { 10, " SIZE=99999999999999999999", "552", NULL },
        { 10, " SIZE=100000000000000000000", "501", NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dialogue d;
        char mail[128];
        dialogue_start(&d, &dialogue_strict);
        dialogue_feed(&d, VIEW("EHLO c.test\r\n"));
        d.replies.len = 0;
        snprintf(mail, sizeof mail, "MAIL FROM:<a>%s\r\n", rows[i].declared);
        dialogue_feed(&d, view_of(mail));
        assert_true(view_starts(text_view(&d.replies), view_of(rows[i].mail_reply)));
        if (rows[i].end_reply) {
            dialogue_feed(&d, VIEW("RCPT TO:<b>\r\nDATA\r\n"));
            d.replies.len = 0;
            feed_many(&d, 'x', rows[i].real - 2);
            assert_int_equal(d.replies.len, 0);
            assert_true(d.content.len <= 1000);
            dialogue_feed(&d, VIEW("\r\n.\r\nNOOP\r\n"));
            if (!view_starts(text_view(&d.replies), view_of(rows[i].end_reply)) ||
                count_of(text_view(&d.replies), "\r\n") != 2 || d.server.has_mail || d.closed)
                fail_msg("%zu bytes%s: %.*s", rows[i].real, rows[i].declared, VIEW_FORMAT(text_view(&d.replies)));
        }
        dialogue_free(&d);
    }
}

/* H86 */
static void recipient_flood(void **state)
{
    (void)state;
    enum { COUNT = 1000000, BATCH = 1000 };
    struct dialogue d;
    struct text batch = { 0 };
    size_t accepted = 0, refused = 0;
    for (int i = 0; i < BATCH; i++)
        text_add(&batch, VIEW("RCPT TO:<c@d.test>\r\n"));
    dialogue_start(&d, &dialogue_strict);
    dialogue_feed(&d, VIEW("EHLO c.test\r\nMAIL FROM:<a@b.test>\r\n"));
    for (int i = 0; i < COUNT / BATCH; i++) {
        d.replies.len = d.events.len = 0;
        dialogue_feed(&d, text_view(&batch));
        accepted += count_of(text_view(&d.replies), "250 2.1.5");
        refused += count_of(text_view(&d.replies), "452 4.5.3");
    }
    assert_int_equal(accepted, dialogue_strict.recipients_max);
    assert_int_equal(accepted + refused, COUNT);
    assert_int_equal(d.server.recipient_count, accepted);
    assert_false(d.closed);
    dialogue_free(&d);
    free(batch.at);
}

/* H85: with no room for replies nothing is consumed, however much lies there. */
static void client_that_never_reads(void **state)
{
    (void)state;
    enum { COMMANDS = 1000000, LEN = 6 };
    char *bytes = malloc((size_t)COMMANDS * LEN), memory[SMTP_SERVER_OUT_MIN + 100];
    struct buffer out = BUFFER_OF(memory);
    struct smtp_server server;
    size_t replies = 0, flushes = 0;
    assert_non_null(bytes);
    for (size_t i = 0; i < COMMANDS; i++)
        memcpy(bytes + i * LEN, "NOOP\r\n", LEN);
    struct view input = { bytes, (size_t)COMMANDS * LEN };
    smtp_server_start(&server, &dialogue_strict, 0, NULL, &out);
    buffer_clear(&out);
    for (enum smtp_server_event event; (event = smtp_server_step(&server, 0, &input, &out)) != SMTP_SERVER_INPUT;
         flushes++) {
        assert_int_equal(event, SMTP_SERVER_FLUSH);
        size_t left = input.len;
        for (int i = 0; i < 3; i++)
            assert_int_equal(smtp_server_step(&server, 0, &input, &out), SMTP_SERVER_FLUSH);
        assert_int_equal(input.len, left);
        replies += count_of(buffer_view(&out), "250 2.0.0 ok\r\n");
        buffer_clear(&out);
    }
    replies += count_of(buffer_view(&out), "250 2.0.0 ok\r\n");
    assert_int_equal(replies, COMMANDS);
    assert_int_equal(input.len, 0);
    assert_true(flushes > 0);
    free(bytes);
}

/* The end of the link after any byte: a message only when its end has come. */
static void link_lost_anywhere(void **state)
{
    (void)state;
    const struct view bytes = VIEW(BEGUN "DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n");
    size_t end = bytes.len - 6, mail = sizeof("EHLO c.test\r\nMAIL FROM:<a@b.test>\r\n") - 1;
    for (size_t len = 0; len <= bytes.len; len++) {
        struct dialogue d;
        dialogue_play(&d, &dialogue_strict, view_slice(bytes, 0, len), len, 1);
        assert_int_equal(count_of(text_view(&d.events), "END "), len >= end);
        assert_int_equal(d.server.has_mail, len >= mail && len < end);
        dialogue_free(&d);
    }
}

/* H10: input that was there before the greeting is answered in order behind it, or not at all behind a refusal. */
static void early_talk(void **state)
{
    (void)state;
    static const struct smtp_reply refusal = SMTP_REPLY_INIT(554, 5, 5, 1, "you spoke first");
    char memory[SMTP_SERVER_OUT_MIN * 2];
    for (int close = 0; close < 2; close++) {
        struct buffer out = BUFFER_OF(memory);
        struct smtp_server server;
        struct smtp_reply reply = refusal;
        struct view input = VIEW("EHLO x\r\nMAIL FROM:<a@b>\r\nFOO\r\nQUIT\r\n");
        reply.close = close;
        smtp_server_start(&server, &dialogue_strict, 0, &reply, &out);
        assert_int_equal(smtp_server_step(&server, 0, &input, &out), SMTP_SERVER_CLOSE);
        assert_true(view_equal(buffer_view(&out), close ? VIEW("554 mx.test you spoke first\r\n")
                                                        : VIEW("554 mx.test you spoke first\r\n"
                                                               "503 5.5.1 no mail is taken from here: send QUIT\r\n"
                                                               "503 5.5.1 no mail is taken from here: send QUIT\r\n"
                                                               "503 5.5.1 no mail is taken from here: send QUIT\r\n"
                                                               "221 2.0.0 mx.test closing the connection\r\n")));
    }
    struct dialogue d;
    dialogue_start(&d, &dialogue_strict);
    assert_true(view_equal(text_view(&d.replies), VIEW("220 mx.test ESMTP\r\n")));
    dialogue_feed(&d, VIEW("EHLO x\r\nMAIL FROM:<a@b>\r\n"));
    assert_true(view_equal(text_view(&d.events), VIEW("EHLO x\nMAIL <a@b>\n")));
    dialogue_free(&d);
}

/* Errors end the session at their number, whatever they are. */
static void too_many_errors(void **state)
{
    (void)state;
    static const char *const lines[] = { "FOO\r\n", "DATA\r\n", "HELO\r\n", "RSET x\r\n", "NOOP\0\r\n", "VRFY\r\n" };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct dialogue d;
        dialogue_start(&d, &dialogue_strict);
        for (unsigned n = 1; n < dialogue_strict.errors_max; n++) {
            dialogue_feed(&d, (struct view){ lines[i], i == 4 ? 7 : strlen(lines[i]) });
            assert_false(d.closed);
        }
        d.replies.len = 0;
        dialogue_feed(&d, VIEW("BAR\r\nNOOP\r\n"));
        if (!d.closed || !view_starts(text_view(&d.replies), VIEW("421 4.7.0 ")) ||
            count_of(text_view(&d.replies), "\r\n") != 1)
            fail_msg("%s: %.*s", lines[i], VIEW_FORMAT(text_view(&d.replies)));
        dialogue_free(&d);
    }
}

/* --- time --- */

#define MINUTE UINT64_C(60000000)

/* RFC 5321 section 4.5.3.2.7 */
static void deadlines(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        uint64_t after_us; /* the deadline, when they come a minute after what came before */
    } rows[] = {
        { "", 5 * MINUTE },
        { "NOOP\r\n", 6 * MINUTE },
        { "NOO", 6 * MINUTE },
        { "P\r\n", 8 * MINUTE },
        { "EHLO c.test\r\n", 9 * MINUTE },
        { "MAIL FROM:<a>\r\nRCPT TO:<b>\r\n", 10 * MINUTE },
        { "DATA\r\n", 6 * MINUTE + 3 * MINUTE },
        { "x", 7 * MINUTE + 3 * MINUTE },
        { "\r", 7 * MINUTE + 3 * MINUTE },
        { "\n", 9 * MINUTE + 3 * MINUTE },
        { ".\r\n", 10 * MINUTE + 5 * MINUTE },
    };
    struct dialogue d;
    dialogue_start(&d, &dialogue_strict);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        d.now_us = i * MINUTE;
        dialogue_feed(&d, view_of(rows[i].bytes));
        if (d.server.deadline_us != rows[i].after_us)
            fail_msg("row %zu: %llu", i, (unsigned long long)d.server.deadline_us);
    }
    /* An over-long line earns no time while it lasts. */
    uint64_t before = d.server.deadline_us;
    d.now_us += MINUTE;
    feed_many(&d, 'x', 10000);
    assert_int_equal(d.server.deadline_us, before);
    dialogue_feed(&d, VIEW("\r\n"));
    assert_int_equal(d.server.deadline_us, d.now_us + 5 * MINUTE);
    dialogue_free(&d);
}

struct ending {
    const char *bytes; /* before it */
    const char *reply;
    bool reset;
};

static void check_ending(const struct ending *row, void (*end)(struct smtp_server *, struct buffer *), bool room)
{
    struct dialogue d;
    struct view none = VIEW_NONE;
    dialogue_play(&d, &dialogue_strict, view_of(row->bytes), strlen(row->bytes), 1);
    assert_true(smtp_server_idle(&d.server));
    if (!room)
        memset(d.memory, 'x', d.out.len = sizeof d.memory - 100);
    size_t before = d.out.len;
    end(&d.server, &d.out);
    struct view said = view_slice(buffer_view(&d.out), before, d.out.len);
    if (room ? !view_starts(said, view_of(row->reply)) || !view_ends_nocase(said, VIEW("\r\n")) : said.len != 0)
        fail_msg("%s: %.*s", row->bytes, VIEW_FORMAT(said));
    if (row->reset)
        assert_int_equal(smtp_server_step(&d.server, 0, &none, &d.out), SMTP_SERVER_RESET);
    assert_int_equal(smtp_server_step(&d.server, 0, &none, &d.out), SMTP_SERVER_CLOSE);
    assert_int_equal(smtp_server_step(&d.server, 0, &none, &d.out), SMTP_SERVER_CLOSE);
    assert_false(d.server.has_mail || d.out.full);
    dialogue_free(&d);
}

static void ended_from_our_side(void **state)
{
    (void)state;
    static const struct ending timeouts[] = {
        { "", "421 4.4.2 mx.test ", false },
        { "NOO", "421 4.4.2 mx.test ", false },
        { BEGUN, "421 4.4.2 mx.test ", true },
        { BEGUN "DATA\r\nx\r\n.", "421 4.4.2 mx.test ", true },
        { BEGUN "DATA\r\na\nb", "421 4.4.2 mx.test ", true },
    };
    static const struct ending shutdowns[] = {
        { "", "421 4.3.2 mx.test ", false },
        { BEGUN, "421 4.3.2 mx.test ", true },
        { BEGUN "DATA\r\nx", "421 4.3.2 mx.test ", true },
        { BEGUN "DATA\r\nx\r\n.\r\n", "421 4.3.2 mx.test ", false },
    };
    for (int room = 0; room < 2; room++) {
        for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++)
            check_ending(&timeouts[i], smtp_server_timeout, room);
        for (size_t i = 0; i < sizeof shutdowns / sizeof *shutdowns; i++)
            check_ending(&shutdowns[i], smtp_server_shutdown, room);
    }
}

/* Shutdown while an answer is owed: the answer first. */
static void shutdown_while_asked(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        unsigned events; /* to answer before the one that waits */
        uint16_t code;
        const char *replies;
    } rows[] = {
        { "EHLO c.test\r\n", 0, 250,
          "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n"
          "250 HELP\r\n421 4.3.2 mx.test stopping, try again later\r\n" },
        { BEGUN, 2, 250, "250 2.1.5 recipient ok\r\n421 4.3.2 mx.test stopping, try again later\r\n" },
        { BEGUN, 2, 550, "550 5.0.0 refused\r\n421 4.3.2 mx.test stopping, try again later\r\n" },
        { BEGUN "DATA\r\n", 3, 354, "421 4.3.2 mx.test stopping, try again later\r\n" },
        { BEGUN "DATA\r\n.\r\n", 4, 250,
          "250 2.0.0 message accepted\r\n421 4.3.2 mx.test stopping, try again later\r\n" },
        { BEGUN "DATA\r\n.\r\n", 4, 451,
          "451 4.0.0 not now, try again later\r\n421 4.3.2 mx.test stopping, try again later\r\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char memory[SMTP_SERVER_OUT_MIN * 2];
        struct buffer out = BUFFER_OF(memory);
        struct smtp_server server;
        struct view input = view_of(rows[i].bytes);
        smtp_server_start(&server, &dialogue_strict, 0, NULL, &out);
        enum smtp_server_event event = smtp_server_step(&server, 0, &input, &out);
        for (unsigned n = 0; n < rows[i].events; n++) {
            struct smtp_reply reply = { .code = event == SMTP_SERVER_DATA ? 354 : 250 };
            smtp_server_answer(&server, 0, &reply, &out);
            event = smtp_server_step(&server, 0, &input, &out);
        }
        buffer_clear(&out);
        smtp_server_shutdown(&server, &out);
        assert_int_equal(out.len, 0);
        assert_false(smtp_server_idle(&server));
        struct smtp_reply reply = { .code = rows[i].code };
        smtp_server_answer(&server, 0, &reply, &out);
        if (!view_equal(buffer_view(&out), view_of(rows[i].replies)))
            fail_msg("row %zu: %.*s", i, VIEW_FORMAT(buffer_view(&out)));
        assert_true(smtp_server_idle(&server));
        assert_true(server.closing && !server.has_mail);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_commands),       cmocka_unit_test(long_commands_cut),
        cmocka_unit_test(long_text_lines),     cmocka_unit_test(size_lies),
        cmocka_unit_test(recipient_flood),     cmocka_unit_test(client_that_never_reads),
        cmocka_unit_test(link_lost_anywhere),  cmocka_unit_test(early_talk),
        cmocka_unit_test(too_many_errors),     cmocka_unit_test(deadlines),
        cmocka_unit_test(ended_from_our_side), cmocka_unit_test(shutdown_while_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
