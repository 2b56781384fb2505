/* The effective configuration as text, and the limits for people. */
#include "conf/value.h"

#include <stdlib.h>
#include <string.h>

/* Every character is harmless wherever the word stands; braces when they follow a % and are closed. */
static bool is_plain(struct view word)
{
    bool open = false, plain = word.len > 0 && word.at[word.len - 1] != ':';
    for (size_t i = 0; i < word.len && plain; i++) {
        char c = word.at[i];
        if (c == '{' || c == '}') {
            plain = c == '}' ? open : i > 0 && word.at[i - 1] == '%';
            open = c == '{';
        } else {
            plain = ascii_is_alnum(c) || (c && strchr("@.-_+=/:*[]%", c));
        }
    }
    return plain;
}

static void add_word(struct buffer *to, struct view word)
{
    if (is_plain(word)) {
        buffer_add(to, word);
        return;
    }
    buffer_add_char(to, '"');
    for (size_t i = 0; i < word.len; i++) {
        if (word.at[i] == '"' || word.at[i] == '\\')
            buffer_add_char(to, '\\');
        buffer_add_char(to, word.at[i]);
    }
    buffer_add_char(to, '"');
}

static void add_value(struct buffer *to, const struct conf *conf, const struct conf_setting *setting)
{
    if (setting->type >= CONF_COUNT)
        conf_number_add(to, setting->type, conf_setting_number(conf, setting));
    else
        add_word(to, conf_setting_text(conf, setting));
}

static void print_settings(struct buffer *to, const struct conf *conf)
{
    for (size_t i = 0; i < conf_setting_count; i++) {
        const struct conf_setting *setting = &conf_settings[i];
        if (setting->type < CONF_COUNT && conf_setting_text(conf, setting).len == 0)
            continue;
        buffer_add_text(to, setting->name);
        buffer_add_char(to, ' ');
        add_value(to, conf, setting);
        buffer_add_char(to, '\n');
    }
}

static void print_listen(struct buffer *to, const struct conf_listen *listen)
{
    buffer_add_text(to, "listen ");
    address_add(to, &listen->address);
    buffer_add_text(to, listen->lenient ? " lenient\n" : "\n");
}

static void print_table(struct buffer *to, const struct conf_table *table)
{
    buffer_add_text(to, "table ");
    buffer_add(to, table->name);
    buffer_add_text(to, " {\n");
    for (size_t i = 0; i < table->entry_count; i++) {
        const struct conf_entry *entry = &table->entries[i];
        buffer_add_text(to, "  ");
        add_word(to, entry->key);
        if (entry->value.at) {
            buffer_add_text(to, ": ");
            add_word(to, entry->value);
        }
        buffer_add_char(to, '\n');
    }
    buffer_add_text(to, "}\n");
}

static void add_reference(struct buffer *to, const struct conf_table *table)
{
    buffer_add_char(to, '<');
    buffer_add(to, table->name);
    buffer_add_char(to, '>');
}

static void add_table(struct buffer *to, const char *word, const struct conf_table *table)
{
    if (!table)
        return;
    buffer_add_text(to, word);
    add_reference(to, table);
}

void conf_hop_add(struct buffer *to, const struct conf_hop *hop)
{
    if (hop->is_address) {
        address_add(to, &hop->address);
        return;
    }
    buffer_add(to, hop->host);
    buffer_add_char(to, ':');
    buffer_add_u64(to, hop->port);
}

static void add_relay(struct buffer *to, const struct conf_action *action)
{
    if (action->hops)
        buffer_add_text(to, " via");
    for (const struct conf_hop *hop = action->hops; hop; hop = hop->next) {
        buffer_add_char(to, ' ');
        conf_hop_add(to, hop);
    }
    if (action->port != CONF_SMTP_PORT) {
        buffer_add_text(to, " port ");
        buffer_add_u64(to, action->port);
    }
}

static void print_action(struct buffer *to, const struct conf_action *action)
{
    static const char *const kinds[] = { [CONF_MAILDIR] = " maildir ",
                                         [CONF_MBOX] = " mbox ",
                                         [CONF_DISCARD] = " discard",
                                         [CONF_HOLD] = " hold",
                                         [CONF_RELAY] = " relay" };
    buffer_add_text(to, "action ");
    buffer_add(to, action->name);
    buffer_add_text(to, kinds[action->kind]);
    if (action->path.len)
        add_word(to, action->path);
    if (action->user.len) {
        buffer_add_text(to, " user ");
        buffer_add(to, action->user);
    }
    add_table(to, " users ", action->users);
    add_table(to, " aliases ", action->aliases);
    if (action->biff)
        buffer_add_text(to, " biff");
    if (action->kind == CONF_RELAY)
        add_relay(to, action);
    buffer_add_char(to, '\n');
}

static void add_network(struct buffer *to, const struct network *network)
{
    struct address address = { .set = true };
    memcpy(address.ip, network->ip, sizeof address.ip);
    bool v4 = address_is_v4(&address) && network->bits >= 96;
    address_add_ip(to, &address);
    buffer_add_char(to, '/');
    buffer_add_u64(to, v4 ? network->bits - 96u : network->bits);
}

static void add_from(struct buffer *to, const struct conf_match *match)
{
    switch (match->from) {
    case CONF_FROM_ANY:
        buffer_add_text(to, " from any");
        break;
    case CONF_FROM_LOCAL:
        buffer_add_text(to, " from local");
        break;
    case CONF_FROM_NETWORK:
        buffer_add_text(to, " from network ");
        add_network(to, &match->network);
        break;
    case CONF_FROM_TABLE:
        buffer_add_text(to, " from network ");
        add_reference(to, match->from_table);
        break;
    }
}

static void add_for(struct buffer *to, const struct conf_match *match)
{
    switch (match->to) {
    case CONF_FOR_ANY:
        buffer_add_text(to, " for any");
        break;
    case CONF_FOR_LOCAL:
        buffer_add_text(to, " for local");
        break;
    case CONF_FOR_DOMAIN:
        buffer_add_text(to, " for domain ");
        buffer_add(to, match->domain);
        break;
    case CONF_FOR_DOMAIN_TABLE:
        buffer_add_text(to, " for domain ");
        add_reference(to, match->to_table);
        break;
    }
}

void conf_match_add(struct buffer *to, const struct conf_match *match)
{
    buffer_add_text(to, "match");
    add_from(to, match);
    add_for(to, match);
    buffer_add_text(to, match->action ? " action " : " reject");
    if (match->action)
        buffer_add(to, match->action->name);
}

static void print_match(struct buffer *to, const struct conf_match *match)
{
    conf_match_add(to, match);
    buffer_add_char(to, '\n');
}

static void add_time(struct buffer *to, const char *word, uint64_t time_us)
{
    buffer_add_text(to, word);
    conf_number_add(to, CONF_TIME, time_us);
}

static void print_retry(struct buffer *to, const struct conf_retry *retry)
{
    buffer_add_text(to, "retry");
    for (unsigned i = 0; i < retry->gap_count; i++)
        add_time(to, " ", retry->gaps_us[i]);
    add_time(to, " expire ", retry->expire_us);
    if (retry->warn_us)
        add_time(to, " warn ", retry->warn_us);
    else
        buffer_add_text(to, " warn never");
    buffer_add_char(to, '\n');
}

static void print_dns(struct buffer *to, const struct conf_dns *dns)
{
    static const char *const kinds[] = {
        [CONF_DNS_FORWARD] = "dns forward", [CONF_DNS_STUB] = "dns stub", [CONF_DNS_INSECURE] = "dns insecure"
    };
    buffer_add_text(to, kinds[dns->kind]);
    if (dns->zone.len) {
        buffer_add_char(to, ' ');
        buffer_add(to, dns->zone);
    }
    if (dns->server.set) {
        buffer_add_char(to, ' ');
        address_add(to, &dns->server);
    }
    buffer_add_char(to, '\n');
}

bool conf_print(const struct conf *conf, struct buffer *to)
{
    print_settings(to, conf);
    for (const struct conf_listen *listen = conf->listens; listen; listen = listen->next)
        print_listen(to, listen);
    for (const struct conf_table *table = conf->tables; table; table = table->next)
        print_table(to, table);
    for (const struct conf_action *action = conf->actions; action; action = action->next)
        print_action(to, action);
    for (const struct conf_match *match = conf->matches; match; match = match->next)
        print_match(to, match);
    print_retry(to, &conf->retry);
    for (const struct conf_dns *dns = conf->dns; dns; dns = dns->next)
        print_dns(to, dns);
    for (size_t i = 0; i < conf_limit_count; i++) {
        buffer_add_text(to, "limit ");
        buffer_add_text(to, conf_limits[i].name);
        buffer_add_char(to, ' ');
        add_value(to, conf, &conf_limits[i]);
        buffer_add_char(to, '\n');
    }
    return !to->full;
}

bool conf_print_new(const struct conf *conf, struct buffer *to)
{
    for (size_t size = 65536; size <= CONF_TEXT_MAX; size *= 4) {
        char *memory = malloc(size);
        if (!memory)
            return false;
        buffer_init(to, memory, size);
        if (conf_print(conf, to))
            return true;
        free(memory);
    }
    return false;
}

static void pad(struct buffer *to, size_t start, size_t width)
{
    do
        buffer_add_char(to, ' ');
    while (to->len < start + width && !to->full);
}

bool conf_print_limits(const struct conf *conf, struct buffer *to)
{
    for (size_t i = 0; i < conf_limit_count; i++) {
        size_t start = to->len;
        buffer_add_text(to, conf_limits[i].name);
        pad(to, start, 16);
        add_value(to, conf, &conf_limits[i]);
        pad(to, start, 24);
        buffer_add_text(to, conf_limits[i].unit);
        pad(to, start, 66);
        buffer_add_text(to, conf_limits[i].help);
        buffer_add_char(to, '\n');
    }
    return !to->full;
}
