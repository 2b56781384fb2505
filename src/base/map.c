#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/pack.h"

static uint64_t rotate(uint64_t n, int bits)
{
    return n << bits | n >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

/* SipHash by Aumasson and Bernstein with 1 round per block and 3 at the end. */
uint64_t siphash13(const uint64_t seed[2], struct view bytes)
{
    uint64_t v[4] = { seed[0] ^ 0x736f6d6570736575, seed[1] ^ 0x646f72616e646f6d, seed[0] ^ 0x6c7967656e657261,
                      seed[1] ^ 0x7465646279746573 };
    uint64_t last = (uint64_t)bytes.len << 56;
    size_t at = 0;
    for (; at + 8 <= bytes.len; at += 8) {
        uint64_t block = get_u64(bytes.at + at);
        v[3] ^= block;
        sip_round(v);
        v[0] ^= block;
    }
    for (size_t i = 0; at + i < bytes.len; i++)
        last |= (uint64_t)(uint8_t)bytes.at[at + i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *m, const uint8_t seed[16])
{
    *m = (struct map){ .seed = { get_u64(seed), get_u64(seed + 8) } };
}

void map_free(struct map *m)
{
    free(m->table);
    m->table = NULL;
    m->count = m->size = 0;
}

struct map_item *map_find(const struct map *m, struct view key)
{
    if (m->size == 0)
        return NULL;
    uint64_t hash = siphash13(m->seed, key);
    struct map_item *item = m->table[hash & (m->size - 1)];
    while (item && (item->hash != hash || !view_equal(item->key, key)))
        item = item->next;
    return item;
}

static bool grow(struct map *m)
{
    size_t size = m->size ? m->size * 2 : 16;
    struct map_item **table = calloc(size, sizeof(struct map_item *));
    if (!table)
        return false;
    for (size_t i = 0; i < m->size; i++)
        for (struct map_item *item = m->table[i], *next; item; item = next) {
            next = item->next;
            item->next = table[item->hash & (size - 1)];
            table[item->hash & (size - 1)] = item;
        }
    free(m->table);
    m->table = table;
    m->size = size;
    return true;
}

bool map_add(struct map *m, struct map_item *item)
{
    if (m->count >= m->size && !grow(m) && m->size == 0)
        return false;
    item->hash = siphash13(m->seed, item->key);
    struct map_item **slot = &m->table[item->hash & (m->size - 1)];
    item->next = *slot;
    *slot = item;
    m->count++;
    return true;
}

void map_remove(struct map *m, struct map_item *item)
{
    if (m->size == 0)
        return;
    struct map_item **slot = &m->table[item->hash & (m->size - 1)];
    while (*slot && *slot != item)
        slot = &(*slot)->next;
    if (!*slot)
        return;
    *slot = item->next;
    item->next = NULL;
    m->count--;
}

struct map_item *map_next(const struct map *m, const struct map_item *after)
{
    if (after && after->next)
        return after->next;
    for (size_t i = after ? (after->hash & (m->size - 1)) + 1 : 0; i < m->size; i++)
        if (m->table[i])
            return m->table[i];
    return NULL;
}
