/* gonets queue: what waits for delivery, and what the administrator wants done with it. The spool is read here, whether
 * or not the server runs; changes are the server's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gonets/gonets.h"
#include "gonets/json.h"
#include "gonets/queue_order.h"
#include "gonets/tell.h"
#include "os/linux/os_linux.h"

#define FILTER_SIZE_MAX 65536

static const char help[] =
    "usage: gonets queue list [FILTER] [--json]\n"
    "       gonets queue show FILTER [--json]\n"
    "       gonets queue retry|hold|release|fail|delete FILTER [--dry-run] [--json]\n"
    "       options of all: -c FILE, --spool DIR\n\n"
    "  list     what waits for delivery\n"
    "  show     the same messages, with all that happened to them\n"
    "  retry    tries to deliver now\n"
    "  hold     leaves it in the queue until it is released\n"
    "  release  ends that\n"
    "  fail     gives up, and tells the sender\n"
    "  delete   gives up, and tells nobody\n\n"
    "FILTER: an id, or words like from=ann@example.org to~bob domain=example.net age>1h next<10m attempts>3\n"
    "state=deferred reason~\"mailbox full\"; several must all hold, 'or' parts alternatives, 'not' stands before a "
    "word;\n"
    "'all' is everything. See gonets-queue(1).\n";

enum verb { LIST, SHOW, RETRY, HOLD, RELEASE, FAIL, DELETE, VERBS };

static const struct {
    const char *name, *done;
    enum ipc_order_kind order;
} verbs[VERBS] = {
    [LIST] = { "list", "", 0 },
    [SHOW] = { "show", "", 0 },
    [RETRY] = { "retry", "tried now", IPC_ORDER_RETRY },
    [HOLD] = { "hold", "held", IPC_ORDER_HOLD },
    [RELEASE] = { "release", "released", IPC_ORDER_RELEASE },
    [FAIL] = { "fail", "failed, their senders are told", IPC_ORDER_FAIL },
    [DELETE] = { "delete", "deleted", IPC_ORDER_DELETE },
};

static const char *const results[] = {
    [IPC_ORDER_DONE] = NULL,
    [IPC_ORDER_GONE] = "done meanwhile",
    [IPC_ORDER_BUSY] = "being delivered at this moment",
    [IPC_ORDER_NOT_SO] = "not in such a state",
    [IPC_ORDER_TROUBLE] = "not now: the server is starting, stopping or out of memory",
};
#define RESULTS (sizeof results / sizeof results[0])

struct command {
    enum verb verb;
    bool json, dry_run;
    struct gonets_server server;
    struct queue_filter filter;
    char text[FILTER_SIZE_MAX];
    size_t text_len;
    struct os *os;
    uint64_t wall_us;
    size_t found, messages;
    bool matched; /* some recipient of the message at hand */
    struct ipc_order *orders;
    size_t order_size;
    bool no_memory;
};

/* ---- options ---- */

/* Each argument is one word, whatever blanks are in it: the shell has taken off its quotes. */
static bool add_word(struct command *c, const char *word)
{
    struct buffer text = { c->text, c->text_len, sizeof c->text, false };
    buffer_add_text(&text, " \"");
    for (; *word; word++) {
        if (*word == '"' || *word == '\\')
            buffer_add_char(&text, '\\');
        buffer_add_char(&text, *word);
    }
    buffer_add_char(&text, '"');
    c->text_len = text.len;
    return !text.full;
}

static int parse_filter(struct command *c)
{
    char memory[512];
    struct buffer error = BUFFER_OF(memory);
    if (!queue_filter_parse(&c->filter, c->text, c->text_len, &error)) {
        fprintf(stderr, "gonets queue: %.*s\n", VIEW_FORMAT(buffer_view(&error)));
        return GONETS_USAGE;
    }
    if (c->verb == LIST || c->filter.count)
        return GONETS_OK;
    fprintf(stderr, "gonets queue %s: which ones? Give a filter, or 'all'; see gonets queue --help\n",
            verbs[c->verb].name);
    return GONETS_USAGE;
}

static int parse_options(struct command *c, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            c->json = true;
        else if (strcmp(argv[i], "--dry-run") == 0 && verbs[c->verb].order)
            c->dry_run = true;
        else if (gonets_server_option(&c->server, argc, argv, &i))
            continue;
        else if (argv[i][0] == '-')
            return gonets_wrong("queue", "unknown or incomplete option", argv[i]);
        else if (!add_word(c, argv[i]))
            return gonets_wrong("queue", "too long a filter at", argv[i]);
    }
    return parse_filter(c);
}

/* ---- what is found ---- */

static void add_order(struct command *c, const struct queue_entry *entry)
{
    if (c->found == c->order_size) {
        size_t size = c->order_size ? 2 * c->order_size : 1024;
        struct ipc_order *larger = realloc(c->orders, size * sizeof *larger);
        c->no_memory |= !larger;
        if (!larger)
            return;
        c->orders = larger;
        c->order_size = size;
    }
    c->orders[c->found] =
        (struct ipc_order){ .kind = (uint8_t)verbs[c->verb].order, .id = entry->id, .recipient = entry->recipient };
}

static void on_entry(void *ctx, const struct queue_entry *entry)
{
    struct command *c = ctx;
    if (!queue_filter_matches(&c->filter, entry, c->wall_us))
        return;
    c->matched = true;
    if (verbs[c->verb].order)
        add_order(c, entry);
    if (c->json && c->verb != SHOW && (c->verb == LIST || c->dry_run))
        gonets_tell_entry_json(entry);
    else if (c->verb == LIST || c->dry_run)
        gonets_tell_entry(entry, c->wall_us);
    c->found++;
}

static void on_message(void *ctx, const struct spool_message *message, const struct gonets_story *story,
                       struct os_file *file)
{
    struct command *c = ctx;
    (void)file;
    c->matched = false;
    gonets_story_entries(message, story, on_entry, c);
    c->messages += c->matched;
    if (c->matched && c->verb == SHOW)
        (c->json ? gonets_tell_story_json : gonets_tell_story)(message, story);
}

static int read_queue(struct command *c)
{
    char memory[CONF_PATH_MAX + 1];
    struct buffer path = BUFFER_OF(memory);
    struct gonets_stories stories = { .os = c->os, .history = c->verb == SHOW, .ctx = c, .message = on_message };
    int code = gonets_find_spool(c->os, &c->server, &path);
    if (code != GONETS_OK)
        return code;
    code = gonets_stories_read(&stories, "queue", memory);
    gonets_stories_free(&stories);
    if (code == GONETS_OK && c->no_memory) {
        fputs("gonets queue: out of memory; nothing was changed\n", stderr);
        return GONETS_OS;
    }
    return code;
}

/* ---- what is done ---- */

static void tell_count(size_t count, const char *what)
{
    printf("%zu recipient%s %s\n", count, count == 1 ? "" : "s", what);
}

static void tell_results(const struct command *c)
{
    size_t counts[RESULTS] = { 0 };
    bool first;
    for (size_t i = 0; i < c->found; i++)
        counts[c->orders[i].result < RESULTS ? c->orders[i].result : IPC_ORDER_TROUBLE]++;
    if (c->json) {
        static const char *const names[RESULTS] = { "done", "gone", "busy", "not_so", "trouble" };
        gonets_json_begin(&first);
        for (size_t i = 0; i < RESULTS; i++)
            gonets_json_number(&first, names[i], counts[i]);
        gonets_json_end();
        return;
    }
    tell_count(counts[IPC_ORDER_DONE], verbs[c->verb].done);
    for (size_t i = 1; i < RESULTS; i++)
        if (counts[i])
            tell_count(counts[i], results[i]);
}

static bool all_done(const struct command *c)
{
    for (size_t i = 0; i < c->found; i++)
        if (c->orders[i].result != IPC_ORDER_DONE && c->orders[i].result != IPC_ORDER_GONE)
            return false;
    return true;
}

static int change(struct command *c)
{
    const struct gonets_orders orders = { &c->server, c->orders, c->found };
    int code = c->found ? gonets_orders_send(c->os, &orders) : GONETS_OK;
    if (code != GONETS_OK)
        return code;
    tell_results(c);
    return all_done(c) ? GONETS_OK : GONETS_TEMPORARY;
}

static int act(struct command *c)
{
    c->wall_us = os_wall_us(c->os);
    int code = read_queue(c);
    if (code == GONETS_OK && verbs[c->verb].order && !c->dry_run)
        code = change(c);
    else if (code == GONETS_OK && c->dry_run && !c->json)
        tell_count(c->found, "would be chosen; nothing was changed");
    else if (code == GONETS_OK && !c->json)
        printf("%zu message%s, %zu recipient%s\n", c->messages, c->messages == 1 ? "" : "s", c->found,
               c->found == 1 ? "" : "s");
    return fflush(stdout) == 0 ? code : GONETS_IO;
}

static int run(struct command *c, int argc, char **argv)
{
    int code = parse_options(c, argc, argv);
    if (code != GONETS_OK)
        return code;
    c->os = os_linux_new(NULL, 0);
    if (!c->os)
        return GONETS_OS;
    code = act(c);
    os_linux_free(c->os);
    return code;
}

int gonets_queue(int argc, char **argv)
{
    enum verb verb = LIST;
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        fputs(help, argc < 2 ? stderr : stdout);
        return argc < 2 ? GONETS_USAGE : GONETS_OK;
    }
    while (verb < VERBS && strcmp(argv[1], verbs[verb].name) != 0)
        verb++;
    if (verb == VERBS)
        return gonets_wrong("queue", "unknown word", argv[1]);
    struct command *c = calloc(1, sizeof *c);
    if (!c)
        return GONETS_OS;
    c->verb = verb;
    c->server = (struct gonets_server){ "queue", GONETS_CONFIG_FILE, NULL };
    int code = run(c, argc, argv);
    free(c->orders);
    free(c);
    return code;
}

int gonets_mailq(int argc, char **argv)
{
    char list[] = "list";
    char **words = calloc((size_t)argc + 2, sizeof *words);
    if (!words)
        return GONETS_OS;
    words[0] = argv[0];
    words[1] = list;
    for (int i = 1; i < argc; i++)
        words[i + 1] = argv[i];
    int code = gonets_queue(argc + 1, words);
    free(words);
    return code;
}
