#include "queue/index.h"

#include <stdlib.h>
#include <string.h>

#include "queue/queue.h"

#define INDEX_BLOCK 1024 /* chains that are allocated at a time */

void index_init(struct index *index)
{
    *index = (struct index){ 0 };
}

void index_free(struct index *index)
{
    for (size_t i = 0; i < index->block_count; i++)
        free(index->blocks[i]);
    free(index->blocks);
    index_init(index);
}

static size_t hash_of(const struct mail_id *id)
{
    uint64_t random;
    memcpy(&random, id->at + MAIL_ID_SIZE - sizeof random, sizeof random);
    random = (random ^ random >> 32) * UINT64_C(0x9e3779b97f4a7c15); /* ids of one µs are counted up */
    return (size_t)(random ^ random >> 32);
}

static struct queue_message **chain_at(const struct index *index, size_t n)
{
    return &index->blocks[n / INDEX_BLOCK][n % INDEX_BLOCK];
}

/* Chains 0 .. split-1 have been split already: their messages are told apart by one bit more. */
static size_t chain_of(const struct index *index, const struct mail_id *id)
{
    size_t hash = hash_of(id), low = index->chains - index->split;
    size_t n = hash & (low - 1);
    return n < index->split ? hash & (2 * low - 1) : n;
}

struct queue_message *index_find(const struct index *index, const struct mail_id *id)
{
    if (index->chains == 0)
        return NULL;
    struct queue_message *m = *chain_at(index, chain_of(index, id));
    while (m && mail_id_compare(&m->item.id, id) != 0)
        m = m->item.next;
    return m;
}

static bool add_block(struct index *index)
{
    if (index->block_count == index->block_cap) {
        size_t cap = index->block_cap ? 2 * index->block_cap : 64;
        struct queue_message ***blocks = realloc(index->blocks, cap * sizeof *blocks);
        if (!blocks)
            return false;
        index->blocks = blocks;
        index->block_cap = cap;
    }
    struct queue_message **block = calloc(INDEX_BLOCK, sizeof(struct queue_message *));
    if (!block)
        return false;
    index->blocks[index->block_count++] = block;
    return true;
}

/* One more chain takes its share of the next one to split; without memory the chains just become longer. */
static void split_one(struct index *index)
{
    if (index->chains == index->block_count * INDEX_BLOCK && !add_block(index))
        return;
    size_t low = index->chains - index->split;
    struct queue_message **from = chain_at(index, index->split), **to = chain_at(index, index->chains);
    index->chains++;
    if (++index->split == low)
        index->split = 0;
    for (struct queue_message *m; (m = *from);) {
        if ((hash_of(&m->item.id) & low) == 0) {
            from = &m->item.next;
            continue;
        }
        *from = m->item.next;
        m->item.next = *to;
        *to = m;
    }
}

bool index_add(struct index *index, struct queue_message *m)
{
    if (index->chains == 0 && !add_block(index))
        return false;
    if (index->chains == 0)
        index->chains = INDEX_BLOCK;
    if (index->count >= index->chains)
        split_one(index);
    struct queue_message **chain = chain_at(index, chain_of(index, &m->item.id));
    m->item.next = *chain;
    *chain = m;
    index->count++;
    return true;
}

void index_remove(struct index *index, struct queue_message *m)
{
    struct queue_message **at = chain_at(index, chain_of(index, &m->item.id));
    while (*at != m)
        at = &(*at)->item.next;
    *at = m->item.next;
    index->count--;
}

struct queue_message *index_chain(const struct index *index, size_t *place)
{
    struct queue_message *m = NULL;
    while (!m && *place < index->chains)
        m = *chain_at(index, (*place)++);
    return m;
}
