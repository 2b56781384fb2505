/* Grammar of RFC 5321 section 4.1.2: paths, mailboxes, domains, address literals. Counted views, forward only, no
 * recursion, linear time (H21, H37). Everything returned borrows the input. */
#ifndef SMTP_PATH_H
#define SMTP_PATH_H

#include "base/address.h"
#include "base/buffer.h"

#define SMTP_LOCAL_PART_MAX 64  /* section 4.5.3.1.1 */
#define SMTP_DOMAIN_MAX 255     /* section 4.5.3.1.2 */
#define SMTP_PATH_MAX 256       /* section 4.5.3.1.3: mailbox, with the brackets */

struct smtp_path {
    struct view route;  /* "@a.example,@b.example" of a source route, without the colon; empty: none */
    struct view local;  /* as written, quotes kept; empty for the null path */
    struct view domain; /* as written; "[192.0.2.1]" for a literal; empty: a bare local name, or the null path */
    bool null;          /* <> */
};

enum smtp_path_flags {
    SMTP_PATH_NULL = 1,    /* <> allowed (reverse-path) */
    SMTP_PATH_BARE = 2,    /* a local part without domain allowed: postmaster, rich */
    SMTP_PATH_LENIENT = 4, /* also "Name <a@b>" and blanks inside the brackets */
    SMTP_PATH_UTF8 = 8,    /* RFC 6531: UTF-8 in local part and labels */
};

enum smtp_path_result {
    SMTP_PATH_OK,
    SMTP_PATH_SYNTAX,     /* 501 5.1.3 / 5.1.7 */
    SMTP_PATH_TOO_LONG,   /* 501 5.1.3: local part over 64, domain over 255, label over 63, path over 256 */
    SMTP_PATH_NOT_ASCII,  /* 553 5.6.7 without SMTPUTF8 */
    SMTP_PATH_BAD_BYTE,   /* NUL or another control: 501 */
};

/* Takes a path off the front of *text: bracketed, or bare up to the next blank. Leading blanks are skipped. */
enum smtp_path_result smtp_path_parse(struct view *text, unsigned flags, struct smtp_path *path);
/* local@domain, no brackets, nothing before or behind: for configuration and commands. */
enum smtp_path_result smtp_mailbox_parse(struct view text, unsigned flags, struct smtp_path *path);

bool smtp_domain_valid(struct view domain, bool utf8); /* dot-separated labels, no final dot */
bool smtp_literal_parse(struct view text, struct address *address); /* "[192.0.2.1]", "[IPv6:2001:db8::1]" */
void smtp_literal_add(struct buffer *to, const struct address *address); /* the same, written; a scope is left out */

/* "local@domain" or "local", without route and brackets; nothing for the null path. */
void smtp_path_add_mailbox(struct buffer *to, const struct smtp_path *path);
/* With its route: "@a,@b:local@domain". */
void smtp_path_add_whole(struct buffer *to, const struct smtp_path *path);
/* The local part with its quoting taken off (RFC 5321 4.1.2: "Quoted-string" and dot-string that mean the same are
 * one mailbox). false: no room. */
bool smtp_path_local_plain(const struct smtp_path *path, struct buffer *plain);
/* The local part as all its spellings have it in common: quoted only where it must be, postmaster in lower case. Not
 * longer than as written. */
void smtp_path_add_local(struct buffer *to, const struct smtp_path *path);
/* Same mailbox: domains by ASCII case folding, local parts after unquoting; "postmaster" in any case. */
bool smtp_path_same(const struct smtp_path *a, const struct smtp_path *b);

#endif
