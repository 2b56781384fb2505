/* The writer: what the roles that take mail hold. */
#include <stdlib.h>
#include <string.h>

#include "spool/writer_inner.h"

static void journal_is_idle(void *ctx)
{
    struct spool_writer *writer = ctx;
    writer->journal_idle = true;
    writer_end_if_quiet(writer);
}

struct spool_writer *spool_writer_new(struct os *os, const struct spool_writer_owner *owner,
                                      const struct spool_writer_limits *limits)
{
    struct spool_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return NULL;
    writer->os = os;
    writer->owner = *owner;
    writer->limits = *limits;
    if (writer->limits.large_min == 0 || writer->limits.large_min > BODY_MAX)
        writer->limits.large_min = SPOOL_LARGE_MIN;
    list_init(&writer->entries);
    list_init(&writer->larges);
    list_init(&writer->large_spares);
    writer->large_queue = os_queue_new(os);
    if (!journal_init(&writer->journal, os, owner, SPOOL_MAIL, limits->batch_max) || !writer->large_queue) {
        journal_free(&writer->journal);
        if (writer->large_queue)
            os_queue_free(writer->large_queue);
        free(writer);
        return NULL;
    }
    journal_ask(&writer->journal);
    large_ask(writer);
    return writer;
}

void writer_end_if_quiet(struct spool_writer *writer)
{
    if (!writer->closing || !writer->journal_idle || !large_all_quiet(writer))
        return;
    large_free_all(writer);
    journal_free(&writer->journal);
    os_queue_free(writer->large_queue);
    block_pool_free(&writer->pool);
    free(writer);
}

void spool_writer_free(struct spool_writer *writer)
{
    writer->closing = true;
    journal_close(&writer->journal, journal_is_idle, writer);
}

void spool_writer_give(struct spool_writer *writer, enum spool_kind kind, uint64_t number, uint64_t nonce,
                       uint64_t size, struct os_file *file)
{
    struct journal_segment *segment = journal_segment_new(number, nonce, size, file);
    if (!segment) {
        os_file_close(file);
        return;
    }
    if (kind == SPOOL_LARGE)
        large_give(writer, segment);
    else
        journal_give(&writer->journal, segment);
    writer_has_room(writer);
}

bool spool_writer_ready(const struct spool_writer *writer)
{
    return journal_ready(&writer->journal) && writer->memory < writer->limits.memory_max;
}

void spool_writer_go(struct spool_writer *writer)
{
    journal_go(&writer->journal);
}

bool spool_writer_starve(struct spool_writer *writer)
{
    bool journal = journal_starve(&writer->journal), large = large_starve(writer);
    return journal || large;
}

static void tell_list(const struct list *segments, void (*tell)(void *, enum spool_kind, uint64_t, uint64_t), void *ctx)
{
    list_each(link, segments)
    {
        const struct journal_segment *segment = list_entry(link, struct journal_segment, link);
        tell(ctx, SPOOL_MAIL, segment->number, segment->end);
    }
}

/* A failed segment is held until its annulment is durable: until then nobody else may judge it. */
void spool_writer_tell(struct spool_writer *writer,
                       void (*tell)(void *ctx, enum spool_kind kind, uint64_t segment, uint64_t upto), void *ctx)
{
    tell_list(&writer->journal.segments, tell, ctx);
    tell_list(&writer->journal.annulling, tell, ctx);
    tell_list(&writer->journal.annulling_now, tell, ctx);
    large_tell(writer, tell, ctx);
    journal_forget_asked(&writer->journal);
    writer->large_asked = 0;
    journal_ask(&writer->journal);
    large_ask(writer);
}

void writer_has_room(struct spool_writer *writer)
{
    if (!writer->wants_room || writer->closing)
        return;
    writer->wants_room = false;
    writer->owner.room(writer->owner.ctx);
}
