#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/dialogue.h"

#define HELLO    "EHLO c.test\r\n"
#define OPENED   "220|250-|250-PIPELINING|250-SIZE 1000|250-8BITMIME|250-ENHANCEDSTATUSCODES|250 HELP|"
#define BEGUN    HELLO "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"
#define BEGAN    OPENED "250 2.1.0|250 2.1.5|"
#define ENVELOPE "EHLO c.test\nMAIL <a@b.test>\nRCPT <c@d.test>\n"

struct row {
    const char *name;
    const struct smtp_server_profile *profile;
    struct view bytes;
    const char *replies; /* the beginning of each reply line, ended by '|' */
    struct view events;  /* all of them */
};

/* What the replies are supposed to begin with, line by line. */
static bool replies_match(struct view replies, struct view expected)
{
    while (expected.len) {
        struct view line = view_take_until(&replies, '\n');
        if (!view_starts(line, view_take_until(&expected, '|')))
            return false;
        if (!line.len)
            return false;
    }
    return replies.len == 0;
}

static void fail_row(const struct row *row, const char *why, const struct dialogue *d)
{
    fail_msg("%s: %s\n-- replies:\n%.*s-- events:\n%.*s", row->name, why, VIEW_FORMAT(text_view(&d->replies)),
             VIEW_FORMAT(text_view(&d->events)));
}

static void check_row(const struct row *row)
{
    struct dialogue whole, split;
    dialogue_play(&whole, row->profile, row->bytes, row->bytes.len, 1);
    if (!replies_match(text_view(&whole.replies), view_of(row->replies)))
        fail_row(row, "other replies", &whole);
    if (!view_equal(text_view(&whole.events), row->events))
        fail_row(row, "other events", &whole);
    const char *fault = dialogue_grammar_fault(text_view(&whole.replies));
    if (fault)
        fail_row(row, fault, &whole);
    for (size_t first = 0; first < row->bytes.len; first++) {
        dialogue_play(&split, row->profile, row->bytes, first, first ? row->bytes.len : 1);
        if (!view_equal(text_view(&split.replies), text_view(&whole.replies)) ||
            !view_equal(text_view(&split.events), text_view(&whole.events)))
            fail_row(row, "other outcome when cut", &split);
        dialogue_free(&split);
    }
    dialogue_free(&whole);
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_row(&rows[i]);
}

#define CHECK(...)                                                                                                     \
    do {                                                                                                               \
        const struct row rows[] = { __VA_ARGS__ };                                                                     \
        check_rows(rows, sizeof rows / sizeof *rows);                                                                  \
    } while (0)
#define STRICT  &dialogue_strict
#define LENIENT &dialogue_lenient

static void commands(void **state)
{
    (void)state;
    CHECK(
        { "HELO has no list", STRICT, VIEW("helo c.test\r\nQUIT\r\n"),
          "220 mx.test ESMTP|250 mx.test greets you|221 2.0.0 mx.test|", VIEW("HELO c.test\nCLOSE\n") },
        { "EHLO", STRICT, VIEW("eHlO c.test\r\n"), OPENED, VIEW("EHLO c.test\n") },
        { "SIZE 0 without a maximum", LENIENT, VIEW("EHLO c.test\r\n"),
          "220 mx.test ESMTP at your service|250-|250-PIPELINING|250-SIZE 0|250-8BITMIME|250-ENHANCEDSTATUSCODES|250 "
          "HELP|",
          VIEW("EHLO c.test\n") },
        { "a whole session", STRICT, VIEW(BEGUN "DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n"),
          BEGAN "354 |250 2.0.0|221 2.0.0|", VIEW(ENVELOPE "END Subject: x\r\n\r\nhi\r\n\nCLOSE\n") },
        { "anywhere, before HELO too", STRICT,
          VIEW("NOOP\r\nnoop some words\r\nHELP\r\nHELP rcpt\r\nHELP x\r\nVRFY joe\r\nEXPN list\r\nRSET\r\nETRN "
               "x.test\r\nTURN\r\nQUIT\r\n"),
          "220|250 2.0.0|250 2.0.0|214-2.0.0 This is|214-2.0.0 Topics|214-2.0.0     HELO|214-2.0.0     VRFY|214-2.0.0 "
          "For "
          "more|214-2.0.0 To reach|214 2.0.0 End of HELP info|214-2.0.0 RCPT|214 2.0.0 End of HELP info|504 5.5.4|252 "
          "2.5.2|502 5.5.1|250 2.0.0|502 5.5.1|502 5.5.1|221 2.0.0|",
          VIEW("CLOSE\n") },
        { "blanks at the end", STRICT, VIEW("EHLO c.test \t\r\nMAIL FROM:<a@b.test>  \r\nRSET \r\n"),
          OPENED "250 2.1.0|250 2.0.0|", VIEW("EHLO c.test\nMAIL <a@b.test>\nRESET\n") },
        { "unknown and empty", STRICT, VIEW("FOO\r\n\r\nMAILFROM:<a@b.test>\r\nRCPTTO\r\n"),
          "220|500 5.5.2|500 5.5.2|500 5.5.2|500 5.5.2|", VIEW("") },
        { "arguments that do not belong", STRICT, VIEW(BEGUN "DATA x\r\nRSET x\r\nQUIT x\r\nVRFY\r\n"),
          BEGAN "501 5.5.4|501 5.5.4|501 5.5.4|501 5.5.4|", VIEW(ENVELOPE) },
        { "nothing after QUIT", STRICT, VIEW("QUIT\r\nNOOP\r\n"), "220|221|", VIEW("CLOSE\n") },
        { "QUIT drops the transaction", STRICT, VIEW(BEGUN "QUIT\r\n"), BEGAN "221|", VIEW(ENVELOPE "RESET\nCLOSE\n") },
        { "the caller closes", STRICT, VIEW("EHLO c.test\r\nMAIL FROM:<hangup@b.test>\r\nNOOP\r\n"),
          OPENED "421 4.7.0|", VIEW("EHLO c.test\nMAIL <hangup@b.test>\nCLOSE\n") },
        { "the caller closes in a transaction", STRICT, VIEW(BEGUN "RCPT TO:<hangup>\r\nNOOP\r\n"), BEGAN "421 4.7.0|",
          VIEW(ENVELOPE "RCPT <hangup>\nRESET\nCLOSE\n") });
}

static void hello_names(void **state)
{
    (void)state;
    CHECK({ "none", STRICT, VIEW("HELO\r\nEHLO \r\n"), "220|501 a host name|501 a host name|", VIEW("") },
          { "none, lenient", LENIENT, VIEW("HELO\r\n"), "220|250 mx.test domain name should be qualified|",
            VIEW("HELO \n") },
          { "literals, underscores, single labels", STRICT,
            VIEW("HELO [192.0.2.1]\r\nHELO my_pc\r\nHELO localhost\r\nHELO [IPv6:::1] says me\r\n"),
            "220|250|250|250|250|", VIEW("HELO [192.0.2.1]\nHELO my_pc\nHELO localhost\nHELO [IPv6:::1]\n") },
          { "two words", STRICT, VIEW("HELO a b\r\n"), "220|501|", VIEW("") },
          { "two words, lenient", LENIENT, VIEW("HELO a b\r\n"), "220|250|", VIEW("HELO a\n") },
          { "refused: nothing changes", STRICT, VIEW(BEGUN "HELO refuse\r\nDATA\r\nx\r\n.\r\n"),
            BEGAN "550 no such|354|250|", VIEW(ENVELOPE "HELO refuse\nEND x\r\n\n") },
          { "accepted: the transaction is gone", STRICT, VIEW(BEGUN "HELO x.test\r\nRCPT TO:<c@d.test>\r\n"),
            BEGAN "250 mx.test|503 5.5.1|", VIEW(ENVELOPE "HELO x.test\nRESET\n") });
}

/* H23 */
static void hostile_hello_names(void **state)
{
    (void)state;
    char longest[300];
    memcpy(longest, "HELO ", 5);
    memset(longest + 5, 'a', 256);
    memcpy(longest + 5 + 256, "\r\n", 2);
    CHECK({ "escape", STRICT, VIEW("EHLO x\x1b]0;y\x07\r\n"), "220|501 this is no host name|", VIEW("") },
          { "8 bits", STRICT, VIEW("EHLO \xff\r\n"), "220|501 this is no host name|", VIEW("") },
          { "DEL", STRICT, VIEW("EHLO a\x7f\r\n"), "220|501 this is no host name|", VIEW("") },
          { "256", STRICT, { longest, 263 }, "220|501 this is no host name|", VIEW("") });
}

/* H17 */
static void out_of_order(void **state)
{
    (void)state;
    CHECK({ "before HELO", STRICT, VIEW("MAIL FROM:<a@b.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n"),
            "220|503 5.5.1 send HELO or EHLO first|503 5.5.1 send HELO|503 5.5.1 send HELO|", VIEW("") },
          { "before MAIL", STRICT, VIEW("HELO a\r\nRCPT TO:<a@b.test>\r\nDATA\r\n"),
            "220|250|503 5.5.1 send MAIL|503 5.5.1 send MAIL|", VIEW("HELO a\n") },
          { "second MAIL", STRICT, VIEW(BEGUN "MAIL FROM:<x@y.test>\r\nDATA\r\nx\r\n.\r\n"),
            BEGAN "503 5.5.1 a message|354|250|", VIEW(ENVELOPE "END x\r\n\n") },
          { "no recipient", STRICT, VIEW("HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<refuse>\r\nDATA\r\n"),
            "220|250|250 2.1.0|550 5.1.1|503 5.5.1 send RCPT|", VIEW("HELO a\nMAIL <>\nRCPT <refuse>\n") });
}

static void paths(void **state)
{
    (void)state;
    CHECK(
        { "forms", STRICT,
          VIEW(HELLO "MAIL FROM: rich@shadrach.test\r\nRCPT TO:rich\r\nRCPT TO: <Postmaster>\r\nRCPT TO:<haley>\r\n"
                     "rcpt to:<@a.test, @b.test:u@c.test>\r\nRCPT TO:<u@[192.0.2.7]>\r\n"),
          OPENED "250 2.1.0|250 2.1.5|250 2.1.5|250 2.1.5|250 2.1.5|250 2.1.5|",
          VIEW("EHLO c.test\nMAIL <rich@shadrach.test>\nRCPT <rich>\nRCPT <Postmaster>\nRCPT <haley>\n"
               "RCPT <@a.test,@b.test:u@c.test>\nRCPT <u@[192.0.2.7]>\n") },
        { "lenient forms", LENIENT,
          VIEW("HELO a\r\nMAIL FROM: Test User <user@mail.test>\r\nRCPT TO: \"A <b\" < user@gmail.test >\r\n"),
          "220|250|250|250|", VIEW("HELO a\nMAIL <user@mail.test>\nRCPT <user@gmail.test>\n") },
        { "lenient forms, strict listener", STRICT,
          VIEW("HELO a\r\nMAIL FROM: Test <u@m.test>\r\nMAIL FROM:< u@m.test>\r\n"), "220|250|501|501 5.1.7|",
          VIEW("HELO a\n") },
        { "wrong", STRICT,
          VIEW(
              HELLO
              "MAIL\r\nMAIL <a@b.test>\r\nMAIL FROM a@b\r\nMAIL FROM:\r\nMAIL FROM:<a@b.test\r\nMAIL "
              "FROM:<a@b.test>x\r\n"
              "MAIL FROM:<\xc3\xbc@b.test>\r\nMAIL FROM:<a@\x01>\r\nMAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<a@b@c>\r\n"),
          OPENED
          "501 5.5.2|501 5.5.2|501 5.5.2|501 5.1.7|501 5.1.7|501 5.1.7|553 5.6.7|501 5.1.7|250|501 5.1.3|501 5.1.3|",
          VIEW("EHLO c.test\nMAIL <>\n") },
        { "refusals leave the others", STRICT,
          VIEW(BEGUN "RCPT TO:<refuse>\r\nRCPT TO:<later>\r\nRCPT TO:<e@f.test>\r\nDATA\r\nx\r\n.\r\n"),
          BEGAN "550 5.1.1|451 4.0.0|250 2.1.5|354|250|",
          VIEW(ENVELOPE "RCPT <refuse>\nRCPT <later>\nRCPT <e@f.test>\nEND x\r\n\n") },
        { "refused MAIL begins nothing", STRICT, VIEW(HELLO "MAIL FROM:<refuse> BODY=7BIT\r\nMAIL FROM:<a@b.test>\r\n"),
          OPENED "550 5.1.1|250|", VIEW("EHLO c.test\nMAIL <refuse> body=7BIT\nMAIL <a@b.test>\n") });
}

/* H21 */
static void parameters(void **state)
{
    (void)state;
    static const struct {
        const char *words, *reply, *event;
    } rows[] = {
        { "SIZE=500 BODY=8bitmime", "250 2.1.0|", " size=500 body=8BITMIME\n" },
        { "body=7bit", "250 2.1.0|", " body=7BIT\n" },
        { "SIZE=1000", "250 2.1.0|", " size=1000\n" },
        { "SIZE=0", "250 2.1.0|", " size=0\n" },
        { "SIZE=1001", "552 5.3.4|", NULL },
        { "SIZE=99999999999999999999", "552 5.3.4|", NULL },
        { "SIZE=100000000000000000000", "501 5.5.4|", NULL },
        { "SIZE= 1", "501 5.5.4|", NULL },
        { "SIZE=", "501 5.5.4|", NULL },
        { "SIZE", "501 5.5.4|", NULL },
        { "SIZE=-1", "501 5.5.4|", NULL },
        { "SIZE=1=2", "501 5.5.4|", NULL },
        { "SIZE=1 SIZE=2", "501 5.5.4|", NULL },
        { "SIZE=1 SIZE=1", "501 5.5.4|", NULL },
        { "BODY=7BIT BODY=8BITMIME", "501 5.5.4|", NULL },
        { "BODY=BINARYMIME", "501 5.5.4|", NULL },
        { "BODY", "501 5.5.4|", NULL },
        { "=x", "501 5.5.4|", NULL },
        { "=", "501 5.5.4|", NULL },
        { "-x=1", "501 5.5.4|", NULL },
        { "A_B=1", "501 5.5.4|", NULL },
        { "AUTH=", "501 5.5.4|", NULL },
        { "AUTH=\"", "555 5.5.4|", NULL },
        { "RET=FULL", "555 5.5.4|", NULL },
        { "SIZE=1 FOO", "555 5.5.4|", NULL },
        { "A=1 B=2 C=3 D=4", "555 5.5.4|", NULL },
        { "A=\xff", "501 5.5.4|", NULL },
        { "SIZE=1\t\t BODY=7BIT", "250 2.1.0|", " size=1 body=7BIT\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text bytes = { 0 }, replies = { 0 }, events = { 0 };
        text_addf(&bytes, HELLO "MAIL FROM:<a@b.test> %s\r\n", rows[i].words);
        text_addf(&replies, OPENED "%s", rows[i].reply);
        text_add(&replies, (struct view){ "", 1 });
        text_addf(&events, "EHLO c.test\n");
        if (rows[i].event)
            text_addf(&events, "MAIL <a@b.test>%s", rows[i].event);
        check_row(&(struct row){ rows[i].words, STRICT, text_view(&bytes), replies.at, text_view(&events) });
        free(bytes.at);
        free(replies.at);
        free(events.at);
    }
    struct text many = { 0 };
    text_addf(&many, HELLO "MAIL FROM:<a@b.test>");
    for (int i = 0; i < 200; i++)
        text_addf(&many, " P%d=1", i);
    text_addf(&many, "\r\nMAIL FROM:<> SIZE=1\r\nRCPT TO:<a> SIZE=1\r\nRCPT TO:<a> =\r\n");
    check_row(&(struct row){ "200", STRICT, text_view(&many), OPENED "555 5.5.4|250|555 5.5.4|501 5.5.4|",
                             VIEW("EHLO c.test\nMAIL <> size=1\n") });
    free(many.at);
}

static void data(void **state)
{
    (void)state;
    CHECK({ "empty", STRICT, VIEW(BEGUN "DATA\r\n.\r\n"), BEGAN "354|250|", VIEW(ENVELOPE "END \n") },
          { "dots", STRICT, VIEW(BEGUN "DATA\r\n..\r\n...\r\n.x\r\nx.\r\n..x\r\n.\r\n"), BEGAN "354|250|",
            VIEW(ENVELOPE "END .\r\n..\r\nx\r\nx.\r\n.x\r\n\n") },
          { "8 bits are kept", STRICT, VIEW(BEGUN "DATA\r\n\xff\x80\xd0\x9f\r\n.\r\n"), BEGAN "354|250|",
            VIEW(ENVELOPE "END \xff\x80\xd0\x9f\r\n\n") },
          { "several messages", STRICT,
            VIEW(BEGUN "DATA\r\n1\r\n.\r\nMAIL FROM:<x@y.test>\r\nRCPT TO:<z@y.test>\r\nDATA\r\n2\r\n.\r\n"),
            BEGAN "354|250|250 2.1.0|250 2.1.5|354|250|",
            VIEW(ENVELOPE "END 1\r\n\nMAIL <x@y.test>\nRCPT <z@y.test>\nEND 2\r\n\n") },
          { "refused DATA leaves the transaction", STRICT,
            VIEW(HELLO "MAIL FROM:<nodata>\r\nRCPT TO:<a>\r\nDATA\r\nRCPT TO:<b>\r\nDATA\r\nRSET\r\n"),
            OPENED "250|250|451 4.0.0|250 2.1.5|451 4.0.0|250 2.0.0|",
            VIEW("EHLO c.test\nMAIL <nodata>\nRCPT <a>\nRCPT <b>\nRESET\n") },
          { "the caller spoils", STRICT,
            VIEW(HELLO "MAIL FROM:<spoil>\r\nRCPT TO:<a>\r\nDATA\r\nx\r\n.\r\nNOOP\r\nMAIL FROM:<b>\r\nRCPT "
                       "TO:<c>\r\nDATA\r\n.\r\n"),
            OPENED "250|250|354|452 4.3.1|250|250|250|354|250|",
            VIEW("EHLO c.test\nMAIL <spoil>\nRCPT <a>\nRESET\nMAIL <b>\nRCPT <c>\nEND \n") });
}

/* H8 */
static void pipelined_after_the_dot(void **state)
{
    (void)state;
    CHECK({ "RSET and QUIT", STRICT, VIEW(BEGUN "DATA\r\nx\r\n.\r\nRSET\r\nQUIT\r\n"),
            BEGAN "354|250 2.0.0|250 2.0.0|221|", VIEW(ENVELOPE "END x\r\n\nCLOSE\n") });
}

/* H2 */
static void bare_line_ends(void **state)
{
    (void)state;
    CHECK({ "LF", STRICT, VIEW(BEGUN "DATA\r\na\nb\r\n.\r\nNOOP\r\n"), BEGAN "354|550 5.5.2|",
            VIEW(ENVELOPE "RESET\nCLOSE\n") },
          { "CR", STRICT, VIEW(BEGUN "DATA\r\na\rb\r\n.\r\nNOOP\r\n"), BEGAN "354|550 5.5.2|",
            VIEW(ENVELOPE "RESET\nCLOSE\n") },
          { "no reply before the true end", STRICT, VIEW(BEGUN "DATA\r\na\nb\r\n..\r\nmore\n.\n"), BEGAN "354|",
            VIEW(ENVELOPE) },
          { "lenient in commands alone", LENIENT,
            VIEW("HELO a\nMAIL FROM:<a>\nRCPT TO:<b>\nDATA\nx\n.\r\nQUIT\n\r\n.\r\nNOOP\n"),
            "220|250|250|250|354|550 5.5.2|", VIEW("HELO a\nMAIL <a>\nRCPT <b>\nRESET\nCLOSE\n") },
          { "too large as well", STRICT, VIEW(BEGUN "DATA\r\n\r\r\n.\r\n"), BEGAN "354|550 5.5.2|",
            VIEW(ENVELOPE "RESET\nCLOSE\n") },
          { "the caller spoils as well", STRICT,
            VIEW(HELLO "MAIL FROM:<spoil>\r\nRCPT TO:<a>\r\nDATA\r\nx\r\n\n.\r\n.\r\n"),
            OPENED "250|250|354|550 5.5.2|", VIEW("EHLO c.test\nMAIL <spoil>\nRCPT <a>\nRESET\nCLOSE\n") });
}

/* H9 */
static void content_after_refused_data(void **state)
{
    (void)state;
    CHECK({ "with a header", STRICT,
            VIEW(HELLO "MAIL FROM:<a@b.test>\r\nRCPT TO:<refuse>\r\nDATA\r\nSubject: x\r\n\r\nMAIL FROM:<e@x>\r\nRCPT "
                       "TO:<c>\r\nDATA\r\nx\r\n.\r\n"),
            OPENED "250|550 5.1.1|503 5.5.1|421 4.7.0|",
            VIEW("EHLO c.test\nMAIL <a@b.test>\nRCPT <refuse>\nRESET\nCLOSE\n") },
          { "with commands at once", STRICT,
            VIEW(HELLO "MAIL FROM:<a@b.test>\r\nRCPT TO:<refuse>\r\nDATA\r\nMAIL FROM:<e@x>\r\nRCPT "
                       "TO:<c>\r\nDATA\r\nx\r\n.\r\n"),
            OPENED "250|550 5.1.1|503 5.5.1|421 4.7.0|",
            VIEW("EHLO c.test\nMAIL <a@b.test>\nRCPT <refuse>\nRESET\nCLOSE\n") },
          { "MAIL refused too", STRICT,
            VIEW(HELLO "MAIL FROM:<refuse>\r\nRCPT TO:<c>\r\nDATA\r\nSubject: x\r\nMAIL FROM:<e@x>\r\n"),
            OPENED "550|503|503|421 4.7.0|", VIEW("EHLO c.test\nMAIL <refuse>\nCLOSE\n") },
          { "lenient: errors, up to their number", LENIENT,
            VIEW("HELO a\r\nMAIL FROM:<a>\r\nRCPT "
                 "TO:<refuse>\r\nDATA\r\n1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n9\r\n10\r\n11\r\n12\r\n13\r\n14\r\n"
                 "15\r\n16\r\n17\r\n18\r\nMAIL FROM:<e@x>\r\nDATA\r\n"),
            "220|250|250|550|503|500|500|500|500|500|500|500|500|500|500|500|500|500|500|500|500|500|500|421 4.7.0|",
            VIEW("HELO a\nMAIL <a>\nRCPT <refuse>\nRESET\nCLOSE\n") },
          { "a client that starts again", STRICT,
            VIEW(HELLO
                 "MAIL FROM:<refuse>\r\nDATA\r\nMAIL FROM:<a>\r\nFOO\r\nRCPT TO:<refuse>\r\nDATA\r\nRSET\r\nFOO\r\n"),
            OPENED "550|503|250|500|550|503|250|500|",
            VIEW("EHLO c.test\nMAIL <refuse>\nMAIL <a>\nRCPT <refuse>\nRESET\n") });
}

/* H11 */
static void other_protocols(void **state)
{
    (void)state;
    CHECK({ "POST", STRICT, VIEW("POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\nMAIL FROM:<a>\r\n"), "220|421 4.7.0|",
            VIEW("CLOSE\n") },
          { "get", LENIENT, VIEW("get /\nEHLO x\r\n"), "220|421 4.7.0|", VIEW("CLOSE\n") },
          { "in a transaction", STRICT, VIEW(BEGUN "CONNECT a:25\r\nNOOP\r\n"), BEGAN "421 4.7.0|",
            VIEW(ENVELOPE "RESET\nCLOSE\n") },
          { "host", STRICT, VIEW("host:x\r\nNOOP\r\n"), "220|421 4.7.0|", VIEW("CLOSE\n") },
          { "PUT", STRICT, VIEW("PUT\r\nNOOP\r\n"), "220|421 4.7.0|", VIEW("CLOSE\n") },
          { "HEAD", STRICT, VIEW("HEAD /\r\nNOOP\r\n"), "220|421 4.7.0|", VIEW("CLOSE\n") },
          { "OPTIONS", STRICT, VIEW("OPTIONS *\r\nNOOP\r\n"), "220|421 4.7.0|", VIEW("CLOSE\n") },
          { "TLS", STRICT, VIEW("\x16\x03\x01\x02\x00\x01\x00\r\nNOOP\r\n"), "220|421 4.7.0|", VIEW("CLOSE\n") });
}

/* H12 */
static void nul_bytes(void **state)
{
    (void)state;
    static const char *const lines[] = { "EHLO c.test", "MAIL FROM:<a@b.test> SIZE=1", "RCPT TO:<c>", "NOOP", "VRFY a",
                                         "RSET" };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        for (size_t at = 0; at <= strlen(lines[i]); at++) {
            struct text bytes = { 0 };
            text_add(&bytes, view_slice(view_of(lines[i]), 0, at));
            text_add(&bytes, (struct view){ "", 1 });
            text_add(&bytes, view_slice(view_of(lines[i]), at, SIZE_MAX));
            text_addf(&bytes, "\r\n");
            check_row(&(struct row){ lines[i], STRICT, text_view(&bytes), "220|501 5.5.2|", VIEW("") });
            free(bytes.at);
        }
    }
    CHECK({ "in the header", STRICT, VIEW(BEGUN "DATA\r\nSubject: \0x\r\n\r\nhi\r\n.\r\nNOOP\r\n"),
            BEGAN "354|550 5.6.0|250|", VIEW(ENVELOPE "RESET\n") },
          { "instead of a header", STRICT, VIEW(BEGUN "DATA\r\n\0\r\n.\r\n"), BEGAN "354|550 5.6.0|",
            VIEW(ENVELOPE "RESET\n") },
          { "in the body", STRICT, VIEW(BEGUN "DATA\r\nSubject: x\r\n\r\n\0\0hi\0\r\n.\r\n"), BEGAN "354|250|",
            VIEW(ENVELOPE "END Subject: x\r\n\r\n\0\0hi\0\r\n\n") },
          { "in a body alone", STRICT, VIEW(BEGUN "DATA\r\n\r\n\0\r\n.\r\n"), BEGAN "354|250|",
            VIEW(ENVELOPE "END \r\n\0\r\n\n") });
}

static void command_line_ends(void **state)
{
    (void)state;
    CHECK({ "bare LF", STRICT, VIEW("NOOP\nNOOP\r\nNOOP\r\n"), "220|501 5.5.2|250|", VIEW("") },
          { "bare CR", STRICT, VIEW("NOOP\rNOOP\r\nNOOP\r\r\n\rNOOP\r\n"), "220|501 5.5.2|501 5.5.2|501 5.5.2|",
            VIEW("") },
          { "bare LF, by hand", LENIENT, VIEW("NOOP\nNOOP\r\nNOOP\r\r\n\nQUIT\n"),
            "220|250|250|501 5.5.2|500 5.5.2|221|", VIEW("CLOSE\n") },
          { "8 bits", STRICT, VIEW("NOOP \xd0\x9f\r\nVRFY \xc3\xbc\r\n\xff\r\nRSET \xff\r\n"),
            "220|500 5.5.2|500 5.5.2|500 5.5.2|500 5.5.2|", VIEW("") });
}

/* H14 */
static void rejected_at_the_end(void **state)
{
    (void)state;
    CHECK({ "nothing is left", STRICT,
            VIEW(HELLO "MAIL FROM:<badend> SIZE=5\r\nRCPT TO:<c>\r\nDATA\r\nx\r\n.\r\nRCPT TO:<x@y>\r\nDATA\r\nMAIL "
                       "FROM:<ok>\r\nRCPT TO:<x@y>\r\nDATA\r\n.\r\n"),
            OPENED "250|250|354|554 5.7.1|503|503|250|250|354|250|",
            VIEW("EHLO c.test\nMAIL <badend> size=5\nRCPT <c>\nEND x\r\n\nMAIL <ok>\nRCPT <x@y>\nEND \n") });
}

/* The founding texts' sessions: 000, RFC 821's (also RFC 5321 appendix D.1), 002 and 003. */
static void founding_sessions(void **state)
{
    (void)state;
    CHECK(
        { "K1: HELO without a name, one of two recipients", LENIENT,
          VIEW("HELO\r\nMAIL FROM: <sender@company.test>\r\nRCPT TO:<user@company.test>\r\nRCPT TO: "
               "<refuse@company.test >\r\n"
               "DATA\r\nHi!\r\n.\r\nQUIT\r\n"),
          "220 |250 mx.test domain name should be qualified|250 |250 |550 |354 |250 |221 |",
          VIEW("HELO \nMAIL <sender@company.test>\nRCPT <user@company.test>\nRCPT <refuse@company.test>\nEND "
               "Hi!\r\n\nCLOSE\n") },
        { "K5: Smith to Jones, Green, Brown", STRICT,
          VIEW(
              "HELO usc.test\r\nMAIL FROM: <Smith@usc.test>\r\nRCPT TO:<Jones@mit.test>\r\nRCPT TO:<Green@mit.test>\r\n"
              "RCPT TO:<Brown@mit.test>\r\nDATA\r\nBlah blah blah...\r\n...etc. etc. etc.\r\n.\r\nQUIT\r\n"),
          "220 |250 |250 |250 |550 |250 |354 |250 |221 |",
          VIEW("HELO usc.test\nMAIL <Smith@usc.test>\nRCPT <Jones@mit.test>\nRCPT <Green@mit.test>\nRCPT "
               "<Brown@mit.test>\n"
               "END Blah blah blah...\r\n..etc. etc. etc.\r\n\nCLOSE\n") },
        { "names before the brackets", LENIENT,
          VIEW("HELO some.host.test\r\nMAIL FROM: Test User <user@mail.test>\r\nRCPT TO: Gmail User "
               "<user@gmail.test>\r\nDATA\r\n"
               "From: Test User <user@mail.test>\r\nSubject: Hello, Gmail User!\r\n\r\nHow are you?\r\n.\r\nQUIT\r\n"),
          "220 |250 |250 |250 |354 |250 |221 |",
          VIEW("HELO some.host.test\nMAIL <user@mail.test>\nRCPT <user@gmail.test>\nEND From: Test User "
               "<user@mail.test>\r\n"
               "Subject: Hello, Gmail User!\r\n\r\nHow are you?\r\n\nCLOSE\n") },
        { "D.2: aborted", STRICT,
          VIEW(
              HELLO
              "MAIL FROM:<Smith@bar.test>\r\nRCPT TO:<Jones@foo.test>\r\nRCPT TO:<Green@foo.test>\r\nRSET\r\nQUIT\r\n"),
          OPENED "250 |250 |550 |250 |221 |",
          VIEW("EHLO c.test\nMAIL <Smith@bar.test>\nRCPT <Jones@foo.test>\nRCPT <Green@foo.test>\nRESET\nCLOSE\n") },
        { "D.3: relayed", STRICT,
          VIEW(HELLO "MAIL FROM:<JQP@bar.test>\r\nRCPT TO:<@foo.test:Jones@XYZ.TEST>\r\nDATA\r\nReceived: from "
                     "bar.test by foo.test ; "
                     "Thu, 21 May 1998\r\n    05:33:29 -0700\r\n\r\nBill:\r\n.\r\nQUIT\r\n"),
          OPENED "250 |250 |354 |250 |221 |",
          VIEW("EHLO c.test\nMAIL <JQP@bar.test>\nRCPT <@foo.test:Jones@XYZ.TEST>\nEND Received: from bar.test by "
               "foo.test ; Thu, 21 May "
               "1998\r\n    05:33:29 -0700\r\n\r\nBill:\r\n\nCLOSE\n") },
        { "D.4: verifying", STRICT,
          VIEW(HELLO "VRFY Crispin\r\nMAIL FROM:<EAK@bar.test>\r\nVRFY x\r\nRCPT "
                     "TO:<Admin.MRC@foo.test>\r\nDATA\r\nBlah\r\n.\r\nQUIT\r\n"),
          OPENED "252 2.5.2|250 |252 2.5.2|250 |354 |250 |221 |",
          VIEW("EHLO c.test\nMAIL <EAK@bar.test>\nRCPT <Admin.MRC@foo.test>\nEND Blah\r\n\nCLOSE\n") },
        { "K14: by hand, lines ended by LF", LENIENT, VIEW("helo me\nmail from: a@b.test\nrcpt to: c\nrset\nquit\n"),
          "220 |250 |250 |250 |250 |221 |", VIEW("HELO me\nMAIL <a@b.test>\nRCPT <c>\nRESET\nCLOSE\n") });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands),
        cmocka_unit_test(hello_names),
        cmocka_unit_test(hostile_hello_names),
        cmocka_unit_test(out_of_order),
        cmocka_unit_test(paths),
        cmocka_unit_test(parameters),
        cmocka_unit_test(data),
        cmocka_unit_test(pipelined_after_the_dot),
        cmocka_unit_test(bare_line_ends),
        cmocka_unit_test(content_after_refused_data),
        cmocka_unit_test(other_protocols),
        cmocka_unit_test(nul_bytes),
        cmocka_unit_test(command_line_ends),
        cmocka_unit_test(rejected_at_the_end),
        cmocka_unit_test(founding_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
