/* The spool: where a message is safe from the moment we answer 250 until each of its recipients is served.
 * Three parties share it, each with its own part of this module:
 *
 *   spool_writer  (role smtpd)   collects messages and makes them durable, many with one sync
 *   spool_store   (role qmgr)    owns the directory: segments, recovery, the log of later truth, forgetting
 *   spool_reader  (everybody)    gives the bytes of a message piece by piece
 *
 * The interface speaks of ids, readers and events. The bytes on disk are in ARCHITECTURE.md, "The spool". */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include "base/mail_id.h"
#include "base/pack.h"
#include "mail/scan.h"
#include "os/os.h"

enum spool_kind {
    SPOOL_MAIL = 1, /* a journal that one writer fills with groups of messages; space prepared ahead */
    SPOOL_LARGE,    /* one large message */
    SPOOL_LOG,      /* events, written by the store itself */
    SPOOL_COLD,     /* copies of messages that wait long, made by the store itself */
};

#define SPOOL_BLOCK        4096         /* groups begin and end at multiples of it */
#define SPOOL_SEGMENT_SIZE (64u << 20)  /* default size of SPOOL_MAIL and SPOOL_LOG segments */
#define SPOOL_LARGE_MIN    (256u << 10) /* messages from this size on stream into a segment of their own */

/* ---- envelope: what a message carries beside its content ----
 * Tag, length, value; immutable once stored. A tag with SPOOL_MUST set must be understood: a reader that does not know
 * it refuses the message (quarantine); others may be skipped. Repeated tags keep their order (recipients). */

#define SPOOL_MUST 0x8000

enum spool_tag {
    SPOOL_TAG_ID = SPOOL_MUST | 1,           /* 15 bytes */
    SPOOL_TAG_REVERSE_PATH = SPOOL_MUST | 2, /* smtp_path_add_whole; empty: <> */
    SPOOL_TAG_RECIPIENT = SPOOL_MUST | 3,    /* nested tags SPOOL_RECIPIENT_*; number = order, from 0 */
    SPOOL_TAG_PIECES = SPOOL_MUST | 4,       /* see spool_piece */
    SPOOL_TAG_ARRIVED_US = 5,                /* u64 wall clock */
    SPOOL_TAG_CLIENT = 6,                    /* text of address and port */
    SPOOL_TAG_HELLO = 7,
    SPOOL_TAG_PROTOCOL = 8, /* ESMTP ... */
    SPOOL_TAG_LISTENER = 9,
    SPOOL_TAG_BODY = 10,  /* u8 enum smtp_body */
    SPOOL_TAG_FACTS = 11, /* mail_facts_pack */
    SPOOL_TAG_SESSION = 12,
    SPOOL_RECIPIENT_PATH = SPOOL_MUST | 64, /* mailbox as accepted */
    SPOOL_RECIPIENT_ACTION = 65,            /* name of the action that the rules chose at RCPT */
};

void spool_tag_add(struct buffer *to, uint16_t tag, struct view value);
/* Opens a nested tag; close it with the place that open gave. */
size_t spool_tag_open(struct buffer *to, uint16_t tag);
void spool_tag_close(struct buffer *to, size_t place);
/* Takes the next one off; false at the end or when malformed (*rest is then not empty). */
bool spool_tag_next(struct view *rest, uint16_t *tag, struct view *value);
bool spool_tag_find(struct view tags, uint16_t tag, struct view *value);

/* ---- a stored message ---- */

struct spool_place {
    uint64_t segment;      /* number, never used twice */
    uint64_t offset;       /* of the message's record in it */
    uint32_t head_size;    /* record header and envelope */
    uint64_t content_size; /* bytes of content as received */
};

/* A message as it goes out is a list of pieces: bytes of the content, or inserted bytes (Received ...). */
struct spool_message {
    struct mail_id id;
    struct spool_place place;
    struct view envelope; /* the tags; borrowed from what was parsed */
    struct mail_facts facts;
    uint32_t recipient_count;
    uint64_t body_offset; /* in the segment, of the record's own body */
};

/* Parses a record (header and envelope, at least place.head_size bytes) read from place; checks its checksum. */
bool spool_message_parse(struct view record, const struct spool_place *place, struct spool_message *message);

/* Spans of the message in order: inserted bytes in memory, or a range of the segment's file. */
struct spool_span {
    struct view bytes; /* .at NULL: a range of the file */
    uint64_t offset, len;
    uint32_t crc; /* of a range: crc32c(0, its bytes) as received. Whoever reads them checks: a disk may rot (H138) */
};

struct spool_reader {
    const struct spool_message *message;
    struct view front, pieces; /* what is still to come */
    bool bad;
};

/* front: bytes that go out first (Return-Path), or VIEW_NONE. */
void spool_reader_init(struct spool_reader *reader, const struct spool_message *message, struct view front);
bool spool_reader_next(struct spool_reader *reader, struct spool_span *span); /* false: the end, or damage (bad) */
uint64_t spool_message_size(const struct spool_message *message);             /* of all pieces */

/* ---- writer ---- */

struct spool_writer;
struct spool_entry; /* a message that is coming in */

struct spool_writer_owner {
    void *ctx;
    /* Wants prepared segments of this kind from the store; asked again when it needs more. */
    void (*need)(void *ctx, enum spool_kind kind, unsigned count);
    /* Everything of the segment before `upto` is durable: tell the store. */
    void (*durable)(void *ctx, uint64_t segment, uint64_t upto);
    /* Nothing more will be written there; `end` is where its valid groups end. */
    void (*sealed)(void *ctx, uint64_t segment, uint64_t end);
    /* A sync failed. Intake stops (ok false) until a spare segment has taken the annulment (ok true). */
    void (*trouble)(void *ctx, bool ok, struct view text);
    /* There is room again after SPOOL_HOLD or SPOOL_FULL. */
    void (*room)(void *ctx);
    /* May be NULL. So many messages wait for a commit, and the disk is free: true to wait for more of them, until
     * spool_writer_go() or another message. Asked again with each. */
    bool (*gather)(void *ctx, unsigned waiting);
};

struct spool_writer_limits {
    size_t memory_max; /* of half-received mail: at 75 % the largest spills, at 100 % SPOOL_FULL */
    size_t large_min;  /* SPOOL_LARGE_MIN */
    size_t batch_max;  /* bytes of one group, most */
};

struct spool_writer *spool_writer_new(struct os *os, const struct spool_writer_owner *owner,
                                      const struct spool_writer_limits *limits);
/* Entries must be done or dropped before. Frees itself when the last operation on disk has ended. */
void spool_writer_free(struct spool_writer *writer);
/* A segment from the store; the writer owns the file from now on. */
void spool_writer_give(struct spool_writer *writer, enum spool_kind kind, uint64_t number, uint64_t nonce,
                       uint64_t size, struct os_file *file);
/* May a message begin now? false: no segment, or trouble; answer 451/452 at MAIL. */
bool spool_writer_ready(const struct spool_writer *writer);
/* To be called now and then while segments are needed and do not come, and while there is trouble. What waits for one since the call before, and
 * was not written, is refused: done(false), or SPOOL_FULL for the next piece. False: none is needed. */
bool spool_writer_starve(struct spool_writer *writer);
/* Nobody else comes: what waits is committed now. */
void spool_writer_go(struct spool_writer *writer);
/* For a store that came anew: calls tell() for each segment held, with what is durable in it. */
void spool_writer_tell(struct spool_writer *writer,
                       void (*tell)(void *ctx, enum spool_kind kind, uint64_t segment, uint64_t upto), void *ctx);

enum spool_taken {
    SPOOL_TAKEN,
    SPOOL_HOLD,   /* not taken: the disk is behind; stop reading until room() */
    SPOOL_FULL,   /* not taken, and will not be: memory limit or no segment; drop the entry, answer 452 */
    SPOOL_FAILED, /* not taken: its segment failed; drop the entry, answer 451 */
};

struct spool_entry *spool_entry_new(struct spool_writer *writer); /* NULL: 452 */
enum spool_taken spool_entry_add(struct spool_entry *entry, struct view content);
/* Stores it with these tags (SPOOL_TAG_* without PIECES and FACTS; copied) and `front` inserted before the content
 * (Received ...; copied). done comes once, later: ok: durable, answer 250; else 451, and it will never be delivered.
 * The entry is then gone. False: no memory, or more tags than a record can hold: done will not come; drop the entry,
 * answer 452. drop() may be called before done: the outcome is then of no interest, but the message may be stored all
 * the same. */
bool spool_entry_finish(struct spool_entry *entry, struct view tags, struct view front, const struct mail_facts *facts,
                        void (*done)(void *ctx, bool ok), void *ctx);
void spool_entry_drop(struct spool_entry *entry);

/* ---- store ---- */

struct spool_store;

/* Later truth about (id, recipient). Tags: free for the queue's use; text of replies and so on lies in them. */
struct spool_event {
    struct mail_id id;
    uint64_t segment;   /* of the message (place.segment): the event is kept until that segment is gone. 0: not known,
                           kept until all segments that are there now are gone */
    uint32_t recipient; /* SPOOL_ALL: about the whole message */
    uint8_t kind;       /* the queue's; SPOOL_EVENT_FINAL set: this recipient needs the content no more */
    uint64_t wall_us;
    struct view tags;
};
#define SPOOL_ALL         UINT32_MAX
#define SPOOL_EVENT_FINAL 0x80

struct spool_store_owner {
    void *ctx;
    /* A durable message: found at recovery, or new. Views live during the call. */
    void (*message)(void *ctx, const struct spool_message *message);
    /* At recovery, after all messages, in the order they were logged. */
    void (*event)(void *ctx, const struct spool_event *event);
    /* A segment is ready to be handed to a writer; the owner owns the file (write-only). */
    void (*segment)(void *ctx, enum spool_kind kind, uint64_t number, uint64_t nonce, uint64_t size,
                    struct os_file *file);
    /* An administrator must know: quarantine, failed sync, no space. */
    void (*alarm)(void *ctx, struct view text);
    /* The deadline is earlier now: see spool_store_tick. */
    void (*deadline)(void *ctx);
    /* Recovery has ended: everything that was there has come by message and event. Only from now on events may be
     * logged and messages forgotten. ok false: it cannot go on, `error` says what and what to do; close the store. */
    void (*opened)(void *ctx, bool ok, struct view error);
    /* For compaction; live NULL: there is none. Is the message, which lies there, still to be delivered? One that is
     * called dead, and was not forgotten, keeps its segment from being compacted. */
    bool (*live)(void *ctx, const struct mail_id *id, const struct spool_place *place);
    /* The message lies elsewhere now. Its old place can be read by handles and fetches that are open already, and by
     * spool_store_file while in_use says so; a place in a job on its way stays good. */
    void (*moved)(void *ctx, const struct mail_id *id, const struct spool_place *from, const struct spool_place *to);
    /* May be NULL. Does a job read from that segment? Then it stays for a while, though its messages were moved. */
    bool (*in_use)(void *ctx, uint64_t segment);
};

struct spool_store_limits {
    uint64_t segment_size;
    unsigned free_max;      /* recycled segments kept */
    uint64_t disk_free_min; /* bytes left on the disk, below which no segment for mail is prepared */
};

/* A segment that a living writer holds: the store reads it up to `upto` and does not touch the rest. */
struct spool_held {
    enum spool_kind kind;
    uint64_t segment, upto;
};

/* Makes an empty spool: the marker file with a fresh id, and its folders. The directory must be empty. */
enum os_status spool_create(struct os *os, struct os_dir *dir);
/* Tied to the open files. The supervisor keeps its own to itself; the server's is handed to every process of the
 * server. */
struct spool_locks {
    struct os_file *supervisor, *server;
};
/* OS_LOCKED: another server lives, or what a dead supervisor left behind does not end in seconds. OS_NOT_FOUND: no
 * marker. */
enum os_status spool_lock(struct os *os, struct os_dir *dir, struct spool_locks *locks);
void spool_unlock(struct spool_locks *locks);
/* Looks at every segment's header, and refuses what is not ours before anything is changed: NULL, *error says what and
 * what to do. Then it returns: segments can be had at once, and recovery goes on in slices at the ends of turns.
 * Messages come in it, then events, then owner->opened. New mail that became durable meanwhile comes after that. */
struct spool_store *spool_store_open(struct os *os, struct os_dir *dir, const struct spool_store_owner *owner,
                                     const struct spool_store_limits *limits, const struct spool_held *held,
                                     size_t held_count, struct buffer *error);
/* No callbacks from now on; frees itself when the last operation on disk has ended. */
void spool_store_close(struct spool_store *store);
/* Is nothing under way on disk? Then a close frees it at once. */
bool spool_store_quiet(const struct spool_store *store);
/* Prepares `count` segments; each comes by owner->segment. Does not wait. */
void spool_store_need(struct spool_store *store, enum spool_kind kind, unsigned count);
/* The frontier of a live segment has moved (notices may be lost or come twice): its new groups are read. */
void spool_store_durable(struct spool_store *store, uint64_t segment, uint64_t upto);
void spool_store_sealed(struct spool_store *store, uint64_t segment, uint64_t end);
/* The writer that held it is dead: what it left is recovered as after a crash. */
void spool_store_orphaned(struct spool_store *store, uint64_t segment);
/* Logs an event; done(ctx, ok) comes when it is durable (many with one sync). false: no memory. */
bool spool_store_log(struct spool_store *store, const struct spool_event *event, void (*done)(void *ctx, bool ok),
                     void *ctx);
/* A message of our own (a report): it lies in the log, and comes by owner->message like every other. Tags: SPOOL_TAG_*
 * without ID, PIECES and FACTS; content as received ones have it, at most 1 MiB. */
struct spool_own {
    struct mail_id id;
    struct view tags, content;
    struct mail_facts facts;
};
/* Message (may be NULL) and events are made durable as one: after a crash all of it counts or nothing. Everything is
 * copied. When durable, owner->message comes first, then done(ctx, true); done(ctx, false): none of it will ever count.
 * Together they must fit into an empty segment. False: no memory, or a part is too long; done will not come. */
bool spool_store_add(struct spool_store *store, const struct spool_own *message, const struct spool_event *events,
                     size_t event_count, void (*done)(void *ctx, bool ok), void *ctx);
/* Reads the envelope of a stored message again, and checks it. done comes once, never from inside the call and not
 * after spool_store_close; message NULL: it cannot be read, or is another one. Its views live during the call. False:
 * no memory, done will not come. */
bool spool_store_fetch(struct spool_store *store, const struct mail_id *id, const struct spool_place *place,
                       void (*done)(void *ctx, const struct spool_message *message), void *ctx);
/* The first `max` bytes of the message as it goes out, its pieces put together and checked; fewer if it is shorter.
 * .at NULL: cannot be read. Otherwise as above. */
bool spool_store_read_head(struct spool_store *store, const struct spool_place *place, size_t max,
                           void (*done)(void *ctx, struct view bytes), void *ctx);
/* Every recipient has a durable final event: the content may go. Once for each message that owner->message gave. */
void spool_store_forget(struct spool_store *store, const struct mail_id *id, const struct spool_place *place);
/* A read-only handle of the segment, for delivering from it; NULL: it is gone. The store keeps it, and may close it
 * when it is asked for another one. */
struct os_file *spool_store_file(struct spool_store *store, uint64_t segment);
/* What could not be done (no space ...) is tried again: call tick when the deadline (monotonic µs, OS_NEVER: none) is
 * reached. owner->deadline says that it is earlier now. */
uint64_t spool_store_deadline(const struct spool_store *store);
void spool_store_tick(struct spool_store *store);

/* ---- looking at a spool while no server runs: `gonets spool check|dump` ---- */

struct spool_look {
    void *ctx;
    void (*line)(void *ctx, struct view text); /* one line of the report */
    bool dump; /* every segment, group, message and event; else only a summary and what is wrong */
};
/* Returns the number of faults found; changes nothing. */
uint64_t spool_look_at(struct os *os, struct os_dir *dir, const struct spool_look *look);

/* ---- reading what is in a spool, beside its server or without one: `gonets queue`, `gonets trace` ---- */

struct spool_browse {
    void *ctx;
    void (*event)(void *ctx, const struct spool_event *event);       /* all of them first, of each log in order */
    /* May come twice while it is being moved. The file is that of its segment. */
    void (*message)(void *ctx, const struct spool_message *message, struct os_file *file);
};
/* Views live during the call. Changes nothing and waits for nobody; what cannot be read is passed over. OS_NOT_FOUND: there
 * is no spool, OS_INVALID: none that we know, OS_DENIED: it may not be read. */
enum os_status spool_browse(struct os *os, struct os_dir *dir, const struct spool_browse *browse);

#endif
