/* Each role is killed at each step of the world while a few mails are received and delivered; the supervisor replaces
 * it (and the sender sends again what got no answer). Nothing that was answered 250 is lost, and nothing comes twice.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/test.h"
#include "sim/scene.h"

static const struct sim_mail mails[] = { { 300, 1 }, { 2500, 3 }, { 270000, 4 } };
static const struct sim_plan plan = { .mails = mails, .count = ROWS(mails), .one_each = true };

#define SETTLED_US 3000000 /* everything is delivered and noted long before */

static uint64_t step_size(uint64_t quick)
{
    const char *text = getenv("GONETS_DEEP");
    return text && *text == '1' ? 1 : quick;
}

static uint64_t count_steps(void)
{
    struct sim sim;
    uint64_t steps = 0;
    sim_begin(&sim, 21, NULL, NULL, false);
    sim_send(&sim, &plan);
    while (mem_world_now_us(sim.world) < SETTLED_US && mem_world_step(sim.world))
        steps++;
    assert_true(sim_delivered(&sim));
    sim_end(&sim);
    return steps;
}

struct tally {
    uint64_t kills, again;
};

/* A Maildir that its owner has left alone shows that a message is there already: no kill makes a duplicate. */
static bool has_duplicates(const struct sim_ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++)
        for (int user = 0; user < SIM_USERS; user++)
            if (ledger->letters[i].copies[user] > 1)
                return true;
    return false;
}

static void kill_at(struct tally *tally, const char *role, size_t nth, uint64_t step, bool loud)
{
    struct sim sim;
    sim_begin(&sim, 21, NULL, NULL, loud);
    sim_send(&sim, &plan);
    for (uint64_t i = 0; i < step; i++)
        mem_world_step(sim.world);
    if (sim_kill(&sim, role, nth)) {
        tally->kills++;
        if (!sim_finish(&sim)) {
            if (!loud)
                kill_at(tally, role, nth, step, true);
            fail_msg("%s %zu killed at step %" PRIu64 ": %s", role, nth, step, sim.ledger.error);
        }
        if (sim_ledger_accepted(&sim.ledger) != ROWS(mails))
            fail_msg("%s %zu killed at step %" PRIu64 ": %zu mails taken", role, nth, step,
                     sim_ledger_accepted(&sim.ledger));
        if (has_duplicates(&sim.ledger))
            fail_msg("%s %zu killed at step %" PRIu64 ": a duplicate", role, nth, step);
        tally->again += sim.ledger.count - ROWS(mails);
    }
    sim_end(&sim);
}

static void kill_everywhere(const char *role, size_t nth, uint64_t quick)
{
    struct tally tally = { 0 };
    uint64_t steps = count_steps();
    for (uint64_t step = 1; step < steps; step += step_size(quick))
        kill_at(&tally, role, nth, step, false);
    printf("%s %zu: %" PRIu64 " kills in %" PRIu64 " steps, %" PRIu64 " mails sent again\n", role, nth, tally.kills,
           steps, tally.again);
    assert_true(tally.kills > 0);
}

/* H143 */
static void test_smtpd(void **state)
{
    (void)state;
    kill_everywhere("smtpd", 0, 2);
    kill_everywhere("smtpd", 1, 5);
}

/* H143: the new one is told what segments are held, and hears the results again. */
static void test_qmgr(void **state)
{
    (void)state;
    kill_everywhere("qmgr", 0, 1);
}

/* H143 */
static void test_auth(void **state)
{
    (void)state;
    kill_everywhere("auth", 0, 5);
}

/* H140 H143: what it was given is given again. */
static void test_local(void **state)
{
    (void)state;
    kill_everywhere("local", 0, 1);
}

/* H140 H143: whose worker comes first differs, so all are killed. */
static void test_mailbox(void **state)
{
    (void)state;
    kill_everywhere("mailbox", 0, 1);
    kill_everywhere("mailbox", 1, 2);
}

/* H141 H142: all die with it, and the lock is free when an init starts it again. */
static void test_supervisor(void **state)
{
    (void)state;
    kill_everywhere("supervisor", 0, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smtpd), cmocka_unit_test(test_qmgr),    cmocka_unit_test(test_auth),
        cmocka_unit_test(test_local), cmocka_unit_test(test_mailbox), cmocka_unit_test(test_supervisor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
