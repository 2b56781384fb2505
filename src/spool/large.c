/* Large messages: content goes to a segment of its own while it comes in, in groups of one content record, without a
 * sync. The last group holds the message record, and its commit covers everything before. */
#include <stdlib.h>

#include "spool/writer_inner.h"

#define PIECE_SIZE    (256u << 10)
#define PIECES_BEHIND 2 /* more under way: the disk is behind */
#define SPARES_WANTED 2
#define SPARES_MAX    4 /* asked for when many large messages come at once */

struct large {
    struct list link;
    struct spool_writer *writer;
    struct spool_entry *entry; /* NULL: dropped */
    struct journal_segment *segment;
    struct buffer ranges; /* pieces of the content, in memory of our own */
    unsigned under_way;
    bool failed, finishing, annulling;
    struct group group; /* of the message record */
    uint64_t group_size;
    struct os_op op;
    struct os_request request;
    struct os_task task;
};

/* One content record on its way to the disk. */
struct piece_write {
    struct large *large;
    struct block *blocks;
    size_t block_bytes;
    struct record record;
    char head[RECORD_ROOM];
    struct group group;
    struct os_op op;
    struct os_request request;
};

static void go_on(struct large *large);

/* ---- segments ---- */

void large_ask(struct spool_writer *writer)
{
    unsigned have = writer->large_asked, wanted = SPARES_WANTED;
    list_each(link, &writer->large_spares) have++;
    list_each(link, &writer->larges) if (wanted < SPARES_MAX) wanted++;
    if (have >= wanted || writer->closing)
        return;
    writer->large_asked += wanted - have;
    writer->owner.need(writer->owner.ctx, SPOOL_LARGE, wanted - have);
}

void large_give(struct spool_writer *writer, struct journal_segment *segment)
{
    if (writer->large_asked)
        writer->large_asked--;
    writer->large_starved = 0;
    list_append(&writer->large_spares, &segment->link);
}

bool large_starve(struct spool_writer *writer)
{
    if (!list_empty(&writer->large_spares))
        writer->large_starved = 0;
    else if (!large_starves(writer))
        writer->large_starved++;
    if (large_starves(writer))
        writer_has_room(writer); /* for an answer */
    return writer->large_asked > 0;
}

bool large_starves(const struct spool_writer *writer)
{
    return writer->large_starved > 1;
}

void large_tell(struct spool_writer *writer,
                void (*tell)(void *ctx, enum spool_kind kind, uint64_t segment, uint64_t upto), void *ctx)
{
    list_each(link, &writer->large_spares)
        tell(ctx, SPOOL_LARGE, list_entry(link, struct journal_segment, link)->number, DATA_START);
    list_each(link, &writer->larges)
    {
        const struct large *large = list_entry(link, struct large, link);
        tell(ctx, SPOOL_LARGE, large->segment->number, DATA_START);
    }
}

/* ---- beginning and content ---- */

static void run_task(void *ctx)
{
    go_on(ctx);
}

bool large_begin(struct spool_entry *entry)
{
    struct spool_writer *writer = entry->writer;
    struct list *spare = writer->large_spares.next;
    struct large *large = spare != &writer->large_spares ? calloc(1, sizeof(*large)) : NULL;
    if (!large) {
        large_ask(writer);
        return false;
    }
    list_remove(spare);
    large->writer = writer;
    large->entry = entry;
    large->segment = list_entry(spare, struct journal_segment, link);
    large->segment->owner = large;
    large->task = (struct os_task){ .run = run_task, .ctx = large };
    list_append(&writer->larges, &large->link);
    list_remove(&entry->link);
    entry->large = large;
    large_ask(writer);
    return true;
}

bool large_is_behind(const struct large *large)
{
    return large->under_way > PIECES_BEHIND;
}

bool large_has_failed(const struct large *large)
{
    return large->failed;
}

static bool note_range(struct large *large, uint64_t from, uint64_t len, uint32_t crc)
{
    struct buffer *ranges = &large->ranges;
    if (buffer_room(ranges) < PIECE_RANGE_SIZE) {
        size_t cap = ranges->cap ? ranges->cap * 2 : 16 * PIECE_RANGE_SIZE;
        char *at = cap <= HEAD_MAX ? realloc(ranges->at, cap) : NULL;
        if (!at)
            return false;
        ranges->at = at;
        ranges->cap = cap;
    }
    piece_add_range(ranges, PIECE_SEGMENT, from, len, crc);
    return true;
}

static void piece_written(void *ctx)
{
    struct piece_write *piece = ctx;
    struct large *large = piece->large;
    struct spool_writer *writer = large->writer;
    if (piece->op.status != OS_OK)
        large->failed = true;
    large->under_way--;
    writer->spilling -= piece->block_bytes;
    entry_let_go_of_blocks(writer, piece->blocks, piece->block_bytes);
    group_free(&piece->group);
    free(piece);
    writer_has_room(writer);
    go_on(large); /* may end it, and the writer with it */
}

/* Takes the entry's blocks over, as one record in one group. */
static struct piece_write *piece_new(struct spool_entry *entry)
{
    struct large *large = entry->large;
    struct journal_segment *segment = large->segment;
    struct piece_write *piece = calloc(1, sizeof(*piece));
    if (!piece)
        return NULL;
    struct group_header header = { .place = segment->end, .synced_to = DATA_START, .group = segment->groups };
    group_begin(&piece->group, segment->number, segment->nonce, &header);
    piece->record = (struct record){ .type = RECORD_CONTENT,
                                     .head = piece->head,
                                     .body = entry->first,
                                     .body_size = entry->in_memory,
                                     .body_crc = entry->crc };
    struct record_header record = { .body_size = entry->in_memory };
    uint64_t body = segment->end + GROUP_HEADER_SIZE + record_body_at(&record);
    if (!group_add(&piece->group, &piece->record) || !note_range(large, body, entry->in_memory, entry->crc)) {
        group_free(&piece->group);
        free(piece);
        return NULL;
    }
    piece->large = large;
    piece->blocks = entry->first;
    piece->block_bytes = entry->block_bytes;
    entry->first = entry->last = NULL;
    entry->in_memory = entry->block_bytes = 0;
    entry->crc = 0;
    return piece;
}

bool large_flush(struct spool_entry *entry, bool all)
{
    struct large *large = entry->large;
    if (entry->in_memory == 0 || (!all && entry->in_memory < PIECE_SIZE))
        return true;
    struct piece_write *piece = piece_new(entry);
    if (!piece)
        return false;
    uint64_t size = group_finish(&piece->group);
    piece->op = (struct os_op){ .kind = OS_WRITE,
                                .file = &large->segment->file,
                                .offset = large->segment->end,
                                .slices = piece->group.slices,
                                .slice_count = piece->group.count };
    piece->request = (struct os_request){ .ops = &piece->op, .count = 1, .done = piece_written, .ctx = piece };
    large->segment->end += size;
    large->segment->groups++;
    large->under_way++;
    large->writer->spilling += piece->block_bytes;
    os_submit(large->writer->large_queue, &piece->request);
    return true;
}

/* ---- the end ---- */

/* Says the outcome last: the owner may do anything then. */
static void release(struct large *large, bool ok)
{
    struct spool_entry *entry = large->entry;
    list_remove(&large->link);
    list_remove(&large->segment->link);
    journal_segment_free(large->segment);
    free(large->ranges.at);
    group_free(&large->group);
    free(large);
    if (entry)
        entry_end(entry, ok);
}

static void end(struct large *large, bool ok)
{
    struct spool_writer *writer = large->writer;
    release(large, ok);
    writer_end_if_quiet(writer);
}

/* Nothing on disk is under way: what is left waits for an annulment that will not come any more. */
bool large_all_quiet(const struct spool_writer *writer)
{
    list_each(link, &writer->larges) if (!list_entry(link, struct large, link)->annulling) return false;
    return true;
}

void large_free_all(struct spool_writer *writer)
{
    for (struct list *link; (link = list_pop(&writer->large_spares));)
        journal_segment_free(list_entry(link, struct journal_segment, link));
    while (!list_empty(&writer->larges))
        release(list_entry(writer->larges.next, struct large, link), false);
}

static void leave_segment(struct large *large, uint64_t upto)
{
    struct spool_writer *writer = large->writer;
    if (!writer->closing)
        writer->owner.sealed(writer->owner.ctx, large->segment->number, upto);
}

static void annulled(struct journal_segment *segment)
{
    struct large *large = segment->owner;
    end(large, false);
}

/* A commit that failed may have left a whole message: only an annulment makes a 451 true. */
static void committed(void *ctx)
{
    struct large *large = ctx;
    struct spool_writer *writer = large->writer;
    uint64_t upto = large->segment->end + large->group_size;
    if (large->op.status != OS_OK) {
        large->segment->end = DATA_START;
        large->annulling = true;
        large->segment->annulled = annulled;
        journal_annul(&writer->journal, large->segment);
        return;
    }
    if (!writer->closing)
        writer->owner.durable(writer->owner.ctx, large->segment->number, upto);
    leave_segment(large, upto);
    end(large, true);
}

static void commit(struct large *large)
{
    struct journal_segment *segment = large->segment;
    struct group_header header = { .place = segment->end, .synced_to = DATA_START, .group = segment->groups };
    group_begin(&large->group, segment->number, segment->nonce, &header);
    if (!group_add(&large->group, &large->entry->record)) {
        leave_segment(large, DATA_START);
        end(large, false);
        return;
    }
    large->group_size = group_finish(&large->group);
    large->op = (struct os_op){ .kind = OS_COMMIT,
                                .file = &segment->file,
                                .offset = segment->end,
                                .slices = large->group.slices,
                                .slice_count = large->group.count };
    large->request = (struct os_request){ .ops = &large->op, .count = 1, .done = committed, .ctx = large };
    os_submit(large->writer->large_queue, &large->request);
}

/* When nothing is under way: a message that is not finished waits for more, a failed or dropped one ends here, where
 * there is no message record yet and so nothing to annul. */
static void go_on(struct large *large)
{
    if (large->under_way || large->task.waiting)
        return;
    bool finished = large->finishing;
    if (large->entry && !finished)
        return;
    if (large->entry && !large->failed) {
        commit(large);
        return;
    }
    leave_segment(large, DATA_START);
    end(large, false);
}

bool large_finish(struct spool_entry *entry, struct view tags, struct view front, const struct mail_facts *facts)
{
    struct large *large = entry->large;
    if (!large->failed && !large_flush(entry, true))
        return false;
    if (!entry_build_head(entry, tags, front, facts, buffer_view(&large->ranges)))
        return false;
    large->finishing = true;
    os_later(large->writer->os, &large->task);
    return true;
}

/* Before the end nothing of it can count; afterwards only the answer is of no interest. */
void large_drop(struct spool_entry *entry)
{
    struct large *large = entry->large;
    if (large->finishing)
        return;
    large->entry = NULL;
    entry_end(entry, false);
    os_later(large->writer->os, &large->task);
}
