/* The name of a message, made at MAIL and said in the 250, in Received and in every log line.
 * 56 bits of wall clock in µs, then 64 random bits: unique without coordination, ordered by time, never reused
 * (H146). Written as 24 characters of base32 (Crockford's alphabet in lower case), easy to read aloud. */
#ifndef BASE_MAIL_ID_H
#define BASE_MAIL_ID_H

#include "base/view.h"

#define MAIL_ID_SIZE      15
#define MAIL_ID_TEXT_SIZE 24

struct mail_id {
    uint8_t at[MAIL_ID_SIZE];
};

/* Makes the ids of one process in rising order, also when the clock stands still or jumps back. */
struct mail_id_maker {
    uint64_t last_us;
    uint64_t last_random;
};

struct mail_id mail_id_make(struct mail_id_maker *maker, uint64_t wall_us, uint64_t random);
void mail_id_text(const struct mail_id *id, char text[MAIL_ID_TEXT_SIZE + 1]);
bool mail_id_parse(struct view text, struct mail_id *id); /* any letter case; exact length */
uint64_t mail_id_time_us(const struct mail_id *id);
int mail_id_compare(const struct mail_id *a, const struct mail_id *b);

#endif
