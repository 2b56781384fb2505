/* Where one recipient goes at this attempt: the first rule that fits says it, each time anew. */
#ifndef QUEUE_ROUTE_H
#define QUEUE_ROUTE_H

#include "conf/conf.h"
#include "queue/queue.h"

enum queue_route_kind {
    QUEUE_ROUTE_NONE, /* no rule takes it any more: it waits, and is shown */
    QUEUE_ROUTE_DISCARD,
    QUEUE_ROUTE_HOLD,
    QUEUE_ROUTE_ALIAS, /* it stands for others */
    QUEUE_ROUTE_LOCAL,
    QUEUE_ROUTE_RELAY,
};

struct queue_route {
    enum queue_route_kind kind;
    const struct conf_action *action; /* NULL: QUEUE_ROUTE_NONE */
    struct view domain;               /* QUEUE_ROUTE_RELAY: of the path */
    struct view alias;                /* QUEUE_ROUTE_ALIAS: the table's value */
};

/* client: NULL for mail of our own and for recipients that an alias made. plain: aliases are not looked up. */
struct queue_route queue_route_find(const struct conf *conf, const struct address *client, struct view path,
                                    bool plain);
/* Of a warm message, or one of its expanded recipients. */
struct queue_route queue_route_of(const struct conf *conf, const struct queue_message *message, uint32_t number);
/* The line to stand in; QUEUE_SELF for what needs no deliverer. */
struct queue_destination *queue_route_destination(struct queue *queue, const struct queue_route *route);

#endif
