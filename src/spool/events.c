/* The log: events about messages, made durable many at a time by the same journal as messages, in segments of our own.
 */
#include <stdlib.h>
#include <string.h>

#include "spool/store_inner.h"

struct log_entry {
    struct record record;
    struct spool_store *store;
    uint64_t segment; /* of the message */
    void (*done)(void *ctx, bool ok);
    void *ctx;
    char head[];
};

/* The log segment stays as long as the message's segment. When there is no memory to note that, it stays for ever
 * (of this run). */
static void log_speaks_of(struct spool_store *store, struct segment *log, uint64_t number)
{
    struct segment *about = number ? store_resolve(store, number) : NULL;
    if (about && !set_add(&log->about, about->number))
        log->keep = true;
    for (struct segment *each = NULL; number == 0 && (each = store_next_segment(store, each));)
        if (each->header.kind != SPOOL_LOG && !each->moved_to && !set_add(&log->about, each->number))
            log->keep = true;
}

/* ---- recovery ---- */

void events_record(struct spool_store *store, struct segment *segment, struct view head)
{
    struct spool_event event;
    if (!event_get(head, &event) || (event.segment && !store_resolve(store, event.segment)))
        return;
    log_speaks_of(store, segment, event.segment);
    store->owner.event(store->owner.ctx, &event);
}

/* ---- the journal's owner ---- */

static void need(void *ctx, enum spool_kind kind, unsigned count)
{
    spool_store_need(ctx, kind, count);
}

static void durable(void *ctx, uint64_t number, uint64_t upto)
{
    struct spool_store *store = ctx;
    struct segment *segment = store_find(store, number);
    store->log_current = segment;
    if (segment)
        segment->upto = upto;
    if (segment)
        segment->walk.pos = upto; /* what we wrote ourselves need not be read */
}

static void log_sealed(void *ctx, uint64_t number, uint64_t end)
{
    struct spool_store *store = ctx;
    struct segment *segment = store_find(store, number);
    if (!segment)
        return;
    segment->state = SEGMENT_SEALED;
    segment->upto = end;
    if (store->log_current && store->log_current != segment) {
        /* Not full: its sync failed, and the segment that was just written annuls it. */
        segment->failed = true;
        if (!set_add(&store->log_current->annuls, number))
            store->log_current->keep = true;
    }
    seal_segment(store, segment);
    retire_if_done(store, segment);
}

static void trouble(void *ctx, bool ok, struct view text)
{
    struct spool_store *store = ctx;
    store_alarm(store, ok ? "the log is written again: %.*s" : "the log cannot be written: %.*s", VIEW_FORMAT(text));
}

static void room(void *ctx)
{
    (void)ctx;
}

bool events_open(struct spool_store *store)
{
    struct spool_writer_owner owner = { store, need, durable, log_sealed, trouble, room, NULL };
    store->opening = false;
    store->journal_open = journal_init(&store->journal, store->os, &owner, SPOOL_LOG, store->limits.segment_size);
    if (store->journal_open)
        journal_ask(&store->journal);
    return store->journal_open;
}

/* ---- logging ---- */

static void logged(struct record *record, bool ok)
{
    struct log_entry *entry = (struct log_entry *)((char *)record - offsetof(struct log_entry, record));
    struct spool_store *store = entry->store;
    if (ok && store->log_current)
        log_speaks_of(store, store->log_current, entry->segment);
    if (!store->closing)
        entry->done(entry->ctx, ok);
    free(entry);
}

bool spool_store_log(struct spool_store *store, const struct spool_event *event, void (*done)(void *ctx, bool ok),
                     void *ctx)
{
    if (event->tags.len > HEAD_MAX - EVENT_HEAD_SIZE)
        return false;
    size_t size = EVENT_HEAD_SIZE + event->tags.len;
    struct log_entry *entry = calloc(1, sizeof(*entry) + RECORD_ROOM + size);
    if (!entry)
        return false;
    struct buffer head;
    buffer_init(&head, entry->head + RECORD_HEADER_SIZE, size);
    event_put(&head, event);
    entry->store = store;
    entry->segment = event->segment;
    entry->done = done;
    entry->ctx = ctx;
    entry->record =
        (struct record){ .type = RECORD_EVENT, .head = entry->head, .head_size = (uint32_t)size, .done = logged };
    list_init(&entry->record.link);
    journal_add(&store->journal, &entry->record);
    return true;
}
