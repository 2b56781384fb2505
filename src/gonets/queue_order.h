/* Has the running server do something with chosen recipients, one by one. */
#ifndef GONETS_QUEUE_ORDER_H
#define GONETS_QUEUE_ORDER_H

#include "gonets/reach.h"

struct gonets_orders {
    const struct gonets_server *server;
    struct ipc_order *orders; /* the results are written into them */
    size_t count;
};

/* An exit code; what went wrong with the link was said. */
int gonets_orders_send(struct os *os, const struct gonets_orders *orders);

#endif
