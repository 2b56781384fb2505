/* Cells of one size from slabs, without a header for each: what there are a million of. A slab whose last cell is free
 * goes back, so that memory follows the load down, too. */
#ifndef QUEUE_POOL_H
#define QUEUE_POOL_H

#include "base/list.h"

struct pool {
    size_t cell;       /* bytes of a cell, a multiple of 16 */
    struct list roomy; /* slabs with a free cell */
    struct list full;
    size_t slabs;
};

void pool_init(struct pool *pool, size_t cell_size);
void pool_free(struct pool *pool);  /* with all cells */
void *pool_take(struct pool *pool); /* not zeroed; NULL: no memory */
void pool_give(struct pool *pool, void *cell);

#endif
