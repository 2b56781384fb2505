/* Intrusive binary heap ordered by a 64-bit key (deadlines in µs): smallest first.
 * The heap owns only its array of pointers; items are the caller's. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_item {
    uint64_t key;
    size_t place; /* 1 and up while in a heap, 0 outside; belongs to the heap */
};

struct heap {
    struct heap_item **items;
    size_t count, cap;
};

#define heap_entry(item, type, member) ((type *)((char *)(item)-offsetof(type, member)))

void heap_init(struct heap *h);
void heap_free(struct heap *h);
struct heap_item *heap_first(const struct heap *h); /* NULL when empty */
/* Puts the item in, or moves it when it is in already. False: no memory, nothing changed. */
bool heap_set(struct heap *h, struct heap_item *item, uint64_t key);
void heap_remove(struct heap *h, struct heap_item *item); /* nothing when it is not in */

#endif
