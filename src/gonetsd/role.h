/* What all roles below the supervisor share: the link to it, and what comes over it before work begins.
 * The supervisor says IPC_HELLO, IPC_CONFIG pieces, IPC_HANDLE for each thing to work with, IPC_START; later IPC_HANDLE
 * for links to replaced neighbours, and IPC_STOP. When its link breaks the process ends at once (H142).
 *
 * A new configuration comes in the same way: IPC_CONFIG pieces, IPC_HANDLE for each listener, IPC_START. With that last
 * frame role->conf changes, and at no other time; the owner hears of it by reloaded(). Configurations have generations,
 * which the supervisor counts. Roles get theirs against the way of the mail: who delivers first, then qmgr, then smtpd;
 * each only when those before it have it. */
#ifndef GONETSD_ROLE_H
#define GONETSD_ROLE_H

#include "conf/conf.h"
#include "ipc/ipc.h"
#include "ipc/message.h"

struct role_owner {
    void *ctx;
    /* Something to work with; the owner takes it by setting handle->kind to OS_HANDLE_NONE. The configuration is there.
     */
    void (*handle)(void *ctx, const struct ipc_handle *what, struct os_handle *handle);
    void (*start)(void *ctx);
    void (*stop)(void *ctx); /* finish what is owed, then os_stop() */
    /* role->conf is another one than before. What points into the former one (views, actions, tables) is good until
     * this returns, or as long as its generation is held. NULL: the owner keeps no such thing and always asks
     * role->conf. */
    void (*reloaded)(void *ctx);
    void (*count)(void *ctx, struct ipc_counts *counts); /* for `gonets status`; NULL: nothing to count */
};

/* One configuration, shared by those who go by it. */
struct generation {
    struct conf conf;
    uint64_t number;
    unsigned holders;
    char *text; /* conf's views may point here */
};

struct role {
    struct os *os;
    struct role_owner owner;
    struct ipc supervisor;
    struct conf conf;              /* of the generation in force; a copy of its struct, so read only */
    struct generation *generation; /* in force; NULL: none has come yet */
    struct generation *next;       /* has come, and will be in force with IPC_START */
    enum ipc_role me;
    uint32_t instance; /* which of several, from 0 */
    char *text;        /* of the next configuration while it comes */
    size_t text_len;
    bool started;
    struct os_file *lock; /* of the spool: held, never used */
};

void role_open(struct role *role, struct os *os, struct os_link *supervisor, enum ipc_role me,
               const struct role_owner *owner);
void role_close(struct role *role);
void role_ready(struct role *role); /* working: tells the supervisor */
/* Who goes by the configuration in force for longer than one call holds it; it is freed when it is neither in force nor
 * held. */
struct generation *role_hold(struct role *role);
void generation_release(struct generation *generation); /* NULL does nothing */
/* First frame on a link to a neighbour; and its check. */
void role_say_hello(struct ipc *link, enum ipc_role me, uint32_t instance);
bool role_check_hello(struct unpack *body, enum ipc_role who, uint32_t *instance);

#endif
