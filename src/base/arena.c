#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 16

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used; /* of bytes */
    _Alignas(ALIGN) char bytes[];
};

void arena_init(struct arena *a, size_t chunk, size_t limit)
{
    *a = (struct arena){ NULL, 0, limit, chunk };
}

static struct arena_chunk *grow(struct arena *a, size_t need)
{
    size_t size = need > a->chunk ? need : a->chunk;
    size_t left = a->limit - a->used;
    if (size > left)
        size = need;
    if (need > left)
        return NULL;
    struct arena_chunk *c = malloc(sizeof *c + size);
    if (!c)
        return NULL;
    *c = (struct arena_chunk){ a->chunks, size, 0 };
    a->chunks = c;
    a->used += size;
    return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX - 2 * sizeof(struct arena_chunk))
        return NULL;
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct arena_chunk *c = a->chunks;
    if (!c || c->size - c->used < size)
        c = grow(a, size);
    if (!c)
        return NULL;
    void *memory = c->bytes + c->used;
    c->used += size;
    return memset(memory, 0, size);
}

struct view arena_copy(struct arena *a, struct view text)
{
    char *copy = text.len < SIZE_MAX ? arena_alloc(a, text.len + 1) : NULL;
    if (!copy)
        return VIEW_NONE;
    if (text.len)
        memcpy(copy, text.at, text.len);
    return (struct view){ copy, text.len };
}

void arena_reset(struct arena *a)
{
    while (a->chunks) {
        struct arena_chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
    a->used = 0;
}
