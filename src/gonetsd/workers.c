/* The smtpd processes as qmgr sees them: they get segments and tell what is durable in them. */
#include <stdlib.h>

#include "gonetsd/qmgr.h"

#define WANTED_MAX 64 /* segments of a kind that one worker may want at a time */

/* A segment that a worker holds, or that waits in stock (file != NULL). */
struct segment {
    struct list link;
    enum spool_kind kind;
    uint64_t number, nonce, size, upto;
    struct os_file *file;
};

struct worker {
    struct list link;
    struct qmgr *qmgr;
    struct ipc ipc;
    uint32_t instance;
    unsigned wanted[4]; /* by spool_kind */
    struct list held;
    bool told, gone;
    struct os_task free_task;
};

static bool kind_valid(uint8_t kind)
{
    return kind == SPOOL_MAIL || kind == SPOOL_LARGE;
}

static struct segment *find_segment(struct list *list, uint64_t number)
{
    list_each(link, list)
    {
        struct segment *segment = list_entry(link, struct segment, link);
        if (segment->number == number)
            return segment;
    }
    return NULL;
}

static struct segment *find_kind(struct list *list, enum spool_kind kind)
{
    list_each(link, list)
    {
        struct segment *segment = list_entry(link, struct segment, link);
        if (segment->kind == kind)
            return segment;
    }
    return NULL;
}

/* The file is the worker's alone from now on. */
static bool hand_out(struct worker *w, struct segment *segment)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    const struct os_handle handle = { .kind = OS_HANDLE_FILE, .file = segment->file };
    ipc_segment_pack(&frame, IPC_SEGMENT, &(struct ipc_segment){ (uint8_t)segment->kind, segment->number, segment->nonce,
                                                                 segment->size, 0 });
    if (!ipc_send_handle(&w->ipc, buffer_view(&frame), &handle))
        return false;
    os_file_close(segment->file);
    segment->file = NULL;
    list_remove(&segment->link);
    list_append(&w->held, &segment->link);
    return true;
}

static void serve(struct worker *w)
{
    for (enum spool_kind kind = SPOOL_MAIL; kind <= SPOOL_LARGE; kind++)
        for (struct segment *s; w->wanted[kind] && (s = find_kind(&w->qmgr->stock, kind)); w->wanted[kind]--)
            if (!hand_out(w, s))
                return;
}

/* Asks the store for as many as are wanted and neither in stock nor on their way. */
static void ask_store(struct qmgr *qmgr, enum spool_kind kind)
{
    unsigned wanted = 0;
    list_each(link, &qmgr->workers)
        wanted += list_entry(link, struct worker, link)->wanted[kind];
    if (!qmgr->store || wanted <= qmgr->asked[kind])
        return;
    spool_store_need(qmgr->store, kind, wanted - qmgr->asked[kind]);
    qmgr->asked[kind] = wanted;
    qmgr_arm(qmgr);
}

void workers_segment(void *ctx, enum spool_kind kind, uint64_t number, uint64_t nonce, uint64_t size, struct os_file *file)
{
    struct qmgr *qmgr = ctx;
    struct segment *segment = malloc(sizeof *segment);
    qmgr->asked[kind] -= qmgr->asked[kind] > 0;
    if (!segment) {
        os_file_close(file);
        return;
    }
    *segment = (struct segment){ .kind = kind, .number = number, .nonce = nonce, .size = size, .file = file };
    list_append(&qmgr->stock, &segment->link);
    list_each(link, &qmgr->workers)
        serve(list_entry(link, struct worker, link));
}

void workers_opened(struct qmgr *qmgr)
{
    ask_store(qmgr, SPOOL_MAIL);
    ask_store(qmgr, SPOOL_LARGE);
}

static bool on_need(struct worker *w, struct unpack *body)
{
    struct ipc_need m;
    if (!ipc_need_unpack(body, &m) || !kind_valid(m.kind) || m.count > WANTED_MAX - w->wanted[m.kind])
        return false;
    w->wanted[m.kind] += m.count;
    serve(w);
    ask_store(w->qmgr, (enum spool_kind)m.kind);
    return true;
}

static bool on_held(struct worker *w, struct unpack *body)
{
    struct ipc_segment m;
    struct segment *segment;
    if (w->told || !ipc_segment_unpack(body, &m) || !kind_valid(m.kind) || !(segment = malloc(sizeof *segment)))
        return false;
    *segment = (struct segment){ .kind = (enum spool_kind)m.kind, .number = m.number, .upto = m.upto };
    list_append(&w->held, &segment->link);
    return true;
}

/* A worker may speak only of segments that it holds. */
static bool on_notice(struct worker *w, uint8_t type, struct unpack *body)
{
    struct ipc_segment m;
    struct segment *segment = ipc_segment_unpack(body, &m) ? find_segment(&w->held, m.number) : NULL;
    if (!segment)
        return false;
    segment->upto = m.upto;
    if (w->qmgr->store && type == IPC_DURABLE)
        spool_store_durable(w->qmgr->store, m.number, m.upto);
    if (type != IPC_SEALED)
        return true;
    if (w->qmgr->store)
        spool_store_sealed(w->qmgr->store, m.number, m.upto);
    list_remove(&segment->link);
    free(segment);
    qmgr_arm(w->qmgr);
    return true;
}

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct worker *w = ctx;
    uint32_t instance;
    bool good = false;
    (void)handle;
    switch (type) {
    case IPC_HELLO:
        good = role_check_hello(body, IPC_SMTPD, &instance);
        break;
    case IPC_HELD:
        good = on_held(w, body);
        break;
    case IPC_HELD_END:
        good = w->told = true;
        qmgr_open_store(w->qmgr);
        break;
    case IPC_NEED:
        good = on_need(w, body);
        break;
    case IPC_DURABLE:
    case IPC_SEALED:
        good = on_notice(w, type, body);
    }
    if (!good)
        ipc_end(&w->ipc);
}

static void on_room(void *ctx)
{
    serve(ctx);
}

static void orphan(struct worker *w)
{
    for (struct list *link; (link = list_pop(&w->held));) {
        struct segment *segment = list_entry(link, struct segment, link);
        if (w->qmgr->store)
            spool_store_orphaned(w->qmgr->store, segment->number);
        free(segment);
    }
}

static void free_worker(void *ctx)
{
    struct worker *w = ctx;
    list_remove(&w->link);
    free(w);
}

static void on_gone(void *ctx)
{
    struct worker *w = ctx;
    w->told = true;
    for (int kind = 0; kind < 4; kind++)
        w->wanted[kind] = 0;
    orphan(w);
    os_later(w->qmgr->os, &w->free_task);
    qmgr_open_store(w->qmgr);
}

void workers_link(struct qmgr *qmgr, uint32_t instance, struct os_link *link)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w) {
        os_link_close(link);
        return;
    }
    w->qmgr = qmgr;
    w->instance = instance;
    w->free_task = (struct os_task){ free_worker, w, NULL, false };
    list_init(&w->held);
    list_append(&qmgr->workers, &w->link);
    ipc_open(&w->ipc, qmgr->os, link, &(struct ipc_owner){ w, on_frame, on_room, on_gone });
    role_say_hello(&w->ipc, IPC_QMGR, 0);
}

bool workers_told(const struct qmgr *qmgr)
{
    list_each(link, &qmgr->workers)
        if (!list_entry(link, struct worker, link)->told)
            return false;
    return true;
}

size_t workers_held(const struct qmgr *qmgr, struct spool_held *held, size_t max)
{
    size_t count = 0;
    list_each(link, &qmgr->workers)
    {
        const struct worker *w = list_entry(link, struct worker, link);
        list_each(inner, &w->held)
        {
            const struct segment *s = list_entry(inner, struct segment, link);
            if (count < max)
                held[count++] = (struct spool_held){ s->kind, s->number, s->upto };
        }
    }
    return count;
}

void workers_free(struct qmgr *qmgr)
{
    for (struct list *link; (link = list_pop(&qmgr->workers));) {
        struct worker *w = list_entry(link, struct worker, link);
        ipc_close(&w->ipc);
        for (struct list *inner; (inner = list_pop(&w->held));)
            free(list_entry(inner, struct segment, link));
        free(w);
    }
    for (struct list *link; (link = list_pop(&qmgr->stock));) {
        struct segment *segment = list_entry(link, struct segment, link);
        os_file_close(segment->file);
        free(segment);
    }
}
