/* The event log: one line for each thing that happened, as JSON or as readable text, always with the ids that tie events
 * together (session, id). Values from outside are escaped: no value can end a line, forge a field or drive a terminal (H42).
 * Secrets are never given to it. */
#ifndef GONETSD_EVENT_H
#define GONETSD_EVENT_H

#include "base/address.h"
#include "base/mail_id.h"
#include "os/os.h"

#define EVENT_LINE_MAX 4096
#define EVENT_VALUE_MAX 512 /* bytes of one value; the rest is cut and marked by "..." */

struct event_log {
    struct os *os;
    bool text;            /* readable text instead of JSON */
    const char *role;
};

struct event {
    struct event_log *log;
    struct buffer line;
    char memory[EVENT_LINE_MAX];
};

void event_begin(struct event *e, struct event_log *log, const char *name);
void event_view(struct event *e, const char *key, struct view value);
void event_u64(struct event *e, const char *key, uint64_t value);
void event_id(struct event *e, const struct mail_id *id);
void event_address(struct event *e, const char *key, const struct address *address);
void event_end(struct event *e);
/* An event with one text: "problem". */
void event_note(struct event_log *log, const char *name, struct view text);

#endif
