/* The kinds of values, each with its parser; and the settings that have one value, as tables. Only for src/conf. */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "conf/conf.h"

#define CONF_NAME_MAX 64

enum conf_type {
    CONF_LOG, /* text or json */
    CONF_DOMAIN,
    CONF_GREETING,
    CONF_PATH,
    CONF_ACCOUNTS, /* prefix of accounts */
    CONF_ADDRESS,  /* of a mailbox */
    CONF_COUNT,
    CONF_SIZE, /* bytes */
    CONF_TIME, /* µs */
};

/* Sets one value: a bool for CONF_LOG, a uint64_t for the last three, else a view. */
struct conf_setting {
    const char *name;
    enum conf_type type;
    size_t offset;     /* in struct conf */
    uint64_t min, max; /* of numbers; besides, 0 where `zero` */
    bool zero;
    uint64_t step;        /* numbers are multiples of it; 0: any */
    const char *initial;  /* default, as written in a file; NULL: none */
    const char *argument; /* what to write */
    const char *unit;     /* limits: of what */
    const char *help;     /* limits: what happens when it is reached */
    bool fixed;           /* cannot change while the server runs */
};

extern const struct conf_setting conf_settings[];
extern const size_t conf_setting_count;
extern const struct conf_setting conf_limits[];
extern const size_t conf_limit_count;

/* Reasons why a value is bad complete the sentence "'VALUE' ..."; NULL: it is good. */
const char *conf_setting_set(struct conf *conf, const struct conf_setting *setting, struct view text,
                             struct buffer *reason);
bool conf_time_parse(struct view text, uint64_t *time_us);
uint64_t conf_setting_number(const struct conf *conf, const struct conf_setting *setting);
struct view conf_setting_text(const struct conf *conf,
                              const struct conf_setting *setting);             /* not of numbers; empty: not set */
void conf_number_add(struct buffer *to, enum conf_type type, uint64_t number); /* in the largest unit that fits */

const char *conf_domain_check(struct view text);
const char *conf_pattern_check(struct view text); /* a domain, perhaps with a dot before it */
const char *conf_address_check(struct view text); /* local@domain */
const char *conf_local_check(struct view text);   /* a plain local part */
const char *conf_path_check(struct view text);
const char *conf_account_check(struct view text, size_t max);
const char *conf_name_check(struct view text); /* of tables and actions */
const char *conf_template_check(struct view text);

#endif
