/* Worlds of chance: each seed has its own mails, streams and faults, one after another and on top of each other. In the
 * end everything heals, and the ledger is judged. GONETS_SEEDS=n: so many, GONETS_SEED=s: from this one on;
 * GONETS_SEED=s alone: this one, told as it happens. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/test.h"
#include "sim/effort.h"
#include "sim/scene.h"

#define SEEDS       (400 / SIM_THIN)
#define MAILS_MAX   32
#define SENDERS_MAX 4
#define FAULTS_MAX  10
#define HOUR_US     UINT64_C(3600000000)

struct chance {
    struct sim sim;
    uint64_t random;
    bool syncfs;
    struct sim_mail mails[MAILS_MAX];
    unsigned disk_faults;
    unsigned faults;
};

static uint64_t pick(struct chance *c, uint64_t below)
{
    return test_random(&c->random) % below;
}

/* ---- streams ---- */

static void choose_flow(struct chance *c, struct mem_flow *flow)
{
    static const size_t windows[] = { 100, 4096, 65536, 65536 };
    *flow = (struct mem_flow){ .split = pick(c, 8) ? (pick(c, 2) ? MEM_RANDOM : MEM_WHOLE) : MEM_BYTES,
                               .window = windows[pick(c, 4)],
                               .delay_us_min = 1,
                               .delay_us_max = pick(c, 4) ? 200 : 30000 };
    if (pick(c, 10))
        return;
    flow->then = (enum mem_break)(1 + pick(c, 3));
    flow->break_at = pick(c, pick(c, 2) ? 800 : 20000);
}

static void on_connect(void *ctx, struct mem_connect *connect)
{
    struct chance *c = ctx;
    choose_flow(c, &connect->there);
    choose_flow(c, &connect->back);
}

/* ---- faults ---- */

static void kill_one(struct chance *c)
{
    static const char *const roles[] = { "smtpd", "smtpd",   "qmgr",    "qmgr",      "auth",
                                         "local", "mailbox", "mailbox", "supervisor" };
    sim_kill(&c->sim, roles[pick(c, ROWS(roles))], pick(c, 2));
}

static struct mem_choice choose_survivors(struct chance *c)
{
    static const enum mem_survival ways[] = { MEM_KEEP_NONE, MEM_KEEP_ALL, MEM_KEEP_FIRST, MEM_KEEP_RANDOM,
                                              MEM_KEEP_RANDOM };
    enum mem_survival how = ways[pick(c, ROWS(ways))];
    return (struct mem_choice){ how, how == MEM_KEEP_FIRST ? pick(c, 100) : pick(c, UINT32_MAX) };
}

static struct mem_disk *disk_of(struct chance *c)
{
    return mem_host_disk(c->sim.host);
}

static void fail_on_disk(struct chance *c, const struct mem_fault *fault)
{
    if (++c->disk_faults < MEM_FAULTS_MAX - 1)
        mem_disk_fail_at(disk_of(c), fault);
}

static void heal_disk(struct chance *c)
{
    mem_disk_heal(disk_of(c));
    c->disk_faults = 0;
    if (!c->syncfs)
        mem_disk_fail_at(disk_of(c), &(struct mem_fault){ MEM_OP(OS_SYNC_FS), 0, UINT64_MAX, OS_UNSUPPORTED, 0 });
}

/* Between two turns, or in the middle of what the disk is asked for. */
static void cut_power(struct chance *c)
{
    if (pick(c, 2)) {
        mem_disk_cut_at(disk_of(c), pick(c, 60));
        sim_run(&c->sim, pick(c, 200000));
    }
    sim_power_cut(&c->sim, choose_survivors(c));
}

static void fail_sync(struct chance *c)
{
    static const unsigned kinds[] = { MEM_SYNCS,       MEM_OP(OS_SYNC_DIR), MEM_OP(OS_WRITE),
                                      MEM_OP(OS_LINK), MEM_OP(OS_RENAME),   MEM_OP(OS_UNLINK) };
    sim_say(&c->sim, "something on the disk will fail");
    fail_on_disk(c, &(struct mem_fault){ kinds[pick(c, 2) ? 0 : pick(c, ROWS(kinds))], pick(c, 10), 1 + pick(c, 2),
                                         OS_IO, pick(c, 3000) });
}

static void fill_disk(struct chance *c)
{
    sim_say(&c->sim, "the disk is full");
    mem_disk_set_room(disk_of(c), pick(c, 100000));
    sim_run(&c->sim, pick(c, 100000));
    heal_disk(c);
}

static void jump(struct chance *c)
{
    static const uint64_t steps_us[] = { HOUR_US / 60, 2 * HOUR_US, 24 * HOUR_US, 3650 * 24 * HOUR_US };
    uint64_t wall_us = 1767225600000000 + pick(c, HOUR_US), step = steps_us[pick(c, ROWS(steps_us))];
    sim_say(&c->sim, "the clock jumps");
    mem_host_set_wall(c->sim.host, pick(c, 2) ? wall_us + step : wall_us - step);
}

static void pause_one(struct chance *c)
{
    static const char *const roles[] = { "smtpd", "qmgr", "auth", "local", "mailbox", "supervisor" };
    const char *role = roles[pick(c, ROWS(roles))];
    struct os *os = mem_host_process(c->sim.host, role, 0);
    uint64_t for_us = pick(c, 3) ? pick(c, 100000) : pick(c, 48 * HOUR_US);
    if (!os)
        return;
    sim_say(&c->sim, "%s sleeps", role);
    mem_process_pause(os);
    sim_run(&c->sim, for_us);
    if (mem_host_process(c->sim.host, role, 0) == os)
        mem_process_resume(os);
    sim_say(&c->sim, "%s wakes up", role);
}

static void do_harm(struct chance *c)
{
    static void (*const ways[])(struct chance *) = { kill_one,  kill_one,  kill_one,  kill_one, cut_power, cut_power,
                                                     fail_sync, fail_sync, fill_disk, jump,     pause_one };
    ways[pick(c, ROWS(ways))](c);
    c->faults++;
}

/* ---- a seed ---- */

static void begin(struct chance *c, uint64_t seed, bool loud)
{
    *c = (struct chance){ .random = seed };
    sim_begin(&c->sim, seed, NULL, NULL, loud);
    c->syncfs = pick(c, 3);
    heal_disk(c);
    mem_world_on_connect(c->sim.world, on_connect, c);
    for (size_t i = 0; i < MAILS_MAX; i++)
        c->mails[i] =
            (struct sim_mail){ pick(c, 25) ? pick(c, 6000) : 260000 + pick(c, 60000), 1 + (unsigned)pick(c, 7) };
}

static void send(struct chance *c, size_t sender)
{
    size_t each = MAILS_MAX / SENDERS_MAX;
    sim_send(&c->sim, &(struct sim_plan){ .mails = c->mails + sender * each,
                                          .count = 1 + pick(c, each),
                                          .one_each = pick(c, 2),
                                          .single_commands = pick(c, 2),
                                          .pause_us = 1000 + pick(c, 1000000) });
}

static void heal(struct chance *c)
{
    sim_say(&c->sim, "the world heals");
    heal_disk(c);
    mem_world_on_connect(c->sim.world, NULL, NULL);
    mem_world_set_flow(c->sim.world, &mem_flow_plain);
}

struct sum {
    uint64_t seeds, letters, accepted, faults;
};

static bool run(uint64_t seed, bool loud, struct sum *sum, char error[512])
{
    struct chance c;
    size_t sent = 0;
    begin(&c, seed, loud);
    for (uint64_t faults = 1 + pick(&c, FAULTS_MAX); c.faults < faults;) {
        if (sent < SENDERS_MAX && pick(&c, 2))
            send(&c, sent++);
        sim_run(&c.sim, pick(&c, pick(&c, 4) ? 4000 : 400000));
        do_harm(&c);
    }
    heal(&c);
    while (sent < SENDERS_MAX)
        send(&c, sent++);
    bool good = sim_finish(&c.sim);
    snprintf(error, 512, "%.400s", c.sim.ledger.error);
    sum->seeds++;
    sum->faults += c.faults;
    sum->letters += c.sim.ledger.count;
    sum->accepted += sim_ledger_accepted(&c.sim.ledger);
    sim_end(&c.sim);
    return good;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* H26 H134 H135 H140 H143 H145 H147 */
static void test_seeds(void **state)
{
    struct sum sum = { 0 };
    char error[512];
    bool one = getenv("GONETS_SEED") && !getenv("GONETS_SEEDS");
    uint64_t first = number_of("GONETS_SEED", 1), count = one ? 1 : number_of("GONETS_SEEDS", SEEDS);
    (void)state;
    for (uint64_t seed = first; seed < first + count; seed++)
        if (!run(seed, one, &sum, error)) {
            if (!one)
                run(seed, true, &sum, error);
            fail_msg("seed %" PRIu64 ": %s; again with GONETS_SEED=%" PRIu64, seed, error, seed);
        }
    printf("%" PRIu64 " seeds, %" PRIu64 " letters, %" PRIu64 " of them accepted, %" PRIu64 " faults\n", sum.seeds,
           sum.letters, sum.accepted, sum.faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
