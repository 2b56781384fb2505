/* Looking things up in a parsed configuration. */
#include "conf/parser.h"

#include <string.h>

int conf_key_compare(struct view a, struct view b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < shorter; i++) {
        unsigned char x = (unsigned char)ascii_lower(a.at[i]), y = (unsigned char)ascii_lower(b.at[i]);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

const struct conf_entry *conf_table_find(const struct conf_table *table, struct view key)
{
    size_t low = 0, high = table->entry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = conf_key_compare(table->entries[middle].key, key);
        if (order == 0)
            return &table->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct conf_action *conf_action_find(const struct conf *conf, struct view name)
{
    const struct conf_action *action = conf->actions;
    while (action && !view_equal(action->name, name))
        action = action->next;
    return action;
}

int conf_network_compare(const struct network *a, const struct network *b)
{
    int order = memcmp(a->ip, b->ip, sizeof a->ip);
    return a->bits != b->bits ? a->bits - b->bits : order;
}

static bool networks_contain(const struct conf_table *table, const struct network *network)
{
    size_t low = 0, high = table->entry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = conf_network_compare(&table->networks[middle], network);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* One search for each length of prefix, by taking bits off the address: the cost does not grow with the table. */
bool conf_networks_have(const struct conf_table *table, const struct network *network)
{
    struct network shorter = *network;
    for (;;) {
        if (networks_contain(table, &shorter))
            return true;
        if (shorter.bits == 0)
            return false;
        shorter.bits--;
        shorter.ip[shorter.bits / 8] &= (uint8_t) ~(0x80 >> shorter.bits % 8);
    }
}

/* pattern ".example.org": example.org and everything below. Both may be patterns: one inside of the other. */
bool conf_domain_within(struct view domain, struct view pattern)
{
    if (view_equal_nocase(domain, pattern))
        return true;
    return view_starts(pattern, VIEW(".")) &&
           (view_ends_nocase(domain, pattern) || view_equal_nocase(domain, view_slice(pattern, 1, pattern.len)));
}

bool conf_domain_in_table(struct view domain, const struct conf_table *table)
{
    char text[256] = ".";
    struct buffer dotted = { text, 1, sizeof text, false };
    bool pattern = view_starts(domain, VIEW("."));
    buffer_add(&dotted, view_slice(domain, pattern, domain.len));
    if (dotted.full)
        return false;
    struct view rest = buffer_view(&dotted);
    if (!pattern && conf_table_find(table, view_slice(rest, 1, rest.len)))
        return true;
    while (rest.len) {
        if (conf_table_find(table, rest))
            return true;
        view_take(&rest, 1);
        view_take(&rest, view_find(rest, '.'));
    }
    return false;
}

static bool from_fits(const struct conf_match *match, const struct address *client)
{
    struct network host = { .bits = 128 };
    switch (match->from) {
    case CONF_FROM_ANY:
        return true;
    case CONF_FROM_LOCAL:
        return address_is_loopback(client);
    case CONF_FROM_NETWORK:
        return network_has(&match->network, client);
    case CONF_FROM_TABLE:
        memcpy(host.ip, client->ip, sizeof host.ip);
        return conf_networks_have(match->from_table, &host);
    }
    return false;
}

static bool is_local(const struct conf *conf, struct view domain)
{
    return domain.len == 0 || view_equal_nocase(domain, conf->hostname) || view_equal_nocase(domain, VIEW("localhost"));
}

static bool to_fits(const struct conf *conf, const struct conf_match *match, struct view domain)
{
    switch (match->to) {
    case CONF_FOR_ANY:
        return true;
    case CONF_FOR_LOCAL:
        return is_local(conf, domain);
    case CONF_FOR_DOMAIN:
        return conf_domain_within(domain, match->domain);
    case CONF_FOR_DOMAIN_TABLE:
        return domain.len && conf_domain_in_table(domain, match->to_table);
    }
    return false;
}

enum conf_fit conf_match_fit(const struct conf *conf, const struct conf_match *match, const struct address *client,
                             struct view domain)
{
    static const struct address own = { .ip = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 }, .set = true };
    if (!from_fits(match, client ? client : &own))
        return CONF_OTHER_CLIENT;
    return to_fits(conf, match, domain) ? CONF_FITS : CONF_OTHER_RECIPIENT;
}

const struct conf_match *conf_match_find(const struct conf *conf, const struct address *client, struct view domain)
{
    const struct conf_match *match = conf->matches;
    while (match && conf_match_fit(conf, match, client, domain) != CONF_FITS)
        match = match->next;
    return match && match->action ? match : NULL;
}
