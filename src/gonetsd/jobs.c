/* Whose turn it is goes to a deliverer, as many as it has given credit for; what comes back becomes an event in the
 * spool, and only then the deliverer may forget it. */
#include <stdlib.h>

#include "gonetsd/qmgr.h"
#include "smtp/client.h"

/* So much in one turn of the loop that it takes less than 2 ms. */
#define TURN_MAX 200 /* recipients given out */
#define TICK_MAX 500 /* messages whose time has come */
#define WALK_MAX 500 /* recipients looked at in the line of a destination that was just paused */

#define FRAME_ROOM (OS_FRAME_MAX - 4096)    /* bytes of recipients in one job */
#define AGAIN_US   (60 * UINT64_C(1000000)) /* after trouble of our own: no memory, a segment that cannot be read */

/* ---- envelopes ---- */

struct fetch {
    struct qmgr *qmgr;
    struct mail_id id;
};

static void wait_a_moment(struct qmgr *qmgr, struct queue_recipient *r)
{
    queue_wait(&qmgr->queue, r, r->attempts, os_now_us(qmgr->os) + AGAIN_US);
}

static void on_fetched(void *ctx, const struct spool_message *stored)
{
    struct fetch *fetch = ctx;
    struct qmgr *qmgr = fetch->qmgr;
    struct queue *q = &qmgr->queue;
    struct queue_message *m = queue_find(q, &fetch->id);
    free(fetch);
    qmgr->fetches--;
    os_later(qmgr->os, &qmgr->work);
    if (!m)
        return;
    m->fetching = false;
    bool good = stored && queue_warm(q, m, stored);
    if (!good)
        event_note(&qmgr->log, "alarm", VIEW("the envelope of a message cannot be read at the moment; it waits"));
    for (uint32_t i = 0; i < m->recipient_count; i++) {
        struct queue_recipient *r = &m->recipients[i];
        if (r->state != QUEUE_FETCHING)
            continue;
        queue_end(q, r->destination, QUEUE_ENDED_SO);
        if (good)
            queue_set_first(q, r);
        else
            wait_a_moment(qmgr, r);
    }
    qmgr_arm(qmgr);
}

static bool begin_fetch(struct qmgr *qmgr, struct queue_message *m)
{
    struct fetch *fetch = malloc(sizeof *fetch);
    if (!fetch)
        return false;
    *fetch = (struct fetch){ qmgr, m->item.id };
    if (!spool_store_fetch(qmgr->store, &m->item.id, &m->place, on_fetched, fetch)) {
        free(fetch);
        return false;
    }
    m->fetching = true;
    qmgr->fetches++;
    return true;
}

/* false: enough are being read. */
static bool fetch(struct qmgr *qmgr, struct queue_recipient *r)
{
    struct queue_message *m = r->message;
    if (!m->fetching && qmgr->fetches >= QMGR_FETCHES_MAX)
        return false;
    if (!m->fetching && !begin_fetch(qmgr, m)) {
        wait_a_moment(qmgr, r);
        return true;
    }
    queue_set(&qmgr->queue, r, QUEUE_FETCHING);
    queue_begin(&qmgr->queue, r->destination);
    return true;
}

/* ---- giving out ---- */

static void join(struct qmgr *qmgr, struct job *job, struct queue_recipient *r)
{
    queue_slot(r->message, queue_number(r))->job = job;
    queue_set(&qmgr->queue, r, QUEUE_WORKING);
    list_append(&job->recipients, &r->link);
    job->by->credit--;
}

static bool give_local(struct qmgr *qmgr, struct deliverer *by, struct queue_recipient *r)
{
    char memory[2048];
    struct buffer frame = BUFFER_OF(memory);
    struct queue_message *m = r->message;
    struct queue_destination *d = r->destination;
    uint32_t number = queue_number(r);
    const struct spool_place *place = &m->place;
    ipc_job_pack(&frame, &(struct ipc_job){ m->item.id, number, place->segment, place->offset, place->content_size,
                                            place->head_size, queue_destination_action(d), queue_path(m, number) });
    struct job *job = frame.full ? NULL : deliverer_give(by, place, buffer_view(&frame));
    if (!job)
        return false;
    job->destination = d;
    join(qmgr, job, r);
    queue_begin(&qmgr->queue, d);
    return true;
}

/* All of the message that stand in the same line go together, as many as fit. */
static uint32_t collect(struct buffer *recipients, const struct queue_recipient *first, uint32_t *numbers, uint32_t max)
{
    const struct queue_message *m = first->message;
    uint32_t count = 0;
    for (uint32_t i = queue_number(first), seen = 0; seen < m->recipient_count && count < max; seen++) {
        const struct queue_recipient *r = &m->recipients[i];
        struct view path = queue_path(m, i);
        if (r->state == QUEUE_READY && r->destination == first->destination && buffer_room(recipients) > path.len + 8) {
            ipc_recipient_add(recipients, i, path);
            numbers[count++] = i;
        }
        i = i + 1 < m->recipient_count ? i + 1 : 0;
    }
    return count;
}

/* What the log of the deliverer calls it: the domain of the recipient also when a smart host takes it. */
static struct view domain_of(struct view path)
{
    return view_slice(path, view_find_last(path, '@') + 1, path.len);
}

static bool give_relay(struct qmgr *qmgr, struct deliverer *by, struct queue_recipient *r)
{
    char memory[OS_FRAME_MAX], inner[FRAME_ROOM];
    struct buffer frame = BUFFER_OF(memory), recipients = BUFFER_OF(inner);
    uint32_t numbers[IPC_RELAY_MAX];
    struct queue_message *m = r->message;
    struct queue_destination *d = r->destination;
    struct view domain = queue_destination_domain(d);
    uint32_t max = by->credit < IPC_RELAY_MAX ? by->credit : IPC_RELAY_MAX;
    uint32_t count = collect(&recipients, r, numbers, max);
    ipc_relay_job_pack(&frame,
                       &(struct ipc_relay_job){ m->item.id, m->place.segment, m->place.offset, m->place.content_size,
                                                m->place.head_size, queue_destination_action(d),
                                                domain.len ? domain : domain_of(queue_path(m, queue_number(r))),
                                                buffer_view(&recipients) });
    struct job *job = frame.full || count == 0 ? NULL : deliverer_give(by, &m->place, buffer_view(&frame));
    if (!job)
        return false;
    job->destination = d;
    d->worker = (uint16_t)by->instance;
    for (uint32_t i = 0; i < count; i++)
        join(qmgr, job, &m->recipients[numbers[i]]);
    queue_begin(&qmgr->queue, d);
    return true;
}

static bool give(struct qmgr *qmgr, struct queue_recipient *r)
{
    bool relay = r->destination->kind == QUEUE_RELAY;
    struct deliverer *by = deliverer_choose(qmgr, relay ? IPC_SMTP : IPC_LOCAL, r->destination->worker);
    if (!by)
        return false;
    if (relay ? give_relay(qmgr, by, r) : give_local(qmgr, by, r))
        return true;
    if (deliverer_ready(by)) /* the segment cannot be opened now, or the job does not fit: others may go */
        wait_a_moment(qmgr, r);
    return deliverer_ready(by);
}

/* ---- turns ---- */

static void aim(struct qmgr *qmgr, struct queue_recipient *r, struct queue_destination *d)
{
    queue_set(&qmgr->queue, r, QUEUE_NEW);
    queue_aim(&qmgr->queue, r, d);
    queue_set(&qmgr->queue, r, QUEUE_READY);
    os_later(qmgr->os, &qmgr->work); /* perhaps its kind has been served in this turn */
}

/* The route is found again: the configuration may be another one than when it lined up. false: no more of this kind
 * now. */
static bool attempt(struct qmgr *qmgr, struct queue_recipient *r)
{
    struct queue_message *m = r->message;
    if (!m->warm)
        return fetch(qmgr, r);
    struct queue_route route = queue_route_of(&qmgr->role.conf, m, queue_number(r));
    struct queue_destination *d = queue_route_destination(&qmgr->queue, &route);
    if (m->warm->received_count > qmgr->role.conf.limits.hops_max)
        d = qmgr->queue.self;
    if (d != r->destination)
        aim(qmgr, r, d);
    else if (d->kind == QUEUE_SELF)
        self_attempt(qmgr, r, &route);
    else
        return give(qmgr, r);
    return true;
}

void jobs_route(struct qmgr *qmgr, struct queue_message *m)
{
    for (uint32_t i = 0; i < m->recipient_count; i++) {
        struct queue_recipient *r = &m->recipients[i];
        if (r->state != QUEUE_NEW)
            continue;
        struct queue_route route = queue_route_of(&qmgr->role.conf, m, i);
        queue_aim(&qmgr->queue, r, queue_route_destination(&qmgr->queue, &route));
        queue_set(&qmgr->queue, r, QUEUE_READY);
    }
    os_later(qmgr->os, &qmgr->work);
}

static bool may_serve(struct qmgr *qmgr, enum queue_kind kind)
{
    static const enum ipc_role roles[] = { [QUEUE_LOCAL] = IPC_LOCAL, [QUEUE_RELAY] = IPC_SMTP };
    return kind == QUEUE_SELF || deliverer_choose(qmgr, roles[kind], UINT32_MAX) != NULL;
}

/* true: there is more to do. */
static bool serve(struct qmgr *qmgr, enum queue_kind kind)
{
    struct queue_recipient *r;
    for (unsigned budget = TURN_MAX; may_serve(qmgr, kind) && (r = queue_next(&qmgr->queue, kind)); budget--)
        if (budget == 0 || !attempt(qmgr, r))
            return budget == 0;
    return false;
}

static struct view trouble_of(const struct queue_recipient *r)
{
    return r->destination && r->destination->trouble ? view_of(r->destination->trouble)
                                                     : VIEW("its destination cannot be reached");
}

/* The attempt at the destination counted for everyone in its line. true: there is more. */
static bool walk(struct qmgr *qmgr)
{
    struct queue *q = &qmgr->queue;
    unsigned budget = WALK_MAX;
    while (reports_room(qmgr)) {
        struct queue_recipient *r = queue_walk(q, os_now_us(qmgr->os), &budget);
        if (!r)
            return budget == 0;
        struct queue_event reply = {
            .code = 451, .status = { 5, 4, 7 }, .text = trouble_of(r), .attempts = r->attempts
        };
        if (queue_expired(q, r->message, os_now_us(qmgr->os)))
            report_failed(qmgr, r, &reply, (struct mark_from){ 0 });
        else
            report_delayed(qmgr, r->message, r, &reply);
    }
    return false; /* goes on when a report is done */
}

void jobs_work(void *ctx)
{
    struct qmgr *qmgr = ctx;
    if (!qmgr->opened || qmgr->stopping)
        return;
    bool more = queue_tick(&qmgr->queue, os_now_us(qmgr->os), TICK_MAX);
    more = walk(qmgr) || more;
    for (enum queue_kind kind = QUEUE_SELF; kind < QUEUE_KINDS; kind++)
        more = serve(qmgr, kind) || more;
    reports_work(qmgr);
    deliverers_flush(qmgr);
    qmgr_arm(qmgr);
    if (more)
        os_later(qmgr->os, &qmgr->work);
}

/* ---- results ---- */

static struct queue_event event_of(const struct ipc_result *m)
{
    return (struct queue_event){ .code = m->code,
                                 .status = { m->status[0], m->status[1], m->status[2] },
                                 .text = m->text,
                                 .remote = m->remote,
                                 .phase = m->phase,
                                 .uncertain = m->uncertain };
}

/* Trouble before a message was begun, 421 and broken sessions are the destination's, not the message's. */
static bool is_bad(const struct ipc_result *m)
{
    return m->outcome == IPC_DEFERRED &&
           (m->code == 421 || m->code == 0 || m->uncertain || m->phase <= SMTP_PHASE_IDLE);
}

static void leave_job(struct qmgr *qmgr, struct queue_recipient *r, const struct ipc_result *m,
                      struct queue_event *event)
{
    struct queue_slot *slot = queue_slot(r->message, queue_number(r));
    struct job *job = slot->job;
    slot->job = NULL;
    list_remove(&r->link);
    event->took_us = os_now_us(qmgr->os) - job->begun_us;
    if (m->reach == IPC_UNREACHED)
        queue_unreached(&qmgr->queue, job->destination, m->text, os_now_us(qmgr->os));
    else if (is_bad(m))
        job->bad = true;
    else
        job->well = true;
    if (list_empty(&job->recipients))
        deliverer_end(qmgr, job);
    os_later(qmgr->os, &qmgr->work);
}

static void defer(struct qmgr *qmgr, struct queue_recipient *r, struct queue_event *event, struct mark_from from)
{
    struct queue_message *m = r->message;
    uint64_t now = os_now_us(qmgr->os);
    event->attempts = r->attempts + 1;
    if (queue_expired(&qmgr->queue, m, now)) {
        event->status[0] = 5; /* RFC 3463 section 3.5: delivery time expired */
        event->status[1] = 4;
        event->status[2] = 7;
        report_failed(qmgr, r, event, from);
        return;
    }
    mark_log(qmgr, r, QUEUE_EVENT_DEFERRED, event);
    if (queue_warns(&qmgr->queue, m, now))
        report_delayed(qmgr, m, r, event);
    queue_defer(&qmgr->queue, r, now);
    uint64_t due = queue_due_us(r);
    event->next_wall_us = os_wall_us(qmgr->os) + (due > now ? due - now : 0);
    event->age_s = queue_age_us(m, now) / 1000000;
    /* Without memory for it only the count of attempts would be lost by a crash. */
    if (!mark(qmgr, r, QUEUE_EVENT_DEFERRED, event, VIEW_NONE, from))
        deliverer_kept(qmgr, from.role, from.instance, &m->item.id, queue_number(r));
    qmgr_arm(qmgr);
}

static void finish(struct qmgr *qmgr, struct queue_recipient *r, const struct ipc_result *m, struct queue_event *event,
                   struct mark_from from)
{
    event->attempts = r->attempts + 1;
    switch ((enum ipc_outcome)m->outcome) {
    case IPC_DELIVERED:
        mark_log(qmgr, r, QUEUE_EVENT_DELIVERED, event);
        /* No memory for a mark: held, so that no second copy is made; a restart of qmgr hears the result again. */
        if (!mark(qmgr, r, QUEUE_EVENT_DELIVERED, event, VIEW_NONE, from))
            queue_set(&qmgr->queue, r, QUEUE_HELD);
        break;
    case IPC_DEFERRED:
        defer(qmgr, r, event, from);
        break;
    case IPC_FAILED:
        report_failed(qmgr, r, event, from);
        break;
    }
}

/* A result that was said before, perhaps to the qmgr before us. A final one counts whatever we know of the recipient;
 * of a deferral we know from its event, or the attempt is made again. */
static bool was_heard(const struct queue_recipient *r, const struct ipc_result *m)
{
    return !r || r->state == QUEUE_DONE || (m->outcome == IPC_DEFERRED && r->state != QUEUE_WORKING);
}

bool jobs_result(struct deliverer *by, struct unpack *body)
{
    struct qmgr *qmgr = by->qmgr;
    const struct mark_from from = { by->role, by->instance };
    struct ipc_result m;
    if (!ipc_result_unpack(body, &m))
        return false;
    struct queue_recipient *r = queue_recipient(&qmgr->queue, &m.id, m.recipient);
    if (was_heard(r, &m)) {
        deliverer_kept(qmgr, by->role, by->instance, &m.id, m.recipient);
        return true;
    }
    if (r->state == QUEUE_MARKING)
        return true;
    struct queue_event event = event_of(&m);
    if (r->state == QUEUE_WORKING) {
        const struct job *job = queue_slot(r->message, m.recipient)->job;
        if (job->by != by) /* it was not given to it, and who has it will say what came of it */
            return true;
        leave_job(qmgr, r, &m, &event);
    } else if (r->state == QUEUE_FETCHING) {
        queue_end(&qmgr->queue, r->destination, QUEUE_ENDED_SO);
    }
    finish(qmgr, r, &m, &event, from);
    return true;
}
