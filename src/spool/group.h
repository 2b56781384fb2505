/* A group while it is being put together: slices over what lies in memory already, and the few bytes between. */
#ifndef SPOOL_GROUP_H
#define SPOOL_GROUP_H

#include "base/list.h"
#include "spool/format.h"

/* Content in memory, as it came in. */
struct block {
    struct block *next;
    uint32_t used, cap;
    char bytes[];
};

/* Room around a record's head: its header before, padding behind. */
#define RECORD_ROOM (RECORD_HEADER_SIZE + 7)

/* A record that waits to be written, or is being written. Its owner keeps it until done. */
struct record {
    struct list link;
    bool joined; /* to the one before it: both are in one group, or neither */
    enum record_type type;
    char *head;         /* RECORD_HEADER_SIZE bytes of room, the head, 7 bytes of room */
    uint32_t head_size; /* of the head alone */
    const struct block *body;
    uint64_t body_size;
    uint32_t body_crc;
    uint64_t place; /* where it was put */
    void (*done)(struct record *record, bool ok);
    void *ctx; /* of done, if it wants one */
};

struct group {
    uint64_t number, nonce; /* of the segment */
    struct group_header header;
    struct os_slice *slices; /* [0] is the header */
    size_t count, cap;
    char bytes[GROUP_HEADER_SIZE];
};

#define GROUP_SLICES_MAX 1000 /* one write call takes no more */

void group_free(struct group *group); /* its array; it may be begun again */
void group_begin(struct group *group, uint64_t number, uint64_t nonce, const struct group_header *header);
uint64_t group_record_size(const struct record *record);
/* Puts the record at the end. False: no memory, or too many slices; nothing changed. */
bool group_add(struct group *group, struct record *record);
/* Takes back what was added since, when the group was as *mark says. */
struct group_mark {
    struct group_header header;
    size_t count, last_len;
};
struct group_mark group_mark(const struct group *group);
void group_rewind(struct group *group, const struct group_mark *mark);
/* Finishes the header and pads to the block. The slices are then what goes to header.place; returns their length. */
uint64_t group_finish(struct group *group);

#endif
