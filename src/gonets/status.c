/* gonets status: the processes of the running server, and how much they have to do. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gonets/gonets.h"
#include "gonets/reach.h"

static const char help[] = "usage: gonets status [-c FILE | --spool DIR] [--json]\n\n"
                           "Shows the processes of the running server. See gonets-status(1).\n\n"
                           "  -c FILE      its configuration; " GONETS_CONFIG_FILE " when not given\n"
                           "  --spool DIR  its spool, when the configuration cannot tell\n"
                           "  --json       one JSON object, for programs\n";

struct table {
    bool json;
    unsigned rows;
};

/* Up to two units: 3d4h, 2m10s, 9s. */
static void add_time(struct buffer *to, uint64_t time_us)
{
    static const struct {
        uint64_t seconds;
        char name;
    } units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
    uint64_t rest = time_us / 1000000;
    size_t i = 0;
    while (i < 3 && rest < units[i].seconds)
        i++;
    for (size_t end = i + 2; i < end && i < 4; i++) {
        buffer_addf(to, "%" PRIu64 "%c", rest / units[i].seconds, units[i].name);
        rest %= units[i].seconds;
    }
}

static void print_text(const struct ipc_process *p, bool first)
{
    char name[64], time[64], number[32];
    struct buffer who = BUFFER_OF(name), uptime = BUFFER_OF(time), pid = BUFFER_OF(number);
    if (first)
        puts("ROLE        PID      UPTIME  STARTS  CONFIG  SESSIONS  DELIVERING  QUEUED");
    buffer_add_safe(&who, p->role, 32);
    buffer_addf(&who, "/%" PRIu32, p->instance);
    if (p->number)
        buffer_add_u64(&pid, p->number);
    else
        buffer_add_text(&pid, "down");
    add_time(&uptime, p->uptime_us);
    printf("%-11.*s %-8.*s %-7.*s %6" PRIu64 "  %6" PRIu64 "  %8" PRIu64 "  %10" PRIu64 "  %6" PRIu64 "\n",
           (int)who.len, who.at, (int)pid.len, pid.at, (int)uptime.len, uptime.at, p->starts, p->generation,
           p->counts.sessions, p->counts.active, p->counts.messages);
}

static void print_json(const struct ipc_process *p, bool first)
{
    char name[64];
    struct buffer role = BUFFER_OF(name);
    buffer_add_safe(&role, p->role, 32); /* a word of ours, with nothing to escape */
    printf("%s{\"role\":\"%.*s\",\"instance\":%" PRIu32 ",\"pid\":%" PRIu64 ",\"uptime_us\":%" PRIu64
           ",\"starts\":%" PRIu64 ",\"generation\":%" PRIu64 ",\"sessions\":%" PRIu64 ",\"delivering\":%" PRIu64
           ",\"queued\":%" PRIu64 "}",
           first ? "{\"processes\":[" : ",", (int)role.len, role.at, p->instance, p->number, p->uptime_us, p->starts,
           p->generation, p->counts.sessions, p->counts.active, p->counts.messages);
}

static void on_process(void *ctx, const struct ipc_process *process)
{
    struct table *table = ctx;
    bool first = table->rows++ == 0;
    if (table->json)
        print_json(process, first);
    else
        print_text(process, first);
}

int gonets_status(int argc, char **argv)
{
    struct gonets_server server = { "status", GONETS_CONFIG_FILE, NULL };
    struct table table = { 0 };
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return GONETS_OK;
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            table.json = true;
        else if (!gonets_server_option(&server, argc, argv, &i))
            return gonets_wrong("status", "unknown or incomplete option", argv[i]);
    }
    int code = gonets_ask(&server, IPC_COMMAND_STATUS, on_process, &table);
    if (table.json && table.rows)
        puts("]}");
    return fflush(stdout) == 0 ? code : GONETS_IO;
}
