/* Dates of RFC 5322 section 3.3: our own calendar, C locale whatever the environment, beyond 2038 (H169). */
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include "base/buffer.h"

/* "Sat, 21 Nov 2026 21:30:00 +0300" */
void mail_date_add(struct buffer *to, uint64_t wall_us, int utc_offset_min);
/* asctime form of the mbox From_ line: "Sat Nov 21 21:30:00 2026" */
void mail_date_add_asctime(struct buffer *to, uint64_t wall_us);
/* "2026-11-21T21:30:00.123456Z" */
void mail_date_add_iso(struct buffer *to, uint64_t wall_us);
/* Reads the form of RFC 5322 with the obsolete ones (two-digit years, zone names, comments, no weekday or seconds) and
 * what is seen besides: numbers for months, no zone (then UTC). What follows the zone is not read. *wall_us is negative
 * before 1970, which only a sender's broken clock says. */
bool mail_date_parse(struct view text, int64_t *wall_us, int *utc_offset_min);

#endif
