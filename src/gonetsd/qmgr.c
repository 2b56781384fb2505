#include "gonetsd/qmgr.h"

#include <stdlib.h>

#include "gonetsd/roles.h"

#define HELD_MAX 4096  /* segments that all workers together may hold */
#define QUIET_US 10000 /* stopping: how often it is looked whether the disk has done what it was told */
#define HOUR_US  (3600 * INT64_C(1000000))
#define STEP_US  HOUR_US /* of the wall clock, beyond which it is told */
#define DOWNTIME_US_MAX                                                                                                \
    (30 * 24 * (uint64_t)HOUR_US) /* a longer time since the last event is a wrong clock, not an age */

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

/* Everything is timed by the monotonic clock: a step of the wall clock is told, and changes nothing (H147). */
static void watch_wall(struct qmgr *qmgr)
{
    uint64_t ahead = os_wall_us(qmgr->os) - os_now_us(qmgr->os), before = qmgr->wall_ahead_us;
    int64_t step = (int64_t)(ahead - before);
    qmgr->wall_ahead_us = ahead;
    if (before && (step > STEP_US || step < -STEP_US))
        event_note(&qmgr->log, "clock-step",
                   step > 0 ? VIEW("the wall clock was set forward by more than an hour; mail is timed without it")
                            : VIEW("the wall clock was set back by more than an hour; mail is timed without it"));
}

static void on_alarm(void *ctx)
{
    struct qmgr *qmgr = ctx;
    watch_wall(qmgr);
    if (qmgr->stopping)
        end_when_quiet(qmgr);
    else if (qmgr->store)
        spool_store_tick(qmgr->store);
    os_later(qmgr->os, &qmgr->work);
    qmgr_arm(qmgr);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void qmgr_arm(struct qmgr *qmgr)
{
    uint64_t due = qmgr->store ? spool_store_deadline(qmgr->store) : OS_NEVER;
    if (qmgr->opened)
        due = earlier(due, earlier(queue_deadline(&qmgr->queue), reports_deadline(qmgr)));
    if (qmgr->stopping)
        due = os_now_us(qmgr->os) + QUIET_US;
    os_alarm(qmgr->os, due, on_alarm, qmgr);
}

static void forget_message(struct qmgr *qmgr, struct queue_message *m)
{
    struct mail_id id = m->item.id;
    struct spool_place place = m->place;
    queue_remove(&qmgr->queue, m);
    spool_store_forget(qmgr->store, &id, &place);
}

/* During recovery messages are forgotten only once the store is open. */
void qmgr_done(struct qmgr *qmgr, struct queue_recipient *r)
{
    struct queue_message *m = r->message;
    queue_set(&qmgr->queue, r, QUEUE_DONE);
    queue_aim(&qmgr->queue, r, NULL);
    if (m->open_count > 0)
        return;
    if (qmgr->opened)
        forget_message(qmgr, m);
    else
        list_append(&qmgr->finished, &m->recipients[0].link);
}

uint64_t qmgr_passed_us(uint64_t wall_us, uint64_t since_us)
{
    return wall_us > since_us && wall_us - since_us <= DOWNTIME_US_MAX ? wall_us - since_us : 0;
}

/* New mail is of no age whatever the clocks of its arrival said; what was found at the start is as old as can be
 * believed. */
static void on_message(void *ctx, const struct spool_message *stored)
{
    struct qmgr *qmgr = ctx;
    bool known;
    uint64_t age = qmgr->opened ? 0 : qmgr_passed_us(os_wall_us(qmgr->os), mail_id_time_us(&stored->id));
    struct queue_message *m = queue_add(&qmgr->queue, stored, os_now_us(qmgr->os), age, &known);
    if (!m && !known)
        event_note(&qmgr->log, "queue-full", VIEW("out of memory; the message stays in the spool until a restart"));
    if (!m)
        return;
    queue_warm(&qmgr->queue, m, stored);
    jobs_route(qmgr, m);
    if (!qmgr->opened || !queue_has_room(&qmgr->queue))
        queue_cool(&qmgr->queue, m);
}

/* At recovery only: what was done before. */
static void on_event(void *ctx, const struct spool_event *event)
{
    mark_apply(ctx, event);
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
    for (struct list *link; (link = list_pop(&qmgr->finished));)
        forget_message(qmgr, list_entry(link, struct queue_recipient, link)->message);
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
    deliverers_opened(qmgr);
    os_later(qmgr->os, &qmgr->work);
    qmgr_arm(qmgr);
}

/* ---- compaction ---- */

static bool on_live(void *ctx, const struct mail_id *id, const struct spool_place *place)
{
    struct qmgr *qmgr = ctx;
    const struct queue_message *m = queue_find(&qmgr->queue, id);
    return m && (!place || (m->place.segment == place->segment && m->place.offset == place->offset));
}

static void on_moved(void *ctx, const struct mail_id *id, const struct spool_place *from, const struct spool_place *to)
{
    struct qmgr *qmgr = ctx;
    struct queue_message *m = queue_find(&qmgr->queue, id);
    if (m && on_live(qmgr, id, from))
        m->place = *to;
}

static bool on_in_use(void *ctx, uint64_t segment)
{
    return deliverers_use(ctx, segment);
}

void qmgr_open_store(struct qmgr *qmgr)
{
    const struct spool_store_owner owner = { .ctx = qmgr,
                                             .message = on_message,
                                             .event = on_event,
                                             .segment = workers_segment,
                                             .alarm = on_spool_alarm,
                                             .deadline = on_spool_deadline,
                                             .opened = on_opened,
                                             .live = on_live,
                                             .moved = on_moved,
                                             .in_use = on_in_use };
    const struct conf *conf = &qmgr->role.conf;
    const struct spool_store_limits limits = { conf->segment_size, 4, conf->limits.spool_free_min };
    char memory[512];
    struct buffer error = BUFFER_OF(memory);
    if (qmgr->store || qmgr->stopping || !qmgr->has_queue || !qmgr->role.started || !qmgr->spool || !workers_told(qmgr))
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
    else if (what->what == IPC_A_LINK && (what->role == IPC_LOCAL || what->role == IPC_SMTP) && kind == OS_HANDLE_LINK)
        deliverer_link(qmgr, (enum ipc_role)what->role, what->index, handle->link);
    else if (what->what == IPC_A_LINK && what->role == IPC_COMMANDER && kind == OS_HANDLE_LINK)
        orders_link(qmgr, handle->link);
    else
        handle->kind = kind;
}

static struct queue_settings settings_of(const struct conf *conf)
{
    struct queue_settings settings = { .gap_count = conf->retry.gap_count < QUEUE_GAPS_MAX ? conf->retry.gap_count
                                                                                           : QUEUE_GAPS_MAX,
                                       .expire_us = conf->retry.expire_us,
                                       .warn_us = conf->retry.warn_us,
                                       .window_max = (unsigned)conf->limits.relay_destination_max };
    for (unsigned i = 0; i < settings.gap_count; i++)
        settings.gaps_us[i] = conf->retry.gaps_us[i];
    return settings;
}

static void on_start(void *ctx)
{
    struct qmgr *qmgr = ctx;
    uint8_t seed[16];
    const struct queue_settings settings = settings_of(&qmgr->role.conf);
    qmgr->log.text = qmgr->role.conf.log_text;
    if (!os_random(qmgr->os, seed, sizeof seed)) {
        event_note(&qmgr->log, "no-randomness", VIEW("the kernel gives no random bytes; not starting"));
        os_stop(qmgr->os, 1);
        return;
    }
    qmgr->has_queue = queue_init(&qmgr->queue, seed, &settings);
    watch_wall(qmgr);
    qmgr_open_store(qmgr);
}

/* Routes are found anew at each attempt: nothing else depends on the configuration. */
static void on_reloaded(void *ctx)
{
    struct qmgr *qmgr = ctx;
    qmgr->log.text = qmgr->role.conf.log_text;
    qmgr->queue.settings = settings_of(&qmgr->role.conf);
    os_later(qmgr->os, &qmgr->work);
}

static void on_count(void *ctx, struct ipc_counts *counts)
{
    const struct qmgr *qmgr = ctx;
    counts->messages = qmgr->has_queue ? qmgr->queue.messages.count : 0;
    counts->active = qmgr->queue.working;
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
    qmgr->flush = (struct os_task){ deliverers_flush, qmgr, NULL, false };
    list_init(&qmgr->workers);
    list_init(&qmgr->stock);
    list_init(&qmgr->deliverers);
    list_init(&qmgr->reports);
    list_init(&qmgr->finished);
    list_init(&qmgr->commanders);
    role_open(&qmgr->role, os, supervisor, IPC_QMGR,
              &(struct role_owner){ .ctx = qmgr,
                                    .handle = on_handle,
                                    .start = on_start,
                                    .stop = on_stop,
                                    .reloaded = on_reloaded,
                                    .count = on_count });
    return qmgr;
}

void qmgr_stop(void *role)
{
    struct qmgr *qmgr = role;
    orders_free(qmgr);
    deliverers_free(qmgr);
    workers_free(qmgr);
    if (qmgr->store)
        spool_store_close(qmgr->store);
    reports_free(qmgr);
    if (qmgr->has_queue)
        queue_free(&qmgr->queue);
    if (qmgr->spool)
        os_dir_close(qmgr->spool);
    role_close(&qmgr->role);
    free(qmgr);
}
