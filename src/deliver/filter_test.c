#include "deliver/filter.h"

#include "base/test.h"

#include <string.h>

/* Feeds `header` as header and `body` as the rest, each cut at one place. */
static struct view run(char *memory, size_t cap, bool mbox, struct view header, size_t cut_header, struct view body,
                       size_t cut_body)
{
    struct deliver_filter filter;
    struct buffer out;
    buffer_init(&out, memory, cap);
    deliver_filter_start(&filter, mbox);
    deliver_filter_feed(&filter, view_slice(header, 0, cut_header), true, &out);
    deliver_filter_feed(&filter, view_slice(header, cut_header, header.len), true, &out);
    deliver_filter_feed(&filter, view_slice(body, 0, cut_body), false, &out);
    deliver_filter_feed(&filter, view_slice(body, cut_body, body.len), false, &out);
    deliver_filter_end(&filter, &out);
    assert_false(out.full);
    return buffer_view(&out);
}

static void check_row(const char *row, bool mbox, struct view header, struct view body, struct view expected)
{
    char memory[4096];
    for (size_t i = 0; i <= header.len; i++)
        for (size_t j = 0; j <= body.len; j++)
            assert_row(view_equal(run(memory, sizeof memory, mbox, header, i, body, j), expected), row);
}

/* H7: the header ends where it was found to end when the message came in */
static void test_return_path(void **state)
{
    static const struct {
        const char *header, *body, *expected;
    } rows[] = {
        { "Return-Path: <a@b>\r\nSubject: x\r\n\r\n", "body\r\n", "Subject: x\n\nbody\n" },
        { "Subject: x\r\nReturn-Path: <a@b>\r\n\r\n", "", "Subject: x\n\n" },
        { "Return-Path: <a>\r\nReturn-Path: <b>\r\nA: 1\r\nRETURN-PATH: <c>\r\nB: 2\r\n\r\n", "x\r\n",
          "A: 1\nB: 2\n\nx\n" },
        { "return-path:\r\n <folded@b>\r\n\t(more)\r\nA: 1\r\n\r\n", "", "A: 1\n\n" },
        { "rEtUrN-pAtH \t : <x>\r\nA: 1\r\n folded\r\n\r\n", "", "A: 1\n folded\n\n" },
        { "Return-Path:<>\r\n\r\n", "only\r\n", "\nonly\n" },
        { "Return-Path-Not: 1\r\nReturn-Pat: 2\r\nReturn: 3\r\n\r\n", "",
          "Return-Path-Not: 1\nReturn-Pat: 2\nReturn: 3\n\n" },
        { "Return-Path\r\nA: 1\r\n\r\n", "", "Return-Path\nA: 1\n\n" },
        { "Return-Path blank: 1\r\n\r\n", "", "Return-Path blank: 1\n\n" },
        { " folded first\r\nReturn-Path: <x>\r\n\r\n", "", " folded first\n\n" },
        { "A: 1\r\n Return-Path: <in a fold>\r\n\r\n", "", "A: 1\n Return-Path: <in a fold>\n\n" },
        { "", "Return-Path: <the body>\r\n", "Return-Path: <the body>\n" },
        { "\r\n", "Return-Path: <the body>\r\n", "\nReturn-Path: <the body>\n" },
        { "Return-Path: <x>", "", "" },
        { "Return-Pa", "", "Return-Pa" },
        { "Return-Path                                  : <a>\r\n\r\n", "",
          "Return-Path                                  : <a>\n\n" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        check_row(rows[i].header, false, view_of(rows[i].header), view_of(rows[i].body), view_of(rows[i].expected));
}

static void test_line_ends(void **state)
{
    const struct {
        struct view in, expected;
    } rows[] = {
        { VIEW("a\r\nb\r\n"), VIEW("a\nb\n") },
        { VIEW("a\rb\r\r\n\n\r"), VIEW("a\rb\r\n\n\r") },
        { VIEW("\r\n\r\n"), VIEW("\n\n") },
        { VIEW("no end"), VIEW("no end") },
        { VIEW("a\0b\r\n\377\r\n"), VIEW("a\0b\n\377\n") },
        { VIEW(".\r\n..\r\nFrom x\r\n"), VIEW(".\n..\nFrom x\n") },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        check_row(rows[i].in.at, false, VIEW(""), rows[i].in, rows[i].expected);
}

/* Takes one '>' off each quoted line, as every reader of the mboxrd form does. */
static struct view unquote(struct view text, char *memory, size_t cap)
{
    struct buffer out;
    buffer_init(&out, memory, cap);
    while (text.len) {
        struct view line = view_take(&text, view_find(text, '\n') + 1);
        struct view marks = line;
        while (view_starts(marks, VIEW(">")))
            view_take(&marks, 1);
        if (marks.len < line.len && view_starts(marks, VIEW("From ")))
            view_take(&line, 1);
        buffer_add(&out, line);
    }
    return buffer_view(&out);
}

static bool has_from_line(struct view text)
{
    while (text.len) {
        if (view_starts(text, VIEW("From ")))
            return true;
        view_take_until(&text, '\n');
    }
    return false;
}

/* H154 */
static void test_from_quoting(void **state)
{
    static const struct {
        const char *in, *expected;
    } rows[] = {
        { "From x\r\n", ">From x\n\n" },
        { "\r\nFrom x\r\nSubject: y\r\n", "\n>From x\nSubject: y\n\n" },
        { ">From x\r\n>>From y\r\n", ">>From x\n>>>From y\n\n" },
        { "From\r\nFrom:\r\nFrom\tx\r\nfrom x\r\nFro", "From\nFrom:\nFrom\tx\nfrom x\nFro\n\n" },
        { "> From x\r\n From x\r\n>\r\n", "> From x\n From x\n>\n\n" },
        { "a\rFrom b\r\nFrom \r\n", "a\rFrom b\n>From \n\n" },
        { "a\nFrom lf\n", "a\n>From lf\n\n" },
        { "Fro\rm x\r\nF\r\n", "Fro\rm x\nF\n\n" },
        { "", "\n" },
        { "no end", "no end\n\n" },
        { "From ", ">From \n\n" },
        { "end\r", "end\r\n\n" },
        { "FromFrom \r\nFrFrom \r\n", "FromFrom \nFrFrom \n\n" },
    };
    char memory[4096], plain[4096], back[4096];
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct view in = view_of(rows[i].in), expected = view_of(rows[i].expected);
        check_row(rows[i].in, true, VIEW(""), in, expected);
        struct view quoted = run(memory, sizeof memory, true, VIEW(""), 0, in, 0);
        struct view form = run(plain, sizeof plain, false, VIEW(""), 0, in, 0);
        assert_row(!has_from_line(quoted), rows[i].in);
        assert_row(view_starts(unquote(quoted, back, sizeof back), form), rows[i].in);
    }
}

/* H154: every string of pieces that could matter, whole and byte by byte, quoted and back */
static void test_from_quoting_random(void **state)
{
    static const char *const parts[] = { "From ", "From", "F", ">", "\r\n", "\n", "\r", "x", " ", "om ", "Fr" };
    uint64_t seed = 154;
    (void)state;
    for (int n = 0; n < 20000; n++) {
        char text[128], whole[256], bytes[256], plain[256], back[256];
        struct buffer in = BUFFER_OF(text), out = BUFFER_OF(bytes);
        struct deliver_filter filter;
        for (uint64_t count = test_random(&seed) % 12; count; count--)
            buffer_add_text(&in, parts[test_random(&seed) % ROWS(parts)]);
        struct view quoted = run(whole, sizeof whole, true, VIEW(""), 0, buffer_view(&in), in.len);
        deliver_filter_start(&filter, true);
        for (size_t i = 0; i < in.len; i++)
            deliver_filter_feed(&filter, (struct view){ text + i, 1 }, false, &out);
        deliver_filter_end(&filter, &out);
        assert_true(view_equal(quoted, buffer_view(&out)));
        assert_false(has_from_line(quoted));
        struct view form = run(plain, sizeof plain, false, VIEW(""), 0, buffer_view(&in), 0);
        struct view again = unquote(quoted, back, sizeof back);
        assert_true(view_starts(again, form) && again.len - form.len <= 2);
        assert_true(quoted.len <= DELIVER_FILTER_ROOM(in.len));
    }
}

/* H154 */
static void test_from_line(void **state)
{
    const struct {
        struct view path;
        const char *expected;
    } rows[] = {
        { VIEW("a@example.org"), "From a@example.org Sat Nov 21 21:30:00 2026\n" },
        { VIEW(""), "From MAILER-DAEMON Sat Nov 21 21:30:00 2026\n" },
        { VIEW("@a,@b:c@d"), "From c@d Sat Nov 21 21:30:00 2026\n" },
        { VIEW("\"x y\"@d"), "From \"x-y\"@d Sat Nov 21 21:30:00 2026\n" },
        { VIEW("x\nFrom y\r\0\377@d"), "From x-From-y---@d Sat Nov 21 21:30:00 2026\n" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char memory[256];
        struct buffer out = BUFFER_OF(memory);
        deliver_from_line_add(&out, rows[i].path, UINT64_C(1795296600) * 1000000);
        assert_row(view_equal(buffer_view(&out), view_of(rows[i].expected)), rows[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_return_path),  cmocka_unit_test(test_line_ends),
        cmocka_unit_test(test_from_quoting), cmocka_unit_test(test_from_quoting_random),
        cmocka_unit_test(test_from_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
