/* What every handle begins with: who holds it, and how it is copied and dropped. What it stands for (an open file, an
 * end of a connection) is a thing of its own, shared by the copies. */
#ifndef OS_MEM_HANDLE_H
#define OS_MEM_HANDLE_H

#include "os/mem/world.h"

struct handle;

struct handle_type {
    enum os_handle_kind kind;
    struct handle *(*copy)(struct handle *handle);
    void (*cut)(struct handle *handle); /* lets go of the shared thing; the handle itself stays, good for nothing */
};

struct handle {
    const struct handle_type *type;
    struct mem_world *world;
    struct list in_process;
    struct os *os; /* NULL: on its way in a frame */
};

/* os: NULL for a handle on its way. */
void mem_handle_init(struct handle *handle, const struct handle_type *type, struct mem_world *world, struct os *os);
bool mem_handles_full(const struct os *os); /* the process may have no more */
void mem_handle_give(struct handle *handle, struct os *os);
void mem_handle_free(struct handle *handle); /* cuts it first; *handle must be the first member of what is freed */

struct handle *mem_handle_of(const struct os_handle *handle); /* NULL: none */
struct os_handle mem_handle_as(struct handle *handle);

#endif
