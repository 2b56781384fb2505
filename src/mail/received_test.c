#include "mail/received.h"

#include "mail/date.h"
#include "mail/fold.h"
#include "mail/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    }                             /* a struct view in a table */
#define WALL_US 1795285800123456u /* Sat, 21 Nov 2026 18:30:00 UTC */

/* ---- a strict reader of RFC 5321 section 4.4, to read what we wrote ---- */

struct stamp {
    char from[600], tcp_name[600], tcp_literal[80], hello[600], by[600], with[80], id[80], path[600];
    bool via_unix;
    int64_t wall_us;
    int offset_min;
};

static bool take_text(struct view *text, const char *wanted)
{
    bool starts = view_starts(*text, view_of(wanted));
    if (starts)
        view_take(text, strlen(wanted));
    return starts;
}

/* FWS = ([*WSP CRLF] 1*WSP) */
static bool take_fws(struct view *text)
{
    size_t before = text->len;
    while (text->len && ascii_is_blank(text->at[0]))
        view_take(text, 1);
    if (view_starts(*text, VIEW("\r\n"))) {
        view_take(text, 2);
        if (!text->len || !ascii_is_blank(text->at[0]))
            return false;
    }
    while (text->len && ascii_is_blank(text->at[0]))
        view_take(text, 1);
    return text->len < before;
}

static void keep(char *to, struct view taken)
{
    memcpy(to, taken.at, taken.len);
    to[taken.len] = '\0';
}

static bool take_some(struct view *text, const char *more, char *to)
{
    size_t n = 0;
    while (n < text->len && (ascii_is_alnum(text->at[n]) || (text->at[n] && strchr(more, text->at[n]))))
        n++;
    keep(to, view_take(text, n));
    return n > 0;
}

static bool take_domain(struct view *text, char *to)
{
    if (!take_some(text, "-.", to) || strlen(to) > 255)
        return false;
    const char *label = to;
    for (const char *at = to;; at++)
        if (*at == '.' || *at == '\0') {
            if (at == label || *label == '-' || at[-1] == '-' || at - label > 63)
                return false;
            if (*at == '\0')
                return true;
            label = at + 1;
        }
}

static bool take_literal(struct view *text, char *to)
{
    char inside[600];
    if (!take_text(text, "[") || !take_some(text, ".:", inside) || strlen(inside) > 60 || !take_text(text, "]"))
        return false;
    sprintf(to, "[%s]", inside);
    return true;
}

/* TCP-info = address-literal / ( Domain FWS address-literal ) */
static bool take_tcp_info(struct view *text, struct stamp *stamp)
{
    if (text->at[0] != '[' && (!take_domain(text, stamp->tcp_name) || !take_fws(text)))
        return false;
    return take_literal(text, stamp->tcp_literal) && take_text(text, ")");
}

/* The rest of a comment: ctext and quoted pairs; what it says goes to `to`. */
static bool take_comment(struct view *text, char *to)
{
    size_t n = 0;
    for (; text->len && n < 599; n++) {
        char c = view_take(text, 1).at[0];
        if (c == ')') {
            to[n] = '\0';
            return true;
        }
        if (c == '\\' && text->len)
            c = view_take(text, 1).at[0];
        else if (c == '(' || c == '\\')
            return false;
        if (!ascii_is_print(c) || c == ' ')
            return false;
        to[n] = c;
    }
    return false;
}

static bool take_from(struct view *text, struct stamp *stamp)
{
    bool literal = text->len && text->at[0] == '[';
    if (!(literal ? take_literal(text, stamp->from) : take_domain(text, stamp->from)) || !take_fws(text))
        return false;
    if (view_starts(*text, VIEW("([")) || (view_starts(*text, VIEW("(")) && !view_starts(*text, VIEW("(HELO ")))) {
        if (!take_text(text, "(") || !take_tcp_info(text, stamp) || !take_fws(text))
            return false;
    } else if (literal) {
        return false;
    }
    if (!take_text(text, "(HELO "))
        return true;
    return take_comment(text, stamp->hello) && take_fws(text);
}

static bool take_path(struct view *text, char *to)
{
    char local[600], domain[600];
    if (!take_text(text, "<"))
        return false;
    if (take_text(text, "\"")) {
        size_t n = 0;
        local[n++] = '"';
        while (text->len && text->at[0] != '"' && ascii_is_print(text->at[0])) {
            if (text->at[0] == '\\')
                local[n++] = view_take(text, 1).at[0];
            local[n++] = view_take(text, 1).at[0];
        }
        local[n] = '\0';
        if (!take_text(text, "\""))
            return false;
        strcat(local, "\"");
    } else if (!take_some(text, "!#$%&'*+-/=?^_`{|}~.", local)) {
        return false;
    }
    if (!take_text(text, "@"))
        return false;
    if (text->len && text->at[0] == '[' ? !take_literal(text, domain) : !take_domain(text, domain))
        return false;
    sprintf(to, "%s@%s", local, domain);
    return take_text(text, ">");
}

static bool take_date(struct view *text, struct stamp *stamp)
{
    char memory[64];
    struct buffer again = BUFFER_OF(memory);
    if (!take_text(text, ";") || !take_fws(text) || !mail_date_parse(*text, &stamp->wall_us, &stamp->offset_min))
        return false;
    mail_date_add(&again, (uint64_t)stamp->wall_us, stamp->offset_min);
    return view_equal(view_take(text, again.len), buffer_view(&again)) && view_equal(*text, VIEW("\r\n"));
}

static bool parse_stamp(struct view text, struct stamp *stamp)
{
    static const char atext[] = "!#$%&'*+-/=?^_`{|}~";
    *stamp = (struct stamp){ 0 };
    if (!take_text(&text, "Received:") || !take_fws(&text) || !take_text(&text, "from") || !take_fws(&text) ||
        !take_from(&text, stamp) || !take_text(&text, "by") || !take_fws(&text) || !take_domain(&text, stamp->by) ||
        !take_fws(&text) || !take_text(&text, "via") || !take_fws(&text))
        return false;
    stamp->via_unix = take_text(&text, "UNIX");
    if (!stamp->via_unix && !take_text(&text, "TCP"))
        return false;
    if (text.len && text.at[0] != ';' && !take_fws(&text))
        return false;
    if (take_text(&text, "with") && (!take_fws(&text) || !take_some(&text, atext, stamp->with)))
        return false;
    take_fws(&text);
    if (take_text(&text, "id") && (!take_fws(&text) || !take_some(&text, atext, stamp->id)))
        return false;
    take_fws(&text);
    if (take_text(&text, "for") && (!take_fws(&text) || !take_path(&text, stamp->path)))
        return false;
    return take_date(&text, stamp);
}

/* No line over 998; none over 78 unless it is one word, or a name given at HELO. */
static void check_lines(struct view text)
{
    while (text.len) {
        struct view line = view_take_until(&text, '\n');
        line.len -= line.at[line.len - 1] == '\r';
        struct view words = view_trim(line);
        bool one_word = !view_has(words, ' ') || view_starts(words, VIEW("(HELO "));
        if (line.len > MAIL_LINE_MAX || (!one_word && line.len > MAIL_LINE_GUIDE))
            fail_msg("line of %zu: %.*s", line.len, VIEW_FORMAT(line));
    }
}

static void write_and_read(const struct mail_received *received, struct stamp *stamp)
{
    static char memory[4096];
    struct buffer text = BUFFER_OF(memory);
    struct mail_field field;
    mail_received_add(&text, received);
    assert_false(text.full);
    if (!parse_stamp(buffer_view(&text), stamp))
        fail_msg("not well-formed: %.*s", VIEW_FORMAT(buffer_view(&text)));
    check_lines(buffer_view(&text));
    struct view rest = buffer_view(&text);
    assert_true(mail_header_next(&rest, &field) && mail_field_is(&field, "Received") && rest.len == 0);
    assert_int_equal(stamp->wall_us / 1000000, received->wall_us / 1000000);
    assert_int_equal(stamp->offset_min, received->utc_offset_min);
}

static struct mail_received ordinary(void)
{
    struct mail_received r = { .hello = VIEW("client.example"),
                               .client_name = VIEW("mx.client.example"),
                               .host = VIEW("mail.example.org"),
                               .protocol = VIEW("ESMTP"),
                               .id = VIEW("0123456789abcdefghjkmnpq"),
                               .recipient = VIEW("user@example.org"),
                               .wall_us = WALL_US,
                               .utc_offset_min = 180 };
    assert_true(address_parse_ip(VIEW("192.0.2.1"), &r.client));
    r.client.set = true;
    return r;
}

static void expect_whole(const struct mail_received *r, const char *want)
{
    char memory[1024];
    struct buffer text = BUFFER_OF(memory);
    mail_received_add(&text, r);
    buffer_add_char(&text, '\0');
    assert_string_equal(text.at, want);
}

static void writes_every_clause(void **state)
{
    (void)state;
    struct mail_received r = ordinary();
    expect_whole(&r, "Received: from client.example (mx.client.example [192.0.2.1])\r\n"
                     " by mail.example.org via TCP with ESMTP id 0123456789abcdefghjkmnpq\r\n"
                     " for <user@example.org>; Sat, 21 Nov 2026 21:30:00 +0300\r\n");
    r.recipient = VIEW_NONE;
    r.client_name = VIEW_NONE;
    r.utc_offset_min = 0;
    expect_whole(&r, "Received: from client.example (unknown [192.0.2.1])\r\n"
                     " by mail.example.org via TCP with ESMTP id 0123456789abcdefghjkmnpq;\r\n"
                     " Sat, 21 Nov 2026 18:30:00 +0000\r\n");
    r.client = (struct address){ 0 };
    r.via_unix = true;
    r.protocol = VIEW("LMTP");
    r.recipient = VIEW("rich");
    expect_whole(&r, "Received: from client.example\r\n"
                     " by mail.example.org via UNIX with LMTP id 0123456789abcdefghjkmnpq\r\n"
                     " for <rich@mail.example.org>; Sat, 21 Nov 2026 18:30:00 +0000\r\n");
    r.hello = VIEW_NONE;
    r.recipient = VIEW("\"a b\"@[IPv6:2001:db8::1]");
    expect_whole(&r, "Received: from unknown\r\n"
                     " by mail.example.org via UNIX with LMTP id 0123456789abcdefghjkmnpq\r\n"
                     " for <\"a b\"@[IPv6:2001:db8::1]>; Sat, 21 Nov 2026 18:30:00 +0000\r\n");
}

static void names_an_odd_client(void **state)
{
    (void)state;
    struct mail_received r = ordinary();
    r.hello = VIEW("MY_PC");
    expect_whole(&r, "Received: from mx.client.example (mx.client.example [192.0.2.1]) (HELO MY_PC)\r\n"
                     " by mail.example.org via TCP with ESMTP id 0123456789abcdefghjkmnpq\r\n"
                     " for <user@example.org>; Sat, 21 Nov 2026 21:30:00 +0300\r\n");
    assert_true(address_parse_ip(VIEW("fe80::1%3"), &r.client));
    r.client.set = true;
    r.client_name = VIEW_NONE;
    r.hello = VIEW("[IPv6:fe80::1]");
    expect_whole(&r, "Received: from [IPv6:fe80::1] (unknown [IPv6:fe80::1])\r\n"
                     " by mail.example.org via TCP with ESMTP id 0123456789abcdefghjkmnpq\r\n"
                     " for <user@example.org>; Sat, 21 Nov 2026 21:30:00 +0300\r\n");
    r.hello = VIEW("a b");
    struct stamp stamp;
    write_and_read(&r, &stamp);
    assert_string_equal(stamp.from, "[IPv6:fe80::1]");
    assert_string_equal(stamp.hello, "a?b");
}

static const struct view hostile[] = {
    TEXT("a)\r\nX-Evil: y"),
    TEXT("\r\nX-Evil: y"),
    TEXT("a\nX: y"),
    TEXT("a\rb"),
    TEXT("a\0b"),
    TEXT("("),
    TEXT(")"),
    TEXT("(("),
    TEXT("))"),
    TEXT("\\"),
    TEXT("a\\"),
    TEXT("(HELO"),
    TEXT("a) by evil.example"),
    TEXT("a;b"),
    TEXT("<a@b>"),
    TEXT("x\x1b]0;y\x07"),
    TEXT("\xe2\x80\xa8"),
    TEXT("\xff\xfe"),
    TEXT("a..b"),
    TEXT("-a.example"),
    TEXT("a-.example"),
    TEXT(".a"),
    TEXT("a."),
    TEXT("[192.0.2.1"),
    TEXT("[]"),
    TEXT("[evil]"),
    TEXT("[IPv6:::1]"),
    TEXT("[192.0.2.7]"),
    TEXT("\""),
    TEXT("\"a"),
    TEXT(" "),
    TEXT("\t"),
    TEXT("a b"),
    TEXT("from"),
    TEXT("by"),
    TEXT("=?utf-8?q?a=0D=0AX:_y?="),
    TEXT("${run{/bin/id}}"),
    TEXT("%{domain}"),
    TEXT("$(id)"),
    TEXT("%n%n%s"),
    TEXT("`id`"),
    TEXT("$user"),
    TEXT("a@b\r\nX: y"),
    TEXT("a@b>\r\nX: y"),
    TEXT("\"\r\n\"@b"),
    TEXT("a@b.example;x"),
    TEXT("a@b>;"),
};

static struct view *field_of(struct mail_received *r, size_t i)
{
    struct view *fields[] = { &r->hello, &r->client_name, &r->host, &r->protocol, &r->id, &r->recipient };
    return fields[i];
}

enum { TEXT_FIELDS = 6 };

/* H41: each field × each hostile value, and all fields with it at once: one well-formed Received field. */
static void hostile_values_stay_inside(void **state)
{
    (void)state;
    struct stamp stamp;
    for (size_t v = 0; v < COUNT(hostile); v++) {
        struct mail_received all = ordinary();
        for (size_t f = 0; f < TEXT_FIELDS; f++) {
            struct mail_received r = ordinary();
            *field_of(&r, f) = *field_of(&all, f) = hostile[v];
            write_and_read(&r, &stamp);
            r.client = (struct address){ 0 };
            write_and_read(&r, &stamp);
        }
        write_and_read(&all, &stamp);
    }
}

static void controls_at_every_place(void **state)
{
    (void)state;
    static const char controls[] = { '\r', '\n', '\0', '\x1b', '\x7f', '\t' };
    struct stamp stamp;
    for (size_t f = 0; f < TEXT_FIELDS; f++)
        for (size_t c = 0; c < COUNT(controls); c++)
            for (size_t at = 0; at < 14; at++) {
                char text[16];
                struct mail_received r = ordinary();
                memcpy(text, "user@a.example", 14);
                text[at] = controls[c];
                *field_of(&r, f) = (struct view){ text, 14 };
                write_and_read(&r, &stamp);
            }
}

/* H29: nothing is expanded: templates of every kind appear as they came, once the quoting of comments is undone. */
static void templates_are_text(void **state)
{
    (void)state;
    static const char *const templates[] = { "${run{/bin/id}}", "%{domain}", "$(id)", "%n",
                                             "%s%s%n",          "`id`",      "$user", "%{{a}}" };
    for (size_t i = 0; i < COUNT(templates); i++) {
        struct mail_received r = ordinary();
        struct stamp stamp;
        char recipient[64];
        snprintf(recipient, sizeof recipient, "\"%s\"@example.org", templates[i]);
        r.hello = view_of(templates[i]);
        r.recipient = view_of(recipient);
        write_and_read(&r, &stamp);
        assert_string_equal(stamp.hello, templates[i]);
        assert_string_equal(stamp.path, recipient);
    }
}

/* H100: what is no host name is never shown as the client's name. */
static void hostile_reverse_names(void **state)
{
    (void)state;
    static const char *const names[] = { "",   "$(id)", "a\r\nb", "a\nX: y", "a b",        "a_b.example",
                                         "-a", "a..b",  "a.",     "(",       "[192.0.2.9]" };
    char longest[300];
    struct stamp stamp;
    struct mail_received r = ordinary();
    for (size_t i = 0; i < COUNT(names); i++) {
        r.client_name = view_of(names[i]);
        write_and_read(&r, &stamp);
        assert_string_equal(stamp.tcp_name, "unknown");
        assert_string_equal(stamp.tcp_literal, "[192.0.2.1]");
    }
    for (size_t i = 0; i < sizeof longest; i++)
        longest[i] = i % 50 == 49 ? '.' : 'a';
    r.client_name = (struct view){ longest, 255 };
    write_and_read(&r, &stamp);
    assert_int_equal(strlen(stamp.tcp_name), 255);
    r.client_name = (struct view){ longest, 256 };
    write_and_read(&r, &stamp);
    assert_string_equal(stamp.tcp_name, "unknown");
}

static void random_bytes(void **state)
{
    (void)state;
    srand(2);
    for (int round = 0; round < 20000; round++) {
        char text[TEXT_FIELDS][300];
        struct mail_received r = ordinary();
        struct stamp stamp;
        for (size_t f = 0; f < TEXT_FIELDS; f++) {
            size_t len = (size_t)rand() % (round % 8 ? 12 : 300);
            for (size_t i = 0; i < len; i++)
                text[f][i] = rand() % 2 ? "()\\\r\n<>@.;\" a[]:"[rand() % 16] : (char)rand();
            *field_of(&r, f) = (struct view){ text[f], len };
        }
        r.client.set = rand() % 2;
        write_and_read(&r, &stamp);
    }
}

static void writes_return_path(void **state)
{
    (void)state;
    static const struct {
        struct view path;
        const char *want;
    } rows[] = {
        { TEXT(""), "Return-Path: <>\r\n" },
        { TEXT("a@b.example"), "Return-Path: <a@b.example>\r\n" },
        { TEXT("@x.example,@y.example:a@b.example"), "Return-Path: <@x.example,@y.example:a@b.example>\r\n" },
        { TEXT("\"a b\"@c"), "Return-Path: <\"a b\"@c>\r\n" },
        { TEXT("a\r\nX: y@\0b"), "Return-Path: <a??X: y@?b>\r\n" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char memory[128];
        struct buffer text = BUFFER_OF(memory);
        mail_return_path_add(&text, rows[i].path);
        buffer_add_char(&text, '\0');
        assert_string_equal(text.at, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_every_clause),
        cmocka_unit_test(names_an_odd_client),
        cmocka_unit_test(hostile_values_stay_inside),
        cmocka_unit_test(controls_at_every_place),
        cmocka_unit_test(templates_are_text),
        cmocka_unit_test(hostile_reverse_names),
        cmocka_unit_test(random_bytes),
        cmocka_unit_test(writes_return_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
