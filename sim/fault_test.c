/* Each operation on the disk fails once, in every way that counts, while a few mails are received and delivered. What
 * was not answered 250 is never delivered, what was is not lost; and once nothing fails any more, every mail gets
 * through. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/test.h"
#include "sim/scene.h"

static const struct sim_mail mails[] = { { 300, 1 }, { 2500, 3 }, { 270000, 4 }, { 50, 2 } };
static const struct sim_plan plan = { .mails = mails, .count = ROWS(mails) };

#define UP_US   100000   /* the server is up */
#define HEAL_US 30000000 /* so long a disk stays full or read-only */

/* Reading is left out where things fail more than once: what cannot be read three times counts as damaged. */
#define CHANGES                                                                                                        \
    (MEM_SYNCS | MEM_OP(OS_WRITE) | MEM_OP(OS_SYNC_DIR) | MEM_OP(OS_TRUNCATE) | MEM_OP(OS_ALLOCATE) |                  \
     MEM_OP(OS_LINK) | MEM_OP(OS_RENAME) | MEM_OP(OS_UNLINK) | MEM_OP(OS_MAKE_DIR))

enum way { FAILS, FULL, READ_ONLY };

struct fault {
    const char *name;
    unsigned kinds; /* 0: all */
    uint64_t times;
    enum way way;
    bool at_start; /* counted from the start of the server, not from when it is up */
};

static const struct fault faults[] = {
    { "a sync fails", MEM_SYNCS, 1, FAILS, false },
    { "two syncs fail", MEM_SYNCS, 2, FAILS, false },
    { "four syncs fail", MEM_SYNCS, 4, FAILS, false },
    { "a sync fails at the start", MEM_SYNCS, 1, FAILS, true },
    { "a sync of names fails", MEM_OP(OS_SYNC_DIR), 1, FAILS, false },
    { "anything fails", 0, 1, FAILS, false },
    { "any change fails thrice", CHANGES, 3, FAILS, false },
    { "anything fails at the start", 0, 1, FAILS, true },
    { "the disk is full", 0, 0, FULL, false },
    { "the disk is full at the start", 0, 0, FULL, true },
    { "the disk is read-only", 0, 0, READ_ONLY, false },
};

/* What stands before each operation. */
struct gate {
    const struct fault *fault;
    struct mem_disk *disk;
    uint64_t nth, seen, hits;
};

static enum os_status before(void *ctx, const struct mem_disk_op *op)
{
    struct gate *gate = ctx;
    const struct fault *fault = gate->fault;
    if (fault->kinds && !(fault->kinds & MEM_OP(op->kind)))
        return OS_OK;
    uint64_t number = gate->seen++;
    if (fault->way == FAILS) {
        bool hit = number >= gate->nth && number - gate->nth < fault->times;
        gate->hits += hit;
        return hit ? OS_IO : OS_OK;
    }
    if (number != gate->nth)
        return OS_OK;
    gate->hits++;
    if (fault->way == READ_ONLY)
        mem_disk_set_read_only(gate->disk, true);
    else
        mem_disk_set_room(gate->disk, 0);
    return OS_OK;
}

static void heal(void *ctx)
{
    mem_disk_heal(ctx);
}

struct tally {
    uint64_t runs, refused, unknown;
};

static void tally_ledger(struct tally *tally, const struct sim_ledger *ledger)
{
    tally->runs++;
    for (size_t i = 0; i < ledger->count; i++) {
        tally->refused += ledger->letters[i].fate == SIM_REFUSED;
        tally->unknown += ledger->letters[i].fate == SIM_UNKNOWN;
    }
}

/* false: there is no nth operation. */
static bool fail_at(const struct fault *fault, uint64_t nth, struct tally *tally, bool loud)
{
    struct sim sim;
    sim_begin(&sim, 31, NULL, NULL, loud);
    struct gate gate = { fault, mem_host_disk(sim.host), nth, 0, 0 };
    if (!fault->at_start)
        sim_run(&sim, UP_US);
    mem_disk_on_op(gate.disk, before, &gate);
    mem_world_at(sim.world, mem_world_now_us(sim.world) + HEAL_US, heal, gate.disk);
    sim_send(&sim, &plan);
    bool good = sim_finish(&sim) && sim_ledger_accepted(&sim.ledger) == ROWS(mails);
    if (!good && !loud)
        fail_at(fault, nth, tally, true);
    if (!good)
        fail_msg("%s, operation %" PRIu64 ": %s", fault->name, nth, sim.ledger.error);
    tally_ledger(tally, &sim.ledger);
    sim_end(&sim);
    return gate.hits > 0;
}

/* H135 H136 H148 */
static void test_faults(void **state)
{
    const char *only = getenv("GONETS_FAULT"), *at = getenv("GONETS_NTH");
    (void)state;
    for (size_t i = 0; i < ROWS(faults); i++) {
        struct tally tally = { 0 };
        if (only && atoi(only) != (int)i)
            continue;
        for (uint64_t nth = at ? (uint64_t)atoi(at) : 0; fail_at(&faults[i], nth, &tally, false); nth++)
            ;
        printf("%s: at %" PRIu64 " operations, %" PRIu64 " letters refused, %" PRIu64 " unknown\n", faults[i].name,
               tally.runs, tally.refused, tally.unknown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
