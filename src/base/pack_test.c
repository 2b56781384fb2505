#include "base/pack.h"

#include <string.h>

#include "base/test.h"

static void test_bytes_are_little_endian(void **state)
{
    char memory[64];
    struct buffer b = BUFFER_OF(memory);
    (void)state;
    pack_u8(&b, 0x81);
    pack_u16(&b, 0x8182);
    pack_u32(&b, 0x81828384);
    pack_u64(&b, 0x8182838485868788);
    pack_view(&b, VIEW("xyz"));
    pack_bytes(&b, VIEW("\0end"));
    assert_true(view_equal(buffer_view(&b), VIEW("\x81\x82\x81\x84\x83\x82\x81\x88\x87\x86\x85\x84\x83\x82\x81"
                                                 "\3\0\0\0xyz\0end")));
    struct unpack u = unpack_of(buffer_view(&b));
    assert_int_equal(unpack_u8(&u), 0x81);
    assert_int_equal(unpack_u16(&u), 0x8182);
    assert_int_equal(unpack_u32(&u), 0x81828384);
    assert_int_equal(unpack_u64(&u), 0x8182838485868788);
    assert_true(view_equal(unpack_view(&u), VIEW("xyz")));
    assert_false(unpack_done(&u));
    assert_true(view_equal(unpack_bytes(&u, 4), VIEW("\0end")));
    assert_true(unpack_done(&u));
}

/* However short the input, reading says bad and never reaches past its end. */
static void test_every_truncation(void **state)
{
    char memory[32];
    struct buffer b = BUFFER_OF(memory);
    (void)state;
    pack_u16(&b, 1);
    pack_view(&b, VIEW("abcd"));
    pack_u64(&b, 2);
    for (size_t len = 0; len <= b.len; len++) {
        char *exact = test_malloc(len + !len); /* so that the sanitizer sees a byte too many */
        memcpy(exact, memory, len);
        struct unpack u = unpack_of((struct view){ exact, len });
        unpack_u16(&u);
        struct view text = unpack_view(&u);
        uint64_t last = unpack_u64(&u);
        assert_int_equal(unpack_done(&u), len == b.len);
        assert_int_equal(last, len == b.len ? 2 : 0);
        assert_true(text.len == 0 || text.len == 4);
        test_free(exact);
    }
}

static void test_bad_lengths(void **state)
{
    struct unpack u = unpack_of(VIEW("\xff\xff\xff\xff"
                                     "abc"));
    (void)state;
    assert_int_equal(unpack_view(&u).len, 0);
    assert_true(u.bad);
    assert_int_equal(unpack_u8(&u), 0); /* bad stays bad, though bytes are left */
    u = unpack_of(VIEW_NONE);
    assert_int_equal(unpack_bytes(&u, 0).len, 0);
    assert_true(unpack_done(&u));
    assert_int_equal(unpack_bytes(&u, SIZE_MAX).len, 0);
    assert_false(unpack_done(&u));
}

static void test_no_room(void **state)
{
    char memory[7];
    struct buffer b = BUFFER_OF(memory);
    (void)state;
    pack_view(&b, VIEW("abcd")); /* neither a length without its bytes nor half of them */
    assert_true(b.full);
    assert_int_equal(b.len, 0);
    buffer_clear(&b);
    pack_view(&b, VIEW("abc"));
    assert_false(b.full);
    pack_u8(&b, 1);
    assert_true(b.full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_little_endian),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_bad_lengths),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
