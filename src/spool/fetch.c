/* A stored message is read again, off the loop: its envelope, or its first bytes as they go out. */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "spool/store_inner.h"

/* Goes from job to job until it is done. */
struct fetch {
    struct mail_id id;
    struct spool_place place;
    void (*message)(void *ctx, const struct spool_message *message);
    void (*bytes)(void *ctx, struct view bytes); /* one of the two */
    void *ctx;
    struct segment *segment; /* NULL: gone */
    struct spool_message stored;
    struct spool_reader reader;
    struct spool_span span;
    struct buffer found;
    char *head;
    char room[]; /* for the head, then for what is found */
};

static void end(struct job *job, bool ok)
{
    struct fetch *fetch = job->extra;
    struct segment *segment = fetch->segment;
    if (segment)
        segment->users--;
    if (fetch->message)
        fetch->message(fetch->ctx, ok ? &fetch->stored : NULL);
    else
        fetch->bytes(fetch->ctx, ok ? buffer_view(&fetch->found) : VIEW_NONE);
    if (segment)
        store_look_soon(job->store); /* it may leave now */
}

/* Set aside once; in the end the whole file is kept. */
static void found_rot(struct job *job, uint64_t from, uint64_t to)
{
    const struct fetch *fetch = job->extra;
    struct segment *segment = fetch->segment;
    if (segment && !set_has(&segment->spoiled, from) && set_add(&segment->spoiled, from))
        frontier_damage(job->store, segment, from, to);
}

/* Takes the fetch over. False: no memory. */
static bool read_part(struct spool_store *store, struct fetch *fetch, uint64_t at, char *to, size_t len,
                      void (*done)(struct job *job, bool ok))
{
    struct job *job = job_new(store, done);
    if (!job)
        return false;
    job->extra = fetch;
    if (!to)
        to = job->memory = malloc(len);
    if (!to) {
        free(job);
        return false;
    }
    bool moved = fetch->segment && fetch->segment->state == SEGMENT_MOVED;
    segment_name(job->name, fetch->segment ? fetch->segment->number : fetch->place.segment);
    struct os_op *op = job_op(job, OS_OPEN);
    op->dir = moved ? store->quarantine_dir : store->segments_dir;
    op->name = job->name;
    op->flags = OS_FOR_READ | OS_NO_FOLLOW;
    op = job_op(job, OS_READ);
    op->offset = at;
    op->buf = to;
    op->len = len;
    job_submit(job, store->read_queue);
    return true;
}

static bool all_was_read(const struct job *job, bool ok)
{
    return ok && job->ops[1].value == job->ops[1].len;
}

static void next_span(struct job *job);

static void span_read(struct job *job, bool ok)
{
    struct fetch *fetch = job->extra;
    struct view bytes = { job->memory, fetch->span.len };
    ok = all_was_read(job, ok);
    if (ok && crc32c(0, bytes) != fetch->span.crc) {
        found_rot(job, fetch->span.offset, fetch->span.offset + fetch->span.len);
        ok = false;
    }
    if (!ok) {
        end(job, false);
        return;
    }
    buffer_add(&fetch->found, view_take(&bytes, buffer_room(&fetch->found)));
    next_span(job);
}

/* A range has one checksum, so it is read whole. */
static void next_span(struct job *job)
{
    struct fetch *fetch = job->extra;
    while (buffer_room(&fetch->found) && spool_reader_next(&fetch->reader, &fetch->span)) {
        struct spool_span *span = &fetch->span;
        if (span->bytes.at) {
            buffer_add(&fetch->found, view_take(&span->bytes, buffer_room(&fetch->found)));
            continue;
        }
        if (span->len <= BODY_MAX && read_part(job->store, fetch, span->offset, NULL, span->len, span_read))
            job->extra = NULL;
        else
            end(job, false);
        return;
    }
    end(job, !fetch->reader.bad);
}

static void head_read(struct job *job, bool ok)
{
    struct fetch *fetch = job->extra;
    const struct spool_place *place = &fetch->place;
    struct view head = { fetch->head, place->head_size };
    ok = all_was_read(job, ok);
    if (ok && !spool_message_parse(head, place, &fetch->stored)) {
        found_rot(job, place->offset, place->offset + place->head_size);
        ok = false;
    }
    if (!ok || fetch->message) {
        end(job, ok && mail_id_compare(&fetch->stored.id, &fetch->id) == 0);
        return;
    }
    spool_reader_init(&fetch->reader, &fetch->stored, VIEW_NONE);
    next_span(job);
}

static struct fetch *fetch_new(struct spool_store *store, const struct spool_place *place, size_t max)
{
    if (place->head_size < RECORD_HEADER_SIZE || place->head_size > RECORD_HEADER_SIZE + HEAD_MAX)
        return NULL;
    struct fetch *fetch = calloc(1, sizeof(*fetch) + place->head_size + max);
    if (!fetch)
        return NULL;
    fetch->place = *place;
    fetch->segment = store_find(store, place->segment);
    fetch->head = fetch->room;
    buffer_init(&fetch->found, fetch->room + place->head_size, max);
    return fetch;
}

static bool start(struct spool_store *store, struct fetch *fetch)
{
    struct segment *segment = fetch->segment;
    if (!read_part(store, fetch, fetch->place.offset, fetch->head, fetch->place.head_size, head_read)) {
        free(fetch);
        return false;
    }
    if (segment)
        segment->users++;
    return true;
}

bool spool_store_fetch(struct spool_store *store, const struct mail_id *id, const struct spool_place *place,
                       void (*done)(void *ctx, const struct spool_message *message), void *ctx)
{
    struct fetch *fetch = fetch_new(store, place, 0);
    if (!fetch)
        return false;
    fetch->id = *id;
    fetch->message = done;
    fetch->ctx = ctx;
    return start(store, fetch);
}

bool spool_store_read_head(struct spool_store *store, const struct spool_place *place, size_t max,
                           void (*done)(void *ctx, struct view bytes), void *ctx)
{
    struct fetch *fetch = fetch_new(store, place, max);
    if (!fetch)
        return false;
    fetch->bytes = done;
    fetch->ctx = ctx;
    return start(store, fetch);
}
