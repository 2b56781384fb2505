/* Message and event records as they lie in a segment: pieces, and the way from a record to a struct spool_message. */
#ifndef SPOOL_MESSAGE_H
#define SPOOL_MESSAGE_H

#include "spool/format.h"

enum piece_kind {
    PIECE_INSERT = 1, /* u32 length, bytes */
    PIECE_BODY,       /* u64 from, u64 length, u32 checksum: of the record's own body */
    PIECE_SEGMENT,    /* u64 offset, u64 length, u32 checksum: of the segment; content records of a large message */
};

#define PIECE_RANGE_SIZE 21

void piece_add_insert(struct buffer *to, struct view bytes);
void piece_add_range(struct buffer *to, enum piece_kind kind, uint64_t from, uint64_t len, uint32_t crc);

/* A record whose header and head are in memory and whose checksums are known to be right. False: malformed, or with a
 * tag that must be understood and is not. message->envelope borrows `head`. */
bool message_of_record(uint64_t segment, const struct record_header *record, struct view head,
                       struct spool_message *message);

/* The head of a message record, with room around it as struct record wants; *size is of the head alone. id NULL: it is
 * among the tags; `ranges` are pieces of content. NULL: no memory, or more than a record can hold. The caller frees it.
 */
char *message_head_new(const struct mail_id *id, struct view tags, struct view front, const struct mail_facts *facts,
                       struct view ranges, uint32_t *size);

#define EVENT_HEAD_SIZE (MAIL_ID_SIZE + 1 + 4 + 8 + 8) /* id, kind, recipient, time, segment; then the tags */

void event_put(struct buffer *to, const struct spool_event *event);
void event_set_segment(char *head, uint64_t segment);
bool event_get(struct view head, struct spool_event *event); /* tags borrow head */

#endif
