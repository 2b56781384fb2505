/* A message on its way from the spool into a mailbox: read as it was stored, written in the form of a mailbox, with the
 * Return-Path of the final delivery in front (RFC 5321 section 4.4). A small message is read and turned into its text
 * in one piece; a large one keeps only its head here and is copied by deliver_copy. */
#ifndef DELIVER_LETTER_H
#define DELIVER_LETTER_H

#include "deliver/filter.h"
#include "spool/spool.h"

#define DELIVER_WHOLE_MAX (256u << 10) /* content up to this size is taken in one piece */
#define DELIVER_HEAD_MAX  (16u << 20)  /* bytes of one envelope */
#define DELIVER_FRONT_MAX 16384        /* From_ line and Return-Path: a reverse-path is at most one command line */
#define DELIVER_CHUNK     (256u << 10) /* a larger one goes through memory in pieces of this size */

struct deliver_letter {
    struct spool_place place;
    bool mbox;
    char *record;      /* head as read, and behind it the content of a small message; freed once the text is made */
    size_t record_len; /* how much is to be read from place.offset on, then how much was */
    struct spool_message message; /* borrows the record */
    struct view reverse_path;
    char *text; /* of a small message, ready for the mailbox; NULL: large, or not made yet */
    size_t text_len;
};

/* Takes memory for the record. false: none. */
bool deliver_letter_init(struct deliver_letter *letter, const struct spool_place *place, bool mbox);
void deliver_letter_free(struct deliver_letter *letter);
/* The most memory that the letter takes, with all that is done with it. */
size_t deliver_letter_memory(const struct spool_place *place);

enum deliver_letter_result { DELIVER_LETTER_OK, DELIVER_LETTER_DAMAGED, DELIVER_LETTER_NO_MEMORY };
/* `got` bytes of the record have been read: parses it and, when all of the message is among them, makes the text.
 * wall_us is for the From_ line. */
enum deliver_letter_result deliver_letter_parse(struct deliver_letter *letter, uint64_t got, uint64_t wall_us);

/* The beginning of the text, From_ line and Return-Path: at most DELIVER_FRONT_MAX bytes. */
void deliver_letter_begin(const struct deliver_letter *letter, struct deliver_filter *filter, uint64_t wall_us,
                          struct buffer *out);
/* Content goes through the filter; at: how much of it went before. */
void deliver_letter_feed(const struct deliver_letter *letter, struct deliver_filter *filter, uint64_t at,
                         struct view bytes, struct buffer *out);

#endif
