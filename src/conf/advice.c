/* What is wrong, or likely not meant, in a configuration whose every word is right: an open relay, relaying that was
 * forgotten, a postmaster who cannot be written to. */
#include "conf/parser.h"

#include <string.h>

static const struct conf_word *word_of(const struct conf_match *match)
{
    return &((const struct conf_noted_match *)match)->word;
}

/* ---- open relays (H75, H76) ---- */

/* Does the network hold all of IPv4, or all IPv6 addresses in use (2000::/3)? */
static bool is_whole_internet(const struct network *n)
{
    static const struct address v4 = { .ip = { [10] = 0xff, [11] = 0xff }, .set = true };
    static const struct address v6 = { .ip = { 0x20 }, .set = true };
    return (n->bits <= 96 && network_has(n, &v4)) || (n->bits <= 3 && network_has(n, &v6));
}

static bool is_from_everybody(const struct conf_match *match)
{
    const struct conf_table *table = match->from_table;
    if (match->from == CONF_FROM_NETWORK)
        return is_whole_internet(&match->network);
    for (size_t i = 0; match->from == CONF_FROM_TABLE && table && table->networks && i < table->entry_count; i++)
        if (is_whole_internet(&table->networks[i]))
            return true;
    return match->from == CONF_FROM_ANY;
}

static void check_open_relay(struct conf_parser *p, const struct conf_match *match)
{
    const struct conf_action *action = match->action;
    if (!action || action->kind != CONF_RELAY || match->to != CONF_FOR_ANY || !is_from_everybody(match))
        return;
    conf_say(
        p, word_of(match),
        "this rule relays for everybody, and an open relay is soon full of spam; write for this machine alone: match "
        "from local for any action %.*s, for your network: match from network 192.0.2.0/24 for any action %.*s",
        VIEW_FORMAT(action->name), VIEW_FORMAT(action->name));
}

/* ---- relaying that was forgotten ---- */

static bool is_used(const struct conf *conf, const struct conf_action *action)
{
    const struct conf_match *match = conf->matches;
    while (match && match->action != action)
        match = match->next;
    return match != NULL;
}

static void check_unused(struct conf_parser *p, const struct conf_action *action)
{
    const struct conf_word at = { .file = action->file, .line = action->line, .column = action->column };
    if (action->kind != CONF_RELAY || is_used(p->conf, action))
        return;
    conf_warn(p, &at, "no rule uses '%.*s', so nothing is relayed by it; add: match from local for any action %.*s",
              VIEW_FORMAT(action->name), VIEW_FORMAT(action->name));
}

/* The first rule for mail of this machine to a domain that no rule names, also one that rejects. */
static const struct conf_match *rule_for_others(const struct conf *conf)
{
    const struct conf_match *match = conf->matches;
    while (match && conf_match_fit(conf, match, NULL, VIEW("no.such.domain.invalid")) != CONF_FITS)
        match = match->next;
    return match;
}

static bool has_relay(const struct conf *conf)
{
    const struct conf_action *action = conf->actions;
    while (action && action->kind != CONF_RELAY)
        action = action->next;
    return action != NULL;
}

static bool has_mailboxes(const struct conf *conf)
{
    const struct conf_action *action = conf->actions;
    while (action && action->kind != CONF_MAILDIR && action->kind != CONF_MBOX)
        action = action->next;
    return action != NULL;
}

/* Where a relay is there and not used, that was said already. */
static void check_outgoing(struct conf_parser *p, const struct conf_word *whole)
{
    if (!has_mailboxes(p->conf) || has_relay(p->conf) || rule_for_others(p->conf))
        return;
    conf_warn(
        p, whole,
        "nothing is relayed: users here cannot write to other domains; if they should, add: action out relay, and: "
        "match from local for any action out");
}

/* ---- postmaster (RFC 5321 section 4.5.1) ---- */

/* Accounts of the system are not known here: they count as there. */
static bool takes_postmaster(const struct conf_action *action, struct view local, struct view address)
{
    if (conf_alias_find(action, local, address) || !action->users)
        return true;
    return conf_table_find(action->users, local) || conf_table_find(action->users, address);
}

static bool listens_to_others(const struct conf *conf)
{
    const struct conf_listen *listen = conf->listens;
    while (listen && address_is_loopback(&listen->address))
        listen = listen->next;
    return listen != NULL;
}

/* From whoever can come. */
static bool is_accepted(const struct conf *conf, struct view local, struct view domain, struct view address)
{
    static const struct address stranger = { .ip = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 }, .set = true };
    const struct conf_match *match = conf_match_find(conf, listens_to_others(conf) ? &stranger : NULL, domain);
    return match && takes_postmaster(match->action, local, address);
}

static void check_bare_postmaster(struct conf_parser *p, const struct conf_word *whole)
{
    struct view address = p->conf->postmaster, rest = address;
    struct view local = view_take_until(&rest, '@');
    if (address.len && !is_accepted(p->conf, local, rest, address))
        conf_warn(p, whole, "no rule takes mail from outside for %.*s, who is postmaster", VIEW_FORMAT(address));
    if (address.len || is_accepted(p->conf, VIEW("postmaster"), VIEW_NONE, VIEW("postmaster")))
        return;
    conf_warn(
        p, whole,
        "nobody gets the mail for postmaster, which every mail server has to take; write: postmaster LOCAL@DOMAIN");
}

static void check_postmaster(struct conf_parser *p, const struct conf_match *match)
{
    char memory[320];
    struct buffer address = BUFFER_OF(memory);
    if (match->to != CONF_FOR_DOMAIN || !match->action || match->action->kind == CONF_RELAY)
        return;
    struct view domain = view_slice(match->domain, view_starts(match->domain, VIEW(".")), match->domain.len);
    buffer_add_text(&address, "postmaster@");
    buffer_add(&address, domain);
    if (match->from == CONF_FROM_ANY && !is_accepted(p->conf, VIEW("postmaster"), domain, buffer_view(&address)))
        conf_warn(p, word_of(match),
                  "%.*s is refused, which every mail domain has to take; add postmaster to its users", (int)address.len,
                  address.at);
}

void conf_advise(struct conf_parser *p, const struct conf_word *whole)
{
    const struct conf *conf = p->conf;
    for (const struct conf_match *match = conf->matches; match; match = match->next)
        check_open_relay(p, match);
    if (p->errors || p->no_memory)
        return;
    for (const struct conf_action *action = conf->actions; action; action = action->next)
        check_unused(p, action);
    check_outgoing(p, whole);
    check_bare_postmaster(p, whole);
    for (const struct conf_match *match = conf->matches; match; match = match->next)
        check_postmaster(p, match);
}
