/* Delivery status notifications: what tells a sender that mail could not be delivered, or not yet (RFC 3464, RFC 6522).
 * A pure function from facts to content: the queue decides for whom and when, and never for the null path (RFC 3834
 * section 2, H130). The content has CRLF lines of at most 998 bytes, ASCII alone, a header and three parts: words for a
 * human, fields for machines, and the original or its header. */
#ifndef MAIL_REPORT_H
#define MAIL_REPORT_H

#include "base/buffer.h"
#include "base/mail_id.h"

#define MAIL_REPORT_WHOLE_MAX ((size_t)50 << 10) /* a larger original is not returned whole, only its header (H132) */

enum mail_report_kind {
    MAIL_REPORT_FAILED,  /* it will not be tried again */
    MAIL_REPORT_DELAYED, /* it will */
};

/* Text from outside may hold anything: what does not print becomes '?', and nothing of it can end a line (H41). */
struct mail_report_recipient {
    struct view path;             /* local@domain */
    struct view original;         /* ORCPT: "rfc822;address" with its xtext decoded; empty: none was given */
    uint16_t code;                /* of the reply; 0: there was none */
    uint16_t status[3];           /* class 0: that of the code, else of the kind */
    struct view text;             /* of the reply, without codes; lines have LF between them */
    struct view remote;           /* "name [address]:port" of the server that said it; empty: the text is ours */
    uint64_t last_attempt_us;     /* wall clock; 0: there was none */
    uint64_t will_retry_until_us; /* wall clock; of DELAYED alone */
};

struct mail_report {
    enum mail_report_kind kind;
    struct view hostname;
    struct view reverse_path;    /* where the report goes; not empty */
    struct view envelope_id;     /* ENVID with its xtext decoded; empty: none was given */
    uint64_t arrived_us, now_us; /* wall clock */
    struct mail_id id, original; /* of the report, of the message */
    struct view head;            /* the message from its first byte on */
    bool head_cut;               /* there is more of the message: only its header is returned */
    const struct mail_report_recipient *recipients;
    size_t count;
};

bool mail_report_write(struct buffer *to, const struct mail_report *report); /* false: no room */
size_t mail_report_size(const struct mail_report *report);                   /* room that is always enough */

#endif
