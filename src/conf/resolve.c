/* What can be judged only when everything is read: names, tables by their use, rules beside each other, what is
 * missing. */
#include "conf/parser.h"

#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

bool conf_is_reference(const struct conf_word *word)
{
    struct view text = word->text;
    return !word->quoted && text.len > 2 && text.at[0] == '<' && text.at[text.len - 1] == '>';
}

void conf_refer(struct conf_parser *p, const struct conf_reference *reference)
{
    struct conf_reference *kept = conf_alloc(p, sizeof *kept);
    if (!kept)
        return;
    *kept = *reference;
    kept->next = p->references;
    p->references = kept;
}

static const char *const use_names[] = { "action", "table", "table", "table", "table" };

static struct conf_noted_table *find_table(struct conf_parser *p, struct conf_guess *guess)
{
    for (struct conf_table *table = p->conf->tables; table; table = table->next) {
        if (view_equal(table->name, guess->word))
            return (struct conf_noted_table *)table;
        conf_guess_add(guess, table->name);
    }
    return NULL;
}

static const struct conf_action *find_action(struct conf_parser *p, struct conf_guess *guess)
{
    for (const struct conf_action *action = p->conf->actions; action; action = action->next)
        conf_guess_add(guess, action->name);
    return conf_action_find(p->conf, guess->word);
}

/* ---- tables by their use ---- */

void conf_say_entry(struct conf_parser *p, const struct conf_noted_table *noted, const struct conf_entry *entry,
                    struct view about, const char *bad)
{
    struct conf_word at = { .text = about,
                            .file = noted->table.file,
                            .file_number = noted->file_number,
                            .line = entry->line,
                            .column = entry->column };
    conf_say_bad(p, &at, bad);
}

static void say_bad_key(struct conf_parser *p, const struct conf_noted_table *noted, const struct conf_entry *entry,
                        const char *bad)
{
    conf_say_entry(p, noted, entry, entry->key, bad);
}

struct view conf_fold(struct conf_parser *p, struct view text)
{
    size_t upper = 0;
    while (upper < text.len && ascii_lower(text.at[upper]) == text.at[upper])
        upper++;
    char *lower = upper < text.len ? conf_alloc(p, text.len) : NULL;
    if (!lower)
        return text;
    for (size_t i = 0; i < text.len; i++)
        lower[i] = ascii_lower(text.at[i]);
    return (struct view){ lower, text.len };
}

static void make_domains(struct conf_parser *p, struct conf_noted_table *noted)
{
    struct conf_table *table = &noted->table;
    for (size_t i = 0; i < table->entry_count && !table->are_domains; i++) {
        const char *bad = conf_pattern_check(table->entries[i].key);
        if (bad)
            say_bad_key(p, noted, &table->entries[i], bad);
        table->entries[i].key = conf_fold(p, table->entries[i].key);
    }
    table->are_domains = true;
}

static int compare_networks(const void *a, const void *b)
{
    return conf_network_compare(a, b);
}

static void make_networks(struct conf_parser *p, struct conf_noted_table *noted)
{
    struct conf_table *table = &noted->table;
    if (table->networks || table->entry_count == 0)
        return;
    table->networks = conf_alloc(p, table->entry_count * sizeof *table->networks);
    for (size_t i = 0; i < table->entry_count && table->networks; i++)
        if (!network_parse(table->entries[i].key, &table->networks[i])) {
            say_bad_key(p, noted, &table->entries[i], "is not a network");
            memset(&table->networks[i], 128, sizeof table->networks[i]); /* one that no client comes from */
        }
    if (table->networks)
        qsort(table->networks, table->entry_count, sizeof *table->networks, compare_networks);
}

static void resolve_reference(struct conf_parser *p, struct conf_reference *reference)
{
    struct conf_word *word = &reference->word;
    struct conf_guess guess = { .word = word->text };
    struct conf_noted_table *noted = NULL;
    if (reference->use == CONF_USE_ACTION) {
        *reference->action = find_action(p, &guess);
    } else {
        guess.word = word->text = view_slice(word->text, 1, word->text.len - 1);
        noted = find_table(p, &guess);
        *reference->table = noted ? &noted->table : NULL;
    }
    if (reference->use == CONF_USE_ACTION ? !*reference->action : !noted)
        conf_say_unknown(p, word, use_names[reference->use], &guess);
    else if (reference->use == CONF_USE_DOMAINS)
        make_domains(p, noted);
    else if (reference->use == CONF_USE_NETWORKS)
        make_networks(p, noted);
    else if (reference->use == CONF_USE_ALIASES)
        conf_make_aliases(p, noted);
}

/* ---- rules that never win ---- */

static bool from_covers(const struct conf_match *a, const struct conf_match *b)
{
    struct address first = { .set = true };
    if (a->from == CONF_FROM_ANY)
        return true;
    if (a->from == CONF_FROM_TABLE && b->from == CONF_FROM_NETWORK)
        return a->from_table && conf_networks_have(a->from_table, &b->network);
    if (a->from != b->from)
        return false;
    memcpy(first.ip, b->network.ip, sizeof first.ip);
    if (a->from == CONF_FROM_NETWORK)
        return a->network.bits <= b->network.bits && network_has(&a->network, &first);
    return a->from_table == b->from_table;
}

static bool to_covers(const struct conf_match *a, const struct conf_match *b)
{
    if (a->to == CONF_FOR_ANY)
        return true;
    if (a->to == CONF_FOR_DOMAIN_TABLE && b->to == CONF_FOR_DOMAIN)
        return a->to_table && conf_domain_in_table(b->domain, a->to_table);
    if (a->to != b->to)
        return false;
    return a->to == CONF_FOR_DOMAIN ? conf_domain_within(b->domain, a->domain) : a->to_table == b->to_table;
}

static void check_rule(struct conf_parser *p, const struct conf_match *match)
{
    const struct conf_noted_match *noted = (const struct conf_noted_match *)match;
    const struct conf_match *before = p->conf->matches;
    while (before != match && !(from_covers(before, match) && to_covers(before, match)))
        before = before->next;
    if (before == match)
        return;
    struct view file = ((const struct conf_noted_match *)before)->word.file;
    conf_say(p, &noted->word, "this rule never wins: the one at %.*s:%u takes everything before it", VIEW_FORMAT(file),
             before->line);
}

/* ---- what is missing ---- */

static void check_complete(struct conf_parser *p, const struct conf_word *whole)
{
    if (p->cut_short)
        return;
    if (!p->hostname_seen)
        conf_say(p, whole, "missing: hostname DOMAIN");
    if (!p->listen_seen)
        conf_say(p, whole, "missing: listen ADDRESS:PORT");
    if (!p->match_seen)
        conf_say(p, whole, "missing: match ... action NAME; nothing would be accepted");
    else if (!p->accept_seen)
        conf_say(p, whole, "every match rejects; nothing would be accepted");
}

void conf_resolve(struct conf_parser *p, const struct conf_word *whole)
{
    for (struct conf_reference *reference = p->references; reference; reference = reference->next)
        resolve_reference(p, reference);
    for (const struct conf_match *match = p->conf->matches; match; match = match->next)
        check_rule(p, match);
    check_complete(p, whole);
    conf_advise(p, whole);
}
