/* Links to the processes that deliver: local, and one smtp for each core. */
#include <stdlib.h>

#include "gonetsd/qmgr.h"

#define CONTENTS_IDLE_MAX 8 /* segments without jobs that a deliverer keeps open, to be used again */
#define CRASHES_MAX       5 /* ends of smtp processes that a recipient may have been part of; then it is held */
#define CREDIT_MAX        65536

/* A segment that the deliverer has a handle of. */
struct content {
    struct list link; /* the one used last stands last */
    uint64_t segment;
    unsigned jobs;
};

/* ---- contents ---- */

static struct content *find_content(struct deliverer *by, uint64_t segment)
{
    list_each(link, &by->contents)
    {
        struct content *c = list_entry(link, struct content, link);
        if (c->segment == segment)
            return c;
    }
    return NULL;
}

static bool send_content(struct deliverer *by, uint64_t segment)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    struct os_file *file = spool_store_file(by->qmgr->store, segment);
    const struct os_handle handle = { .kind = OS_HANDLE_FILE, .file = file };
    ipc_segment_pack(&frame, IPC_CONTENT, &(struct ipc_segment){ .number = segment });
    return file && ipc_send_handle(&by->ipc, buffer_view(&frame), &handle);
}

static struct content *open_content(struct deliverer *by, uint64_t segment)
{
    struct content *c = find_content(by, segment);
    if (c || !(c = malloc(sizeof *c)))
        return c;
    if (!send_content(by, segment)) {
        free(c);
        return NULL;
    }
    *c = (struct content){ .segment = segment };
    list_append(&by->contents, &c->link);
    by->content_count++;
    return c;
}

static void drop_content(struct deliverer *by, struct content *c)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    ipc_segment_pack(&frame, IPC_CONTENT_GONE, &(struct ipc_segment){ .number = c->segment });
    ipc_send(&by->ipc, buffer_view(&frame));
    list_remove(&c->link);
    free(c);
    by->content_count--;
}

/* The oldest idle ones go, so that recycled space is not held by a handle for ever. */
static void trim_contents(struct deliverer *by)
{
    list_each_safe(link, &by->contents)
    {
        struct content *c = list_entry(link, struct content, link);
        if (by->content_count <= CONTENTS_IDLE_MAX)
            return;
        if (c->jobs == 0)
            drop_content(by, c);
    }
}

/* ---- jobs ---- */

bool deliverer_ready(const struct deliverer *by)
{
    return by->credit > 0 && !by->gone && ipc_is_open(&by->ipc) && ipc_ready(&by->ipc);
}

struct deliverer *deliverer_choose(struct qmgr *qmgr, enum ipc_role role, uint32_t last)
{
    struct deliverer *best = NULL;
    list_each(link, &qmgr->deliverers)
    {
        struct deliverer *by = list_entry(link, struct deliverer, link);
        if (by->role != role || !deliverer_ready(by))
            continue;
        if (by->instance == last)
            return by;
        if (!best || by->credit > best->credit)
            best = by;
    }
    return best;
}

struct deliverer *deliverer_find(struct qmgr *qmgr, enum ipc_role role, uint32_t instance)
{
    list_each(link, &qmgr->deliverers)
    {
        struct deliverer *by = list_entry(link, struct deliverer, link);
        if (by->role == role && by->instance == instance)
            return by;
    }
    return NULL;
}

bool deliverers_use(const struct qmgr *qmgr, uint64_t segment)
{
    list_each(link, &qmgr->deliverers)
    {
        struct deliverer *by = list_entry(link, struct deliverer, link);
        const struct content *c = find_content(by, segment);
        if (c && c->jobs > 0)
            return true;
    }
    return false;
}

struct job *deliverer_give(struct deliverer *by, const struct spool_place *place, struct view frame)
{
    struct content *c = open_content(by, place->segment);
    struct job *job = c ? malloc(sizeof *job) : NULL;
    if (!job || !ipc_add(&by->ipc, frame)) {
        free(job);
        return NULL;
    }
    os_later(by->qmgr->os, &by->qmgr->flush);
    *job = (struct job){ .by = by, .segment = place->segment, .begun_us = os_now_us(by->qmgr->os) };
    list_init(&job->recipients);
    list_append(&by->jobs, &job->link);
    c->jobs++;
    return job;
}

static void free_job(struct job *job)
{
    list_remove(&job->link);
    free(job);
}

static enum queue_ended how_it_ended(const struct job *job)
{
    if (job->bad)
        return QUEUE_ENDED_BADLY;
    return job->well ? QUEUE_ENDED_WELL : QUEUE_ENDED_SO;
}

void deliverer_end(struct qmgr *qmgr, struct job *job)
{
    struct content *c = find_content(job->by, job->segment);
    if (c) {
        c->jobs--;
        list_remove(&c->link);
        list_append(&job->by->contents, &c->link);
        trim_contents(job->by);
    }
    queue_end(&qmgr->queue, job->destination, how_it_ended(job));
    free_job(job);
}

void deliverer_kept(struct qmgr *qmgr, enum ipc_role role, uint32_t instance, const struct mail_id *id,
                    uint32_t recipient)
{
    char memory[32];
    struct buffer frame = BUFFER_OF(memory);
    struct deliverer *by = role ? deliverer_find(qmgr, role, instance) : NULL;
    ipc_kept_pack(&frame, &(struct ipc_kept){ *id, recipient });
    if (by && ipc_add(&by->ipc, buffer_view(&frame)))
        os_later(qmgr->os, &qmgr->flush);
}

void deliverers_flush(void *ctx)
{
    struct qmgr *qmgr = ctx;
    list_each(link, &qmgr->deliverers)
        ipc_flush(&list_entry(link, struct deliverer, link)->ipc);
}

/* Whether it delivered is not known (hazards O2, an uncertain window), so it is given out again. Who was there at
 * several such ends may be their cause: it goes alone, and in the end no more (H144). The workers of local are counted
 * by local. */
static void give_again(struct deliverer *by, struct queue_recipient *r)
{
    struct qmgr *qmgr = by->qmgr;
    const struct queue_event event = { .text = VIEW("processes of role smtp ended with this message in their hands") };
    queue_slot(r->message, queue_number(r))->job = NULL;
    r->crashes += by->role == IPC_SMTP && !qmgr->stopping;
    if (r->crashes < 2) {
        queue_set_first(&qmgr->queue, r);
    } else if (r->crashes < CRASHES_MAX) {
        queue_defer(&qmgr->queue, r, os_now_us(qmgr->os));
    } else {
        mark_log(qmgr, r, QUEUE_EVENT_HELD, &event);
        event_note(&qmgr->log, "alarm", event.text);
        mark(qmgr, r, QUEUE_EVENT_HELD, &event, VIEW_NONE, (struct mark_from){ 0 });
        queue_set(&qmgr->queue, r, QUEUE_HELD);
    }
}

static void take_back(struct deliverer *by)
{
    while (!list_empty(&by->jobs)) {
        struct job *job = list_entry(by->jobs.next, struct job, link);
        while (!list_empty(&job->recipients))
            give_again(by, list_entry(job->recipients.next, struct queue_recipient, link));
        queue_end(&by->qmgr->queue, job->destination, QUEUE_ENDED_SO);
        free_job(job);
    }
}

/* ---- the link ---- */

static bool on_credit(struct deliverer *by, struct unpack *body)
{
    uint32_t count;
    if (!ipc_credit_unpack(body, &count) || count > CREDIT_MAX || by->credit > CREDIT_MAX)
        return false;
    by->credit += count;
    os_later(by->qmgr->os, &by->qmgr->work);
    return true;
}

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct deliverer *by = ctx;
    uint32_t instance;
    bool good = false;
    (void)handle;
    if (type == IPC_HELLO)
        good = role_check_hello(body, by->role, &instance);
    else if (type == IPC_RESULT)
        good = jobs_result(by, body);
    else if (type == IPC_CREDIT)
        good = on_credit(by, body);
    if (!good)
        ipc_end(&by->ipc);
}

static void on_room(void *ctx)
{
    struct deliverer *by = ctx;
    os_later(by->qmgr->os, &by->qmgr->work);
}

static void on_gone(void *ctx)
{
    struct deliverer *by = ctx;
    event_note(&by->qmgr->log, "neighbour-gone", by->role == IPC_LOCAL ? VIEW("local") : VIEW("smtp"));
    by->gone = true;
    by->credit = 0;
    take_back(by);
    os_later(by->qmgr->os, &by->qmgr->work);
}

static void free_deliverer(struct deliverer *by)
{
    take_back(by);
    if (by->unopened)
        os_link_close(by->unopened);
    else
        ipc_close(&by->ipc);
    for (struct list *link; (link = list_pop(&by->contents));)
        free(list_entry(link, struct content, link));
    list_remove(&by->link);
    free(by);
}

void deliverers_free(struct qmgr *qmgr)
{
    while (!list_empty(&qmgr->deliverers))
        free_deliverer(list_entry(qmgr->deliverers.next, struct deliverer, link));
}

static void open_link(struct deliverer *by)
{
    ipc_open(&by->ipc, by->qmgr->os, by->unopened, &(struct ipc_owner){ by, on_frame, on_room, on_gone });
    by->unopened = NULL;
    role_say_hello(&by->ipc, IPC_QMGR, 0);
}

/* Results that are said again speak of messages that are known once the spool is open: only then they are heard. */
void deliverers_opened(struct qmgr *qmgr)
{
    list_each(link, &qmgr->deliverers)
    {
        struct deliverer *by = list_entry(link, struct deliverer, link);
        if (by->unopened)
            open_link(by);
    }
}

void deliverer_link(struct qmgr *qmgr, enum ipc_role role, uint32_t instance, struct os_link *link)
{
    struct deliverer *by = deliverer_find(qmgr, role, instance);
    if (by)
        free_deliverer(by);
    os_later(qmgr->os, &qmgr->work);
    by = calloc(1, sizeof *by);
    if (!by) {
        os_link_close(link);
        return;
    }
    *by = (struct deliverer){ .qmgr = qmgr, .unopened = link, .role = role, .instance = instance };
    list_init(&by->contents);
    list_init(&by->jobs);
    list_append(&qmgr->deliverers, &by->link);
    if (qmgr->opened)
        open_link(by);
}
