/* Recipients that need no deliverer: aliases, what is thrown away or held, what no rule takes, what goes in circles. */
#include "gonetsd/qmgr.h"
#include "queue/alias.h"

#define EXPANSION_MEMORY_MAX (16u << 20)

static struct queue_event reply_of(unsigned code, unsigned class, unsigned subject, unsigned detail, struct view text)
{
    return (struct queue_event){ .code = (uint16_t)code,
                                 .status = { (uint16_t) class, (uint16_t)subject, (uint16_t)detail },
                                 .text = text };
}

/* It waits for the administrator; it does not expire, since nobody has tried it. */
static void wait(struct qmgr *qmgr, struct queue_recipient *r, struct queue_event reply)
{
    uint64_t now = os_now_us(qmgr->os);
    reply.attempts = r->attempts + 1;
    mark_log(qmgr, r, QUEUE_EVENT_DEFERRED, &reply);
    event_note(&qmgr->log, "alarm", reply.text);
    queue_defer(&qmgr->queue, r, now);
    reply.next_wall_us = os_wall_us(qmgr->os) + queue_due_us(r) - now;
    reply.age_s = queue_age_us(r->message, now) / 1000000;
    mark(qmgr, r, QUEUE_EVENT_DEFERRED, &reply, VIEW_NONE, (struct mark_from){ 0 });
}

static void fail(struct qmgr *qmgr, struct queue_recipient *r, struct view text)
{
    struct queue_event reply = reply_of(554, 5, 4, 6, text);
    reply.attempts = r->attempts + 1;
    report_failed(qmgr, r, &reply, (struct mark_from){ 0 });
}

static void discard(struct qmgr *qmgr, struct queue_recipient *r, const struct conf_action *action)
{
    char memory[300];
    struct buffer text = BUFFER_OF(memory);
    buffer_add_text(&text, "discarded by action ");
    buffer_add(&text, view_slice(action->name, 0, 200));
    struct queue_event reply = reply_of(250, 2, 0, 0, buffer_view(&text));
    mark_log(qmgr, r, QUEUE_EVENT_DELIVERED, &reply);
    if (!mark(qmgr, r, QUEUE_EVENT_DELIVERED, &reply, VIEW_NONE, (struct mark_from){ 0 }))
        wait(qmgr, r, reply_of(451, 4, 3, 0, VIEW("out of memory")));
}

static void hold(struct qmgr *qmgr, struct queue_recipient *r)
{
    struct queue_event reply = { .text = VIEW("held by its action") };
    mark_log(qmgr, r, QUEUE_EVENT_HELD, &reply);
    mark(qmgr, r, QUEUE_EVENT_HELD, &reply, VIEW_NONE, (struct mark_from){ 0 });
    queue_set(&qmgr->queue, r, QUEUE_HELD);
}

/* ---- aliases ---- */

/* Nobody of them is tried before it is durable who they are: that is done by mark_apply. */
static bool mark_expansion(struct qmgr *qmgr, struct queue_recipient *r, const struct queue_alias *alias,
                           struct arena *arena)
{
    struct buffer paths;
    size_t cap = 0;
    for (uint32_t i = 0; i < alias->count; i++)
        cap += alias->paths[i].len + 16;
    char *memory = arena_alloc(arena, cap + 16);
    if (!memory)
        return false;
    buffer_init(&paths, memory, cap + 16);
    for (uint32_t i = 0; i < alias->count; i++)
        queue_event_add_path(&paths, alias->paths[i]);
    struct queue_event event = { .first = r->message->promised };
    mark_log(qmgr, r, QUEUE_EVENT_EXPANDED, &event);
    if (!mark(qmgr, r, QUEUE_EVENT_EXPANDED, &event, buffer_view(&paths), (struct mark_from){ 0 }))
        return false;
    r->message->promised += alias->count;
    return true;
}

static void misconfigured(struct qmgr *qmgr, struct queue_recipient *r, struct view bad)
{
    char memory[400];
    struct buffer text = BUFFER_OF(memory);
    buffer_add_text(&text, "an alias names what is no address: ");
    buffer_add_safe(&text, bad, 200);
    wait(qmgr, r, reply_of(451, 4, 3, 5, buffer_view(&text)));
}

/* Where addresses without a domain are: beside the alias. */
static struct view domain_beside(const struct qmgr *qmgr, const struct queue_recipient *r)
{
    struct view path = queue_path(r->message, queue_number(r));
    size_t at = view_find_last(path, '@');
    return at < path.len ? view_slice(path, at + 1, path.len) : qmgr->role.conf.hostname;
}

static void no_memory(struct qmgr *qmgr, struct queue_recipient *r)
{
    wait(qmgr, r, reply_of(451, 4, 3, 0, VIEW("out of memory for the members of an alias")));
}

static void replace(struct qmgr *qmgr, struct queue_recipient *r, const struct queue_alias *alias, struct arena *arena)
{
    if (alias->dropped)
        event_note(&qmgr->log, "alias-loop", VIEW("an alias leads back to one on its way; that way is left out"));
    if (!mark_expansion(qmgr, r, alias, arena))
        no_memory(qmgr, r);
}

static void expand(struct qmgr *qmgr, struct queue_recipient *r, struct view value)
{
    struct arena arena;
    struct queue_alias alias;
    arena_init(&arena, 4096, EXPANSION_MEMORY_MAX);
    switch (queue_alias_expand(r->message, queue_number(r), value, domain_beside(qmgr, r), &arena, &alias)) {
    case QUEUE_ALIAS_OK:
        replace(qmgr, r, &alias, &arena);
        break;
    case QUEUE_ALIAS_NO_MEMORY:
        no_memory(qmgr, r);
        break;
    case QUEUE_ALIAS_LOOP:
        fail(qmgr, r, VIEW("the alias leads only to itself, or to too many others one after the other"));
        break;
    case QUEUE_ALIAS_TOO_MANY:
        fail(qmgr, r, VIEW("the alias stands for too many recipients"));
        break;
    case QUEUE_ALIAS_NO_ADDRESS:
        misconfigured(qmgr, r, alias.bad);
        break;
    }
    arena_reset(&arena);
}

void self_attempt(struct qmgr *qmgr, struct queue_recipient *r, const struct queue_route *route)
{
    if (r->message->warm->received_count > qmgr->role.conf.limits.hops_max) {
        fail(qmgr, r, VIEW("too many hops: the message goes in circles"));
        return;
    }
    switch (route->kind) {
    case QUEUE_ROUTE_DISCARD:
        discard(qmgr, r, route->action);
        break;
    case QUEUE_ROUTE_HOLD:
        hold(qmgr, r);
        break;
    case QUEUE_ROUTE_ALIAS:
        expand(qmgr, r, route->alias);
        break;
    default: /* none, or no memory for its destination */
        wait(qmgr, r, reply_of(451, 4, 3, 5, VIEW("no rule of the configuration takes it any more")));
    }
}
