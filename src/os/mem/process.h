/* Processes from inside. */
#ifndef OS_MEM_PROCESS_H
#define OS_MEM_PROCESS_H

#include "os/mem/world.h"

void mem_process_init_events(struct os *os);
void mem_process_want_turn(struct os *os); /* so that the end of a turn comes */
void mem_process_end(struct os *os);       /* tidily, or the rest of a kill; frees it */

#endif
