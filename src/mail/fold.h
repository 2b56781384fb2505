/* Writes one header field word by word and folds it where a line would grow beyond 78 (RFC 5322 section 2.1.1).
 * A word that is longer stands on a line of its own. */
#ifndef MAIL_FOLD_H
#define MAIL_FOLD_H

#include "base/buffer.h"

#define MAIL_LINE_MAX   998 /* RFC 5322 section 2.1.1: what a line must not pass, */
#define MAIL_LINE_GUIDE 78  /* and what it should not */

struct mail_fold {
    struct buffer *to;
    size_t column;
    bool broken; /* the next word begins a line */
};

struct mail_fold mail_fold_start(struct buffer *to, struct view name); /* name without colon */
void mail_fold_word(struct mail_fold *fold, struct view word);
void mail_fold_break(struct mail_fold *fold); /* the next word begins a line */
void mail_fold_end(struct mail_fold *fold);   /* CRLF */

#endif
