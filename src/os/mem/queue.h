/* Queues of a process that ends. */
#ifndef OS_MEM_QUEUE_H
#define OS_MEM_QUEUE_H

#include "os/mem/world.h"

void mem_queues_rest(struct os *os); /* what waits in them is carried out, without done(): a tidy end */
void mem_queues_cut(struct os *os);  /* what waits in them never happens */
void mem_queues_free(struct os *os); /* those that the role left */

#endif
