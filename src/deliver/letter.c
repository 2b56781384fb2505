#include "deliver/letter.h"

#include "base/crc32c.h"
#include "mail/received.h"

#include <stdlib.h>

#define PADDING_MAX      64   /* of a record, between head and content */
#define REVERSE_PATH_MAX 4096 /* twice in the front, and a field name, and a date */

static bool is_small(const struct spool_place *place)
{
    return place->content_size <= DELIVER_WHOLE_MAX;
}

bool deliver_letter_init(struct deliver_letter *letter, const struct spool_place *place, bool mbox)
{
    *letter = (struct deliver_letter){ .place = *place, .mbox = mbox };
    letter->record_len = place->head_size;
    if (is_small(place))
        letter->record_len += PADDING_MAX + (size_t)place->content_size;
    if (place->head_size > DELIVER_HEAD_MAX)
        return false;
    letter->record = malloc(letter->record_len + 1);
    return letter->record != NULL;
}

void deliver_letter_free(struct deliver_letter *letter)
{
    free(letter->record);
    free(letter->text);
    letter->record = letter->text = NULL;
}

size_t deliver_letter_memory(const struct spool_place *place)
{
    size_t content = is_small(place) ? (size_t)place->content_size : DELIVER_CHUNK + DELIVER_FILTER_ROOM(DELIVER_CHUNK);
    return 3 * (size_t)place->head_size + 2 * content + DELIVER_FRONT_MAX;
}

void deliver_letter_begin(const struct deliver_letter *letter, struct deliver_filter *filter, uint64_t wall_us,
                          struct buffer *out)
{
    char memory[DELIVER_FRONT_MAX];
    struct buffer front = BUFFER_OF(memory);
    deliver_filter_start(filter, letter->mbox);
    if (letter->mbox)
        deliver_from_line_add(out, letter->reverse_path, wall_us);
    mail_return_path_add(&front, letter->reverse_path);
    deliver_filter_feed(filter, buffer_view(&front), false, out);
}

void deliver_letter_feed(const struct deliver_letter *letter, struct deliver_filter *filter, uint64_t at,
                         struct view bytes, struct buffer *out)
{
    const struct mail_facts *facts = &letter->message.facts;
    /* The end of the header is what was found when the message came in, whatever the bytes look like now (H7). */
    if (facts->has_return_path && at < facts->header_size) {
        uint64_t left = facts->header_size - at;
        struct view header = view_take(&bytes, left < bytes.len ? (size_t)left : bytes.len);
        deliver_filter_feed(filter, header, true, out);
    }
    deliver_filter_feed(filter, bytes, false, out);
}

/* ---- a message that was read in one piece ---- */

static bool is_in_record(const struct deliver_letter *letter, const struct spool_span *span)
{
    uint64_t start = letter->place.offset, end = start + letter->record_len;
    return span->offset >= start && span->offset <= end && span->len <= end - span->offset;
}

/* Its bytes may also lie elsewhere in the segment, however few they are: they came before the envelope was known. */
static bool is_whole(const struct deliver_letter *letter)
{
    struct spool_reader reader;
    struct spool_span span;
    spool_reader_init(&reader, &letter->message, VIEW_NONE);
    while (spool_reader_next(&reader, &span))
        if (!span.bytes.at && !is_in_record(letter, &span))
            return false;
    return true;
}

static bool add_all(const struct deliver_letter *letter, uint64_t wall_us, struct buffer *out)
{
    struct spool_reader reader;
    struct spool_span span;
    struct deliver_filter filter;
    uint64_t at = 0;
    deliver_letter_begin(letter, &filter, wall_us, out);
    spool_reader_init(&reader, &letter->message, VIEW_NONE);
    while (spool_reader_next(&reader, &span)) {
        if (span.bytes.at) {
            deliver_filter_feed(&filter, span.bytes, false, out);
            continue;
        }
        const struct view content = { letter->record + (span.offset - letter->place.offset), (size_t)span.len };
        if (crc32c(0, content) != span.crc)
            return false; /* the disk gives back other bytes than it was given (H138) */
        deliver_letter_feed(letter, &filter, at, content, out);
        at += span.len;
    }
    deliver_filter_end(&filter, out);
    return !reader.bad && !out->full;
}

static enum deliver_letter_result make_text(struct deliver_letter *letter, uint64_t wall_us)
{
    uint64_t size = spool_message_size(&letter->message);
    /* A piece is inserted, or a range of the content: a message much larger than both cannot be. */
    if (size > letter->record_len)
        return DELIVER_LETTER_DAMAGED;
    struct buffer out;
    size_t cap = DELIVER_FILTER_ROOM((size_t)size) + DELIVER_FRONT_MAX;
    char *memory = malloc(cap);
    if (!memory)
        return DELIVER_LETTER_NO_MEMORY;
    buffer_init(&out, memory, cap);
    if (!add_all(letter, wall_us, &out)) {
        free(memory);
        return DELIVER_LETTER_DAMAGED;
    }
    letter->text = memory;
    letter->text_len = out.len;
    free(letter->record);
    letter->record = NULL;
    return DELIVER_LETTER_OK;
}

enum deliver_letter_result deliver_letter_parse(struct deliver_letter *letter, uint64_t got, uint64_t wall_us)
{
    if (got < letter->place.head_size)
        return DELIVER_LETTER_DAMAGED;
    letter->record_len = (size_t)got;
    const struct view head = { letter->record, letter->record_len };
    if (!spool_message_parse(head, &letter->place, &letter->message) ||
        !spool_tag_find(letter->message.envelope, SPOOL_TAG_REVERSE_PATH, &letter->reverse_path) ||
        letter->reverse_path.len > REVERSE_PATH_MAX)
        return DELIVER_LETTER_DAMAGED;
    return is_whole(letter) ? make_text(letter, wall_us) : DELIVER_LETTER_OK;
}
