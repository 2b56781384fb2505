/* Messages that are coming in. */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "spool/writer_inner.h"

#define SPILL_MIN (32u << 10) /* less is not worth a file of its own */

struct spool_entry *spool_entry_new(struct spool_writer *writer)
{
    struct spool_entry *entry = spool_writer_ready(writer) ? calloc(1, sizeof(*entry)) : NULL;
    if (!entry)
        return NULL;
    entry->writer = writer;
    list_init(&entry->record.link);
    list_append(&writer->entries, &entry->link);
    return entry;
}

void entry_let_go_of_blocks(struct spool_writer *writer, struct block *first, size_t bytes)
{
    block_free_chain(&writer->pool, first);
    writer->memory -= bytes;
    if (writer->memory <= writer->limits.memory_max / 4 * 3)
        writer_has_room(writer);
}

void entry_end(struct spool_entry *entry, bool ok)
{
    struct spool_writer *writer = entry->writer;
    void (*done)(void *, bool) = entry->dropped ? NULL : entry->done;
    void *ctx = entry->ctx;
    list_remove(&entry->link);
    entry_let_go_of_blocks(writer, entry->first, entry->block_bytes);
    free(entry->record.head);
    free(entry);
    if (done)
        done(ctx, ok);
}

/* ---- content ---- */

/* The largest that is still in memory goes to a segment of its own, if it is worth it and one is there. */
static void spill(struct spool_writer *writer)
{
    struct spool_entry *largest = NULL;
    list_each(link, &writer->entries)
    {
        struct spool_entry *entry = list_entry(link, struct spool_entry, link);
        if (entry->in_memory >= SPILL_MIN && (!largest || entry->in_memory > largest->in_memory))
            largest = entry;
    }
    if (largest && large_begin(largest))
        large_flush(largest, true);
}

static bool grow(struct spool_entry *entry, size_t wanted)
{
    struct spool_writer *writer = entry->writer;
    if (entry->last && wanted < 2 * (size_t)entry->last->cap)
        wanted = 2 * (size_t)entry->last->cap;
    size_t cap = block_size_for(wanted);
    size_t max = writer->limits.memory_max;
    if (writer->memory + cap > max)
        return false;
    struct block *block = block_new(&writer->pool, wanted);
    if (!block)
        return false;
    if (entry->last)
        entry->last->next = block;
    else
        entry->first = block;
    entry->last = block;
    entry->block_bytes += cap;
    writer->memory += cap;
    return true;
}

static bool take(struct spool_entry *entry, struct view content)
{
    while (content.len) {
        struct block *block = entry->last;
        if (!block || block->used == block->cap) {
            if (!grow(entry, content.len))
                return false;
            block = entry->last;
        }
        struct view part = view_take(&content, block->cap - block->used);
        memcpy(block->bytes + block->used, part.at, part.len);
        entry->crc = crc32c(entry->crc, part);
        block->used += (uint32_t)part.len;
        entry->in_memory += part.len;
        entry->size += part.len;
        if (entry->large && !large_flush(entry, false))
            return false;
    }
    return true;
}

static bool needs_segment(const struct spool_entry *entry, size_t more)
{
    return !entry->large && entry->size + more > entry->writer->limits.large_min;
}

static bool must_hold(const struct spool_entry *entry, size_t more)
{
    const struct spool_writer *writer = entry->writer;
    if (entry->large && large_is_behind(entry->large))
        return true;
    return writer->spilling && writer->memory + more + BLOCK_CAP_MAX > writer->limits.memory_max;
}

enum spool_taken spool_entry_add(struct spool_entry *entry, struct view content)
{
    struct spool_writer *writer = entry->writer;
    if (entry->large && large_has_failed(entry->large))
        return SPOOL_FAILED;
    if (writer->memory - writer->spilling + content.len > writer->limits.memory_max / 4 * 3)
        spill(writer);
    bool waits = needs_segment(entry, content.len) && !large_begin(entry);
    if (waits && large_starves(writer))
        return SPOOL_FULL;
    if (waits || must_hold(entry, content.len)) {
        writer->wants_room = true;
        return SPOOL_HOLD;
    }
    return take(entry, content) ? SPOOL_TAKEN : SPOOL_FULL;
}

/* ---- the end ---- */

static void message_done(struct record *record, bool ok)
{
    entry_end((struct spool_entry *)((char *)record - offsetof(struct spool_entry, record)), ok);
}

bool entry_build_head(struct spool_entry *entry, struct view tags, struct view front, const struct mail_facts *facts,
                      struct view ranges)
{
    entry->record.type = RECORD_MESSAGE;
    entry->record.head = message_head_new(NULL, tags, front, facts, ranges, &entry->record.head_size);
    return entry->record.head != NULL;
}

bool spool_entry_finish(struct spool_entry *entry, struct view tags, struct view front, const struct mail_facts *facts,
                        void (*done)(void *ctx, bool ok), void *ctx)
{
    entry->done = done;
    entry->ctx = ctx;
    if (entry->large) {
        entry->finished = large_finish(entry, tags, front, facts);
        return entry->finished;
    }
    char ranges[PIECE_RANGE_SIZE];
    struct buffer range = BUFFER_OF(ranges);
    piece_add_range(&range, PIECE_BODY, 0, entry->size, entry->crc);
    if (!entry_build_head(entry, tags, front, facts, buffer_view(&range)))
        return false;
    entry->finished = true;
    list_remove(&entry->link);
    entry->record.body = entry->first;
    entry->record.body_size = entry->size;
    entry->record.body_crc = entry->crc;
    entry->record.done = message_done;
    journal_add(&entry->writer->journal, &entry->record);
    return true;
}

void spool_entry_drop(struct spool_entry *entry)
{
    entry->dropped = true;
    if (entry->large)
        large_drop(entry);
    else if (!entry->finished)
        entry_end(entry, false);
}
