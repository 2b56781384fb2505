/* Which recipients of the queue are meant: one grammar for all commands.
 *
 *   filter = group *( "or" group )        group = 1*( [ "not" ] word )     all words of a group must hold
 *   word   = KEY OP VALUE | ID | "all"    VALUE with blanks in it: "in quotes", \ before a quote or backslash
 *
 *   from to reason       = the whole text, ~ a part of it, of any letter case; from=<> is the null path
 *   domain               = that of the recipient; domain=.example.org is it and everything below
 *   id                   = the message
 *   state                = new, deferred or held
 *   age next             < or > a time like 90s 10m 2h 5d: since it came, until the next attempt
 *   attempts             = < > a number
 *
 * Pure: text in, a filter or a complaint out. */
#ifndef QUEUE_FILTER_H
#define QUEUE_FILTER_H

#include "base/buffer.h"
#include "base/mail_id.h"

#define QUEUE_FILTER_WORDS_MAX 100

enum queue_entry_state { QUEUE_ENTRY_NEW, QUEUE_ENTRY_DEFERRED, QUEUE_ENTRY_HELD };
const char *queue_entry_state_name(enum queue_entry_state state);

/* One recipient that is not done, as it is shown and chosen. */
struct queue_entry {
    struct mail_id id;
    uint32_t recipient;
    struct view from, to;         /* paths; from is empty for <> */
    uint64_t arrived_us, next_us; /* wall clock; next_us 0: now, or not before it is released */
    uint32_t attempts;
    enum queue_entry_state state;
    uint16_t code, status[3];
    struct view reason, remote; /* of the last attempt; empty: there was none, nobody said it */
};

struct queue_filter_word {
    uint8_t key;
    char op;
    bool negated, first; /* of its group */
    struct view value;   /* borrows the text */
    uint64_t number;     /* of age and next: µs */
    struct mail_id id;
};

struct queue_filter {
    struct queue_filter_word words[QUEUE_FILTER_WORDS_MAX];
    size_t count; /* 0: everything */
};

/* false: *error says what is wrong and what would be right. text must live as long as the filter. Quoted values are
 * unquoted in place: the text is changed. */
bool queue_filter_parse(struct queue_filter *filter, char *text, size_t len, struct buffer *error);
bool queue_filter_matches(const struct queue_filter *filter, const struct queue_entry *entry, uint64_t wall_us);

#endif
