/* What is in the queue and what became of it, for a reader at a terminal: nothing in it can drive the terminal (H42).
 */
#ifndef GONETS_TELL_H
#define GONETS_TELL_H

#include "gonets/stories.h"

void gonets_tell_text(struct view text, size_t max); /* bytes that do not print become '?', line ends blanks */
void gonets_tell_span(uint64_t us);                  /* "42s", "3m20s", "2h5m", "4d3h" */

/* One recipient in two or three lines; as JSON in one. */
void gonets_tell_entry(const struct queue_entry *entry, uint64_t wall_us);
void gonets_tell_entry_json(const struct queue_entry *entry);
/* A message from its arrival to its last event. message NULL: it is gone, and only events are left of it. */
void gonets_tell_story(const struct spool_message *message, const struct gonets_story *story);
void gonets_tell_story_json(const struct spool_message *message, const struct gonets_story *story);

#endif
