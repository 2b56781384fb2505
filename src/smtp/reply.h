/* Replies (RFC 5321 section 4.2, RFC 2034, RFC 3463): one type for those we give and those we get. */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/buffer.h"

/* Enhanced status code class.subject.detail; class 0: none. */
struct smtp_status {
    uint8_t class;
    uint16_t subject, detail;
};

struct smtp_reply {
    uint16_t code;             /* 200..599 */
    struct smtp_status status; /* its class must agree with the code's first digit */
    struct view text;          /* lines separated by LF; may be empty; may hold anything: it is cleaned on writing */
    bool close;                /* the connection ends after this reply */
};

/* For static replies; SMTP_REPLY() is the same as a value. */
#define SMTP_REPLY_INIT(code, class, subject, detail, literal) \
    { (code), { (class), (subject), (detail) }, { (literal), sizeof(literal) - 1 }, false }
#define SMTP_REPLY(...) ((struct smtp_reply)SMTP_REPLY_INIT(__VA_ARGS__))
#define SMTP_LINE_MAX 512      /* RFC 5321 section 4.5.3.1.5: reply line with CRLF */
#define SMTP_REPLY_MAX 65536   /* most bytes of a reply we read (H122) */

/* Writes it as one well-formed reply (O9): every line "code-" or "code ", the status at the head of each line's text,
 * lines cut at SMTP_LINE_MAX, bytes outside 32..126 as '?', tabs as blanks. All or nothing (to->full). */
void smtp_reply_write(struct buffer *to, const struct smtp_reply *reply);

enum smtp_parse { SMTP_PARSE_DONE, SMTP_PARSE_MORE, SMTP_PARSE_BAD };

/* Reads one whole reply from the front of input. DONE: *used bytes; reply->text borrows `text`, where the lines are
 * put together with LF between them and the enhanced code taken out into reply->status.
 * MORE: not complete yet. BAD: not a reply (H122): codes that differ, no digit, a bare LF or CR, a NUL, too long. */
enum smtp_parse smtp_reply_parse(struct view input, size_t *used, struct smtp_reply *reply, struct buffer *text);

/* "2.1.5" at the start of text, followed by a blank or the end; sets *used with that blank. */
bool smtp_status_parse(struct view text, struct smtp_status *status, size_t *used);

#endif
