/* Text of any kind in the forms that header and body may carry: encoded words and quoted-printable. */
#ifndef MAIL_ENCODE_H
#define MAIL_ENCODE_H

#include "mail/fold.h"

/* UTF-8 text of an unstructured field: words as they are where they can be, else encoded words (RFC 2047). It is read
 * back as it was; no byte of it can end the field (H47). */
void mail_text_words(struct mail_fold *fold, struct view text);

/* Text in lines that end by LF or CRLF, as quoted-printable (RFC 2045 section 6.7); the last line gets its end. Grows
 * at most to 4 times the size and MAIL_QUOTED_MORE. */
void mail_quoted_printable(struct buffer *to, struct view text);
#define MAIL_QUOTED_MORE 8

#endif
