#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/path.h"
#include "smtp/suites.h"

#define REVERSE (SMTP_PATH_NULL | SMTP_PATH_BARE)
#define FORWARD SMTP_PATH_BARE
#define STRICT  0u

#define A8        "aaaaaaaa"
#define A62       A8 A8 A8 A8 A8 A8 A8 "aaaaaa"
#define A64       A62 "aa"
#define LABEL63   A62 "a"
#define DOMAIN191 LABEL63 "." LABEL63 "." LABEL63

/* From memory of its exact size, so that a sanitizer sees each look beyond it. */
static enum smtp_path_result parse(struct view text, unsigned flags, struct smtp_path *path, struct view *rest,
                                   char **memory)
{
    *memory = malloc(text.len + !text.len);
    assert_non_null(*memory);
    if (text.len)
        memcpy(*memory, text.at, text.len);
    *rest = (struct view){ *memory, text.len };
    return smtp_path_parse(rest, flags, path);
}

struct good {
    struct view text;
    unsigned flags;
    const char *route, *local, *domain, *rest;
};

static void check_good(const struct good *row)
{
    struct smtp_path path;
    struct view rest;
    char *memory;
    enum smtp_path_result result = parse(row->text, row->flags, &path, &rest, &memory);
    if (result != SMTP_PATH_OK || !view_equal(path.route, view_of(row->route)) ||
        !view_equal(path.local, view_of(row->local)) || !view_equal(path.domain, view_of(row->domain)) ||
        !view_equal(rest, view_of(row->rest)))
        fail_msg("%.*s: result %d, \"%.*s\" \"%.*s\" \"%.*s\" rest \"%.*s\"", VIEW_FORMAT(row->text), result,
                 VIEW_FORMAT(path.route), VIEW_FORMAT(path.local), VIEW_FORMAT(path.domain), VIEW_FORMAT(rest));
    if (path.null != (path.local.len == 0))
        fail_msg("%.*s: null is %d", VIEW_FORMAT(row->text), path.null);
    free(memory);
}

static void accepted(void **state)
{
    (void)state;
    static const struct good rows[] = {
#define GOOD(text, flags, ...) { { text, sizeof(text) - 1 }, flags, __VA_ARGS__ }
        GOOD("<a@b.test>", STRICT, "", "a", "b.test", ""),
        GOOD(" \t<a@b.test> SIZE=1", STRICT, "", "a", "b.test", " SIZE=1"),
        GOOD("a@b.test", STRICT, "", "a", "b.test", ""),
        GOOD("a@b.test SIZE=<3>", STRICT | SMTP_PATH_LENIENT, "", "a", "b.test", " SIZE=<3>"),
        GOOD("<>", REVERSE, "", "", "", ""),
        GOOD("<> X", REVERSE, "", "", "", " X"),
        GOOD("<PostMaster>", FORWARD, "", "PostMaster", "", ""),
        GOOD("rich", FORWARD, "", "rich", "", ""),
        GOOD("<\"a b\"@c>", STRICT, "", "\"a b\"", "c", ""),
        GOOD("<\"\"@c>", STRICT, "", "\"\"", "c", ""),
        GOOD("<\"a\\\"b\\\\\"@c>", STRICT, "", "\"a\\\"b\\\\\"", "c", ""),
        GOOD("<\"a>b@c\"@d>", STRICT, "", "\"a>b@c\"", "d", ""),
        GOOD("<!#$%&'*+-/=?^_`{|}~@b>", STRICT, "", "!#$%&'*+-/=?^_`{|}~", "b", ""),
        GOOD("<a@[192.0.2.1]>", STRICT, "", "a", "[192.0.2.1]", ""),
        GOOD("<a@[IPv6:2001:db8::1]>", STRICT, "", "a", "[IPv6:2001:db8::1]", ""),
        GOOD("<a@[ipv6:::ffff:192.0.2.1]>", STRICT, "", "a", "[ipv6:::ffff:192.0.2.1]", ""),
        GOOD("<@x.test:a@b>", STRICT, "@x.test", "a", "b", ""),
        GOOD("<@x.test,@[192.0.2.1]:a@b>", STRICT, "@x.test,@[192.0.2.1]", "a", "b", ""),
        GOOD("<@HOST1, @HOST2,  @HOST3:Smith@usc.test>", STRICT, "@HOST1, @HOST2,  @HOST3", "Smith", "usc.test", ""),
        GOOD("<-oQ/x@local>", STRICT, "", "-oQ/x", "local", ""),
        GOOD("<" A64 "@b>", STRICT, "", A64, "b", ""),
        GOOD("<a@" LABEL63 ">", STRICT, "", "a", LABEL63, ""),
        GOOD("<a@" DOMAIN191 "." A8 ">", STRICT, "", "a", DOMAIN191 "." A8, ""),
        GOOD("<" A62 "@" DOMAIN191 ">", STRICT, "", A62, DOMAIN191, ""),
        GOOD("Name <a@b>", SMTP_PATH_LENIENT, "", "a", "b", ""),
        GOOD("\"Na <me\" < a@b > X=1", SMTP_PATH_LENIENT, "", "a", "b", " X=1"),
        GOOD("< >", REVERSE | SMTP_PATH_LENIENT, "", "", "", ""),
        GOOD("<\xc3\xbc@\xc3\xbc.test>", SMTP_PATH_UTF8, "", "\xc3\xbc", "\xc3\xbc.test", ""),
        GOOD("<\"\xf0\x9f\x93\xa7\"@b>", SMTP_PATH_UTF8, "", "\"\xf0\x9f\x93\xa7\"", "b", ""),
#undef GOOD
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_good(&rows[i]);
}

struct bad {
    struct view text;
    unsigned flags;
    enum smtp_path_result result;
};

static void check_bad(const struct bad *row)
{
    struct smtp_path path;
    struct view rest;
    char *memory;
    enum smtp_path_result result = parse(row->text, row->flags, &path, &rest, &memory);
    if (result != row->result)
        fail_msg("%.*s: result %d, not %d", VIEW_FORMAT(row->text), result, row->result);
    free(memory);
}

/* H37 */
static void refused(void **state)
{
    (void)state;
    static const struct bad rows[] = {
#define BAD(text, flags, result) { { text, sizeof(text) - 1 }, flags, SMTP_PATH_##result }
        BAD("", REVERSE, SYNTAX),
        BAD(" ", REVERSE, SYNTAX),
        BAD("<", REVERSE, SYNTAX),
        BAD(">", REVERSE, SYNTAX),
        BAD("<>", FORWARD, SYNTAX),
        BAD("<<>>", REVERSE, SYNTAX),
        BAD("<a", REVERSE, SYNTAX),
        BAD("<a@", STRICT, SYNTAX),
        BAD("<a@b", STRICT, SYNTAX),
        BAD("a@b>", STRICT, SYNTAX),
        BAD("<a@b>c", STRICT, SYNTAX),
        BAD("<@b>", STRICT, SYNTAX),
        BAD("<a>", STRICT, SYNTAX),
        BAD("<a@b@c>", STRICT, SYNTAX),
        BAD("<a@b.>", STRICT, SYNTAX),
        BAD("<a@.b>", STRICT, SYNTAX),
        BAD("<a@b..c>", STRICT, SYNTAX),
        BAD("<.a@b>", STRICT, SYNTAX),
        BAD("<a.@b>", STRICT, SYNTAX),
        BAD("<a..b@c>", STRICT, SYNTAX),
        BAD("<a@-b>", STRICT, SYNTAX),
        BAD("<a@b->", STRICT, SYNTAX),
        BAD("<a@b_c>", STRICT, SYNTAX),
        BAD("<a b@c>", STRICT, SYNTAX),
        BAD("< a@b>", STRICT, SYNTAX),
        BAD("<a@b >", STRICT, SYNTAX),
        BAD("Name <a@b>", STRICT, SYNTAX),
        BAD("<\"a@b>", STRICT, SYNTAX),
        BAD("<a\"@b>", STRICT, SYNTAX),
        BAD("<\"a\"b@c>", STRICT, SYNTAX),
        BAD("<\"\\\"@c>", STRICT, SYNTAX),
        BAD("<\"a\\", STRICT, SYNTAX),
        BAD("<\"a", STRICT, SYNTAX),
        BAD("<\"a\\\x01\"@c>", STRICT, BAD_BYTE),
        BAD("<(c)a@b>", STRICT, SYNTAX),
        BAD("<a(c)@b>", STRICT, SYNTAX),
        BAD("<a@b(c)>", STRICT, SYNTAX),
        BAD("<group:a@b,c@d;>", STRICT, SYNTAX),
        BAD("<a,b@c>", STRICT, SYNTAX),
        BAD("<;touch canary;>", FORWARD, SYNTAX),
        BAD("<@x:@y:a@b>", STRICT, SYNTAX),
        BAD("<@x,:a@b>", STRICT, SYNTAX),
        BAD("<@x a@b>", STRICT, SYNTAX),
        BAD("<@x:a>", FORWARD, SYNTAX),
        BAD("<@x,y:a@b>", STRICT, SYNTAX),
        BAD("@x:a@b", STRICT, SYNTAX),
        BAD("<a@[>", STRICT, SYNTAX),
        BAD("<a@[]>", STRICT, SYNTAX),
        BAD("<a@[1.2.3]>", STRICT, SYNTAX),
        BAD("<a@[1.2.3.256]>", STRICT, SYNTAX),
        BAD("<a@[1.2.3.4>", STRICT, SYNTAX),
        BAD("<a@[1.2.3.4]x>", STRICT, SYNTAX),
        BAD("<a@[::1]>", STRICT, SYNTAX),
        BAD("<a@[IPv6:1.2.3.4]>", STRICT, SYNTAX),
        BAD("<a@[IPv6:fe80::1%3]>", STRICT, SYNTAX),
        BAD("<a@[IPv6:fe80::1%eth0]>", STRICT, SYNTAX),
        BAD("<a@[IPv6:]>", STRICT, SYNTAX),
        BAD("<a@[IPv6:1:::2]>", STRICT, SYNTAX),
        BAD("<a@[X400:c]>", STRICT, SYNTAX),
        BAD("<a@[IPv6:1::2", STRICT, SYNTAX),
        BAD("<a@b\0>", STRICT, BAD_BYTE),
        BAD("<a\0@b>", STRICT, BAD_BYTE),
        BAD("<a\r\n@b>", STRICT, BAD_BYTE),
        BAD("<\"\n\"@b>", STRICT, BAD_BYTE),
        BAD("<a\x7f@b>", STRICT, BAD_BYTE),
        BAD("<\"a\tb\"@c>", STRICT, BAD_BYTE),
        BAD("<a@[1.2.3.4\0]>", STRICT, BAD_BYTE),
        BAD("<\xff@b>", STRICT, NOT_ASCII),
        BAD("<a\xc3\xbc@b>", STRICT, NOT_ASCII),
        BAD("<a@\xc3\xbc>", STRICT, NOT_ASCII),
        BAD("<\"\x80\"@b>", STRICT, NOT_ASCII),
        BAD("<a@[\xff]>", STRICT, NOT_ASCII),
        BAD("<@\xff:a@b>", STRICT, NOT_ASCII),
        BAD("<" A64 "a@b>", STRICT, TOO_LONG),
        BAD("<\"" A62 "a\"@b>", STRICT, TOO_LONG),
        BAD("<a@" LABEL63 "a>", STRICT, TOO_LONG),
        BAD("<" A62 "a@" DOMAIN191 ">", STRICT, TOO_LONG),
        BAD("<a@" DOMAIN191 "." LABEL63 ">", STRICT, TOO_LONG),
        BAD("<a@" DOMAIN191 "." LABEL63 "." A8 ">", STRICT, TOO_LONG),
        BAD("<@" DOMAIN191 ",@" DOMAIN191 ":a@b>", STRICT, TOO_LONG),
        BAD("Name <a@b", SMTP_PATH_LENIENT, SYNTAX),
        BAD("Name\x01 <a@b>", SMTP_PATH_LENIENT, BAD_BYTE),
#undef BAD
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_bad(&rows[i]);
}

/* H37: linear time and no recursion: a megabyte of each nesting character. */
static void very_long(void **state)
{
    (void)state;
    static const char *const units[] = { "<>", "(", "\"",     "\\", "a.", "@", "@a,",
                                         "<",  "[", "\"\\\"", "a@", ":",  " ", "\xc3\xbc" };
    enum { SIZE = 1000000 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t len = strlen(units[i]);
        for (size_t at = 0; at < SIZE; at++)
            text[at] = units[i][at % len];
        for (unsigned flags = 0; flags < 16; flags++) {
            struct view rest = { text, SIZE };
            struct smtp_path path;
            enum smtp_path_result result = smtp_path_parse(&rest, flags, &path);
            if (result == SMTP_PATH_OK && !path.null)
                fail_msg("%s repeated: accepted", units[i]);
        }
    }
    free(text);
}

/* H36: whatever the form, the domain that decides is the parsed one. */
static void relay_forms(void **state)
{
    (void)state;
    static const struct {
        struct view text;
        const char *domain; /* NULL: refused */
    } rows[] = {
#define FORM(text, domain) { { "<" text ">", sizeof(text) + 1 }, domain }
        FORM("u@us", "us"),
        FORM("u%r@us", "us"),
        FORM("@us:u@r", "r"),
        FORM("@r:u@us", "us"),
        FORM("@us,@r:u@r", "r"),
        FORM("\"u@r\"@us", "us"),
        FORM("\"u@us\"@r", "r"),
        FORM("r!u@us", "us"),
        FORM("us!u@r", "r"),
        FORM("u@[127.0.0.1]", "[127.0.0.1]"),
        FORM("u@[IPv6:::1]", "[IPv6:::1]"),
        FORM("u@us.", NULL),
        FORM("u@US", "US"),
        FORM("u@us@r", NULL),
        FORM("u@r@us", NULL),
        FORM("u@r\0@us", NULL),
        FORM("u@us\0", NULL),
        FORM("u@us\0.r", NULL),
        FORM("u@r,@us", NULL),
        FORM("u@r:us", NULL),
        FORM("u@ us", NULL),
        FORM("u@us ", NULL),
        FORM("u @us", NULL),
        FORM("u@r;us", NULL),
        FORM("u@us/r", NULL),
        FORM("u%r%s@us", "us"),
        FORM("u%us@r", "r"),
        FORM("@us:u%r@us", "us"),
        FORM("@us:@r:u@us", NULL),
        FORM("@us,u@r", NULL),
        FORM("u@us>r", NULL),
        FORM("u@[us]", NULL),
        FORM("u@[127.1]", NULL),
        FORM("u@2130706433", "2130706433"),
        FORM("u@0x7f000001", "0x7f000001"),
        FORM("u@us(r)", NULL),
        FORM("u(x)@us", NULL),
        FORM("\"\"@us", "us"),
        FORM("\"u\\@r\"@us", "us"),
        FORM("u\\@r@us", NULL),
        FORM("u@\xd1\x83s", NULL),
        FORM("u@us\r\n.r", NULL),
        FORM("u@r\r\n@us", NULL),
        FORM("u@-us", NULL),
        FORM("u@us-", NULL),
        FORM("\"u@r\\\"@us", NULL),
        FORM("u@\"us\"", NULL),
        FORM("u@us..", NULL),
        FORM("u@.us", NULL),
        FORM("u@", NULL),
        FORM("@us", NULL),
        FORM("@us:", NULL),
        FORM("@us:u", NULL),
        FORM("u", ""),
        FORM("u%us", ""),
        FORM("us!u", ""),
        FORM("\"u@us\"", ""),
        FORM(":include:/etc/passwd@us", NULL),
        FORM("|prog@us", "us"),
        FORM("/file@us", "us"),
#undef FORM
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct view text = rows[i].text;
        struct smtp_path path;
        bool good = smtp_path_parse(&text, FORWARD, &path) == SMTP_PATH_OK;
        if (good != (rows[i].domain != NULL) || (good && !view_equal(path.domain, view_of(rows[i].domain))))
            fail_msg("%.*s: %d, domain \"%.*s\"", VIEW_FORMAT(rows[i].text), good, VIEW_FORMAT(path.domain));
    }
}

/* H38 */
static void broken_utf8(void **state)
{
    (void)state;
    static const char *const broken[] = { "\x80",
                                          "\xc3",
                                          "\xc0\xaf",
                                          "\xc1\xbf",
                                          "\xe0\x80\x80",
                                          "\xe0\x9f\xbf",
                                          "\xed\xa0\x80",
                                          "\xed\xbf\xbf",
                                          "\xe2\x82",
                                          "\xf0\x80\x80\x80",
                                          "\xf0\x8f\xbf\xbf",
                                          "\xf4\x90\x80\x80",
                                          "\xf5\x80\x80",
                                          "\xff",
                                          "\xf0\x9f\x93",
                                          "\xc3(",
                                          "\xe2(\xa1",
                                          "\xe2\x82(" };
    static const char *const frames[] = { "<%s@b>", "<a%s@b>", "<\"%s\"@b>", "<a@%s>", "<a@b%s>", "<@%s:a@b>", "%s" };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        for (size_t k = 0; k < sizeof frames / sizeof *frames; k++) {
            char text[64], before[64] = "";
            snprintf(text, sizeof text, "%s", frames[k]);
            char *at = strstr(text, "%s");
            memcpy(before, text, (size_t)(at - text));
            snprintf(text, sizeof text, "%s%s%s", before, broken[i], strstr(frames[k], "%s") + 2);
            struct smtp_path path;
            struct view rest;
            char *memory;
            /* And cut off behind the broken sequence: the buffer's end is no reason to look further. */
            for (size_t len = strlen(before) + strlen(broken[i]); len <= strlen(text); len++) {
                if (parse((struct view){ text, len }, SMTP_PATH_UTF8 | FORWARD, &path, &rest, &memory) == SMTP_PATH_OK)
                    fail_msg("frame %s, sequence %zu: accepted", frames[k], i);
                free(memory);
            }
        }
    }
}

static regex_t reference(const char *pattern)
{
    regex_t compiled;
    assert_int_equal(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
    return compiled;
}

/* H37: every string over a hard alphabet, against the grammar of RFC 5321 section 4.1.2 written as an expression. */
static void against_reference(void **state)
{
    (void)state;
#define DOMAIN "a([a-]*a)?(\\.a([a-]*a)?)*"
#define LOCAL  "(a+(\\.a+)*|[a-]+(\\.[a-]+)*|\"([a@.:,<> -]|\\\\[a@.:,<> \"\\\\-])*\")"
    static const char alphabet[] = "a-.@\"\\:, >";
    regex_t expected = reference("^(@" DOMAIN "(, *@" DOMAIN ")*:)?" LOCAL "@" DOMAIN "$");
    enum { LEN = 6, LETTERS = sizeof alphabet - 1 };
    size_t index[LEN] = { 0 }, checked = 0;
    char text[LEN + 3] = "<";
    for (size_t len = 1; len <= LEN; len++) {
        memset(index, 0, sizeof index);
        for (bool more = true; more; checked++) {
            for (size_t i = 0; i < len; i++)
                text[1 + i] = alphabet[index[i]];
            text[1 + len] = '\0';
            bool want = regexec(&expected, text + 1, 0, NULL, 0) == 0;
            text[1 + len] = '>';
            struct view rest = { text, len + 2 };
            struct smtp_path path;
            bool got = smtp_path_parse(&rest, STRICT, &path) == SMTP_PATH_OK && rest.len == 0;
            if (got != want)
                fail_msg("<%.*s>: %d", (int)len, text + 1, got);
            size_t i = 0;
            while (i < len && ++index[i] == LETTERS)
                index[i++] = 0;
            more = i < len;
        }
    }
    assert_int_equal(checked, 1111110);
    regfree(&expected);
}

/* --- isemail's table: <address>, <category> in each <test> --- */

static bool take_element(const char **at, const char *end, const char *name, struct view *content)
{
    char open[32], close[32];
    snprintf(open, sizeof open, "<%s>", name);
    snprintf(close, sizeof close, "</%s>", name);
    const char *from = strstr(*at, open);
    const char *to = from ? strstr(from, close) : NULL;
    if (!to || to > end)
        return false;
    *content = (struct view){ from + strlen(open), (size_t)(to - from) - strlen(open) };
    *at = to + strlen(close);
    return true;
}

/* Entities, and control characters, which are written as U+2400 and their code. */
static void decode(struct view xml, struct buffer *to)
{
    static const struct {
        const char *name, *text;
    } entities[] = { { "&amp;", "&" }, { "&lt;", "<" }, { "&gt;", ">" }, { "&quot;", "\"" } };
    while (xml.len) {
        size_t i = 0;
        while (i < 4 && !view_starts(xml, view_of(entities[i].name)))
            i++;
        unsigned code = 0;
        int used = 0;
        if (i < 4) {
            buffer_add_text(to, entities[i].text);
            view_take(&xml, strlen(entities[i].name));
        } else if (view_starts(xml, VIEW("&#x")) && sscanf(xml.at, "&#x%x;%n", &code, &used) == 1 && used) {
            buffer_add_char(to, (char)(code >= 0x2400 ? code - 0x2400 : code));
            view_take(&xml, (size_t)used);
        } else {
            buffer_add(to, view_take(&xml, 1));
        }
    }
}

static bool is_mailbox(struct view category)
{
    return view_equal(category, VIEW("ISEMAIL_VALID_CATEGORY")) || view_equal(category, VIEW("ISEMAIL_DNSWARN")) ||
           view_equal(category, VIEW("ISEMAIL_RFC5321"));
}

/* "::" for one group alone: RFC 5321 section 4.1.3 does not write it, RFC 4291 reads it, and so do we. */
static bool is_ours(struct view address)
{
    return view_has(address, ':') && view_ends_nocase(address, VIEW("6666::8888]"));
}

/* H37 */
static void isemail(void **state)
{
    (void)state;
    size_t len, count = 0;
    char *xml = suite_read("address/isemail/tests-odd.xml", &len);
    if (!xml)
        return;
    const char *at = xml;
    for (char *test; (test = strstr(at, "<test id=")) != NULL; count++) {
        const char *end = strstr(test, "</test>");
        char memory[1024];
        struct buffer address = BUFFER_OF(memory);
        struct view encoded = VIEW_NONE, category;
        struct smtp_path path;
        assert_non_null(end);
        at = test;
        if (take_element(&at, end, "address", &encoded))
            decode(encoded, &address);
        assert_true(take_element(&at, end, "category", &category));
        bool got = smtp_mailbox_parse(buffer_view(&address), STRICT, &path) == SMTP_PATH_OK;
        if (got != is_mailbox(category) && !is_ours(buffer_view(&address)))
            fail_msg("%.12s: %.*s: %d, but it is %.*s", test, VIEW_FORMAT(encoded), got, VIEW_FORMAT(category));
        at = end;
    }
    printf("isemail: %zu addresses\n", count);
    assert_true(count > 0);
    free(xml);
}

static void whole_and_plain(void **state)
{
    (void)state;
    static const struct {
        const char *text, *whole, *mailbox, *plain;
    } rows[] = {
        { "<>", "", "", "" },
        { "<a@b>", "a@b", "a@b", "a" },
        { "<Postmaster>", "Postmaster", "Postmaster", "Postmaster" },
        { "<@x,  @y:\"a b\"@c>", "@x,@y:\"a b\"@c", "\"a b\"@c", "a b" },
        { "<\"a\\\"\\\\\\b\"@c>", "\"a\\\"\\\\\\b\"@c", "\"a\\\"\\\\\\b\"@c", "a\"\\b" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char whole[300], mailbox[300], plain[64];
        struct buffer w = BUFFER_OF(whole), m = BUFFER_OF(mailbox), p = BUFFER_OF(plain);
        struct view text = view_of(rows[i].text);
        struct smtp_path path;
        assert_int_equal(smtp_path_parse(&text, REVERSE, &path), SMTP_PATH_OK);
        smtp_path_add_whole(&w, &path);
        smtp_path_add_mailbox(&m, &path);
        if (!smtp_path_local_plain(&path, &p) || !view_equal(buffer_view(&w), view_of(rows[i].whole)) ||
            !view_equal(buffer_view(&m), view_of(rows[i].mailbox)) ||
            !view_equal(buffer_view(&p), view_of(rows[i].plain)))
            fail_msg("%s: \"%.*s\" \"%.*s\" \"%.*s\"", rows[i].text, VIEW_FORMAT(buffer_view(&w)),
                     VIEW_FORMAT(buffer_view(&m)), VIEW_FORMAT(buffer_view(&p)));
    }
    struct smtp_path long_one = { .local = VIEW("\"abc\"") };
    char two[2];
    struct buffer small = BUFFER_OF(two);
    assert_false(smtp_path_local_plain(&long_one, &small));
}

static void common_spelling_of_local_parts(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "<a@b>", "a" },
        { "<A.b@b>", "A.b" },
        { "<\"a\"@b>", "a" },
        { "<\"\\a.b\"@b>", "a.b" },
        { "<\"a..b\"@b>", "\"a..b\"" },
        { "<\".a\"@b>", "\".a\"" },
        { "<\"\"@b>", "\"\"" },
        { "<\"\\a\\ b\"@b>", "\"a b\"" },
        { "<\"a\\\"b\\\\\"@b>", "\"a\\\"b\\\\\"" },
        { "<\"a@b\"@c>", "\"a@b\"" },
        { "<\"PostMaster\"@b>", "postmaster" },
        { "<POSTMASTER>", "postmaster" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct view text = view_of(rows[i][0]);
        char memory[SMTP_LOCAL_PART_MAX];
        struct buffer local = BUFFER_OF(memory);
        struct smtp_path path;
        assert_int_equal(smtp_path_parse(&text, REVERSE, &path), SMTP_PATH_OK);
        smtp_path_add_local(&local, &path);
        if (!view_equal(buffer_view(&local), view_of(rows[i][1])) || local.len > path.local.len)
            fail_msg("%s: %.*s", rows[i][0], VIEW_FORMAT(buffer_view(&local)));
    }
}

static void same_mailbox(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        { "<a@b>", "<a@b>", true },
        { "<a@b>", "<a@B>", true },
        { "<a@b>", "<A@b>", false },
        { "<a@b>", "<\"a\"@b>", true },
        { "<\"\\a\"@b>", "<a@b>", true },
        { "<\"a b\"@c>", "<\"a\\ b\"@c>", true },
        { "<>", "<>", true },
        { "<>", "<a@b>", false },
        { "<postmaster@b>", "<PostMaster@b>", true },
        { "<Postmaster>", "<postmaster>", true },
        { "<postmaster>", "<postmaster@b>", false },
        { "<@x:a@b>", "<a@b>", true },
        { "<\"POSTMASTER\"@b>", "<postmaster@B>", true },
        { "<a@b>", "<a@c>", false },
        { "<\"\"@b>", "<>", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct view a_text = view_of(rows[i].a), b_text = view_of(rows[i].b);
        struct smtp_path a, b;
        assert_int_equal(smtp_path_parse(&a_text, REVERSE, &a), SMTP_PATH_OK);
        assert_int_equal(smtp_path_parse(&b_text, REVERSE, &b), SMTP_PATH_OK);
        if (smtp_path_same(&a, &b) != rows[i].same || smtp_path_same(&b, &a) != rows[i].same)
            fail_msg("%s %s", rows[i].a, rows[i].b);
    }
}

static void domains_and_mailboxes(void **state)
{
    (void)state;
    struct smtp_path path;
    struct address address = { 0 };
    assert_true(smtp_domain_valid(VIEW("a.b-c.test"), false));
    assert_true(smtp_domain_valid(VIEW("\xc3\xbc.test"), true));
    assert_false(smtp_domain_valid(VIEW("\xc3\xbc.test"), false));
    assert_false(smtp_domain_valid(VIEW(""), false));
    assert_false(smtp_domain_valid(VIEW("a."), false));
    assert_false(smtp_domain_valid(VIEW("a b"), false));
    assert_false(smtp_domain_valid(VIEW(LABEL63 "a"), false));
    assert_true(smtp_domain_valid(VIEW(DOMAIN191 "." LABEL63), false));
    assert_false(smtp_domain_valid(VIEW(DOMAIN191 "." LABEL63 ".a"), false));
    assert_int_equal(smtp_mailbox_parse(VIEW("a@b"), STRICT, &path), SMTP_PATH_OK);
    assert_int_equal(smtp_mailbox_parse(VIEW("<a@b>"), REVERSE, &path), SMTP_PATH_SYNTAX);
    assert_int_equal(smtp_mailbox_parse(VIEW("a@b "), STRICT, &path), SMTP_PATH_SYNTAX);
    assert_int_equal(smtp_mailbox_parse(VIEW(" a@b"), STRICT, &path), SMTP_PATH_SYNTAX);
    assert_int_equal(smtp_mailbox_parse(VIEW("a"), STRICT, &path), SMTP_PATH_SYNTAX);
    assert_int_equal(smtp_mailbox_parse(VIEW("a"), SMTP_PATH_BARE, &path), SMTP_PATH_OK);
    assert_int_equal(smtp_mailbox_parse(VIEW(""), REVERSE, &path), SMTP_PATH_SYNTAX);
    assert_true(smtp_literal_parse(VIEW("[192.0.2.1]"), &address));
    assert_true(address_is_v4(&address));
    assert_false(smtp_literal_parse(VIEW("192.0.2.1"), &address));
    assert_false(smtp_literal_parse(VIEW("["), &address));
    assert_false(smtp_literal_parse(VIEW(""), &address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(refused),
        cmocka_unit_test(very_long),
        cmocka_unit_test(relay_forms),
        cmocka_unit_test(broken_utf8),
        cmocka_unit_test(against_reference),
        cmocka_unit_test(isemail),
        cmocka_unit_test(whole_and_plain),
        cmocka_unit_test(common_spelling_of_local_parts),
        cmocka_unit_test(same_mailbox),
        cmocka_unit_test(domains_and_mailboxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
