#include "gonetsd/qmgr.h"

#include <stdlib.h>

#include "gonetsd/roles.h"

#define HELD_MAX 4096  /* segments that all workers together may hold */
#define QUIET_US 10000 /* stopping: how often it is looked whether the disk has done what it was told */

/* Everything that was promised lies in the spool: only what was begun on disk is waited for. */
static void end_when_quiet(struct qmgr *qmgr)
{
    if (qmgr->store && !qmgr->opened) { /* recovery has changed nothing that counts; it ends in the next turn */
        spool_store_close(qmgr->store);
        qmgr->store = NULL;
        return;
    }
    if (!qmgr->store || spool_store_quiet(qmgr->store))
        os_stop(qmgr->os, 0);
}

static void on_alarm(void *ctx)
{
    struct qmgr *qmgr = ctx;
    if (qmgr->stopping)
        end_when_quiet(qmgr);
    else if (qmgr->store)
        spool_store_tick(qmgr->store);
    queue_tick(&qmgr->queue, os_now_us(qmgr->os));
    os_later(qmgr->os, &qmgr->work);
    qmgr_arm(qmgr);
}

void qmgr_arm(struct qmgr *qmgr)
{
    struct heap_item *first = heap_first(&qmgr->queue.waiting);
    uint64_t due = qmgr->store ? spool_store_deadline(qmgr->store) : OS_NEVER;
    if (first && first->key < due)
        due = first->key;
    if (qmgr->stopping)
        due = os_now_us(qmgr->os) + QUIET_US;
    os_alarm(qmgr->os, due, on_alarm, qmgr);
}

void qmgr_message_done(struct qmgr *qmgr, struct queue_message *m)
{
    struct mail_id id = m->id;
    struct spool_place place = m->place;
    queue_remove(&qmgr->queue, m);
    spool_store_forget(qmgr->store, &id, &place);
}

/* An action of the configuration decides at each attempt, not the name that was chosen at RCPT for ever. */
static void hold_some(struct qmgr *qmgr, struct queue_message *m)
{
    for (uint32_t i = 0; i < m->recipient_count; i++) {
        const struct conf_action *action = conf_action_find(&qmgr->role.conf, m->recipients[i].action);
        if (!action || action->kind == CONF_HOLD)
            queue_set(&qmgr->queue, &m->recipients[i], QUEUE_HELD);
    }
}

static void on_message(void *ctx, const struct spool_message *stored)
{
    struct qmgr *qmgr = ctx;
    bool known;
    struct queue_message *m = queue_add(&qmgr->queue, stored, &known);
    if (m) {
        hold_some(qmgr, m);
        os_later(qmgr->os, &qmgr->work);
    } else if (!known) {
        event_note(&qmgr->log, "queue-full", VIEW("out of memory; the message stays in the spool until a restart"));
    }
}

/* At recovery only: what was done before. */
static void on_event(void *ctx, const struct spool_event *event)
{
    struct qmgr *qmgr = ctx;
    struct queue_message *m = queue_find(&qmgr->queue, &event->id);
    if (m && event->kind == QUEUE_EVENT_DELIVERED && event->recipient < m->recipient_count)
        queue_set(&qmgr->queue, &m->recipients[event->recipient], QUEUE_DONE);
}

static void on_spool_alarm(void *ctx, struct view text)
{
    struct qmgr *qmgr = ctx;
    event_note(&qmgr->log, "spool-alarm", text);
}

static void on_spool_deadline(void *ctx)
{
    qmgr_arm(ctx);
}

/* Messages whose last mark became durable just before the end of the process before us. */
static void forget_finished(struct qmgr *qmgr)
{
    struct map_item *item = map_next(&qmgr->queue.messages, NULL);
    while (item) {
        struct queue_message *m = map_entry(item, struct queue_message, by_id);
        item = map_next(&qmgr->queue.messages, item);
        if (m->open_count == 0)
            qmgr_message_done(qmgr, m);
    }
}

/* Recovery has ended. */
static void on_opened(void *ctx, bool ok, struct view error)
{
    struct qmgr *qmgr = ctx;
    if (!ok) {
        event_note(&qmgr->log, "spool-refused", error);
        os_stop(qmgr->os, 2);
        return;
    }
    qmgr->opened = true;
    forget_finished(qmgr);
    jobs_opened(qmgr);
    os_later(qmgr->os, &qmgr->work);
    qmgr_arm(qmgr);
}

void qmgr_open_store(struct qmgr *qmgr)
{
    const struct spool_store_owner owner = { .ctx = qmgr,
                                             .message = on_message,
                                             .event = on_event,
                                             .segment = workers_segment,
                                             .alarm = on_spool_alarm,
                                             .deadline = on_spool_deadline,
                                             .opened = on_opened };
    const struct conf *conf = &qmgr->role.conf;
    const struct spool_store_limits limits = { conf->segment_size, 4, conf->limits.spool_free_min };
    char memory[512];
    struct buffer error = BUFFER_OF(memory);
    if (qmgr->store || qmgr->stopping || !qmgr->role.started || !qmgr->spool || !workers_told(qmgr))
        return;
    struct spool_held *held = malloc(HELD_MAX * sizeof *held);
    size_t held_count = held ? workers_held(qmgr, held, HELD_MAX) : 0;
    if (held)
        qmgr->store = spool_store_open(qmgr->os, qmgr->spool, &owner, &limits, held, held_count, &error);
    free(held);
    if (!qmgr->store) {
        event_note(&qmgr->log, "spool-refused", buffer_view(&error));
        os_stop(qmgr->os, 2);
        return;
    }
    workers_opened(qmgr);
    role_ready(&qmgr->role);
    qmgr_arm(qmgr);
}

static void on_handle(void *ctx, const struct ipc_handle *what, struct os_handle *handle)
{
    struct qmgr *qmgr = ctx;
    enum os_handle_kind kind = handle->kind;
    handle->kind = OS_HANDLE_NONE;
    if (what->what == IPC_A_SPOOL && kind == OS_HANDLE_DIR && !qmgr->spool)
        qmgr->spool = handle->dir;
    else if (what->what == IPC_A_LINK && what->role == IPC_SMTPD && kind == OS_HANDLE_LINK)
        workers_link(qmgr, what->index, handle->link);
    else if (what->what == IPC_A_LINK && what->role == IPC_LOCAL && kind == OS_HANDLE_LINK)
        jobs_link(qmgr, handle->link);
    else
        handle->kind = kind;
}

static void on_start(void *ctx)
{
    struct qmgr *qmgr = ctx;
    uint8_t seed[16];
    qmgr->log.text = qmgr->role.conf.log_text;
    if (!os_random(qmgr->os, seed, sizeof seed)) {
        event_note(&qmgr->log, "no-randomness", VIEW("the kernel gives no random bytes; not starting"));
        os_stop(qmgr->os, 1);
        return;
    }
    queue_init(&qmgr->queue, seed);
    qmgr_open_store(qmgr);
}

static void on_stop(void *ctx)
{
    struct qmgr *qmgr = ctx;
    qmgr->stopping = true;
    end_when_quiet(qmgr);
    qmgr_arm(qmgr);
}

void *qmgr_start(struct os *os, struct os_link *supervisor)
{
    struct qmgr *qmgr = calloc(1, sizeof *qmgr);
    if (!qmgr)
        return NULL;
    qmgr->os = os;
    qmgr->log = (struct event_log){ os, false, "qmgr" };
    qmgr->work = (struct os_task){ jobs_work, qmgr, NULL, false };
    list_init(&qmgr->workers);
    list_init(&qmgr->stock);
    list_init(&qmgr->queue.ready);
    role_open(&qmgr->role, os, supervisor, IPC_QMGR,
              &(struct role_owner){ .ctx = qmgr, .handle = on_handle, .start = on_start, .stop = on_stop });
    return qmgr;
}

void qmgr_stop(void *role)
{
    struct qmgr *qmgr = role;
    jobs_free(qmgr);
    workers_free(qmgr);
    if (qmgr->store)
        spool_store_close(qmgr->store);
    queue_free(&qmgr->queue);
    if (qmgr->spool)
        os_dir_close(qmgr->spool);
    role_close(&qmgr->role);
    free(qmgr);
}
