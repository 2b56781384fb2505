/* The configuration: one readable file (gonets.conf(5)), parsed into this by a table of keywords.
 * All errors are found at once and said as file:line:column with the offending word and a suggestion.
 * No I/O: whoever parses gives the text of the files (struct conf_source). */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/address.h"
#include "base/arena.h"

#define CONF_TEXT_MAX       (64u << 20)  /* bytes of one text; what conf_print() writes always fits, see conf_file.h */
#define CONF_LINE_MAX       (64u << 10)  /* bytes of one line */
#define CONF_TABLE_MAX      1000000      /* keys of one table */
#define CONF_STATEMENTS_MAX 1000         /* tables, actions, rules, listeners: of each kind */
#define CONF_DEPTH_MAX      20           /* files that include each other */
#define CONF_ERRORS_MAX     100          /* said at once */
#define CONF_MEMORY_MAX     (512u << 20) /* of everything that is parsed */
#define CONF_VALUE_MAX      200          /* bytes of one value in a path, encoded */
#define CONF_PATH_MAX       1024         /* bytes of a path, expanded */
#define CONF_SMTP_PORT      25           /* of a relay, when none is said */
#define CONF_HOPS_MAX       16           /* hosts of one relay */
#define CONF_GAPS_MAX       16           /* pauses between attempts that are named */

enum conf_action_kind { CONF_MAILDIR, CONF_MBOX, CONF_DISCARD, CONF_HOLD, CONF_RELAY };

struct conf_entry {
    struct view key, value;
    unsigned line, column; /* where it is written */
};

struct conf_table { /* table NAME file PATH: one entry a line, "key" or "key: value"; # comments; or inline { a, b } */
    struct view name, path;
    struct view file;           /* where its entries are written: path, or the file of the statement */
    struct conf_entry *entries; /* sorted by key, ASCII letters folded */
    size_t entry_count;
    bool are_domains;         /* used by `for domain`: every key is one, in lower case */
    bool are_aliases;         /* used by `aliases`: every value is a list for conf_alias_next() */
    struct network *networks; /* used by `from network`: the keys, sorted by bits and address; else NULL */
    struct conf_table *next;
};

struct conf_hop {     /* of `relay via`: a smart host */
    struct view host; /* name or IP address, without brackets and port */
    uint16_t port;
    bool is_address;
    struct address address; /* with the port; only if is_address */
    struct conf_hop *next;
};

struct conf_action {
    struct view name;
    enum conf_action_kind kind;
    struct view path;               /* template with %{user} %{home} %{local} %{domain} %{address}; maildir and mbox */
    struct view user;               /* account that owns the mailboxes; empty: the recipient's own account */
    const struct conf_table *users; /* who exists: local part or whole address; NULL: accounts of the system, or, with
                                       `user` given, everybody */
    bool biff;                      /* mbox: comsat(8) is told of new mail */
    const struct conf_table *aliases; /* maildir and mbox: local part or whole address -> addresses that take its place;
                                         NULL: none. A recipient that is in it need not exist otherwise */
    struct conf_hop *hops;            /* relay: tried in this order; NULL: by MX of the recipient's domain */
    uint16_t port;                    /* relay by MX: 25, or as `port` says */
    unsigned number;                  /* order in the file, from 0 */
    struct view file;                 /* where it is written */
    unsigned line, column;
    struct conf_action *next;
};

enum conf_from { CONF_FROM_ANY, CONF_FROM_LOCAL /* loopback */, CONF_FROM_NETWORK, CONF_FROM_TABLE };
enum conf_for {
    CONF_FOR_ANY,
    CONF_FOR_DOMAIN,
    CONF_FOR_DOMAIN_TABLE,
    CONF_FOR_LOCAL /* hostname, localhost, no domain */
};

struct conf_match {
    enum conf_from from;
    struct network network;
    const struct conf_table *from_table;
    enum conf_for to;
    struct view domain; /* lower case; ".example.org": it and everything below */
    const struct conf_table *to_table;
    const struct conf_action *action; /* NULL: reject */
    struct view file;                 /* where it is written */
    unsigned line;
    struct conf_match *next;
};

struct conf_listen {
    struct address address;
    bool lenient; /* forms that only old or hand-made clients use */
    struct conf_listen *next;
};

struct conf_limits {           /* every one by name: `limit NAME VALUE`; `gonets check --limits` prints them */
    uint64_t message_size_max; /* bytes; 0: none */
    uint64_t recipients_max;   /* per message */
    uint64_t sessions_max;     /* per smtpd worker */
    uint64_t errors_max;       /* bad commands per session */
    uint64_t command_us_max, data_us_max;
    uint64_t receive_memory_max;    /* half-received mail in memory, per worker */
    uint64_t spool_free_min;        /* bytes left on the disk below which new mail gets 452 */
    uint64_t local_jobs_max;        /* deliveries to mailboxes at a time */
    uint64_t relay_sessions_max;    /* connections to other servers, per smtp worker */
    uint64_t relay_destination_max; /* connections to one destination, of the whole server */
    uint64_t relay_jobs_max;        /* recipients that are being relayed at a time */
    uint64_t hops_max;              /* Received fields; more are a loop */
};

struct conf_retry {                  /* `retry 1m 5m 30m 2h expire 5d warn 4h` */
    uint64_t gaps_us[CONF_GAPS_MAX]; /* from one attempt to the next; the last repeats */
    unsigned gap_count;              /* at least 1 */
    uint64_t expire_us;              /* age at which a recipient is given up */
    uint64_t warn_us;                /* age at which its sender is told of the delay; 0: never */
};

enum conf_dns_kind { CONF_DNS_FORWARD, CONF_DNS_STUB, CONF_DNS_INSECURE };

struct conf_dns {
    enum conf_dns_kind kind;
    struct view zone;      /* stub and insecure; lower case */
    struct address server; /* forward and stub */
    struct conf_dns *next;
};

struct conf_error;

struct conf {
    struct arena arena;
    struct view hostname, greeting, spool, postmaster, user; /* user: prefix of the accounts */
    uint64_t segment_size;
    uint64_t workers; /* smtpd processes; 0: one for every two cores */
    bool log_text;    /* `log text`: readable lines; `log json` (default): one JSON object a line */
    struct conf_listen *listens;
    struct conf_table *tables;
    struct conf_action *actions;
    struct conf_match *matches;
    struct conf_retry retry;
    struct conf_dns *dns; /* in the order of the file; NULL: the name servers of the system */
    struct conf_limits limits;
    struct conf_error *warnings; /* what is allowed and may not be meant; in order, NULL: nothing */
};

/* Where the text of files comes from: the command reads files, tests and children give text. The text must live as long
 * as the configuration: it may lie in the arena. false: *error says why. */
struct conf_source {
    void *ctx;
    bool (*read)(void *ctx, struct view path, struct arena *arena, struct view *text, struct view *error);
};

struct conf_error {
    struct view file;
    unsigned line, column; /* from 1, column in bytes; 0: about the file as a whole */
    struct view text;      /* "unknown word 'lissen'; did you mean 'listen'?"; printable */
    struct conf_error *next;
};

#define CONF_ERROR_MAX 4096 /* bytes of one, with its place: names of files are cut */
/* "file:line:column: text", without the place within the file where there is none. */
void conf_error_add(struct buffer *to, const struct conf_error *error);

/* Parses file `name` (and what it includes). Errors: a list, in order; NULL when the configuration is good, which alone
 * may be used. All memory, errors too, is in conf->arena. */
const struct conf_error *conf_parse(struct conf *conf, struct view name, const struct conf_source *source);
void conf_free(struct conf *conf);
/* The effective configuration, with defaults and tables inline, as text that conf_parse takes again and gives the same
 * conf: what roles get, and what `gonets check --print` shows. false: no room. */
bool conf_print(const struct conf *conf, struct buffer *to);
bool conf_print_new(const struct conf *conf, struct buffer *to); /* in new memory: to->at is the caller's to free() */
void conf_match_add(struct buffer *to, const struct conf_match *match); /* a rule as it is written, on one line */
void conf_hop_add(struct buffer *to, const struct conf_hop *hop);       /* "HOST:PORT" */
/* One line for each limit: name, value, of what, what happens when it is reached. false: no room. */
bool conf_print_limits(const struct conf *conf, struct buffer *to);

/* Is there a setting or limit that differs and cannot change while the server runs? Its name; NULL: none. */
bool conf_dns_same(const struct conf_dns *a, const struct conf_dns *b);
const char *conf_fixed_change(const struct conf *now, const struct conf *next);

const struct conf_entry *conf_table_find(const struct conf_table *table,
                                         struct view key); /* ASCII letters of any case */
const struct conf_action *conf_action_find(const struct conf *conf, struct view name);
/* The entry for a recipient: the one for its whole address, else the one for its local part; NULL: none, or no aliases.
 */
const struct conf_entry *conf_alias_find(const struct conf_action *action, struct view local, struct view address);
/* Takes the next address off the value of such an entry: "local@domain", or a local part alone, which is one at the
 * recipient's domain. false: no more. */
bool conf_alias_next(struct view *rest, struct view *address);
/* First match wins; NULL: no rule takes it (550 5.7.1 relaying denied) or a rule rejects it.
 * client: NULL for mail of our own (reports, members of aliases): as from the machine itself.
 * domain: A-labels, any case; empty for a bare local name. */
enum conf_fit { CONF_FITS, CONF_OTHER_CLIENT, CONF_OTHER_RECIPIENT };
enum conf_fit conf_match_fit(const struct conf *conf, const struct conf_match *match, const struct address *client,
                             struct view domain);
const struct conf_match *conf_match_find(const struct conf *conf, const struct address *client, struct view domain);

/* What the words of a template stand for. */
struct conf_values {
    struct view local;  /* local part, unquoted; from the network */
    struct view domain; /* from the network */
    struct view user;   /* account that owns the mailbox */
    struct view home;   /* its directory, absolute */
};

/* Writes the path of a mailbox: one pass, values inserted as data and encoded so that each stays inside its component,
 * and different ones (letter case apart) stay different; gonets.conf(5), "Templates". false: no such mailbox can be (a
 * value that is used is empty or too long, a home that is not absolute, the path too long): to->len is as before. */
bool conf_expand(struct buffer *to, struct view template, const struct conf_values *values);

#endif
