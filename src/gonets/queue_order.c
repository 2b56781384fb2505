#include "gonets/queue_order.h"

#include <stdio.h>

#include "gonets/gonets.h"
#include "os/linux/os_linux.h"

#define TOGETHER_MAX  256 /* orders on their way */
#define ANSWER_US_MAX UINT64_C(30000000)

struct ordering {
    struct os *os;
    struct ipc ipc;
    const struct gonets_orders *orders;
    size_t sent, answered;
    bool welcome; /* the hello has come */
};

static void on_late(void *ctx);

static void send_more(struct ordering *o)
{
    char memory[64];
    while (o->sent < o->orders->count && o->sent - o->answered < TOGETHER_MAX) {
        struct buffer frame = BUFFER_OF(memory);
        ipc_order_pack(&frame, IPC_ORDER, &o->orders->orders[o->sent++]);
        ipc_send(&o->ipc, buffer_view(&frame));
    }
    os_alarm(o->os, os_now_us(o->os) + ANSWER_US_MAX, on_late, o);
    if (o->answered == o->orders->count)
        os_stop(o->os, GONETS_OK);
}

static void take_answer(struct ordering *o, const struct ipc_order *answer)
{
    struct ipc_order *order = &o->orders->orders[o->answered];
    if (o->answered == o->sent || answer->recipient != order->recipient ||
        mail_id_compare(&answer->id, &order->id) != 0) {
        ipc_end(&o->ipc);
        return;
    }
    order->result = answer->result;
    o->answered++;
    send_more(o);
}

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct ordering *o = ctx;
    struct ipc_order answer;
    struct ipc_hello hello;
    struct ipc_answer refusal;
    (void)handle;
    if (!o->welcome && type == IPC_HELLO && ipc_hello_unpack(body, &hello) && hello.version == IPC_VERSION) {
        o->welcome = true;
        send_more(o);
    } else if (o->welcome && type == IPC_ORDERED && ipc_order_unpack(body, &answer)) {
        take_answer(o, &answer);
    } else if (!o->welcome && type == IPC_ANSWER && ipc_answer_unpack(body, &refusal)) {
        fprintf(stderr, "gonets %s: %.*s", o->orders->server->command, VIEW_FORMAT(refusal.text));
        os_stop(o->os, refusal.code);
    } else {
        ipc_end(&o->ipc);
    }
}

static void give_up(struct ordering *o, const char *why)
{
    fprintf(stderr, "gonets %s: %s after %zu of %zu recipients; what was done stays done\n", o->orders->server->command,
            why, o->answered, o->orders->count);
    os_stop(o->os, GONETS_TEMPORARY);
}

static void on_gone(void *ctx)
{
    give_up(ctx, "the server has ended the connection");
}

static void on_late(void *ctx)
{
    give_up(ctx, "the server does not answer");
}

int gonets_orders_send(struct os *os, const struct gonets_orders *orders)
{
    struct ordering o = { .os = os, .orders = orders };
    char memory[8];
    struct buffer frame = BUFFER_OF(memory);
    struct os_link *link;
    int code = gonets_reach(os, orders->server, &link);
    if (code != GONETS_OK)
        return code;
    ipc_open(&o.ipc, os, link, &(struct ipc_owner){ &o, on_frame, NULL, on_gone });
    ipc_command_pack(&frame, IPC_COMMAND_QUEUE);
    ipc_send(&o.ipc, buffer_view(&frame));
    os_alarm(os, os_now_us(os) + ANSWER_US_MAX, on_late, &o);
    code = os_linux_run(os);
    ipc_close(&o.ipc);
    return code;
}
