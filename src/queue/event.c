#include "queue/event.h"

static void add_number(struct buffer *to, uint16_t tag, uint64_t n, size_t size)
{
    char bytes[8];
    struct buffer value = BUFFER_OF(bytes);
    pack_u64(&value, n); /* little-endian: the first bytes are the number in fewer */
    if (n)
        spool_tag_add(to, tag, (struct view){ bytes, size });
}

static void add_text(struct buffer *to, uint16_t tag, struct view text)
{
    if (text.len)
        spool_tag_add(to, tag, text);
}

static bool has_report(const struct queue_event *e)
{
    static const struct mail_id none;
    return mail_id_compare(&e->report, &none) != 0;
}

void queue_event_pack(struct buffer *to, const struct queue_event *e)
{
    add_number(to, QUEUE_TAG_CODE, e->code, 2);
    if (e->status[0]) {
        size_t place = spool_tag_open(to, QUEUE_TAG_STATUS);
        for (int i = 0; i < 3; i++)
            pack_u16(to, e->status[i]);
        spool_tag_close(to, place);
    }
    add_text(to, QUEUE_TAG_TEXT, e->text);
    add_text(to, QUEUE_TAG_REMOTE, e->remote);
    add_number(to, QUEUE_TAG_PHASE, e->phase, 1);
    add_number(to, QUEUE_TAG_TOOK_US, e->took_us, 8);
    add_number(to, QUEUE_TAG_ATTEMPTS, e->attempts, 2);
    add_number(to, QUEUE_TAG_NEXT_WALL_US, e->next_wall_us, 8);
    add_number(to, QUEUE_TAG_AGE_S, e->age_s, 8);
    add_number(to, QUEUE_TAG_FIRST, e->first, 4);
    add_number(to, QUEUE_TAG_UNCERTAIN, e->uncertain, 1);
    if (has_report(e))
        spool_tag_add(to, QUEUE_TAG_REPORT, (struct view){ (const char *)e->report.at, MAIL_ID_SIZE });
}

void queue_event_add_path(struct buffer *to, struct view path)
{
    spool_tag_add(to, QUEUE_TAG_PATH, path);
}

static void take_id(struct unpack *in, struct mail_id *id)
{
    struct view bytes = unpack_bytes(in, MAIL_ID_SIZE);
    for (size_t i = 0; i < bytes.len; i++)
        id->at[i] = (uint8_t)bytes.at[i];
}

static bool take_tag(struct queue_event *e, uint16_t tag, struct view value)
{
    struct unpack in = unpack_of(value);
    switch (tag) {
    case QUEUE_TAG_CODE:
        e->code = unpack_u16(&in);
        break;
    case QUEUE_TAG_STATUS:
        for (int i = 0; i < 3; i++)
            e->status[i] = unpack_u16(&in);
        break;
    case QUEUE_TAG_TEXT:
        e->text = value;
        return true;
    case QUEUE_TAG_REMOTE:
        e->remote = value;
        return true;
    case QUEUE_TAG_PHASE:
        e->phase = unpack_u8(&in);
        break;
    case QUEUE_TAG_TOOK_US:
        e->took_us = unpack_u64(&in);
        break;
    case QUEUE_TAG_ATTEMPTS:
        e->attempts = unpack_u16(&in);
        break;
    case QUEUE_TAG_NEXT_WALL_US:
        e->next_wall_us = unpack_u64(&in);
        break;
    case QUEUE_TAG_AGE_S:
        e->age_s = unpack_u64(&in);
        break;
    case QUEUE_TAG_FIRST:
        e->first = unpack_u32(&in);
        break;
    case QUEUE_TAG_UNCERTAIN:
        e->uncertain = unpack_u8(&in) != 0;
        break;
    case QUEUE_TAG_REPORT:
        take_id(&in, &e->report);
        break;
    case QUEUE_TAG_PATH:
        e->path_count++;
        return value.len > 0;
    default:
        return true;
    }
    return unpack_done(&in);
}

bool queue_event_unpack(struct view tags, struct queue_event *e)
{
    uint16_t tag;
    struct view value;
    *e = (struct queue_event){ .paths = tags };
    while (spool_tag_next(&tags, &tag, &value))
        if (!take_tag(e, tag, value))
            return false;
    return tags.len == 0;
}

bool queue_event_path(struct view *paths, struct view *path)
{
    uint16_t tag;
    while (spool_tag_next(paths, &tag, path))
        if (tag == QUEUE_TAG_PATH)
            return true;
    return false;
}

const char *queue_event_name(unsigned kind)
{
    static const char *const names[] = { NULL,       "delivered", "failed",   "expanded", "deleted",
                                         "deferred", "held",      "released", "delayed",  "report-written" };
    unsigned n = kind & ~(unsigned)SPOOL_EVENT_FINAL;
    return n < sizeof names / sizeof names[0] ? names[n] : NULL;
}
