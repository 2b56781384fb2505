/* What all roles below the supervisor share: the link to it, and what comes over it before work begins.
 * The supervisor says IPC_HELLO, IPC_CONFIG pieces, IPC_HANDLE for each thing to work with, IPC_START; later IPC_HANDLE for
 * links to replaced neighbours, and IPC_STOP. When its link breaks the process ends at once (H142). */
#ifndef GONETSD_ROLE_H
#define GONETSD_ROLE_H

#include "conf/conf.h"
#include "ipc/ipc.h"
#include "ipc/message.h"

struct role_owner {
    void *ctx;
    /* Something to work with; the owner takes it by setting handle->kind to OS_HANDLE_NONE. The configuration is there. */
    void (*handle)(void *ctx, const struct ipc_handle *what, struct os_handle *handle);
    void (*start)(void *ctx);
    void (*stop)(void *ctx); /* finish what is owed, then os_stop() */
};

struct role {
    struct os *os;
    struct role_owner owner;
    struct ipc supervisor;
    struct conf conf;
    enum ipc_role me;
    uint32_t instance; /* which of several, from 0 */
    char *text;        /* of the configuration while it comes */
    size_t text_len;
    bool has_conf, started;
    struct os_file *lock; /* of the spool: held, never used */
};

void role_open(struct role *role, struct os *os, struct os_link *supervisor, enum ipc_role me, const struct role_owner *owner);
void role_close(struct role *role);
void role_ready(struct role *role); /* working: tells the supervisor */
/* First frame on a link to a neighbour; and its check. */
void role_say_hello(struct ipc *link, enum ipc_role me, uint32_t instance);
bool role_check_hello(struct unpack *body, enum ipc_role who, uint32_t *instance);

#endif
