#include "mail/report.h"

#include "base/test.h"
#include "mail/header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALL_US  1795285800123456u /* Sat, 21 Nov 2026 18:30:00 UTC */
#define HOUR_US  3600000000u
#define BOUNDARY "=_ak00000000000000000000aa.0"

#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    } /* a struct view in a table */

static const char header[] = "From: a@here.example\r\nMessage-ID: <1@here.example>\r\nSubject: x\r\n";

/* ---- what is reported ---- */

static struct mail_report_recipient recipient;

static struct mail_report report_of(enum mail_report_kind kind)
{
    struct mail_report report = {
        .kind = kind,
        .hostname = VIEW("mx.here.example"),
        .reverse_path = VIEW("a@here.example"),
        .arrived_us = WALL_US,
        .now_us = WALL_US + HOUR_US,
        .head = VIEW("From: a@here.example\r\nMessage-ID: <1@here.example>\r\nSubject: x\r\n\r\nhello\r\n"),
        .recipients = &recipient,
        .count = 1,
    };
    assert_true(mail_id_parse(VIEW("ak00000000000000000000aa"), &report.id));
    assert_true(mail_id_parse(VIEW("ak00000000000000000000bb"), &report.original));
    recipient = (struct mail_report_recipient){
        .path = VIEW("bob@there.example"),
        .code = 550,
        .status = { 5, 1, 1 },
        .text = VIEW("No such\nmailbox here"),
        .remote = VIEW("mx1.there.example [192.0.2.1]:25"),
        .last_attempt_us = WALL_US + HOUR_US,
    };
    return report;
}

/* Into memory that is exactly as large as was asked for. The caller frees it. */
static struct view write_report(const struct mail_report *report, const char *row)
{
    struct buffer text = { .cap = mail_report_size(report) };
    text.at = malloc(text.cap);
    assert_non_null(text.at);
    assert_row(mail_report_write(&text, report), row);
    return buffer_view(&text);
}

static bool contains(struct view text, struct view wanted)
{
    for (size_t i = 0; i + wanted.len <= text.len; i++)
        if (view_starts(view_slice(text, i, text.len), wanted))
            return true;
    return false;
}

static void free_text(struct view text)
{
    free((void *)(uintptr_t)text.at);
}

/* ---- whole reports ---- */

static const char failed[] =
    "From: Mail Delivery System <postmaster@mx.here.example>\r\n"
    "To: <a@here.example>\r\n"
    "Subject: Your message could not be delivered\r\n"
    "Date: Sat, 21 Nov 2026 19:30:00 +0000\r\n"
    "Message-ID: <ak00000000000000000000aa@mx.here.example>\r\n"
    "In-Reply-To: <1@here.example>\r\n"
    "References: <1@here.example>\r\n"
    "Auto-Submitted: auto-replied\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"" BOUNDARY "\"\r\n"
    "\r\n--" BOUNDARY "\r\n"
    "Content-Type: text/plain; charset=us-ascii\r\n"
    "Content-Transfer-Encoding: 7bit\r\n"
    "\r\n"
    "Your message of Sat, 21 Nov 2026 18:30:00 +0000 could not be delivered to:\r\n"
    "\r\n"
    "  bob@there.example\r\n"
    "    The server mx1.there.example [192.0.2.1]:25 answered:\r\n"
    "      550-5.1.1 No such\r\n"
    "      550 5.1.1 mailbox here\r\n"
    "    What you can do: Check how the address is spelled. If it is right, the\r\n"
    "    mailbox is no longer there: ask the person for another address.\r\n"
    "\r\n"
    "It will not be tried again. Other recipients of the message are not\r\n"
    "affected.\r\n"
    "\r\n"
    "The server that wrote this report is mx.here.example and its name for your\r\n"
    "message is ak00000000000000000000bb\r\n"
    "\r\n--" BOUNDARY "\r\n"
    "Content-Type: message/delivery-status\r\n"
    "Content-Transfer-Encoding: 7bit\r\n"
    "\r\n"
    "Reporting-MTA: dns; mx.here.example\r\n"
    "Arrival-Date: Sat, 21 Nov 2026 18:30:00 +0000\r\n"
    "\r\n"
    "Final-Recipient: rfc822; bob@there.example\r\n"
    "Action: failed\r\n"
    "Status: 5.1.1\r\n"
    "Remote-MTA: dns; mx1.there.example\r\n"
    "Diagnostic-Code: smtp; 550-5.1.1 No such\r\n 550 5.1.1 mailbox here\r\n"
    "Last-Attempt-Date: Sat, 21 Nov 2026 19:30:00 +0000\r\n"
    "Final-Log-ID: ak00000000000000000000bb\r\n"
    "\r\n--" BOUNDARY "\r\n"
    "Content-Type: message/rfc822\r\n"
    "Content-Transfer-Encoding: 7bit\r\n"
    "\r\n"
    "From: a@here.example\r\nMessage-ID: <1@here.example>\r\nSubject: x\r\n\r\nhello\r\n"
    "\r\n--" BOUNDARY "--\r\n";

static void writes_failure(void **state)
{
    (void)state;
    struct mail_report report = report_of(MAIL_REPORT_FAILED);
    struct view text = write_report(&report, "failed");
    char copy[8192] = "";
    memcpy(copy, text.at, text.len);
    assert_string_equal(copy, failed);
    free_text(text);
}

static void set_delayed(struct mail_report *report)
{
    report->kind = MAIL_REPORT_DELAYED;
    recipient.code = 451;
    recipient.status[0] = 4;
    recipient.status[1] = recipient.status[2] = 0;
    recipient.will_retry_until_us = WALL_US + 24ull * 5 * HOUR_US;
}

static void set_ours(struct mail_report *report)
{
    (void)report;
    recipient.remote = VIEW_NONE;
    recipient.text = VIEW("it went in a circle");
    recipient.status[1] = 4;
    recipient.status[2] = 6;
}

static void set_bare_code(struct mail_report *report)
{
    (void)report;
    recipient.text = VIEW_NONE;
    recipient.status[0] = recipient.status[1] = recipient.status[2] = 0;
}

static void set_nothing(struct mail_report *report)
{
    set_bare_code(report);
    recipient.code = 0;
    recipient.remote = VIEW_NONE;
    recipient.last_attempt_us = 0;
}

static void set_dsn(struct mail_report *report)
{
    report->envelope_id = VIEW("QQ 314");
    recipient.original = VIEW("rfc822;list@here.example");
}

static void set_route(struct mail_report *report)
{
    report->reverse_path = VIEW("@x.example,@y.example:\"a b\"@here.example");
}

static void set_cut(struct mail_report *report)
{
    report->head_cut = true;
}

static void set_cut_in_header(struct mail_report *report)
{
    report->head = VIEW("From: a@here.example\r\nSubject: no");
    report->head_cut = true;
}

static void set_8bit(struct mail_report *report)
{
    report->head = VIEW("Subject: =J\xc3\xbcrgen\r\n\r\nhello\r\n");
}

static void set_8bit_body(struct mail_report *report)
{
    report->head = VIEW("Subject: x\r\n\r\nJ\xc3\xbcrgen\r\n");
}

static void set_no_header(struct mail_report *report)
{
    report->head = VIEW(" x\r\n");
}

static void set_no_body(struct mail_report *report)
{
    report->head = VIEW("Subject: x");
}

static void set_bad_id(struct mail_report *report)
{
    report->head = VIEW("Message-ID: <a b>\r\nMessage-Id: no\r\nmessage-id: (c) <ok@x> (d)\r\n\r\n");
}

static void set_full(struct mail_report *report)
{
    (void)report;
    recipient.status[1] = 2;
    recipient.status[2] = 2;
}

static const struct {
    const char *name;
    void (*set)(struct mail_report *report);
    const char *wanted, *unwanted;
} changes[] = {
    { "delayed subject", set_delayed, "Subject: Your message is delayed\r\n", "Check how" },
    { "delayed until", set_delayed, "It will be tried again until Thu, 26 Nov 2026 18:30:00 +0000\r\n", "failed" },
    { "delayed fields", set_delayed, "\r\nAction: delayed\r\nStatus: 4.0.0\r\n", "will not be tried" },
    { "Will-Retry-Until", set_delayed, "Will-Retry-Until: Thu, 26 Nov 2026 18:30:00 +0000\r\n", NULL },
    { "a status that was not said", set_delayed, " smtp; 451-No such\r\n 451 mailbox here\r\n", NULL },
    { "our own reason", set_ours, "    The reason:\r\n      it went in a circle\r\n    What", "Remote-MTA" },
    { "our own diagnostic", set_ours, "Diagnostic-Code: X-Gonets; 550 5.4.6 it went in a circle\r\n", "smtp;" },
    { "advice by status", set_full, "What you can do: The mailbox is full.", "Check how" },
    { "only a code", set_bare_code, "Diagnostic-Code: smtp; 550\r\n", NULL },
    { "only a code: words", set_bare_code, "answered:\r\n      550\r\n    What you can do: What was", "Check how" },
    { "only a code: status", set_bare_code, "Status: 5.0.0\r\n", NULL },
    { "nothing known", set_nothing, "Status: 5.0.0\r\nFinal-Log-ID", "Diagnostic-Code" },
    { "ENVID", set_dsn, "\r\n\r\nOriginal-Envelope-Id: QQ 314\r\nReporting-MTA", NULL },
    { "ORCPT", set_dsn, "\r\n\r\nOriginal-Recipient: rfc822;list@here.example\r\nFinal-Recipient:", NULL },
    { "written to", set_dsn, "  bob@there.example - you wrote to list@here.example\r\n", NULL },
    { "source route", set_route, "\r\nTo: <\"a b\"@here.example>\r\n", "y.example" },
    { "header alone", set_cut, "text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\nFrom: a", "hello" },
    { "cut in header", set_cut_in_header, "\r\n\r\nFrom: a@here.example\r\n\r\n--", "Subject: no" },
    { "8-bit header", set_8bit, "quoted-printable\r\n\r\nSubject: =3DJ=C3=BCrgen\r\n", "hello" },
    { "8-bit body", set_8bit_body, "text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: x", "rgen" },
    { "no header", set_no_header, "message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n x\r\n", "References" },
    { "no body", set_no_body, "message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: x\r\n--", NULL },
    { "Message-ID that can be quoted", set_bad_id, "\r\nIn-Reply-To: <ok@x>\r\nReferences: <ok@x>\r\n", "To: <a b>" },
};

static void writes_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(changes); i++) {
        struct mail_report report = report_of(MAIL_REPORT_FAILED);
        changes[i].set(&report);
        struct view text = write_report(&report, changes[i].name);
        if (!contains(text, view_of(changes[i].wanted)))
            fail_msg("row \"%s\": got\n%.*s", changes[i].name, VIEW_FORMAT(text));
        assert_row(!changes[i].unwanted || !contains(text, view_of(changes[i].unwanted)), changes[i].name);
        free_text(text);
    }
}

/* ---- whatever is put in ---- */

static void expect_fields(struct view text, const char *row)
{
    static const char *const names[] = {
        "From",        "To",         "Subject",        "Date",         "Message-ID",
        "In-Reply-To", "References", "Auto-Submitted", "MIME-Version", "Content-Type"
    };
    struct mail_field field;
    size_t at = 0;
    while (mail_header_next(&text, &field)) {
        while (at < ROWS(names) && !mail_field_is(&field, names[at]))
            at++; /* some may be absent */
        assert_row(at++ < ROWS(names), row);
    }
    assert_row(at == ROWS(names), row);
}

/* ASCII, lines that end by CRLF and are not too long. */
static void expect_lines(struct view text, const char *row)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        assert_row(ascii_is_print(c) || c == '\t' || c == '\r' || c == '\n', row);
        assert_row((c == '\n') == (i > 0 && text.at[i - 1] == '\r'), row);
        column = c == '\n' ? 0 : column + 1;
        assert_row(column <= 999, row); /* with the CR */
    }
}

static size_t count_lines(struct view text, const char *prefix)
{
    size_t count = 0;
    while (text.len)
        count += view_starts(view_take_until(&text, '\n'), view_of(prefix));
    return count;
}

static void expect_sound(const struct mail_report *report, const char *row)
{
    struct view text = write_report(report, row);
    expect_fields(text, row);
    expect_lines(text, row);
    assert_row(count_lines(text, "--=_") >= 4, row);
    assert_row(count_lines(text, "Action: ") == 1, row);
    assert_row(count_lines(text, "Final-Recipient: ") == 1, row);
    assert_row(count_lines(text, "X-Evil") == 0, row);
    free_text(text);
}

static const struct {
    const char *name;
    struct view text;
} evils[] = {
    { "field", TEXT("a\r\nX-Evil: y") },
    { "LF", TEXT("a\nX-Evil: y\nAction: delivered") },
    { "CR", TEXT("a\rX-Evil: y") },
    { "end of header", TEXT("a\r\n\r\nX-Evil: y\r\n\r\nFinal-Recipient: rfc822; x@y\r\nAction: delivered") },
    { "NUL", TEXT("a\0b\r\nX-Evil: y") },
    { "ESC and 8-bit", TEXT("\x1b]0;y\x07\xff\xc3\xa4\x80") },
    { "format", TEXT("%s%n%d%1000000d") },
    { "brackets", TEXT("a> <b@c>, (((\\\"") },
    { "the boundary", TEXT("\r\n--" BOUNDARY "\r\n\r\n--" BOUNDARY "--\r\n") },
    { "blank", TEXT(" \r\n \t\r\n ") },
    { "line ends", TEXT("\n\n\n\n\n\n") },
    { "semicolons", TEXT(";;;rfc822;;\r\n;") },
};

/* H41 H132 */
static void nothing_gets_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(evils); i++) {
        for (size_t place = 0; place < 7; place++) {
            struct mail_report report = report_of(MAIL_REPORT_FAILED);
            struct view *const places[] = { &report.hostname, &report.reverse_path, &report.envelope_id,
                                            &recipient.path,  &recipient.original,  &recipient.text,
                                            &recipient.remote };
            *places[place] = evils[i].text;
            expect_sound(&report, evils[i].name);
        }
    }
}

/* Every field is long, without a blank or full of line ends, and still fits in the room that was asked for. */
static void long_texts_fit(void **state)
{
    (void)state;
    static char words[3][4000];
    memset(words[0], 'x', sizeof words[0]);
    memset(words[1], '\n', sizeof words[1]);
    for (size_t i = 0; i < sizeof words[2]; i++)
        words[2][i] = i % 2 ? ' ' : 'y';
    for (size_t i = 0; i < 3; i++) {
        struct mail_report report = report_of(MAIL_REPORT_DELAYED);
        struct view text = { words[i], sizeof words[i] };
        recipient.text = recipient.remote = recipient.path = report.envelope_id = text;
        recipient.original = report.reverse_path = report.hostname = view_slice(text, 0, 600);
        struct view written = write_report(&report, "long");
        expect_lines(written, "long");
        free_text(written);
    }
}

static void boundary_is_not_guessed(void **state)
{
    (void)state;
    char head[4096];
    struct buffer text = BUFFER_OF(head);
    struct mail_report report = report_of(MAIL_REPORT_FAILED);
    for (unsigned i = 0; i < 20; i++)
        buffer_addf(&text, "--=_ak00000000000000000000aa.%u\r\n", i);
    report.head = buffer_view(&text);
    recipient.text = VIEW("=_ak00000000000000000000aa.20");
    struct view written = write_report(&report, "guess");
    assert_true(contains(written, VIEW("boundary=\"=_ak00000000000000000000aa.21\"\r\n")));
    assert_int_equal(count_lines(written, "--=_ak00000000000000000000aa.21"), 4);
    free_text(written);
}

/* H132 */
static void large_original_is_its_header(void **state)
{
    (void)state;
    static char memory[MAIL_REPORT_WHOLE_MAX + 1];
    struct mail_report report = report_of(MAIL_REPORT_FAILED);
    for (size_t i = 0; i < sizeof memory; i++)
        memory[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'z';
    memcpy(memory, header, sizeof header - 1);
    memcpy(memory + sizeof header - 1, "\r\n", 2);
    for (size_t more = 0; more < 2; more++) {
        report.head = (struct view){ memory, MAIL_REPORT_WHOLE_MAX + more };
        struct view text = write_report(&report, "large");
        assert_int_equal(contains(text, VIEW("message/rfc822")), !more);
        assert_int_equal(contains(text, VIEW("zzzz")), !more);
        free_text(text);
    }
}

static void says_when_there_is_no_room(void **state)
{
    (void)state;
    static char memory[sizeof failed];
    struct mail_report report = report_of(MAIL_REPORT_FAILED);
    for (size_t cap = 0; cap < sizeof failed - 1; cap += 7) {
        struct buffer to = { memory, 0, cap, false };
        assert_false(mail_report_write(&to, &report));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_failure),
        cmocka_unit_test(writes_changes),
        cmocka_unit_test(nothing_gets_out),
        cmocka_unit_test(long_texts_fit),
        cmocka_unit_test(boundary_is_not_guessed),
        cmocka_unit_test(large_original_is_its_header),
        cmocka_unit_test(says_when_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
