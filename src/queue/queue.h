/* The queue in memory: which recipient of which message is to be served next, and when. No I/O; what is true for ever lies
 * in the spool, and this is built from it. */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "spool/spool.h"

enum queue_state {
    QUEUE_READY,   /* to be given out as soon as somebody takes jobs */
    QUEUE_WORKING, /* given out */
    QUEUE_WAITING, /* for its next attempt */
    QUEUE_HELD,    /* until it is released */
    QUEUE_MARKING, /* served; the event is on its way to the disk */
    QUEUE_DONE,
};

/* Kinds of spool events. */
enum { QUEUE_EVENT_DELIVERED = 1 | SPOOL_EVENT_FINAL };

struct queue_message;

struct queue_recipient {
    struct list link;         /* in the list of ready ones, or alone */
    struct heap_item timer;   /* while QUEUE_WAITING: µs of the monotonic clock */
    struct queue_message *message;
    struct view path, action; /* live as long as the message */
    uint8_t state;
    uint16_t attempts;
};

struct queue_message {
    struct map_item by_id;
    struct mail_id id;
    struct spool_place place;
    uint32_t recipient_count, open_count; /* open: not QUEUE_DONE */
    struct queue_recipient *recipients;
};

struct queue {
    struct map messages;
    struct list ready;
    struct heap waiting;
};

void queue_init(struct queue *queue, const uint8_t seed[16]);
void queue_free(struct queue *queue);
struct queue_message *queue_find(const struct queue *queue, const struct mail_id *id);
/* Takes in a stored message; all its recipients are QUEUE_READY, in order. NULL: known already, malformed, or no memory (*known tells). */
struct queue_message *queue_add(struct queue *queue, const struct spool_message *message, bool *known);
void queue_set(struct queue *queue, struct queue_recipient *recipient, enum queue_state state);
/* QUEUE_WAITING until the next attempt: the gaps grow with the attempts; random spreads them. */
void queue_defer(struct queue *queue, struct queue_recipient *recipient, uint64_t now_us, uint64_t random);
/* Those whose time has come become QUEUE_READY; the next time: UINT64_MAX if none. */
uint64_t queue_tick(struct queue *queue, uint64_t now_us);
struct queue_recipient *queue_next(const struct queue *queue); /* the ready one that waits longest, or NULL */
/* A recipient's number within its message. */
uint32_t queue_number(const struct queue_recipient *recipient);
/* All recipients are QUEUE_DONE: out of memory with it. */
void queue_remove(struct queue *queue, struct queue_message *message);

#endif
