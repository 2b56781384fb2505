/* One pass over a message while it comes in: the facts that later stages need, so that nobody reads it again. */
#ifndef MAIL_SCAN_H
#define MAIL_SCAN_H

#include "base/pack.h"

/* A line ends by LF here, as for header.h; a CR before it belongs to the line end. */
struct mail_facts {
    uint64_t size;
    uint64_t header_size; /* with the empty line that ends it; size when there is no body */
    uint64_t line_max;    /* longest line, without CRLF */
    uint32_t field_count; /* as mail_header_next() gives them, lines that are no field included */
    uint32_t received_count;
    bool eight_bit, nul, header_nul;
    bool dot_lines;       /* some line begins with a dot: must be stuffed */
    bool bare_cr_lf;      /* a lone CR or LF (only from sources that may) */
    bool ends_with_crlf;  /* or empty */
    bool headless;        /* begins with a blank: it would continue a field put in front of it. header_size is 0, and an
                             empty line must go behind the fields put in front (H7) */
    bool has_return_path; /* header fields found; spelled in any case */
    bool has_date, has_from, has_message_id;
};

struct mail_scan {
    struct mail_facts facts;
    /* The scanner's own. */
    uint64_t line_size; /* of the present line so far, a CR at its end included */
    uint8_t part, name_len;
    char name[16]; /* the names that are looked for fit */
    bool last_cr, in_body;
};

void mail_scan_start(struct mail_scan *scan);
void mail_scan_feed(struct mail_scan *scan, struct view piece); /* any pieces: the same facts */
const struct mail_facts *mail_scan_end(struct mail_scan *scan);

void mail_facts_pack(struct buffer *to, const struct mail_facts *facts);
bool mail_facts_unpack(struct unpack *from, struct mail_facts *facts);

#endif
