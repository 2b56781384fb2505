/* What the files of the supervisor share: supervisor.c (children and their lives), reload.c, control.c. */
#ifndef GONETSD_SUPERVISOR_INNER_H
#define GONETSD_SUPERVISOR_INNER_H

#include "base/heap.h"
#include "base/list.h"
#include "gonetsd/event.h"
#include "gonetsd/role.h"
#include "gonetsd/supervisor.h"

struct child {
    struct list link;
    struct supervisor *supervisor;
    enum ipc_role role;
    uint32_t instance;
    struct ipc ipc;
    struct os_child *process; /* NULL: not running */
    struct list parcels;
    bool ready, told_stop;
    uint64_t started_us, pause_us, starts;
    uint64_t generation; /* of the configuration that it works by */
    unsigned questions;  /* IPC_COUNT that it did not answer yet */
    struct ipc_counts counts;
    struct heap_item restart;
};

struct reload {
    bool active, again; /* again: asked for once more meanwhile */
    unsigned stage;
    struct setup former;
};

struct supervisor {
    struct os *os;
    struct event_log log;
    struct supervisor_options options;
    struct setup setup;
    struct list children;
    struct heap restarts;
    bool stopping, announced;
    int exit_code;
    struct reload reload;
    struct list commanders;
    unsigned commander_count;
    uint64_t status_due_us;   /* then whoever waits for the status gets what is known */
    uint64_t watchdog_due_us; /* OS_NEVER: nobody watches */
    uint64_t stop_deadline_us;
};

/* supervisor.c */
const char *child_name(const struct child *child);
void child_post_type(struct child *child, enum ipc_type type);
void child_post_config(struct child *child);
void child_post_listeners(struct child *child);
void child_post_handle(struct child *child, struct ipc_handle what, struct os_handle handle, bool give);
void supervisor_arm(struct supervisor *supervisor); /* the alarm follows the deadlines */

/* reload.c */
void reload_ask(struct supervisor *supervisor);   /* now, or when the one that is under way is over */
void reload_go_on(struct supervisor *supervisor); /* a child has confirmed, died or been started */
void reload_free(struct supervisor *supervisor);

/* control.c */
void control_open(struct supervisor *supervisor);
void control_close(struct supervisor *supervisor);
/* Answers all who wait for a reload. */
void control_reloaded(struct supervisor *supervisor, uint8_t code, struct view text);
void control_counted(struct supervisor *supervisor); /* a child has answered, or ended */
void control_alarm(struct supervisor *supervisor);

#endif
