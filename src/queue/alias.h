/* What an alias stands for: the recipients that take the place of one. */
#ifndef QUEUE_ALIAS_H
#define QUEUE_ALIAS_H

#include "base/arena.h"
#include "queue/queue.h"

#define QUEUE_ALIAS_DEPTH_MAX 20    /* aliases that lead to each other (H93) */
#define QUEUE_ALIAS_MAX       10000 /* recipients of one message, with those that aliases made */

enum queue_alias_result {
    QUEUE_ALIAS_OK,         /* perhaps none: all are recipients already */
    QUEUE_ALIAS_LOOP,       /* it leads to nobody but itself, or too deep: 5.4.6 */
    QUEUE_ALIAS_TOO_MANY,   /* 5.4.6 */
    QUEUE_ALIAS_NO_ADDRESS, /* the administrator's to put right, so 451 4.3.5 */
    QUEUE_ALIAS_NO_MEMORY,
};

struct queue_alias {
    struct view *paths; /* in the arena */
    uint32_t count;
    uint32_t dropped; /* led back to an alias on the way */
    struct view bad;  /* QUEUE_ALIAS_NO_ADDRESS: what is meant */
};

/* value: of an alias table; addresses without a domain are at `domain`. Recipients that the message has already are
 * left out. The message is warm. */
enum queue_alias_result queue_alias_expand(const struct queue_message *message, uint32_t number, struct view value,
                                           struct view domain, struct arena *arena, struct queue_alias *alias);

#endif
