#include "queue/filter.h"

#include <string.h>

enum key { FROM, TO, REASON, DOMAIN_OF, ID, STATE, AGE, NEXT, ATTEMPTS, ALL };

static const struct {
    struct view name;
    enum key key;
    const char *ops, *example;
} keys[] = {
    { { "from", 4 }, FROM, "=~", "from=ann@example.org" },
    { { "to", 2 }, TO, "=~", "to=bob@example.net" },
    { { "reason", 6 }, REASON, "=~", "reason~\"mailbox full\"" },
    { { "domain", 6 }, DOMAIN_OF, "=", "domain=example.net" },
    { { "id", 2 }, ID, "=", "id=06fexample00000000000000" },
    { { "state", 5 }, STATE, "=", "state=deferred" },
    { { "age", 3 }, AGE, "<>", "age>1h" },
    { { "next", 4 }, NEXT, "<>", "next<10m" },
    { { "attempts", 8 }, ATTEMPTS, "=<>", "attempts>3" },
};
#define KEYS (sizeof keys / sizeof keys[0])

static const char *const states[] = { "new", "deferred", "held" };

const char *queue_entry_state_name(enum queue_entry_state state)
{
    return states[state];
}

/* ---- words ---- */

/* Takes the next word, its quotes taken off: they may begin anywhere in it. false: a quote is open. */
static bool take_word(char **at, char *end, struct view *word)
{
    char *from = *at, *to;
    bool quoted = false;
    while (from < end && (ascii_is_blank(*from) || *from == '\n'))
        from++;
    *word = (struct view){ from, 0 };
    for (to = from; from < end && (quoted || !(ascii_is_blank(*from) || *from == '\n')); from++) {
        if (*from == '"') {
            quoted = !quoted;
            continue;
        }
        if (quoted && *from == '\\' && from + 1 < end)
            from++;
        *to++ = *from;
    }
    word->len = (size_t)(to - word->at);
    *at = from;
    return !quoted;
}

static bool complain(struct buffer *error, struct view word, const char *what)
{
    buffer_add(error, VIEW("'"));
    buffer_add_safe(error, word, 80);
    buffer_add(error, VIEW("': "));
    buffer_add_text(error, what);
    return false;
}

static bool complain_key(struct buffer *error, struct view word, size_t key)
{
    complain(error, word, "a filter like ");
    buffer_add_text(error, keys[key].example);
    return false;
}

/* ---- values ---- */

static bool parse_time(struct view text, uint64_t *us)
{
    const struct view units = VIEW("smhd");
    static const uint64_t seconds[] = { 1, 60, 3600, 86400 };
    size_t unit = text.len ? view_find(units, text.at[text.len - 1]) : units.len;
    if (unit == units.len || !view_to_u64(view_slice(text, 0, text.len - 1), 1000000, us))
        return false;
    *us *= seconds[unit] * 1000000;
    return true;
}

static bool parse_state(struct view text, uint64_t *number)
{
    for (*number = 0; *number < sizeof states / sizeof states[0]; ++*number)
        if (view_equal_nocase(text, view_of(states[*number])))
            return true;
    return false;
}

static bool parse_value(struct queue_filter_word *word)
{
    switch (word->key) {
    case ID:
        return mail_id_parse(word->value, &word->id);
    case STATE:
        return parse_state(word->value, &word->number);
    case AGE:
    case NEXT:
        return parse_time(word->value, &word->number);
    case ATTEMPTS:
        return view_to_u64(word->value, UINT32_MAX, &word->number);
    case FROM:
        if (view_equal(word->value, VIEW("<>")))
            word->value = VIEW_NONE;
        return true;
    default:
        return word->value.len > 0;
    }
}

static size_t find_key(struct view name)
{
    size_t i = 0;
    while (i < KEYS && !view_equal_nocase(name, keys[i].name))
        i++;
    return i;
}

static bool parse_word(struct queue_filter_word *word, struct view text, struct buffer *error)
{
    size_t at = 0;
    if (view_equal(text, VIEW("all"))) {
        word->key = ALL;
        return true;
    }
    if (mail_id_parse(text, &word->id)) {
        word->key = ID;
        return true;
    }
    while (at < text.len && !strchr("=~<>", text.at[at]))
        at++;
    size_t key = find_key(view_slice(text, 0, at));
    if (key == KEYS)
        return complain(error, text,
                        "no filter; there are from= to= domain= id= state= reason~ age> next< attempts>, and 'all'");
    if (at == text.len || !text.at[at] || !strchr(keys[key].ops, text.at[at]))
        return complain_key(error, text, key);
    word->key = (uint8_t)keys[key].key;
    word->op = text.at[at];
    word->value = view_slice(text, at + 1, text.len);
    return parse_value(word) || complain_key(error, text, key);
}

/* ---- the whole ---- */

bool queue_filter_parse(struct queue_filter *filter, char *text, size_t len, struct buffer *error)
{
    char *at = text, *end = text + len;
    struct queue_filter_word next = { .first = true };
    struct view word = VIEW_NONE;
    bool open = false; /* after "or" or "not" something must come */
    filter->count = 0;
    for (;;) {
        if (!take_word(&at, end, &word))
            return complain(error, word, "the quote is not closed");
        if (!word.len && at == end)
            break;
        if (view_equal(word, VIEW("or")) && filter->count && !open) {
            next.first = open = true;
        } else if (view_equal(word, VIEW("not")) && !next.negated) {
            next.negated = open = true;
        } else if (filter->count == QUEUE_FILTER_WORDS_MAX) {
            return complain(error, word, "there are more than 100 words");
        } else {
            if (!parse_word(&next, word, error))
                return false;
            filter->words[filter->count++] = next;
            next = (struct queue_filter_word){ .first = false };
            open = false;
        }
    }
    return !open || complain(error, VIEW("or, not"), "a filter must follow");
}

/* ---- matching ---- */

static bool contains(struct view text, struct view part)
{
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (view_equal_nocase(view_slice(text, i, i + part.len), part))
            return true;
    return part.len == 0;
}

static bool fits_text(const struct queue_filter_word *word, struct view text)
{
    return word->op == '~' ? contains(text, word->value) : view_equal_nocase(text, word->value);
}

static bool fits_number(const struct queue_filter_word *word, uint64_t number)
{
    return word->op == '<' ? number < word->number : word->op == '>' ? number > word->number : number == word->number;
}

static bool fits_domain(struct view path, struct view wanted)
{
    struct view domain = view_slice(path, view_find_last(path, '@') + 1, path.len);
    if (wanted.at[0] == '.' && view_equal_nocase(domain, view_slice(wanted, 1, wanted.len)))
        return true;
    return wanted.at[0] == '.' ? view_ends_nocase(domain, wanted) : view_equal_nocase(domain, wanted);
}

static bool fits(const struct queue_filter_word *word, const struct queue_entry *entry, uint64_t wall_us)
{
    switch (word->key) {
    case FROM:
        return fits_text(word, entry->from);
    case TO:
        return fits_text(word, entry->to);
    case REASON:
        return fits_text(word, entry->reason);
    case DOMAIN_OF:
        return fits_domain(entry->to, word->value);
    case ID:
        return mail_id_compare(&word->id, &entry->id) == 0;
    case STATE:
        return entry->state == word->number;
    case AGE:
        return fits_number(word, wall_us > entry->arrived_us ? wall_us - entry->arrived_us : 0);
    case NEXT:
        return entry->state != QUEUE_ENTRY_HELD &&
               fits_number(word, entry->next_us > wall_us ? entry->next_us - wall_us : 0);
    case ATTEMPTS:
        return fits_number(word, entry->attempts);
    default:
        return true;
    }
}

bool queue_filter_matches(const struct queue_filter *filter, const struct queue_entry *entry, uint64_t wall_us)
{
    bool group = true;
    for (size_t i = 0; i < filter->count; i++) {
        const struct queue_filter_word *word = &filter->words[i];
        if (word->first && i > 0 && group)
            return true; /* the group before held */
        group = (word->first || group) && fits(word, entry, wall_us) != word->negated;
    }
    return group;
}
