#include "queue/route.h"

#include "smtp/path.h"

/* The rules for local names take a literal, too: it was ours when it was accepted. */
static const struct conf_match *find_match(const struct conf *conf, const struct address *client, struct view domain)
{
    const struct conf_match *match = conf_match_find(conf, client, domain);
    struct address literal;
    if (!match && smtp_literal_parse(domain, &literal))
        match = conf_match_find(conf, client, VIEW_NONE);
    return match;
}

static const struct conf_entry *find_alias(const struct conf_action *action, const struct smtp_path *path,
                                           struct view whole)
{
    char memory[SMTP_LOCAL_PART_MAX];
    struct buffer local = BUFFER_OF(memory);
    return smtp_path_local_plain(path, &local) ? conf_alias_find(action, buffer_view(&local), whole) : NULL;
}

static enum queue_route_kind kind_of(const struct conf_action *action)
{
    switch (action->kind) {
    case CONF_DISCARD:
        return QUEUE_ROUTE_DISCARD;
    case CONF_HOLD:
        return QUEUE_ROUTE_HOLD;
    case CONF_MAILDIR:
    case CONF_MBOX:
        return QUEUE_ROUTE_LOCAL;
    case CONF_RELAY:
        return QUEUE_ROUTE_RELAY;
    }
    return QUEUE_ROUTE_NONE;
}

struct queue_route queue_route_find(const struct conf *conf, const struct address *client, struct view text, bool plain)
{
    struct queue_route route = { .kind = QUEUE_ROUTE_NONE };
    struct smtp_path path;
    if (smtp_mailbox_parse(text, SMTP_PATH_BARE | SMTP_PATH_UTF8, &path) != SMTP_PATH_OK)
        return route;
    const struct conf_match *match = find_match(conf, client, path.domain);
    if (!match || !match->action)
        return route;
    route = (struct queue_route){ kind_of(match->action), match->action, path.domain, VIEW_NONE };
    const struct conf_entry *alias = plain ? NULL : find_alias(route.action, &path, text);
    if (alias) {
        route.kind = QUEUE_ROUTE_ALIAS;
        route.alias = alias->value;
    }
    return route;
}

/* An alias that stands, among others, for itself is the account of that name. */
struct queue_route queue_route_of(const struct conf *conf, const struct queue_message *m, uint32_t number)
{
    uint32_t parent = queue_parent(m, number);
    struct view path = queue_path(m, number);
    const struct address *client = m->warm && m->warm->client.set ? &m->warm->client : NULL;
    if (parent == QUEUE_NO_PARENT)
        return queue_route_find(conf, client, path, false);
    return queue_route_find(conf, NULL, path, view_equal_nocase(path, queue_path(m, parent)));
}

struct queue_destination *queue_route_destination(struct queue *q, const struct queue_route *route)
{
    struct queue_destination *d = NULL;
    if (route->kind == QUEUE_ROUTE_LOCAL)
        d = queue_destination(q, QUEUE_LOCAL, route->action->name, VIEW_NONE);
    else if (route->kind == QUEUE_ROUTE_RELAY)
        d = queue_destination(q, QUEUE_RELAY, route->action->name, route->action->hops ? VIEW_NONE : route->domain);
    return d ? d : q->self;
}
