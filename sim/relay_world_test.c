/* Quiet worlds of two hosts: every mix of recipients has its outcomes, once each, and afterwards both are as before. */
#include <stdio.h>

#include "base/test.h"
#include "sim/pair.h"

#define ALL ((1u << SIM_PATHS) - 1)

static struct sim_mail mixes[ALL];

static void finish(struct pair *p, const char *row)
{
    if (!pair_finish(p))
        fail_msg("%s: %s", row, p->trips.ledger.error);
}

/* H121 */
static void test_every_mix(void **state)
{
    struct pair p;
    struct sim_sums sums = { 0 };
    (void)state;
    for (unsigned i = 0; i < ALL; i++)
        mixes[i] = (struct sim_mail){ i * 211 % 9000 + (i == 30) * 300000, i + 1 };
    pair_begin(&p, 1, 200000000, false);
    pair_send(&p, mixes, ALL, false);
    finish(&p, "every mix");
    sim_trips_sum(&p.trips, &sums);
    assert_int_equal(sums.accepted, ALL);
    assert_int_equal(sums.delivered, 4 * 32);
    assert_int_equal(sums.reports, 3 * 32);
    assert_int_equal(sums.duplicates, 0);
    sim_sums_print(&sums);
    pair_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
