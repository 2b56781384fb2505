#include <stdlib.h>

#include "spool/writer_inner.h"

static const struct {
    uint32_t cap;
    unsigned keep;
} classes[BLOCK_CLASSES] = { { 2048, 64 }, { 8192, 32 }, { 32768, 8 }, { BLOCK_CAP_MAX, 8 } };

static size_t class_of(size_t wanted)
{
    size_t i = 0;
    while (i + 1 < BLOCK_CLASSES && classes[i].cap < wanted)
        i++;
    return i;
}

size_t block_size_for(size_t wanted)
{
    return classes[class_of(wanted)].cap;
}

struct block *block_new(struct block_pool *pool, size_t wanted)
{
    size_t i = class_of(wanted);
    struct block *block = pool->ready[i];
    if (block) {
        pool->ready[i] = block->next;
        pool->count[i]--;
    } else {
        block = malloc(sizeof(*block) + classes[i].cap);
        if (!block)
            return NULL;
        block->cap = classes[i].cap;
    }
    block->next = NULL;
    block->used = 0;
    return block;
}

void block_free_chain(struct block_pool *pool, struct block *first)
{
    for (struct block *next; first; first = next) {
        next = first->next;
        size_t i = class_of(first->cap);
        if (pool->count[i] >= classes[i].keep) {
            free(first);
            continue;
        }
        first->next = pool->ready[i];
        pool->ready[i] = first;
        pool->count[i]++;
    }
}

void block_pool_free(struct block_pool *pool)
{
    for (size_t i = 0; i < BLOCK_CLASSES; i++)
        for (struct block *next; pool->ready[i]; pool->ready[i] = next) {
            next = pool->ready[i]->next;
            free(pool->ready[i]);
        }
}
