/* The store from inside. One file for each concern: marker.c (numbers), prepare.c (new segments), frontier.c (reading
 * what became durable), events.c (the log), retire.c (forgetting), seal.c, evacuate.c, recover.c. */
#ifndef SPOOL_STORE_INNER_H
#define SPOOL_STORE_INNER_H

#include "base/map.h"
#include "spool/journal.h"
#include "spool/message.h"
#include "spool/source.h"

#define RETRY_US        UINT64_C(5000000) /* until what failed is tried again */
#define NUMBERS_AT_ONCE 4096              /* segment numbers between two writings of the marker */
#define HANDLES_MAX     64                /* read-only handles kept open */
#define FOLDER_MODE     0700
#define FILE_MODE       0600

enum segment_state {
    SEGMENT_HELD,    /* somebody may write to it: a writer, or our own log */
    SEGMENT_SEALED,  /* nobody does: its groups end at upto */
    SEGMENT_LEAVING, /* on its way out of segments/ */
    SEGMENT_MOVED,   /* its messages are in moved_to; the file is in quarantine/ */
    SEGMENT_GONE,    /* its messages are in moved_to; there is no file */
};

struct number_set {
    uint64_t *at; /* rising */
    size_t count, cap;
};

struct segment {
    struct map_item item; /* in store->segments; key: number */
    uint64_t number;
    struct segment_header header;
    enum segment_state state;
    bool failed;              /* a sync of it failed: never written again */
    bool damaged;             /* in the end the whole file goes to quarantine/ */
    bool orphan;              /* held by nobody, but could not be recovered yet */
    bool keep;                /* no memory to note what depends on it: it stays */
    uint64_t upto;            /* durable up to; its end when sealed */
    bool unlink;              /* its file is not written again: somebody from before a restart may read there */
    bool stays;               /* not to be compacted */
    uint64_t live;            /* messages that are not forgotten */
    uint64_t live_bytes;      /* heads and contents of them */
    struct number_set annuls; /* segments that this one annuls: it stays while they are there */
    struct number_set about;  /* log: segments its events speak of, where those are now */
    struct number_set said;   /* the same by the numbers in the events */
    struct segment *moved_to; /* never one that has itself moved on */
    uint64_t retry_at;        /* evacuation failed: not before */

    struct walk walk;    /* the frontier; walk.pos: everything before is known */
    struct list to_read; /* in store->to_read */
    bool reading;
    unsigned users;            /* fetches under way: it stays */
    struct number_set spoiled; /* damaged messages that were set aside */
    struct list opened;        /* in store->opened, used last: last */
    struct os_file *file;

    char *footer; /* collected while it is read */
    size_t footer_len, footer_cap;
    bool footer_lost; /* too much, or no memory: sealed without one */
    bool sealed;      /* on disk, or not worth trying again */
    bool seal_sound;  /* seal is on disk */
    struct seal seal;

    /* at recovery */
    uint64_t synced;      /* what the groups say was durable */
    uint64_t annulled_at; /* 0: it is not */
};

/* Operations on names, one job after another on store->names_queue. */
struct job {
    struct os_request request;
    struct os_op ops[8];
    size_t count;
    struct spool_store *store;
    struct segment *segment;
    void (*done)(struct job *job, bool ok);
    struct os_file *file;
    struct os_slice slices[2];
    char name[SEGMENT_NAME_SIZE], to_name[SEGMENT_NAME_SIZE];
    char *memory; /* freed with it, as is: */
    void *extra;
    enum spool_kind kind;
    uint64_t number, nonce;
    bool stock; /* made of a file that lay in free/ */
};

struct spool_store {
    struct os *os;
    struct os_dir *dir, *segments_dir, *free_dir, *quarantine_dir;
    struct spool_store_owner owner;
    struct spool_store_limits limits;
    struct marker marker;
    uint64_t next_number;
    struct map segments;
    struct os_queue *names_queue, *fill_queue, *read_queue;
    unsigned jobs; /* requests under way */
    bool opening, closing, journal_open, journal_idle;
    uint64_t retry_at;
    struct os_task task; /* looks at what there is to do */
    /* prepare */
    unsigned owed[SPOOL_LOG + 1];
    bool preparing, filling, raising, no_allocate, fill_refused, said_no_space;
    struct number_set stock; /* files in free/, ready */
    /* frontier */
    struct list to_read;
    struct segment *reading;
    char *window;
    size_t window_cap;
    uint64_t window_at;
    struct os_op read_op;
    struct os_request read_request;
    struct list opened;
    unsigned opened_count;
    /* log */
    struct journal journal;
    struct segment *log_current;
    struct replay *replay; /* while opening */
    /* compaction */
    struct compaction *compaction; /* NULL: none is under way */
    struct os_queue *copy_queue;
    uint64_t compact_at;     /* then it is looked whether there is something to do */
    uint64_t events_then;    /* bytes of events that the last compaction of the log left, ... */
    uint64_t mail_live_then; /* ... and what mail was live then */
};

/* store.c */
struct segment *store_find(const struct spool_store *store, uint64_t number);
/* Where messages of that segment are now; NULL: gone. */
struct segment *store_resolve(const struct spool_store *store, uint64_t number);
struct segment *store_add_segment(struct spool_store *store, const struct segment_header *header); /* NULL: no memory */
void store_drop_segment(struct spool_store *store, struct segment *segment);
void store_alarm(struct spool_store *store, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool segment_is_copy(const struct segment *segment);
uint64_t segment_order(const struct segment *segment); /* of what is in it: a copy of logs has that of the first */
uint64_t segment_size(const struct segment *segment);  /* of its file, as far as it counts */
/* All that meant `from` means `to` now: places, events about it, segments that had moved to it. */
void store_move_over(struct spool_store *store, struct segment *from, struct segment *to);
void store_look_soon(struct spool_store *store); /* the task runs at the end of the turn */
void store_retry_later(struct spool_store *store);
void store_end_if_quiet(struct spool_store *store);
struct segment *store_next_segment(const struct spool_store *store,
                                   const struct segment *after); /* NULL starts and ends */
bool set_add(struct number_set *set, uint64_t number);           /* false: no memory */
void set_remove(struct number_set *set, uint64_t number);
bool set_has(const struct number_set *set, uint64_t number);
void set_free(struct number_set *set);

/* jobs.c: each operation of a job runs only when the one before it succeeded. */
struct job *job_new(struct spool_store *store, void (*done)(struct job *job, bool ok)); /* NULL: no memory */
struct os_op *job_op(struct job *job, enum os_op_kind kind);
void job_submit(struct job *job, struct os_queue *queue); /* frees it after done */
enum os_status job_status(const struct job *job);         /* of the first operation that failed */

/* marker.c */
bool store_take_number(struct spool_store *store, uint64_t *number); /* false: the limit is being raised */
bool store_raise_limit_now(struct spool_store *store);

/* prepare.c */
void prepare_next(struct spool_store *store);
void prepare_stock(struct spool_store *store, uint64_t number); /* a file in free/ */

/* frontier.c */
void frontier_read(struct spool_store *store, struct segment *segment); /* there is more before segment->upto */
void frontier_step(struct spool_store *store, struct segment *segment, enum walk_step step, struct view raw);
struct os_file *store_open_segment(struct spool_store *store, struct segment *segment);
void store_close_file(struct spool_store *store, struct segment *segment);
/* Sets the bytes aside and says so. */
void frontier_damage(struct spool_store *store, struct segment *segment, uint64_t from, uint64_t to);
void store_quarantine_bytes(struct spool_store *store, struct segment *segment, uint64_t from, uint64_t to);

/* events.c */
bool events_open(struct spool_store *store);
void events_record(struct spool_store *store, struct segment *segment, struct view head); /* at recovery */

/* retire.c */
void retire_if_done(struct spool_store *store, struct segment *segment);
void retire_all(struct spool_store *store);
void retire_to_quarantine(struct spool_store *store, struct segment *segment);

/* seal.c */
void footer_note(struct segment *segment, struct view raw); /* a record's header and head */
void footer_lose(struct segment *segment);                  /* it is sealed without one */
void seal_segment(struct spool_store *store, struct segment *segment);
/* The footer that segment->seal speaks of, read into memory. */
bool footer_is_sound(const struct segment *segment, struct view footer);
/* Takes the next record off; raw: its header and head. False: malformed. */
bool footer_next(const struct segment *segment, struct view *footer, struct record_header *record, struct view *raw);

/* compact.c */
void compact_note(struct spool_store *store); /* something was forgotten, or sealed */
void compact_tick(struct spool_store *store);
uint64_t compact_deadline(const struct spool_store *store);
void compact_free(struct spool_store *store);
bool compact_waits(const struct spool_store *store);

/* evacuate.c */
bool evacuate_if_needed(struct spool_store *store, struct segment *segment); /* true: it was; the map has changed */

/* recover.c */
/* In place: looks at all headers, and refuses what must be. The rest is replay's. */
bool recover_begin(struct spool_store *store, const struct spool_held *held, size_t held_count, struct buffer *error);
bool recover_end_of(struct spool_store *store,
                    struct segment *segment);       /* where its groups end; false: cannot be read */
void recover_annulments(struct spool_store *store); /* once all ends are known */
void recover_segment(struct spool_store *store, struct segment *segment); /* its writer has died */

/* replay.c: what lies in the segments is given to the owner, in slices. */
bool replay_begin(struct spool_store *store); /* false: no memory */
bool replay_waits(const struct spool_store *store);
void replay_free(struct spool_store *store);

#endif
