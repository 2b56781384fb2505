/* The first link between the hosts ends after each of its bytes, either way: what has no reply to its final dot is sent
 * again (RFC 1047), and twice is what was there already; nothing else is. */
#include <inttypes.h>
#include <stdio.h>

#include "base/test.h"
#include "sim/effort.h"
#include "sim/pair.h"

static const struct sim_mail mails[] = { { 200, 14 } }; /* team, dave, ghost */

/* Bytes of the first link; more make no difference. */
#define BYTES_THERE 700
#define BYTES_BACK  600

struct breaking {
    struct pair pair;
    struct mem_flow there, back;
    unsigned connections;
};

/* A further link may bring what is there already, and here nobody knows. */
static void look(void *ctx)
{
    struct breaking *b = ctx;
    pair_fault_begins(&b->pair);
    pair_fault_ends(&b->pair);
}

static void on_connect(void *ctx, struct mem_connect *connect)
{
    struct breaking *b = ctx;
    struct address there = { .set = true, .port = 25 };
    address_parse_ip(VIEW(PAIR_THERE_IP), &there);
    if (!address_equal(&connect->to, &there))
        return;
    if (b->connections == 0) {
        connect->there = b->there;
        connect->back = b->back;
    } else {
        mem_world_at(b->pair.world, mem_world_now_us(b->pair.world), look, b);
    }
    b->connections++;
}

static void break_at(uint64_t at, enum mem_break how, bool back, struct sim_sums *sums, bool loud)
{
    struct breaking b = { .there = mem_flow_plain, .back = mem_flow_plain };
    struct mem_flow *flow = back ? &b.back : &b.there;
    flow->then = how;
    flow->break_at = at;
    pair_begin(&b.pair, at, 0, loud);
    mem_world_on_connect(b.pair.world, on_connect, &b);
    pair_send(&b.pair, mails, ROWS(mails), false);
    bool good = pair_finish(&b.pair);
    if (!good && !loud)
        break_at(at, how, back, sums, true);
    if (!good)
        fail_msg("break %d %s after %" PRIu64 " bytes: %s", (int)how, back ? "back" : "there", at,
                 b.pair.trips.ledger.error);
    sim_trips_sum(&b.pair.trips, sums);
    pair_end(&b.pair);
}

/* H26 H118 H123 */
static void test_every_end(void **state)
{
    static const struct {
        const char *name;
        enum mem_break how;
        bool back;
        uint64_t bytes;
    } rows[] = {
        { "FIN on the way there", MEM_FIN, false, BYTES_THERE },
        { "FIN on the way back", MEM_FIN, true, BYTES_BACK },
        { "RST on the way there", MEM_RST, false, BYTES_THERE },
        { "RST on the way back", MEM_RST, true, BYTES_BACK },
        { "silence on the way there", MEM_STALL, false, BYTES_THERE },
        { "silence on the way back", MEM_STALL, true, BYTES_BACK },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct sim_sums sums = { 0 };
        for (uint64_t at = i; at < rows[i].bytes; at += 5 * SIM_THIN)
            break_at(at, rows[i].how, rows[i].back, &sums, false);
        printf("%s: ", rows[i].name);
        sim_sums_print(&sums);
        assert_true(!rows[i].back || sums.duplicates > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
