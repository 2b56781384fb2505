#include "sim/scene.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND_US      UINT64_C(1000000)
#define SEND_US_MAX    (12 * 3600 * SECOND_US) /* for a sender to get through once nothing fails */
#define DELIVER_US_MAX (4 * 3600 * SECOND_US)
#define REST_US        (75 * 60 * SECOND_US) /* more than the longest pause between two attempts to deliver */
#define DEATH_US       1500                  /* until children have died with their parent */
#define BOOT_US        100000
#define BOOTS_MAX      30

/* ---- telling ---- */

void sim_say(const struct sim *sim, const char *format, ...)
{
    char memory[512];
    struct buffer text = BUFFER_OF(memory);
    va_list args;
    if (!sim->loud)
        return;
    va_start(args, format);
    buffer_addv(&text, format, args);
    va_end(args);
    printf("%12.6f %.*s\n", (double)mem_world_now_us(sim->world) / 1e6, VIEW_FORMAT(buffer_view(&text)));
}

static void on_log(void *ctx, struct os *os, struct view line)
{
    (void)os;
    sim_say(ctx, "log: %.*s", VIEW_FORMAT(line));
}

static void on_trace(void *ctx, const struct mem_trace *trace)
{
    static const char *const told[] = { "role starts", "killed", "ends", "connect", "connection broken", "signal" };
    if (strcmp(trace->what, "operation") == 0 && trace->b != OS_OK && trace->b != OS_SKIPPED)
        sim_say(ctx, "operation %" PRIu64 " of process %" PRIu64 ": %s", trace->a, trace->process,
                os_status_text((enum os_status)trace->b));
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
        if (strcmp(trace->what, told[i]) == 0)
            sim_say(ctx, "%s: process %" PRIu64 " %" PRIu64 " %" PRIu64, trace->what, trace->process, trace->a,
                    trace->b);
}

/* ---- life ---- */

void sim_begin(struct sim *sim, uint64_t seed, struct mem_disk *disk, const struct sim_ledger *before, bool loud)
{
    *sim = (struct sim){ .world = mem_world_new(seed), .loud = loud };
    if (before)
        sim_ledger_copy(&sim->ledger, before);
    sim->host = sim_host_new(sim->world, disk);
    sim->clients = mem_host_new(sim->world, "clients");
    mem_host_add_address(sim->clients, "192.0.2.9");
    mem_host_on_log(sim->host, on_log, sim);
    if (loud)
        mem_world_on_trace(sim->world, on_trace, sim);
    sim_host_boot(sim->host);
}

static void end_world(struct sim *sim)
{
    for (size_t i = 0; i < sim->sender_count; i++)
        sim_sender_free(sim->senders[i]);
    sim->sender_count = 0;
    mem_world_free(sim->world);
    sim->world = NULL;
    sim_ledger_abandon(&sim->ledger);
}

void sim_end(struct sim *sim)
{
    end_world(sim);
    sim_ledger_free(&sim->ledger);
}

struct mem_disk *sim_take_disk(struct sim *sim)
{
    struct mem_disk *disk = mem_disk_clone(mem_host_disk(sim->host));
    end_world(sim);
    return disk;
}

void sim_send(struct sim *sim, const struct sim_plan *plan)
{
    sim->senders[sim->sender_count++] = sim_sender_new(sim->clients, &sim->ledger, plan);
}

/* ---- going on ---- */

bool sim_all_sent(const struct sim *sim)
{
    for (size_t i = 0; i < sim->sender_count; i++)
        if (!sim_sender_done(sim->senders[i]))
            return false;
    return true;
}

bool sim_delivered(struct sim *sim)
{
    return sim_host_count(mem_host_disk(sim->host), &sim->ledger) && sim_ledger_complete(&sim->ledger);
}

static bool is_cut(const struct sim *sim)
{
    return mem_disk_is_cut(mem_host_disk(sim->host));
}

void sim_run(struct sim *sim, uint64_t us)
{
    mem_world_run(sim->world, us);
}

static bool complain(struct sim *sim, const char *what)
{
    snprintf(sim->ledger.error, sizeof sim->ledger.error, "%s", what);
    return false;
}

/* Time passes, and an init starts a server again that has ended. */
static void pass(struct sim *sim, uint64_t us)
{
    if (!is_cut(sim) && !sim_host_runs(sim->host))
        sim_host_boot(sim->host);
    sim_run(sim, us);
}

static bool wait_for_senders(struct sim *sim)
{
    uint64_t until = mem_world_now_us(sim->world) + SEND_US_MAX;
    while (!sim_all_sent(sim) && !is_cut(sim) && mem_world_now_us(sim->world) < until)
        pass(sim, SECOND_US / 10);
    return sim_all_sent(sim) || is_cut(sim) || complain(sim, "senders do not get through");
}

static bool wait_for_copies(struct sim *sim)
{
    for (uint64_t pause = SECOND_US / 10; !is_cut(sim) && !sim_delivered(sim); pause *= 2) {
        if (*sim->ledger.error)
            return false;
        if (pause > DELIVER_US_MAX)
            break;
        pass(sim, pause);
    }
    return true;
}

static bool judge(struct sim *sim, const struct mem_disk *disk)
{
    return sim_host_count(disk, &sim->ledger) && sim_ledger_judge(&sim->ledger);
}

/* The spool has forgotten what is delivered: so it must be durable where it lies. */
static bool judge_durable(struct sim *sim)
{
    struct mem_disk *disk = mem_disk_clone(mem_host_disk(sim->host));
    mem_disk_crash(disk, (struct mem_choice){ MEM_KEEP_NONE, 0 });
    bool good = judge(sim, disk);
    mem_disk_free(disk);
    return good;
}

bool sim_finish(struct sim *sim)
{
    if (!wait_for_senders(sim) || !wait_for_copies(sim) || is_cut(sim))
        return false;
    sim_run(sim, REST_US);
    if (is_cut(sim) || !judge(sim, mem_host_disk(sim->host)) || !judge_durable(sim))
        return false;
    sim_ledger_settle(&sim->ledger);
    return true;
}

/* ---- faults ---- */

static void count_windows(struct sim *sim)
{
    sim_host_count(mem_host_disk(sim->host), &sim->ledger);
    sim_ledger_window(&sim->ledger, sim->ledger.faults);
}

void sim_uncertain(struct sim *sim)
{
    sim->ledger.faults++;
    count_windows(sim);
}

void sim_power_cut(struct sim *sim, struct mem_choice choice)
{
    sim_say(sim, "power cut, choice %d %" PRIu64, (int)choice.how, choice.value);
    mem_host_crash(sim->host, choice);
    sim_uncertain(sim);
    sim_host_boot(sim->host);
}

static void on_children_dead(void *ctx)
{
    count_windows(ctx);
}

static void look_after(void *ctx)
{
    struct sim *sim = ctx;
    if (!sim_host_runs(sim->host))
        sim_host_boot(sim->host);
    if (sim->boots_left > 0 && sim->boots_left--)
        mem_world_at(sim->world, mem_world_now_us(sim->world) + BOOT_US, look_after, sim);
}

bool sim_kill(struct sim *sim, const char *role, size_t nth)
{
    struct os *os = mem_host_process(sim->host, role, nth);
    uint64_t now = mem_world_now_us(sim->world);
    bool supervisor = strcmp(role, "supervisor") == 0;
    if (!os)
        return false;
    sim_say(sim, "kill %.*s %zu", VIEW_FORMAT(view_of(role)), nth);
    mem_process_kill(os);
    if (strcmp(role, "mailbox") != 0 && strcmp(role, "local") != 0 && !supervisor)
        return true;
    sim_uncertain(sim);
    mem_world_at(sim->world, now + DEATH_US, on_children_dead, sim);
    if (supervisor && sim->boots_left == 0)
        mem_world_at(sim->world, now + BOOT_US, look_after, sim);
    if (supervisor)
        sim->boots_left = BOOTS_MAX;
    return true;
}
