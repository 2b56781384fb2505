/* Quiet worlds: everything that is sent arrives once, with equal bytes, however the streams are cut. */
#include <stdio.h>
#include <stdlib.h>

#include "base/test.h"
#include "sim/effort.h"
#include "sim/scene.h"

static const struct sim_mail few[] = { { 300, 1 }, { 5000, 3 }, { 100, 7 }, { 300000, 5 }, { 40000, 2 }, { 0, 4 } };
static const struct sim_mail small[] = { { 100, 5 }, { 200, 2 } };
static struct sim_mail many[200];

static void make_many(void)
{
    for (size_t i = 0; i < ROWS(many); i++)
        many[i] = (struct sim_mail){ i * 37 % 3000 + i % 50 / 49 * 300000, 1 + i % 7 };
}

static void judge(struct sim *sim, const char *row)
{
    if (!sim_finish(sim))
        fail_msg("%s: %s", row, sim->ledger.error);
}

/* H25: a window of one byte cuts every reply. */
static const struct {
    const char *name;
    struct mem_flow flow;
} flows[] = {
    { "whole", { .split = MEM_WHOLE, .window = 65536, .delay_us_min = 10, .delay_us_max = 100 } },
    { "random", { .split = MEM_RANDOM, .window = 65536, .delay_us_min = 10, .delay_us_max = 100 } },
    { "random, narrow", { .split = MEM_RANDOM, .window = 100, .delay_us_min = 1, .delay_us_max = 3000 } },
    { "bytes", { .split = MEM_BYTES, .window = 65536, .delay_us_min = 1, .delay_us_max = 10 } },
    { "slow", { .split = MEM_WHOLE, .window = 65536, .delay_us_min = 100000, .delay_us_max = 900000 } },
};

static void test_flows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(flows); i++)
        for (int plan = 0; plan < 4; plan++) {
            struct sim sim;
            sim_begin(&sim, i * 4 + (size_t)plan, NULL, NULL, false);
            mem_world_set_flow(sim.world, &flows[i].flow);
            sim_send(&sim, &(struct sim_plan){
                               .mails = few, .count = ROWS(few), .one_each = plan & 1, .single_commands = plan & 2 });
            judge(&sim, flows[i].name);
            assert_int_equal(sim_ledger_accepted(&sim.ledger), ROWS(few));
            assert_int_equal(sim.ledger.count, ROWS(few));
            sim_end(&sim);
        }
}

/* H25: every byte of the dialogue through a window of one. */
static void test_narrow(void **state)
{
    (void)state;
    struct sim sim;
    sim_begin(&sim, 3, NULL, NULL, false);
    mem_world_set_flow(sim.world, &(struct mem_flow){ .window = 1, .delay_us_min = 1, .delay_us_max = 50 });
    sim_send(&sim, &(struct sim_plan){ .mails = small, .count = ROWS(small) });
    judge(&sim, "narrow");
    assert_int_equal(sim.ledger.count, ROWS(small));
    sim_end(&sim);
}

/* H8: both directions cut at each byte of the dialogue. */
static void test_every_split(void **state)
{
    (void)state;
    for (uint64_t at = 1; at < 700; at += SIM_THIN) {
        struct sim sim;
        char row[32];
        snprintf(row, sizeof row, "split at %u", (unsigned)at);
        sim_begin(&sim, at, NULL, NULL, false);
        struct mem_flow flow = {
            .split = MEM_AT, .split_at = at, .window = 65536, .delay_us_min = 10, .delay_us_max = 100
        };
        mem_world_set_flow(sim.world, &flow);
        sim_send(&sim, &(struct sim_plan){ .mails = small, .count = ROWS(small), .single_commands = at & 1 });
        judge(&sim, row);
        assert_int_equal(sim.ledger.count, ROWS(small));
        sim_end(&sim);
    }
}

/* The first connection breaks; later ones are whole. */
struct breaking {
    struct mem_flow there, back;
    bool broken;
};

static void on_connect(void *ctx, struct mem_connect *connect)
{
    struct breaking *breaking = ctx;
    if (!breaking->broken) {
        connect->there = breaking->there;
        connect->back = breaking->back;
    }
    breaking->broken = true;
}

static size_t break_at(uint64_t at, enum mem_break how, bool back)
{
    struct sim sim;
    char row[64];
    struct breaking breaking = { mem_flow_plain, mem_flow_plain, false };
    struct mem_flow *flow = back ? &breaking.back : &breaking.there;
    flow->then = how;
    flow->break_at = at;
    snprintf(row, sizeof row, "%s %s after %u bytes", how == MEM_FIN ? "FIN" : "RST", back ? "back" : "there",
             (unsigned)at);
    sim_begin(&sim, at, NULL, NULL, false);
    mem_world_on_connect(sim.world, on_connect, &breaking);
    sim_send(&sim, &(struct sim_plan){ .mails = small, .count = ROWS(small) });
    judge(&sim, row);
    assert_int_equal(sim_ledger_accepted(&sim.ledger), ROWS(small));
    size_t tries = sim.ledger.count;
    sim_end(&sim);
    return tries;
}

/* H24 H26: the link ends after each byte in either direction; what was whole arrives once, what was not never, and what
 * was answered is never taken back. The client sends again. */
static void test_every_end(void **state)
{
    size_t tries = 0, runs = 0;
    (void)state;
    for (uint64_t at = 0; at < 800; at += 2 * SIM_THIN)
        for (int way = 0; way < 4; way++, runs++)
            tries += break_at(at + (way >> 1), way & 1 ? MEM_FIN : MEM_RST, way & 2);
    printf("%zu broken sessions, %zu letters tried\n", runs, tries);
}

static void send_many(struct sim *sim)
{
    for (size_t i = 0; i < 4; i++)
        sim_send(sim, &(struct sim_plan){
                          .mails = many + i * 50, .count = 50, .one_each = i & 1, .single_commands = i & 2 });
    judge(sim, "many");
}

/* O6: a few segments stay open for further deliveries; otherwise nothing more is open when all is done. */
static void test_handles(void **state)
{
    (void)state;
    struct sim sim;
    sim_begin(&sim, 5, NULL, NULL, false);
    send_many(&sim);
    send_many(&sim);
    size_t base = mem_world_open_handles(sim.world);
    send_many(&sim);
    assert_int_equal(sim_ledger_accepted(&sim.ledger), 3 * ROWS(many));
    assert_int_equal(mem_world_open_handles(sim.world), base);
    sim_end(&sim);
}

static uint64_t hash_of(uint64_t seed)
{
    struct sim sim;
    sim_begin(&sim, seed, NULL, NULL, false);
    mem_world_set_flow(sim.world, &flows[1].flow);
    sim_send(&sim, &(struct sim_plan){ .mails = many, .count = 30 });
    sim_send(&sim, &(struct sim_plan){ .mails = few, .count = ROWS(few), .one_each = true });
    sim_run(&sim, 30000);
    sim_kill(&sim, "qmgr", 0);
    sim_run(&sim, 100000);
    sim_power_cut(&sim, (struct mem_choice){ MEM_KEEP_RANDOM, seed });
    judge(&sim, "determinism");
    uint64_t hash = mem_world_trace_hash(sim.world);
    sim_end(&sim);
    return hash;
}

static void test_same_seed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        assert_true(hash_of(seed) == hash_of(seed));
    assert_true(hash_of(1) != hash_of(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flows),     cmocka_unit_test(test_narrow),  cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_every_end), cmocka_unit_test(test_handles), cmocka_unit_test(test_same_seed),
    };
    make_many();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
