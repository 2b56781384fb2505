#include "sim/pair.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/stored.h"

#define SECOND_US    UINT64_C(1000000)
#define REST_US_MAX  (24 * 3600 * SECOND_US) /* until nothing waits any more */
#define AFTER_US     (10 * SECOND_US)
#define PAUSE_US_MAX (3600 * SECOND_US)

/* ---- who there is ---- */

#define COMMON                                                                                                         \
    "listen *:25\nworkers 1\nlog text\nsegment 1M\nspool /var/spool/gonets\nretry 1m 5m 20m expire 1h warn 30m\n"

static const char config_here[] =
    "hostname mx.example.org\n" COMMON
    "table names { team: \"carol@example.org, erin@example.net\", lost: vanished@example.net }\n"
    "action inbox maildir %{home}/Maildir aliases <names>\n"
    "action out relay\n"
    "match for domain example.org action inbox\n"
    "match from local for any action out\n"
    "match from network 198.51.100.0/24 for any action out\n";

static const char config_there[] = "hostname mx.example.net\n" COMMON "action inbox maildir %{home}/Maildir\n"
                                   "action out relay\n"
                                   "match for domain example.net action inbox\n"
                                   "match from local for any action out\n";

static const struct os_user people_here[] = { { 1001, 1001, "alice", "/home/alice" },
                                              { 1002, 1002, "carol", "/home/carol" },
                                              { 1003, 1003, SIM_SENDER, "/home/" SIM_SENDER } };
static const struct os_user people_there[] = { { 1001, 1001, "dave", "/home/dave" },
                                               { 1002, 1002, "erin", "/home/erin" },
                                               { 1003, 1003, "frank", "/home/frank" } };

static const struct sim_site sites[PAIR_HOSTS] = {
    [HERE] = { "here", PAIR_HERE_IP, config_here, people_here, sizeof people_here / sizeof people_here[0] },
    [THERE] = { "there", PAIR_THERE_IP, config_there, people_there, sizeof people_there / sizeof people_there[0] },
};

/* ---- telling ---- */

void pair_say(const struct pair *p, const char *format, ...)
{
    char memory[512];
    struct buffer text = BUFFER_OF(memory);
    va_list args;
    if (!p->loud)
        return;
    va_start(args, format);
    buffer_addv(&text, format, args);
    va_end(args);
    printf("%12.6f %.*s\n", (double)mem_world_now_us(p->world) / 1e6, VIEW_FORMAT(buffer_view(&text)));
}

static void on_log_here(void *ctx, struct os *os, struct view line)
{
    (void)os;
    pair_say(ctx, "here:  %.*s", VIEW_FORMAT(line));
}

static void on_log_there(void *ctx, struct os *os, struct view line)
{
    (void)os;
    pair_say(ctx, "there: %.*s", VIEW_FORMAT(line));
}

/* ---- life ---- */

static void set_names(struct mem_world *world)
{
    mem_dns_add(world, "example.org", OS_DNS_MX, "10 mx.example.org");
    mem_dns_add(world, "mx.example.org", OS_DNS_A, PAIR_HERE_IP);
    mem_dns_add(world, "example.net", OS_DNS_MX, "10 mx.example.net");
    mem_dns_add(world, "mx.example.net", OS_DNS_A, PAIR_THERE_IP);
}

static void know_erin(void *ctx)
{
    struct pair *p = ctx;
    mem_host_fail_user(p->hosts[THERE], "erin", false);
}

void pair_begin(struct pair *p, uint64_t seed, uint64_t slow_us, bool loud)
{
    *p = (struct pair){ .world = mem_world_new(seed), .loud = loud };
    set_names(p->world);
    for (int i = 0; i < PAIR_HOSTS; i++)
        p->hosts[i] = sim_host_new_at(p->world, &sites[i], NULL);
    mem_host_on_log(p->hosts[HERE], on_log_here, p);
    mem_host_on_log(p->hosts[THERE], on_log_there, p);
    mem_host_fail_user(p->hosts[THERE], "frank", true);
    if (slow_us) {
        mem_host_fail_user(p->hosts[THERE], "erin", true);
        mem_world_at(p->world, mem_world_now_us(p->world) + slow_us, know_erin, p);
    }
    p->clients = mem_host_new(p->world, "clients");
    mem_host_add_address(p->clients, "198.51.100.9");
    p->observer = mem_host_new(p->world, "observer");
    for (int i = 0; i < PAIR_HOSTS; i++)
        sim_host_boot(p->hosts[i]);
}

void pair_end(struct pair *p)
{
    for (size_t i = 0; i < p->sender_count; i++)
        sim_sender_free(p->senders[i]);
    mem_world_free(p->world);
    sim_trips_free(&p->trips);
}

void pair_send(struct pair *p, const struct sim_mail *mails, size_t count, bool one_each)
{
    const struct sim_plan plan = { .mails = mails,
                                   .count = count,
                                   .reverse_path = SIM_SENDER "@example.org",
                                   .paths = sim_paths,
                                   .path_count = SIM_PATHS,
                                   .one_each = one_each };
    p->senders[p->sender_count++] = sim_sender_new(p->clients, &p->trips.ledger, &plan);
}

struct mem_disk *pair_disk(struct pair *p, unsigned host)
{
    return mem_host_disk(p->hosts[host]);
}

bool pair_is_cut(struct pair *p)
{
    return mem_disk_is_cut(pair_disk(p, HERE)) || mem_disk_is_cut(pair_disk(p, THERE));
}

/* ---- mailboxes ---- */

struct count {
    struct pair *pair;
    const struct mem_disk *disk;
    char folder[64];
    unsigned leaf; /* SIM_LEAVES: the sender's mailbox */
    bool good;
};

static void count_file(void *ctx, const char *name)
{
    struct count *count = ctx;
    char path[512];
    size_t len = 0;
    snprintf(path, sizeof path, "%s/%s", count->folder, name);
    char *file = mem_disk_read(count->disk, path, &len);
    struct view text = { file, len };
    if (!file || !count->good)
        count->good = false;
    else if (count->leaf == SIM_LEAVES)
        count->good = sim_trips_count_report(&count->pair->trips, text);
    else
        count->good = sim_trips_count_copy(&count->pair->trips, count->leaf, text);
    free(file);
}

static bool count_mailbox(struct pair *p, const struct mem_disk *disk, const char *account, unsigned leaf)
{
    struct count count = { .pair = p, .disk = disk, .leaf = leaf, .good = true };
    snprintf(count.folder, sizeof count.folder, "/home/%s/Maildir/new", account);
    mem_disk_names(disk, count.folder, count_file, &count);
    return count.good;
}

static bool count_all(struct pair *p, const struct mem_disk *const disks[PAIR_HOSTS])
{
    bool good = count_mailbox(p, disks[HERE], SIM_SENDER, SIM_LEAVES);
    for (unsigned leaf = 0; leaf < SIM_LEAVES && good; leaf++)
        if (sim_leaves[leaf].mailbox)
            good = count_mailbox(p, disks[sim_leaves[leaf].end == SIM_HERE ? HERE : THERE], sim_leaves[leaf].mailbox,
                                 leaf);
    return good;
}

/* durable: as after a power cut that takes all that it can. */
static bool judge(struct pair *p, bool durable)
{
    struct mem_disk *disks[PAIR_HOSTS];
    for (unsigned i = 0; i < PAIR_HOSTS; i++) {
        disks[i] = mem_disk_clone(pair_disk(p, i));
        if (durable)
            mem_disk_crash(disks[i], (struct mem_choice){ MEM_KEEP_NONE, 0 });
    }
    sim_trips_count_begin(&p->trips);
    bool good =
        count_all(p, (const struct mem_disk *const[]){ disks[HERE], disks[THERE] }) && sim_trips_judge(&p->trips);
    for (unsigned i = 0; i < PAIR_HOSTS; i++)
        mem_disk_free(disks[i]);
    return good;
}

/* ---- uncertain windows ---- */

static void find_candidate(void *ctx, const struct sim_recipient *r)
{
    struct pair *p = ctx;
    unsigned leaf = sim_leaf_find(r->path);
    if (r->live && r->letter < p->trips.ledger.count && leaf < SIM_LEAVES && sim_leaves[leaf].end == SIM_THERE)
        sim_trip(&p->trips, r->letter)->candidates |= 1u << leaf;
}

static void open_window(struct pair *p, uint32_t letter, unsigned leaf)
{
    struct sim_trip *trip = sim_trip(&p->trips, letter);
    if (trip->candidates >> leaf & 1)
        trip->windows[leaf]++;
    trip->candidates &= ~(1u << leaf);
}

static void find_there(void *ctx, const struct sim_recipient *r)
{
    struct pair *p = ctx;
    unsigned leaf = sim_leaf_find(r->path);
    if (r->letter < p->trips.ledger.count && leaf < SIM_LEAVES)
        open_window(p, r->letter, leaf);
}

void pair_fault_begins(struct pair *p)
{
    for (uint32_t i = 0; i < p->trips.ledger.count; i++)
        sim_trip(&p->trips, i)->candidates = 0;
    sim_stored(p->observer, pair_disk(p, HERE), find_candidate, p);
}

void pair_fault_ends(struct pair *p)
{
    sim_trips_count_begin(&p->trips);
    count_mailbox(p, pair_disk(p, THERE), "erin", sim_leaf_find(VIEW("erin@example.net")));
    count_mailbox(p, pair_disk(p, THERE), "dave", sim_leaf_find(VIEW("dave@example.net")));
    for (uint32_t i = 0; i < p->trips.ledger.count; i++)
        for (unsigned leaf = 0; leaf < SIM_LEAVES; leaf++)
            if (sim_trip(&p->trips, i)->copies[leaf])
                open_window(p, i, leaf);
    sim_stored(p->observer, pair_disk(p, THERE), find_there, p);
}

/* ---- going on ---- */

static bool is_up(struct pair *p, unsigned host)
{
    return sim_host_runs(p->hosts[host]) || mem_disk_is_cut(pair_disk(p, host));
}

/* Time passes, and an init starts a server again that has ended. */
static void pass(struct pair *p, uint64_t us)
{
    for (unsigned i = 0; i < PAIR_HOSTS; i++)
        if (!is_up(p, i))
            sim_host_boot(p->hosts[i]);
    mem_world_run(p->world, us);
}

static void count_live(void *ctx, const struct sim_recipient *r)
{
    struct pair *p = ctx;
    p->live += r->live;
}

static bool is_all_sent(const struct pair *p)
{
    for (size_t i = 0; i < p->sender_count; i++)
        if (!sim_sender_done(p->senders[i]))
            return false;
    return true;
}

/* Reading the spools takes longest, so it comes last. */
static bool is_at_rest(struct pair *p)
{
    const struct mem_disk *disks[PAIR_HOSTS] = { pair_disk(p, HERE), pair_disk(p, THERE) };
    if (!is_all_sent(p))
        return false;
    sim_trips_count_begin(&p->trips);
    if (!count_all(p, disks) || !sim_trips_complete(&p->trips))
        return false;
    p->live = 0;
    for (unsigned i = 0; i < PAIR_HOSTS; i++)
        if (!sim_stored(p->observer, pair_disk(p, i), count_live, p))
            return false;
    return p->live == 0;
}

static bool wait_for_rest(struct pair *p)
{
    uint64_t until = mem_world_now_us(p->world) + REST_US_MAX, pause = SECOND_US / 10;
    while (!pair_is_cut(p) && !is_at_rest(p) && !*p->trips.ledger.error) {
        if (mem_world_now_us(p->world) >= until && judge(p, false))
            snprintf(p->trips.ledger.error, sizeof p->trips.ledger.error,
                     "mail is not sent, or %" PRIu64 " recipients wait still", p->live);
        pass(p, pause);
        pause = pause < PAUSE_US_MAX ? 2 * pause : pause;
    }
    return !pair_is_cut(p) && !*p->trips.ledger.error;
}

bool pair_finish(struct pair *p)
{
    if (!wait_for_rest(p))
        return false;
    pass(p, AFTER_US);
    return !pair_is_cut(p) && judge(p, false) && judge(p, true);
}

/* ---- faults ---- */

void pair_cut_power(struct pair *p, unsigned hosts, struct mem_choice choice)
{
    pair_say(p, "power cut of %x, choice %d %" PRIu64, hosts, (int)choice.how, choice.value);
    for (unsigned i = 0; i < PAIR_HOSTS; i++)
        if (hosts >> i & 1)
            mem_host_crash(p->hosts[i], choice);
    pair_fault_begins(p);
    mem_world_run(p->world, SECOND_US);
    pair_fault_ends(p);
    for (unsigned i = 0; i < PAIR_HOSTS; i++)
        if (hosts >> i & 1)
            sim_host_boot(p->hosts[i]);
}

/* Who sends, who keeps the book here, and who answers there. */
static bool is_uncertain(unsigned host, const char *role)
{
    static const char *const roles[PAIR_HOSTS][3] = { { "smtp", "qmgr", "supervisor" }, { "smtpd", "supervisor", "" } };
    for (int i = 0; i < 3; i++)
        if (strcmp(role, roles[host][i]) == 0)
            return true;
    return false;
}

bool pair_kill(struct pair *p, unsigned host, const char *role, size_t nth)
{
    struct os *os = mem_host_process(p->hosts[host], role, nth);
    if (!os)
        return false;
    pair_say(p, "kill %s %zu of %u", role, nth, host);
    mem_process_kill(os);
    if (!is_uncertain(host, role))
        return true;
    pair_fault_begins(p);
    mem_world_run(p->world, SECOND_US / 10);
    pair_fault_ends(p);
    return true;
}
