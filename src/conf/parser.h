/* The parser's state, and its parts. Only for src/conf. */
#ifndef CONF_PARSER_H
#define CONF_PARSER_H

#include "conf/lex.h"
#include "conf/value.h"

/* The words that would have been right at a place; the nearest to what was written is kept. */
struct conf_guess {
    struct view word, best;
    size_t score; /* of the best; lower is nearer */
};

/* A name that is looked up once everything is read. */
struct conf_reference {
    struct conf_word word; /* its text: the name alone */
    enum { CONF_USE_ACTION, CONF_USE_USERS, CONF_USE_DOMAINS, CONF_USE_NETWORKS, CONF_USE_ALIASES } use;
    const struct conf_table **table;
    const struct conf_action **action;
    struct conf_reference *next;
};

struct conf_noted_error { /* an error and its place in the order of reading */
    struct conf_error error;
    unsigned file_number;
};

struct conf_noted_table { /* a table and the place of its file in that order */
    struct conf_table table;
    unsigned file_number;
};

struct conf_noted_match { /* a rule and its first word */
    struct conf_match match;
    struct conf_word word;
};

struct conf_file { /* being read, and who includes it */
    struct view name;
    const struct conf_file *parent;
    unsigned depth;
};

struct conf_parser {
    struct conf *conf;
    const struct conf_source *source;
    const struct conf_file *file;
    struct conf_lexer *lexer;
    struct conf_word word; /* the one at hand */
    struct conf_word statement;
    const char *usage; /* of the statement at hand */
    unsigned file_count;
    struct conf_error *errors;
    unsigned error_count;
    struct conf_error **warnings_end;
    bool no_memory;
    bool cut_short;                              /* a brace is missing: what is said to be missing may be behind it */
    uint64_t settings_seen, limits_seen;         /* bit: row of the table */
    bool hostname_seen, listen_seen, match_seen; /* or meant */
    bool retry_seen;
    bool accept_seen; /* a rule that accepts, or that may be meant to */
    struct conf_reference *references;
    struct conf_listen **listens_end;
    struct conf_table **tables_end;
    struct conf_action **actions_end;
    struct conf_match **matches_end;
    struct conf_dns **dns_end;
    unsigned dns_count;
    unsigned listen_count, table_count, action_count, match_count;
    struct conf_noted_table *table; /* being filled */
    size_t table_size;              /* room of its entries */
};

/* error.c */
void conf_say(struct conf_parser *p, const struct conf_word *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, into the warnings. */
void conf_warn(struct conf_parser *p, const struct conf_word *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "'WORD' reason" */
void conf_say_bad(struct conf_parser *p, const struct conf_word *at, const char *reason);
/* "unknown WHAT 'WORD'", and the guess if there is one */
void conf_say_unknown(struct conf_parser *p, const struct conf_word *at, const char *what,
                      const struct conf_guess *guess);
void conf_guess_add(struct conf_guess *guess, struct view candidate);
void *conf_alloc(struct conf_parser *p, size_t size); /* NULL: noted */

/* parse.c: false from a statement: an error has been said */
void conf_next(struct conf_parser *p);
/* The word at hand is taken as an argument, which must be there. */
bool conf_take(struct conf_parser *p, struct conf_word *word);
/* The same, one of `words` (ended by NULL): its number, or -1. */
int conf_choose(struct conf_parser *p, const char *const *words);
bool conf_more(const struct conf_parser *p); /* another argument in this statement */
bool conf_below_max(struct conf_parser *p, unsigned *count, const char *what);
/* Reads a file from its beginning with `parse`, then goes on where we were. false: unreadable, said at `at`. */
bool conf_read_words(struct conf_parser *p, const struct conf_word *at, struct view path,
                     void (*parse)(struct conf_parser *p));
bool conf_is_keyword(struct view word);

/* table.c, action.c, rule.c, relay.c */
bool conf_parse_table(struct conf_parser *p);
bool conf_parse_action(struct conf_parser *p);
bool conf_parse_match(struct conf_parser *p);
bool conf_parse_listen(struct conf_parser *p);
bool conf_parse_hop(struct conf_parser *p, struct conf_hop *hop); /* HOST[:PORT] */
bool conf_parse_port(struct conf_parser *p, uint16_t *port);
void conf_retry_defaults(struct conf_retry *retry);
bool conf_parse_retry(struct conf_parser *p);
bool conf_parse_dns(struct conf_parser *p);

/* resolve.c: what can be judged only when everything is read */
bool conf_is_reference(const struct conf_word *word);           /* <name> */
struct view conf_fold(struct conf_parser *p, struct view text); /* in lower case */
void conf_refer(struct conf_parser *p, const struct conf_reference *reference);
void conf_resolve(struct conf_parser *p, const struct conf_word *whole); /* whole: place of what is missing */

/* "'ABOUT' bad", at the place of an entry */
void conf_say_entry(struct conf_parser *p, const struct conf_noted_table *noted, const struct conf_entry *entry,
                    struct view about, const char *bad);

/* alias.c */
void conf_make_aliases(struct conf_parser *p, struct conf_noted_table *noted);

/* advice.c: what is wrong, or likely not meant, in a configuration whose every word is right */
void conf_advise(struct conf_parser *p, const struct conf_word *whole);

/* find.c */
int conf_key_compare(struct view a, struct view b); /* ASCII letters folded */
int conf_network_compare(const struct network *a, const struct network *b);
bool conf_networks_have(const struct conf_table *table,
                        const struct network *network); /* the whole of it in one of theirs */
bool conf_domain_within(struct view domain, struct view pattern);
bool conf_domain_in_table(struct view domain, const struct conf_table *table);

#endif
