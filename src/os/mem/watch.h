/* Level-triggered watches: while something that is wanted is true, the callback comes, once in every moment. */
#ifndef OS_MEM_WATCH_H
#define OS_MEM_WATCH_H

#include "os/mem/handle.h"

struct watch {
    struct mem_event event;
    struct handle *handle;
    unsigned (*ready)(struct handle *handle); /* what is true now */
    unsigned wanted;
    os_event *on;
    void *ctx;
};

void mem_watch_init(struct watch *watch, struct handle *handle, unsigned (*ready)(struct handle *handle));
void mem_watch_set(struct watch *watch, unsigned wanted, os_event *on, void *ctx);
void mem_watch_wake(struct watch *watch); /* something may have become true */
void mem_watch_end(struct watch *watch);

#endif
