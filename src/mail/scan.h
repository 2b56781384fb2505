/* One pass over a message while it comes in: the facts that later stages need, so that nobody reads it again. */
#ifndef MAIL_SCAN_H
#define MAIL_SCAN_H

#include "base/pack.h"

struct mail_facts {
    uint64_t size;
    uint64_t header_size;   /* with the empty line that ends it; size when there is no body */
    uint64_t line_max;      /* longest line, without CRLF */
    uint32_t field_count;
    uint32_t received_count;
    bool eight_bit, nul, header_nul;
    bool dot_lines;         /* some line begins with a dot: must be stuffed */
    bool bare_cr_lf;        /* a lone CR or LF (only from sources that may) */
    bool ends_with_crlf;    /* or empty */
    bool has_return_path;   /* header fields found; spelled in any case */
    bool has_date, has_from, has_message_id;
};

struct mail_scan {
    struct mail_facts facts;
    /* The scanner's own. */
    uint64_t line_size;
    uint8_t state, name_len;
    char name[24];
    bool last_cr, in_body;
};

void mail_scan_start(struct mail_scan *scan);
void mail_scan_feed(struct mail_scan *scan, struct view piece); /* any pieces: the same facts */
const struct mail_facts *mail_scan_end(struct mail_scan *scan);

void mail_facts_pack(struct buffer *to, const struct mail_facts *facts);
bool mail_facts_unpack(struct unpack *from, struct mail_facts *facts);

#endif
