#include "base/address.h"

#include <string.h>

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool address_is_v4(const struct address *a)
{
    return memcmp(a->ip, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return memcmp(a->ip, b->ip, sizeof a->ip) == 0 && a->scope == b->scope && a->port == b->port;
}

bool address_is_loopback(const struct address *a)
{
    static const uint8_t one[16] = { [15] = 1 };
    return address_is_v4(a) ? a->ip[12] == 127 : memcmp(a->ip, one, 16) == 0;
}

static bool parse_v4(struct view text, uint8_t ip[4])
{
    for (int i = 0; i < 4; i++) {
        bool last = i == 3;
        if (!last && !view_has(text, '.'))
            return false;
        struct view part = last ? text : view_take_until(&text, '.');
        uint64_t n;
        if (part.len > 3 || (part.len > 1 && part.at[0] == '0') || !view_to_u64(part, 255, &n))
            return false;
        ip[i] = (uint8_t)n;
    }
    return true;
}

static int hex_value(char c)
{
    c = ascii_lower(c);
    return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_group(struct view text, uint8_t to[2])
{
    unsigned n = 0;
    if (text.len == 0 || text.len > 4)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_value(text.at[i]);
        if (digit < 0)
            return false;
        n = n * 16 + (unsigned)digit;
    }
    to[0] = (uint8_t)(n >> 8);
    to[1] = (uint8_t)n;
    return true;
}

/* Groups separated by colons, the last perhaps an IPv4 address; *count: bytes written. Empty text is no groups. */
static bool parse_groups(struct view text, uint8_t to[16], size_t *count)
{
    *count = 0;
    if (text.len == 0)
        return true;
    for (;;) {
        size_t colon = view_find(text, ':');
        struct view group = view_slice(text, 0, colon);
        if (view_has(group, '.')) {
            if (colon < text.len || *count > 12 || !parse_v4(group, to + *count))
                return false;
            *count += 4;
            return true;
        }
        if (*count > 14 || !parse_group(group, to + *count))
            return false;
        *count += 2;
        if (colon == text.len)
            return true;
        view_take(&text, colon + 1);
    }
}

static size_t find_double_colon(struct view text)
{
    for (size_t i = 0; i + 1 < text.len; i++)
        if (text.at[i] == ':' && text.at[i + 1] == ':')
            return i;
    return text.len;
}

/* An IPv4 address may stand only at the end (RFC 4291 section 2.2), so not before a gap. */
static bool parse_v6(struct view text, uint8_t ip[16])
{
    uint8_t head[16], tail[16];
    size_t head_len, tail_len, gap = find_double_colon(text);
    if (gap == text.len)
        return parse_groups(text, ip, &head_len) && head_len == 16;
    if (view_has(view_slice(text, 0, gap), '.') || !parse_groups(view_slice(text, 0, gap), head, &head_len) ||
        !parse_groups(view_slice(text, gap + 2, text.len), tail, &tail_len) || head_len + tail_len > 14)
        return false;
    memset(ip, 0, 16);
    memcpy(ip, head, head_len);
    memcpy(ip + 16 - tail_len, tail, tail_len);
    return true;
}

bool address_parse_ip(struct view text, struct address *a)
{
    uint64_t scope = 0;
    uint8_t ip[16];
    size_t percent = view_find(text, '%');
    bool scoped = percent < text.len;
    if (scoped && (!view_to_u64(view_slice(text, percent + 1, text.len), UINT32_MAX, &scope) || scope == 0))
        return false;
    text = view_slice(text, 0, percent);
    if (view_has(text, ':')) {
        if (!parse_v6(text, ip))
            return false;
    } else {
        memcpy(ip, mapped_prefix, sizeof mapped_prefix);
        if (!parse_v4(text, ip + 12))
            return false;
    }
    if (scoped && memcmp(ip, mapped_prefix, sizeof mapped_prefix) == 0)
        return false;
    memcpy(a->ip, ip, 16);
    a->scope = (uint32_t)scope;
    a->set = true;
    return true;
}

bool address_parse(struct view text, struct address *a)
{
    uint64_t port;
    size_t colon = view_find_last(text, ':');
    struct view host = view_slice(text, 0, colon);
    struct address parsed = { .set = true };
    if (colon == text.len || !view_to_u64(view_slice(text, colon + 1, text.len), 65535, &port))
        return false;
    if (host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']') {
        host = view_slice(host, 1, host.len - 1);
        if (!view_has(host, ':') || !address_parse_ip(host, &parsed))
            return false;
    } else if (host.len && !view_equal(host, VIEW("*"))) {
        if (view_has(host, ':') || !address_parse_ip(host, &parsed))
            return false;
    }
    parsed.port = (uint16_t)port;
    *a = parsed;
    return true;
}

/* The longest run of two or more zero groups becomes "::" (RFC 5952 section 4.2). */
static void find_zeros(const uint8_t ip[16], int *start, int *len)
{
    *start = -1;
    *len = 1;
    for (int i = 0; i < 8; i++) {
        int n = 0;
        while (i + n < 8 && ip[2 * (i + n)] == 0 && ip[2 * (i + n) + 1] == 0)
            n++;
        if (n > *len) {
            *start = i;
            *len = n;
        }
        i += n;
    }
}

static void add_v6(struct buffer *to, const uint8_t ip[16])
{
    int start, len;
    find_zeros(ip, &start, &len);
    for (int i = 0; i < 8; i++) {
        if (i == start) {
            buffer_add_text(to, "::");
            i += len - 1;
            continue;
        }
        if (i && i != start + len)
            buffer_add_char(to, ':');
        buffer_addf(to, "%x", ip[2 * i] << 8 | ip[2 * i + 1]);
    }
}

void address_add_ip(struct buffer *to, const struct address *a)
{
    if (address_is_v4(a))
        buffer_addf(to, "%u.%u.%u.%u", a->ip[12], a->ip[13], a->ip[14], a->ip[15]);
    else
        add_v6(to, a->ip);
    if (a->scope)
        buffer_addf(to, "%%%u", a->scope);
}

void address_add(struct buffer *to, const struct address *a)
{
    bool v4 = address_is_v4(a);
    buffer_add_text(to, v4 ? "" : "[");
    address_add_ip(to, a);
    buffer_add_text(to, v4 ? ":" : "]:");
    buffer_add_u64(to, a->port);
}

static bool host_bits_zero(const struct network *n)
{
    for (int i = n->bits; i < 128; i++)
        if (n->ip[i / 8] >> (7 - i % 8) & 1)
            return false;
    return true;
}

bool network_parse(struct view text, struct network *n)
{
    struct address a;
    uint64_t bits;
    size_t slash = view_find(text, '/');
    if (!address_parse_ip(view_slice(text, 0, slash), &a) || a.scope)
        return false;
    unsigned width = address_is_v4(&a) && !view_has(view_slice(text, 0, slash), ':') ? 32 : 128;
    bits = width;
    if (slash < text.len && !view_to_u64(view_slice(text, slash + 1, text.len), width, &bits))
        return false;
    memcpy(n->ip, a.ip, 16);
    n->bits = (uint8_t)(128 - width + bits);
    return host_bits_zero(n);
}

bool network_has(const struct network *n, const struct address *a)
{
    size_t whole = n->bits / 8;
    unsigned rest = n->bits % 8;
    if (memcmp(n->ip, a->ip, whole) != 0)
        return false;
    return rest == 0 || (n->ip[whole] ^ a->ip[whole]) >> (8 - rest) == 0;
}
