#include "queue/pool.h"

#include <stdint.h>
#include <stdlib.h>

#define SLAB_SIZE 65536 /* and its alignment: a cell finds its slab by its address */

struct slab {
    struct list link;
    struct cell *unused; /* given back */
    uint32_t count;      /* cells in use */
    uint32_t fresh;      /* offset of the first cell that was never used */
};

struct cell {
    struct cell *next;
};

void pool_init(struct pool *pool, size_t cell_size)
{
    pool->cell = (cell_size + 15) / 16 * 16;
    pool->slabs = 0;
    list_init(&pool->roomy);
    list_init(&pool->full);
}

void pool_free(struct pool *pool)
{
    list_move_all(&pool->roomy, &pool->full);
    for (struct list *link; (link = list_pop(&pool->roomy));)
        free(list_entry(link, struct slab, link));
    pool->slabs = 0;
}

static struct slab *new_slab(struct pool *pool)
{
    struct slab *slab = aligned_alloc(SLAB_SIZE, SLAB_SIZE);
    if (!slab)
        return NULL;
    slab->unused = NULL;
    slab->count = 0;
    slab->fresh = (sizeof *slab + 15) / 16 * 16;
    list_append(&pool->roomy, &slab->link);
    pool->slabs++;
    return slab;
}

static bool is_full(const struct pool *pool, const struct slab *slab)
{
    return !slab->unused && slab->fresh + pool->cell > SLAB_SIZE;
}

void *pool_take(struct pool *pool)
{
    struct slab *slab = list_empty(&pool->roomy) ? new_slab(pool) : list_entry(pool->roomy.next, struct slab, link);
    if (!slab)
        return NULL;
    struct cell *cell = slab->unused;
    if (cell) {
        slab->unused = cell->next;
    } else {
        cell = (struct cell *)((char *)slab + slab->fresh);
        slab->fresh += (uint32_t)pool->cell;
    }
    slab->count++;
    if (is_full(pool, slab)) {
        list_remove(&slab->link);
        list_append(&pool->full, &slab->link);
    }
    return cell;
}

void pool_give(struct pool *pool, void *memory)
{
    struct slab *slab = (struct slab *)((uintptr_t)memory & ~(uintptr_t)(SLAB_SIZE - 1));
    struct cell *cell = memory;
    cell->next = slab->unused;
    slab->unused = cell;
    list_remove(&slab->link);
    list_prepend(&pool->roomy, &slab->link);
    if (--slab->count > 0)
        return;
    list_remove(&slab->link);
    free(slab);
    pool->slabs--;
}
