#include "base/crc32c.h"

#include <string.h>

#include "base/test.h"

/* RFC 3720 appendix B.4, and the check value of the polynomial. */
static void test_vectors(void **state)
{
    char zeros[32], ones[32], rising[32], falling[32];
    (void)state;
    memset(zeros, 0, 32);
    memset(ones, 0xff, 32);
    for (int i = 0; i < 32; i++) {
        rising[i] = (char)i;
        falling[i] = (char)(31 - i);
    }
    const struct {
        const char *name;
        struct view bytes;
        uint32_t crc;
    } rows[] = {
        { "nothing", VIEW_NONE, 0 },
        { "check", VIEW("123456789"), 0xe3069283 },
        { "zeros", { zeros, 32 }, 0x8a9136aa },
        { "ones", { ones, 32 }, 0x62a8ab43 },
        { "rising", { rising, 32 }, 0x46dd794e },
        { "falling", { falling, 32 }, 0x113fdb5c },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        assert_row(crc32c(0, rows[i].bytes) == rows[i].crc, rows[i].name);
        assert_row(crc32c_portable(0, rows[i].bytes) == rows[i].crc, rows[i].name);
    }
}

/* Both ways of counting agree on all lengths and alignments, from any seed, in one piece or two. */
static void test_ways_agree(void **state)
{
    char bytes[300];
    uint64_t seed = 4;
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)test_random(&seed);
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; len <= sizeof bytes - from; len++) {
            uint32_t start = (uint32_t)test_random(&seed);
            size_t cut = len ? test_random(&seed) % len : 0;
            struct view v = { bytes + from, len };
            uint32_t crc = crc32c(start, v);
            assert_int_equal(crc32c_portable(start, v), crc);
            assert_int_equal(crc32c(crc32c(start, view_slice(v, 0, cut)), view_slice(v, cut, len)), crc);
        }
}

static void test_every_flipped_bit_shows(void **state)
{
    char bytes[64] = "envelope and content";
    struct view v = { bytes, sizeof bytes };
    uint32_t crc = crc32c(7, v);
    (void)state;
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_not_equal(crc32c(7, v), crc);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_ways_agree),
        cmocka_unit_test(test_every_flipped_bit_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
