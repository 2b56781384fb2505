/* Aliases: names that stand for other addresses. */
#include "conf/parser.h"

const struct conf_entry *conf_alias_find(const struct conf_action *action, struct view local, struct view address)
{
    if (!action->aliases)
        return NULL;
    const struct conf_entry *entry = conf_table_find(action->aliases, address);
    return entry ? entry : conf_table_find(action->aliases, local);
}

bool conf_alias_next(struct view *rest, struct view *address)
{
    do
        *address = view_trim(view_take_until(rest, ','));
    while (address->len == 0 && rest->len);
    return address->len > 0;
}

/* What alias files of other servers may hold besides addresses. */
static const char *target_check(struct view target)
{
    if (view_starts(target, VIEW("|")))
        return "runs a program, which is not supported: name an address";
    if (view_starts(target, VIEW("/")))
        return "is a file, which is not supported: write an action with a mailbox for it, and name an address";
    if (view_starts(target, VIEW(":include:")))
        return "includes a file, which is not supported: name the addresses";
    if (view_has(target, '@'))
        return conf_address_check(target);
    return conf_local_check(target);
}

static const char *entry_check(const struct conf_entry *entry, struct view *about)
{
    struct view rest = entry->value, target;
    const char *bad = NULL;
    *about = entry->key;
    if (!entry->value.at && view_has(entry->key, ':'))
        return "has no blank behind its colon: write NAME: ADDRESS, ...";
    if (!entry->value.at)
        return "has no address: write NAME: ADDRESS, ... and in braces quotes around several: NAME: \"ADDRESS, "
               "ADDRESS\"";
    bad = view_has(entry->key, '@') ? conf_address_check(entry->key) : conf_local_check(entry->key);
    if (!bad && !conf_alias_next(&rest, &target))
        bad = "has no address: write NAME: ADDRESS, ...";
    for (rest = entry->value; !bad && conf_alias_next(&rest, &target);) {
        bad = target_check(target);
        *about = target;
    }
    return bad;
}

void conf_make_aliases(struct conf_parser *p, struct conf_noted_table *noted)
{
    struct conf_table *table = &noted->table;
    for (size_t i = 0; i < table->entry_count && !table->are_aliases; i++) {
        struct view about;
        const char *bad = entry_check(&table->entries[i], &about);
        if (bad)
            conf_say_entry(p, noted, &table->entries[i], about, bad);
    }
    table->are_aliases = true;
}
