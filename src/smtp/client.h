/* The client's side of an SMTP session as a machine: one transaction after another over one connection.
 * It does no I/O, keeps no input and allocates nothing; the shape is that of smtp/server.h.
 *
 * EHLO, on refusal HELO (mission D9); decides by the code, unknown ones by their first digit, never by the text;
 * pipelines when the server offers it, with replies matched in order. */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "smtp/path.h"
#include "smtp/reply.h"
#include "smtp/server.h" /* enum smtp_body */

struct smtp_client_recipient {
    struct view path;          /* mailbox, no brackets */
    struct smtp_reply reply;   /* code 0 until known; its text is not kept: it comes with the event */
};

/* One message to send; the caller's, untouched until CLIENT_DONE. */
struct smtp_client_message {
    struct view reverse_path;  /* mailbox, empty for <> */
    struct smtp_client_recipient *recipients;
    size_t recipient_count;
    uint64_t size;             /* of the content with CRLF; 0: unknown */
    enum smtp_body body;
};

enum smtp_client_event {
    SMTP_CLIENT_INPUT,     /* nothing to do until more input comes */
    SMTP_CLIENT_FLUSH,     /* `out` must be emptied first */
    SMTP_CLIENT_READY,     /* greeting and EHLO done: give a message, or quit */
    SMTP_CLIENT_RECIPIENT, /* recipient: the outcome of one; reply */
    SMTP_CLIENT_CONTENT,   /* wants content: call smtp_client_content() with pieces, then smtp_client_content_end() */
    SMTP_CLIENT_DONE,      /* the message is done: `outcome` for it, each recipient's in its place; READY state again */
    SMTP_CLIENT_CLOSE,     /* send what `out` holds, close. outcome, phase, reply say why */
};

enum smtp_client_outcome {
    SMTP_CLIENT_SENT,      /* 2xx to the final dot: those recipients that were accepted have it */
    SMTP_CLIENT_TEMPORARY, /* 4xx, or the connection failed before the final dot */
    SMTP_CLIENT_PERMANENT, /* 5xx */
    SMTP_CLIENT_UNKNOWN,   /* the link failed after the final dot and before its reply (RFC 1047) */
};

enum smtp_client_phase {
    SMTP_PHASE_GREETING, SMTP_PHASE_HELLO, SMTP_PHASE_IDLE, SMTP_PHASE_MAIL, SMTP_PHASE_RCPT, SMTP_PHASE_DATA,
    SMTP_PHASE_CONTENT, SMTP_PHASE_END, SMTP_PHASE_RSET, SMTP_PHASE_QUIT, SMTP_PHASE_OVER,
};

struct smtp_client {
    struct view hostname;             /* our name in EHLO */
    struct smtp_client_message *message;
    /* What the server offers (EHLO); sizes 0 when unsaid. */
    bool extended, pipelining, eight_bit, size_offered, status_codes;
    uint64_t size_max;
    /* What the event is about. */
    enum smtp_client_outcome outcome;
    enum smtp_client_phase phase;     /* where the session stands, or where it failed */
    size_t recipient;                 /* index */
    struct smtp_reply reply;          /* the last reply; text lives until the next step */
    uint64_t deadline_us;             /* RFC 5321 section 4.5.3.2: per phase */
    /* The machine's own. */
    uint8_t state;
    size_t sent, answered;            /* commands of the present group */
    size_t accepted;                  /* recipients */
    bool line_start, quitting, failed;
    uint8_t content_state;
    char text[1024];                  /* reply.text, cut */
};

void smtp_client_start(struct smtp_client *client, struct view hostname, uint64_t now_us);
/* false: a field holds a byte that cannot be said on a line (H116); nothing was written. */
bool smtp_client_send(struct smtp_client *client, struct smtp_client_message *message);
enum smtp_client_event smtp_client_step(struct smtp_client *client, uint64_t now_us, struct view *input, struct buffer *out);
/* Stuffs dots and takes as much of *piece as `out` has room for (the rest stays in *piece). The writer cannot emit a
 * CR or LF except as CRLF: lone ones become CRLF (H5). */
void smtp_client_content(struct smtp_client *client, struct view *piece, struct buffer *out);
void smtp_client_content_end(struct smtp_client *client, uint64_t now_us, struct buffer *out); /* needs room 8 */
void smtp_client_quit(struct smtp_client *client, uint64_t now_us, struct buffer *out);
/* The link is gone or the deadline passed: sets outcome by phase; the next step says CLOSE (DONE first, for a
 * message under way). */
void smtp_client_lost(struct smtp_client *client);

#endif
