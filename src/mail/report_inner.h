/* What the two halves of the report share: report.c has structure and machine part, report_say.c the words. */
#ifndef MAIL_REPORT_INNER_H
#define MAIL_REPORT_INNER_H

#include "mail/report.h"

#define MAIL_REPORT_WORD_MAX  900 /* longer ones are cut apart: with what stands beside them they are within 998 */
#define MAIL_REPORT_LINE_MORE 32  /* line end, indentation and codes of one line, most */

void mail_report_say(struct buffer *to, const struct mail_report *report); /* the words for a human */

/* At most MAIL_REPORT_WORD_MAX bytes. */
void mail_report_clean(struct buffer *to, struct view text);
/* Takes the next line off the text of a reply and writes it, with what stood in front of it if codes: "550-5.1.1 ".
 * The rest of a line that is longer than the room is left out. */
void mail_report_line(struct buffer *to, const struct mail_report_recipient *recipient, struct view *text, bool codes);
#define MAIL_REPORT_LINE_MAX 4096

#endif
