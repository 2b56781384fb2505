#include "gonetsd/event.h"

#include "mail/date.h"

/* The line keeps room for its end, so that an over-long one is cut and still well-formed. */
#define END_ROOM 8

static void add_escaped(struct buffer *to, struct view value, bool text)
{
    bool cut = value.len > EVENT_VALUE_MAX;
    value = view_slice(value, 0, EVENT_VALUE_MAX);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.at[i];
        if (c == '"' || c == '\\')
            buffer_addf(to, "\\%c", c);
        else if (ascii_is_print(c))
            buffer_add_char(to, c);
        else if (text)
            buffer_addf(to, "\\x%02x", (uint8_t)c);
        else
            buffer_addf(to, "\\u%04x", (uint8_t)c);
    }
    if (cut)
        buffer_add_text(to, "...");
}

static bool is_plain(struct view value)
{
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_print(value.at[i]) || value.at[i] == ' ' || value.at[i] == '"' || value.at[i] == '\\')
            return false;
    return value.len > 0;
}

void event_begin(struct event *e, struct event_log *log, const char *name)
{
    e->log = log;
    buffer_init(&e->line, e->memory, sizeof e->memory - END_ROOM);
    buffer_add_text(&e->line, log->text ? "" : "{\"time\":\"");
    mail_date_add_iso(&e->line, os_wall_us(log->os));
    if (log->text)
        buffer_addf(&e->line, " %-6s %s", log->role, name);
    else
        buffer_addf(&e->line, "\",\"role\":\"%s\",\"event\":\"%s\"", log->role, name);
}

/* A whole field or none of it. */
static void add_field(struct event *e, const char *key, struct view value, bool quoted)
{
    size_t before = e->line.len;
    buffer_addf(&e->line, e->log->text ? " %s=%s" : ",\"%s\":%s", key, quoted ? "\"" : "");
    add_escaped(&e->line, value, e->log->text);
    buffer_add_text(&e->line, quoted ? "\"" : "");
    if (e->line.full)
        e->line.len = before;
}

void event_view(struct event *e, const char *key, struct view value)
{
    add_field(e, key, value, !e->log->text || !is_plain(value));
}

void event_u64(struct event *e, const char *key, uint64_t value)
{
    char digits[24];
    struct buffer text = BUFFER_OF(digits);
    buffer_add_u64(&text, value);
    add_field(e, key, buffer_view(&text), false);
}

void event_id(struct event *e, const struct mail_id *id)
{
    char text[MAIL_ID_TEXT_SIZE + 1];
    mail_id_text(id, text);
    event_view(e, "id", view_of(text));
}

void event_address(struct event *e, const char *key, const struct address *address)
{
    char memory[ADDRESS_TEXT_MAX];
    struct buffer text = BUFFER_OF(memory);
    address_add(&text, address);
    event_view(e, key, buffer_view(&text));
}

void event_end(struct event *e)
{
    e->line.cap += END_ROOM;
    buffer_add_text(&e->line, e->log->text ? "" : "}");
    os_log(e->log->os, buffer_view(&e->line));
}

void event_note(struct event_log *log, const char *name, struct view text)
{
    struct event e;
    event_begin(&e, log, name);
    event_view(&e, "text", text);
    event_end(&e);
}
