/* Copies what is live in some segments into one new one, without holding up the loop: footers and walks are looked
 * through in slices, everything is read and written on a queue of its own, and paced. */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "spool/compact.h"

#define BYTES_PER_S (32u << 20)
#define BURST       (1u << 20) /* so much is copied at full speed */

static const char zeros[SPOOL_BLOCK];

static void read_chunk(struct compaction *c);

/* ---- doing things ---- */

static void request_done(void *ctx)
{
    struct compaction *c = ctx;
    struct spool_store *store = c->store;
    store->jobs--;
    if (store->closing)
        store_end_if_quiet(store);
    else
        c->next(c);
}

struct os_op *copy_op(struct compaction *c, enum os_op_kind kind, struct os_file **file)
{
    struct os_op *op = &c->ops[c->op_count];
    *op = (struct os_op){ .kind = kind, .file = file, .after = c->op_count ? op - 1 : NULL };
    c->op_count++;
    return op;
}

struct os_op *copy_open(struct compaction *c, const struct segment *from)
{
    segment_name(c->source_name, from->number);
    c->op_count = 0;
    struct os_op *op = copy_op(c, OS_OPEN, &c->source_file);
    op->dir = c->store->segments_dir;
    op->name = c->source_name;
    op->flags = OS_FOR_READ | OS_NO_FOLLOW;
    return op;
}

void copy_submit(struct compaction *c, void (*then)(struct compaction *))
{
    c->next = then;
    c->request = (struct os_request){ .ops = c->ops, .count = c->op_count, .done = request_done, .ctx = c };
    c->store->jobs++;
    os_submit(c->store->copy_queue, &c->request);
}

bool copy_all_ok(const struct compaction *c)
{
    for (size_t i = 0; i < c->op_count; i++)
        if (c->ops[i].status != OS_OK || (c->ops[i].kind == OS_READ && c->ops[i].value != c->ops[i].len))
            return false;
    return true;
}

/* Makes room for one more of `size` bytes. */
bool copy_make_room(void **at, size_t *cap, size_t wanted, size_t size)
{
    if (wanted <= *cap)
        return true;
    size_t more = *cap * 2 > wanted ? *cap * 2 : wanted;
    void *memory = realloc(*at, more * size);
    if (!memory)
        return false;
    *at = memory;
    *cap = more;
    return true;
}

static struct segment *source(const struct compaction *c)
{
    return c->sources[c->source_at];
}

/* The source cannot be copied whole: it stays as it is, and the others are tried without it. */
void copy_give_up_source(struct compaction *c)
{
    source(c)->stays = true;
    compact_failed(c, false);
}

void copy_found_damage(struct compaction *c, uint64_t from, uint64_t to)
{
    frontier_damage(c->store, source(c), from, to);
    copy_give_up_source(c);
}

/* ---- what goes into the next group ---- */

static bool add_item(struct compaction *c, const struct record_header *header, size_t move)
{
    if (!copy_make_room((void **)&c->items, &c->item_cap, c->item_count + 1, sizeof(*c->items)))
        return false;
    c->items[c->item_count++] = (struct compact_item){ c->out_len, *header, move };
    c->out_len += record_size(header);
    return true;
}

/* A whole record that lies in memory. */
bool copy_take_record(struct compaction *c, const struct record_header *header, const char *bytes, size_t move)
{
    size_t size = record_size(header);
    if (!copy_make_room((void **)&c->out, &c->out_cap, c->out_len + size, 1))
        return false;
    memcpy(c->out + c->out_len, bytes, size);
    return add_item(c, header, move);
}

static bool add_annul(struct compaction *c, uint64_t number, uint64_t end)
{
    char bytes[RECORD_HEADER_SIZE + ANNUL_SIZE] = { 0 };
    struct record_header header = { .type = RECORD_ANNUL, .head_size = ANNUL_SIZE };
    annul_put(bytes + RECORD_HEADER_SIZE, number, end);
    header.head_crc = crc32c(0, (struct view){ bytes + RECORD_HEADER_SIZE, ANNUL_SIZE });
    return set_add(&c->to->annuls, number) && copy_take_record(c, &header, bytes, 0);
}

/* Only while the annulled file is there, or an event names it. */
static bool is_still_named(const struct spool_store *store, uint64_t number)
{
    const struct segment *dead = store_find(store, number);
    if (dead && dead->state != SEGMENT_GONE)
        return true;
    for (struct segment *log = NULL; (log = store_next_segment(store, log));)
        if (set_has(&log->said, number))
            return true;
    return false;
}

bool copy_carry_annul(struct compaction *c, struct view head)
{
    uint64_t number, end;
    if (!annul_get(head, &number, &end) || !is_still_named(c->store, number))
        return true;
    return add_annul(c, number, end);
}

bool copy_add_move(struct compaction *c, const struct spool_message *message, uint64_t size)
{
    if (!copy_make_room((void **)&c->moves, &c->move_cap, c->move_count + 1, sizeof(*c->moves)))
        return false;
    c->moves[c->move_count++] = (struct compact_move){ message->id, message->place, message->place, size };
    return true;
}

/* ---- writing it ---- */

static void rewrite_headers(struct compaction *c)
{
    struct segment *to = c->to;
    for (size_t i = 0; i < c->item_count; i++) {
        struct compact_item *item = &c->items[i];
        char *at = c->out + item->at;
        item->header.place = c->end + GROUP_HEADER_SIZE + item->at;
        record_header_put(at, to->number, to->header.nonce, &item->header);
        if (item->move) {
            c->moves[item->move - 1].to.segment = to->number;
            c->moves[item->move - 1].to.offset = item->header.place;
        }
        if (item->header.type == RECORD_MESSAGE || item->header.type == RECORD_ANNUL)
            footer_note(to, (struct view){ at, RECORD_HEADER_SIZE + item->header.head_size });
    }
}

static void group_written(struct compaction *c)
{
    if (!copy_all_ok(c)) {
        compact_failed(c, false);
        return;
    }
    c->end += c->group_length;
    c->groups++;
    c->out_len = c->item_count = 0;
    void (*next)(struct compaction *) = c->source_at == c->source_count ? copy_next_source
                                        : c->logs                       ? logs_walk
                                                                        : read_chunk;
    if (c->end < BURST) {
        compact_later(c, next);
        return;
    }
    c->next = next;
    c->at_us = os_now_us(c->store->os) + c->group_length * 1000000 / BYTES_PER_S;
    c->store->owner.deadline(c->store->owner.ctx);
}

/* It counts only once the whole file is durable, so everything before was synced when anybody reads it. */
void copy_write_group(struct compaction *c)
{
    struct group_header header = { .place = c->end, .synced_to = c->end, .group = c->groups };
    rewrite_headers(c);
    header.length = GROUP_HEADER_SIZE + c->out_len;
    header.records = (uint32_t)c->item_count;
    for (size_t i = 0; i < c->item_count; i++)
        header.annuls += c->items[i].header.type == RECORD_ANNUL;
    group_header_put(c->group_bytes, c->to->number, c->to->header.nonce, &header);
    c->group_length = block_up(header.length);
    c->slices[0] = (struct os_slice){ c->group_bytes, GROUP_HEADER_SIZE };
    c->slices[1] = (struct os_slice){ c->out, c->out_len };
    c->slices[2] = (struct os_slice){ zeros, c->group_length - header.length };
    c->op_count = 0;
    struct os_op *op = copy_op(c, OS_COMMIT, &c->file);
    op->offset = c->end;
    op->slices = c->slices;
    op->slice_count = c->slices[2].len ? 3 : 2;
    copy_submit(c, group_written);
}

/* ---- mail: the footer tells what there is ---- */

void copy_source_over(struct compaction *c)
{
    /* Whoever is not live was forgotten; else somebody has lost sight of a message, and it must not be lost too. */
    if (c->move_count - c->first_move < source(c)->live) {
        copy_give_up_source(c);
        return;
    }
    if (c->source_file)
        os_file_close(c->source_file);
    c->source_file = NULL;
    c->source_at++;
    compact_later(c, copy_next_source);
}

/* Each record is checked as it is read: what was whole when it came may have rotted. */
static bool is_whole(const struct compaction *c, const char *bytes, uint64_t place, struct record_header *header)
{
    const struct segment *from = source(c);
    if (!record_header_get((struct view){ bytes, RECORD_HEADER_SIZE }, from->number, from->header.nonce, place, header))
        return false;
    struct view head = { bytes + RECORD_HEADER_SIZE, header->head_size };
    struct view body = { bytes + record_body_at(header), header->body_size };
    return crc32c(0, head) == header->head_crc && crc32c(0, body) == header->body_crc;
}

static void chunk_read(struct compaction *c)
{
    for (size_t i = 0; i < c->op_count; i++, c->read_move++) {
        const struct os_op *op = &c->ops[i];
        const struct compact_move *move = &c->moves[c->read_move];
        struct record_header header;
        if (op->status != OS_OK || op->value != op->len ||
            !is_whole(c, c->out + c->out_len, move->from.offset, &header) || record_size(&header) != move->size) {
            copy_found_damage(c, move->from.offset, move->from.offset + move->size);
            return;
        }
        if (!add_item(c, &header, c->read_move + 1)) {
            compact_failed(c, false);
            return;
        }
    }
    copy_write_group(c);
}

/* The next live records, one behind the other. */
static void read_chunk(struct compaction *c)
{
    size_t len = c->out_len, count = 0;
    while (c->read_move + count < c->move_count && count < READS_MAX && len < COPY_CHUNK)
        len += c->moves[c->read_move + count++].size;
    if (count == 0 && c->out_len == 0) {
        copy_source_over(c);
        return;
    }
    if (!copy_make_room((void **)&c->out, &c->out_cap, len, 1)) {
        compact_failed(c, false);
        return;
    }
    c->op_count = 0;
    len = c->out_len;
    for (size_t i = 0; i < count; i++) {
        const struct compact_move *move = &c->moves[c->read_move + i];
        struct os_op *op = copy_op(c, OS_READ, &c->source_file);
        op->after = NULL;
        op->offset = move->from.offset;
        op->buf = c->out + len;
        op->len = move->size;
        len += move->size;
    }
    if (count)
        copy_submit(c, chunk_read);
    else
        copy_write_group(c);
}

/* One record of the footer; false: no memory. */
static bool pick(struct compaction *c, const struct record_header *record, struct view raw)
{
    struct spool_store *store = c->store;
    struct spool_message message;
    struct view head = view_slice(raw, RECORD_HEADER_SIZE, raw.len);
    if (record->type == RECORD_ANNUL)
        return copy_carry_annul(c, head);
    if (record->type != RECORD_MESSAGE || !message_of_record(source(c)->number, record, head, &message) ||
        !store->owner.live(store->owner.ctx, &message.id, &message.place))
        return true;
    return copy_add_move(c, &message, record_size(record));
}

static void pick_slice(struct compaction *c)
{
    struct record_header record;
    struct view raw;
    for (int i = 0; i < COPY_SLICE && c->rest.len; i++)
        if (!footer_next(source(c), &c->rest, &record, &raw) || !pick(c, &record, raw)) {
            compact_failed(c, false);
            return;
        }
    compact_later(c, c->rest.len ? pick_slice : read_chunk);
}

static void footer_there(struct compaction *c)
{
    c->rest = (struct view){ c->window, source(c)->seal.footer_size };
    if (copy_all_ok(c) && footer_is_sound(source(c), c->rest))
        compact_later(c, pick_slice);
    else
        copy_give_up_source(c);
}

/* ---- the whole copy ---- */

static void in_place(struct compaction *c)
{
    if (copy_all_ok(c))
        compact_copied(c);
    else
        compact_failed(c, c->ops[c->op_count - 3].status == OS_OK);
}

/* Footer and seal, all of it durable, and then the name that makes it count. */
static void put_in_place(struct compaction *c)
{
    struct segment *to = c->to;
    struct spool_store *store = c->store;
    to->upto = c->end;
    to->seal = (struct seal){ c->end, to->footer_len, crc32c(0, (struct view){ to->footer, to->footer_len }),
                              !to->footer_lost, (uint32_t)to->annuls.count };
    memset(c->seal_block, 0, sizeof(c->seal_block));
    seal_put(c->seal_block, &to->header, &to->seal);
    c->slices[0] = (struct os_slice){ to->footer, to->footer_len };
    c->slices[1] = (struct os_slice){ c->seal_block, sizeof(c->seal_block) };
    c->op_count = 0;
    struct os_op *op;
    if (to->footer_len) {
        op = copy_op(c, OS_WRITE, &c->file);
        op->offset = c->end;
        op->slices = &c->slices[0];
        op->slice_count = 1;
    }
    op = copy_op(c, OS_COMMIT, &c->file);
    op->offset = SEAL_AT;
    op->slices = &c->slices[1];
    op->slice_count = 1;
    op = copy_op(c, OS_RENAME, NULL);
    op->dir = store->free_dir;
    op->name = op->to_name = c->name;
    op->to_dir = store->segments_dir;
    copy_op(c, OS_SYNC_DIR, NULL)->dir = store->segments_dir;
    copy_op(c, OS_SYNC_DIR, NULL)->dir = store->free_dir;
    copy_submit(c, in_place);
}

static void annul_sources(struct compaction *c)
{
    for (size_t i = 0; i < c->source_count; i++)
        if (!add_annul(c, c->sources[i]->number, DATA_START)) {
            compact_failed(c, false);
            return;
        }
    copy_write_group(c);
}

void copy_next_source(struct compaction *c)
{
    struct segment *from = c->source_at < c->source_count ? source(c) : NULL;
    if (!from) {
        if (set_has(&c->to->annuls, c->sources[0]->number))
            put_in_place(c);
        else
            annul_sources(c);
        return;
    }
    c->first_move = c->read_move = c->move_count;
    if (c->logs) {
        logs_next(c);
        return;
    }
    if (!copy_make_room((void **)&c->window, &c->window_cap, from->seal.footer_size + 1, 1)) {
        compact_failed(c, false);
        return;
    }
    copy_open(c, from);
    struct os_op *op = copy_op(c, OS_READ, &c->source_file);
    op->offset = from->seal.end;
    op->buf = c->window;
    op->len = from->seal.footer_size;
    copy_submit(c, footer_there);
}

static void made(struct compaction *c)
{
    if (!copy_all_ok(c))
        compact_failed(c, false);
    else if (c->logs)
        logs_begin(c);
    else
        copy_next_source(c);
}

void copy_begin(struct compaction *c)
{
    c->end = DATA_START;
    segment_name(c->name, c->to->number);
    if (!copy_make_room((void **)&c->out, &c->out_cap, COPY_CHUNK, 1)) {
        compact_failed(c, false);
        return;
    }
    segment_header_put(c->out, &c->to->header);
    c->slices[0] = (struct os_slice){ c->out, DATA_START };
    c->op_count = 0;
    struct os_op *op = copy_op(c, OS_OPEN, &c->file);
    op->dir = c->store->free_dir;
    op->name = c->name;
    op->mode = FILE_MODE;
    op->flags = OS_FOR_WRITE | OS_CREATE | OS_TRUNCATED | OS_NO_FOLLOW;
    op = copy_op(c, OS_WRITE, &c->file);
    op->slices = c->slices;
    op->slice_count = 1;
    copy_submit(c, made);
}
