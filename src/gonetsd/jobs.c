/* What is ready goes to role local as jobs, as many as it has given credit for; its results become events in the spool,
 * and only then it may forget them. */
#include <stdlib.h>

#include "gonetsd/qmgr.h"

#define CONTENTS_IDLE_MAX 8 /* segments without jobs that local keeps open, to be used again */

/* A segment that local has a handle of. */
struct content {
    struct list link; /* the one used last stands last */
    uint64_t segment;
    unsigned jobs;
};

struct local {
    struct qmgr *qmgr;
    struct ipc ipc;
    uint32_t credit;
    struct list contents;
    size_t content_count;
    bool gone;
};

/* An event on its way to the disk. */
struct mark {
    struct qmgr *qmgr;
    struct mail_id id;
    uint32_t recipient;
};

/* ---- contents ---- */

static struct content *find_content(struct local *local, uint64_t segment)
{
    list_each(link, &local->contents)
    {
        struct content *c = list_entry(link, struct content, link);
        if (c->segment == segment)
            return c;
    }
    return NULL;
}

static bool send_content(struct local *local, uint64_t segment)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    struct os_file *file = spool_store_file(local->qmgr->store, segment);
    const struct os_handle handle = { .kind = OS_HANDLE_FILE, .file = file };
    ipc_segment_pack(&frame, IPC_CONTENT, &(struct ipc_segment){ .number = segment });
    return file && ipc_send_handle(&local->ipc, buffer_view(&frame), &handle);
}

static struct content *open_content(struct local *local, uint64_t segment)
{
    struct content *c = find_content(local, segment);
    if (c || !(c = malloc(sizeof *c)))
        return c;
    if (!send_content(local, segment)) {
        free(c);
        return NULL;
    }
    *c = (struct content){ .segment = segment };
    list_append(&local->contents, &c->link);
    local->content_count++;
    return c;
}

static void drop_content(struct local *local, struct content *c)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    ipc_segment_pack(&frame, IPC_CONTENT_GONE, &(struct ipc_segment){ .number = c->segment });
    ipc_send(&local->ipc, buffer_view(&frame));
    list_remove(&c->link);
    free(c);
    local->content_count--;
}

/* The oldest idle ones go, so that recycled space is not held by a handle for ever. */
static void trim_contents(struct local *local)
{
    list_each_safe(link, &local->contents)
    {
        struct content *c = list_entry(link, struct content, link);
        if (local->content_count <= CONTENTS_IDLE_MAX)
            return;
        if (c->jobs == 0)
            drop_content(local, c);
    }
}

static void job_over(struct local *local, uint64_t segment)
{
    struct content *c = find_content(local, segment);
    if (!c)
        return;
    c->jobs--;
    list_remove(&c->link);
    list_append(&local->contents, &c->link);
    trim_contents(local);
}

/* ---- giving out ---- */

static bool give(struct local *local, struct queue_recipient *r)
{
    char memory[2048];
    struct buffer frame = BUFFER_OF(memory);
    const struct spool_place *place = &r->message->place;
    struct content *c = open_content(local, place->segment);
    if (!c)
        return false;
    ipc_job_pack(&frame, &(struct ipc_job){ r->message->id, queue_number(r), place->segment, place->offset,
                                            place->content_size, place->head_size, r->action, r->path });
    if (frame.full || !ipc_send(&local->ipc, buffer_view(&frame)))
        return false;
    c->jobs++;
    local->credit--;
    queue_set(&local->qmgr->queue, r, QUEUE_WORKING);
    return true;
}

void jobs_work(void *ctx)
{
    struct qmgr *qmgr = ctx;
    struct local *local = qmgr->local;
    struct queue_recipient *r;
    if (!qmgr->opened || !local)
        return;
    while (local->credit && ipc_ready(&local->ipc) && (r = queue_next(&qmgr->queue)))
        if (!give(local, r))
            return;
}

/* ---- results ---- */

static void say_kept(struct local *local, const struct mail_id *id, uint32_t recipient)
{
    char memory[32];
    struct buffer frame = BUFFER_OF(memory);
    ipc_kept_pack(&frame, &(struct ipc_kept){ *id, recipient });
    ipc_send(&local->ipc, buffer_view(&frame));
}

static void log_result(struct qmgr *qmgr, const struct ipc_result *m, const struct queue_recipient *r)
{
    static const char *const names[] = { "", "delivered", "deferred", "failed" };
    struct event e;
    event_begin(&e, &qmgr->log, names[m->outcome]);
    event_id(&e, &m->id);
    event_view(&e, "to", r->path);
    event_u64(&e, "code", m->code);
    event_view(&e, "text", m->text);
    event_end(&e);
}

static struct queue_recipient *find_recipient(struct qmgr *qmgr, const struct mail_id *id, uint32_t number)
{
    struct queue_message *m = queue_find(&qmgr->queue, id);
    return m && number < m->recipient_count ? &m->recipients[number] : NULL;
}

static uint64_t random_of(struct qmgr *qmgr)
{
    uint64_t random = 0;
    (void)!os_random(qmgr->os, &random, sizeof random);
    return random;
}

static void mark_delivered(struct qmgr *qmgr, struct queue_recipient *r);

static void on_marked(void *ctx, bool ok)
{
    struct mark *mark = ctx;
    struct qmgr *qmgr = mark->qmgr;
    struct queue_recipient *r = find_recipient(qmgr, &mark->id, mark->recipient);
    if (ok && qmgr->local && ipc_is_open(&qmgr->local->ipc))
        say_kept(qmgr->local, &mark->id, mark->recipient);
    free(mark);
    if (!r || r->state == QUEUE_DONE)
        return;
    if (!ok) { /* by now it is sure that it will never count; serving the recipient again would make a copy */
        event_note(&qmgr->log, "mark-failed", VIEW("a delivery could not be noted on disk; it is noted again"));
        mark_delivered(qmgr, r);
        return;
    }
    queue_set(&qmgr->queue, r, QUEUE_DONE);
    if (r->message->open_count == 0)
        qmgr_message_done(qmgr, r->message);
}

/* No memory for a mark: held, so that no second copy is made; a restart of qmgr hears the result again. */
static void mark_delivered(struct qmgr *qmgr, struct queue_recipient *r)
{
    struct mark *mark = malloc(sizeof *mark);
    queue_set(&qmgr->queue, r, mark ? QUEUE_MARKING : QUEUE_HELD);
    if (!mark)
        return;
    *mark = (struct mark){ qmgr, r->message->id, queue_number(r) };
    const struct spool_event event = { .id = r->message->id,
                                       .segment = r->message->place.segment,
                                       .recipient = mark->recipient,
                                       .kind = QUEUE_EVENT_DELIVERED,
                                       .wall_us = os_wall_us(qmgr->os) };
    if (spool_store_log(qmgr->store, &event, on_marked, mark))
        return;
    queue_set(&qmgr->queue, r, QUEUE_HELD);
    free(mark);
}

static void finish_job(struct local *local, const struct ipc_result *m, struct queue_recipient *r)
{
    struct qmgr *qmgr = local->qmgr;
    if (m->outcome == IPC_DELIVERED) {
        mark_delivered(qmgr, r);
        return;
    }
    say_kept(local, &m->id, m->recipient);
    if (m->outcome == IPC_DEFERRED)
        queue_defer(&qmgr->queue, r, os_now_us(qmgr->os), random_of(qmgr));
    else
        queue_set(&qmgr->queue, r, QUEUE_HELD);
    qmgr_arm(qmgr);
}

static bool on_result(struct local *local, struct unpack *body)
{
    struct ipc_result m;
    if (!ipc_result_unpack(body, &m))
        return false;
    struct queue_recipient *r = find_recipient(local->qmgr, &m.id, m.recipient);
    if (!r || r->state == QUEUE_DONE || r->state == QUEUE_WAITING) { /* heard before */
        say_kept(local, &m.id, m.recipient);
        return true;
    }
    if (r->state == QUEUE_MARKING)
        return true;
    if (r->state == QUEUE_WORKING) /* also when it is said again from before: it was given here, too */
        job_over(local, r->message->place.segment);
    log_result(local->qmgr, &m, r);
    finish_job(local, &m, r);
    return true;
}

/* ---- the link ---- */

static bool on_credit(struct local *local, struct unpack *body)
{
    uint32_t count;
    if (!ipc_credit_unpack(body, &count) || count > 65536 || local->credit > 65536)
        return false;
    local->credit += count;
    os_later(local->qmgr->os, &local->qmgr->work);
    return true;
}

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct local *local = ctx;
    uint32_t instance;
    bool good = false;
    (void)handle;
    if (type == IPC_HELLO)
        good = role_check_hello(body, IPC_LOCAL, &instance);
    else if (type == IPC_RESULT)
        good = on_result(local, body);
    else if (type == IPC_CREDIT)
        good = on_credit(local, body);
    if (!good)
        ipc_end(&local->ipc);
}

static void on_room(void *ctx)
{
    struct local *local = ctx;
    os_later(local->qmgr->os, &local->qmgr->work);
}

static void free_local(struct local *local)
{
    for (struct list *link; (link = list_pop(&local->contents));)
        free(list_entry(link, struct content, link));
    free(local);
}

/* What it was working on is given out again: whether it delivered is not known (hazards O2, an uncertain window). */
static void take_back(struct qmgr *qmgr)
{
    for (struct map_item *item = NULL; (item = map_next(&qmgr->queue.messages, item));) {
        struct queue_message *m = map_entry(item, struct queue_message, by_id);
        for (uint32_t i = 0; i < m->recipient_count; i++)
            if (m->recipients[i].state == QUEUE_WORKING)
                queue_set(&qmgr->queue, &m->recipients[i], QUEUE_READY);
    }
}

static void on_gone(void *ctx)
{
    struct local *local = ctx;
    event_note(&local->qmgr->log, "neighbour-gone", VIEW("local"));
    local->gone = true;
    local->credit = 0;
    take_back(local->qmgr);
}

void jobs_free(struct qmgr *qmgr)
{
    if (qmgr->local_link)
        os_link_close(qmgr->local_link);
    qmgr->local_link = NULL;
    if (!qmgr->local)
        return;
    ipc_close(&qmgr->local->ipc);
    free_local(qmgr->local);
    qmgr->local = NULL;
}

/* Results that are said again speak of messages that are known once the spool is open: only then they are heard. */
void jobs_opened(struct qmgr *qmgr)
{
    struct os_link *link = qmgr->local_link;
    qmgr->local_link = NULL;
    if (link)
        jobs_link(qmgr, link);
}

void jobs_link(struct qmgr *qmgr, struct os_link *link)
{
    if (qmgr->local && !qmgr->local->gone)
        take_back(qmgr);
    jobs_free(qmgr);
    if (!qmgr->opened) {
        qmgr->local_link = link;
        return;
    }
    qmgr->local = calloc(1, sizeof *qmgr->local);
    if (!qmgr->local) {
        os_link_close(link);
        return;
    }
    qmgr->local->qmgr = qmgr;
    list_init(&qmgr->local->contents);
    ipc_open(&qmgr->local->ipc, qmgr->os, link, &(struct ipc_owner){ qmgr->local, on_frame, on_room, on_gone });
    role_say_hello(&qmgr->local->ipc, IPC_QMGR, 0);
}
