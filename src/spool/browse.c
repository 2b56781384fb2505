/* Reading a spool beside its server, or without one. Events come before messages, and the names of segments are looked
 * up again for them: so what is forgotten meanwhile is missing as a whole, and nothing that is done looks open. */
#include <stdlib.h>

#include "spool/folder.h"
#include "spool/marker.h"
#include "spool/message.h"
#include "spool/store_inner.h"
#include "spool/survey.h"

struct annulment {
    uint64_t segment, from;
};

struct browsing {
    struct os *os;
    struct os_dir *segments;
    const struct spool_browse *browse;
    bool messages; /* the second round */
    struct annulment *annulments;
    size_t annulment_count, annulment_size;
    uint64_t *numbers; /* of the segments */
    size_t number_count, number_size;
    bool failed; /* no memory */
};

/* ---- records ---- */

static void note_annulment(struct browsing *b, struct view head)
{
    struct annulment annulment;
    if (!annul_get(head, &annulment.segment, &annulment.from))
        return;
    if (b->annulment_count == b->annulment_size) {
        size_t size = b->annulment_size ? 2 * b->annulment_size : 64;
        struct annulment *larger = realloc(b->annulments, size * sizeof(*larger));
        b->failed |= !larger;
        if (!larger)
            return;
        b->annulments = larger;
        b->annulment_size = size;
    }
    b->annulments[b->annulment_count++] = annulment;
}

static bool is_annulled(const struct browsing *b, const struct spool_place *place)
{
    for (size_t i = 0; i < b->annulment_count; i++)
        if (b->annulments[i].segment == place->segment && place->offset >= b->annulments[i].from)
            return true;
    return false;
}

static void take_record(struct browsing *b, const struct source *source, uint64_t segment,
                        const struct record_header *record, struct view head)
{
    struct spool_message message;
    struct spool_event event;
    if (record->type == RECORD_ANNUL && !b->messages)
        note_annulment(b, head);
    else if (record->type == RECORD_EVENT && !b->messages && event_get(head, &event))
        b->browse->event(b->browse->ctx, &event);
    else if (record->type == RECORD_MESSAGE && b->messages && message_of_record(segment, record, head, &message) &&
             !is_annulled(b, &message.place))
        b->browse->message(b->browse->ctx, &message, source->file);
}

/* ---- segments ---- */

static void walk_groups(struct browsing *b, struct source *source, const struct segment *segment)
{
    struct walk walk;
    walk_init(&walk, segment->number, segment->header.nonce, DATA_START, segment->upto);
    walk.skip_content = true;
    for (enum walk_step step; (step = source_walk(source, &walk)) != WALK_END;)
        if (step == WALK_RECORD)
            take_record(b, source, segment->number, &walk.record, walk.head);
}

/* Messages of a sealed segment are known from its footer, so that no content is read. False: there is none that is
 * good. */
static bool read_footer(struct browsing *b, struct source *source, const struct segment *segment)
{
    char *memory = segment->seal.footer ? malloc(segment->seal.footer_size + 1) : NULL;
    struct view footer = { memory, segment->seal.footer_size }, raw;
    struct record_header record;
    bool sound = memory && read_carefully(source->os, source->file, segment->seal.end, memory, footer.len) &&
                 footer_is_sound(segment, footer);
    while (sound && footer.len && footer_next(segment, &footer, &record, &raw))
        take_record(b, source, segment->number, &record, view_slice(raw, RECORD_HEADER_SIZE, raw.len));
    free(memory);
    return sound;
}

/* In the first round only what may hold events or annulments. */
static bool is_wanted(const struct browsing *b, const struct segment *segment, bool sealed)
{
    return b->messages || segment->header.kind == SPOOL_LOG || !sealed || segment->seal.annuls > 0;
}

static void browse_segment(struct browsing *b, struct source *source, struct segment *segment, uint64_t file_size)
{
    struct view start = source_read(source, 0, DATA_START);
    struct survey survey = { 0 };
    if (!start.at || segment_header_get(start, &segment->header) != FORMAT_OK ||
        segment->header.number != segment->number)
        return; /* it is damaged, or was taken for another use: a check tells, and recovery puts it aside */
    bool sealed = seal_get(view_slice(start, SEAL_AT, DATA_START), &segment->header, &segment->seal);
    if (!is_wanted(b, segment, sealed))
        return;
    if (!sealed)
        survey_segment(source, &segment->header, block_up(file_size), &survey);
    segment->upto = sealed ? segment->seal.end : survey.end;
    if (!sealed || !b->messages || !read_footer(b, source, segment))
        walk_groups(b, source, segment);
}

static void browse_file(struct browsing *b, struct os_file *file, uint64_t number, uint64_t file_size)
{
    struct source source;
    struct segment *segment = calloc(1, sizeof(*segment));
    b->failed |= !segment;
    if (!segment)
        return;
    segment->number = number;
    source_init(&source, b->os, file);
    browse_segment(b, &source, segment, file_size);
    b->failed |= source.no_memory;
    source_free(&source);
    free(segment);
}

static void browse_number(struct browsing *b, uint64_t number)
{
    struct os_file *file = NULL;
    struct os_stat stat = { 0 };
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, number);
    struct os_op ops[2] = {
        { .kind = OS_OPEN, .dir = b->segments, .name = name, .file = &file, .flags = OS_FOR_READ | OS_NO_FOLLOW },
        { .kind = OS_STAT, .file = &file, .stat = &stat }
    };
    os_run_ops(b->os, ops, 2);
    if (ops[1].status == OS_OK)
        browse_file(b, file, number, stat.size);
    if (file)
        os_file_close(file);
}

static bool note_name(void *ctx, struct view name)
{
    struct browsing *b = ctx;
    uint64_t number;
    if (!segment_name_read(name, &number))
        return true;
    if (b->number_count == b->number_size) {
        size_t size = b->number_size ? 2 * b->number_size : 64;
        uint64_t *larger = realloc(b->numbers, size * sizeof(*larger));
        b->failed |= !larger;
        if (!larger)
            return false;
        b->numbers = larger;
        b->number_size = size;
    }
    b->numbers[b->number_count++] = number;
    return true;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* In the order in which they were begun. */
static enum os_status browse_all(struct browsing *b)
{
    b->number_count = 0;
    if (!folder_each(b->os, b->segments, note_name, b))
        return b->failed ? OS_NO_MEMORY : OS_IO;
    if (b->number_count > 0)
        qsort(b->numbers, b->number_count, sizeof(*b->numbers), by_number);
    for (size_t i = 0; i < b->number_count; i++)
        browse_number(b, b->numbers[i]);
    return OS_OK;
}

/* ---- both rounds ---- */

static enum os_status open_segments(struct browsing *b, struct os_dir *dir)
{
    struct marker marker;
    enum format_result result;
    enum os_status status = marker_read(b->os, dir, &marker, &result);
    struct os_op op = { .kind = OS_OPEN_DIR, .dir = dir, .name = "segments", .opened_dir = &b->segments };
    if (status != OS_OK)
        return status;
    if (result != FORMAT_OK)
        return OS_INVALID;
    os_run_ops(b->os, &op, 1);
    return op.status;
}

enum os_status spool_browse(struct os *os, struct os_dir *dir, const struct spool_browse *browse)
{
    struct browsing b = { .os = os, .browse = browse };
    enum os_status status = open_segments(&b, dir);
    for (int round = 0; status == OS_OK && round < 2; round++) {
        b.messages = round == 1;
        status = browse_all(&b);
    }
    if (b.segments)
        os_dir_close(b.segments);
    free(b.annulments);
    free(b.numbers);
    return status == OS_OK && b.failed ? OS_NO_MEMORY : status;
}
