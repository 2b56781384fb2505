/* Intrusive hash map: keys are counted bytes inside the caller's items, hashed with a key of the process (SipHash-1-3)
 * so that nobody outside can make them collide (H91). The map owns only its table; items and keys are the caller's,
 * and a key must not move or change while its item is in. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/view.h"

struct map_item {
    struct view key;
    uint64_t hash;         /* belongs to the map */
    struct map_item *next; /* belongs to the map */
};

struct map {
    struct map_item **table;
    size_t count, size; /* size: a power of two, or 0 before the first item */
    uint64_t seed[2];
};

#define map_entry(item, type, member) ((type *)((char *)(item)-offsetof(type, member)))

void map_init(struct map *m, const uint8_t seed[16]);
void map_free(struct map *m); /* the table; not the items */
struct map_item *map_find(const struct map *m, struct view key);
/* item->key is set by the caller and must not be in the map. False: no memory, nothing changed. */
bool map_add(struct map *m, struct map_item *item);
void map_remove(struct map *m, struct map_item *item);
/* Walks all items in no order: NULL starts, NULL ends. The map must not change meanwhile. */
struct map_item *map_next(const struct map *m, const struct map_item *after);
uint64_t siphash13(const uint64_t seed[2], struct view bytes);

#endif
