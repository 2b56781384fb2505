/* For tests and benchmarks of delivery: messages in a segment of the spool. */
#ifndef DELIVER_STORED_TEST_H
#define DELIVER_STORED_TEST_H

#include "os/os.h"
#include "spool/spool.h"

struct stored {
    struct spool_place place;
    struct mail_id id;
};

enum stored_form {
    STORED_BODY,   /* content behind the head */
    STORED_SPREAD, /* in pieces before it, as of a message that was too large to wait in memory */
};

/* Writes a message at *end of the segment (number 1) and moves *end on. front: inserted before the content. */
struct stored stored_put(struct os *os, struct os_file *segment, uint64_t *end, struct view reverse_path,
                         struct view front, struct view content, enum stored_form form);

#endif
