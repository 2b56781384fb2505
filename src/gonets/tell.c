#include "gonets/tell.h"

#include <stdio.h>

#include "gonets/json.h"
#include "mail/date.h"

#define TEXT_MAX 2000 /* bytes of a reply that are shown */

/* ---- words ---- */

void gonets_tell_text(struct view text, size_t max)
{
    for (size_t i = 0; i < text.len && i < max; i++)
        putchar(text.at[i] == '\n' ? ' ' : ascii_is_print(text.at[i]) ? text.at[i] : '?');
}

void gonets_tell_span(uint64_t us)
{
    unsigned long long s = us / 1000000;
    if (s < 60)
        printf("%llus", s);
    else if (s < 3600)
        printf("%llum%llus", s / 60, s % 60);
    else if (s < 86400)
        printf("%lluh%llum", s / 3600, s / 60 % 60);
    else
        printf("%llud%lluh", s / 86400, s / 3600 % 24);
}

static void tell_id(const struct mail_id *id)
{
    char text[MAIL_ID_TEXT_SIZE + 1];
    mail_id_text(id, text);
    fputs(text, stdout);
}

static void tell_path(struct view path)
{
    if (path.len)
        gonets_tell_text(path, TEXT_MAX);
    else
        fputs("<>", stdout);
}

static void tell_time(uint64_t wall_us)
{
    char memory[64];
    struct buffer text = BUFFER_OF(memory);
    mail_date_add_iso(&text, wall_us);
    printf("%.*s", VIEW_FORMAT(buffer_view(&text)));
}

static void tell_reply(uint16_t code, const uint16_t status[3], struct view text)
{
    if (code)
        printf("%u ", code);
    if (status[0])
        printf("%u.%u.%u ", status[0], status[1], status[2]);
    gonets_tell_text(text, TEXT_MAX);
}

/* ---- the list ---- */

void gonets_tell_entry(const struct queue_entry *e, uint64_t wall_us)
{
    tell_id(&e->id);
    printf(" %s, ", queue_entry_state_name(e->state));
    gonets_tell_span(wall_us > e->arrived_us ? wall_us - e->arrived_us : 0);
    fputs(" old", stdout);
    if (e->attempts)
        printf(", %u attempt%s", e->attempts, e->attempts == 1 ? "" : "s");
    if (e->next_us > wall_us) {
        fputs(", next in ", stdout);
        gonets_tell_span(e->next_us - wall_us);
    }
    fputs("\n    ", stdout);
    tell_path(e->from);
    fputs(" -> ", stdout);
    tell_path(e->to);
    putchar('\n');
    if (!e->reason.len && !e->code)
        return;
    fputs("    ", stdout);
    if (e->remote.len) {
        gonets_tell_text(e->remote, TEXT_MAX);
        fputs(": ", stdout);
    }
    tell_reply(e->code, e->status, e->reason);
    putchar('\n');
}

static void json_reply(bool *first, uint16_t code, const uint16_t status[3], struct view text, struct view remote)
{
    char memory[32];
    struct buffer enhanced = BUFFER_OF(memory);
    if (code)
        gonets_json_number(first, "code", code);
    if (status[0]) {
        buffer_addf(&enhanced, "%u.%u.%u", status[0], status[1], status[2]);
        gonets_json_text(first, "status", buffer_view(&enhanced));
    }
    if (text.len)
        gonets_json_text(first, "reason", text);
    if (remote.len)
        gonets_json_text(first, "remote", remote);
}

void gonets_tell_entry_json(const struct queue_entry *e)
{
    bool first;
    gonets_json_begin(&first);
    gonets_json_id(&first, "id", &e->id);
    gonets_json_number(&first, "recipient", e->recipient);
    gonets_json_text(&first, "state", view_of(queue_entry_state_name(e->state)));
    gonets_json_text(&first, "from", e->from);
    gonets_json_text(&first, "to", e->to);
    gonets_json_time(&first, "arrived", e->arrived_us);
    gonets_json_number(&first, "attempts", e->attempts);
    gonets_json_time(&first, "next", e->next_us);
    json_reply(&first, e->code, e->status, e->reason, e->remote);
    gonets_json_end();
}

/* ---- the story ---- */

static struct view tag_of(const struct spool_message *message, uint16_t tag)
{
    struct view value = VIEW_NONE;
    return spool_tag_find(message->envelope, tag, &value) ? value : VIEW_NONE;
}

static uint64_t arrival_of(const struct spool_message *message)
{
    struct unpack in = unpack_of(tag_of(message, SPOOL_TAG_ARRIVED_US));
    uint64_t wall_us = unpack_u64(&in);
    return in.bad ? mail_id_time_us(&message->id) : wall_us;
}

static void tell_arrival(const struct spool_message *message)
{
    struct view client = tag_of(message, SPOOL_TAG_CLIENT), path;
    fputs("  ", stdout);
    tell_time(arrival_of(message));
    fputs("  received from ", stdout);
    gonets_tell_text(client.len ? client : VIEW("this server itself"), TEXT_MAX);
    if (tag_of(message, SPOOL_TAG_HELLO).len) {
        fputs(" (", stdout);
        gonets_tell_text(tag_of(message, SPOOL_TAG_HELLO), TEXT_MAX);
        fputs(") by ", stdout);
        gonets_tell_text(tag_of(message, SPOOL_TAG_PROTOCOL), TEXT_MAX);
    }
    printf(", %llu bytes\n      from ", (unsigned long long)message->facts.size);
    tell_path(tag_of(message, SPOOL_TAG_REVERSE_PATH));
    putchar('\n');
    const struct gonets_story none = { 0 };
    for (uint32_t i = 0; (path = gonets_story_path(message, &none, i)).len; i++) {
        fputs("      to ", stdout);
        tell_path(path);
        putchar('\n');
    }
}

static void tell_members(const struct gonets_note *note)
{
    struct view paths = note->event.paths, path;
    while (note->kind == QUEUE_EVENT_EXPANDED && queue_event_path(&paths, &path)) {
        fputs("      to ", stdout);
        tell_path(path);
        putchar('\n');
    }
}

static void tell_attempt(const struct queue_event *event)
{
    if (event->took_us)
        printf(" after %llu.%03llu s", (unsigned long long)(event->took_us / 1000000),
               (unsigned long long)(event->took_us / 1000 % 1000));
    if (event->remote.len) {
        fputs(" at ", stdout);
        gonets_tell_text(event->remote, TEXT_MAX);
    }
    if (event->uncertain)
        fputs(", perhaps delivered all the same", stdout);
    if (event->next_wall_us) {
        fputs(", next attempt ", stdout);
        tell_time(event->next_wall_us);
    }
    putchar('\n');
}

/* Every line of the reply, as it was said. */
static void tell_lines(const struct queue_event *event)
{
    struct view rest = event->text;
    while (rest.len || event->code) {
        struct view line = view_take_until(&rest, '\n');
        fputs("      ", stdout);
        tell_reply(event->code, event->status, line);
        putchar('\n');
        if (!rest.len)
            return;
    }
}

static void tell_note(const struct spool_message *message, const struct gonets_story *story,
                      const struct gonets_note *note)
{
    const char *name = queue_event_name(note->kind);
    struct view path =
        message && note->recipient != SPOOL_ALL ? gonets_story_path(message, story, note->recipient) : VIEW_NONE;
    fputs("  ", stdout);
    tell_time(note->wall_us);
    printf("  %s", name ? name : "(unknown event)");
    if (path.len) {
        putchar(' ');
        tell_path(path);
    } else if (note->recipient != SPOOL_ALL) {
        printf(" recipient %u", note->recipient);
    }
    tell_attempt(&note->event);
    tell_lines(&note->event);
    tell_members(note);
}

void gonets_tell_story(const struct spool_message *message, const struct gonets_story *story)
{
    tell_id(&story->id);
    fputs(message ? "\n" : " is done, and its envelope is gone\n", stdout);
    if (message)
        tell_arrival(message);
    for (const struct gonets_note *note = story->first; note; note = note->next)
        tell_note(message, story, note);
}

/* ---- the same as JSON: a line for the arrival and one for each event ---- */

static void json_arrival(const struct spool_message *message)
{
    bool first;
    gonets_json_begin(&first);
    gonets_json_id(&first, "id", &message->id);
    gonets_json_text(&first, "event", VIEW("received"));
    gonets_json_time(&first, "time", arrival_of(message));
    gonets_json_text(&first, "client", tag_of(message, SPOOL_TAG_CLIENT));
    gonets_json_text(&first, "hello", tag_of(message, SPOOL_TAG_HELLO));
    gonets_json_text(&first, "from", tag_of(message, SPOOL_TAG_REVERSE_PATH));
    gonets_json_number(&first, "recipients", message->recipient_count);
    gonets_json_number(&first, "size", message->facts.size);
    gonets_json_end();
}

void gonets_tell_story_json(const struct spool_message *message, const struct gonets_story *story)
{
    bool first;
    if (message)
        json_arrival(message);
    for (const struct gonets_note *note = story->first; note; note = note->next) {
        const char *name = queue_event_name(note->kind);
        gonets_json_begin(&first);
        gonets_json_id(&first, "id", &story->id);
        gonets_json_text(&first, "event", view_of(name ? name : "unknown"));
        gonets_json_time(&first, "time", note->wall_us);
        if (note->recipient != SPOOL_ALL)
            gonets_json_number(&first, "recipient", note->recipient);
        if (message && note->recipient != SPOOL_ALL)
            gonets_json_text(&first, "to", gonets_story_path(message, story, note->recipient));
        json_reply(&first, note->event.code, note->event.status, note->event.text, note->event.remote);
        gonets_json_time(&first, "next", note->event.next_wall_us);
        gonets_json_end();
    }
}
