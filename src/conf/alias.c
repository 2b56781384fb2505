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
