#include "spool/journal.h"

#include <stdlib.h>

#define SEGMENTS_WANTED 2 /* one to write in and one to go on in */

static void begin(void *ctx);
static void finished(void *ctx);

bool journal_init(struct journal *journal, struct os *os, const struct spool_writer_owner *owner, enum spool_kind kind,
                  size_t batch_max)
{
    *journal = (struct journal){ .os = os, .owner = *owner, .kind = kind, .batch_max = batch_max };
    journal->task = (struct os_task){ .run = begin, .ctx = journal };
    list_init(&journal->segments);
    list_init(&journal->waiting);
    list_init(&journal->writing);
    list_init(&journal->failed);
    list_init(&journal->annulling);
    list_init(&journal->annulling_now);
    journal->queue = os_queue_new(os);
    return journal->queue != NULL;
}

static void end_if_quiet(struct journal *journal)
{
    if (!journal->busy && !journal->task.waiting)
        journal->idle(journal->idle_ctx);
}

void journal_close(struct journal *journal, void (*idle)(void *ctx), void *ctx)
{
    journal->idle = idle;
    journal->idle_ctx = ctx;
    end_if_quiet(journal);
}

static void tell_all(struct list *records, bool ok)
{
    struct list told;
    list_init(&told);
    list_move_all(&told, records);
    for (struct list *link; (link = list_pop(&told));) {
        struct record *record = list_entry(link, struct record, link);
        record->done(record, ok);
    }
}

static void free_segments(struct list *segments)
{
    for (struct list *link; (link = list_pop(segments));)
        journal_segment_free(list_entry(link, struct journal_segment, link));
}

void journal_free(struct journal *journal)
{
    tell_all(&journal->failed, false);
    tell_all(&journal->waiting, false);
    free_segments(&journal->segments);
    free_segments(&journal->annulling);
    free_segments(&journal->annulling_now);
    group_free(&journal->group);
    if (journal->queue)
        os_queue_free(journal->queue);
}

/* ---- segments ---- */

static void segment_annulled(struct journal_segment *segment)
{
    journal_segment_free(segment);
}

struct journal_segment *journal_segment_new(uint64_t number, uint64_t nonce, uint64_t size, struct os_file *file)
{
    struct journal_segment *segment = calloc(1, sizeof(*segment));
    if (!segment)
        return NULL;
    *segment = (struct journal_segment){ .number = number,
                                         .nonce = nonce,
                                         .size = size ? size : SEGMENT_MAX,
                                         .end = DATA_START,
                                         .file = file,
                                         .annulled = segment_annulled };
    list_init(&segment->link);
    return segment;
}

void journal_segment_free(struct journal_segment *segment)
{
    if (segment->file)
        os_file_close(segment->file);
    free(segment);
}

static struct journal_segment *current(const struct journal *journal)
{
    return list_empty(&journal->segments) ? NULL : list_entry(journal->segments.next, struct journal_segment, link);
}

void journal_ask(struct journal *journal)
{
    unsigned have = journal->asked;
    list_each(link, &journal->segments) have++;
    if (have >= SEGMENTS_WANTED || journal->idle)
        return;
    journal->asked += SEGMENTS_WANTED - have;
    journal->owner.need(journal->owner.ctx, journal->kind, SEGMENTS_WANTED - have);
}

void journal_forget_asked(struct journal *journal)
{
    journal->asked = 0;
}

static void wake(struct journal *journal)
{
    if (!journal->busy && !journal->idle)
        os_later(journal->os, &journal->task);
}

void journal_try_again(struct journal *journal)
{
    journal->resting = false;
    wake(journal);
}

bool journal_starve(struct journal *journal)
{
    bool starves = list_empty(&journal->segments);
    if (starves && journal->starved)
        tell_all(&journal->waiting, false);
    journal->starved = starves;
    journal_try_again(journal);
    return journal->asked > 0 || journal->trouble;
}

void journal_give(struct journal *journal, struct journal_segment *segment)
{
    if (journal->asked)
        journal->asked--;
    journal->starved = false;
    list_append(&journal->segments, &segment->link);
    wake(journal);
}

bool journal_ready(const struct journal *journal)
{
    return !journal->trouble && !list_empty(&journal->segments);
}

void journal_add(struct journal *journal, struct record *record)
{
    list_append(&journal->waiting, &record->link);
    wake(journal);
}

void journal_annul(struct journal *journal, struct journal_segment *segment)
{
    annul_put(segment->annul_head + RECORD_HEADER_SIZE, segment->number, segment->end);
    segment->annul = (struct record){ .type = RECORD_ANNUL, .head = segment->annul_head, .head_size = ANNUL_SIZE };
    list_remove(&segment->link);
    list_append(&journal->annulling, &segment->link);
    wake(journal);
}

/* ---- one group ---- */

static uint64_t room(const struct journal *journal, const struct journal_segment *segment)
{
    uint64_t left = segment->size - segment->end;
    return left < journal->batch_max ? left : journal->batch_max;
}

static void start_group(struct journal *journal, const struct journal_segment *segment)
{
    struct group_header header = { .place = segment->end, .synced_to = segment->end, .group = segment->groups };
    group_begin(&journal->group, segment->number, segment->nonce, &header);
}

/* What comes first goes in even when it is longer than a batch, if only the segment has room. */
static bool add_if_room(struct journal *journal, const struct journal_segment *segment, struct record *record,
                        bool first)
{
    const struct group *group = &journal->group;
    uint64_t length = group->header.length + group_record_size(record);
    uint64_t limit = first ? segment->size - segment->end : room(journal, segment);
    return length <= limit && group_add(&journal->group, record);
}

static struct record *first_waiting(const struct journal *journal)
{
    return list_empty(&journal->waiting) ? NULL : list_entry(journal->waiting.next, struct record, link);
}

/* The first that waits, with those that are joined to it. False: they do not fit together. */
static bool add_joined(struct journal *journal, const struct journal_segment *segment)
{
    struct group_mark mark = group_mark(&journal->group);
    size_t added = 0;
    list_each(link, &journal->waiting)
    {
        struct record *record = list_entry(link, struct record, link);
        if (added && !record->joined)
            break;
        if (!add_if_room(journal, segment, record, mark.header.records == 0)) {
            group_rewind(&journal->group, &mark);
            return false;
        }
        added++;
    }
    for (; added; added--)
        list_append(&journal->writing, list_pop(&journal->waiting));
    return true;
}

/* All annulments that stand out, then what waits, in order, as much as fits; in trouble the annulments alone, so that
 * when they fail too their segment needs none. False: nothing fits. */
static bool gather(struct journal *journal, struct journal_segment *segment)
{
    start_group(journal, segment);
    list_each_safe(link, &journal->annulling)
    {
        struct journal_segment *dead = list_entry(link, struct journal_segment, link);
        if (!add_if_room(journal, segment, &dead->annul, journal->group.header.records == 0))
            break;
        list_remove(link);
        list_append(&journal->annulling_now, link);
    }
    bool whole = list_empty(&journal->annulling) && !journal->trouble;
    while (whole && first_waiting(journal))
        whole = add_joined(journal, segment);
    return journal->group.header.records > 0;
}

static void seal_current(struct journal *journal)
{
    struct journal_segment *segment = current(journal);
    list_remove(&segment->link);
    journal->owner.sealed(journal->owner.ctx, segment->number, segment->end);
    journal_segment_free(segment);
    journal_ask(journal);
}

static void submit(struct journal *journal, struct journal_segment *segment)
{
    journal->busy = true;
    journal->due = false;
    journal->group_size = group_finish(&journal->group);
    journal->op = (struct os_op){ .kind = OS_COMMIT,
                                  .file = &segment->file,
                                  .offset = segment->end,
                                  .slices = journal->group.slices,
                                  .slice_count = journal->group.count };
    journal->request = (struct os_request){ .ops = &journal->op, .count = 1, .done = finished, .ctx = journal };
    os_submit(journal->queue, &journal->request);
}

/* Not even an empty segment takes it: it is too long, or there is no memory for the slices. */
static void refuse_first(struct journal *journal)
{
    struct list refused;
    list_init(&refused);
    struct record *record = first_waiting(journal);
    while (record) {
        list_append(&refused, list_pop(&journal->waiting));
        record = first_waiting(journal);
        if (record && !record->joined)
            break;
    }
    tell_all(&refused, false);
    wake(journal);
}

static bool gathers(const struct journal *journal)
{
    unsigned waiting = 0;
    if (!journal->owner.gather || journal->due || journal->trouble)
        return false;
    list_each(link, &journal->waiting) waiting++;
    return journal->owner.gather(journal->owner.ctx, waiting);
}

void journal_go(struct journal *journal)
{
    journal->due = true;
    wake(journal);
}

static void begin(void *ctx)
{
    struct journal *journal = ctx;
    if (journal->idle) {
        end_if_quiet(journal);
        return;
    }
    if (journal->busy || journal->resting || (list_empty(&journal->waiting) && list_empty(&journal->annulling)))
        return;
    if (gathers(journal))
        return;
    for (struct journal_segment *segment; (segment = current(journal));) {
        if (gather(journal, segment)) {
            submit(journal, segment);
            return;
        }
        if (segment->end == DATA_START) {
            refuse_first(journal);
            return;
        }
        seal_current(journal);
    }
    journal_ask(journal);
}

/* ---- what came of it ---- */

static void committed(struct journal *journal, struct journal_segment *segment)
{
    segment->end += journal->group_size;
    segment->groups++;
    bool recovered = journal->trouble && list_empty(&journal->annulling);
    if (!journal->idle)
        journal->owner.durable(journal->owner.ctx, segment->number, segment->end);
    for (struct list *link; (link = list_pop(&journal->annulling_now));) {
        struct journal_segment *dead = list_entry(link, struct journal_segment, link);
        if (!journal->idle)
            journal->owner.sealed(journal->owner.ctx, dead->number, dead->end);
        dead->annulled(dead);
    }
    if (recovered) {
        journal->trouble = false;
        tell_all(&journal->failed, false);
        if (!journal->idle)
            journal->owner.trouble(journal->owner.ctx, true, VIEW("the failed group is annulled"));
    }
    tell_all(&journal->writing, true);
}

/* Whether its only group, of annulments, counts after a crash is all the same: it goes back as empty. Otherwise a disk
 * that fails for hours would fill up with such segments. */
static void give_back(struct journal *journal, struct journal_segment *segment)
{
    list_remove(&segment->link);
    if (!journal->idle)
        journal->owner.sealed(journal->owner.ctx, segment->number, segment->end);
    journal_segment_free(segment);
}

/* The annulments of this group stand out again, and so does that of the segment that just failed. Records that were
 * never written need not wait for anything: when not even the annulment can be written they hear it now, and the next
 * try comes with journal_try_again(). */
static void failed(struct journal *journal, struct journal_segment *segment)
{
    bool again = journal->trouble, empty = list_empty(&journal->writing) && segment->end == DATA_START;
    journal->trouble = true;
    journal->resting = again;
    list_move_all(&journal->failed, &journal->writing);
    list_move_all(&journal->annulling, &journal->annulling_now);
    if (empty)
        give_back(journal, segment);
    else
        journal_annul(journal, segment);
    if (journal->idle)
        return;
    journal->owner.trouble(journal->owner.ctx, false, view_of(os_status_text(journal->op.status)));
    if (again)
        tell_all(&journal->waiting, false);
    journal_ask(journal);
}

static void finished(void *ctx)
{
    struct journal *journal = ctx;
    journal->busy = false;
    if (journal->op.status == OS_OK)
        committed(journal, current(journal));
    else
        failed(journal, current(journal));
    if (journal->idle)
        end_if_quiet(journal);
    else
        wake(journal);
}
