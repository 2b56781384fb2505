/* What the administrator wants done with recipients: `gonets queue retry, hold, release, fail, delete`. The command
 * reads the spool itself to choose them; here is only one decision at a time, between two attempts, so that what is
 * answered is what happened (H150). A commander that sends anything else loses its link (H160). */
#include <stdlib.h>

#include "gonetsd/qmgr.h"

#define COMMANDERS_MAX 16

struct commander {
    struct list link; /* in qmgr->commanders */
    struct qmgr *qmgr;
    struct ipc ipc;
    struct os_task free_task;
};

/* ---- orders ---- */

static bool is_idle(const struct queue_recipient *r)
{
    return r->state == QUEUE_WAITING || r->state == QUEUE_READY || r->state == QUEUE_HELD;
}

static const struct mark_from nobody;

static enum ipc_order_result hold(struct qmgr *qmgr, struct queue_recipient *r)
{
    const struct queue_event event = { .text = VIEW("held by the administrator") };
    if (r->state == QUEUE_HELD)
        return IPC_ORDER_NOT_SO;
    if (!is_idle(r))
        return IPC_ORDER_BUSY;
    if (!mark(qmgr, r, QUEUE_EVENT_HELD, &event, VIEW_NONE, nobody))
        return IPC_ORDER_TROUBLE;
    queue_hold(&qmgr->queue, r);
    mark_log(qmgr, r, QUEUE_EVENT_HELD, &event);
    return IPC_ORDER_DONE;
}

static enum ipc_order_result release(struct qmgr *qmgr, struct queue_recipient *r)
{
    const struct queue_event event = { .text = VIEW("released by the administrator") };
    if (r->state != QUEUE_HELD)
        return IPC_ORDER_NOT_SO;
    if (!mark(qmgr, r, QUEUE_EVENT_RELEASED, &event, VIEW_NONE, nobody))
        return IPC_ORDER_TROUBLE;
    queue_release(&qmgr->queue, r, os_now_us(qmgr->os));
    mark_log(qmgr, r, QUEUE_EVENT_RELEASED, &event);
    return IPC_ORDER_DONE;
}

static enum ipc_order_result retry(struct qmgr *qmgr, struct queue_recipient *r)
{
    if (r->state == QUEUE_HELD)
        return IPC_ORDER_NOT_SO;
    return queue_retry(&qmgr->queue, r, os_now_us(qmgr->os)) ? IPC_ORDER_DONE : IPC_ORDER_BUSY;
}

/* The sender gets a report, as for any failure. */
static enum ipc_order_result fail(struct qmgr *qmgr, struct queue_recipient *r)
{
    const struct queue_event event = { .code = 554,
                                       .status = { 5, 0, 0 },
                                       .attempts = r->attempts,
                                       .text =
                                           VIEW("the administrator of this server has ended the attempts to deliver") };
    if (!is_idle(r))
        return IPC_ORDER_BUSY;
    report_failed(qmgr, r, &event, nobody);
    return r->state == QUEUE_MARKING ? IPC_ORDER_DONE : IPC_ORDER_TROUBLE;
}

static enum ipc_order_result delete (struct qmgr *qmgr, struct queue_recipient *r) {
    const struct queue_event event = { .attempts = r->attempts, .text = VIEW("deleted by the administrator") };
    if (!is_idle(r)) return IPC_ORDER_BUSY;
    if (!mark(qmgr, r, QUEUE_EVENT_DELETED, &event, VIEW_NONE, nobody)) return IPC_ORDER_TROUBLE;
    mark_log(qmgr, r, QUEUE_EVENT_DELETED, &event);
    return IPC_ORDER_DONE;
}

/* By IPC_ORDER_*. */
static enum ipc_order_result (*const orders[])(struct qmgr *qmgr, struct queue_recipient *r) = {
    [IPC_ORDER_RETRY] = retry, [IPC_ORDER_HOLD] = hold,     [IPC_ORDER_RELEASE] = release,
    [IPC_ORDER_FAIL] = fail,   [IPC_ORDER_DELETE] = delete,
};
#define ORDERS (sizeof orders / sizeof orders[0])

static enum ipc_order_result obey(struct qmgr *qmgr, const struct ipc_order *order)
{
    if (!qmgr->opened || qmgr->stopping)
        return IPC_ORDER_TROUBLE;
    struct queue_recipient *r = queue_recipient(&qmgr->queue, &order->id, order->recipient);
    if (!r || r->state == QUEUE_DONE || r->state == QUEUE_MARKING)
        return IPC_ORDER_GONE;
    os_later(qmgr->os, &qmgr->work);
    return orders[order->kind](qmgr, r);
}

/* ---- commanders ---- */

static void free_commander(void *ctx)
{
    free(ctx);
}

static void on_gone(void *ctx)
{
    struct commander *c = ctx;
    list_remove(&c->link);
    ipc_close(&c->ipc);
    os_later(c->qmgr->os, &c->free_task);
}

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct commander *c = ctx;
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    struct ipc_order order;
    (void)handle;
    if (type != IPC_ORDER || !ipc_order_unpack(body, &order) || order.kind >= ORDERS || !orders[order.kind]) {
        ipc_end(&c->ipc);
        return;
    }
    order.result = (uint8_t)obey(c->qmgr, &order);
    ipc_order_pack(&frame, IPC_ORDERED, &order);
    ipc_send(&c->ipc, buffer_view(&frame));
    qmgr_arm(c->qmgr);
}

void orders_link(struct qmgr *qmgr, struct os_link *link)
{
    char memory[64];
    struct buffer hello = BUFFER_OF(memory);
    size_t count = 0;
    list_each(each, &qmgr->commanders) count++;
    struct commander *c = count < COMMANDERS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        os_link_close(link);
        return;
    }
    c->qmgr = qmgr;
    c->free_task = (struct os_task){ .run = free_commander, .ctx = c };
    list_append(&qmgr->commanders, &c->link);
    ipc_open(&c->ipc, qmgr->os, link, &(struct ipc_owner){ c, on_frame, NULL, on_gone });
    ipc_hello_pack(&hello, &(struct ipc_hello){ IPC_VERSION, IPC_QMGR, 0 });
    ipc_send(&c->ipc, buffer_view(&hello));
}

void orders_free(struct qmgr *qmgr)
{
    for (struct list *link; (link = list_pop(&qmgr->commanders));) {
        struct commander *c = list_entry(link, struct commander, link);
        ipc_close(&c->ipc);
        free(c);
    }
}
