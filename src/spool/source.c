#include "spool/source.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_SIZE (64u << 10)

void source_init(struct source *source, struct os *os, struct os_file *file)
{
    *source = (struct source){ .os = os, .file = file };
}

void source_free(struct source *source)
{
    free(source->window);
    source->window = NULL;
    source->cap = source->len = 0;
}

static enum os_status read_at(struct os *os, struct os_file *file, uint64_t at, char *buf, size_t len)
{
    struct os_op op = { .kind = OS_READ, .file = &file, .offset = at, .buf = buf, .len = len };
    os_run_ops(os, &op, 1);
    size_t got = op.status == OS_OK ? (size_t)op.value : 0;
    memset(buf + got, 0, len - got);
    return op.status;
}

bool read_carefully(struct os *os, struct os_file *file, uint64_t at, char *buf, size_t len)
{
    if (read_at(os, file, at, buf, len) == OS_OK)
        return true;
    for (size_t done = 0; done < len; done += SPOOL_BLOCK)
        read_at(os, file, at + done, buf + done, len - done < SPOOL_BLOCK ? len - done : SPOOL_BLOCK);
    return false;
}

struct view source_read(struct source *source, uint64_t at, size_t len)
{
    if (at < source->window_at || at + len > source->window_at + source->len) {
        size_t size = len > WINDOW_SIZE ? len : WINDOW_SIZE;
        if (size > source->cap) {
            char *window = realloc(source->window, size);
            source->no_memory = source->no_memory || !window;
            if (!window)
                return VIEW_NONE;
            source->window = window;
            source->cap = size;
        }
        source->window_at = at;
        source->len = size;
        if (!read_carefully(source->os, source->file, at, source->window, size))
            source->unreadable = true;
    }
    return (struct view){ source->window + (at - source->window_at), len };
}

enum walk_step source_walk(struct source *source, struct walk *walk)
{
    for (;;) {
        enum walk_step step = walk_next(walk, (struct view){ source->window, source->len }, source->window_at);
        if (step != WALK_READ)
            return step;
        if (!source_read(source, walk->want_at, walk->want_len).at)
            return WALK_END;
    }
}
