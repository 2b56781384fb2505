#include "deliver/mx.h"

#include <string.h>

void deliver_mx_init(struct deliver_mx *mx)
{
    mx->host_count = 0;
    mx->implicit = false;
}

/* ---- hosts ---- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t n = *state += 0x9e3779b97f4a7c15; /* SplitMix64 */
    n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9;
    n = (n ^ n >> 27) * 0x94d049bb133111eb;
    return n ^ n >> 31;
}

/* Bytes of a host's name as they stand in the DNS; the underscore is no host's by the standard, but some have it. */
static bool is_host_byte(char c)
{
    return ascii_is_alnum(c) || c == '-' || c == '_';
}

enum name_kind { NAME_HOST, NAME_ROOT, NAME_UNUSABLE, NAME_MALFORMED };

/* An uncompressed name (RFC 1035 section 3.1), which must be all there is (H98). */
static enum name_kind read_name(struct view rdata, struct buffer *name)
{
    bool usable = true;
    for (;;) {
        if (rdata.len == 0)
            return NAME_MALFORMED;
        size_t len = (uint8_t)view_take(&rdata, 1).at[0];
        if (len == 0)
            break;
        if (len > 63 || len > rdata.len)
            return NAME_MALFORMED;
        if (name->len)
            buffer_add_char(name, '.');
        struct view label = view_take(&rdata, len);
        for (size_t i = 0; i < len; i++)
            usable = usable && is_host_byte(label.at[i]);
        buffer_add(name, label);
    }
    if (rdata.len || name->full)
        return NAME_MALFORMED;
    if (name->len == 0)
        return NAME_ROOT;
    return usable ? NAME_HOST : NAME_UNUSABLE;
}

static bool is_before(const struct deliver_mx_host *a, uint16_t preference, uint64_t order)
{
    return a->preference < preference || (a->preference == preference && a->order <= order);
}

/* In order of preference; when there are too many the worst go. */
static void insert_host(struct deliver_mx *mx, struct view name, uint16_t preference, uint64_t order, uint16_t port)
{
    size_t at = 0;
    while (at < mx->host_count && is_before(&mx->hosts[at], preference, order))
        at++;
    if (at == DELIVER_MX_HOSTS_MAX)
        return;
    size_t behind = mx->host_count - at - (mx->host_count == DELIVER_MX_HOSTS_MAX);
    memmove(&mx->hosts[at + 1], &mx->hosts[at], behind * sizeof mx->hosts[0]);
    mx->host_count += mx->host_count < DELIVER_MX_HOSTS_MAX;
    struct deliver_mx_host *host = &mx->hosts[at];
    host->preference = preference;
    host->port = port;
    host->order = order;
    host->fixed = host->trouble = false;
    host->v4_count = host->v6_count = 0;
    memcpy(host->name, name.at, name.len);
    host->name[name.len] = 0;
}

/* What is said by all records together. */
struct records {
    size_t count;
    bool null, malformed;
    uint32_t own_preference; /* the best that names us; UINT32_MAX: none does */
};

static void take_record(struct deliver_mx *mx, struct view rdata, uint16_t port, struct view own, uint64_t *random,
                        struct records *all)
{
    char memory[SMTP_DOMAIN_MAX];
    struct buffer name = BUFFER_OF(memory);
    struct view number = view_take(&rdata, 2);
    all->count++;
    enum name_kind kind = number.len == 2 ? read_name(rdata, &name) : NAME_MALFORMED;
    if (kind == NAME_MALFORMED) {
        all->malformed = true;
        return;
    }
    uint16_t preference = (uint16_t)((uint8_t)number.at[0] << 8 | (uint8_t)number.at[1]);
    all->null = all->null || kind == NAME_ROOT;
    if (kind != NAME_HOST)
        return;
    if (view_equal_nocase(buffer_view(&name), own) && preference < all->own_preference)
        all->own_preference = preference;
    insert_host(mx, buffer_view(&name), preference, next_random(random), port);
}

static enum deliver_mx_result take_records(struct deliver_mx *mx, struct view records, uint16_t port, struct view own,
                                           uint64_t random)
{
    struct records all = { .own_preference = UINT32_MAX };
    struct view rdata;
    while (ipc_record_next(&records, &rdata))
        take_record(mx, rdata, port, own, &random, &all);
    if (all.malformed || all.count == 0)
        return DELIVER_MX_TROUBLE;
    if (all.null && all.count == 1)
        return DELIVER_MX_NO_MAIL; /* RFC 7505 section 3: beside others the root means nothing */
    /* RFC 5321 section 5.1: of those that are no better than we are none is used, else mail would go in circles. */
    while (mx->host_count && mx->hosts[mx->host_count - 1].preference >= all.own_preference)
        mx->host_count--;
    if (mx->host_count)
        return DELIVER_MX_OK;
    return all.own_preference == UINT32_MAX ? DELIVER_MX_NO_HOST : DELIVER_MX_LOOP;
}

enum deliver_mx_result deliver_mx_take(struct deliver_mx *mx, struct view domain, uint16_t port, struct view own,
                                       uint64_t random, const struct ipc_resolved *answer)
{
    switch ((enum os_dns_result)answer->result) {
    case OS_DNS_FOUND:
        return take_records(mx, answer->records, port, own, random);
    case OS_DNS_NO_NAME:
        return DELIVER_MX_NO_DOMAIN;
    case OS_DNS_NO_DATA: /* RFC 5321 section 5.1: the implicit MX */
        mx->implicit = true;
        if (view_equal_nocase(domain, own))
            return DELIVER_MX_LOOP;
        return deliver_mx_add_host(mx, domain, port, NULL) ? DELIVER_MX_OK : DELIVER_MX_NO_DOMAIN;
    case OS_DNS_TROUBLE:
        break;
    }
    return DELIVER_MX_TROUBLE;
}

static void add_address(struct deliver_mx_host *host, const struct address *address)
{
    bool v4 = address_is_v4(address);
    uint8_t *count = v4 ? &host->v4_count : &host->v6_count;
    if (*count == DELIVER_MX_HOST_ADDRESSES_MAX)
        return;
    (v4 ? host->v4 : host->v6)[(*count)++] = *address;
}

bool deliver_mx_add_host(struct deliver_mx *mx, struct view name, uint16_t port, const struct address *address)
{
    if (mx->host_count == DELIVER_MX_HOSTS_MAX || name.len == 0 || name.len > SMTP_DOMAIN_MAX)
        return false;
    insert_host(mx, name, (uint16_t)mx->host_count, 0, port);
    struct deliver_mx_host *host = &mx->hosts[mx->host_count - 1];
    host->fixed = address != NULL;
    if (address)
        add_address(host, address);
    return true;
}

bool deliver_mx_add_literal(struct deliver_mx *mx, struct view literal, uint16_t port)
{
    struct address address = { 0 };
    return smtp_literal_parse(literal, &address) && deliver_mx_add_host(mx, literal, port, &address);
}

/* ---- addresses ---- */

/* This network (0.0.0.0 is our own host for connect), multicast, broadcast, unspecified: no mail server lives there
 * (H96). */
static bool is_usable(const struct address *a)
{
    static const uint8_t unspecified[16];
    if (address_is_v4(a))
        return a->ip[12] != 0 && a->ip[12] < 224;
    return a->ip[0] != 0xff && memcmp(a->ip, unspecified, 16) != 0;
}

static bool read_address(struct view rdata, enum os_dns_type type, struct address *address)
{
    *address = (struct address){ .set = true };
    if (rdata.len != (type == OS_DNS_A ? 4 : 16))
        return false;
    if (type == OS_DNS_A)
        address->ip[10] = address->ip[11] = 0xff;
    memcpy(address->ip + 16 - rdata.len, rdata.at, rdata.len);
    return true;
}

void deliver_mx_take_addresses(struct deliver_mx *mx, size_t n, enum os_dns_type type,
                               const struct ipc_resolved *answer)
{
    struct deliver_mx_host *host = &mx->hosts[n];
    struct view records = answer->records, rdata;
    struct address address;
    host->trouble = host->trouble || answer->result == OS_DNS_TROUBLE;
    if (answer->result != OS_DNS_FOUND)
        return;
    while (ipc_record_next(&records, &rdata))
        if (!read_address(rdata, type, &address))
            host->trouble = true;
        else if (is_usable(&address))
            add_address(host, &address);
}

/* ---- the list ---- */

static void add_target(struct deliver_mx_target *targets, size_t *count, const struct address *address, uint16_t port,
                       size_t host)
{
    for (size_t i = 0; i < *count; i++)
        if (memcmp(targets[i].address.ip, address->ip, 16) == 0 && targets[i].address.scope == address->scope &&
            targets[i].address.port == port)
            return;
    targets[*count] = (struct deliver_mx_target){ *address, (uint8_t)host };
    targets[(*count)++].address.port = port;
}

/* The families by turns, so that neither a dead one nor a long list keeps the other from being tried (H125). */
static void list_host(const struct deliver_mx_host *host, size_t n, struct deliver_mx_target *targets, size_t *count)
{
    size_t room = DELIVER_MX_HOST_ADDRESSES_MAX;
    for (size_t i = 0; room && (i < host->v6_count || i < host->v4_count); i++) {
        if (i < host->v6_count) {
            add_target(targets, count, &host->v6[i], host->port, n);
            room--;
        }
        if (i < host->v4_count && room) {
            add_target(targets, count, &host->v4[i], host->port, n);
            room--;
        }
    }
}

enum deliver_mx_result deliver_mx_list(const struct deliver_mx *mx, struct deliver_mx_target *targets, size_t *count)
{
    bool trouble = false;
    *count = 0;
    for (size_t i = 0; i < mx->host_count; i++) {
        trouble = trouble || mx->hosts[i].trouble;
        list_host(&mx->hosts[i], i, targets, count);
    }
    if (*count)
        return DELIVER_MX_OK;
    if (trouble)
        return DELIVER_MX_TROUBLE;
    return mx->implicit ? DELIVER_MX_NO_DOMAIN : DELIVER_MX_NO_HOST;
}
