/* The power of either host, or of both, goes at every sync and at many other operations on its disk, while letters with
 * every kind of recipient are taken, relayed, put off and reported. Of what was not durable nothing, all or a part
 * survives. Then every recipient is delivered or reported, once, but for what an uncertain window explains. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/test.h"
#include "sim/effort.h"
#include "sim/pair.h"

#define SLOW_US UINT64_C(40000000) /* there is 4xx for some before */
#define OPS_MAX 20000

static const struct sim_mail mails[] = { { 300, 63 }, { 2500, 11 }, { 800, 2 } };

struct tally {
    uint64_t cuts;
    struct sim_sums sums;
};

/* Which operations of a run without faults are syncs. */
struct ops {
    uint64_t first;
    size_t count;
    bool sync[OPS_MAX];
};

static bool is_deep(void)
{
    const char *text = getenv("GONETS_DEEP");
    return text && *text == '1';
}

static enum os_status on_op(void *ctx, const struct mem_disk_op *op)
{
    struct ops *ops = ctx;
    assert_true(op->number - ops->first < OPS_MAX);
    ops->count = op->number - ops->first + 1;
    ops->sync[op->number - ops->first] = (MEM_OP(op->kind) & (MEM_SYNCS | MEM_OP(OS_SYNC_DIR))) != 0;
    return OS_OK;
}

static void list_ops(unsigned host, struct ops *ops)
{
    struct pair p;
    pair_begin(&p, 41, SLOW_US, false);
    *ops = (struct ops){ .first = mem_disk_op_count(pair_disk(&p, host)) };
    mem_disk_on_op(pair_disk(&p, host), on_op, ops);
    pair_send(&p, mails, ROWS(mails), false);
    if (!pair_finish(&p))
        fail_msg("without a cut: %s", p.trips.ledger.error);
    pair_end(&p);
}

struct cut {
    unsigned at;    /* whose operations are counted */
    unsigned hosts; /* whose power goes */
    uint64_t nth;
    struct mem_choice choice;
};

static void try_cut(const struct cut *cut, struct tally *tally, bool loud)
{
    struct pair p;
    pair_begin(&p, 41, SLOW_US, loud);
    mem_disk_cut_at(pair_disk(&p, cut->at), cut->nth);
    pair_send(&p, mails, ROWS(mails), false);
    bool good = pair_finish(&p);
    if (pair_is_cut(&p)) {
        pair_cut_power(&p, cut->hosts, cut->choice);
        tally->cuts++;
        good = pair_finish(&p);
    }
    if (!good && !loud)
        try_cut(cut, tally, true);
    if (!good)
        fail_msg("operation %" PRIu64 " of %u, power of %x, choice %d %" PRIu64 ": %s", cut->nth, cut->at, cut->hosts,
                 (int)cut->choice.how, cut->choice.value, p.trips.ledger.error);
    sim_trips_sum(&p.trips, &tally->sums);
    pair_end(&p);
}

/* Before each sync and behind it, and before each step-th other operation; of these, every SIM_THIN-th place. */
static void cut_everywhere(const char *name, unsigned at, unsigned hosts, size_t step)
{
    static struct ops ops;
    static const enum mem_survival ways[] = { MEM_KEEP_NONE, MEM_KEEP_ALL, MEM_KEEP_RANDOM };
    struct tally tally = { 0 };
    list_ops(at, &ops);
    for (size_t n = 0; n < ops.count; n++) {
        if (!ops.sync[n] && (n == 0 || !ops.sync[n - 1]) && n % step != 0)
            continue;
        for (size_t way = n % SIM_THIN ? ROWS(ways) : 0; way < ROWS(ways); way++)
            try_cut(&(struct cut){ at, hosts, n, { ways[way], n + 1 } }, &tally, false);
    }
    printf("%s, %zu operations, %" PRIu64 " cuts: ", name, ops.count, tally.cuts);
    sim_sums_print(&tally.sums);
    assert_true(tally.cuts > 0);
}

/* H118 H132 H134 H139 H140 */
static void test_here(void **state)
{
    (void)state;
    cut_everywhere("here", HERE, 1u << HERE, is_deep() ? 1 : 12 * SIM_THIN);
}

/* H118 H134 H140 */
static void test_there(void **state)
{
    (void)state;
    cut_everywhere("there", THERE, 1u << THERE, is_deep() ? 1 : 12 * SIM_THIN);
}

/* H118 H132 H134 H140 */
static void test_both(void **state)
{
    (void)state;
    cut_everywhere("both", HERE, 1u << HERE | 1u << THERE, is_deep() ? 1 : 23 * SIM_THIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_here),
        cmocka_unit_test(test_there),
        cmocka_unit_test(test_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
