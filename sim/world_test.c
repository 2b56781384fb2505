/* Quiet worlds: everything that is sent arrives once, with equal bytes, however the streams are cut. */
#include <stdio.h>

#include "base/test.h"
#include "sim/scene.h"

static const struct sim_mail few[] = { { 300, 1 }, { 5000, 3 }, { 100, 7 }, { 300000, 5 }, { 40000, 2 }, { 0, 4 } };

static void judge(struct sim *sim, const char *row)
{
    if (!sim_finish(sim))
        fail_msg("%s: %s", row, sim->ledger.error);
}

static void test_quiet(void **state)
{
    (void)state;
    struct sim sim;
    sim_begin(&sim, 1, NULL, NULL, true);
    sim_send(&sim, &(struct sim_plan){ .mails = few, .count = ROWS(few) });
    judge(&sim, "quiet");
    assert_int_equal(sim_ledger_accepted(&sim.ledger), ROWS(few));
    sim_end(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
