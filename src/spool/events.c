/* The log: events about messages, and messages of our own, made durable many at a time by the same journal as mail, in
 * segments of our own. */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "spool/store_inner.h"

struct log_event {
    struct record record;
    uint64_t segment; /* of the message it speaks of */
};

/* What goes into one group: a message of our own, events, or both. */
struct log_entry {
    struct spool_store *store;
    void (*done)(void *ctx, bool ok);
    void *ctx;
    struct record message; /* head NULL: none */
    struct block *content; /* of the message */
    char *heads;           /* of the events, side by side */
    size_t event_count;
    struct log_event events[];
};

static bool is_older(const struct segment *segment, const struct segment *than)
{
    return segment_order(segment) < segment_order(than);
}

/* Where messages may be that were there when the log was written: a log holds none that a younger one has. */
static bool may_hold_messages(const struct segment *segment, const struct segment *log)
{
    return segment->header.kind == SPOOL_LOG ? segment->live && is_older(segment, log) : !segment->moved_to;
}

/* The log segment stays as long as the message's segment. When there is no memory to note that, it stays for ever
 * (of this run). */
static void log_speaks_of(struct spool_store *store, struct segment *log, uint64_t number)
{
    struct segment *about = number ? store_resolve(store, number) : NULL;
    if (about && !set_add(&log->said, number))
        log->keep = true;
    if (about && about != log && !set_add(&log->about, about->number))
        log->keep = true;
    for (struct segment *each = NULL; number == 0 && (each = store_next_segment(store, each));)
        if (may_hold_messages(each, log) && !set_add(&log->about, each->number))
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
        footer_lose(store->log_current); /* its annulment did not pass through the frontier */
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
    if (!ok)
        store_retry_later(store);
}

static void room(void *ctx)
{
    (void)ctx;
}

bool events_open(struct spool_store *store)
{
    struct spool_writer_owner owner = { store, need, durable, log_sealed, trouble, room, NULL };
    store->journal_open = journal_init(&store->journal, store->os, &owner, SPOOL_LOG, store->limits.segment_size);
    if (store->journal_open)
        journal_ask(&store->journal);
    return store->journal_open;
}

/* ---- logging ---- */

static void free_entry(struct log_entry *entry)
{
    if (!entry)
        return;
    free(entry->content);
    free(entry->message.head);
    free(entry->heads);
    free(entry);
}

/* The message lies in the log segment, and is known from now on as one that was received. */
static void own_message(struct spool_store *store, struct segment *log, const struct record *record)
{
    struct view raw = { record->head, RECORD_HEADER_SIZE + record->head_size };
    if (record_header_get(raw, log->number, log->header.nonce, record->place, &log->walk.record))
        frontier_step(store, log, WALK_RECORD, raw);
}

static void nothing(struct record *record, bool ok)
{
    (void)record;
    (void)ok;
}

/* The last record of the entry is done, and so are all before it. */
static void logged(struct record *record, bool ok)
{
    struct log_entry *entry = record->ctx;
    struct spool_store *store = entry->store;
    struct segment *log = store->log_current;
    for (size_t i = 0; ok && log && i < entry->event_count; i++)
        log_speaks_of(store, log, entry->events[i].segment);
    if (ok && log && entry->message.head && !store->closing)
        own_message(store, log, &entry->message);
    if (!store->closing)
        entry->done(entry->ctx, ok);
    free_entry(entry);
}

static size_t event_record_size(const struct spool_event *event)
{
    struct record_header header = { .head_size = (uint32_t)(EVENT_HEAD_SIZE + event->tags.len) };
    return record_size(&header);
}

/* Their heads lie one behind the other as in the segment: one slice for all of them. */
static bool put_events(struct log_entry *entry, const struct spool_event *events)
{
    size_t size = 0;
    for (size_t i = 0; i < entry->event_count; i++) {
        if (events[i].tags.len > HEAD_MAX - EVENT_HEAD_SIZE)
            return false;
        size += event_record_size(&events[i]);
    }
    char *at = entry->heads = malloc(size + 1);
    for (size_t i = 0; at && i < entry->event_count; i++) {
        struct buffer head;
        buffer_init(&head, at + RECORD_HEADER_SIZE, EVENT_HEAD_SIZE + events[i].tags.len);
        event_put(&head, &events[i]);
        entry->events[i].segment = events[i].segment;
        entry->events[i].record =
            (struct record){ .type = RECORD_EVENT, .head = at, .head_size = (uint32_t)head.len, .done = nothing };
        at += event_record_size(&events[i]);
    }
    return at != NULL;
}

static bool put_message(struct log_entry *entry, const struct spool_own *own)
{
    char bytes[PIECE_RANGE_SIZE];
    struct buffer range = BUFFER_OF(bytes);
    uint32_t crc = crc32c(0, own->content);
    struct block *block = own->content.len <= BODY_MAX ? malloc(sizeof(*block) + own->content.len) : NULL;
    entry->content = block;
    if (!block)
        return false;
    memcpy(block->bytes, own->content.at, own->content.len);
    block->next = NULL;
    block->used = block->cap = (uint32_t)own->content.len;
    piece_add_range(&range, PIECE_BODY, 0, own->content.len, crc);
    struct record *record = &entry->message;
    *record = (struct record){ .type = RECORD_MESSAGE, .body = block, .body_crc = crc, .done = nothing };
    record->body_size = own->content.len;
    record->head =
        message_head_new(&own->id, own->tags, VIEW_NONE, &own->facts, buffer_view(&range), &record->head_size);
    return record->head != NULL;
}

static void submit(struct journal *journal, struct log_entry *entry)
{
    struct record *last = &entry->message;
    if (entry->event_count)
        last = &entry->events[entry->event_count - 1].record;
    last->done = logged;
    last->ctx = entry;
    if (entry->message.head)
        journal_add(journal, &entry->message);
    for (size_t i = 0; i < entry->event_count; i++) {
        entry->events[i].record.joined = i || entry->message.head;
        journal_add(journal, &entry->events[i].record);
    }
}

bool spool_store_add(struct spool_store *store, const struct spool_own *message, const struct spool_event *events,
                     size_t event_count, void (*done)(void *ctx, bool ok), void *ctx)
{
    struct log_entry *entry = calloc(1, sizeof(*entry) + event_count * sizeof(entry->events[0]));
    if (!entry || (!message && !event_count)) {
        free_entry(entry);
        return false;
    }
    entry->store = store;
    entry->done = done;
    entry->ctx = ctx;
    entry->event_count = event_count;
    if ((message && !put_message(entry, message)) || !put_events(entry, events)) {
        free_entry(entry);
        return false;
    }
    submit(&store->journal, entry);
    return true;
}

bool spool_store_log(struct spool_store *store, const struct spool_event *event, void (*done)(void *ctx, bool ok),
                     void *ctx)
{
    return spool_store_add(store, NULL, event, 1, done, ctx);
}
