/* The store: what it knows of its segments, and its life. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spool/marker.h"
#include "spool/store_inner.h"

#define ALARM_MAX 256

/* ---- sets of numbers ---- */

static size_t set_place(const struct number_set *set, uint64_t number)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->at[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool set_has(const struct number_set *set, uint64_t number)
{
    size_t place = set_place(set, number);
    return place < set->count && set->at[place] == number;
}

bool set_add(struct number_set *set, uint64_t number)
{
    size_t place = set_place(set, number);
    if (place < set->count && set->at[place] == number)
        return true;
    if (set->count == set->cap) {
        size_t cap = set->cap ? set->cap * 2 : 8;
        uint64_t *at = realloc(set->at, cap * sizeof(*at));
        if (!at)
            return false;
        set->at = at;
        set->cap = cap;
    }
    memmove(set->at + place + 1, set->at + place, (set->count - place) * sizeof(*set->at));
    set->at[place] = number;
    set->count++;
    return true;
}

void set_remove(struct number_set *set, uint64_t number)
{
    size_t place = set_place(set, number);
    if (place == set->count || set->at[place] != number)
        return;
    set->count--;
    memmove(set->at + place, set->at + place + 1, (set->count - place) * sizeof(*set->at));
}

void set_free(struct number_set *set)
{
    free(set->at);
    *set = (struct number_set){ 0 };
}

/* ---- segments ---- */

static struct segment *of_item(struct map_item *item)
{
    return item ? map_entry(item, struct segment, item) : NULL;
}

struct segment *store_find(const struct spool_store *store, uint64_t number)
{
    return of_item(map_find(&store->segments, (struct view){ (const char *)&number, sizeof(number) }));
}

struct segment *store_next_segment(const struct spool_store *store, const struct segment *after)
{
    return of_item(map_next(&store->segments, after ? &after->item : NULL));
}

struct segment *store_resolve(const struct spool_store *store, uint64_t number)
{
    struct segment *segment = store_find(store, number);
    return segment && segment->moved_to ? segment->moved_to : segment;
}

bool segment_is_copy(const struct segment *segment)
{
    return segment->header.evacuates || segment->header.kind == SPOOL_COLD;
}

uint64_t segment_order(const struct segment *segment)
{
    bool log = segment->header.kind == SPOOL_LOG && segment->header.evacuates;
    return log ? segment->header.evacuates : segment->number;
}

uint64_t segment_size(const struct segment *segment)
{
    return segment->header.size ? segment->header.size : segment->upto;
}

static void speak_of(struct segment *log, const struct segment *from, const struct segment *to)
{
    if (!set_has(&log->about, from->number))
        return;
    set_remove(&log->about, from->number);
    if (log != to && !set_add(&log->about, to->number))
        log->keep = true;
}

void store_move_over(struct spool_store *store, struct segment *from, struct segment *to)
{
    to->live += from->live;
    to->live_bytes += from->live_bytes;
    from->live = from->live_bytes = 0;
    from->moved_to = to;
    for (struct segment *each = NULL; (each = store_next_segment(store, each));) {
        speak_of(each, from, to);
        if (each->moved_to == from)
            each->moved_to = to;
    }
    if (!set_add(&to->annuls, from->number))
        to->keep = true;
}

struct segment *store_add_segment(struct spool_store *store, const struct segment_header *header)
{
    struct segment *segment = calloc(1, sizeof(*segment));
    if (!segment)
        return NULL;
    segment->number = header->number;
    segment->header = *header;
    segment->upto = DATA_START;
    segment->item.key = (struct view){ (const char *)&segment->number, sizeof(segment->number) };
    list_init(&segment->to_read);
    list_init(&segment->opened);
    walk_init(&segment->walk, header->number, header->nonce, DATA_START, DATA_START);
    segment->walk.skip_content = true;
    if (!map_add(&store->segments, &segment->item)) {
        free(segment);
        return NULL;
    }
    return segment;
}

void store_drop_segment(struct spool_store *store, struct segment *segment)
{
    map_remove(&store->segments, &segment->item);
    if (store->log_current == segment)
        store->log_current = NULL;
    store_close_file(store, segment);
    list_remove(&segment->to_read);
    set_free(&segment->annuls);
    set_free(&segment->about);
    set_free(&segment->said);
    set_free(&segment->spoiled);
    free(segment->footer);
    free(segment);
}

/* ---- saying and doing things later ---- */

void store_alarm(struct spool_store *store, const char *format, ...)
{
    char text[ALARM_MAX];
    va_list args;
    if (store->closing)
        return;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len > 0)
        store->owner.alarm(store->owner.ctx, (struct view){ text, len < ALARM_MAX ? (size_t)len : ALARM_MAX - 1 });
}

void store_look_soon(struct spool_store *store)
{
    if (!store->closing)
        os_later(store->os, &store->task);
}

void store_retry_later(struct spool_store *store)
{
    uint64_t at = os_now_us(store->os) + RETRY_US;
    if (at >= store->retry_at)
        return;
    store->retry_at = at;
    if (!store->closing)
        store->owner.deadline(store->owner.ctx);
}

uint64_t spool_store_deadline(const struct spool_store *store)
{
    uint64_t compact = compact_deadline(store);
    return compact < store->retry_at ? compact : store->retry_at;
}

static void look(void *ctx)
{
    struct spool_store *store = ctx;
    if (store->closing) {
        store_end_if_quiet(store);
        return;
    }
    for (struct segment *segment = NULL; !store->opening && (segment = store_next_segment(store, segment));)
        if (evacuate_if_needed(store, segment))
            segment = NULL; /* the map has changed */
    retire_all(store);
    prepare_next(store);
    compact_note(store);
}

void spool_store_tick(struct spool_store *store)
{
    compact_tick(store);
    if (os_now_us(store->os) < store->retry_at)
        return;
    store->retry_at = OS_NEVER;
    store->fill_refused = false;
    if (store->journal_open)
        journal_try_again(&store->journal);
    for (struct segment *segment = NULL; (segment = store_next_segment(store, segment));)
        if (segment->orphan)
            recover_segment(store, segment);
        else if (segment->walk.pos < segment->upto)
            frontier_read(store, segment);
    store_look_soon(store);
}

/* ---- life ---- */

static void free_store(struct spool_store *store)
{
    replay_free(store);
    compact_free(store);
    for (struct segment *segment; (segment = store_next_segment(store, NULL));)
        store_drop_segment(store, segment);
    map_free(&store->segments);
    set_free(&store->stock);
    if (store->journal_open)
        journal_free(&store->journal);
    struct os_queue *queues[] = { store->names_queue, store->fill_queue, store->read_queue, store->copy_queue };
    for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
        if (queues[i])
            os_queue_free(queues[i]);
    struct os_dir *dirs[] = { store->segments_dir, store->free_dir, store->quarantine_dir };
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        if (dirs[i])
            os_dir_close(dirs[i]);
    free(store->window);
    free(store);
}

void store_end_if_quiet(struct spool_store *store)
{
    if (store->closing && store->jobs == 0 && !store->task.waiting && !replay_waits(store) && !compact_waits(store) &&
        (store->journal_idle || !store->journal_open))
        free_store(store);
}

bool spool_store_quiet(const struct spool_store *store)
{
    return store->jobs == 0 && !store->task.waiting && !store->opening && !(store->journal_open && store->journal.busy);
}

static void journal_is_idle(void *ctx)
{
    struct spool_store *store = ctx;
    store->journal_idle = true;
    store_end_if_quiet(store);
}

void spool_store_close(struct spool_store *store)
{
    store->closing = true;
    if (store->journal_open)
        journal_close(&store->journal, journal_is_idle, store);
    else
        store_end_if_quiet(store);
}

static struct os_dir *open_folder(struct os *os, struct os_dir *dir, const char *name)
{
    struct os_dir *opened = NULL;
    struct os_op op = { .kind = OS_OPEN_DIR, .dir = dir, .name = name, .opened_dir = &opened };
    os_run_ops(os, &op, 1);
    return op.status == OS_OK ? opened : NULL;
}

static bool read_marker(struct spool_store *store, struct buffer *error)
{
    enum format_result result;
    enum os_status status = marker_read(store->os, store->dir, &store->marker, &result);
    if (status == OS_NOT_FOUND)
        buffer_add_text(error, "there is no spool here: the file `spool` is missing. Is its disk mounted?");
    else if (status != OS_OK)
        buffer_addf(error, "the spool's marker cannot be read: %s", os_status_text(status));
    else if (result == FORMAT_VERSION_UNKNOWN)
        buffer_add_text(error, "the spool was written by another version of Gonets; use that one, nothing was changed");
    else if (result != FORMAT_OK)
        buffer_add_text(error, "the spool's marker is damaged; nothing was changed");
    return status == OS_OK && result == FORMAT_OK;
}

static bool open_parts(struct spool_store *store, struct buffer *error)
{
    uint8_t seed[16];
    if (!os_random(store->os, seed, sizeof(seed))) {
        buffer_add_text(error, "no randomness");
        return false;
    }
    map_init(&store->segments, seed);
    store->segments_dir = open_folder(store->os, store->dir, "segments");
    store->free_dir = open_folder(store->os, store->dir, "free");
    store->quarantine_dir = open_folder(store->os, store->dir, "quarantine");
    if (!store->segments_dir || !store->free_dir || !store->quarantine_dir) {
        buffer_add_text(error, "a folder of the spool cannot be opened: segments, free and quarantine must be there");
        return false;
    }
    store->names_queue = os_queue_new(store->os);
    store->fill_queue = os_queue_new(store->os);
    store->read_queue = os_queue_new(store->os);
    store->copy_queue = os_queue_new(store->os);
    bool ok = store->names_queue && store->fill_queue && store->read_queue && store->copy_queue;
    if (!ok)
        buffer_add_text(error, "no threads for the spool's disk work");
    return ok;
}

struct spool_store *spool_store_open(struct os *os, struct os_dir *dir, const struct spool_store_owner *owner,
                                     const struct spool_store_limits *limits, const struct spool_held *held,
                                     size_t held_count, struct buffer *error)
{
    struct spool_store *store = calloc(1, sizeof(*store));
    if (!store) {
        buffer_add_text(error, "no memory");
        return NULL;
    }
    store->os = os;
    store->dir = dir;
    store->owner = *owner;
    store->limits = *limits;
    store->retry_at = store->compact_at = OS_NEVER;
    store->task = (struct os_task){ .run = look, .ctx = store };
    store->opening = true;
    list_init(&store->to_read);
    list_init(&store->opened);
    if (read_marker(store, error) && open_parts(store, error) && recover_begin(store, held, held_count, error)) {
        if (events_open(store) && replay_begin(store))
            return store;
        buffer_add_text(error, "no memory, or no thread");
    }
    spool_store_close(store);
    return NULL;
}

void spool_store_need(struct spool_store *store, enum spool_kind kind, unsigned count)
{
    store->owed[kind] += count;
    prepare_next(store);
}

/* Notices come from another process: they may be late, twice, or nonsense. */
static bool sound_place(uint64_t upto)
{
    return upto >= DATA_START && upto <= SEGMENT_MAX && upto % SPOOL_BLOCK == 0;
}

void spool_store_durable(struct spool_store *store, uint64_t number, uint64_t upto)
{
    struct segment *segment = store_find(store, number);
    if (!segment || segment->state != SEGMENT_HELD || !sound_place(upto) || upto <= segment->upto)
        return;
    segment->upto = upto;
    frontier_read(store, segment);
}

void spool_store_sealed(struct spool_store *store, uint64_t number, uint64_t end)
{
    struct segment *segment = store_find(store, number);
    if (!segment || segment->state != SEGMENT_HELD || !sound_place(end) || end < segment->upto)
        return;
    segment->state = SEGMENT_SEALED;
    segment->upto = end;
    segment->unlink |= end == DATA_START; /* a sync of it may have failed */
    frontier_read(store, segment);
}

void spool_store_orphaned(struct spool_store *store, uint64_t number)
{
    struct segment *segment = store_find(store, number);
    if (segment && segment->state == SEGMENT_HELD && segment->header.kind != SPOOL_LOG)
        recover_segment(store, segment);
}

struct os_file *spool_store_file(struct spool_store *store, uint64_t number)
{
    struct segment *segment = store_find(store, number);
    return segment && segment->state != SEGMENT_LEAVING ? store_open_segment(store, segment) : NULL;
}

void spool_store_forget(struct spool_store *store, const struct mail_id *id, const struct spool_place *place)
{
    struct segment *segment = store_resolve(store, place->segment);
    if (segment && segment->live) {
        uint64_t bytes = place->head_size + place->content_size;
        segment->live--;
        segment->live_bytes -= bytes < segment->live_bytes ? bytes : segment->live_bytes;
        retire_if_done(store, segment);
        compact_note(store);
        return;
    }
    char text[MAIL_ID_TEXT_SIZE + 1];
    mail_id_text(id, text);
    store_alarm(store, "message %s is forgotten twice, or was never there", text);
}
