#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "gonetsd/relay.h"

#define PADDING_MAX      64   /* of a record, between head and content */
#define REVERSE_PATH_MAX 4096 /* with a source route */

/* ---- segments ---- */

struct relay_content *relay_content_find(struct relay *relay, uint64_t number)
{
    list_each(link, &relay->contents)
    {
        struct relay_content *c = list_entry(link, struct relay_content, link);
        if (c->number == number)
            return c;
    }
    return NULL;
}

static void let_go(struct relay_content *c)
{
    if (c->jobs || c->announced)
        return;
    os_file_close(c->file);
    list_remove(&c->link);
    free(c);
}

void relay_content_release(struct relay_content *content)
{
    content->jobs--;
    let_go(content);
}

bool relay_content_take(struct relay *relay, struct unpack *body, struct os_handle *handle)
{
    struct ipc_segment m;
    if (!ipc_segment_unpack(body, &m) || handle->kind != OS_HANDLE_FILE)
        return false;
    struct relay_content *c = relay_content_find(relay, m.number);
    if (c) {
        c->announced = true;
        return true; /* numbers are never used twice: our handle is as good as this one, which is closed for us */
    }
    c = malloc(sizeof *c);
    if (!c)
        return false;
    *c = (struct relay_content){ .number = m.number, .file = handle->file, .announced = true };
    handle->kind = OS_HANDLE_NONE;
    list_append(&relay->contents, &c->link);
    return true;
}

bool relay_content_drop(struct relay *relay, struct unpack *body)
{
    struct ipc_segment m;
    struct relay_content *c = ipc_segment_unpack(body, &m) ? relay_content_find(relay, m.number) : NULL;
    if (!c)
        return false;
    c->announced = false;
    let_go(c);
    return true;
}

void relay_content_renounce_all(struct relay *relay)
{
    list_each_safe(link, &relay->contents)
    {
        struct relay_content *c = list_entry(link, struct relay_content, link);
        c->announced = false;
        let_go(c);
    }
}

void relay_content_free_all(struct relay *relay)
{
    list_each_safe(link, &relay->contents)
    {
        struct relay_content *c = list_entry(link, struct relay_content, link);
        c->announced = false;
        c->jobs = 0;
        let_go(c);
    }
}

/* ---- heads, and small messages with them ---- */

/* Bytes of the record that a span names; none when it lies elsewhere in the segment. */
static struct view in_record(const struct relay_job *job, const struct spool_span *span)
{
    uint64_t start = job->place.offset, end = start + job->record_len;
    if (span->offset < start || span->offset > end || span->len > end - span->offset)
        return VIEW_NONE;
    return (struct view){ job->record + (span->offset - start), (size_t)span->len };
}

enum whole { WHOLE, IN_PARTS, DAMAGED };

/* The disk must give back what it was given (H138): seen before the server hears the first word. */
static enum whole check_whole(const struct relay_job *job)
{
    struct spool_reader reader;
    struct spool_span span;
    spool_reader_init(&reader, &job->message, VIEW_NONE);
    while (spool_reader_next(&reader, &span)) {
        if (span.bytes.at)
            continue;
        struct view bytes = in_record(job, &span);
        if (!bytes.at)
            return IN_PARTS;
        if (crc32c(0, bytes) != span.crc)
            return DAMAGED;
    }
    return reader.bad ? DAMAGED : WHOLE;
}

/* RFC 5321 section 3.6.1: source routes are taken off. */
static bool take_reverse_path(struct relay_job *job)
{
    struct view path, rest;
    struct smtp_path parsed;
    char memory[REVERSE_PATH_MAX + 2];
    struct buffer bracketed = BUFFER_OF(memory), plain = BUFFER_OF(job->reverse_path);
    if (!spool_tag_find(job->message.envelope, SPOOL_TAG_REVERSE_PATH, &path))
        return false;
    buffer_add_char(&bracketed, '<');
    buffer_add(&bracketed, path);
    buffer_add_char(&bracketed, '>');
    rest = buffer_view(&bracketed);
    if (bracketed.full || smtp_path_parse(&rest, SMTP_PATH_NULL | SMTP_PATH_BARE, &parsed) != SMTP_PATH_OK)
        return false;
    smtp_path_add_mailbox(&plain, &parsed);
    job->send.reverse_path = buffer_view(&plain);
    return !plain.full;
}

static bool parse(struct relay_job *job, uint64_t got)
{
    if (got < job->place.head_size)
        return false;
    job->record_len = (size_t)got;
    const struct view record = { job->record, job->record_len };
    if (!spool_message_parse(record, &job->place, &job->message) || !take_reverse_path(job))
        return false;
    enum whole whole = check_whole(job);
    job->whole = whole == WHOLE;
    job->send.size = spool_message_size(&job->message);
    job->send.body = job->message.facts.eight_bit ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
    return whole != DAMAGED;
}

static void on_read(struct relay_job *job, const struct os_op *op)
{
    bool good = op->status == OS_OK && parse(job, op->value);
    job->read = good ? RELAY_READ : RELAY_UNREADABLE;
    if (job->over)
        relay_job_release(job);
    else if (job->session)
        relay_session_go(job->session);
    else if (!good)
        relay_job_unreadable(job);
}

static void on_read_all(void *ctx)
{
    struct relay *relay = ctx;
    relay->reading = false;
    for (size_t i = 0; i < relay->read_count; i++)
        on_read(relay->being_read[i], &relay->ops[i]);
    relay_content_run(relay);
}

static struct os_op read_op(const struct relay_job *job, enum os_op_kind kind)
{
    return (struct os_op){ .kind = kind,
                           .file = &job->content->file,
                           .offset = job->place.offset,
                           .buf = job->record,
                           .len = job->record_cap };
}

/* Mail that just came in is still in memory: to wake the reading thread for it would cost far more than to read it. */
static void read_cached(struct relay *relay)
{
    struct list *link;
    while ((link = list_pop(&relay->wanted))) {
        struct relay_job *job = list_entry(link, struct relay_job, reading);
        struct os_op op = read_op(job, OS_READ_CACHED);
        os_run_ops(relay->os, &op, 1);
        if (op.status == OS_AGAIN)
            list_append(&relay->cold, &job->reading);
        else
            on_read(job, &op);
    }
}

/* The rest is read with one request, as many as it takes; those that are left over wait for the next. */
void relay_content_run(void *ctx)
{
    struct relay *relay = ctx;
    struct list *link;
    read_cached(relay);
    if (relay->reading || list_empty(&relay->cold))
        return;
    relay->read_count = 0;
    while (relay->read_count < RELAY_READS_MAX && (link = list_pop(&relay->cold))) {
        struct relay_job *job = list_entry(link, struct relay_job, reading);
        relay->ops[relay->read_count] = read_op(job, OS_READ);
        relay->being_read[relay->read_count++] = job;
    }
    relay->reading = true;
    relay->request = (struct os_request){ relay->ops, relay->read_count, on_read_all, relay, NULL };
    os_submit(relay->queue, &relay->request);
}

void relay_content_read(struct relay_job *job)
{
    struct relay *relay = job->relay;
    size_t len = job->place.head_size;
    if (job->place.content_size <= RELAY_WHOLE_MAX)
        len += PADDING_MAX + (size_t)job->place.content_size;
    /* What cannot be had shows when a session wants it. */
    bool fits = job->place.head_size <= RELAY_HEAD_MAX && relay->memory + len <= RELAY_MEMORY_MAX;
    job->record = fits ? malloc(len) : NULL;
    if (!job->record) {
        job->read = RELAY_NO_MEMORY;
        return;
    }
    job->record_cap = len;
    job->read = RELAY_READING;
    relay->memory += len;
    list_append(&relay->wanted, &job->reading);
    os_later(relay->os, &relay->read_task);
}

void relay_content_forget(struct relay_job *job)
{
    list_remove(&job->reading);
    if (!job->record)
        return;
    job->relay->memory -= job->record_cap;
    free(job->record);
    job->record = NULL;
}

/* ---- content on its way out ---- */

void relay_source_start(struct relay_source *source, struct relay_job *job, void (*ready)(void *ctx), void *ctx)
{
    *source = (struct relay_source){ .job = job, .content = job->content, .ready = ready, .ctx = ctx };
    source->content->jobs++;
    spool_reader_init(&source->reader, &job->message, VIEW_NONE);
}

void relay_source_end(struct relay_source *source)
{
    if (!source->content)
        return;
    relay_content_release(source->content);
    source->content = NULL;
    free(source->chunk);
    source->chunk = NULL;
}

static void on_chunk(void *ctx)
{
    struct relay_source *source = ctx;
    source->reading = false;
    source->damaged = source->op.status != OS_OK || source->op.value < source->op.len;
    if (!source->damaged) {
        source->piece = (struct view){ source->chunk, source->op.len };
        source->crc = crc32c(source->crc, source->piece);
        source->damaged = source->span.len == 0 && source->crc != source->span.crc;
    }
    source->ready(source->ctx);
}

static enum relay_source_state read_chunk(struct relay_source *source)
{
    if (!source->chunk && !(source->chunk = malloc(RELAY_CHUNK)))
        return RELAY_SOURCE_DAMAGED;
    size_t len = source->span.len < RELAY_CHUNK ? (size_t)source->span.len : RELAY_CHUNK;
    source->op = (struct os_op){
        .kind = OS_READ, .file = &source->content->file, .offset = source->span.offset, .buf = source->chunk, .len = len
    };
    source->span.offset += len;
    source->span.len -= len;
    source->reading = true;
    source->request = (struct os_request){ &source->op, 1, on_chunk, source, NULL };
    os_submit(source->job->relay->queue, &source->request);
    return RELAY_SOURCE_WAIT;
}

static void take_span(struct relay_source *source)
{
    if (source->span.bytes.at)
        source->piece = source->span.bytes;
    else if (source->job->whole)
        source->piece = in_record(source->job, &source->span);
    else
        return;
    source->span.len = 0;
}

enum relay_source_state relay_source_next(struct relay_source *source)
{
    if (source->damaged)
        return RELAY_SOURCE_DAMAGED;
    if (source->reading)
        return RELAY_SOURCE_WAIT;
    while (source->piece.len == 0 && source->span.len == 0) {
        if (!spool_reader_next(&source->reader, &source->span))
            return source->reader.bad ? RELAY_SOURCE_DAMAGED : RELAY_SOURCE_END;
        source->crc = 0;
        take_span(source);
    }
    return source->piece.len ? RELAY_SOURCE_PIECE : read_chunk(source);
}
