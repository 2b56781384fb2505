#include "base/heap.h"

#include <stdlib.h>

void heap_init(struct heap *h)
{
    *h = (struct heap){ NULL, 0, 0 };
}

void heap_free(struct heap *h)
{
    free(h->items);
    heap_init(h);
}

struct heap_item *heap_first(const struct heap *h)
{
    return h->count ? h->items[1] : NULL;
}

static void put(struct heap *h, size_t place, struct heap_item *item)
{
    h->items[place] = item;
    item->place = place;
}

static void rise(struct heap *h, size_t place, struct heap_item *item)
{
    for (; place > 1 && h->items[place / 2]->key > item->key; place /= 2)
        put(h, place, h->items[place / 2]);
    put(h, place, item);
}

static void sink(struct heap *h, size_t place, struct heap_item *item)
{
    for (size_t child; (child = place * 2) <= h->count; place = child) {
        if (child < h->count && h->items[child + 1]->key < h->items[child]->key)
            child++;
        if (h->items[child]->key >= item->key)
            break;
        put(h, place, h->items[child]);
    }
    put(h, place, item);
}

/* Place 0 stays empty: the parent of place n is n / 2. */
static bool make_room(struct heap *h)
{
    if (h->count + 1 < h->cap)
        return true;
    size_t cap = h->cap ? h->cap * 2 : 16;
    struct heap_item **items = realloc(h->items, cap * sizeof(struct heap_item *));
    if (!items)
        return false;
    h->items = items;
    h->cap = cap;
    return true;
}

bool heap_set(struct heap *h, struct heap_item *item, uint64_t key)
{
    if (item->place == 0) {
        if (!make_room(h))
            return false;
        item->place = ++h->count;
    }
    item->key = key;
    if (item->place > 1 && h->items[item->place / 2]->key > key)
        rise(h, item->place, item);
    else
        sink(h, item->place, item);
    return true;
}

void heap_remove(struct heap *h, struct heap_item *item)
{
    size_t place = item->place;
    if (place == 0)
        return;
    item->place = 0;
    struct heap_item *last = h->items[h->count--];
    if (last == item)
        return;
    if (place > 1 && h->items[place / 2]->key > last->key)
        rise(h, place, last);
    else
        sink(h, place, last);
}
