/* One line of JSON on standard output, member by member. */
#ifndef GONETS_JSON_H
#define GONETS_JSON_H

#include "base/mail_id.h"

void gonets_json_begin(bool *first);                                    /* "{"; first: of gonets_json_* until the end */
void gonets_json_text(bool *first, const char *name, struct view text); /* what is not UTF-8 becomes U+FFFD */
void gonets_json_number(bool *first, const char *name, uint64_t number);
void gonets_json_time(bool *first, const char *name, uint64_t wall_us); /* "2026-11-21T21:30:00.123456Z"; 0: left out */
void gonets_json_id(bool *first, const char *name, const struct mail_id *id);
void gonets_json_end(void); /* "}" and the line end */

#endif
