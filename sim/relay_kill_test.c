/* Each role of either host is killed at every so-manieth step of the world, while letters with every kind of recipient
 * are taken, relayed, put off and reported; its supervisor, or an init, replaces it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/test.h"
#include "sim/effort.h"
#include "sim/pair.h"

#define SLOW_US    UINT64_C(40000000) /* there is 4xx for some before */
#define SETTLED_US UINT64_C(7200000000)
#define KILLS      70 /* of each role */

static const struct sim_mail mails[] = { { 300, 63 }, { 2500, 11 }, { 800, 2 } };

struct tally {
    uint64_t kills;
    struct sim_sums sums;
};

static bool is_deep(void)
{
    const char *text = getenv("GONETS_DEEP");
    return text && *text == '1';
}

static void begin(struct pair *p, bool loud)
{
    pair_begin(p, 43, SLOW_US, loud);
    pair_send(p, mails, ROWS(mails), false);
}

static uint64_t count_steps(void)
{
    struct pair p;
    uint64_t steps = 0;
    begin(&p, false);
    while (mem_world_now_us(p.world) < SETTLED_US && mem_world_step(p.world))
        steps++;
    if (!pair_finish(&p))
        fail_msg("without a kill: %s", p.trips.ledger.error);
    pair_end(&p);
    return steps;
}

static void kill_at(struct tally *tally, unsigned host, const char *role, uint64_t step, bool loud)
{
    struct pair p;
    begin(&p, loud);
    for (uint64_t i = 0; i < step; i++)
        mem_world_step(p.world);
    bool killed = pair_kill(&p, host, role, 0);
    bool good = !killed || pair_finish(&p);
    if (!good && !loud)
        kill_at(tally, host, role, step, true);
    if (!good)
        fail_msg("%s of %u killed at step %" PRIu64 ": %s", role, host, step, p.trips.ledger.error);
    if (killed)
        sim_trips_sum(&p.trips, &tally->sums);
    tally->kills += killed;
    pair_end(&p);
}

static void kill_everywhere(unsigned host, const char *const *roles, size_t role_count, uint64_t times)
{
    uint64_t steps = count_steps();
    for (size_t i = 0; i < role_count; i++) {
        struct tally tally = { 0 };
        uint64_t each = is_deep() ? 1 : SIM_THIN * steps / times;
        for (uint64_t step = 1 + i; step < steps; step += each)
            kill_at(&tally, host, roles[i], step, false);
        printf("%s of %s, %" PRIu64 " steps, %" PRIu64 " kills: ", roles[i], host == HERE ? "here" : "there", steps,
               tally.kills);
        sim_sums_print(&tally.sums);
        assert_true(tally.kills > 0);
    }
}

/* H118 H132 H140 H143 */
static void test_here(void **state)
{
    static const char *const roles[] = {
        "smtpd", "qmgr", "auth", "local", "smtp", "resolver", "supervisor", "mailbox"
    };
    (void)state;
    kill_everywhere(HERE, roles, ROWS(roles), KILLS);
}

/* H118 H140 H143 */
static void test_there(void **state)
{
    static const char *const roles[] = { "smtpd", "qmgr", "auth", "local", "supervisor", "mailbox" };
    (void)state;
    kill_everywhere(THERE, roles, ROWS(roles), KILLS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_here),
        cmocka_unit_test(test_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
