#include "spool/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "spool/group.h"

#define FACTS_ROOM 256 /* tags of id, facts and pieces beside what is counted */

void piece_add_insert(struct buffer *to, struct view bytes)
{
    pack_u8(to, PIECE_INSERT);
    pack_view(to, bytes);
}

void piece_add_range(struct buffer *to, enum piece_kind kind, uint64_t from, uint64_t len, uint32_t crc)
{
    pack_u8(to, (uint8_t)kind);
    pack_u64(to, from);
    pack_u64(to, len);
    pack_u32(to, crc);
}

struct piece {
    enum piece_kind kind;
    struct view bytes;
    uint64_t from, len;
    uint32_t crc;
};

static bool next_piece(struct view *rest, struct piece *piece)
{
    struct unpack in = unpack_of(*rest);
    piece->kind = (enum piece_kind)unpack_u8(&in);
    piece->bytes = VIEW_NONE;
    switch (piece->kind) {
    case PIECE_INSERT:
        piece->bytes = unpack_view(&in);
        piece->from = 0;
        piece->len = piece->bytes.len;
        piece->crc = 0;
        break;
    case PIECE_BODY:
    case PIECE_SEGMENT:
        piece->from = unpack_u64(&in);
        piece->len = unpack_u64(&in);
        piece->crc = unpack_u32(&in);
        break;
    default:
        return false;
    }
    *rest = in.rest;
    return !in.bad;
}

static bool within(uint64_t from, uint64_t len, uint64_t low, uint64_t high)
{
    return from >= low && from <= high && len <= high - from;
}

/* Sums the content up, and sees that every range lies where content can be (H33). Content records of a message lie
 * before its own record. */
static bool measure_pieces(struct view pieces, const struct record_header *record, uint64_t *content_size)
{
    struct piece piece;
    *content_size = 0;
    while (pieces.len) {
        if (!next_piece(&pieces, &piece))
            return false;
        if (piece.kind == PIECE_BODY && !within(piece.from, piece.len, 0, record->body_size))
            return false;
        if (piece.kind == PIECE_SEGMENT && !within(piece.from, piece.len, DATA_START, record->place))
            return false;
        if (piece.kind != PIECE_INSERT && __builtin_add_overflow(*content_size, piece.len, content_size))
            return false;
    }
    return *content_size <= SEGMENT_MAX;
}

static bool recipient_is_sound(struct view tags)
{
    uint16_t tag;
    struct view value;
    bool path = false;
    while (spool_tag_next(&tags, &tag, &value)) {
        if (tag == SPOOL_RECIPIENT_PATH)
            path = true;
        else if (tag & SPOOL_MUST)
            return false;
    }
    return path && tags.len == 0;
}

/* One tag of the envelope; false: unsound or unknown. */
static bool take_tag(struct spool_message *message, uint16_t tag, struct view value, struct view *pieces)
{
    struct unpack in = unpack_of(value);
    switch (tag) {
    case SPOOL_TAG_ID:
        if (value.len == MAIL_ID_SIZE)
            memcpy(message->id.at, value.at, MAIL_ID_SIZE);
        return value.len == MAIL_ID_SIZE;
    case SPOOL_TAG_REVERSE_PATH:
        return true;
    case SPOOL_TAG_RECIPIENT:
        message->recipient_count++;
        return recipient_is_sound(value);
    case SPOOL_TAG_PIECES:
        *pieces = value;
        return true;
    case SPOOL_TAG_FACTS:
        return mail_facts_unpack(&in, &message->facts);
    default:
        return !(tag & SPOOL_MUST);
    }
}

bool message_of_record(uint64_t segment, const struct record_header *record, struct view head,
                       struct spool_message *message)
{
    *message = (struct spool_message){ .envelope = head };
    message->place = (struct spool_place){ segment, record->place, RECORD_HEADER_SIZE + record->head_size, 0 };
    struct view rest = head, value, pieces = VIEW_NONE;
    uint16_t tag;
    bool id = false;
    while (spool_tag_next(&rest, &tag, &value)) {
        if (!take_tag(message, tag, value, &pieces))
            return false;
        id = id || tag == SPOOL_TAG_ID;
    }
    message->body_offset = record->place + record_body_at(record);
    return rest.len == 0 && id && measure_pieces(pieces, record, &message->place.content_size);
}

bool spool_message_parse(struct view record, const struct spool_place *place, struct spool_message *message)
{
    struct record_header header;
    if (!record_header_read(record, place->segment, place->offset, &header) || header.type != RECORD_MESSAGE ||
        RECORD_HEADER_SIZE + header.head_size != place->head_size || record.len < place->head_size)
        return false;
    struct view head = view_slice(record, RECORD_HEADER_SIZE, place->head_size);
    return crc32c(0, head) == header.head_crc && message_of_record(place->segment, &header, head, message) &&
           message->place.content_size == place->content_size;
}

/* ---- a new record ---- */

static void add_facts(struct buffer *to, const struct mail_facts *facts)
{
    size_t place = spool_tag_open(to, SPOOL_TAG_FACTS);
    mail_facts_pack(to, facts);
    spool_tag_close(to, place);
}

static void add_pieces(struct buffer *to, struct view front, struct view ranges)
{
    size_t place = spool_tag_open(to, SPOOL_TAG_PIECES);
    if (front.len)
        piece_add_insert(to, front);
    buffer_add(to, ranges);
    spool_tag_close(to, place);
}

char *message_head_new(const struct mail_id *id, struct view tags, struct view front, const struct mail_facts *facts,
                       struct view ranges, uint32_t *size)
{
    if (tags.len > HEAD_MAX || front.len > HEAD_MAX || ranges.len > HEAD_MAX)
        return NULL;
    size_t room = tags.len + front.len + ranges.len + FACTS_ROOM;
    char *memory = room <= HEAD_MAX ? malloc(RECORD_ROOM + room) : NULL;
    if (!memory)
        return NULL;
    struct buffer head;
    buffer_init(&head, memory + RECORD_HEADER_SIZE, room);
    if (id)
        spool_tag_add(&head, SPOOL_TAG_ID, (struct view){ (const char *)id->at, MAIL_ID_SIZE });
    buffer_add(&head, tags);
    add_facts(&head, facts);
    add_pieces(&head, front, ranges);
    if (head.full) {
        free(memory);
        return NULL;
    }
    *size = (uint32_t)head.len;
    return memory;
}

/* ---- events ---- */

bool event_get(struct view head, struct spool_event *event)
{
    struct unpack in = unpack_of(head);
    struct view id = unpack_bytes(&in, MAIL_ID_SIZE);
    event->kind = unpack_u8(&in);
    event->recipient = unpack_u32(&in);
    event->wall_us = unpack_u64(&in);
    event->segment = unpack_u64(&in);
    if (in.bad)
        return false;
    memcpy(event->id.at, id.at, MAIL_ID_SIZE);
    event->tags = in.rest;
    return true;
}

void event_put(struct buffer *to, const struct spool_event *event)
{
    pack_bytes(to, (struct view){ (const char *)event->id.at, MAIL_ID_SIZE });
    pack_u8(to, event->kind);
    pack_u32(to, event->recipient);
    pack_u64(to, event->wall_us);
    pack_u64(to, event->segment);
    pack_bytes(to, event->tags);
}

void event_set_segment(char *head, uint64_t segment)
{
    put_u64(head + EVENT_HEAD_SIZE - 8, segment);
}

/* ---- reader ---- */

void spool_reader_init(struct spool_reader *reader, const struct spool_message *message, struct view front)
{
    *reader = (struct spool_reader){ .message = message, .front = front };
    spool_tag_find(message->envelope, SPOOL_TAG_PIECES, &reader->pieces);
}

bool spool_reader_next(struct spool_reader *reader, struct spool_span *span)
{
    struct piece piece;
    *span = (struct spool_span){ .bytes = reader->front, .len = reader->front.len };
    reader->front = VIEW_NONE;
    while (span->len == 0 && reader->pieces.len && !reader->bad) {
        reader->bad = !next_piece(&reader->pieces, &piece);
        if (reader->bad)
            return false;
        span->bytes = piece.bytes;
        span->len = piece.len;
        span->crc = piece.crc;
        span->offset = piece.from + (piece.kind == PIECE_BODY ? reader->message->body_offset : 0);
    }
    return span->len > 0;
}

uint64_t spool_message_size(const struct spool_message *message)
{
    struct spool_reader reader;
    struct spool_span span;
    uint64_t size = 0;
    spool_reader_init(&reader, message, VIEW_NONE);
    while (spool_reader_next(&reader, &span))
        size += span.len;
    return size;
}
