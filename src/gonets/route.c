/* gonets route: which rule takes a message, why those before it do not, and where it goes then. Nothing is sent, and no
 * name is looked up in the DNS. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gonets/gonets.h"
#include "gonets/reach.h"
#include "os/linux/os_linux.h"
#include "smtp/path.h"

#define OUTPUT_MAX (4u << 20)

static const char help[] =
    "usage: gonets route FROM TO [-c FILE] [--client ADDRESS] [--json]\n\n"
    "Shows which rule of the configuration takes a message, and where it goes. See gonets-route(1).\n\n"
    "  FROM, TO          addresses; FROM is \"<>\" for a report\n"
    "  -c FILE           the configuration; " GONETS_CONFIG_FILE " when not given\n"
    "  --client ADDRESS  the IP address that it comes from; this machine itself when not given\n"
    "  --json            one JSON object, for programs\n";

struct route {
    const char *config, *client_text, *words[2];
    unsigned word_count;
    bool json, has_client;
    struct address client;
    struct smtp_path from, to;
    struct os *os;
    struct conf conf;
    struct buffer out;
    bool listed; /* JSON: something stands before in this list */
};

/* ---- output: "name    text" or "name":"text" ---- */

static void add_json(struct buffer *to, struct view text)
{
    buffer_add_char(to, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c < ' ' || c > '~')
            buffer_addf(to, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            buffer_addf(to, "\\%c", c);
        else
            buffer_add_char(to, (char)c);
    }
    buffer_add_char(to, '"');
}

static void begin_item(struct route *r)
{
    if (r->listed)
        buffer_add_char(&r->out, ',');
    r->listed = true;
}

static void begin_list(struct route *r, const char *name)
{
    begin_item(r);
    buffer_addf(&r->out, "\"%s\":[", name);
    r->listed = false;
}

static void end_list(struct route *r)
{
    buffer_add_char(&r->out, ']');
    r->listed = true;
}

static void add_text(struct route *r, const char *name, struct view text)
{
    if (r->json) {
        begin_item(r);
        add_json(&r->out, view_of(name));
        buffer_add_char(&r->out, ':');
        add_json(&r->out, text);
        return;
    }
    buffer_addf(&r->out, "%-8s ", name);
    buffer_add_safe(&r->out, text, text.len);
    buffer_add_char(&r->out, '\n');
}

static void add_rule(struct route *r, const char *name, const struct conf_match *match, const char *why)
{
    char memory[1024];
    struct buffer text = BUFFER_OF(memory);
    conf_match_add(&text, match);
    if (r->json) {
        begin_item(r);
        buffer_addf(&r->out, "%s%s%s{\"file\":", why ? "" : "\"", why ? "" : name, why ? "" : "\":");
        add_json(&r->out, match->file);
        buffer_addf(&r->out, ",\"line\":%u,\"rule\":", match->line);
        add_json(&r->out, buffer_view(&text));
        if (why) {
            buffer_add_text(&r->out, ",\"why\":");
            add_json(&r->out, view_of(why));
        }
        buffer_add_char(&r->out, '}');
        return;
    }
    buffer_addf(&r->out, "%-8s ", name);
    buffer_add_safe(&r->out, match->file, 512);
    buffer_addf(&r->out, ":%u: %.*s\n", match->line, (int)text.len, text.at);
    if (why)
        buffer_addf(&r->out, "%-8s   %s\n", "", why);
}

/* ---- the rules ---- */

static const char *reason(enum conf_fit fit)
{
    return fit == CONF_OTHER_CLIENT ? "is for other clients" : "is for other recipients";
}

static const struct conf_match *walk_rules(struct route *r)
{
    const struct conf_match *match = r->conf.matches;
    const struct address *client = r->has_client ? &r->client : NULL;
    if (r->json)
        begin_list(r, "passed");
    for (; match; match = match->next) {
        enum conf_fit fit = conf_match_fit(&r->conf, match, client, r->to.domain);
        if (fit == CONF_FITS)
            break;
        add_rule(r, "passed", match, reason(fit));
    }
    if (r->json)
        end_list(r);
    return match;
}

/* ---- where it goes ---- */

static int refused(struct route *r, const char *why)
{
    add_text(r, "refused", view_of(why));
    return GONETS_DATA;
}

static void add_hop(struct route *r, struct view hop, bool first)
{
    if (!r->json) {
        add_text(r, first ? "next" : "or", hop);
        return;
    }
    begin_item(r);
    add_json(&r->out, hop);
}

static void add_exchangers(struct route *r, uint16_t port)
{
    char memory[512];
    struct buffer text = BUFFER_OF(memory);
    if (!view_starts(r->to.domain, VIEW("[")))
        buffer_add_text(&text, "MX of ");
    buffer_addf(&text, "%.*s, port %u", VIEW_FORMAT(r->to.domain), port);
    add_hop(r, buffer_view(&text), true);
}

static int show_hops(struct route *r, const struct conf_action *action)
{
    char memory[512];
    if (r->json)
        begin_list(r, "next");
    for (const struct conf_hop *hop = action->hops; hop; hop = hop->next) {
        struct buffer text = BUFFER_OF(memory);
        conf_hop_add(&text, hop);
        add_hop(r, buffer_view(&text), hop == action->hops);
    }
    if (!action->hops)
        add_exchangers(r, action->port);
    if (r->json)
        end_list(r);
    return GONETS_OK;
}

static bool exists(const struct conf_action *action, struct view local, struct view address)
{
    return conf_table_find(action->users, address) || conf_table_find(action->users, local);
}

static int show_mailbox(struct route *r, const struct conf_action *action, struct view local, struct view address)
{
    char memory[CONF_PATH_MAX];
    struct buffer path = BUFFER_OF(memory);
    struct os_user user = { .name = "" };
    const struct conf_entry *alias = conf_alias_find(action, local, address);
    bool own = action->user.len == 0;
    if (alias) {
        add_text(r, "alias", alias->value);
        return GONETS_OK;
    }
    if (action->users && !exists(action, local, address))
        return refused(r, "no such mailbox: it is not in the table of users");
    enum os_status status = os_user_find(r->os, own ? local : action->user, &user);
    if (status == OS_NOT_FOUND)
        return refused(r, own ? "no such mailbox: there is no account of this name"
                              : "for now: the account of the mailboxes does not exist");
    if (status != OS_OK)
        return refused(r, "for now: the account cannot be looked up at the moment");
    const struct conf_values values = { .local = local,
                                        .domain = r->to.domain.len ? r->to.domain : r->conf.hostname,
                                        .user = view_of(user.name),
                                        .home = view_of(user.home) };
    if (!conf_expand(&path, action->path, &values))
        return refused(r, "no mailbox can have this name");
    add_text(r, "mailbox", buffer_view(&path));
    return GONETS_OK;
}

static int show_action(struct route *r, const struct conf_action *action)
{
    static const char *const kinds[] = { [CONF_MAILDIR] = "maildir",
                                         [CONF_MBOX] = "mbox",
                                         [CONF_DISCARD] = "discard",
                                         [CONF_HOLD] = "hold",
                                         [CONF_RELAY] = "relay" };
    char plain[SMTP_LOCAL_PART_MAX], whole[SMTP_PATH_MAX + 256];
    struct buffer local = BUFFER_OF(plain), address = BUFFER_OF(whole);
    add_text(r, "action", action->name);
    add_text(r, "kind", view_of(kinds[action->kind]));
    if (action->kind == CONF_RELAY)
        return show_hops(r, action);
    if (action->kind == CONF_DISCARD || action->kind == CONF_HOLD)
        return GONETS_OK;
    if (!smtp_path_local_plain(&r->to, &local))
        return refused(r, "no mailbox can have this name");
    smtp_path_add_local(&address, &r->to);
    buffer_add_char(&address, '@');
    buffer_add(&address, r->to.domain.len ? r->to.domain : r->conf.hostname);
    return show_mailbox(r, action, buffer_view(&local), buffer_view(&address));
}

static void show_client(struct route *r)
{
    char memory[ADDRESS_TEXT_MAX];
    struct buffer text = BUFFER_OF(memory);
    if (r->has_client)
        address_add_ip(&text, &r->client);
    else
        buffer_add_text(&text, "this machine");
    add_text(r, "client", buffer_view(&text));
}

/* postmaster without a domain is who the configuration says (RFC 5321 section 4.5.1). */
static void set_postmaster(struct route *r)
{
    if (r->to.domain.len == 0 && view_equal_nocase(r->to.local, VIEW("postmaster")) && r->conf.postmaster.len)
        smtp_mailbox_parse(r->conf.postmaster, 0, &r->to);
}

static int show_route(struct route *r)
{
    int code;
    if (r->json)
        buffer_add_char(&r->out, '{');
    add_text(r, "from", view_of(r->words[0]));
    add_text(r, "to", view_of(r->words[1]));
    show_client(r);
    set_postmaster(r);
    const struct conf_match *match = walk_rules(r);
    if (match)
        add_rule(r, "wins", match, NULL);
    if (!match)
        code = refused(r, "no rule takes it: relaying denied");
    else if (!match->action)
        code = refused(r, "the rule rejects it");
    else
        code = show_action(r, match->action);
    if (r->json)
        buffer_add_text(&r->out, "}\n");
    return code;
}

static int route(struct route *r)
{
    char *memory = malloc(OUTPUT_MAX);
    int code = GONETS_OS;
    buffer_init(&r->out, memory, memory ? OUTPUT_MAX : 0);
    if (memory)
        code = gonets_read_conf(r->os, r->config, &r->conf) ? show_route(r) : GONETS_CONFIG;
    fwrite(memory ? memory : "", 1, r->out.len, stdout);
    conf_free(&r->conf);
    free(memory);
    return fflush(stdout) == 0 ? code : GONETS_IO;
}

/* ---- options ---- */

static int read_words(struct route *r)
{
    struct view from = view_of(r->words[0]), to = view_of(r->words[1]);
    if (view_starts(from, VIEW("<")) && from.len > 1 && from.at[from.len - 1] == '>')
        from = view_slice(from, 1, from.len - 1);
    if (from.len && smtp_mailbox_parse(from, SMTP_PATH_BARE, &r->from) != SMTP_PATH_OK)
        return gonets_wrong("route", "not an address:", r->words[0]);
    if (smtp_mailbox_parse(to, SMTP_PATH_BARE, &r->to) != SMTP_PATH_OK)
        return gonets_wrong("route", "not an address:", r->words[1]);
    if (r->client_text && !address_parse_ip(view_of(r->client_text), &r->client))
        return gonets_wrong("route", "not an IP address:", r->client_text);
    r->has_client = r->client_text != NULL;
    return GONETS_OK;
}

static int read_options(struct route *r, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char **place = strcmp(argv[i], "-c") == 0         ? &r->config
                             : strcmp(argv[i], "--client") == 0 ? &r->client_text
                                                                : NULL;
        if (place && i + 1 == argc)
            return gonets_wrong("route", "something must follow", argv[i]);
        if (place)
            *place = argv[++i];
        else if (strcmp(argv[i], "--json") == 0)
            r->json = true;
        else if (argv[i][0] == '-')
            return gonets_wrong("route", "unknown option", argv[i]);
        else if (r->word_count == 2)
            return gonets_wrong("route", "one word too many:", argv[i]);
        else
            r->words[r->word_count++] = argv[i];
    }
    return r->word_count == 2 ? read_words(r) : gonets_wrong("route", "two addresses are needed:", "FROM TO");
}

int gonets_route(int argc, char **argv)
{
    struct route r = { .config = GONETS_CONFIG_FILE };
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return GONETS_OK;
    }
    int code = read_options(&r, argc, argv);
    if (code != GONETS_OK)
        return code;
    r.os = os_linux_new(NULL, 0);
    if (!r.os)
        return GONETS_OS;
    code = route(&r);
    os_linux_free(r.os);
    return code;
}
