#include "mail/header.h"
#include "mail/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    } /* a struct view in a table */

/* Fields are written as name=value, with | between; a line that is no field as "!" and the line. */
static const struct {
    struct view text;
    const char *fields;
    const char *rest;
} headers[] = {
    { TEXT(""), "", "" },
    { TEXT("\r\nbody"), "", "\r\nbody" },
    { TEXT("\nbody"), "", "\nbody" },
    { TEXT("a:b\r\n\r\nc:d\r\n"), "a=b", "\r\nc:d\r\n" },
    { TEXT("a: b\r\nc:d\r\n"), "a= b|c=d", "" },
    { TEXT("a:b"), "a=b", "" },
    { TEXT("a:b\n\nc"), "a=b", "\nc" },
    { TEXT("a:b\nc:d\r\n\n"), "a=b|c=d", "\n" },
    { TEXT("a:b\r\n c\r\n\td\r\ne:f\r\n"), "a=b\r\n c\r\n\td|e=f", "" },
    { TEXT("a:b\r\n \r\nc:d\r\n\r\n"), "a=b\r\n |c=d", "\r\n" },
    { TEXT("a:\r\n"), "a=", "" },
    { TEXT("a :b\r\n"), "a=b", "" },
    { TEXT("a \t :b\r\n"), "a=b", "" },
    { TEXT("a b:c\r\n"), "!a b:c", "" },
    { TEXT(":b\r\n"), "!:b", "" },
    { TEXT("  :b\r\n"), "!  :b", "" },
    { TEXT("no colon\r\na:b\r\n"), "!no colon|a=b", "" },
    { TEXT("no colon\r\n but a:fold\r\na:b\r\n"), "!no colon\r\n but a:fold|a=b", "" },
    { TEXT("From x@y Sat Nov 21 21:30:00 2026\r\na:b\r\n"), "!From x@y Sat Nov 21 21:30:00 2026|a=b", "" },
    { TEXT("\xc3\xa4:b\r\nc:d\r\n"), "!\xc3\xa4:b|c=d", "" },
    { TEXT("a\x7f:b\r\n"), "!a\x7f:b", "" },
    { TEXT("a\rb:c\r\n"), "!a\rb:c", "" },
    { TEXT("a:b\rc:d\r\n"), "a=b\rc:d", "" },
    { TEXT("a:b\r\r\nc:d\r\n"), "a=b\r|c=d", "" },
    { TEXT("\r"), "!\r", "" },
    { TEXT("a:b\r\n\r"), "a=b|!\r", "" },
    { TEXT("a::b\r\n"), "a=:b", "" },
    { TEXT(".a:b\r\n"), ".a=b", "" },
    { TEXT(" a:b\r\nc:d\r\n"), "! a:b|c=d", "" },
    { TEXT("a\r\n:b\r\n"), "!a|!:b", "" },
};

static void say_fields(struct view *rest, struct buffer *to)
{
    struct mail_field field;
    size_t whole = 0;
    const char *start = rest->at;
    while (mail_header_next(rest, &field)) {
        if (to->len)
            buffer_add_char(to, '|');
        struct view line = view_slice(field.whole, 0, field.whole.len);
        while (field.name.len == 0 && line.len && line.at[line.len - 1] == '\n')
            line.len -= line.len > 1 && line.at[line.len - 2] == '\r' ? 2 : 1;
        buffer_add(to, field.name.len ? field.name : VIEW("!"));
        buffer_add(to, field.name.len ? VIEW("=") : line);
        buffer_add(to, field.value);
        assert_ptr_equal(field.whole.at, start + whole);
        whole += field.whole.len;
    }
    assert_ptr_equal(rest->at, start + whole);
}

static void splits_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(headers); i++) {
        char memory[256];
        struct buffer got = BUFFER_OF(memory);
        struct view rest = headers[i].text;
        say_fields(&rest, &got);
        if (!view_equal(buffer_view(&got), view_of(headers[i].fields)) || !view_equal(rest, view_of(headers[i].rest)))
            fail_msg("row %zu: \"%.*s\" and \"%.*s\"", i, VIEW_FORMAT(buffer_view(&got)), VIEW_FORMAT(rest));
    }
}

static void compares_names(void **state)
{
    (void)state;
    struct mail_field field = { .name = VIEW("mEssage-Id") };
    assert_true(mail_field_is(&field, "Message-ID"));
    assert_false(mail_field_is(&field, "Message-I"));
    field.name = VIEW_NONE;
    assert_false(mail_field_is(&field, "From"));
}

/* What the parser says of the header, in the words of the scanner. */
static struct mail_facts facts_by_parser(struct view message)
{
    struct mail_facts facts = { .headless = message.len && ascii_is_blank(message.at[0]) };
    struct mail_field field;
    struct view rest = message;
    if (facts.headless)
        return facts;
    while (mail_header_next(&rest, &field)) {
        facts.field_count++;
        facts.received_count += mail_field_is(&field, "received");
        facts.has_return_path |= mail_field_is(&field, "return-path");
        facts.has_date |= mail_field_is(&field, "date");
        facts.has_from |= mail_field_is(&field, "from");
        facts.has_message_id |= mail_field_is(&field, "message-id");
        facts.header_nul |= view_has(field.whole, '\0');
    }
    facts.header_size = message.len - rest.len;
    if (rest.len)
        facts.header_size += rest.at[0] == '\r' ? 2 : 1;
    return facts;
}

static void expect_agreement(struct view message)
{
    struct mail_scan scan;
    struct mail_facts want = facts_by_parser(message);
    mail_scan_start(&scan);
    mail_scan_feed(&scan, message);
    const struct mail_facts *got = mail_scan_end(&scan);
    if (got->headless != want.headless || got->header_size != want.header_size ||
        got->field_count != want.field_count || got->received_count != want.received_count ||
        got->has_return_path != want.has_return_path || got->has_date != want.has_date ||
        got->has_from != want.has_from || got->has_message_id != want.has_message_id ||
        got->header_nul != want.header_nul)
        fail_msg("scanner and parser differ over \"%.*s\"", VIEW_FORMAT(message));
}

/* H45: scanner and parser give the same list for every pair of odd lines, between good ones. */
static void scanner_and_parser_agree(void **state)
{
    (void)state;
    static const struct view lines[] = {
        TEXT("From: a@b"),
        TEXT("from :a@b"),
        TEXT("From\t : a@b"),
        TEXT("Fr om: a@b"),
        TEXT("From"),
        TEXT(": a@b"),
        TEXT("From a@b Sat"),
        TEXT(" From: a@b"),
        TEXT("\tDate: x"),
        TEXT("DATE:"),
        TEXT("Date\r: x"),
        TEXT("Da\0te: x"),
        TEXT("Date\0: x"),
        TEXT("\xc3\xa4: x"),
        TEXT("Received: by x"),
        TEXT("receiveD   :y"),
        TEXT("Received"),
        TEXT("Received-SPF: x"),
        TEXT("X-Received: x"),
        TEXT("Message-ID: <a@b>"),
        TEXT("Message-ID-and-more: x"),
        TEXT("Return-Path:<>"),
        TEXT("Return-Path"),
        TEXT("."),
        TEXT("..From: x"),
        TEXT(" "),
        TEXT("\t"),
        TEXT(""),
        TEXT("\r"),
        TEXT("A-name-longer-than-the-scanner-keeps: x"),
        TEXT("A-name-longer-than-the-scanner-keeps : x"),
        TEXT("                              : x"),
    };
    static const struct view ends[] = { TEXT("\r\n"), TEXT("\n"), TEXT("\r\r\n"), TEXT("\r"), TEXT("") };
    size_t count = 0;
    for (size_t a = 0; a < COUNT(lines); a++)
        for (size_t b = 0; b < COUNT(lines); b++)
            for (size_t e = 0; e < COUNT(ends) * COUNT(ends); e++, count++) {
                char memory[256];
                struct buffer message = BUFFER_OF(memory);
                buffer_add(&message, lines[a]);
                buffer_add(&message, ends[e % COUNT(ends)]);
                buffer_add(&message, lines[b]);
                buffer_add(&message, ends[e / COUNT(ends)]);
                buffer_add(&message, VIEW("Received: z\r\n\r\nFrom: body\r\n"));
                assert_false(message.full);
                expect_agreement(buffer_view(&message));
            }
    assert_true(count > 200);
}

/* Every string over the bytes that matter. */
static void agree_exhaustively(void **state)
{
    (void)state;
    static const char alphabet[] = "\r\n: .\0x";
    enum { LETTERS = 7, LEN_MAX = 7 };
    for (size_t len = 0; len <= LEN_MAX; len++) {
        size_t total = 1;
        for (size_t i = 0; i < len; i++)
            total *= LETTERS;
        for (size_t n = 0; n < total; n++) {
            char text[LEN_MAX];
            for (size_t i = 0, rest = n; i < len; i++, rest /= LETTERS)
                text[i] = alphabet[rest % LETTERS];
            expect_agreement((struct view){ text, len });
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_fields),
        cmocka_unit_test(compares_names),
        cmocka_unit_test(scanner_and_parser_agree),
        cmocka_unit_test(agree_exhaustively),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
