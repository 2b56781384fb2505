/* What a spool tells of each message, read beside the server or without one: its envelope, and what became of each
 * recipient. */
#ifndef GONETS_STORIES_H
#define GONETS_STORIES_H

#include "base/arena.h"
#include "base/map.h"
#include "queue/event.h"
#include "queue/filter.h"

struct gonets_note { /* an event */
    struct gonets_note *next;
    uint8_t kind;
    uint32_t recipient; /* SPOOL_ALL: the whole message */
    uint64_t wall_us;
    struct queue_event event;
};

struct gonets_story {
    struct map_item item; /* key: id */
    struct mail_id id;
    struct gonets_note *first, *last;
    bool told; /* its message was there */
};

struct gonets_stories {
    struct os *os;
    bool history; /* keep every event; else of each recipient the last of each kind */
    void *ctx;
    /* Each message once, with all its events. The file is that of its segment. */
    void (*message)(void *ctx, const struct spool_message *message, const struct gonets_story *story,
                    struct os_file *file);
    /* Their own */
    struct arena arena;
    struct map stories;
    bool failed;
};

/* Reads all of it. The stories stay in the map until gonets_stories_free(), also those whose message is gone. An exit
 * code, and why it is not GONETS_OK was said. */
int gonets_stories_read(struct gonets_stories *s, const char *command, const char *spool);
void gonets_stories_free(struct gonets_stories *s);
/* Calls each() for every recipient that is not done. */
void gonets_story_entries(const struct spool_message *message, const struct gonets_story *story,
                          void (*each)(void *ctx, const struct queue_entry *entry), void *ctx);
/* The path of a recipient, also of one that an alias stood for; VIEW_NONE: there is none. */
struct view gonets_story_path(const struct spool_message *message, const struct gonets_story *story, uint32_t number);

#endif
