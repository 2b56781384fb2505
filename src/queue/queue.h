/* The queue in memory: which recipient of which message is to be served next, by whom, and when. No I/O; what is true
 * for ever lies in the spool, and this is built from it.
 *
 * A message costs about 170 bytes: its envelope is here only while it is warm, that is while one of its recipients is
 * being served or soon will be, and is read again from the spool when the next attempt comes. Recipients stand in line
 * at their destination; destinations that may go take turns. Nothing here takes time in proportion to all that is
 * queued: what does is done in slices. */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "queue/index.h"
#include "queue/pool.h"
#include "spool/spool.h"

#define QUEUE_GAPS_MAX 16
#define QUEUE_WARM_MAX                                                                                                 \
    (32u << 20) /* bytes of envelopes in memory; over that they are read again when their turn comes */
#define QUEUE_RECIPIENTS_MAX 1000000 /* of one message, expanded ones included */
#define QUEUE_WINDOW         5       /* jobs at a time with a destination that nothing is known of */
#define QUEUE_TOGETHER_S     5       /* recipients of one message that are due so soon after each other go together */

enum queue_state {
    QUEUE_NEW,      /* nowhere yet */
    QUEUE_READY,    /* stands in line at its destination */
    QUEUE_FETCHING, /* its turn has come; the envelope is being read */
    QUEUE_WORKING,  /* given out */
    QUEUE_MARKING,  /* decided; the event is on its way to the disk */
    QUEUE_WAITING,  /* for its next attempt */
    QUEUE_HELD,     /* until it is released */
    QUEUE_DONE,
};

enum queue_kind {
    QUEUE_SELF,  /* no destination: an alias, a message to throw away, a recipient without a route */
    QUEUE_LOCAL, /* mailboxes of one action */
    QUEUE_RELAY, /* one next hop */
    QUEUE_KINDS,
};

struct queue_recipient {
    struct list link; /* of its state */
    struct queue_message *message;
    struct queue_destination *destination; /* NULL: QUEUE_NEW */
    uint32_t due_s;                        /* QUEUE_WAITING: queue_clock() */
    uint16_t attempts;
    uint8_t state;
    uint8_t crashes; /* the caller's: deliverers that ended with it in their hands */
};

struct queue_message {
    struct index_item item;
    uint8_t warned;         /* enum queue_warned */
    bool fetching;          /* the caller's: the envelope is being read */
    struct heap_item timer; /* the first of those QUEUE_WAITING; µs of the monotonic clock */
    struct spool_place place;
    uint32_t born_s; /* queue_clock() of its arrival; an age is running time and plausible downtime (H147) */
    uint32_t recipient_count;
    uint32_t promised;       /* numbers given out: recipient_count, or more while an expansion becomes durable */
    uint32_t open_count;     /* not QUEUE_DONE */
    uint32_t busy_count;     /* QUEUE_NEW to QUEUE_MARKING */
    struct queue_warm *warm; /* NULL: cold */
    struct queue_expansions *expanded; /* texts of recipients that came from aliases */
    struct queue_recipient *recipients;
    struct queue_recipient only; /* of most messages */
};

enum queue_warned { QUEUE_NOT_WARNED, QUEUE_WARNING /* the report is being written */, QUEUE_WARNED };

/* The envelope of a message. */
struct queue_warm {
    size_t size;
    struct view reverse_path; /* as stored; empty: <> */
    struct address client;    /* not set: mail of our own */
    uint32_t received_count;  /* header fields Received as it came in */
    struct queue_slot *slots; /* of the envelope's recipients */
    uint32_t slot_count;
};

struct queue_slot {
    struct view path;
    void *job; /* QUEUE_WORKING: the caller's */
};

/* What one alias became: recipients first .. first+count-1. */
struct queue_expansion {
    uint32_t parent, first, count;
    struct queue_slot slots[];
};

struct queue_expansions {
    uint32_t count;
    struct queue_expansion *at[]; /* in order of `first` */
};

struct queue_destination {
    struct map_item by_name;
    struct list ready;      /* recipients in line */
    struct list turn;       /* among those of its kind that may go */
    struct list walk;       /* among those whose line is being looked through */
    struct heap_item pause; /* until then nothing is tried */
    uint32_t users;         /* recipients that name it */
    uint32_t ready_count, walk_left;
    uint16_t window, jobs; /* most, and now: with a deliverer or being fetched */
    uint16_t good;         /* jobs that went well since the window grew */
    uint8_t kind;          /* enum queue_kind */
    uint8_t failures;      /* pauses in a row */
    uint16_t worker;       /* the caller's: who had the last job; at first UINT16_MAX */
    char *trouble;         /* why it is paused, for lists and reports; NULL: no pause */
    uint16_t action_len, domain_len;
    char name[]; /* kind, action, NUL, domain */
};

struct queue_settings {
    uint64_t gaps_us[QUEUE_GAPS_MAX]; /* between attempts; the last one repeats */
    unsigned gap_count;               /* at least 1 */
    uint64_t expire_us, warn_us;      /* age; 0: never */
    unsigned window_max;
};

struct queue {
    struct index messages;
    struct pool cells;
    struct map destinations;
    struct list turns[QUEUE_KINDS];
    struct list walks;
    struct queue_destination *self; /* the one of kind QUEUE_SELF */
    struct heap waiting, pauses;
    struct queue_settings settings;
    size_t warm_bytes;
    uint64_t seed;
    uint64_t working, open; /* recipients with a deliverer; all that are not done */
};

bool queue_init(struct queue *queue, const uint8_t seed[16],
                const struct queue_settings *settings); /* false: no memory */
void queue_free(struct queue *queue);

/* ---- messages ---- */

/* Seconds, never 0 and never less than a message's age. */
uint32_t queue_clock(uint64_t now_us);
struct queue_message *queue_find(const struct queue *queue, const struct mail_id *id);
/* Takes in a stored message, cold; its recipients are QUEUE_NEW. NULL: known already, or no memory (*known tells). */
struct queue_message *queue_add(struct queue *queue, const struct spool_message *message, uint64_t now_us,
                                uint64_t age_us, bool *known);
/* Out of memory with it. */
void queue_remove(struct queue *queue, struct queue_message *message);
uint64_t queue_age_us(const struct queue_message *message, uint64_t now_us);
void queue_set_age(struct queue_message *message, uint64_t now_us, uint64_t age_us);
bool queue_expired(const struct queue *queue, const struct queue_message *message, uint64_t now_us);
bool queue_warns(const struct queue *queue, const struct queue_message *message, uint64_t now_us);

/* Keeps the envelope until nobody of the message is busy; false: no memory, or malformed. */
bool queue_warm(struct queue *queue, struct queue_message *message, const struct spool_message *stored);
void queue_cool(struct queue *queue, struct queue_message *message);
bool queue_has_room(const struct queue *queue); /* for more envelopes */
/* Of a warm message, or of an expanded recipient; else VIEW_NONE. Lives while the message is warm. */
struct view queue_path(const struct queue_message *message, uint32_t number);
struct queue_slot *queue_slot(const struct queue_message *message, uint32_t number); /* NULL: cold */

/* Recipients that an alias stands for, numbered from `first` on, QUEUE_NEW. Numbers between are done until an expansion
 * that takes longer comes for them. Numbers stay, but pointers to the message's recipients do not. false: no memory, or
 * these numbers are taken; nothing changed. */
bool queue_expand(struct queue *queue, struct queue_message *message, uint32_t parent, uint32_t first,
                  const struct view *paths, uint32_t count);
/* The recipient whose alias it came from; QUEUE_NO_PARENT: from the envelope. */
uint32_t queue_parent(const struct queue_message *message, uint32_t number);
#define QUEUE_NO_PARENT UINT32_MAX

/* ---- recipients ---- */

struct queue_recipient *queue_recipient(const struct queue *queue, const struct mail_id *id, uint32_t number);
uint32_t queue_number(const struct queue_recipient *recipient); /* within its message */
/* QUEUE_READY: at the end of its destination's line. A message becomes cold when none of its recipients is busy. */
void queue_set(struct queue *queue, struct queue_recipient *recipient, enum queue_state state);
/* QUEUE_READY, first in the line. */
void queue_set_first(struct queue *queue, struct queue_recipient *recipient);
/* Where it will go; NULL when it is done. State must not be QUEUE_READY. */
void queue_aim(struct queue *queue, struct queue_recipient *recipient, struct queue_destination *destination);
/* One attempt more, and QUEUE_WAITING for the next: gaps grow with the attempts, and are spread by a quarter so that
 * what was deferred together does not come back together; recipients of one message keep together. */
void queue_defer(struct queue *queue, struct queue_recipient *recipient, uint64_t now_us);
uint64_t queue_due_us(const struct queue_recipient *recipient); /* QUEUE_WAITING: monotonic */
/* QUEUE_WAITING with this many attempts behind it, until then (monotonic µs). */
void queue_wait(struct queue *queue, struct queue_recipient *recipient, uint16_t attempts, uint64_t due_us);

/* ---- destinations ---- */

/* Finds or makes it; NULL: no memory. A new one goes with its last recipient. */
struct queue_destination *queue_destination(struct queue *queue, enum queue_kind kind, struct view action,
                                            struct view domain);
struct view queue_destination_action(const struct queue_destination *destination);
struct view queue_destination_domain(const struct queue_destination *destination);
bool queue_paused(const struct queue_destination *destination);
/* The recipient whose turn it is, at the destination whose turn it is; NULL: none may go. */
struct queue_recipient *queue_next(const struct queue *queue, enum queue_kind kind);
/* A job begins; the next destination has its turn. */
void queue_begin(struct queue *queue, struct queue_destination *destination);
enum queue_ended { QUEUE_ENDED_WELL, QUEUE_ENDED_BADLY /* fewer at a time would be better */, QUEUE_ENDED_SO };
void queue_end(struct queue *queue, struct queue_destination *destination, enum queue_ended how);
/* It cannot be reached: nobody is sent there until the pause is over; then one job tries. Pauses grow like the gaps.
 * What stands in line is looked through by queue_walk. Once per pause; false: it is paused already. */
bool queue_unreached(struct queue *queue, struct queue_destination *destination, struct view why, uint64_t now_us);

/* ---- time ---- */

/* Those whose time has come stand in line; at most `max` messages. true: there are more. */
bool queue_tick(struct queue *queue, uint64_t now_us, unsigned max);
uint64_t queue_deadline(const struct queue *queue); /* of the next tick; UINT64_MAX: none */
/* Goes through the lines of destinations that were just paused: the attempt there counts for everyone in line, whose
 * envelopes are let go. Stops at a recipient that is expired, or whose sender is to be warned; NULL: none so far. At
 * most *budget steps, which are taken off it. */
struct queue_recipient *queue_walk(struct queue *queue, uint64_t now_us, unsigned *budget);

/* ---- the administrator's ---- */

/* Changes of state only; whoever asks logs them. false: not possible now (it is being served, or done). */
bool queue_hold(struct queue *queue, struct queue_recipient *recipient);
bool queue_release(struct queue *queue, struct queue_recipient *recipient, uint64_t now_us);
bool queue_retry(struct queue *queue, struct queue_recipient *recipient,
                 uint64_t now_us); /* at once, also past a pause */

#endif
