/* Role local: gives deliveries to workers that run as the users the mailboxes belong to. It never reads mail.
 *
 *   local.c        the link to qmgr: jobs, contents, credit, results that are not yet durable there
 *   local_route.c  for a job: the account, the mailbox, and what is refused
 *   local_pool.c   the workers (role mailbox), one for each account, started when needed
 *
 * A job is known by its message and recipient. It lives from the frame of qmgr until qmgr has said that its result is
 * durable; a qmgr that was started anew hears all results again, and a job it gives once more while it is under way
 * is not begun twice. */
#ifndef GONETSD_LOCAL_H
#define GONETSD_LOCAL_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "deliver/place.h"
#include "deliver/result.h"
#include "gonetsd/event.h"
#include "gonetsd/role.h"
#include "spool/spool.h"

#define LOCAL_WORKERS_MAX    64
#define LOCAL_WORKER_IDLE_US 60000000
#define LOCAL_CRASHES_MAX    3        /* of a worker with the same message: then it is set aside (H144) */
#define LOCAL_STARTS_MAX     3        /* of a worker that does not come up, one after another */
#define LOCAL_STOP_US_MAX    10000000 /* time to finish what is under way */
#define LOCAL_ACCOUNT_US     10000000 /* how long an answer of the user database is believed */
#define LOCAL_ACCOUNTS_MAX   1024

/* A segment of the spool. */
struct local_content {
    struct list link;
    uint64_t number;
    struct os_file *file;
    unsigned jobs;
    bool announced; /* by the present qmgr; else it goes with its last job */
};

struct local_worker;

struct local_job {
    struct map_item by_id;
    struct list link; /* in its worker */
    struct mail_id id;
    uint32_t recipient;
    struct spool_place place;
    struct local_content *content;
    struct local_worker *worker; /* NULL: not given to one (any more) */
    unsigned crashes;
    bool mbox, done;
    uint32_t owner; /* of the mbox */
    struct deliver_result result;
    char key[MAIL_ID_SIZE + 4];
    size_t base_len, rest_len, biff_len;
    char *text; /* base, then rest, then whom to tell */
};

/* A slot for the worker of one account; its process comes and goes. */
struct local_worker {
    struct list link;
    struct local *local;
    char user[64];   /* empty: as we are */
    bool mail_group; /* in group mail, for the locks of /var/mail */
    struct ipc ipc;
    struct os_child *child;
    bool running; /* there is a process, or its last words are not read */
    bool link_gone, exited;
    bool up;             /* it has said hello */
    bool dropped;        /* not wanted any more: its end is no crash */
    unsigned starts;     /* that came to nothing, in a row */
    struct list waiting; /* jobs that it has not got */
    struct list given;
    struct local_job *alone; /* a job that was there at a crash: the only one given */
    struct list contents;    /* segments that it has */
    struct heap_item idle;
    struct os_task end;
};

struct local {
    struct os *os;
    struct role role;
    struct event_log log;
    struct ipc qmgr;
    struct os_dir *mail_dir; /* all mailboxes lie below it; NULL: anywhere */
    struct list contents;
    struct map jobs;
    uint32_t owed_credit;
    struct os_task say_credit;
    struct list workers;
    size_t running;
    struct heap timers;
    struct heap_item stop_timer;
    struct map accounts;
    bool stopping;
};

/* local.c */
void local_finish(struct local *local, struct local_job *job); /* its result is set */
void local_arm(struct local *local);
void local_end_when_idle(struct local *local);

/* local_route.c: finds account and mailbox. True: job, *user (room for 64 bytes) and the place are set; false: its
 * result. */
bool local_route(struct local *local, struct local_job *job, struct view action, struct view path, char *user);
void local_forget_accounts(struct local *local);

/* local_pool.c */
void local_pool_give(struct local *local, struct local_job *job, const char *user);
void local_pool_content_gone(struct local *local, uint64_t number);
void local_pool_stop(struct local *local); /* workers finish what they have; nothing more is given */
void local_pool_free(struct local *local);
void local_worker_idle(struct heap_item *timer); /* its time has come */

#endif
