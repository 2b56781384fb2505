#include "smtp/path.h"

#include <assert.h>

#include "base/utf8.h"

#include <string.h>

#define LABEL_MAX        63                  /* RFC 1035 section 2.3.4 */
#define MAILBOX_MAX      (SMTP_PATH_MAX - 2) /* without the brackets */
#define IPV6_LITERAL_TAG VIEW("IPv6:")       /* RFC 5321 section 4.1.3 */
#define POSTMASTER       VIEW("postmaster")  /* section 4.5.1: in any case */

static bool next_is(struct view text, char c)
{
    return text.len && text.at[0] == c;
}

static bool take_char(struct view *text, char c)
{
    if (!next_is(*text, c))
        return false;
    view_take(text, 1);
    return true;
}

static void skip_blanks(struct view *text)
{
    while (text->len && ascii_is_blank(text->at[0]))
        view_take(text, 1);
}

/* What came off the front of `start` to leave `rest`. */
static struct view taken(struct view start, struct view rest)
{
    return view_slice(start, 0, start.len - rest.len);
}

/* The byte at which a rule stopped says which fault it is. */
static enum smtp_path_result fault_at(struct view rest, unsigned flags)
{
    unsigned char c = rest.len ? (unsigned char)rest.at[0] : ' ';
    if (c < 32 || c == 127)
        return SMTP_PATH_BAD_BYTE;
    return c > 127 && !(flags & SMTP_PATH_UTF8) ? SMTP_PATH_NOT_ASCII : SMTP_PATH_SYNTAX;
}

static bool is_atext(char c)
{
    return ascii_is_alnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool is_let_dig(char c)
{
    return ascii_is_alnum(c);
}

static bool is_let_dig_hyphen(char c)
{
    return ascii_is_alnum(c) || c == '-';
}

/* Space and all that prints, but for what ends or escapes. */
static bool is_qtext(char c)
{
    return ascii_is_print(c) && c != '"' && c != '\\';
}

/* Length of one character of the class, or of a UTF-8 sequence where they are allowed (RFC 6531 section 3.3); 0: other.
 */
static size_t character(struct view text, bool (*is_class)(char), bool utf8)
{
    if (!text.len)
        return 0;
    return is_class(text.at[0]) ? 1 : utf8 ? utf8_sequence(text) : 0;
}

/* Takes a run of them; false: not one. */
static bool take_run(struct view *text, bool (*is_class)(char), bool utf8)
{
    size_t before = text->len;
    for (size_t n; (n = character(*text, is_class, utf8)) != 0;)
        view_take(text, n);
    return text->len < before;
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE; the opening quote has been seen. */
static bool take_quoted(struct view *text, bool utf8)
{
    view_take(text, 1);
    for (;;) {
        take_run(text, is_qtext, utf8);
        if (take_char(text, '"'))
            return true;
        if (!next_is(*text, '\\') || text->len < 2 || !ascii_is_print(text->at[1])) {
            take_char(text, '\\');
            return false;
        }
        view_take(text, 2);
    }
}

/* Dot-string = Atom *("." Atom) */
static bool take_dot_string(struct view *text, bool utf8)
{
    do {
        if (!take_run(text, is_atext, utf8))
            return false;
    } while (take_char(text, '.'));
    return true;
}

static enum smtp_path_result take_local(struct view *text, unsigned flags, struct view *local)
{
    struct view start = *text;
    bool utf8 = flags & SMTP_PATH_UTF8;
    if (!(next_is(start, '"') ? take_quoted(text, utf8) : take_dot_string(text, utf8)))
        return fault_at(*text, flags);
    *local = taken(start, *text);
    return local->len > SMTP_LOCAL_PART_MAX ? SMTP_PATH_TOO_LONG : SMTP_PATH_OK;
}

/* sub-domain = Let-dig [Ldh-str]; *too_long is set and never cleared. */
static bool take_label(struct view *text, bool utf8, bool *too_long)
{
    struct view start = *text;
    if (!character(start, is_let_dig, utf8))
        return false;
    take_run(text, is_let_dig_hyphen, utf8);
    struct view label = taken(start, *text);
    *too_long |= label.len > LABEL_MAX;
    return label.at[label.len - 1] != '-';
}

/* Domain = sub-domain *("." sub-domain) */
static bool take_labels(struct view *text, bool utf8, bool *too_long)
{
    do {
        if (!take_label(text, utf8, too_long))
            return false;
    } while (take_char(text, '.'));
    return true;
}

static enum smtp_path_result take_literal(struct view *text, unsigned flags, struct view *literal)
{
    struct view start = *text;
    struct address address;
    size_t end = view_find(start, ']');
    *literal = view_slice(start, 0, end + 1);
    if (!smtp_literal_parse(*literal, &address)) {
        while (text->len && ascii_is_print(text->at[0]) && text->at[0] != ']')
            view_take(text, 1);
        return fault_at(*text, flags);
    }
    view_take(text, literal->len);
    return SMTP_PATH_OK;
}

static enum smtp_path_result take_domain(struct view *text, unsigned flags, struct view *domain)
{
    struct view start = *text;
    bool too_long = false;
    if (next_is(start, '['))
        return take_literal(text, flags, domain);
    if (!take_labels(text, flags & SMTP_PATH_UTF8, &too_long))
        return fault_at(*text, flags);
    *domain = taken(start, *text);
    return too_long || domain->len > SMTP_DOMAIN_MAX ? SMTP_PATH_TOO_LONG : SMTP_PATH_OK;
}

/* A-d-l = At-domain *( "," At-domain ), then ":"; At-domain = "@" Domain. Blanks after a comma are taken: RFC 821's
 * readers wrote them so. */
static enum smtp_path_result take_route(struct view *text, unsigned flags, struct view *route)
{
    struct view start = *text, domain;
    do {
        skip_blanks(text);
        if (!take_char(text, '@'))
            return fault_at(*text, flags);
        enum smtp_path_result result = take_domain(text, flags, &domain);
        if (result != SMTP_PATH_OK)
            return result;
    } while (take_char(text, ','));
    *route = taken(start, *text);
    return take_char(text, ':') ? SMTP_PATH_OK : fault_at(*text, flags);
}

/* Mailbox = Local-part "@" ( Domain / address-literal ), or a local part alone. */
static enum smtp_path_result take_mailbox(struct view *text, unsigned flags, struct smtp_path *path)
{
    enum smtp_path_result result = take_local(text, flags, &path->local);
    if (result != SMTP_PATH_OK)
        return result;
    if (take_char(text, '@'))
        return take_domain(text, flags, &path->domain);
    return flags & SMTP_PATH_BARE && !path->route.len ? SMTP_PATH_OK : fault_at(*text, flags);
}

/* Length as section 4.5.3.1.3 counts it. */
static bool fits(const struct smtp_path *path)
{
    size_t route = path->route.len ? path->route.len + 1 : 0;
    return route + path->local.len + 1 + path->domain.len <= MAILBOX_MAX;
}

/* The name of "Name <a@b>". A "=" before the bracket shows that this is a parameter's value. */
static void skip_name(struct view *text)
{
    bool quoted = false;
    for (size_t i = 0; i < text->len; i++) {
        char c = text->at[i];
        if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '=' || (unsigned char)c < 32))
            return;
        else if (!quoted && c == '<') {
            view_take(text, i);
            return;
        }
    }
}

static enum smtp_path_result take_bracketed(struct view *text, unsigned flags, struct smtp_path *path)
{
    enum smtp_path_result result = SMTP_PATH_OK;
    view_take(text, 1);
    if (flags & SMTP_PATH_LENIENT)
        skip_blanks(text);
    if (flags & SMTP_PATH_NULL && take_char(text, '>')) {
        path->null = true;
        return SMTP_PATH_OK;
    }
    if (next_is(*text, '@'))
        result = take_route(text, flags, &path->route);
    if (result == SMTP_PATH_OK)
        result = take_mailbox(text, flags, path);
    if (flags & SMTP_PATH_LENIENT)
        skip_blanks(text);
    if (result != SMTP_PATH_OK)
        return result;
    return take_char(text, '>') ? SMTP_PATH_OK : fault_at(*text, flags);
}

enum smtp_path_result smtp_path_parse(struct view *text, unsigned flags, struct smtp_path *path)
{
    enum smtp_path_result result;
    *path = (struct smtp_path){ 0 };
    skip_blanks(text);
    if (flags & SMTP_PATH_LENIENT)
        skip_name(text);
    if (next_is(*text, '<'))
        result = take_bracketed(text, flags, path);
    else
        result = take_mailbox(text, flags, path);
    if (result != SMTP_PATH_OK)
        return result;
    if (text->len && !ascii_is_blank(text->at[0]))
        return fault_at(*text, flags);
    return fits(path) ? SMTP_PATH_OK : SMTP_PATH_TOO_LONG;
}

enum smtp_path_result smtp_mailbox_parse(struct view text, unsigned flags, struct smtp_path *path)
{
    *path = (struct smtp_path){ 0 };
    enum smtp_path_result result = take_mailbox(&text, flags, path);
    if (result != SMTP_PATH_OK)
        return result;
    if (text.len)
        return fault_at(text, flags);
    return fits(path) ? SMTP_PATH_OK : SMTP_PATH_TOO_LONG;
}

bool smtp_domain_valid(struct view domain, bool utf8)
{
    bool too_long = domain.len > SMTP_DOMAIN_MAX;
    return take_labels(&domain, utf8, &too_long) && domain.len == 0 && !too_long;
}

bool smtp_literal_parse(struct view text, struct address *address)
{
    if (text.len < 2 || text.at[0] != '[' || text.at[text.len - 1] != ']')
        return false;
    text = view_slice(text, 1, text.len - 1);
    bool v6 = view_starts_nocase(text, IPV6_LITERAL_TAG);
    if (v6)
        view_take(&text, IPV6_LITERAL_TAG.len);
    /* A scope means nothing to another host. */
    if (view_has(text, '%') || view_has(text, ':') != v6)
        return false;
    return address_parse_ip(text, address);
}

void smtp_path_add_mailbox(struct buffer *to, const struct smtp_path *path)
{
    buffer_add(to, path->local);
    if (path->domain.len) {
        buffer_add_char(to, '@');
        buffer_add(to, path->domain);
    }
}

void smtp_path_add_whole(struct buffer *to, const struct smtp_path *path)
{
    struct view route = path->route;
    for (struct view hop; route.len && (hop = view_trim(view_take_until(&route, ','))).len;) {
        buffer_add(to, hop);
        buffer_add_char(to, route.len ? ',' : ':');
    }
    smtp_path_add_mailbox(to, path);
}

bool smtp_path_local_plain(const struct smtp_path *path, struct buffer *plain)
{
    struct view local = path->local;
    if (!next_is(local, '"')) {
        buffer_add(plain, local);
        return !plain->full;
    }
    local = view_slice(local, 1, local.len - 1);
    while (local.len) {
        if (local.at[0] == '\\' && local.len > 1)
            view_take(&local, 1);
        buffer_add(plain, view_take(&local, 1));
    }
    return !plain->full;
}

static void add_quoted(struct buffer *to, struct view text)
{
    buffer_add_char(to, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '"' || text.at[i] == '\\')
            buffer_add_char(to, '\\');
        buffer_add_char(to, text.at[i]);
    }
    buffer_add_char(to, '"');
}

/* Needless quoting makes no other mailbox (RFC 5321 section 4.1.2), nor does the case of postmaster (4.5.1). */
void smtp_path_add_local(struct buffer *to, const struct smtp_path *path)
{
    char memory[SMTP_LOCAL_PART_MAX];
    struct buffer plain = BUFFER_OF(memory);
    bool fits = smtp_path_local_plain(path, &plain);
    assert(fits);
    struct view local = buffer_view(&plain), rest = local;
    if (view_equal_nocase(local, POSTMASTER))
        buffer_add(to, POSTMASTER);
    else if (take_dot_string(&rest, true) && !rest.len)
        buffer_add(to, local);
    else
        add_quoted(to, local);
}

bool smtp_path_same(const struct smtp_path *a, const struct smtp_path *b)
{
    char a_memory[SMTP_LOCAL_PART_MAX], b_memory[SMTP_LOCAL_PART_MAX];
    struct buffer a_plain = BUFFER_OF(a_memory), b_plain = BUFFER_OF(b_memory);
    if (a->null != b->null || !view_equal_nocase(a->domain, b->domain))
        return false;
    if (!smtp_path_local_plain(a, &a_plain) || !smtp_path_local_plain(b, &b_plain))
        return false;
    struct view a_local = buffer_view(&a_plain), b_local = buffer_view(&b_plain);
    if (view_equal_nocase(a_local, POSTMASTER))
        return view_equal_nocase(b_local, POSTMASTER);
    return view_equal(a_local, b_local);
}

void smtp_literal_add(struct buffer *to, const struct address *address)
{
    struct address bare = *address;
    bare.scope = 0;
    buffer_add_char(to, '[');
    if (!address_is_v4(&bare))
        buffer_add(to, IPV6_LITERAL_TAG);
    address_add_ip(to, &bare);
    buffer_add_char(to, ']');
}
