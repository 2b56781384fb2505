#include "base/view.h"

#include "base/test.h"

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    }

static void test_equality(void **state)
{
    static const struct {
        const char *name;
        struct view a, b;
        bool equal, equal_nocase;
        int order;
    } rows[] = {
        { "empty", { "", 0 }, { NULL, 0 }, true, true, 0 },
        { "same", BYTES("rcpt"), BYTES("rcpt"), true, true, 0 },
        { "letter case", BYTES("RCPT to"), BYTES("rcpt TO"), false, true, -1 },
        { "prefix", BYTES("rcpt"), BYTES("rcpt "), false, false, -1 },
        { "NUL inside", BYTES("a\0b"), BYTES("a\0c"), false, false, -1 },
        { "bytes are unsigned", BYTES("\xff"), BYTES("a"), false, false, 1 },
        /* Neither the dotted capital I nor its lower-case fellow is an ASCII letter (H169). */
        { "Turkish i", BYTES("\xc4\xb0"), BYTES("i"), false, false, 1 },
        { "beside the letters", BYTES("@[`{"), BYTES("`{@["), false, false, -1 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        assert_row(view_equal(rows[i].a, rows[i].b) == rows[i].equal, rows[i].name);
        assert_row(view_equal_nocase(rows[i].a, rows[i].b) == rows[i].equal_nocase, rows[i].name);
        assert_row(view_compare(rows[i].a, rows[i].b) == rows[i].order, rows[i].name);
        assert_row(view_compare(rows[i].b, rows[i].a) == -rows[i].order, rows[i].name);
    }
}

static void test_starts_and_ends(void **state)
{
    (void)state;
    assert_true(view_starts(VIEW("MAIL FROM:"), VIEW("MAIL ")));
    assert_true(view_starts(VIEW("MAIL"), VIEW_NONE));
    assert_false(view_starts(VIEW("MAIL"), VIEW("mail")));
    assert_false(view_starts(VIEW("MAI"), VIEW("MAIL")));
    assert_true(view_starts_nocase(VIEW("mail from"), VIEW("MAIL ")));
    assert_true(view_ends_nocase(VIEW("mx.Example.ORG"), VIEW(".org")));
    assert_true(view_ends_nocase(VIEW("org"), VIEW("")));
    assert_false(view_ends_nocase(VIEW("rg"), VIEW("org")));
}

static void test_find(void **state)
{
    struct view v = VIEW("a@b@c");
    (void)state;
    assert_int_equal(view_find(v, '@'), 1);
    assert_int_equal(view_find_last(v, '@'), 3);
    assert_int_equal(view_find(v, 'x'), 5);
    assert_int_equal(view_find_last(v, 'x'), 5);
    assert_int_equal(view_find(VIEW("a\0b"), '\0'), 1);
    assert_int_equal(view_find(VIEW_NONE, 'a'), 0);
    assert_int_equal(view_find_last(VIEW_NONE, 'a'), 0);
    assert_true(view_has(v, 'c'));
    assert_false(view_has(VIEW_NONE, 'c'));
}

static void test_slice_clips(void **state)
{
    struct view v = VIEW("abcdef");
    (void)state;
    assert_true(view_equal(view_slice(v, 1, 3), VIEW("bc")));
    assert_true(view_equal(view_slice(v, 4, SIZE_MAX), VIEW("ef")));
    assert_int_equal(view_slice(v, 6, 9).len, 0);
    assert_int_equal(view_slice(v, 3, 1).len, 0);
    assert_int_equal(view_slice(VIEW_NONE, 0, 1).len, 0);
}

static void test_take(void **state)
{
    struct view v = VIEW("RCPT TO:<a>");
    (void)state;
    assert_true(view_equal(view_take(&v, 4), VIEW("RCPT")));
    assert_true(view_equal(view_take_until(&v, ':'), VIEW(" TO")));
    assert_true(view_equal(view_take_until(&v, ':'), VIEW("<a>")));
    assert_int_equal(v.len, 0);
    assert_int_equal(view_take(&v, 1).len, 0);
    v = VIEW_NONE;
    assert_int_equal(view_take_until(&v, 'x').len, 0);
}

static void test_words(void **state)
{
    struct view v = VIEW(" \tETRN\t example.org  ");
    (void)state;
    assert_true(view_equal(view_take_word(&v), VIEW("ETRN")));
    assert_true(view_equal(view_take_word(&v), VIEW("example.org")));
    assert_int_equal(view_take_word(&v).len, 0);
    assert_int_equal(view_take_word(&v).len, 0);
    assert_true(view_equal(view_trim(VIEW(" \r\n a b\t\r\n")), VIEW("a b")));
    assert_int_equal(view_trim(VIEW(" \t\r\n")).len, 0);
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool good;
        uint64_t number;
    } rows[] = {
        { "0", 0, true, 0 },
        { "0", 9, true, 0 },
        { "1", 0, false, 0 },
        { "7", 6, false, 0 },
        { "65535", 65535, true, 65535 },
        { "65536", 65535, false, 0 },
        { "00025", 99, true, 25 },
        { "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
        { "18446744073709551616", UINT64_MAX, false, 0 },
        { "99999999999999999999999", UINT64_MAX, false, 0 },
        { "", 9, false, 0 },
        { "-1", 9, false, 0 },
        { "+1", 9, false, 0 },
        { " 1", 9, false, 0 },
        { "1 ", 9, false, 0 },
        { "0x1", 9, false, 0 },
        { "\xd9\xa1", 9, false, 0 }, /* ARABIC-INDIC DIGIT ONE */
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint64_t number = 0;
        assert_row(view_to_u64(view_of(rows[i].text), rows[i].max, &number) == rows[i].good, rows[i].text);
        assert_row(number == rows[i].number, rows[i].text);
    }
}

static void test_classes_of_all_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        char c = (char)i;
        bool upper = i >= 65 && i <= 90, lower = i >= 97 && i <= 122, digit = i >= 48 && i <= 57;
        assert_int_equal(ascii_lower(c), upper ? (char)(i + 32) : c);
        assert_int_equal(ascii_is_alpha(c), upper || lower);
        assert_int_equal(ascii_is_digit(c), digit);
        assert_int_equal(ascii_is_alnum(c), upper || lower || digit);
        assert_int_equal(ascii_is_blank(c), i == 9 || i == 32);
        assert_int_equal(ascii_is_print(c), i >= 32 && i <= 126);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equality), cmocka_unit_test(test_starts_and_ends),
        cmocka_unit_test(test_find),     cmocka_unit_test(test_slice_clips),
        cmocka_unit_test(test_take),     cmocka_unit_test(test_words),
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_classes_of_all_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
