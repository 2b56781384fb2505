/* The live frontier: a notice says only how far a segment is durable; what lies before is read here, a window at a
 * time, by the same walk as recovery, never beyond. */
#include <stdio.h>
#include <stdlib.h>

#include "spool/store_inner.h"

#define WINDOW_MIN (64u << 10)
#define WINDOW_MAX (1u << 20)

static void read_next(struct spool_store *store);

/* ---- what is found ---- */

static void quarantine_name(char *to, size_t size, const struct segment *segment, uint64_t from)
{
    snprintf(to, size, "%016llx-%llx", (unsigned long long)segment->number, (unsigned long long)from);
}

/* In place: damage is rare, and must be safe before anything goes on. Writing it twice does no harm. */
void store_quarantine_bytes(struct spool_store *store, struct segment *segment, uint64_t from, uint64_t to)
{
    char name[64], bytes[SPOOL_BLOCK];
    struct os_file *file = NULL, *source = store_open_segment(store, segment);
    quarantine_name(name, sizeof(name), segment, from);
    struct os_op open = { .kind = OS_OPEN,
                          .dir = store->quarantine_dir,
                          .name = name,
                          .file = &file,
                          .mode = FILE_MODE,
                          .flags = OS_FOR_WRITE | OS_CREATE | OS_TRUNCATED | OS_NO_FOLLOW };
    os_run_ops(store->os, &open, 1);
    for (uint64_t at = from; source && file && at < to; at += sizeof(bytes)) {
        struct os_slice slice = { bytes, to - at < sizeof(bytes) ? (size_t)(to - at) : sizeof(bytes) };
        read_carefully(store->os, source, at, bytes, slice.len);
        struct os_op write = {
            .kind = OS_WRITE, .file = &file, .offset = at - from, .slices = &slice, .slice_count = 1
        };
        os_run_ops(store->os, &write, 1);
    }
    struct os_op end[3] = { { .kind = OS_SYNC, .file = &file },
                            { .kind = OS_CLOSE, .file = &file },
                            { .kind = OS_SYNC_DIR, .dir = store->quarantine_dir } };
    os_run_ops(store->os, end, 3);
}

void frontier_damage(struct spool_store *store, struct segment *segment, uint64_t from, uint64_t to)
{
    segment->damaged = true;
    store_quarantine_bytes(store, segment, from, to);
    store_alarm(store, "segment %016llx: bytes %llu to %llu are damaged; they are kept in quarantine/",
                (unsigned long long)segment->number, (unsigned long long)from, (unsigned long long)to);
}

static void found_message(struct spool_store *store, struct segment *segment, const struct record_header *record,
                          struct view head)
{
    struct spool_message message;
    if (!message_of_record(segment->number, record, head, &message)) {
        frontier_damage(store, segment, record->place, record->place + record_size(record));
        return;
    }
    segment->live++;
    segment->live_bytes += message.place.head_size + message.place.content_size;
    store->owner.message(store->owner.ctx, &message);
}

/* At recovery all annulments were seen before; a live one comes here first. */
static void found_annul(struct spool_store *store, struct segment *segment, struct view head)
{
    uint64_t number, end;
    struct segment *dead;
    if (!annul_get(head, &number, &end) || number == segment->number || !(dead = store_find(store, number)))
        return;
    if (!set_add(&segment->annuls, number))
        segment->keep = true;
    if (dead->state != SEGMENT_HELD || end < dead->upto)
        return;
    dead->state = SEGMENT_SEALED;
    dead->upto = end;
    dead->failed = true;
    store_alarm(store, "segment %016llx: a sync failed; it is written no more", (unsigned long long)number);
    frontier_read(store, dead);
}

/* raw: the record's header and head as they lie there. */
void frontier_step(struct spool_store *store, struct segment *segment, enum walk_step step, struct view raw)
{
    struct walk *walk = &segment->walk;
    if (step == WALK_DAMAGE) {
        frontier_damage(store, segment, walk->damage_from, walk->damage_to);
        return;
    }
    if (step != WALK_RECORD)
        return;
    struct view head = view_slice(raw, RECORD_HEADER_SIZE, raw.len);
    struct record_header record = walk->record;
    switch (record.type) {
    case RECORD_MESSAGE:
        footer_note(segment, raw);
        found_message(store, segment, &record, head);
        break;
    case RECORD_ANNUL:
        footer_note(segment, raw);
        found_annul(store, segment, head);
        break;
    case RECORD_EVENT:
        if (store->opening)
            events_record(store, segment, head);
        break;
    default:
        break;
    }
}

/* ---- reading ---- */

static void close_oldest(struct spool_store *store)
{
    list_each_safe(link, &store->opened)
    {
        struct segment *segment = list_entry(link, struct segment, opened);
        if (segment == store->reading)
            continue;
        store_close_file(store, segment);
        return;
    }
}

void store_close_file(struct spool_store *store, struct segment *segment)
{
    if (!segment->file)
        return;
    os_file_close(segment->file);
    segment->file = NULL;
    list_remove(&segment->opened);
    store->opened_count--;
}

struct os_file *store_open_segment(struct spool_store *store, struct segment *segment)
{
    char name[SEGMENT_NAME_SIZE];
    if (segment->file) {
        list_remove(&segment->opened);
        list_append(&store->opened, &segment->opened);
        return segment->file;
    }
    if (store->opened_count >= HANDLES_MAX)
        close_oldest(store);
    segment_name(name, segment->number);
    struct os_op op = { .kind = OS_OPEN,
                        .name = name,
                        .file = &segment->file,
                        .flags = OS_FOR_READ | OS_NO_FOLLOW,
                        .dir = segment->state == SEGMENT_MOVED ? store->quarantine_dir : store->segments_dir };
    os_run_ops(store->os, &op, 1);
    if (op.status != OS_OK)
        return NULL;
    list_append(&store->opened, &segment->opened);
    store->opened_count++;
    return segment->file;
}

static void all_read(struct spool_store *store, struct segment *segment)
{
    if (segment->state == SEGMENT_SEALED && !segment->failed)
        seal_segment(store, segment);
    if (segment->failed)
        store_look_soon(store); /* to evacuate it */
    else
        retire_if_done(store, segment);
}

static enum walk_step take_window(struct spool_store *store, struct segment *segment, struct view window)
{
    for (;;) {
        enum walk_step step = walk_next(&segment->walk, window, store->window_at);
        if (step == WALK_READ || step == WALK_END)
            return step;
        frontier_step(store, segment, step, step == WALK_RECORD ? segment->walk.raw : VIEW_NONE);
    }
}

/* A window full of bytes is there. */
static void window_read(void *ctx)
{
    struct spool_store *store = ctx;
    struct segment *segment = store->reading;
    store->jobs--;
    if (store->closing) {
        store_end_if_quiet(store);
        return;
    }
    size_t len = store->read_op.len;
    if (store->read_op.status != OS_OK || store->read_op.value < len)
        read_carefully(store->os, segment->file, store->window_at, store->window, len);
    enum walk_step step = take_window(store, segment, (struct view){ store->window, len });
    segment->reading = false;
    store->reading = NULL;
    /* More may have become durable while we read. */
    if (step == WALK_READ || segment->walk.upto < segment->upto)
        list_append(&store->to_read, &segment->to_read);
    else
        all_read(store, segment);
    read_next(store);
}

static bool make_window(struct spool_store *store, size_t size)
{
    if (size <= store->window_cap)
        return true;
    free(store->window);
    store->window = malloc(size);
    store->window_cap = store->window ? size : 0;
    return store->window != NULL;
}

/* Reads ahead as much as is durable, but only so much that others get their turn. */
static size_t window_size(const struct walk *walk)
{
    uint64_t durable = walk->upto - walk->want_at;
    uint64_t size = durable < WINDOW_MAX ? durable : WINDOW_MAX;
    return size > walk->want_len ? (size_t)size : walk->want_len;
}

static bool start_reading(struct spool_store *store, struct segment *segment)
{
    struct walk *walk = &segment->walk;
    size_t size = window_size(walk);
    if (!store_open_segment(store, segment) || !make_window(store, size < WINDOW_MIN ? WINDOW_MIN : size)) {
        store_alarm(store, "segment %016llx cannot be read now", (unsigned long long)segment->number);
        store_retry_later(store);
        return false;
    }
    segment->reading = true;
    store->reading = segment;
    store->window_at = walk->want_at;
    store->read_op = (struct os_op){
        .kind = OS_READ, .file = &segment->file, .offset = walk->want_at, .buf = store->window, .len = size
    };
    store->read_request = (struct os_request){ .ops = &store->read_op, .count = 1, .done = window_read, .ctx = store };
    store->jobs++;
    os_submit(store->read_queue, &store->read_request);
    return true;
}

static void read_next(struct spool_store *store)
{
    while (!store->reading && !list_empty(&store->to_read)) {
        struct segment *segment = list_entry(list_pop(&store->to_read), struct segment, to_read);
        segment->walk.upto = segment->upto;
        /* With nothing in the window it says what it wants, or that there is nothing. */
        if (take_window(store, segment, VIEW_NONE) == WALK_READ)
            start_reading(store, segment);
        else
            all_read(store, segment);
    }
    if (!store->reading && store->window_cap > WINDOW_MIN) {
        free(store->window);
        store->window = NULL;
        store->window_cap = 0;
    }
}

void frontier_read(struct spool_store *store, struct segment *segment)
{
    if (store->opening || segment->reading)
        return;
    list_remove(&segment->to_read);
    list_append(&store->to_read, &segment->to_read);
    read_next(store);
}
