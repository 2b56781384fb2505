#include "mail/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    } /* a struct view in a table */

static const struct {
    struct view text;
    struct mail_facts facts;
} messages[] = {
    { TEXT(""), { .ends_with_crlf = true } },
    /* H7: contents that begin oddly */
    { TEXT("\r\n"), { .size = 2, .header_size = 2, .ends_with_crlf = true } },
    { TEXT(".\r\n"),
      { .size = 3, .header_size = 3, .line_max = 1, .field_count = 1, .dot_lines = true, .ends_with_crlf = true } },
    { TEXT("From x\r\n"), { .size = 8, .header_size = 8, .line_max = 6, .field_count = 1, .ends_with_crlf = true } },
    { TEXT(" folded\r\n"), { .size = 9, .line_max = 7, .headless = true, .ends_with_crlf = true } },
    { TEXT("\t\r\n\r\nx\r\n"), { .size = 8, .line_max = 1, .headless = true, .ends_with_crlf = true } },
    { TEXT("no end"), { .size = 6, .header_size = 6, .line_max = 6, .field_count = 1 } },
    { TEXT("a:b\r\n\r\nno end"), { .size = 13, .header_size = 7, .line_max = 6, .field_count = 1 } },
    { TEXT("\r\nFrom: x\r\nDate: y\r\nReceived: z\r\n"),
      { .size = 33, .header_size = 2, .line_max = 11, .ends_with_crlf = true } },
    { TEXT("Received: a\r\nReceived:\r\n by b\r\nFROM: c\r\ndate : d\r\nMessage-Id: e\r\nReturn-Path: f\r\n\r\n.\r\n"),
      { .size = 86,
        .header_size = 83,
        .line_max = 14,
        .field_count = 6,
        .received_count = 2,
        .dot_lines = true,
        .ends_with_crlf = true,
        .has_return_path = true,
        .has_date = true,
        .has_from = true,
        .has_message_id = true } },
    { TEXT("a:\xe4\r\n\r\n"),
      { .size = 7, .header_size = 7, .line_max = 3, .field_count = 1, .eight_bit = true, .ends_with_crlf = true } },
    { TEXT("a:\r\n\r\n1234567\x80"),
      { .size = 14, .header_size = 6, .line_max = 8, .field_count = 1, .eight_bit = true } },
    { TEXT("a:\0\r\n\r\n"),
      { .size = 7,
        .header_size = 7,
        .line_max = 3,
        .field_count = 1,
        .nul = true,
        .header_nul = true,
        .ends_with_crlf = true } },
    { TEXT("a:\r\n\r\nbody with\0\r\n"),
      { .size = 18, .header_size = 6, .line_max = 10, .field_count = 1, .nul = true, .ends_with_crlf = true } },
    { TEXT("a:\n\nb\r\n"),
      { .size = 7, .header_size = 4, .line_max = 2, .field_count = 1, .bare_cr_lf = true, .ends_with_crlf = true } },
    { TEXT("a:\r\n\r\nb\r.\r\n"),
      { .size = 11, .header_size = 6, .line_max = 3, .field_count = 1, .bare_cr_lf = true, .ends_with_crlf = true } },
    { TEXT("a:\r\n\r\nb\r\r\n"),
      { .size = 10, .header_size = 6, .line_max = 2, .field_count = 1, .bare_cr_lf = true, .ends_with_crlf = true } },
    { TEXT("a:\r\n\r\nb\r"), { .size = 8, .header_size = 6, .line_max = 2, .field_count = 1, .bare_cr_lf = true } },
    { TEXT("a:\r\n\r\nb\n"), { .size = 8, .header_size = 6, .line_max = 2, .field_count = 1, .bare_cr_lf = true } },
    { TEXT("a:\r\n\r\nx\n.y\r\n"),
      { .size = 12,
        .header_size = 6,
        .line_max = 2,
        .field_count = 1,
        .dot_lines = true,
        .bare_cr_lf = true,
        .ends_with_crlf = true } },
    { TEXT("a:\r\n\r\nb..\r\n c.\r\n"),
      { .size = 16, .header_size = 6, .line_max = 3, .field_count = 1, .ends_with_crlf = true } },
};

static bool same(const struct mail_facts *a, const struct mail_facts *b)
{
    return a->size == b->size && a->header_size == b->header_size && a->line_max == b->line_max &&
           a->field_count == b->field_count && a->received_count == b->received_count && a->eight_bit == b->eight_bit &&
           a->nul == b->nul && a->header_nul == b->header_nul && a->dot_lines == b->dot_lines &&
           a->bare_cr_lf == b->bare_cr_lf && a->headless == b->headless && a->ends_with_crlf == b->ends_with_crlf &&
           a->has_return_path == b->has_return_path && a->has_date == b->has_date && a->has_from == b->has_from &&
           a->has_message_id == b->has_message_id;
}

/* In pieces of at most `piece` bytes, after a first one of `first`. */
static struct mail_facts scan_split(struct view text, size_t first, size_t piece)
{
    struct mail_scan scan;
    mail_scan_start(&scan);
    mail_scan_feed(&scan, view_take(&text, first));
    while (text.len)
        mail_scan_feed(&scan, view_take(&text, piece));
    return *mail_scan_end(&scan);
}

/* H7: the boundary between header and body is found once, whatever the message begins with. */
static void finds_facts_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(messages); i++) {
        struct view text = messages[i].text;
        for (size_t first = 0; first <= text.len; first++) {
            struct mail_facts two = scan_split(text, first, text.len), bytes = scan_split(text, first, 1);
            if (!same(&two, &messages[i].facts) || !same(&bytes, &messages[i].facts))
                fail_msg("row %zu, split at %zu: size %llu header %llu line %llu fields %u", i, first,
                         (unsigned long long)two.size, (unsigned long long)two.header_size,
                         (unsigned long long)two.line_max, two.field_count);
        }
    }
}

static void any_pieces_give_the_same(void **state)
{
    (void)state;
    static const char alphabet[] = "\r\n\r\n\r\n: .\0xReceived\xe4";
    srand(1);
    for (int round = 0; round < 20000; round++) {
        char text[64];
        size_t len = (size_t)rand() % sizeof text;
        for (size_t i = 0; i < len; i++)
            text[i] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
        struct mail_facts whole = scan_split((struct view){ text, len }, len, 1);
        struct mail_facts split = scan_split((struct view){ text, len }, (size_t)rand() % 9, (size_t)rand() % 9 + 1);
        assert_true(same(&whole, &split));
    }
}

static void packs_facts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(messages); i++) {
        char memory[64];
        struct buffer bytes = BUFFER_OF(memory);
        struct mail_facts got;
        mail_facts_pack(&bytes, &messages[i].facts);
        struct unpack from = unpack_of(buffer_view(&bytes));
        assert_true(mail_facts_unpack(&from, &got) && unpack_done(&from));
        assert_true(same(&got, &messages[i].facts));
        from = unpack_of(view_slice(buffer_view(&bytes), 0, bytes.len - 1));
        assert_false(mail_facts_unpack(&from, &got));
    }
}

static void refuses_impossible_facts(void **state)
{
    (void)state;
    struct mail_facts facts = { .size = 5, .header_size = 6 }, got;
    char memory[64];
    struct buffer bytes = BUFFER_OF(memory);
    mail_facts_pack(&bytes, &facts);
    struct unpack from = unpack_of(buffer_view(&bytes));
    assert_false(mail_facts_unpack(&from, &got));
    memory[8] = 5;
    from = unpack_of(buffer_view(&bytes));
    assert_true(mail_facts_unpack(&from, &got));
    memory[bytes.len - 1] = (char)0x80; /* a flag we do not know */
    from = unpack_of(buffer_view(&bytes));
    assert_false(mail_facts_unpack(&from, &got));
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Prints the rate over a message of ordinary lines; the floor is far below it, for sanitizers and busy machines. */
static void is_fast(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20, ROUNDS = 200 };
    char *text = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        text[i] = i % 74 == 72 ? '\r' : i % 74 == 73 ? '\n' : (char)('a' + i % 26);
    memcpy(text, "Subject: x\r\n\r\n", 14);
    double best = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        double start = seconds();
        struct mail_facts facts = scan_split((struct view){ text, SIZE }, 0, 16384);
        double took = seconds() - start;
        assert_int_equal(facts.size, SIZE);
        best = took < best ? took : best;
    }
    free(text);
    print_message("scan: %.2f GB/s\n", SIZE / best / 1e9);
    assert_true(SIZE / best > 20e6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_facts_at_every_split),
        cmocka_unit_test(any_pieces_give_the_same),
        cmocka_unit_test(packs_facts),
        cmocka_unit_test(refuses_impossible_facts),
        cmocka_unit_test(is_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
