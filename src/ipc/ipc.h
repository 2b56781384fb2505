/* A link between two of our processes, with frames that wait when the other side is slow.
 * A callback may close the link but must not free the struct; do that in an os_later task.
 * Every role always reads; what a compromised neighbour sends can only end its own link (H161). */
#ifndef IPC_IPC_H
#define IPC_IPC_H

#include "base/list.h"
#include "base/pack.h"
#include "os/os.h"

#define IPC_QUEUE_MAX (4u << 20) /* bytes waiting for a slow neighbour; over that the link is ended */

struct ipc_owner {
    void *ctx;
    /* One frame; body behind its type. The receiver takes the handle by setting handle->kind to OS_HANDLE_NONE. Frames that
     * it cannot decode it ignores or answers with ipc_end(). */
    void (*frame)(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle);
    void (*room)(void *ctx); /* nothing waits any more (after ipc_send said no, or ipc_ready was false) */
    void (*gone)(void *ctx); /* the other side is gone, or ipc_end(); the link is closed; comes once */
};

struct ipc {
    struct os *os;
    struct os_link *link; /* NULL: closed */
    struct ipc_owner owner;
    struct list waiting;
    size_t waiting_bytes;
    bool wants_room, ended;
    struct os_task end_task;
    struct buffer bundle; /* frames of ipc_add; no memory before the first */
    unsigned bundled;
};

void ipc_open(struct ipc *ipc, struct os *os, struct os_link *link, const struct ipc_owner *owner);
void ipc_close(struct ipc *ipc); /* no callback comes after it; what waits is dropped */
/* Gives the link up without closing it, with what is unread in it; what waits to be sent is dropped. NULL: it was closed. */
struct os_link *ipc_detach(struct ipc *ipc);
bool ipc_is_open(const struct ipc *ipc);
/* Nothing is waiting: the next frame goes out at once unless the other side is full at this moment. */
bool ipc_ready(const struct ipc *ipc);
/* Sends or queues a frame; false: the link is closed or ended. */
bool ipc_send(struct ipc *ipc, struct view frame);
/* The same, but it may go out with others in one packet, which costs both sides far less than a packet for each: by
 * ipc_flush() at the latest, which the caller sees to at the end of the turn. Order is kept, also among the other calls. */
bool ipc_add(struct ipc *ipc, struct view frame);
void ipc_flush(struct ipc *ipc);
/* With a handle: at once or not at all (false: try again when room() came). The handle stays the caller's. */
bool ipc_send_handle(struct ipc *ipc, struct view frame, const struct os_handle *handle);
/* Ends the link because of what the other side did; gone() comes later in this turn. */
void ipc_end(struct ipc *ipc);

#endif
