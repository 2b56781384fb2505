/* What lies in a segment may be anything. Two ways in: the bytes are the segment, from its first group on; or they are
 * the head of a record whose checksums are right, as a disk of another version or a hostile hand could make them. */
#include "base/crc32c.h"
#include "spool/message.h"
#include "spool/walk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER 7
#define NONCE  UINT64_C(0x0123456789abcdef)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_message(const struct record_header *record, struct view head)
{
    struct spool_message message;
    struct spool_reader reader;
    struct spool_span span;
    struct spool_event event;
    uint64_t segment, end, content = 0;
    event_get(head, &event);
    annul_get(head, &segment, &end);
    if (!message_of_record(NUMBER, record, head, &message))
        return;
    spool_reader_init(&reader, &message, VIEW("front"));
    while (spool_reader_next(&reader, &span))
        if (!span.bytes.at) {
            assert(span.offset >= DATA_START && span.len <= SEGMENT_MAX);
            content += span.len;
        }
    assert(!reader.bad && content == message.place.content_size);
}

/* Everything is reported once, in order, whole or as damage; and windows of any size give the same. */
static uint64_t walk_all(struct view bytes, size_t window_size)
{
    struct walk walk;
    uint64_t seen = 0, last = DATA_START;
    struct view window = VIEW_NONE;
    uint64_t window_at = 0;
    walk_init(&walk, NUMBER, NONCE, DATA_START, DATA_START + bytes.len);
    for (enum walk_step step; (step = walk_next(&walk, window, window_at)) != WALK_END;) {
        assert(walk.pos >= last && walk.pos <= walk.upto);
        last = walk.pos;
        if (step == WALK_READ) {
            size_t len = walk.want_len > window_size ? walk.want_len : window_size;
            window_at = walk.want_at;
            window = view_slice(bytes, window_at - DATA_START, window_at - DATA_START + len);
            assert(window.len >= walk.want_len);
            continue;
        }
        seen = seen * 31 + (uint64_t)step * 7 + walk.pos;
        if (step == WALK_RECORD)
            read_message(&walk.record, walk.head);
    }
    return seen;
}

static void as_segment(struct view bytes)
{
    size_t len = block_up(bytes.len);
    char *padded = calloc(1, len + 1);
    if (!padded)
        return;
    memcpy(padded, bytes.at, bytes.len);
    uint64_t whole = walk_all((struct view){ padded, len }, len);
    assert(whole == walk_all((struct view){ padded, len }, 1));
    free(padded);
}

static void as_head(struct view head)
{
    struct record_header record = { .place = DATA_START + SPOOL_BLOCK, .type = RECORD_MESSAGE, .body_size = 1000 };
    if (head.len > HEAD_MAX)
        return;
    record.head_size = (uint32_t)head.len;
    read_message(&record, head);
}

/* The bytes with the headers mended: what is between them is then reached. */
static void as_group(struct view bytes)
{
    size_t len = block_up(GROUP_HEADER_SIZE + RECORD_HEADER_SIZE + bytes.len + 8);
    char *segment = calloc(1, len);
    struct record_header record = { .place = DATA_START + GROUP_HEADER_SIZE, .type = RECORD_MESSAGE };
    if (!segment || bytes.len > HEAD_MAX) {
        free(segment);
        return;
    }
    record.head_size = (uint32_t)bytes.len;
    record.head_crc = crc32c(0, bytes);
    struct group_header group = { .place = DATA_START, .synced_to = DATA_START, .records = 1 };
    group.length = GROUP_HEADER_SIZE + record_size(&record);
    group_header_put(segment, NUMBER, NONCE, &group);
    record_header_put(segment + GROUP_HEADER_SIZE, NUMBER, NONCE, &record);
    memcpy(segment + GROUP_HEADER_SIZE + RECORD_HEADER_SIZE, bytes.at, bytes.len);
    walk_all((struct view){ segment, len }, 1);
    free(segment);
}

/* The first byte chooses the way. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct view bytes = { (const char *)data + 1, size - 1 };
    switch (data[0] % 3) {
    case 0:
        as_segment(bytes);
        break;
    case 1:
        as_head(bytes);
        break;
    default:
        as_group(bytes);
    }
    return 0;
}
