/* The content of a message as it comes after DATA: finds its end, takes off the dots of transparency, and points at
 * what may not be in it (RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.2). No memory: pieces borrow the input. */
#ifndef SMTP_DATA_H
#define SMTP_DATA_H

#include "base/view.h"

struct smtp_data {
    bool line_start; /* at the beginning, or CRLF was the last that was taken */
    bool body;       /* NULs are content: the empty line that ends the header has been seen, or a NUL was reported */
    bool bare;       /* a bare CR or LF was reported: more of them are content */
};

enum smtp_data_result {
    SMTP_DATA_MORE,  /* what is left of *input (at most 2 bytes) cannot be judged yet */
    SMTP_DATA_PIECE, /* *piece: content, as long a run as lies together in the input */
    SMTP_DATA_BARE,  /* a CR or LF by itself was taken; said once */
    SMTP_DATA_NUL,   /* a NUL of the header was taken; said once */
    SMTP_DATA_END,   /* CRLF.CRLF, and nothing else, ends the content */
};

void smtp_data_start(struct smtp_data *data);
enum smtp_data_result smtp_data_step(struct smtp_data *data, struct view *input, struct view *piece);

#endif
