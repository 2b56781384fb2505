/* Quiet worlds of two hosts: every mix of recipients has its outcomes, once each, and afterwards both are as before. */
#include <stdio.h>

#include "base/test.h"
#include "sim/pair.h"

#define HOUR_US UINT64_C(3600000000)
#define ALL     ((1u << SIM_PATHS) - 1)

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

/* But for those of qmgr, which holds the segments that are in use. */
static size_t open_handles(struct pair *p)
{
    size_t count = mem_world_open_handles(p->world);
    for (unsigned i = 0; i < PAIR_HOSTS; i++) {
        size_t of_queue = mem_process_open_handles(mem_host_process(p->hosts[i], "qmgr", 0));
        assert_true(of_queue < 24);
        count -= of_queue;
    }
    return count;
}

/* O6 O11 H173: both spools are empty of mail that waits, and once the few segments that are kept open for further
 * deliveries are there, nothing more is open than before. */
static void test_base_line(void **state)
{
    struct pair p;
    size_t base = 0;
    (void)state;
    pair_begin(&p, 2, 0, false);
    for (int round = 0; round < PAIR_SENDERS_MAX; round++) {
        pair_send(&p, mixes, ALL, round & 1);
        finish(&p, "base line");
        assert_int_equal(p.live, 0);
        mem_world_run(p.world, HOUR_US); /* connections and names that are kept for a while have gone */
        if (round == PAIR_SENDERS_MAX - 3)
            base = open_handles(&p);
    }
    assert_in_range(open_handles(&p), base - 2, base + 2); /* a writer has a segment more or less */
    pair_end(&p);
}

/* A destination that is down for a while is waited for. */
static void test_down(void **state)
{
    static const struct sim_mail mail[] = { { 500, 63 } };
    struct pair p;
    (void)state;
    pair_begin(&p, 3, 0, false);
    mem_host_crash(p.hosts[THERE], (struct mem_choice){ MEM_KEEP_ALL, 0 });
    pair_send(&p, mail, ROWS(mail), false);
    mem_world_run(p.world, HOUR_US / 2);
    sim_host_boot(p.hosts[THERE]);
    finish(&p, "down for half an hour");
    assert_int_equal(sim_trip(&p.trips, 0)->copies[sim_leaf_find(VIEW("dave@example.net"))], 1);
    pair_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_mix),
        cmocka_unit_test(test_base_line),
        cmocka_unit_test(test_down),
    };
    for (unsigned i = 0; i < ALL; i++)
        mixes[i] = (struct sim_mail){ i * 211 % 9000 + (i == 30) * 300000, i + 1 };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
