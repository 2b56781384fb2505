#include "base/base64.h"

#include <string.h>

#include "base/test.h"

/* RFC 4648 section 10. */
static void test_vectors(void **state)
{
    static const char *const rows[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xff\xef\xbf", "/++/" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char memory[32];
        struct buffer b = BUFFER_OF(memory);
        base64_add(&b, view_of(rows[i][0]));
        assert_row(view_equal(buffer_view(&b), view_of(rows[i][1])), rows[i][1]);
        buffer_clear(&b);
        assert_row(base64_decode(&b, view_of(rows[i][1])), rows[i][1]);
        assert_row(view_equal(buffer_view(&b), view_of(rows[i][0])), rows[i][1]);
    }
}

static void test_refused(void **state)
{
    static const char *const rows[] = {
        "Z",    "Zg",         "Zg=",      "Zg===",    "=",        "==",   "====",         "Z===",
        "=Zg=", "Zg=a",       "Zg==Zg==", "Zm8=Zm8=", "Zm9v\r\n", " Zm9", "Zm9v\n\n\n\n", "Zm9-",
        "Zm9_", "Zm\xc3\xa9", "Zh==", /* bits left over */
        "Zm9=",                       /* the same */
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char memory[32];
        struct buffer b = BUFFER_OF(memory);
        assert_row(!base64_decode(&b, view_of(rows[i])), rows[i]);
    }
    char memory[32];
    struct buffer b = BUFFER_OF(memory);
    assert_false(base64_decode(&b, VIEW("Zm9\0")));
    assert_false(base64_decode(&b, VIEW("\0\0\0\0")));
}

static void test_no_room(void **state)
{
    char memory[5];
    struct buffer b = BUFFER_OF(memory);
    (void)state;
    assert_false(base64_decode(&b, VIEW("Zm9vYmFy")));
    buffer_clear(&b);
    assert_true(base64_decode(&b, VIEW("Zm9vYmE=")));
    buffer_clear(&b);
    base64_add(&b, VIEW("foob"));
    assert_true(b.full);
}

static void test_round_trip(void **state)
{
    uint64_t seed = 5;
    (void)state;
    for (size_t len = 0; len < 200; len++) {
        char bytes[200], text[300], back[200];
        struct buffer written = BUFFER_OF(text), read = BUFFER_OF(back);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)test_random(&seed);
        base64_add(&written, (struct view){ bytes, len });
        assert_int_equal(written.len, (len + 2) / 3 * 4);
        assert_true(base64_decode(&read, buffer_view(&written)));
        assert_true(view_equal(buffer_view(&read), (struct view){ bytes, len }));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
