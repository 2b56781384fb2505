/* Links from inside. */
#ifndef OS_MEM_LINK_H
#define OS_MEM_LINK_H

#include "os/mem/watch.h"

struct link_end;

struct os_link {
    struct handle handle;
    struct watch watch;
    struct link_end *end; /* NULL: cut */
    struct list in_end;
    bool ends_process; /* the link to the supervisor: when it is cut, the process stops */
};

void mem_link_pair(struct os *a_os, struct os *b_os, struct os_link **a, struct os_link **b);

#endif
