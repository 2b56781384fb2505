#include "mail/received.h"

#include "mail/date.h"
#include "mail/fold.h"
#include "smtp/path.h"

#include <string.h>

/* A hello name of nothing but brackets doubles when they are quoted; it still fits on a line. */
#define ODD_HELLO_MAX (2 * SMTP_DOMAIN_MAX + 8)

static void add_words(struct mail_fold *fold, struct view first, struct view second)
{
    mail_fold_word(fold, first);
    mail_fold_word(fold, second);
}

/* Extended-Domain: a literal stands only where TCP-info follows. */
static bool is_hello_name(const struct mail_received *r)
{
    struct address address;
    return smtp_domain_valid(r->hello, false) || (r->client.set && smtp_literal_parse(r->hello, &address));
}

/* Atom = 1*atext (RFC 5322 section 3.2.3) */
static bool is_atom(struct view text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.at[i]) && (text.at[i] == '\0' || !strchr("!#$%&'*+-/=?^_`{|}~", text.at[i])))
            return false;
    return text.len > 0;
}

/* What the client called itself when that is no name: in a comment, which may hold anything once the brackets and the
 * backslash are quoted (RFC 5322 section 3.2.2) and what does not print is replaced (H41). */
static void add_odd_hello(struct mail_fold *fold, struct view hello)
{
    char memory[ODD_HELLO_MAX];
    struct buffer word = BUFFER_OF(memory);
    hello = view_slice(hello, 0, SMTP_DOMAIN_MAX);
    buffer_add(&word, VIEW("(HELO "));
    for (size_t i = 0; i < hello.len; i++) {
        char c = hello.at[i];
        if (c == '(' || c == ')' || c == '\\')
            buffer_add_char(&word, '\\');
        buffer_add_char(&word, ascii_is_print(c) && c != ' ' ? c : '?');
    }
    buffer_add_char(&word, ')');
    mail_fold_word(fold, buffer_view(&word));
}

/* TCP-info, in its brackets. `name` is empty when the reverse name was not confirmed or is no host name (H100). */
static void add_tcp_info(struct mail_fold *fold, struct view name, struct view literal)
{
    char memory[SMTP_DOMAIN_MAX + 8];
    struct buffer word = BUFFER_OF(memory);
    buffer_add_char(&word, '(');
    buffer_add(&word, name.len ? name : VIEW("unknown"));
    mail_fold_word(fold, buffer_view(&word));
    buffer_clear(&word);
    buffer_add(&word, literal);
    buffer_add_char(&word, ')');
    mail_fold_word(fold, buffer_view(&word));
}

/* From-domain = "FROM" FWS Extended-Domain */
static void add_from(struct mail_fold *fold, const struct mail_received *r)
{
    char memory[ADDRESS_TEXT_MAX + 8];
    struct buffer literal = BUFFER_OF(memory);
    struct view client = smtp_domain_valid(r->client_name, false) ? r->client_name : VIEW_NONE;
    bool named = is_hello_name(r);
    if (r->client.set)
        smtp_literal_add(&literal, &r->client);
    struct view name = named ? r->hello : client.len ? client : literal.len ? buffer_view(&literal) : VIEW("unknown");
    add_words(fold, VIEW("from"), name);
    if (r->client.set)
        add_tcp_info(fold, client, buffer_view(&literal));
    if (!named && r->hello.len)
        add_odd_hello(fold, r->hello);
}

/* For = CFWS "FOR" FWS ( Path / Mailbox ). A path has a domain: that of a bare local name is our own. What is no path
 * is left out. */
static void add_for(struct mail_fold *fold, const struct mail_received *r)
{
    struct smtp_path path;
    char memory[SMTP_PATH_MAX + SMTP_DOMAIN_MAX];
    struct buffer word = BUFFER_OF(memory);
    if (smtp_mailbox_parse(r->recipient, SMTP_PATH_BARE, &path) != SMTP_PATH_OK)
        return;
    if (!path.domain.len)
        path.domain = r->host;
    buffer_add_char(&word, '<');
    smtp_path_add_mailbox(&word, &path);
    buffer_add_char(&word, '>');
    mail_fold_break(fold);
    add_words(fold, VIEW("for"), buffer_view(&word));
}

static void add_date(struct mail_fold *fold, const struct mail_received *r)
{
    char memory[64];
    struct buffer date = BUFFER_OF(memory);
    mail_date_add(&date, r->wall_us, r->utc_offset_min);
    buffer_add_char(fold->to, ';');
    fold->column++;
    mail_fold_word(fold, buffer_view(&date));
}

/* RFC 5321 section 4.4: Stamp = From-domain By-domain Opt-info [CFWS] ";" FWS date-time */
void mail_received_add(struct buffer *to, const struct mail_received *received)
{
    struct mail_received r = *received;
    struct mail_fold fold = mail_fold_start(to, VIEW("Received"));
    if (!smtp_domain_valid(r.host, false))
        r.host = VIEW("unknown");
    add_from(&fold, &r);
    mail_fold_break(&fold);
    add_words(&fold, VIEW("by"), r.host);
    add_words(&fold, VIEW("via"), r.via_unix ? VIEW("UNIX") : VIEW("TCP"));
    if (is_atom(r.protocol))
        add_words(&fold, VIEW("with"), r.protocol);
    if (is_atom(r.id))
        add_words(&fold, VIEW("id"), r.id);
    add_for(&fold, &r);
    add_date(&fold, &r);
    mail_fold_end(&fold);
}

/* RFC 5321 section 4.4: Return-path-line = "Return-Path:" FWS Reverse-path. The path was parsed when it came, and what
 * that forbids cannot be here; were it (a damaged spool), it would still be one field. */
void mail_return_path_add(struct buffer *to, struct view reverse_path)
{
    buffer_add(to, VIEW("Return-Path: <"));
    for (size_t i = 0; i < reverse_path.len; i++) {
        unsigned char c = (unsigned char)reverse_path.at[i];
        buffer_add_char(to, c < 32 || c == 127 ? '?' : (char)c);
    }
    buffer_add(to, VIEW(">\r\n"));
}
