/* Group commit: records that wait are written and made durable together, one group at a time, in segments that the
 * owner is given. What a writer does with messages and the store with events is the same from here on.
 *
 * A commit that fails kills its segment: the next group, in the next segment, annuls it, and only when that is durable
 * do the failed records hear of it (H135). See "A failed sync" in ARCHITECTURE.md. */
#ifndef SPOOL_JOURNAL_H
#define SPOOL_JOURNAL_H

#include "spool/group.h"

struct journal_segment {
    struct list link;
    uint64_t number, nonce, size;
    uint64_t end; /* of its valid groups; the next one begins here */
    uint32_t groups;
    struct os_file *file;
    struct record annul; /* memory is there before the disk fails */
    char annul_head[RECORD_ROOM + ANNUL_SIZE];
    void (*annulled)(struct journal_segment *segment); /* the annulment is durable; frees the segment */
    void *owner;                                       /* of annulled */
};

struct journal {
    struct os *os;
    struct os_queue *queue;
    struct spool_writer_owner owner;
    enum spool_kind kind;
    size_t batch_max;
    struct list segments; /* the current one first */
    unsigned asked;
    bool starved;                         /* there was none at the last journal_starve */
    struct list waiting, writing;         /* records */
    bool due;                             /* waits for no company */
    struct list failed;                   /* records that wait for their segment's annulment */
    struct list annulling, annulling_now; /* segments: in the next group, in this one */
    struct group group;
    uint64_t group_size;
    struct os_op op;
    struct os_request request;
    struct os_task task;
    bool busy, trouble;
    bool resting;            /* in trouble for longer: until journal_try_again */
    void (*idle)(void *ctx); /* set: closing; called when nothing is under way any more */
    void *idle_ctx;
};

bool journal_init(struct journal *journal, struct os *os, const struct spool_writer_owner *owner, enum spool_kind kind,
                  size_t batch_max); /* false: no thread */
/* Takes no more records and tells nobody anything; idle(ctx), perhaps at once, when its memory may go. */
void journal_close(struct journal *journal, void (*idle)(void *ctx), void *ctx);
void journal_free(struct journal *journal);

struct journal_segment *journal_segment_new(uint64_t number, uint64_t nonce, uint64_t size,
                                            struct os_file *file); /* NULL: no memory */
void journal_segment_free(struct journal_segment *segment);        /* and closes the file */
void journal_give(struct journal *journal, struct journal_segment *segment);
void journal_ask(struct journal *journal);          /* for segments, as many as are missing */
void journal_forget_asked(struct journal *journal); /* whoever was asked is gone */
void journal_try_again(struct journal *journal);    /* now and then while there is trouble */
bool journal_starve(struct journal *journal);       /* see spool_writer_starve */
void journal_go(struct journal *journal);           /* see spool_writer_go */
bool journal_ready(const struct journal *journal);
void journal_add(struct journal *journal, struct record *record);
/* Annuls a segment whose commit failed elsewhere; ends with segment->annulled. */
void journal_annul(struct journal *journal, struct journal_segment *segment);

#endif
