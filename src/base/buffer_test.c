#include "base/buffer.h"

#include <string.h>

#include "base/test.h"

static void test_whole_or_nothing(void **state)
{
    char memory[8];
    struct buffer b = BUFFER_OF(memory);
    (void)state;
    buffer_add(&b, VIEW("12345"));
    buffer_add(&b, VIEW("6789"));
    assert_true(b.full);
    assert_true(view_equal(buffer_view(&b), VIEW("12345")));
    buffer_add(&b, VIEW("678"));
    assert_int_equal(buffer_room(&b), 0);
    buffer_add(&b, VIEW_NONE);
    assert_true(view_equal(buffer_view(&b), VIEW("12345678")));
    assert_true(b.full);
    buffer_clear(&b);
    assert_false(b.full);
    assert_int_equal(buffer_room(&b), 8);
}

static void test_numbers(void **state)
{
    char memory[21];
    struct buffer b = BUFFER_OF(memory);
    (void)state;
    buffer_add_u64(&b, 0);
    buffer_add_u64(&b, UINT64_MAX);
    assert_true(view_equal(buffer_view(&b), VIEW("018446744073709551615")));
    assert_false(b.full);
    buffer_add_u64(&b, 1);
    assert_true(b.full);
}

/* A format writes a NUL behind its text, so it takes one byte more than it adds. */
static void test_format_at_the_edge(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 10; cap++) {
        char memory[10];
        struct buffer b;
        memset(memory, '#', sizeof memory);
        buffer_init(&b, memory, cap);
        buffer_addf(&b, "%s-%d", "ab", 25);
        assert_int_equal(b.full, cap < 6);
        assert_int_equal(b.len, cap < 6 ? 0 : 5);
        assert_int_equal(memory[cap], '#');
    }
}

static void test_remove(void **state)
{
    char memory[8];
    struct buffer b = BUFFER_OF(memory), none = { NULL, 0, 0, false };
    (void)state;
    buffer_add_text(&b, "abcdef");
    buffer_remove(&b, 2);
    assert_true(view_equal(buffer_view(&b), VIEW("cdef")));
    buffer_remove(&b, 0);
    assert_int_equal(b.len, 4);
    buffer_remove(&b, 99);
    assert_int_equal(b.len, 0);
    buffer_remove(&none, 1);
    buffer_add_text(&none, NULL);
    assert_false(none.full);
}

static void test_safe_text(void **state)
{
    char memory[64];
    struct buffer b = BUFFER_OF(memory);
    (void)state;
    buffer_add_safe(&b, VIEW("x\x1b]0;y\x07 \xc3\xa9\0\r\n\x7f~"), 64);
    assert_true(view_equal(buffer_view(&b), VIEW("x?]0;y? ??????~")));
    buffer_clear(&b);
    buffer_add_safe(&b, VIEW("0123456789"), 4);
    assert_true(view_equal(buffer_view(&b), VIEW("0123")));
    assert_false(b.full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_or_nothing),   cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_format_at_the_edge), cmocka_unit_test(test_remove),
        cmocka_unit_test(test_safe_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
