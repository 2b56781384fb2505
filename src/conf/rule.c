/* Listeners and rules. */
#include "conf/parser.h"

#include <string.h>

/* ---- listen ---- */

static bool is_listened(const struct conf *conf, const struct address *address)
{
    for (const struct conf_listen *other = conf->listens; other; other = other->next)
        if (address->port && address_equal(&other->address, address))
            return true;
    return false;
}

bool conf_parse_listen(struct conf_parser *p)
{
    static const char *const options[] = { "lenient", NULL };
    struct conf_word word;
    struct address address;
    const char *bad = NULL;
    if (!conf_take(p, &word))
        return false;
    if (!address_parse(word.text, &address))
        bad = "is not an address with a port: write 192.0.2.1:25, [2001:db8::1]:25 or *:25";
    else if (is_listened(p->conf, &address))
        bad = "is listened at twice";
    if (bad)
        conf_say_bad(p, &word, bad);
    bool lenient = conf_more(p);
    if ((lenient && conf_choose(p, options) < 0) || bad || !conf_below_max(p, &p->listen_count, "listeners"))
        return false;
    struct conf_listen *listen = conf_alloc(p, sizeof *listen);
    if (!listen)
        return false;
    listen->address = address;
    listen->lenient = lenient;
    *p->listens_end = listen;
    p->listens_end = &listen->next;
    return true;
}

/* ---- match ---- */

static bool parse_network(struct conf_parser *p, struct conf_match *match)
{
    struct conf_word word;
    if (!conf_take(p, &word))
        return false;
    match->from = CONF_FROM_NETWORK;
    if (conf_is_reference(&word)) {
        match->from = CONF_FROM_TABLE;
        conf_refer(p, &(struct conf_reference){ .word = word, .use = CONF_USE_NETWORKS, .table = &match->from_table });
        return true;
    }
    if (network_parse(word.text, &match->network))
        return true;
    conf_say_bad(p, &word, "is not a network: write 192.0.2.0/24 or 2001:db8::/32, with zeros behind the prefix");
    return false;
}

static bool parse_from(struct conf_parser *p, struct conf_match *match)
{
    static const char *const words[] = { "any", "local", "network", NULL };
    static const enum conf_from kinds[] = { CONF_FROM_ANY, CONF_FROM_LOCAL, CONF_FROM_NETWORK };
    struct network network;
    if (p->word.kind == CONF_WORD && (network_parse(p->word.text, &network) || conf_is_reference(&p->word))) {
        conf_say_bad(p, &p->word, "lacks a word before it: write from network NETWORK");
        return false;
    }
    int word = conf_choose(p, words);
    if (word < 0)
        return false;
    match->from = kinds[word];
    return match->from != CONF_FROM_NETWORK || parse_network(p, match);
}

static bool parse_domain(struct conf_parser *p, struct conf_match *match)
{
    struct conf_word word;
    if (!conf_take(p, &word))
        return false;
    match->to = CONF_FOR_DOMAIN;
    if (conf_is_reference(&word)) {
        match->to = CONF_FOR_DOMAIN_TABLE;
        conf_refer(p, &(struct conf_reference){ .word = word, .use = CONF_USE_DOMAINS, .table = &match->to_table });
        return true;
    }
    const char *bad = conf_pattern_check(word.text);
    if (bad)
        conf_say_bad(p, &word, bad);
    match->domain = conf_fold(p, word.text);
    return !bad;
}

static bool parse_for(struct conf_parser *p, struct conf_match *match)
{
    static const char *const words[] = { "any", "local", "domain", NULL };
    static const enum conf_for kinds[] = { CONF_FOR_ANY, CONF_FOR_LOCAL, CONF_FOR_DOMAIN };
    bool domain = view_has(p->word.text, '.') && !conf_pattern_check(p->word.text);
    if (p->word.kind == CONF_WORD && (domain || conf_is_reference(&p->word))) {
        conf_say_bad(p, &p->word, "lacks a word before it: write for domain DOMAIN");
        return false;
    }
    int word = conf_choose(p, words);
    if (word < 0)
        return false;
    match->to = kinds[word];
    return match->to != CONF_FOR_DOMAIN || parse_domain(p, match);
}

static bool parse_verdict(struct conf_parser *p, struct conf_match *match)
{
    static const char *const words[] = { "action", "reject", NULL };
    struct conf_word name;
    int word = conf_choose(p, words);
    p->accept_seen |= word != 1;
    if (word != 0)
        return word == 1;
    if (!conf_take(p, &name))
        return false;
    conf_refer(p, &(struct conf_reference){ .word = name, .use = CONF_USE_ACTION, .action = &match->action });
    return true;
}

static bool parse_clients(struct conf_parser *p, struct conf_match *match)
{
    static const char *const words[] = { "for", "from", NULL };
    static const char *const only_for[] = { "for", NULL };
    int word = conf_choose(p, words);
    if (word == 1)
        return parse_from(p, match) && conf_choose(p, only_for) == 0;
    return word == 0;
}

bool conf_parse_match(struct conf_parser *p)
{
    struct conf_noted_match *noted = conf_alloc(p, sizeof *noted);
    if (!noted || !conf_below_max(p, &p->match_count, "rules"))
        return false;
    struct conf_match *match = &noted->match;
    noted->word = p->statement;
    match->file = p->statement.file;
    match->line = p->statement.line;
    if (!parse_clients(p, match) || !parse_for(p, match) || !parse_verdict(p, match)) {
        p->accept_seen = true;
        return false;
    }
    *p->matches_end = match;
    p->matches_end = &match->next;
    return true;
}
