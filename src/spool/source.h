/* A segment's file, read in place, for recovery and commands: what the walk wants, window by window. What the device
 * cannot read counts as zeros, which is damage to the walk. */
#ifndef SPOOL_SOURCE_H
#define SPOOL_SOURCE_H

#include "spool/walk.h"

struct source {
    struct os *os;
    struct os_file *file;
    char *window;
    size_t cap, len;
    uint64_t window_at;
    bool unreadable; /* the device failed somewhere */
    bool no_memory;
};

void source_init(struct source *source, struct os *os, struct os_file *file);
void source_free(struct source *source); /* not the file */
/* The bytes [at, at + len); .at NULL when there is no memory. Zeros behind the end of the file. */
struct view source_read(struct source *source, uint64_t at, size_t len);
/* As walk_next, but never WALK_READ. Out of memory: WALK_END with no_memory set. */
enum walk_step source_walk(struct source *source, struct walk *walk);
/* Fills buf whatever the device does; true when all of it could be read. */
bool read_carefully(struct os *os, struct os_file *file, uint64_t at, char *buf, size_t len);

#endif
