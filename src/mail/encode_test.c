#include "mail/encode.h"

#include "base/base64.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void expect(struct buffer *got, const char *want)
{
    assert_false(got->full);
    if (!view_equal(buffer_view(got), view_of(want)))
        fail_msg("\"%.*s\", wanted \"%s\"", VIEW_FORMAT(buffer_view(got)), want);
}

static void add_subject(struct buffer *to, struct view text)
{
    struct mail_fold fold = mail_fold_start(to, VIEW("Subject"));
    mail_text_words(&fold, text);
    mail_fold_end(&fold);
}

/* H47: also what would decode to a line end. */
static void writes_words(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "", "Subject:\r\n" },
        { "Hello", "Subject: Hello\r\n" },
        { "A subject that is so long that it is folded, at a blank, before its line has 78",
          "Subject: A subject that is so long that it is folded, at a blank, before its\r\n line has 78\r\n" },
        { "Gr\xc3\xbc\xc3\x9f"
          "e",
          "Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n" },
        { "two  blanks", "Subject: =?utf-8?B?dHdvICBibGFua3M=?=\r\n" },
        { " lead", "Subject: =?utf-8?B?IGxlYWQ=?=\r\n" },
        { "=?x?=", "Subject: =?utf-8?B?PT94Pz0=?=\r\n" },
        { "=?utf-8?q?a=0D=0AX:_y?=", "Subject: =?utf-8?B?PT91dGYtOD9xP2E9MEQ9MEFYOl95Pz0=?=\r\n" },
        { "a\r\nX: y", "Subject: =?utf-8?B?YQ0KWDogeQ==?=\r\n" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char memory[300];
        struct buffer got = BUFFER_OF(memory);
        add_subject(&got, view_of(rows[i][0]));
        expect(&got, rows[i][1]);
    }
}

/* Reads encoded words back; each must hold whole characters and stand on a line of at most 76. */
static void decode_words(struct view field, struct buffer *to)
{
    view_take(&field, 8);
    for (struct view line; (line = view_take_until(&field, '\n')).len;) {
        char memory[100];
        struct buffer bytes = BUFFER_OF(memory);
        assert_true(line.at[0] == ' ' && line.len <= 76 + 1);
        line = view_trim(line);
        assert_true(view_starts(line, VIEW("=?utf-8?B?")) && view_ends_nocase(line, VIEW("?=")));
        assert_true(base64_decode(&bytes, view_slice(line, 10, line.len - 2)));
        assert_true(utf8_valid(buffer_view(&bytes)));
        buffer_add(to, buffer_view(&bytes));
    }
}

/* H47: whatever the text is, it is one field, and is read back as it was. */
static void any_text_is_one_field(void **state)
{
    (void)state;
    static const char *const units[] = { "a",  " ", "\r", "\n", "=?", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x93\xac",
                                         "\t", "?=" };
    srand(5);
    for (int round = 0; round < 5000; round++) {
        char text_memory[400], field_memory[1000], again_memory[400];
        struct buffer text = BUFFER_OF(text_memory), field = BUFFER_OF(field_memory), again = BUFFER_OF(again_memory);
        buffer_add(&text, VIEW("\xc3\xa4")); /* encoded in any case */
        for (int n = rand() % 90; n > 0; n--)
            buffer_add_text(&text, units[(size_t)rand() % COUNT(units)]);
        add_subject(&field, buffer_view(&text));
        assert_false(field.full);
        decode_words(buffer_view(&field), &again);
        assert_true(view_equal(buffer_view(&text), buffer_view(&again)));
    }
}

static void writes_quoted_printable(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "", "" },
        { "a", "a\r\n" },
        { "a\nb\r\n\nc\n", "a\r\nb\r\n\r\nc\r\n" },
        { "1=2", "1=3D2\r\n" },
        { "blank \ntab\t\nin side", "blank=20\r\ntab=09\r\nin side\r\n" },
        { "\xc3\xa4\r.\x7f", "=C3=A4=0D.=7F\r\n" },
        { "123456789012345678901234567890123456789012345678901234567890123456789012345",
          "123456789012345678901234567890123456789012345678901234567890123456789012345\r\n" },
        { "1234567890123456789012345678901234567890123456789012345678901234567890123456",
          "123456789012345678901234567890123456789012345678901234567890123456789012345=\r\n6\r\n" },
        { "1234567890123456789012345678901234567890123456789012345678901234567890123\xe4",
          "1234567890123456789012345678901234567890123456789012345678901234567890123=\r\n=E4\r\n" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char memory[300];
        struct buffer got = BUFFER_OF(memory);
        mail_quoted_printable(&got, view_of(rows[i][0]));
        expect(&got, rows[i][1]);
    }
}

static char hex(char c)
{
    return (char)(c <= '9' ? c - '0' : c - 'A' + 10);
}

static void decode_quoted(struct view text, struct buffer *to)
{
    while (text.len) {
        char c = view_take(&text, 1).at[0];
        if (c != '=') {
            buffer_add_char(to, c);
            continue;
        }
        struct view two = view_take(&text, 2);
        if (!view_equal(two, VIEW("\r\n")))
            buffer_add_char(to, (char)(hex(two.at[0]) * 16 + hex(two.at[1])));
    }
}

/* Any bytes come back, in lines of at most 76, and the output stays within its bound. */
static void quoted_printable_comes_back(void **state)
{
    (void)state;
    srand(6);
    for (int round = 0; round < 3000; round++) {
        char text[600], quoted_memory[4 * sizeof text + MAIL_QUOTED_MORE], again_memory[sizeof text + 2];
        size_t len = (size_t)rand() % sizeof text;
        struct buffer quoted = { quoted_memory, 0, 4 * len + MAIL_QUOTED_MORE, false }, again = BUFFER_OF(again_memory);
        for (size_t i = 0; i < len; i++)
            text[i] = rand() % 3 ? "ab =\t\r."[rand() % 7] : (char)rand();
        for (size_t i = 0; i < len; i++)
            if (text[i] == '\n')
                text[i] = 'n';
        mail_quoted_printable(&quoted, (struct view){ text, len });
        assert_false(quoted.full);
        decode_quoted(buffer_view(&quoted), &again);
        size_t body = len && text[len - 1] == '\r' ? len - 1 : len; /* a CR at the end belongs to a line end */
        assert_int_equal(again.len, len ? body + 2 : 0);
        assert_memory_equal(again.at, text, body);
        for (struct view rest = buffer_view(&quoted), line; (line = view_take_until(&rest, '\n')).len;)
            assert_true(line.len <= 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_words),
        cmocka_unit_test(any_text_is_one_field),
        cmocka_unit_test(writes_quoted_printable),
        cmocka_unit_test(quoted_printable_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
