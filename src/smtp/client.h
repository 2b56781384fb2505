/* The client's side of an SMTP session as a machine: one transaction after another over one connection.
 * It does no I/O, keeps no input and allocates nothing; the shape is that of smtp/server.h.
 *
 * EHLO, on refusal HELO; decides by the code, unknown ones by their first digit, never by the text;
 * pipelines when the server offers it, with replies matched in order. Whatever does not fit the order (a reply too
 * many, too early, of a class that means nothing there, or no reply at all by its grammar) ends the session, and the
 * message waits for another (H119, H122).
 *
 *     for (;;) switch (smtp_client_step(&client, now_us, &input, &out)) {
 *     case SMTP_CLIENT_READY: ... smtp_client_send(&client, &message) or smtp_client_quit(&client) ...; break;
 *     case SMTP_CLIENT_CONTENT: ... smtp_client_content(&client, &piece, &out) ...; break;
 *
 * Show new input before giving more content: that is how an early refusal is seen. On FLUSH go on reading too, lest
 * both sides wait for each other (RFC 2920 section 3.1). */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "smtp/path.h"
#include "smtp/reply.h"
#include "smtp/server.h" /* enum smtp_body */

/* Room in `out` for any one command; with less, SMTP_CLIENT_FLUSH comes. */
#define SMTP_CLIENT_OUT_MIN 512
#define SMTP_CLIENT_TEXT_MAX 2000 /* bytes of a reply's text that are kept: all lines of any that people write */

struct smtp_client_recipient {
    struct view path;        /* mailbox, no brackets */
    struct smtp_reply reply; /* code 0 until known; its text is not kept: it comes with the event */
};

/* One message to send; the caller's, untouched until SMTP_CLIENT_DONE. */
struct smtp_client_message {
    struct view reverse_path; /* mailbox, empty for <> */
    struct smtp_client_recipient *recipients;
    size_t recipient_count; /* at least 1 */
    uint64_t size;          /* of the content with CRLF; 0: unknown */
    enum smtp_body body;    /* 8BITMIME is said when it is offered; see eight_bit */
};

enum smtp_client_event {
    SMTP_CLIENT_INPUT,     /* nothing to do until more input comes */
    SMTP_CLIENT_FLUSH,     /* `out` must be emptied first */
    SMTP_CLIENT_READY,     /* nothing under way: give a message, quit, or wait */
    SMTP_CLIENT_RECIPIENT, /* recipient: the outcome of one; reply */
    SMTP_CLIENT_CONTENT,   /* wants content: call smtp_client_content() with pieces, then smtp_client_content_end() */
    SMTP_CLIENT_DONE,      /* the message is done: outcome, phase, reply; each recipient's by smtp_client_fate() */
    SMTP_CLIENT_CLOSE,     /* send what `out` holds, close. outcome, phase, reply say why; said again by every step */
};

enum smtp_client_outcome {
    SMTP_CLIENT_SENT,      /* 2xx to the final dot: those recipients that were accepted have it. At CLOSE: we quit */
    SMTP_CLIENT_TEMPORARY, /* 4xx, or the session failed before the final dot */
    SMTP_CLIENT_PERMANENT, /* 5xx */
    SMTP_CLIENT_UNKNOWN,   /* the session failed after the final dot and before its reply (RFC 1047) */
};

enum smtp_client_phase {
    SMTP_PHASE_GREETING,
    SMTP_PHASE_HELLO,
    SMTP_PHASE_IDLE,
    SMTP_PHASE_MAIL,
    SMTP_PHASE_RCPT,
    SMTP_PHASE_DATA,
    SMTP_PHASE_CONTENT,
    SMTP_PHASE_END,
    SMTP_PHASE_RSET,
    SMTP_PHASE_QUIT,
    SMTP_PHASE_OVER,
};

struct smtp_client {
    struct view hostname; /* our name in EHLO; borrowed */
    struct smtp_client_message *message;
    /* What the server offers (EHLO); sizes 0 when unsaid. Without eight_bit, 8-bit content must be encoded or not be
     * sent (RFC 6152 section 3): that is the caller's to see to. */
    bool extended, pipelining, eight_bit, size_offered, status_codes;
    uint64_t size_max;
    bool is_us; /* its greeting or its answer to EHLO has our own host name: mail sent to it would go in circles */
    /* What the event is about. */
    enum smtp_client_outcome outcome;
    enum smtp_client_phase phase; /* where the session stands, or where it failed */
    size_t recipient;             /* index */
    struct smtp_reply reply;      /* the last reply; code 0: none that can be read; text lives until the next step */
    uint64_t deadline_us;         /* RFC 5321 section 4.5.3.2: per phase; UINT64_MAX: none. Then smtp_client_lost() */
    /* The machine's own. */
    uint8_t state, content_state;
    size_t total, sent, answered; /* commands of the present group */
    size_t accepted;              /* recipients */
    bool settled;                 /* outcome, phase and reply stand */
    bool open;                    /* the server has a transaction that only RSET ends */
    bool moved;                   /* content was taken since the last step */
    char text[SMTP_CLIENT_TEXT_MAX]; /* reply.text, cut */
};

/* false: the host name holds a byte that cannot be said (H116); nothing is written, the next step says CLOSE. */
bool smtp_client_start(struct smtp_client *client, struct view hostname, uint64_t now_us);
/* At READY. false: a path is none, or there is no recipient (H116); nothing was written. A message larger than the
 * server takes is DONE with 552 without a word to it. */
bool smtp_client_send(struct smtp_client *client, struct smtp_client_message *message);
enum smtp_client_event smtp_client_step(struct smtp_client *client, uint64_t now_us, struct view *input,
                                        struct buffer *out);
/* At CONTENT. Stuffs dots and takes as much of *piece as `out` has room for (the rest stays in *piece). The writer
 * cannot emit a CR or LF except as CRLF: lone ones become CRLF (H5). */
void smtp_client_content(struct smtp_client *client, struct view *piece, struct buffer *out);
void smtp_client_content_end(struct smtp_client *client, uint64_t now_us, struct buffer *out); /* needs room 8 */
/* At READY: QUIT, then CLOSE when its reply has come. */
void smtp_client_quit(struct smtp_client *client);
/* The link is gone or the deadline passed: the next step says CLOSE (DONE first, for a message under way). */
void smtp_client_lost(struct smtp_client *client);

/* The session has ended: CLOSE is next. */
bool smtp_client_over(const struct smtp_client *client);

/* What became of one recipient of a message with this outcome: its own refusal, or the outcome. */
enum smtp_client_outcome smtp_client_fate(enum smtp_client_outcome outcome,
                                          const struct smtp_client_recipient *recipient);

#endif
