/* Messages by id. Linear hashing: each addition splits one chain, so there is no step in which all of a million
 * messages move. Ids are made by us, of 64 random bits each: nobody outside can make them collide (H91). */
#ifndef QUEUE_INDEX_H
#define QUEUE_INDEX_H

#include "base/mail_id.h"

struct queue_message;

struct index_item {
    struct queue_message *next; /* of its chain */
    struct mail_id id;
};

struct index {
    struct queue_message ***blocks; /* of INDEX_BLOCK chains each */
    size_t block_count, block_cap;
    size_t chains, split; /* chains in use: low + split, with low the power of two below */
    size_t count;
};

void index_init(struct index *index);
void index_free(struct index *index); /* the table, not the messages */
struct queue_message *index_find(const struct index *index, const struct mail_id *id);
bool index_add(struct index *index, struct queue_message *message); /* must not be in; false: no memory */
void index_remove(struct index *index, struct queue_message *message);
/* All of one chain after the other: *place starts at 0 and stays right while messages come and go, but what is added
 * meanwhile may be missed and what a split moves may be seen twice. NULL: the end. */
struct queue_message *index_chain(const struct index *index, size_t *place);

#endif
