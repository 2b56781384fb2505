/* The header of a message that is wholly in memory: its fields in order, none changed. One parser for all users (H45).
 */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "base/view.h"

struct mail_field {
    struct view name; /* without blanks before the colon (obsolete syntax); empty: the line is not a field */
    struct view
        value; /* after the colon, folds and their CRLF inside, without the last line end; empty without a name */
    struct view whole; /* the field as it stands with its last line end */
};

/* Takes the next field off *rest, which begins at a field; false at the empty line (left in *rest) or at the end.
 * Lines end by CRLF or LF. */
bool mail_header_next(struct view *rest, struct mail_field *field);
bool mail_field_is(const struct mail_field *field, const char *name); /* any letter case */

#endif
