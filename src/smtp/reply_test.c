#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/dialogue.h"

#define X10  "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define X500 X100 X100 X100 X100 X100

static void written(void **state)
{
    (void)state;
    static const struct {
        struct smtp_reply reply;
        const char *text;
    } rows[] = {
        { SMTP_REPLY_INIT(250, 2, 1, 5, "ok"), "250 2.1.5 ok\r\n" },
        { SMTP_REPLY_INIT(250, 0, 0, 0, "ok"), "250 ok\r\n" },
        { SMTP_REPLY_INIT(250, 2, 0, 0, ""), "250 2.0.0\r\n" },
        { SMTP_REPLY_INIT(354, 0, 0, 0, ""), "354\r\n" },
        { SMTP_REPLY_INIT(550, 5, 999, 999, "no"), "550 5.999.999 no\r\n" },
        { SMTP_REPLY_INIT(214, 2, 0, 0, "a\nb\nc"), "214-2.0.0 a\r\n214-2.0.0 b\r\n214 2.0.0 c\r\n" },
        { SMTP_REPLY_INIT(214, 2, 0, 0, "a\r\nb\r\n"), "214-2.0.0 a\r\n214 2.0.0 b\r\n" },
        { SMTP_REPLY_INIT(214, 0, 0, 0, "a\n\nb"), "214-a\r\n214-\r\n214 b\r\n" },
        { SMTP_REPLY_INIT(550, 5, 7, 1, "\n"), "550 5.7.1\r\n" },
        { SMTP_REPLY_INIT(550, 5, 7, 1, "\n\n"), "550-5.7.1\r\n550 5.7.1\r\n" },
        { SMTP_REPLY_INIT(550, 5, 7, 1, "a\rb\tc\0d\x1b[0m\x7f\xc3\xbc %n%s"), "550 5.7.1 a?b c?d?[0m??? %n%s\r\n" },
        { SMTP_REPLY_INIT(550, 5, 7, 1, X500), "550 5.7.1 " X500 "\r\n" },
        { SMTP_REPLY_INIT(550, 5, 7, 1, X500 "12345\nb"), "550-5.7.1 " X500 "\r\n550 5.7.1 b\r\n" },
        { SMTP_REPLY_INIT(550, 0, 0, 0, X500 X100), "550 " X500 "xxxxxx\r\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char memory[2048];
        struct buffer out = BUFFER_OF(memory);
        smtp_reply_write(&out, &rows[i].reply);
        if (!view_equal(buffer_view(&out), view_of(rows[i].text)))
            fail_msg("row %zu: %.*s", i, VIEW_FORMAT(buffer_view(&out)));
        assert_null(dialogue_grammar_fault(buffer_view(&out)));
        for (size_t cap = 0; cap < strlen(rows[i].text); cap++) {
            struct buffer small = { memory, 0, cap, false };
            smtp_reply_write(&small, &rows[i].reply);
            if (!small.full || small.len)
                fail_msg("row %zu into %zu bytes: %zu", i, cap, small.len);
        }
    }
}

static size_t lines_in(struct view text)
{
    size_t lines = 0;
    while (text.len)
        lines += view_take_until(&text, '\n').len > 0;
    return lines;
}

/* H22: text of a policy or filter, of any bytes and length, through the machine: one well-formed reply. */
static void hostile_text(void **state)
{
    (void)state;
    static const char *const units[] = { "\r",   "\n",     "\r\n",   "%n%s", "\n\n.\r\n", "250 ok\r\n", "550-a\n551 b",
                                         "\x80", "\x1b]0", "x\r\ny", "\t",   "a\n",       "\0a" };
    static char text[102400];
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t unit = units[i][0] ? strlen(units[i]) : 2;
        for (size_t at = 0; at < sizeof text; at++)
            text[at] = units[i][at % unit];
        for (size_t len = 0; len <= sizeof text; len = 2 * len + 1) {
            char memory[SMTP_SERVER_OUT_MIN];
            struct buffer out = BUFFER_OF(memory);
            struct smtp_server server;
            struct view hello = VIEW("EHLO a\r\nMAIL FROM:<a>\r\n");
            struct smtp_reply reply = { 250, { 0 }, { text, len }, false };
            smtp_server_start(&server, &dialogue_strict, 0, NULL, &out);
            buffer_clear(&out);
            assert_int_equal(smtp_server_step(&server, 0, &hello, &out), SMTP_SERVER_HELLO);
            smtp_server_answer(&server, 0, &reply, &out);
            const char *fault = dialogue_grammar_fault(buffer_view(&out));
            if (fault || lines_in(buffer_view(&out)) != 6)
                fail_msg("unit %zu, %zu bytes, EHLO: %s", i, len, fault);
            buffer_clear(&out);
            assert_int_equal(smtp_server_step(&server, 0, &hello, &out), SMTP_SERVER_MAIL);
            reply.code = 550;
            smtp_server_answer(&server, 0, &reply, &out);
            fault = dialogue_grammar_fault(buffer_view(&out));
            if (fault || !out.len || memcmp(out.at, "550", 3) != 0)
                fail_msg("unit %zu, %zu bytes: %s", i, len, fault);
        }
    }
}

struct parsed {
    struct view input;
    enum smtp_parse result;
    uint16_t code;
    struct smtp_status status;
    struct view text;
    size_t left; /* bytes behind the reply */
};

static enum smtp_parse parse(struct view input, size_t *used, struct smtp_reply *reply, struct buffer *text)
{
    char *exact = malloc(input.len + !input.len);
    assert_non_null(exact);
    if (input.len)
        memcpy(exact, input.at, input.len);
    enum smtp_parse result = smtp_reply_parse((struct view){ exact, input.len }, used, reply, text);
    free(exact);
    return result;
}

static void check_parsed(const struct parsed *row)
{
    char memory[1024];
    struct buffer text = BUFFER_OF(memory);
    struct smtp_reply reply = { 0 };
    size_t used = 0;
    enum smtp_parse result = parse(row->input, &used, &reply, &text);
    if (result != row->result)
        fail_msg("%.*s: result %d", VIEW_FORMAT(row->input), result);
    if (result == SMTP_PARSE_DONE &&
        (reply.code != row->code || reply.status.class != row->status.class ||
         reply.status.subject != row->status.subject || reply.status.detail != row->status.detail ||
         !view_equal(reply.text, row->text) || used + row->left != row->input.len))
        fail_msg("%.*s: %u %u.%u.%u \"%.*s\" used %zu", VIEW_FORMAT(row->input), reply.code, reply.status.class,
                 reply.status.subject, reply.status.detail, VIEW_FORMAT(reply.text), used);
    /* No beginning of it is a reply, or bad when the whole is good. */
    for (size_t len = 0; len < row->input.len - row->left && result == SMTP_PARSE_DONE; len++)
        if (parse(view_slice(row->input, 0, len), &used, &reply, &text) != SMTP_PARSE_MORE)
            fail_msg("%.*s: a reply after %zu bytes", VIEW_FORMAT(row->input), len);
}

/* Short, cut and strange replies. */
static void read(void **state)
{
    (void)state;
    static const struct parsed rows[] = {
#define IN(text) { text, sizeof(text) - 1 }
#define DONE(input, code, class, subject, detail, text, left)                                                          \
    {                                                                                                                  \
        IN(input), SMTP_PARSE_DONE, code, { class, subject, detail }, IN(text), left                                   \
    }
#define NOT(input, result)                                                                                             \
    {                                                                                                                  \
        IN(input), SMTP_PARSE_##result, 0, { 0, 0, 0 }, { NULL, 0 }, 0                                                 \
    }
        DONE("250 ok\r\n", 250, 0, 0, 0, "ok", 0),
        DONE("250\r\n", 250, 0, 0, 0, "", 0),
        DONE("250 \r\n", 250, 0, 0, 0, "", 0),
        DONE("258 shadrach\r\nnext", 258, 0, 0, 0, "shadrach", 4),
        DONE("250 2.1.5 ok\r\n250 ", 250, 2, 1, 5, "ok", 4),
        DONE("250 2.1.5\r\n", 250, 2, 1, 5, "", 0),
        DONE("250 2.1.5ok\r\n", 250, 0, 0, 0, "2.1.5ok", 0),
        DONE("250 5.1.5 ok\r\n", 250, 0, 0, 0, "5.1.5 ok", 0),
        DONE("550 5.1.1234 no\r\n", 550, 0, 0, 0, "5.1.1234 no", 0),
        DONE("550 5.1 no\r\n", 550, 0, 0, 0, "5.1 no", 0),
        DONE("550 5..1 no\r\n", 550, 0, 0, 0, "5..1 no", 0),
        DONE("550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c\r\n", 550, 5, 7, 1, "a\nb\nc", 0),
        DONE("550-5.7.1 a\r\n550-5.7.2 b\r\n550 c\r\n", 550, 5, 7, 1, "a\n5.7.2 b\nc", 0),
        DONE("250-mx.test\r\n250-SIZE 10\r\n250\r\n", 250, 0, 0, 0, "mx.test\nSIZE 10\n", 0),
        DONE("220 \xc3\xbc\x1b\r\n", 220, 0, 0, 0, "\xc3\xbc\x1b", 0),
        DONE("553-a\r\n553 \r\n", 553, 0, 0, 0, "a\n", 0),
        NOT("", MORE),
        NOT("2", MORE),
        NOT("250", MORE),
        NOT("250 ok", MORE),
        NOT("250 ok\r", MORE),
        NOT("553-\r\n", MORE),
        NOT("250-a\r\n250-b\r\n", MORE),
        NOT("250 ok\n", BAD),
        NOT("553-a\r\n553\n", BAD),
        NOT("250 a\rb\r\n", BAD),
        NOT("250 a\r\r\n", BAD),
        NOT("250 a\0\r\n", BAD),
        NOT("\r\n", BAD),
        NOT("5\r\n", BAD),
        NOT("55\r\n", BAD),
        NOT("2500 ok\r\n", BAD),
        NOT("250x\r\n", BAD),
        NOT("-25 ok\r\n", BAD),
        NOT("150 ok\r\n", BAD),
        NOT("050 ok\r\n", BAD),
        NOT("650 ok\r\n", BAD),
        NOT("ok\r\n", BAD),
        NOT("250-a\r\n251 b\r\n", BAD),
        NOT("250-a\r\nb\r\n", BAD),
        NOT("250-a\r\n\r\n", BAD),
        NOT(" 250 ok\r\n", BAD),
        NOT("2 0 ok\r\n", BAD),
        NOT("\xb2"
            "50 ok\r\n",
            BAD),
#undef IN
#undef DONE
#undef NOT
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_parsed(&rows[i]);
}

/* H122: a reply without end is bad as soon as it is too long, and text beyond the buffer is cut, not refused. */
static void endless(void **state)
{
    (void)state;
    static char input[SMTP_REPLY_MAX + 100];
    char memory[100];
    struct buffer text = BUFFER_OF(memory);
    struct smtp_reply reply;
    size_t used;
    for (size_t at = 0; at < sizeof input; at++)
        input[at] = "250-a\r\n"[at % 7];
    assert_int_equal(smtp_reply_parse((struct view){ input, SMTP_REPLY_MAX - 1 }, &used, &reply, &text),
                     SMTP_PARSE_MORE);
    assert_int_equal(smtp_reply_parse((struct view){ input, SMTP_REPLY_MAX }, &used, &reply, &text), SMTP_PARSE_BAD);
    assert_int_equal(smtp_reply_parse((struct view){ input, sizeof input }, &used, &reply, &text), SMTP_PARSE_BAD);
    memcpy(input + 70, "250 b\r\n", 7);
    assert_int_equal(smtp_reply_parse((struct view){ input, sizeof input }, &used, &reply, &text), SMTP_PARSE_DONE);
    assert_int_equal(used, 77);
    memset(input, 'x', sizeof input);
    assert_int_equal(smtp_reply_parse((struct view){ input, SMTP_REPLY_MAX }, &used, &reply, &text), SMTP_PARSE_BAD);
    memcpy(input, "250 ", 4);
    memcpy(input + 1000, "\r\n", 2);
    assert_int_equal(smtp_reply_parse((struct view){ input, sizeof input }, &used, &reply, &text), SMTP_PARSE_DONE);
    assert_int_equal(reply.text.len, sizeof memory);
}

/* What is written is read back. */
static void round_trip(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "ok", "a\nb", "a\n\nb", "2.1.5 looks like a status" };
    for (uint16_t code = 200; code < 600; code++) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            uint8_t class = code / 100 == 3 ? 0 : (uint8_t)(code / 100);
            struct smtp_reply reply = { code, { class, class ? 7 : 0, class ? 28 : 0 }, view_of(texts[i]), false },
                              back;
            char out_memory[512], text_memory[512];
            struct buffer out = BUFFER_OF(out_memory), text = BUFFER_OF(text_memory);
            size_t used;
            smtp_reply_write(&out, &reply);
            assert_int_equal(smtp_reply_parse(buffer_view(&out), &used, &back, &text), SMTP_PARSE_DONE);
            if (used != out.len || back.code != code || back.status.class != class ||
                back.status.detail != reply.status.detail || !view_equal(back.text, reply.text))
                fail_msg("%u \"%s\"", code, texts[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written), cmocka_unit_test(hostile_text), cmocka_unit_test(read),
        cmocka_unit_test(endless), cmocka_unit_test(round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
