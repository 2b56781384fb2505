/* Compaction of log segments. An event is needed as long as the record of its message is in some file, be the message
 * dead: it would come back. Segments that are no copies have all that ever was in them; of copies the footers tell. */
#include <stdlib.h>

#include "base/crc32c.h"
#include "spool/compact.h"

/* ---- ids ---- */

static uint64_t key_of(const struct mail_id *id)
{
    uint64_t key = get_u64((const char *)id->at + MAIL_ID_SIZE - 8);
    return key ? key : 1;
}

static size_t slot_of(const struct id_set *set, uint64_t key)
{
    size_t slot = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (set->cap - 1);
    while (set->at[slot] && set->at[slot] != key)
        slot = (slot + 1) & (set->cap - 1);
    return slot;
}

bool id_set_has(const struct id_set *set, const struct mail_id *id)
{
    return set->count && set->at[slot_of(set, key_of(id))];
}

static bool make_room(struct id_set *set)
{
    struct id_set more = { NULL, set->count, set->cap ? set->cap * 2 : 1024 };
    if (set->count * 2 < set->cap)
        return true;
    more.at = calloc(more.cap, sizeof(*more.at));
    if (!more.at)
        return false;
    for (size_t i = 0; i < set->cap; i++)
        if (set->at[i])
            more.at[slot_of(&more, set->at[i])] = set->at[i];
    free(set->at);
    *set = more;
    return true;
}

bool id_set_add(struct id_set *set, const struct mail_id *id)
{
    if (!make_room(set))
        return false;
    size_t slot = slot_of(set, key_of(id));
    set->count += set->at[slot] == 0;
    set->at[slot] = key_of(id);
    return true;
}

/* ---- what the copies have ---- */

static void list_next_copy(struct compaction *c);

static void close_source(struct compaction *c)
{
    if (c->source_file)
        os_file_close(c->source_file);
    c->source_file = NULL;
}

static bool list_one(struct compaction *c)
{
    struct record_header record;
    struct spool_message message;
    struct view raw;
    if (!footer_next(c->listing, &c->rest, &record, &raw))
        return false;
    if (record.type != RECORD_MESSAGE)
        return true;
    struct view head = view_slice(raw, RECORD_HEADER_SIZE, raw.len);
    return !message_of_record(c->listing->number, &record, head, &message) || id_set_add(&c->ids, &message.id);
}

static void list_slice(struct compaction *c)
{
    for (int i = 0; i < COPY_SLICE && c->rest.len; i++)
        if (!list_one(c)) {
            compact_failed(c, false);
            return;
        }
    if (c->rest.len) {
        compact_later(c, list_slice);
        return;
    }
    if (set_add(&c->listed, c->listing->number))
        list_next_copy(c);
    else
        compact_failed(c, false);
}

/* A copy without a sound footer counts as one that has everything. */
static void copy_footer_there(struct compaction *c)
{
    c->rest = (struct view){ c->window, c->listing->seal.footer_size };
    bool sound = copy_all_ok(c) && footer_is_sound(c->listing, c->rest);
    close_source(c);
    if (sound)
        compact_later(c, list_slice);
    else
        list_next_copy(c);
}

static bool is_source(const struct compaction *c, const struct segment *segment)
{
    for (size_t i = 0; i < c->source_count; i++)
        if (c->sources[i] == segment)
            return true;
    return false;
}

static bool is_to_be_listed(const struct compaction *c, const struct segment *segment)
{
    return segment_is_copy(segment) && segment->state == SEGMENT_SEALED && !segment->moved_to && segment->seal_sound &&
           !is_source(c, segment) && !set_has(&c->tried, segment->number);
}

void logs_unlist(struct compaction *c)
{
    if (c->listing)
        c->listing->users--;
    c->listing = NULL;
}

static void list_next_copy(struct compaction *c)
{
    struct segment *next = NULL;
    logs_unlist(c);
    while ((next = store_next_segment(c->store, next)) && !is_to_be_listed(c, next))
        ;
    c->listing = next;
    if (!next) {
        compact_later(c, copy_next_source);
        return;
    }
    size_t size = next->seal.footer_size;
    if (!set_add(&c->tried, next->number) || !copy_make_room((void **)&c->window, &c->window_cap, size + 1, 1)) {
        compact_failed(c, false);
        return;
    }
    next->users++; /* it stays while it is listed */
    copy_open(c, next);
    struct os_op *op = copy_op(c, OS_READ, &c->source_file);
    op->offset = next->seal.end;
    op->buf = c->window;
    op->len = size;
    copy_submit(c, copy_footer_there);
}

void logs_begin(struct compaction *c)
{
    list_next_copy(c);
}

/* ---- walked through ---- */

static struct segment *source(const struct compaction *c)
{
    return c->sources[c->source_at];
}

/* Nobody knows which segment an event is about: any that its log speaks of. */
static bool speak_of_all(struct compaction *c)
{
    const struct number_set *about = &source(c)->about;
    for (size_t i = 0; i < about->count; i++)
        if (!set_add(&c->to->about, about->at[i]))
            return false;
    return true;
}

/* Messages of our own come before the events about them, so it is known what becomes of those. */
static bool is_needed(const struct compaction *c, const struct spool_event *event, const struct segment *about)
{
    if (event->segment == 0)
        return true;
    if (!about)
        return false;
    bool all_there = !is_source(c, about) && !set_has(&c->listed, about->number);
    return all_there || id_set_has(&c->ids, &event->id);
}

/* An event that is kept is about the segment where its message is now. */
static bool take_event(struct compaction *c, const char *bytes)
{
    struct record_header header = c->walk.record;
    struct spool_event event;
    if (!event_get(c->walk.head, &event))
        return true;
    struct segment *about = event.segment ? store_resolve(c->store, event.segment) : NULL;
    if (!is_needed(c, &event, about))
        return true;
    if (!copy_take_record(c, &header, bytes, 0))
        return false;
    if (!about)
        return speak_of_all(c);
    if (is_source(c, about))
        about = c->to;
    struct compact_item *item = &c->items[c->item_count - 1];
    char *head = c->out + item->at + RECORD_HEADER_SIZE;
    event_set_segment(head, about->number);
    item->header.head_crc = crc32c(0, (struct view){ head, header.head_size });
    return set_add(&c->to->said, about->number) && (about == c->to || set_add(&c->to->about, about->number));
}

static bool take_message(struct compaction *c, const char *bytes)
{
    struct spool_store *store = c->store;
    struct spool_message message;
    if (!message_of_record(source(c)->number, &c->walk.record, c->walk.head, &message) ||
        !store->owner.live(store->owner.ctx, &message.id, &message.place))
        return true;
    return copy_add_move(c, &message, record_size(&c->walk.record)) &&
           copy_take_record(c, &c->walk.record, bytes, c->move_count);
}

static bool take_of_log(struct compaction *c)
{
    switch (c->walk.record.type) {
    case RECORD_EVENT:
        return take_event(c, c->walk.raw.at);
    case RECORD_MESSAGE:
        return take_message(c, c->walk.raw.at);
    case RECORD_ANNUL:
        return copy_carry_annul(c, c->walk.head);
    default:
        return true;
    }
}

static void window_there(struct compaction *c)
{
    if (copy_all_ok(c))
        logs_walk(c);
    else
        copy_give_up_source(c);
}

static void read_window(struct compaction *c)
{
    uint64_t left = c->walk.upto - c->walk.want_at;
    size_t len = left < COPY_CHUNK ? (size_t)left : COPY_CHUNK;
    if (len < c->walk.want_len)
        len = c->walk.want_len;
    if (!copy_make_room((void **)&c->window, &c->window_cap, len, 1)) {
        compact_failed(c, false);
        return;
    }
    c->window_at = c->walk.want_at;
    c->window_len = len;
    c->op_count = 0;
    struct os_op *op = copy_op(c, OS_READ, &c->source_file);
    op->offset = c->window_at;
    op->buf = c->window;
    op->len = len;
    copy_submit(c, window_there);
}

static void log_over(struct compaction *c)
{
    if (c->out_len)
        copy_write_group(c); /* and comes here again */
    else
        copy_source_over(c);
}

void logs_walk(struct compaction *c)
{
    for (int i = 0; i < COPY_SLICE && c->out_len < COPY_CHUNK; i++) {
        switch (walk_next(&c->walk, (struct view){ c->window, c->window_len }, c->window_at)) {
        case WALK_READ:
            read_window(c);
            return;
        case WALK_DAMAGE:
            copy_found_damage(c, c->walk.damage_from, c->walk.damage_to);
            return;
        case WALK_END:
            log_over(c);
            return;
        case WALK_RECORD:
            if (!take_of_log(c)) {
                compact_failed(c, false);
                return;
            }
            break;
        case WALK_GROUP:
            break;
        }
    }
    if (c->out_len < COPY_CHUNK)
        compact_later(c, logs_walk);
    else
        copy_write_group(c);
}

static void log_there(struct compaction *c)
{
    struct segment *from = source(c);
    if (!copy_all_ok(c)) {
        copy_give_up_source(c);
        return;
    }
    walk_init(&c->walk, from->number, from->header.nonce, DATA_START, from->upto);
    c->window_len = 0;
    logs_walk(c);
}

void logs_next(struct compaction *c)
{
    copy_open(c, source(c));
    copy_submit(c, log_there);
}
