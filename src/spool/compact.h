/* Compaction from inside: compact.c chooses sources and ends it, copy.c reads and writes. */
#ifndef SPOOL_COMPACT_H
#define SPOOL_COMPACT_H

#include "spool/store_inner.h"

#define SOURCES_MAX 32
#define READS_MAX   32           /* records read by one request */
#define COPY_SLICE  256          /* records looked at in one turn */
#define COPY_CHUNK  (256u << 10) /* bytes of a group, unless one record has more */

struct id_set {
    uint64_t *at; /* 0: free */
    size_t count, cap;
};

/* A live message, where it is and where it will be. */
struct compact_move {
    struct mail_id id;
    struct spool_place from, to;
    uint64_t size; /* of its record */
};

/* A record in `out`. */
struct compact_item {
    size_t at;
    struct record_header header;
    size_t move; /* index + 1; 0: it is no message */
};

struct compaction {
    struct spool_store *store;
    struct os_task task;
    void (*next)(struct compaction *); /* when the task runs, the time has come, or the request is done */
    uint64_t at_us;                    /* not before; OS_NEVER: it waits for no time */
    bool logs;
    struct segment *sources[SOURCES_MAX];
    size_t source_count, source_at;
    struct segment *to;
    char name[SEGMENT_NAME_SIZE], source_name[SEGMENT_NAME_SIZE];
    struct os_file *file, *source_file;
    struct os_op ops[READS_MAX];
    size_t op_count;
    struct os_request request;
    /* the source at hand */
    char *window;
    size_t window_cap, window_len;
    uint64_t window_at;
    struct view rest;                /* of its footer, in the window */
    struct walk walk;                /* of a log */
    struct id_set ids;               /* logs: of messages whose records are in a copy, listed or this one */
    struct number_set listed, tried; /* copies whose messages are all among the ids; that were looked at */
    struct segment *listing;
    size_t first_move, read_move;
    /* the next group */
    char *out;
    size_t out_len, out_cap;
    struct compact_item *items;
    size_t item_count, item_cap;
    uint64_t end, group_length;
    uint32_t groups;
    char group_bytes[GROUP_HEADER_SIZE], seal_block[SPOOL_BLOCK];
    struct os_slice slices[3];
    /* what was copied */
    struct compact_move *moves;
    size_t move_count, move_cap, told;
};

/* Ids, as 8 bytes of them: that two look alike is rare, and means only that an event is kept for nothing. */
bool id_set_add(struct id_set *set, const struct mail_id *id); /* false: no memory */
bool id_set_has(const struct id_set *set, const struct mail_id *id);

/* logs.c: the sources are log segments. Begins with the copies, whose footers tell what is in them. */
void logs_begin(struct compaction *c);
void logs_unlist(struct compaction *c); /* the copy that was being looked at may go */
void logs_next(struct compaction *c);   /* the source at hand */
void logs_walk(struct compaction *c);

/* copy.c, for logs.c */
struct os_op *copy_op(struct compaction *c, enum os_op_kind kind, struct os_file **file);
struct os_op *copy_open(struct compaction *c, const struct segment *from); /* the first of a request */
void copy_submit(struct compaction *c, void (*then)(struct compaction *));
bool copy_all_ok(const struct compaction *c);
bool copy_make_room(void **at, size_t *cap, size_t wanted, size_t size);
bool copy_take_record(struct compaction *c, const struct record_header *header, const char *bytes, size_t move);
bool copy_add_move(struct compaction *c, const struct spool_message *message, uint64_t size);
bool copy_carry_annul(struct compaction *c, struct view head);
void copy_write_group(struct compaction *c);
void copy_next_source(struct compaction *c);
void copy_source_over(struct compaction *c);
void copy_give_up_source(struct compaction *c);
void copy_found_damage(struct compaction *c, uint64_t from, uint64_t to);

/* Makes the copy of the sources, calls compact_copied when all of it is durable under its name, else compact_failed;
 * the rename may then have been made (uncertain). */
void copy_begin(struct compaction *c);
void compact_copied(struct compaction *c);
void compact_failed(struct compaction *c, bool uncertain);
void compact_later(struct compaction *c, void (*next)(struct compaction *c)); /* at the end of the turn */

#endif
