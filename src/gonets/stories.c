#include "gonets/stories.h"

#include <stdio.h>
#include <string.h>

#include "gonets/gonets.h"

#define MEMORY_MAX ((size_t)4 << 30)

/* ---- notes ---- */

static struct gonets_story *find_story(struct gonets_stories *s, const struct mail_id *id)
{
    struct map_item *item = map_find(&s->stories, (struct view){ (const char *)id->at, MAIL_ID_SIZE });
    return item ? map_entry(item, struct gonets_story, item) : NULL;
}

static struct gonets_story *need_story(struct gonets_stories *s, const struct mail_id *id)
{
    struct gonets_story *story = find_story(s, id);
    if (story)
        return story;
    story = arena_alloc(&s->arena, sizeof *story);
    if (story) {
        story->id = *id;
        story->item.key = (struct view){ (const char *)story->id.at, MAIL_ID_SIZE };
    }
    if (story && map_add(&s->stories, &story->item))
        return story;
    s->failed = true;
    return NULL;
}

/* By time: a log that was compacted may tell of the past behind what came later. */
static void insert_note(struct gonets_story *story, struct gonets_note *note)
{
    struct gonets_note **place = &story->first;
    if (story->last && story->last->wall_us <= note->wall_us)
        place = &story->last->next;
    while (*place && (*place)->wall_us <= note->wall_us)
        place = &(*place)->next;
    note->next = *place;
    *place = note;
    if (!note->next)
        story->last = note;
}

static struct gonets_note *find_note(const struct gonets_story *story, const struct spool_event *event)
{
    struct gonets_note *note = story->first;
    while (note && (note->kind != event->kind || note->recipient != event->recipient))
        note = note->next;
    return note;
}

static void fill_note(struct gonets_note *note, const struct spool_event *event, struct view tags)
{
    note->kind = event->kind;
    note->recipient = event->recipient;
    note->wall_us = event->wall_us;
    queue_event_unpack(tags, &note->event); /* as far as it can be read */
}

static void take_event(void *ctx, const struct spool_event *event)
{
    struct gonets_stories *s = ctx;
    struct gonets_story *story = need_story(s, &event->id);
    struct gonets_note *old = story && !s->history ? find_note(story, event) : NULL;
    if (old && old->wall_us > event->wall_us)
        return;
    struct gonets_note *note = old ? old : arena_alloc(&s->arena, sizeof *note);
    struct view tags = arena_copy(&s->arena, event->tags);
    if (!story || !note || !tags.at) {
        s->failed = true;
        return;
    }
    fill_note(note, event, tags);
    if (!old)
        insert_note(story, note);
}

static void take_message(void *ctx, const struct spool_message *message, struct os_file *file)
{
    struct gonets_stories *s = ctx;
    struct gonets_story *story = need_story(s, &message->id);
    if (!story || story->told)
        return;
    story->told = true;
    s->message(s->ctx, message, story, file);
}

/* ---- reading ---- */

static int cannot_read(const char *command, const char *spool, enum os_status status)
{
    fprintf(stderr, "gonets %s: the spool %s: %s\n", command, spool,
            status == OS_NOT_FOUND ? "there is none; -c FILE or --spool DIR tells where it is"
                                   : os_status_text(status));
    return status == OS_DENIED ? GONETS_NO_PERMISSION : status == OS_NOT_FOUND ? GONETS_NO_INPUT : GONETS_IO;
}

int gonets_stories_read(struct gonets_stories *s, const char *command, const char *spool)
{
    uint8_t seed[16];
    enum os_status status;
    const struct spool_browse browse = { s, take_event, take_message };
    arena_init(&s->arena, 1u << 20, MEMORY_MAX);
    if (!os_random(s->os, seed, sizeof seed))
        return GONETS_OS;
    map_init(&s->stories, seed);
    struct os_dir *dir = os_dir_path(s->os, spool, &status);
    if (dir) {
        status = spool_browse(s->os, dir, &browse);
        os_dir_close(dir);
    }
    if (status == OS_OK && s->failed)
        status = OS_NO_MEMORY;
    return status == OS_OK ? GONETS_OK : cannot_read(command, spool, status);
}

void gonets_stories_free(struct gonets_stories *s)
{
    map_free(&s->stories);
    arena_reset(&s->arena);
}

/* ---- recipients ---- */

static bool next_recipient(struct view *rest, struct view *path)
{
    uint16_t tag;
    struct view value;
    while (spool_tag_next(rest, &tag, &value))
        if (tag == SPOOL_TAG_RECIPIENT && spool_tag_find(value, SPOOL_RECIPIENT_PATH, path))
            return true;
    return false;
}

struct view gonets_story_path(const struct spool_message *message, const struct gonets_story *story, uint32_t number)
{
    struct view rest = message->envelope, path = VIEW_NONE;
    for (uint32_t i = 0; next_recipient(&rest, &path); i++)
        if (i == number)
            return path;
    for (const struct gonets_note *note = story->first; note; note = note->next) {
        struct view paths = note->event.paths;
        for (uint32_t i = note->event.first; note->kind == QUEUE_EVENT_EXPANDED && queue_event_path(&paths, &path); i++)
            if (i == number)
                return path;
    }
    return VIEW_NONE;
}

static void take_attempt(struct queue_entry *entry, const struct queue_event *event)
{
    entry->state = entry->state == QUEUE_ENTRY_HELD ? QUEUE_ENTRY_HELD : QUEUE_ENTRY_DEFERRED;
    entry->attempts = event->attempts;
    entry->next_us = event->next_wall_us;
    entry->code = event->code;
    memcpy(entry->status, event->status, sizeof entry->status);
    entry->reason = event->text;
    entry->remote = event->remote;
}

/* Of the two, the later one counts; they may be kept in any order. */
static bool is_held(const struct gonets_story *story, uint32_t number)
{
    uint64_t held = 0, released = 0;
    for (const struct gonets_note *note = story->first; note; note = note->next) {
        if (note->recipient != number && note->recipient != SPOOL_ALL)
            continue;
        if (note->kind == QUEUE_EVENT_HELD && note->wall_us >= held)
            held = note->wall_us;
        if (note->kind == QUEUE_EVENT_RELEASED && note->wall_us >= released)
            released = note->wall_us;
    }
    return held > released;
}

/* False: it is done. */
static bool fill_entry(struct queue_entry *entry, const struct gonets_story *story, struct view path, uint32_t number)
{
    entry->to = path;
    entry->recipient = number;
    entry->state = is_held(story, number) ? QUEUE_ENTRY_HELD : QUEUE_ENTRY_NEW;
    for (const struct gonets_note *note = story->first; note; note = note->next) {
        bool about = note->recipient == number || note->recipient == SPOOL_ALL;
        if (about && note->kind & SPOOL_EVENT_FINAL)
            return false;
        if (about && note->kind == QUEUE_EVENT_DEFERRED)
            take_attempt(entry, &note->event);
    }
    if (entry->state == QUEUE_ENTRY_HELD)
        entry->next_us = 0;
    return true;
}

static struct queue_entry entry_of(const struct spool_message *message)
{
    struct queue_entry entry = { .id = message->id };
    struct view value;
    spool_tag_find(message->envelope, SPOOL_TAG_REVERSE_PATH, &entry.from);
    if (spool_tag_find(message->envelope, SPOOL_TAG_ARRIVED_US, &value)) {
        struct unpack in = unpack_of(value);
        entry.arrived_us = unpack_u64(&in);
    }
    return entry;
}

void gonets_story_entries(const struct spool_message *message, const struct gonets_story *story,
                          void (*each)(void *ctx, const struct queue_entry *entry), void *ctx)
{
    struct view rest = message->envelope, path;
    struct queue_entry entry = entry_of(message);
    for (uint32_t number = 0; next_recipient(&rest, &path); number++) {
        struct queue_entry one = entry;
        if (fill_entry(&one, story, path, number))
            each(ctx, &one);
    }
    for (const struct gonets_note *note = story->first; note; note = note->next) {
        struct view paths = note->event.paths;
        for (uint32_t i = note->event.first; note->kind == QUEUE_EVENT_EXPANDED && queue_event_path(&paths, &path);
             i++) {
            struct queue_entry one = entry;
            if (fill_entry(&one, story, path, i))
                each(ctx, &one);
        }
    }
}
