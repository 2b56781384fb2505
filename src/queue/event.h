/* What the queue writes into the spool's log: kinds of events and what stands in their tags. They are what a message's
 * state is rebuilt from, and its history. Unknown tags are skipped. */
#ifndef QUEUE_EVENT_H
#define QUEUE_EVENT_H

#include "spool/spool.h"

enum queue_event_kind {
    QUEUE_EVENT_DELIVERED = 1 | SPOOL_EVENT_FINAL,
    QUEUE_EVENT_FAILED = 2 | SPOOL_EVENT_FINAL,   /* reported to the sender, or there is none to report to */
    QUEUE_EVENT_EXPANDED = 3 | SPOOL_EVENT_FINAL, /* an alias: those it stands for are recipients now */
    QUEUE_EVENT_DELETED = 4 | SPOOL_EVENT_FINAL,  /* by the administrator */
    QUEUE_EVENT_DEFERRED = 5,
    QUEUE_EVENT_HELD = 6,
    QUEUE_EVENT_RELEASED = 7,
    QUEUE_EVENT_DELAY_REPORTED = 8, /* SPOOL_ALL: the sender knows that the message is late */
    QUEUE_EVENT_REPORTED = 9,       /* SPOOL_ALL: a report was written in the same group */
};

enum queue_tag {
    QUEUE_TAG_CODE = 1,         /* u16 */
    QUEUE_TAG_STATUS = 2,       /* three u16 */
    QUEUE_TAG_TEXT = 3,         /* the whole reply, lines separated by LF */
    QUEUE_TAG_REMOTE = 4,       /* "name [address]:port" */
    QUEUE_TAG_PHASE = 5,        /* u8 enum smtp_client_phase */
    QUEUE_TAG_TOOK_US = 6,      /* u64: of the attempt */
    QUEUE_TAG_ATTEMPTS = 7,     /* u16: up to now */
    QUEUE_TAG_NEXT_WALL_US = 8, /* u64: the next attempt */
    QUEUE_TAG_AGE_S = 9,        /* u64: of the message, as the queue counts it */
    QUEUE_TAG_REPORT = 10,      /* 15 bytes: id of the report */
    QUEUE_TAG_PATH = 11,        /* repeated: one for each expanded recipient, in the order of their numbers */
    QUEUE_TAG_FIRST = 12,       /* u32: number of the first of them */
    QUEUE_TAG_UNCERTAIN = 13,   /* u8 1: perhaps delivered all the same (RFC 1047) */
};

/* What there is of all that. Absent: 0 or empty. */
struct queue_event {
    uint16_t code, status[3];
    struct view text, remote;
    uint8_t phase;
    bool uncertain;
    uint64_t took_us, next_wall_us, age_s;
    uint16_t attempts;
    uint32_t first;
    struct mail_id report; /* all zero: none */
    struct view paths;     /* tags: take them off with queue_event_path */
    uint32_t path_count;
};

#define QUEUE_EVENT_ROOM 256 /* bytes beside text, remote and paths */

void queue_event_pack(struct buffer *to, const struct queue_event *event); /* without paths */
void queue_event_add_path(struct buffer *to, struct view path);
bool queue_event_unpack(struct view tags, struct queue_event *event); /* false: malformed */
bool queue_event_path(struct view *paths, struct view *path);
const char *queue_event_name(unsigned kind); /* "delivered"; NULL: unknown */

#endif
