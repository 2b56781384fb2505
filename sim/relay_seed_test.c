/* Two hosts in worlds of chance: each seed has its own letters, streams and faults on either host and between them. In
 * the end everything heals, and each recipient was delivered or reported. GONETS_SEEDS=n: so many, GONETS_SEED=s: from
 * this one on; GONETS_SEED=s alone: this one, told as it happens. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/test.h"
#include "sim/effort.h"
#include "sim/pair.h"

#define SEEDS       (150 / SIM_THIN)
#define MAILS_MAX   18
#define SENDERS_MAX 3
#define FAULTS_MAX  10
#define SECOND_US   UINT64_C(1000000)

struct chance {
    struct pair pair;
    uint64_t random;
    struct sim_mail mails[MAILS_MAX];
    unsigned disk_faults[PAIR_HOSTS];
    unsigned faults;
};

static uint64_t pick(struct chance *c, uint64_t below)
{
    return test_random(&c->random) % below;
}

/* Mostly moments, sometimes a minute. */
static void wait_a_while(struct chance *c)
{
    mem_world_run(c->pair.world, pick(c, pick(c, 4) ? 5000 : pick(c, 4) ? 400000 : 90 * SECOND_US));
}

/* ---- streams ---- */

static bool choose_flow(struct chance *c, struct mem_flow *flow)
{
    static const size_t windows[] = { 100, 4096, 65536, 65536 };
    *flow = (struct mem_flow){ .split = pick(c, 8) ? (pick(c, 2) ? MEM_RANDOM : MEM_WHOLE) : MEM_BYTES,
                               .window = windows[pick(c, 4)],
                               .delay_us_min = 1,
                               .delay_us_max = pick(c, 4) ? 200 : 30000 };
    if (pick(c, 8))
        return false;
    flow->then = (enum mem_break)(1 + pick(c, 3));
    flow->break_at = pick(c, pick(c, 2) ? 800 : 8000);
    return true;
}

/* A link between the hosts that breaks may break behind any final dot. */
static void on_connect(void *ctx, struct mem_connect *connect)
{
    struct chance *c = ctx;
    struct address there = connect->to;
    bool there_breaks = choose_flow(c, &connect->there), back_breaks = choose_flow(c, &connect->back);
    address_parse_ip(VIEW(PAIR_THERE_IP), &there);
    c->pair.trips.breaks += (there_breaks || back_breaks) && address_equal(&connect->to, &there);
}

/* ---- faults ---- */

static void kill_one(struct chance *c, unsigned host)
{
    static const char *const roles[] = { "smtpd",   "qmgr", "qmgr",     "auth",      "local",
                                         "mailbox", "smtp", "resolver", "supervisor" };
    pair_kill(&c->pair, host, roles[pick(c, ROWS(roles))], 0);
}

static struct mem_choice choose_survivors(struct chance *c)
{
    static const enum mem_survival ways[] = { MEM_KEEP_NONE, MEM_KEEP_ALL, MEM_KEEP_FIRST, MEM_KEEP_RANDOM };
    enum mem_survival how = ways[pick(c, ROWS(ways))];
    return (struct mem_choice){ how, how == MEM_KEEP_FIRST ? pick(c, 100) : pick(c, UINT32_MAX) };
}

/* Between two turns, or in the middle of what the disk is asked for; of one host, or of both. */
static void cut_power(struct chance *c, unsigned host)
{
    if (pick(c, 2)) {
        mem_disk_cut_at(pair_disk(&c->pair, host), pick(c, 60));
        mem_world_run(c->pair.world, pick(c, 200000));
    }
    pair_cut_power(&c->pair, pick(c, 4) ? 1u << host : 1u << HERE | 1u << THERE, choose_survivors(c));
}

static void fail_on_disk(struct chance *c, unsigned host)
{
    static const unsigned kinds[] = { MEM_SYNCS,       MEM_OP(OS_SYNC_DIR), MEM_OP(OS_WRITE),
                                      MEM_OP(OS_LINK), MEM_OP(OS_RENAME),   MEM_OP(OS_UNLINK) };
    const struct mem_fault fault = { kinds[pick(c, ROWS(kinds))], pick(c, 10), 1 + pick(c, 2), OS_IO, pick(c, 3000) };
    if (++c->disk_faults[host] >= MEM_FAULTS_MAX)
        return;
    pair_say(&c->pair, "something on the disk of %u will fail", host);
    mem_disk_fail_at(pair_disk(&c->pair, host), &fault);
}

static void fill_disk(struct chance *c, unsigned host)
{
    pair_say(&c->pair, "the disk of %u is full", host);
    mem_disk_set_room(pair_disk(&c->pair, host), pick(c, 100000));
    wait_a_while(c);
    mem_disk_heal(pair_disk(&c->pair, host));
    c->disk_faults[host] = 0;
}

static void lose_names(struct chance *c, unsigned host)
{
    (void)host;
    pair_say(&c->pair, "no name server answers");
    mem_dns_fail(c->pair.world, true);
    wait_a_while(c);
    mem_dns_fail(c->pair.world, false);
}

static void pause_one(struct chance *c, unsigned host)
{
    static const char *const roles[] = {
        "smtpd", "qmgr", "auth", "local", "mailbox", "smtp", "resolver", "supervisor"
    };
    const char *role = roles[pick(c, ROWS(roles))];
    struct os *os = mem_host_process(c->pair.hosts[host], role, 0);
    if (!os)
        return;
    pair_say(&c->pair, "%s of %u sleeps", role, host);
    mem_process_pause(os);
    wait_a_while(c);
    if (mem_host_process(c->pair.hosts[host], role, 0) == os)
        mem_process_resume(os);
}

static void do_harm(struct chance *c)
{
    static void (*const ways[])(struct chance *, unsigned) = { kill_one,  kill_one,     kill_one,  kill_one,
                                                               cut_power, cut_power,    cut_power, lose_names,
                                                               fill_disk, fail_on_disk, pause_one };
    unsigned host = (unsigned)pick(c, PAIR_HOSTS);
    ways[pick(c, ROWS(ways))](c, host);
    c->faults++;
}

/* ---- a seed ---- */

static void begin(struct chance *c, uint64_t seed, bool loud)
{
    *c = (struct chance){ .random = seed };
    pair_begin(&c->pair, seed, pick(c, 2) ? pick(c, 120 * SECOND_US) : 0, loud);
    mem_world_on_connect(c->pair.world, on_connect, c);
    for (size_t i = 0; i < MAILS_MAX; i++)
        c->mails[i] = (struct sim_mail){ pick(c, 30) ? pick(c, 6000) : 260000 + pick(c, 60000),
                                         1 + (unsigned)pick(c, (1u << SIM_PATHS) - 1) };
}

static void send(struct chance *c, size_t sender)
{
    size_t each = MAILS_MAX / SENDERS_MAX;
    pair_send(&c->pair, c->mails + sender * each, 1 + pick(c, each), pick(c, 2));
}

static void heal(struct chance *c)
{
    pair_say(&c->pair, "the world heals");
    for (unsigned i = 0; i < PAIR_HOSTS; i++)
        mem_disk_heal(pair_disk(&c->pair, i));
    mem_world_on_connect(c->pair.world, NULL, NULL);
}

struct sum {
    uint64_t seeds, faults;
    struct sim_sums sums;
};

static bool run(uint64_t seed, bool loud, struct sum *sum, char error[512])
{
    struct chance c;
    size_t sent = 0;
    begin(&c, seed, loud);
    for (uint64_t faults = 1 + pick(&c, FAULTS_MAX); c.faults < faults;) {
        if (sent < SENDERS_MAX && pick(&c, 2))
            send(&c, sent++);
        wait_a_while(&c);
        do_harm(&c);
    }
    heal(&c);
    while (sent < SENDERS_MAX)
        send(&c, sent++);
    bool good = pair_finish(&c.pair);
    snprintf(error, 512, "%s", c.pair.trips.ledger.error);
    sum->seeds++;
    sum->faults += c.faults;
    sim_trips_sum(&c.pair.trips, &sum->sums);
    pair_end(&c.pair);
    return good;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* H26 H118 H121 H132 H134 H135 H140 H143 */
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
    printf("%" PRIu64 " seeds, %" PRIu64 " faults: ", sum.seeds, sum.faults);
    sim_sums_print(&sum.sums);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
