/* Events on their way to the disk, and what they mean for the queue once they are there. */
#include <stdlib.h>
#include <string.h>

#include "gonetsd/qmgr.h"

struct mark {
    struct qmgr *qmgr;
    struct mark_from from;
    struct spool_event event; /* tags: below */
    char tags[];
};

static void on_marked(void *ctx, bool ok);

static bool is_final(unsigned kind)
{
    return (kind & SPOOL_EVENT_FINAL) != 0;
}

static bool log_event(struct mark *m)
{
    return spool_store_log(m->qmgr->store, &m->event, on_marked, m);
}

bool mark(struct qmgr *qmgr, struct queue_recipient *r, unsigned kind, const struct queue_event *event,
          struct view paths, struct mark_from from)
{
    struct buffer tags;
    size_t cap = QUEUE_EVENT_ROOM + event->text.len + event->remote.len + paths.len;
    struct mark *m = malloc(sizeof *m + cap);
    if (!m)
        return false;
    buffer_init(&tags, m->tags, cap);
    queue_event_pack(&tags, event);
    buffer_add(&tags, paths);
    m->qmgr = qmgr;
    m->from = from;
    m->event = (struct spool_event){ .id = r->message->item.id,
                                     .segment = r->message->place.segment,
                                     .recipient = queue_number(r),
                                     .kind = (uint8_t)kind,
                                     .wall_us = os_wall_us(qmgr->os),
                                     .tags = buffer_view(&tags) };
    if (tags.full || !log_event(m)) {
        free(m);
        return false;
    }
    if (is_final(kind))
        queue_set(&qmgr->queue, r, QUEUE_MARKING);
    return true;
}

/* ---- durable ---- */

/* By now it is sure that it will never count. A final one is noted again: serving the recipient again would make a
 * copy. */
static void on_lost(struct mark *m, struct queue_recipient *r)
{
    event_note(&m->qmgr->log, "mark-failed", VIEW("an event could not be noted on disk; it is noted again"));
    if (r && is_final(m->event.kind) && log_event(m))
        return;
    if (r && is_final(m->event.kind))
        queue_set(&m->qmgr->queue, r, QUEUE_HELD); /* until a restart, which hears the result again */
    else
        deliverer_kept(m->qmgr, m->from.role, m->from.instance, &m->event.id, m->event.recipient);
    free(m);
}

static void on_marked(void *ctx, bool ok)
{
    struct mark *m = ctx;
    struct qmgr *qmgr = m->qmgr;
    if (!ok) {
        on_lost(m, queue_recipient(&qmgr->queue, &m->event.id, m->event.recipient));
        return;
    }
    deliverer_kept(qmgr, m->from.role, m->from.instance, &m->event.id, m->event.recipient);
    if (is_final(m->event.kind))
        mark_apply(qmgr, &m->event);
    free(m);
}

/* ---- what they mean ---- */

/* Its members stand in line before it is done itself: so the message is not finished in between. */
static void expand(struct qmgr *qmgr, struct queue_recipient *r, const struct queue_event *event)
{
    struct queue_message *m = r->message;
    uint32_t number = queue_number(r), count = 0;
    struct view rest = event->paths;
    struct view *paths = malloc((event->path_count + 1) * sizeof *paths);
    while (paths && count < event->path_count && queue_event_path(&rest, &paths[count]))
        count++;
    bool good = paths && (count == 0 || queue_expand(&qmgr->queue, m, number, event->first, paths, count));
    free(paths);
    r = &m->recipients[number];
    if (good) {
        jobs_route(qmgr, m);
        qmgr_done(qmgr, r);
        return;
    }
    event_note(&qmgr->log, "queue-full", VIEW("no memory for the members of an alias; they wait for a restart"));
    queue_set(&qmgr->queue, r, QUEUE_HELD);
}

/* At recovery: by the wall clock, as far as it can be believed. */
static void defer(struct qmgr *qmgr, struct queue_recipient *r, const struct spool_event *event,
                  const struct queue_event *more)
{
    uint64_t now = os_now_us(qmgr->os), wall = os_wall_us(qmgr->os);
    uint64_t gap = more->next_wall_us > event->wall_us ? more->next_wall_us - event->wall_us : 0;
    uint64_t passed = qmgr_passed_us(wall, event->wall_us);
    queue_wait(&qmgr->queue, r, more->attempts, now + (gap > passed ? gap - passed : 0));
    queue_set_age(r->message, now, more->age_s * 1000000 + passed);
}

void mark_apply(struct qmgr *qmgr, const struct spool_event *event)
{
    struct queue_message *m = queue_find(&qmgr->queue, &event->id);
    struct queue_recipient *r = queue_recipient(&qmgr->queue, &event->id, event->recipient);
    struct queue_event more;
    if (!m || !queue_event_unpack(event->tags, &more) || (r && r->state == QUEUE_DONE))
        return;
    if (event->kind == QUEUE_EVENT_DELAY_REPORTED)
        m->warned = QUEUE_WARNED;
    else if (r && event->kind == QUEUE_EVENT_EXPANDED)
        expand(qmgr, r, &more);
    else if (r && is_final(event->kind))
        qmgr_done(qmgr, r);
    else if (r && event->kind == QUEUE_EVENT_DEFERRED)
        defer(qmgr, r, event, &more);
    else if (r && event->kind == QUEUE_EVENT_HELD)
        queue_set(&qmgr->queue, r, QUEUE_HELD);
    else if (r && event->kind == QUEUE_EVENT_RELEASED)
        queue_release(&qmgr->queue, r, os_now_us(qmgr->os));
}

/* ---- the log ---- */

void mark_log(struct qmgr *qmgr, const struct queue_recipient *r, unsigned kind, const struct queue_event *event)
{
    const struct queue_message *m = r->message;
    char status[24];
    struct buffer text = BUFFER_OF(status);
    struct event e;
    event_begin(&e, &qmgr->log, queue_event_name(kind));
    event_id(&e, &m->item.id);
    if (queue_slot(m, queue_number(r))) /* else it was said before our time */
        event_view(&e, "to", queue_path(m, queue_number(r)));
    if (event->remote.len)
        event_view(&e, "relay", event->remote);
    else if (r->destination)
        event_view(&e, "relay", queue_destination_action(r->destination));
    if (event->code)
        event_u64(&e, "code", event->code);
    if (event->status[0]) {
        buffer_addf(&text, "%u.%u.%u", event->status[0], event->status[1], event->status[2]);
        event_view(&e, "status", buffer_view(&text));
    }
    if (event->attempts)
        event_u64(&e, "attempts", event->attempts);
    event_u64(&e, "delay", queue_age_us(m, os_now_us(qmgr->os)) / 1000000);
    event_view(&e, "text", event->text);
    event_end(&e);
}
