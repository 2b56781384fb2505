/* The writer from inside: entries, their memory, and large messages. */
#ifndef SPOOL_WRITER_INNER_H
#define SPOOL_WRITER_INNER_H

#include "spool/journal.h"
#include "spool/message.h"

#define BLOCK_CLASSES 4
#define BLOCK_CAP_MAX 65536

/* Blocks that lie ready, few enough not to matter when idle. */
struct block_pool {
    struct block *ready[BLOCK_CLASSES];
    unsigned count[BLOCK_CLASSES];
};

struct block *block_new(struct block_pool *pool, size_t wanted); /* the class that fits best; NULL: no memory */
size_t block_size_for(size_t wanted);                            /* cap of what block_new would give */
void block_free_chain(struct block_pool *pool, struct block *first);
void block_pool_free(struct block_pool *pool);

struct large;

struct spool_writer {
    struct os *os;
    struct spool_writer_owner owner;
    struct spool_writer_limits limits;
    struct journal journal;
    struct block_pool pool;
    size_t memory;       /* bytes of all blocks in use */
    struct list entries; /* those that still receive and are not large */
    /* large messages */
    struct os_queue *large_queue;
    struct list larges, large_spares;
    unsigned large_asked;
    unsigned large_starved; /* calls of spool_writer_starve since there was a spare */
    size_t spilling;        /* bytes that are on their way out of memory */
    bool wants_room;        /* somebody was told to hold */
    bool closing, journal_idle;
};

struct spool_entry {
    struct list link;
    struct spool_writer *writer;
    struct record record;
    struct block *first, *last;
    uint64_t size;    /* of the content so far */
    size_t in_memory; /* bytes in blocks; cap in block_bytes */
    size_t block_bytes;
    uint32_t crc; /* of what is in memory */
    struct large *large;
    void (*done)(void *ctx, bool ok);
    void *ctx;
    bool finished, dropped;
};

void entry_let_go_of_blocks(struct spool_writer *writer, struct block *first, size_t bytes);
void entry_end(struct spool_entry *entry, bool ok); /* says so unless dropped, and frees it */
/* Tags, facts and pieces into entry->record.head; `ranges` are pieces of content. */
bool entry_build_head(struct spool_entry *entry, struct view tags, struct view front, const struct mail_facts *facts,
                      struct view ranges);

/* The entry goes on in a segment of its own. False: none is there, and one was asked for. */
bool large_begin(struct spool_entry *entry);
bool large_is_behind(const struct large *large);
bool large_has_failed(const struct large *large);
/* Writes out what is in memory when it is a whole piece, or `all`. False: no memory. */
bool large_flush(struct spool_entry *entry, bool all);
bool large_finish(struct spool_entry *entry, struct view tags, struct view front, const struct mail_facts *facts);
void large_drop(struct spool_entry *entry);
void large_ask(struct spool_writer *writer);
void large_give(struct spool_writer *writer, struct journal_segment *segment);
bool large_starve(struct spool_writer *writer);
bool large_starves(const struct spool_writer *writer); /* for too long */
bool large_all_quiet(const struct spool_writer *writer);
void large_free_all(struct spool_writer *writer);
void large_tell(struct spool_writer *writer,
                void (*tell)(void *ctx, enum spool_kind kind, uint64_t segment, uint64_t upto), void *ctx);

void writer_has_room(struct spool_writer *writer);
void writer_end_if_quiet(struct spool_writer *writer);

#endif
