/* Hosts: clocks, randomness, log. */
#include "os/mem/world.h"

#include <stdlib.h>
#include <string.h>

#define WALL_START_US 1767225600000000 /* 2026-01-01 00:00 UTC */
#define BOOT_US       1000000          /* the monotonic clock of a host when it starts */
#define OP_US_MAX     50
#define SYNC_US_MAX   2000
#define LOG_LINE_MAX  4095

struct mem_host *mem_host_new(struct mem_world *world, const char *name)
{
    struct mem_host *host = mem_take(sizeof(*host));
    host->world = world;
    host->name = mem_copy_text(view_of(name));
    host->disk = mem_disk_new();
    host->booted_us = world->now_us;
    host->core_count = 1;
    host->op_us_max = OP_US_MAX;
    host->sync_us_max = SYNC_US_MAX;
    mem_host_set_wall(host, WALL_START_US);
    list_init(&host->processes);
    list_init(&host->listenings);
    list_append(&world->hosts, &host->in_world);
    return host;
}

void mem_host_free(struct mem_host *host)
{
    list_each_safe(link, &host->processes) mem_process_kill(list_entry(link, struct os, in_host));
    mem_disk_free(host->disk);
    mem_users_free(host);
    free(host->addresses);
    list_remove(&host->in_world);
    free(host->name);
    free(host->log);
    free(host);
}

void mem_host_set_delays(struct mem_host *host, uint64_t op_us_max, uint64_t sync_us_max)
{
    host->op_us_max = op_us_max > 1 ? op_us_max : 1;
    host->sync_us_max = sync_us_max > 1 ? sync_us_max : 1;
}

struct mem_disk *mem_host_disk(struct mem_host *host)
{
    return host->disk;
}

struct mem_disk *mem_host_swap_disk(struct mem_host *host, struct mem_disk *disk)
{
    struct mem_disk *old = host->disk;
    host->disk = disk;
    return old;
}

/* ---- clocks ---- */

void mem_host_set_wall(struct mem_host *host, uint64_t wall_us)
{
    host->wall_minus_now_us = wall_us - host->world->now_us;
}

void mem_host_set_utc_offset(struct mem_host *host, int minutes_east)
{
    host->utc_offset_min = minutes_east;
}

uint64_t os_now_us(struct os *os)
{
    return os->world->now_us - os->host->booted_us + BOOT_US;
}

uint64_t mem_from_now_us(const struct os *os, uint64_t now_us)
{
    return now_us <= BOOT_US ? 0 : now_us - BOOT_US + os->host->booted_us;
}

uint64_t os_wall_us(struct os *os)
{
    return os->world->now_us + os->host->wall_minus_now_us;
}

int os_utc_offset_min(struct os *os, uint64_t wall_us)
{
    (void)wall_us;
    return os->host->utc_offset_min;
}

/* ---- randomness ---- */

void mem_host_fail_random(struct mem_host *host, bool fail)
{
    host->random_fails = fail;
}

bool os_random(struct os *os, void *to, size_t n)
{
    if (os->host->random_fails)
        return false;
    for (char *at = to; n > 0;) {
        uint64_t word = mem_random_next(&os->random);
        size_t part = n < sizeof(word) ? n : sizeof(word);
        memcpy(at, &word, part);
        at += part;
        n -= part;
    }
    return true;
}

/* Whatever is sent so is seen in the trace alone. */
void os_notify(struct os *os, uint16_t port, struct view text)
{
    mem_trace(os->world, os, "notify", port, mem_hash(0, text.at, text.len));
}

/* ---- who started us, and who commands us: nobody ---- */

void os_service(struct os *os, struct view state)
{
    mem_trace(os->world, os, "service", 0, mem_hash(0, state.at, state.len));
}

uint64_t os_watchdog_us(struct os *os)
{
    (void)os;
    return 0;
}

enum os_status os_control(struct os *os, struct os_dir *dir, const char *name,
                          void (*on)(void *ctx, struct os_link *link), void *ctx)
{
    (void)os, (void)dir, (void)name, (void)on, (void)ctx;
    return OS_OK;
}

void os_control_end(struct os *os, struct os_dir *dir, const char *name)
{
    (void)os, (void)dir, (void)name;
}

/* ---- log ---- */

void mem_host_on_log(struct mem_host *host, void (*on)(void *ctx, struct os *os, struct view line), void *ctx)
{
    host->on_log = on;
    host->log_ctx = ctx;
}

struct view mem_host_log(struct mem_host *host)
{
    return (struct view){ host->log, host->log_len };
}

static void keep_line(struct mem_host *host, struct view line)
{
    host->log = realloc(host->log, host->log_len + line.len + 1);
    if (!host->log)
        abort();
    if (line.len)
        memcpy(host->log + host->log_len, line.at, line.len);
    host->log_len += line.len + 1;
    host->log[host->log_len - 1] = '\n';
}

void os_log(struct os *os, struct view line)
{
    char text[LOG_LINE_MAX];
    struct buffer clean = BUFFER_OF(text);
    if (os->cut)
        return;
    line = view_slice(line, 0, LOG_LINE_MAX);
    for (size_t i = 0; i < line.len; i++)
        buffer_add_char(&clean, (unsigned char)line.at[i] < ' ' || line.at[i] == 0x7f ? '?' : line.at[i]);
    line = buffer_view(&clean);
    mem_trace(os->world, os, "log", line.len, mem_hash(0, line.at, line.len));
    if (os->host->on_log)
        os->host->on_log(os->host->log_ctx, os, line);
    else
        keep_line(os->host, line);
}
