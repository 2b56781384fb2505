/* What commands ask of the running server, over the control socket in the spool: a reload, the status, a link to the
 * queue. */
#include <stdlib.h>

#include "gonetsd/supervisor_inner.h"

#define CONTROL_NAME     "control"
#define COMMANDERS_MAX   16
#define STATUS_US_MAX    UINT64_C(2000000) /* for roles to say how much they have to do */
#define EX_UNAVAILABLE   69
#define PROCESS_SIZE_MAX 256

struct commander {
    struct list link;
    struct supervisor *supervisor;
    struct ipc ipc;
    uint8_t waits; /* enum ipc_command; 0: for nothing */
    struct os_task free_task;
};

static void free_commander(void *ctx)
{
    struct commander *c = ctx;
    ipc_close(&c->ipc);
    list_remove(&c->link);
    c->supervisor->commander_count--;
    free(c);
}

static void on_gone(void *ctx)
{
    struct commander *c = ctx;
    c->waits = 0;
    os_later(c->supervisor->os, &c->free_task);
}

static void answer(struct commander *c, uint8_t code, struct view text)
{
    char *memory = malloc(text.len + 64);
    struct buffer frame;
    buffer_init(&frame, memory, memory ? text.len + 64 : 0);
    ipc_answer_pack(&frame, &(struct ipc_answer){ code, text });
    if (memory)
        ipc_send(&c->ipc, buffer_view(&frame));
    c->waits = 0;
    free(memory);
}

void control_reloaded(struct supervisor *sv, uint8_t code, struct view text)
{
    list_each_safe(link, &sv->commanders)
    {
        struct commander *c = list_entry(link, struct commander, link);
        if (c->waits == IPC_COMMAND_RELOAD && !sv->reload.again)
            answer(c, code, text);
    }
}

/* ---- status ---- */

static void send_process(struct commander *c, const struct ipc_process *process)
{
    char memory[PROCESS_SIZE_MAX];
    struct buffer frame = BUFFER_OF(memory);
    ipc_process_pack(&frame, process);
    ipc_send(&c->ipc, buffer_view(&frame));
}

static void send_status(struct commander *commander)
{
    struct supervisor *sv = commander->supervisor;
    uint64_t now = os_now_us(sv->os);
    list_each(link, &sv->children)
    {
        const struct child *c = list_entry(link, struct child, link);
        send_process(commander, &(struct ipc_process){ .role = view_of(child_name(c)),
                                                       .instance = c->instance,
                                                       .number = c->process ? os_child_number(c->process) : 0,
                                                       .uptime_us = c->process ? now - c->started_us : 0,
                                                       .generation = c->generation,
                                                       .starts = c->starts,
                                                       .counts = c->counts });
    }
    answer(commander, 0, VIEW_NONE);
}

static bool all_counted(const struct supervisor *sv)
{
    list_each(link, &sv->children) if (list_entry(link, struct child, link)->questions) return false;
    return true;
}

static void send_all_status(struct supervisor *sv)
{
    sv->status_due_us = OS_NEVER;
    list_each_safe(link, &sv->commanders)
    {
        struct commander *c = list_entry(link, struct commander, link);
        if (c->waits == IPC_COMMAND_STATUS)
            send_status(c);
    }
}

void control_counted(struct supervisor *sv)
{
    if (sv->status_due_us != OS_NEVER && all_counted(sv))
        send_all_status(sv);
}

void control_alarm(struct supervisor *sv)
{
    if (sv->status_due_us <= os_now_us(sv->os))
        send_all_status(sv);
}

static void ask_counts(struct supervisor *sv)
{
    list_each(link, &sv->children)
    {
        struct child *c = list_entry(link, struct child, link);
        if (!c->process)
            continue;
        c->questions++;
        child_post_type(c, IPC_COUNT);
    }
    sv->status_due_us = os_now_us(sv->os) + STATUS_US_MAX;
    supervisor_arm(sv);
    control_counted(sv);
}

/* ---- the queue ---- */

/* The link is qmgr's from now on. */
static void hand_on(struct commander *commander)
{
    struct supervisor *sv = commander->supervisor;
    list_each(link, &sv->children)
    {
        struct child *c = list_entry(link, struct child, link);
        if (c->role != IPC_QMGR || !c->process)
            continue;
        struct os_link *to = ipc_detach(&commander->ipc);
        if (to)
            child_post_handle(c, (struct ipc_handle){ .what = IPC_A_LINK, .role = IPC_COMMANDER },
                              (struct os_handle){ .kind = OS_HANDLE_LINK, .link = to }, true);
        on_gone(commander);
        return;
    }
    answer(commander, EX_UNAVAILABLE, VIEW("the process of the queue is being started again; try again in a moment\n"));
}

/* ---- commanders ---- */

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct commander *c = ctx;
    uint8_t command;
    (void)handle;
    if (type != IPC_COMMAND || c->waits || !ipc_command_unpack(body, &command)) {
        ipc_end(&c->ipc);
        return;
    }
    c->waits = command;
    switch (command) {
    case IPC_COMMAND_RELOAD:
        reload_ask(c->supervisor);
        break;
    case IPC_COMMAND_STATUS:
        ask_counts(c->supervisor);
        break;
    case IPC_COMMAND_QUEUE:
        hand_on(c);
        break;
    default:
        ipc_end(&c->ipc);
    }
}

static void on_link(void *ctx, struct os_link *link)
{
    struct supervisor *sv = ctx;
    struct commander *c = sv->commander_count < COMMANDERS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        os_link_close(link);
        return;
    }
    *c = (struct commander){ .supervisor = sv, .free_task = { free_commander, c, NULL, false } };
    list_append(&sv->commanders, &c->link);
    sv->commander_count++;
    ipc_open(&c->ipc, sv->os, link, &(struct ipc_owner){ c, on_frame, NULL, on_gone });
}

/* Without it the server works all the same. */
void control_open(struct supervisor *sv)
{
    enum os_status status = os_control(sv->os, sv->setup.spool, CONTROL_NAME, on_link, sv);
    if (status != OS_OK)
        event_note(&sv->log, "no-control-socket", view_of(os_status_text(status)));
}

void control_close(struct supervisor *sv)
{
    if (sv->setup.spool)
        os_control_end(sv->os, sv->setup.spool, CONTROL_NAME);
    while (!list_empty(&sv->commanders))
        free_commander(list_entry(sv->commanders.next, struct commander, link));
}
