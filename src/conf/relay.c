/* What concerns mail on its way out: smart hosts, the times of attempts, name servers. */
#include "conf/parser.h"

#define SECOND   UINT64_C(1000000)
#define DAY      (86400 * SECOND)
#define DNS_PORT 53

/* ---- hosts ---- */

static bool take_port(struct view text, uint16_t *port)
{
    uint64_t number;
    if (!view_to_u64(text, 65535, &number) || number == 0)
        return false;
    *port = (uint16_t)number;
    return true;
}

/* "HOST", "HOST:PORT"; an IPv6 address stands in brackets when a port follows. *port stays when there is none. */
static bool split_port(struct view text, struct view *host, uint16_t *port)
{
    struct address address;
    size_t colon = view_find_last(text, ':');
    bool bracketed = view_starts(text, VIEW("["));
    size_t close = view_find(text, ']'), text_len = text.len;
    *host = text;
    if (address_parse_ip(text, &address))
        return true;
    if (bracketed) {
        *host = view_slice(text, 1, close);
        text = view_slice(text, close + 1, text.len);
        colon = 0;
        if (close == text_len || !address_parse_ip(*host, &address) || (text.len && text.at[0] != ':'))
            return false;
    } else if (colon < text.len) {
        *host = view_slice(text, 0, colon);
    }
    return colon >= text.len || take_port(view_slice(text, colon + 1, text.len), port);
}

bool conf_parse_hop(struct conf_parser *p, struct conf_hop *hop)
{
    struct conf_word word;
    if (!conf_take(p, &word))
        return false;
    hop->port = CONF_SMTP_PORT;
    const char *bad =
        "is not a host: write mail.example.org, 192.0.2.1 or [2001:db8::1], with :PORT behind it unless it is 25";
    if (split_port(word.text, &hop->host, &hop->port)) {
        hop->is_address = address_parse_ip(hop->host, &hop->address);
        if (hop->is_address)
            hop->address.port = hop->port;
        bad = hop->is_address || !conf_domain_check(hop->host) ? NULL : bad;
    }
    if (!bad && !word.quoted && view_equal(word.text, VIEW("port")))
        bad = "stands behind the host: write HOST:PORT";
    if (bad)
        conf_say_bad(p, &word, bad);
    return !bad;
}

bool conf_parse_port(struct conf_parser *p, uint16_t *port)
{
    struct conf_word word;
    if (!conf_take(p, &word))
        return false;
    bool good = take_port(word.text, port);
    if (!good)
        conf_say_bad(p, &word, "is not a port: 1 to 65535");
    return good;
}

/* ---- retry ---- */

void conf_retry_defaults(struct conf_retry *retry)
{
    static const uint64_t minutes[] = { 1, 5, 30, 120 };
    retry->gap_count = sizeof minutes / sizeof *minutes;
    for (unsigned i = 0; i < retry->gap_count; i++)
        retry->gaps_us[i] = minutes[i] * 60 * SECOND;
    retry->expire_us = 5 * DAY; /* RFC 5321 section 4.5.4.1: at least 4 to 5 days */
    retry->warn_us = 4 * 3600 * SECOND;
}

static bool take_time(struct conf_parser *p, uint64_t max, uint64_t *time_us)
{
    struct conf_word word;
    if (!conf_take(p, &word))
        return false;
    const char *bad = NULL;
    if (!conf_time_parse(word.text, time_us))
        bad = "is not a time: write s, m, h or d behind the number";
    else if (*time_us < SECOND || *time_us > max)
        bad = max > 7 * DAY ? "is out of range: 1s to 365d" : "is out of range: 1s to 7d";
    if (bad)
        conf_say_bad(p, &word, bad);
    return !bad;
}

static bool take_word(struct conf_parser *p, const char *word)
{
    struct conf_word taken;
    return p->word.kind == CONF_WORD && view_equal(p->word.text, view_of(word)) && conf_take(p, &taken);
}

static bool parse_gaps(struct conf_parser *p, struct conf_retry *retry)
{
    *retry = (struct conf_retry){ .expire_us = retry->expire_us, .warn_us = retry->warn_us };
    do {
        if (retry->gap_count == CONF_GAPS_MAX) {
            conf_say(p, &p->word, "more than %u times", CONF_GAPS_MAX);
            return false;
        }
        if (!take_time(p, 7 * DAY, &retry->gaps_us[retry->gap_count++]))
            return false;
    } while (p->word.kind == CONF_WORD && p->word.text.len && ascii_is_digit(p->word.text.at[0]));
    return true;
}

static bool parse_ages(struct conf_parser *p, struct conf_retry *retry)
{
    static const char *const words[] = { "expire", "warn", NULL };
    bool warns = false;
    struct conf_word at = p->word;
    while (conf_more(p)) {
        struct conf_word here = p->word;
        int word = conf_choose(p, words);
        if (word == 1)
            at = here, warns = true;
        if (word == 1 && take_word(p, "never"))
            retry->warn_us = 0;
        else if (word < 0 || !take_time(p, 365 * DAY, word == 0 ? &retry->expire_us : &retry->warn_us))
            return false;
    }
    if (retry->warn_us < retry->expire_us)
        return true;
    retry->warn_us = 0;
    if (warns)
        conf_say(p, &at, "the mail is given up before this warning; write a time before 'expire', or: warn never");
    return !warns;
}

bool conf_parse_retry(struct conf_parser *p)
{
    bool again = p->retry_seen;
    p->retry_seen = true;
    if (again)
        conf_say(p, &p->statement, "duplicate 'retry': it was given before");
    return !again && parse_gaps(p, &p->conf->retry) && parse_ages(p, &p->conf->retry);
}

/* ---- dns ---- */

bool conf_dns_same(const struct conf_dns *a, const struct conf_dns *b)
{
    while (a && b && a->kind == b->kind && view_equal(a->zone, b->zone) && address_equal(&a->server, &b->server)) {
        a = a->next;
        b = b->next;
    }
    return !a && !b;
}

static bool take_zone(struct conf_parser *p, struct conf_dns *dns)
{
    struct conf_word word;
    if (!conf_take(p, &word))
        return false;
    const char *bad = conf_domain_check(word.text);
    if (bad)
        conf_say_bad(p, &word, bad);
    dns->zone = conf_fold(p, word.text);
    return !bad;
}

static bool take_server(struct conf_parser *p, struct conf_dns *dns)
{
    struct conf_word word;
    struct view host;
    uint16_t port = DNS_PORT;
    if (!conf_take(p, &word))
        return false;
    bool good = split_port(word.text, &host, &port) && address_parse_ip(host, &dns->server);
    dns->server.port = port;
    if (!good)
        conf_say_bad(p, &word, "is not an address: write 192.0.2.53, [2001:db8::53] or 192.0.2.53:5353");
    return good;
}

bool conf_parse_dns(struct conf_parser *p)
{
    static const char *const kinds[] = { "forward", "stub", "insecure", NULL }; /* enum conf_dns_kind */
    struct conf_dns *dns = conf_alloc(p, sizeof *dns);
    int kind = dns ? conf_choose(p, kinds) : -1;
    if (kind < 0 || !conf_below_max(p, &p->dns_count, "lines about the DNS"))
        return false;
    dns->kind = (enum conf_dns_kind)kind;
    if ((kind != CONF_DNS_FORWARD && !take_zone(p, dns)) || (kind != CONF_DNS_INSECURE && !take_server(p, dns)))
        return false;
    *p->dns_end = dns;
    p->dns_end = &dns->next;
    return true;
}
