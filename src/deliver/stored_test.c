#include "deliver/stored_test.h"

#include "base/crc32c.h"
#include "spool/message.h"

#include <assert.h>
#include <string.h>

#define SEGMENT 1
#define NONCE   42

static void write_at(struct os *os, struct os_file *file, uint64_t offset, struct view bytes)
{
    const struct os_slice slice = { bytes.at, bytes.len };
    struct os_op op = { .kind = OS_WRITE, .file = &file, .offset = offset, .slices = &slice, .slice_count = 1 };
    os_run_ops(os, &op, 1);
    assert(op.status == OS_OK);
}

static void add_facts(struct buffer *to, struct view content)
{
    struct mail_scan scan;
    size_t place = spool_tag_open(to, SPOOL_TAG_FACTS);
    mail_scan_start(&scan);
    mail_scan_feed(&scan, content);
    mail_facts_pack(to, mail_scan_end(&scan));
    spool_tag_close(to, place);
}

/* The content in three parts with something foreign between them. */
static void add_spread(struct os *os, struct os_file *segment, uint64_t *end, struct view content, struct buffer *head)
{
    size_t third = content.len / 3 + 1;
    while (content.len) {
        struct view part = view_take(&content, third);
        write_at(os, segment, *end, VIEW("foreign"));
        write_at(os, segment, *end + 7, part);
        piece_add_range(head, PIECE_SEGMENT, *end + 7, part.len, crc32c(0, part));
        *end += 7 + part.len;
    }
}

struct stored stored_put(struct os *os, struct os_file *segment, uint64_t *end, struct view reverse_path,
                         struct view front, struct view content, enum stored_form form)
{
    static struct mail_id_maker maker;
    struct stored stored = { .id = mail_id_make(&maker, UINT64_C(1795296600000000), 7) };
    char memory[8192], header[RECORD_HEADER_SIZE];
    struct buffer head = BUFFER_OF(memory);
    if (*end < DATA_START)
        *end = DATA_START;
    spool_tag_add(&head, SPOOL_TAG_ID, (struct view){ (const char *)stored.id.at, MAIL_ID_SIZE });
    spool_tag_add(&head, SPOOL_TAG_REVERSE_PATH, reverse_path);
    add_facts(&head, content);
    size_t place = spool_tag_open(&head, SPOOL_TAG_PIECES);
    if (front.len)
        piece_add_insert(&head, front);
    if (form == STORED_SPREAD)
        add_spread(os, segment, end, content, &head);
    else if (content.len)
        piece_add_range(&head, PIECE_BODY, 0, content.len, crc32c(0, content));
    spool_tag_close(&head, place);
    assert(!head.full);
    struct view body = form == STORED_SPREAD ? VIEW_NONE : content;
    struct record_header record = {
        .place = *end,
        .type = RECORD_MESSAGE,
        .head_size = (uint32_t)head.len,
        .head_crc = crc32c(0, buffer_view(&head)),
        .body_size = body.len,
        .body_crc = crc32c(0, body),
    };
    record_header_put(header, SEGMENT, NONCE, &record);
    write_at(os, segment, *end, (struct view){ header, sizeof header });
    write_at(os, segment, *end + sizeof header, buffer_view(&head));
    if (body.len)
        write_at(os, segment, *end + record_body_at(&record), body);
    stored.place = (struct spool_place){ SEGMENT, *end, RECORD_HEADER_SIZE + record.head_size, content.len };
    *end += record_size(&record);
    return stored;
}
