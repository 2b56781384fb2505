#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Bytes of the character, 0 for what is none. */
static size_t encode(uint32_t c, char to[4])
{
    if (c < 0x80 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)((0xf00 >> len & 0xff) | c);
    return len;
}

/* Every sequence of up to three bytes, and of four with the edges of each byte, is taken exactly when it is the
 * encoding of a character. */
static void takes_characters_only(void **state)
{
    (void)state;
    static const uint8_t edges[] = { 0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff };
    enum { EDGES = sizeof edges };
    for (uint32_t n = 0; n < 256 * EDGES * EDGES * EDGES; n++) {
        uint8_t b[4] = { (uint8_t)(n & 0xff), edges[n / 256 % EDGES], edges[n / 256 / EDGES % EDGES],
                         edges[n / 256 / EDGES / EDGES] };
        size_t len = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4, want;
        uint32_t c = b[0] & (0xffu >> (len + 1));
        char again[4];
        for (size_t i = 1; i < len; i++)
            c = c << 6 | (b[i] & 0x3f);
        want = encode(c, again);
        for (size_t i = 0; i < want; i++)
            if (want != len || (uint8_t)again[i] != b[i])
                want = 0;
        struct view text = { (const char *)b, 4 };
        assert_int_equal(utf8_sequence(text), want);
        text.len = len - 1; /* cut off */
        assert_int_equal(utf8_sequence(text), 0);
    }
}

static void whole_texts(void **state)
{
    (void)state;
    assert_true(utf8_valid(VIEW("")));
    assert_true(utf8_valid(VIEW("a\0b\x7f")));
    assert_true(utf8_valid(VIEW("\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xac")));
    assert_false(utf8_valid(VIEW("a\xc3")));
    assert_false(utf8_valid(VIEW("\xa4")));
    assert_false(utf8_valid(VIEW("\xed\xa0\x80")));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(takes_characters_only), cmocka_unit_test(whole_texts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
