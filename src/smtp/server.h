/* The server's side of an SMTP session as a machine: bytes, verdicts and the time go in; replies, events and a
 * deadline come out. It does no I/O, keeps no input and allocates nothing.
 *
 * Use: smtp_server_start() writes the greeting. Then call smtp_server_step() with what has arrived and act on the
 * event, until it says SMTP_SERVER_INPUT; keep the bytes it left in *input (never more than SMTP_COMMAND_MAX, when
 * `out` had room) and show them again with more behind them.
 *
 *     for (;;) switch (smtp_server_step(&server, now_us, &input, &out)) {
 *     case SMTP_SERVER_MAIL: ... decide, now or later ...; smtp_server_answer(&server, now_us, &reply, &out); break;
 *
 * An event marked (answer) is a question: the machine consumes no input until smtp_server_answer() was called, so
 * replies to pipelined commands keep their order by themselves. The answer may be given at once or later.
 * Views in the struct borrow the input: they live until the answer, or until the input is released or moved, whichever
 * comes first. The struct can be copied: a copy goes its own way from there. */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "smtp/data.h"
#include "smtp/path.h"
#include "smtp/reply.h"

/* Room that `out` must have at every call (a whole EHLO or HELP reply). With less, SMTP_SERVER_FLUSH comes. */
#define SMTP_SERVER_OUT_MIN 4096
/* Command line with its end: 512 (RFC 5321 section 4.5.3.1.4) and what the extensions add. */
#define SMTP_COMMAND_MAX 2048
/* Most bytes of one over-long command line that are read and thrown away before the connection is closed. */
#define SMTP_DISCARD_MAX 65536
#define SMTP_HELLO_NAME_MAX 255 /* section 4.5.3.1.2 */
#define SMTP_HOSTNAME_MAX 255

/* What a listener is like; shared by all its sessions and longer-lived than they. Nothing here is copied. */
struct smtp_server_profile {
    struct view hostname;      /* at most SMTP_HOSTNAME_MAX */
    struct view greeting;      /* words after "220 host ESMTP"; may be empty */
    uint64_t size_max;         /* largest message, bytes on the wire after unstuffing; 0: no fixed limit (SIZE 0) */
    unsigned recipients_max;   /* per transaction; at least 100; then 452 4.5.3 */
    unsigned errors_max;       /* bad commands in a session: at this one 421 4.7.0 and close */
    uint64_t command_us_max;   /* time to wait for a command: 5 min (RFC 5321 section 4.5.3.2.7) */
    uint64_t data_us_max;      /* time to wait for more content: 5 min */
    bool lenient;              /* for old and hand-made clients: HELO without a name, "Name <a@b>", blanks inside the
                                  brackets; and what looks like content after a refused DATA does not end the session
                                  at once (H9) */
    bool bare_lf_commands;     /* LF alone ends a command line too, as `nc` sends it; never content */
};

enum smtp_server_event {
    SMTP_SERVER_INPUT,   /* nothing to do until more input comes */
    SMTP_SERVER_FLUSH,   /* `out` must be emptied first */
    SMTP_SERVER_WAITING, /* an answer is outstanding */
    SMTP_SERVER_HELLO,   /* (answer) HELO or EHLO: hello_name, extended. 250: accepted; the first line of its text is
                            what stands after the host name. No status code is said (RFC 2034 section 4) */
    SMTP_SERVER_MAIL,    /* (answer) path, mail parameters */
    SMTP_SERVER_RCPT,    /* (answer) path; any 2xx: one recipient more */
    SMTP_SERVER_DATA,    /* (answer) 354 to go on, else a refusal that leaves the transaction as it is */
    SMTP_SERVER_CONTENT, /* content: the next piece, dots unstuffed, line ends CRLF; lives until the next step. To hold
                            the peer back, do not step */
    SMTP_SERVER_END,     /* (answer) the whole content has come: 250 only when it is safe */
    SMTP_SERVER_RESET,   /* the transaction is over without an END (RSET, HELO, EHLO, QUIT, refused content, time-out,
                            shutdown): forget it. Comes only when MAIL had been accepted */
    SMTP_SERVER_CLOSE,   /* send what `out` holds, then close; said again by every further step */
};

enum smtp_body { SMTP_BODY_UNSAID, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };

struct smtp_mail_parameters {
    bool has_size;
    uint64_t size;
    enum smtp_body body;
};

struct smtp_server {
    const struct smtp_server_profile *profile;
    /* What the event is about. */
    struct view hello_name; /* may be empty when the profile is lenient */
    struct smtp_path path;
    struct smtp_mail_parameters mail;
    struct view content;
    /* Where the session stands; to be read by everybody, written by the machine alone. */
    bool hello, extended;        /* HELO or EHLO accepted; the last was EHLO */
    bool refused;                /* greeted with 554: nothing but QUIT (RFC 5321 section 3.1) */
    bool quit;                   /* the client has said QUIT */
    bool has_mail;               /* a transaction is open */
    unsigned recipient_count;    /* accepted ones of this transaction */
    uint64_t content_size;       /* bytes of content so far */
    uint64_t deadline_us;        /* when smtp_server_timeout() is due; UINT64_MAX: never */
    unsigned errors;
    /* The rest is the machine's own. */
    uint8_t state;
    uint8_t asked;               /* the event whose answer is outstanding; SMTP_SERVER_INPUT: none */
    uint8_t spoiled;             /* why the content is thrown away; 0: it is not */
    bool was_extended;           /* before the HELO or EHLO that is being answered */
    bool overlong;               /* there was an over-long command line before */
    bool data_refused;           /* since then no transaction was begun or reset: its content may come as commands */
    bool reset_due, stopping, closing;
    struct smtp_data data;
    struct smtp_reply verdict;   /* of spoiled content, said at its end */
    size_t skipped;              /* bytes of the over-long line that is being thrown away */
};

/* Writes the greeting, or a refusal when refusal is not NULL: with 421, or reply->close, the next step says CLOSE; else
 * (554) every command but QUIT gets 503 (RFC 5321 section 3.1). To be told of early talk, show no input before. */
void smtp_server_start(struct smtp_server *server, const struct smtp_server_profile *profile, uint64_t now_us,
                       const struct smtp_reply *refusal, struct buffer *out);
enum smtp_server_event smtp_server_step(struct smtp_server *server, uint64_t now_us, struct view *input,
                                        struct buffer *out);
/* An empty text, and a status of class 0, stand for the usual ones. A text for which `out` has no room is cut to its
 * first line. reply->close: the connection ends after it. */
void smtp_server_answer(struct smtp_server *server, uint64_t now_us, const struct smtp_reply *reply,
                        struct buffer *out);
/* From now on the content of this message is thrown away, and at its end this reply is said and the transaction
 * dropped (RESET comes then). reply->text must outlive the message. Between DATA's 354 and END only. Content with bare
 * CR or LF is refused for that all the same. */
void smtp_server_spoil(struct smtp_server *server, const struct smtp_reply *reply);
/* deadline_us has passed: writes 421 4.4.2 if there is room; the next steps say RESET, if it is due, and CLOSE. */
void smtp_server_timeout(struct smtp_server *server, struct buffer *out);
/* We are stopping: 421 4.3.2, now or after the answer that is outstanding (an unfinished transaction is dropped; a 354
 * becomes the 421). */
void smtp_server_shutdown(struct smtp_server *server, struct buffer *out);
/* May the process go away now without cutting off an answer that is owed? */
bool smtp_server_idle(const struct smtp_server *server);

#endif
