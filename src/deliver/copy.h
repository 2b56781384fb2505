/* Copies a large message from the spool into an open file of a mailbox, in the form of the mailbox and with bounded
 * memory: at each step the last piece is written and the next one read. */
#ifndef DELIVER_COPY_H
#define DELIVER_COPY_H

#include "deliver/letter.h"

struct deliver_copy {
    struct os_queue *queue;
    const struct deliver_letter *letter;
    struct os_file *from; /* segment */
    struct os_file **to;
    uint64_t offset; /* where the next byte goes in `to`; at the end: behind the last one */
    struct deliver_filter filter;
    struct spool_reader reader;
    struct spool_span span; /* what is left of the present one */
    uint32_t crc;           /* of what was read of it */
    bool ended, reading;
    char *memory, *in;
    struct buffer out;
    uint64_t content_at; /* how much of the content went through */
    struct os_slice slice;
    struct os_op ops[2];
    struct os_request request;
    void (*done)(void *ctx);
    void *ctx;
    /* what came of it */
    enum os_status read_status, write_status;
    bool damaged; /* what is in the spool makes no message */
};

/* done(ctx) comes once, later; all three marks of the outcome say good then, or what was wrong. false: no memory. */
bool deliver_copy_start(struct deliver_copy *copy, struct os_queue *queue, const struct deliver_letter *letter,
                        struct os_file *from, struct os_file **to, uint64_t offset, uint64_t wall_us,
                        void (*done)(void *ctx), void *ctx);
bool deliver_copy_good(const struct deliver_copy *copy);

#endif
