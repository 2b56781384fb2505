#include "base/address.h"

#include <string.h>

#include "base/test.h"

static void test_ip(void **state)
{
    static const struct {
        const char *text, *canonical; /* NULL: refused */
    } rows[] = {
        { "192.0.2.1", "192.0.2.1" },
        { "0.0.0.0", "0.0.0.0" },
        { "255.255.255.255", "255.255.255.255" },
        { "::ffff:192.0.2.1", "192.0.2.1" },
        { "::FFFF:c000:201", "192.0.2.1" },
        { "0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1" },
        { "::", "::" },
        { "::1", "::1" },
        { "2001:DB8::", "2001:db8::" },
        /* RFC 5952 section 4: no leading zeros, the longest run shortened, the first of two, never a single group */
        { "2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1" },
        { "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },
        { "1:0:0:2:0:0:0:3", "1:0:0:2::3" },
        { "0:0:1:2:3:4:5:6", "::1:2:3:4:5:6" },
        { "1:2:3:4:5:6:0:0", "1:2:3:4:5:6::" },
        { "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8" },
        { "1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:c000:201" },
        { "64:ff9b::192.0.2.33", "64:ff9b::c000:221" },
        { "fe80::1%3", "fe80::1%3" },
        { "fe80::1%4294967295", "fe80::1%4294967295" },
        { "", NULL },
        { "1", NULL },
        { "1.2.3", NULL },
        { "1.2.3.", NULL },
        { ".1.2.3", NULL },
        { "1..2.3", NULL },
        { "1.2.3.4.", NULL },
        { "1.2.3.4.5", NULL },
        { "256.0.0.1", NULL },
        { "01.2.3.4", NULL }, /* octal for some */
        { "0x1.2.3.4", NULL },
        { "1.2.3.4 ", NULL },
        { "1.2.3.4%1", NULL },
        { "1.2.3.4%0", NULL },
        { "::ffff:1.2.3.4%1", NULL },
        { ":", NULL },
        { ":::", NULL },
        { "1:2:3:4:5:6:7", NULL },
        { "1:2:3:4:5:6:7:8:9", NULL },
        { "1:2:3:4:5:6:7:", NULL },
        { ":1:2:3:4:5:6:7", NULL },
        { "1::2::3", NULL },
        { "1:2:3:4::5:6:7:8", NULL }, /* the gap must stand for something */
        { "12345::", NULL },
        { "g::", NULL },
        { "1.2.3.4::", NULL }, /* RFC 4291 section 2.2: the IPv4 form comes last */
        { "::1.2.3.4:5", NULL },
        { "1:2:3:4:5:6:7:1.2.3.4", NULL },
        { "fe80::1%", NULL },
        { "fe80::1%0", NULL },
        { "fe80::1%eth0", NULL },
        { "fe80::1%4294967296", NULL },
        { "[::1]", NULL },
        { "1.2.3.4\xff", NULL },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char memory[ADDRESS_TEXT_MAX];
        struct buffer b = BUFFER_OF(memory);
        struct address a = { .port = 25 };
        assert_row(address_parse_ip(view_of(rows[i].text), &a) == (rows[i].canonical != NULL), rows[i].text);
        assert_row(a.set == (rows[i].canonical != NULL) && a.port == 25, rows[i].text);
        if (!rows[i].canonical)
            continue;
        address_add_ip(&b, &a);
        assert_row(view_equal(buffer_view(&b), view_of(rows[i].canonical)), rows[i].text);
    }
    struct address a;
    assert_false(address_parse_ip(VIEW("1.2.3.4\0"), &a));
}

static void test_ip_and_port(void **state)
{
    static const struct {
        const char *text, *canonical;
    } rows[] = {
        { "192.0.2.1:25", "192.0.2.1:25" },
        { "[::1]:2525", "[::1]:2525" },
        { "[::ffff:192.0.2.1]:25", "192.0.2.1:25" },
        { "[fe80::1%2]:25", "[fe80::1%2]:25" },
        { "*:25", "[::]:25" },
        { ":25", "[::]:25" },
        { "127.0.0.1:0", "127.0.0.1:0" },
        { "127.0.0.1:65535", "127.0.0.1:65535" },
        { "127.0.0.1:65536", NULL },
        { "127.0.0.1:", NULL },
        { "127.0.0.1", NULL },
        { "127.0.0.1:smtp", NULL },
        { "127.0.0.1:-1", NULL },
        { "::1:25", NULL }, /* an address or an address and port? */
        { "[::1]", NULL },
        { "[::1]25", NULL },
        { "[]:25", NULL },
        { "[127.0.0.1]:25", NULL },
        { "**:25", NULL },
        { "localhost:25", NULL },
        { "", NULL },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char memory[ADDRESS_TEXT_MAX];
        struct buffer b = BUFFER_OF(memory);
        struct address a = { .port = 7 };
        assert_row(address_parse(view_of(rows[i].text), &a) == (rows[i].canonical != NULL), rows[i].text);
        assert_row(rows[i].canonical || (a.port == 7 && !a.set), rows[i].text);
        if (!rows[i].canonical)
            continue;
        address_add(&b, &a);
        assert_row(view_equal(buffer_view(&b), view_of(rows[i].canonical)), rows[i].text);
    }
}

static void test_longest_text_fits(void **state)
{
    char memory[ADDRESS_TEXT_MAX];
    struct buffer b = BUFFER_OF(memory);
    struct address a = { .scope = UINT32_MAX, .port = 65535, .set = true };
    (void)state;
    memset(a.ip, 0xff, sizeof a.ip);
    address_add(&b, &a);
    assert_false(b.full);
}

/* H75: one address has one form, and a network of one family never holds the other family by accident. */
static void test_networks(void **state)
{
    static const struct {
        const char *network, *address;
        bool has;
    } rows[] = {
        { "10.0.0.0/8", "10.0.0.1", true },
        { "10.0.0.0/8", "::ffff:10.0.0.1", true },
        { "10.0.0.0/8", "11.0.0.1", false },
        { "10.0.0.0/8", "9.255.255.255", false },
        { "10.0.0.0/8", "10.255.255.255", true },
        { "10.0.0.0/8", "a00::1", false },
        { "10.0.0.0/8", "::a00:1", false },
        { "::ffff:10.0.0.0/104", "10.9.8.7", true },
        { "192.0.2.128/25", "192.0.2.128", true },
        { "192.0.2.128/25", "192.0.2.127", false },
        { "192.0.2.0/31", "192.0.2.1", true },
        { "192.0.2.0/31", "192.0.2.2", false },
        { "192.0.2.1", "192.0.2.1", true },
        { "192.0.2.1/32", "192.0.2.0", false },
        { "0.0.0.0/0", "203.0.113.9", true },
        { "0.0.0.0/0", "2001:db8::1", false },
        { "::1", "::1", true },
        { "::1", "127.0.0.1", false },
        { "2001:db8::/32", "2001:db8:ffff::1", true },
        { "2001:db8::/32", "2001:db9::", false },
        { "2001:db8::/33", "2001:db8:8000::", false },
        { "fe80::/10", "fe80::1%2", true },
        { "::/0", "2001:db8::1", true },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct network n;
        struct address a;
        assert_row(network_parse(view_of(rows[i].network), &n), rows[i].network);
        assert_row(address_parse_ip(view_of(rows[i].address), &a), rows[i].address);
        assert_row(network_has(&n, &a) == rows[i].has, rows[i].address);
    }
}

static void test_networks_refused(void **state)
{
    static const char *const rows[] = { "",          "/8",          "10.0.0.1/8",   "10.0.0.0/33",
                                        "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "2001:db8::1/64",
                                        "::/129",    "fe80::%1/64", "10/8",         "10.0.0.0/x" };
    struct network n;
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        assert_row(!network_parse(view_of(rows[i]), &n), rows[i]);
}

/* H75: for random addresses and prefixes, the answer is that of comparing bit by bit. */
static void test_networks_bit_by_bit(void **state)
{
    uint64_t seed = 9;
    (void)state;
    for (int round = 0; round < 100000; round++) {
        struct network n = { .bits = (uint8_t)(test_random(&seed) % 129) };
        struct address a = { .set = true };
        bool same = true;
        for (int i = 0; i < 16; i++)
            a.ip[i] = n.ip[i] = (uint8_t)test_random(&seed);
        a.ip[test_random(&seed) % 16] ^= (uint8_t)(1 << test_random(&seed) % 8);
        for (int bit = 0; bit < n.bits; bit++)
            same = same && (a.ip[bit / 8] >> (7 - bit % 8) & 1) == (n.ip[bit / 8] >> (7 - bit % 8) & 1);
        assert_int_equal(network_has(&n, &a), same);
    }
}

static void test_kinds(void **state)
{
    static const struct {
        const char *text;
        bool v4, loopback;
    } rows[] = {
        { "127.0.0.1", true, true },        { "127.255.0.9", true, true }, { "128.0.0.1", true, false },
        { "::ffff:127.0.0.1", true, true }, { "::1", false, true },        { "::", false, false },
        { "::127.0.0.1", false, false },    { "7f00::1", false, false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct address a;
        assert_row(address_parse_ip(view_of(rows[i].text), &a), rows[i].text);
        assert_row(address_is_v4(&a) == rows[i].v4, rows[i].text);
        assert_row(address_is_loopback(&a) == rows[i].loopback, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ip),
        cmocka_unit_test(test_ip_and_port),
        cmocka_unit_test(test_longest_text_fits),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_networks_refused),
        cmocka_unit_test(test_networks_bit_by_bit),
        cmocka_unit_test(test_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
