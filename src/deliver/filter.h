/* The form of a message in a mailbox: what goes out over SMTP with CRLF is stored with LF, arriving Return-Path fields
 * are dropped (the final delivery adds its own, RFC 5321 section 4.4), and an mbox has its From_ lines quoted.
 * A pure machine: pieces in, text out, the same for every way of cutting. Nothing else of the message changes. */
#ifndef DELIVER_FILTER_H
#define DELIVER_FILTER_H

#include "base/buffer.h"

struct deliver_filter {
    /* dropping Return-Path */
    uint8_t field; /* enum field_state */
    uint8_t held_len;
    char held[32]; /* start of a line that may be a Return-Path field */
    /* lines */
    bool quote;     /* mboxrd: one '>' more before every line of '>'s and "From " */
    bool cr;        /* a CR that may belong to a CRLF */
    uint8_t from;   /* at the start of a line: bytes of "From " seen; 255: inside */
    bool line_open; /* the last byte put out was no LF */
};

/* Room that any piece of n bytes and the end need in the output. */
#define DELIVER_FILTER_ROOM(n) ((n) + (n) / 5 + 64)

void deliver_filter_start(struct deliver_filter *filter, bool mbox);
/* header: the piece belongs to the header as it arrived, where Return-Path fields are looked for. */
void deliver_filter_feed(struct deliver_filter *filter, struct view piece, bool header, struct buffer *out);
/* What was held back; an mbox message also gets the end of its last line and the empty line behind it. */
void deliver_filter_end(struct deliver_filter *filter, struct buffer *out);

/* The line that begins a message in an mbox: "From sender Sat Nov 21 21:30:00 2026", LF at its end. Whatever the
 * reverse-path holds (as smtp_path_add_whole gives it), it stays one word of printable ASCII (H154). */
void deliver_from_line_add(struct buffer *to, struct view reverse_path, uint64_t wall_us);

#endif
