#include "base/mail_id.h"

#include <string.h>

#include "base/test.h"

#define SOME_WALL_US UINT64_C(1763760000000000)

/* H146: a clock that stands still, and one that jumps back, still give ids that rise, so none is given twice. */
static void test_a_million_ids_of_one_moment(void **state)
{
    struct mail_id_maker maker = { 0 };
    struct mail_id last = { { 0 } };
    uint64_t seed = 6;
    (void)state;
    for (int i = 0; i < 1000000; i++) {
        uint64_t wall_us = SOME_WALL_US - (i % 7 == 0 ? (uint64_t)i * 1000000 : 0);
        struct mail_id id = mail_id_make(&maker, wall_us, test_random(&seed));
        if (mail_id_compare(&last, &id) >= 0)
            fail_msg("id %d does not rise", i);
        last = id;
    }
    assert_int_equal(mail_id_time_us(&last), SOME_WALL_US);
}

/* H146: a process that took over another's pid at the same moment has other random bits. */
static void test_two_makers_at_one_moment(void **state)
{
    struct mail_id_maker one = { 0 }, other = { 0 };
    struct mail_id a = mail_id_make(&one, SOME_WALL_US, 1), b = mail_id_make(&other, SOME_WALL_US, UINT64_C(1) << 40);
    (void)state;
    assert_int_equal(mail_id_compare(&a, &b), -1);
    assert_int_equal(mail_id_compare(&b, &a), 1);
    assert_int_equal(mail_id_compare(&a, &a), 0);
}

static void test_random_part_runs_over(void **state)
{
    struct mail_id_maker maker = { 0 };
    struct mail_id a = mail_id_make(&maker, SOME_WALL_US, UINT64_MAX);
    struct mail_id b = mail_id_make(&maker, SOME_WALL_US, 1);
    struct mail_id c = mail_id_make(&maker, SOME_WALL_US + 1, 9);
    (void)state;
    assert_int_equal(mail_id_compare(&a, &b), -1);
    assert_int_equal(mail_id_compare(&b, &c), -1);
}

static void test_text_order_is_time_order(void **state)
{
    struct mail_id_maker maker = { 0 };
    char last[MAIL_ID_TEXT_SIZE + 1] = "", text[MAIL_ID_TEXT_SIZE + 1];
    uint64_t seed = 7, wall_us = 1;
    (void)state;
    for (int i = 0; i < 50; i++, wall_us = wall_us * 2 + 1) {
        struct mail_id back, id = mail_id_make(&maker, wall_us, test_random(&seed));
        mail_id_text(&id, text);
        assert_int_equal(strlen(text), MAIL_ID_TEXT_SIZE);
        assert_true(strcmp(last, text) < 0);
        assert_true(mail_id_parse(view_of(text), &back));
        assert_int_equal(mail_id_compare(&id, &back), 0);
        assert_int_equal(mail_id_time_us(&back), wall_us);
        memcpy(last, text, sizeof last);
    }
}

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        { "0123456789abcdefghjkmnpq", true },        { "0123456789ABCDEFGHJKMNPQ", true },
        { "rstvwxyz0000000000000000", true },        { "", false },
        { "0123456789abcdefghjkmnp", false },   /* one short */
        { "0123456789abcdefghjkmnpqr", false }, /* one long */
        { "i123456789abcdefghjkmnpq", false },  /* i, l, o and u are not of the alphabet */
        { "l123456789abcdefghjkmnpq", false },       { "o123456789abcdefghjkmnpq", false },
        { "u123456789abcdefghjkmnpq", false },       { "0123456789abcdefghjkmnp ", false },
        { "0123456789abcdefghjkmn\xc3\xa9", false },
    };
    struct mail_id id;
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        assert_row(mail_id_parse(view_of(rows[i].text), &id) == rows[i].good, rows[i].text);
    assert_false(mail_id_parse(VIEW("0123456789abcdefghjkmnp\0"), &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_million_ids_of_one_moment),
        cmocka_unit_test(test_two_makers_at_one_moment),
        cmocka_unit_test(test_random_part_runs_over),
        cmocka_unit_test(test_text_order_is_time_order),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
