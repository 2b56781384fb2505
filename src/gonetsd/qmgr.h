/* Role qmgr: owns the spool, keeps the queue, gives out jobs. No network. */
#ifndef GONETSD_QMGR_H
#define GONETSD_QMGR_H

#include "gonetsd/event.h"
#include "gonetsd/role.h"
#include "queue/queue.h"

struct qmgr {
    struct os *os;
    struct role role;
    struct event_log log;
    struct os_dir *spool;
    struct spool_store *store;    /* NULL until workers have told what they hold */
    struct queue queue;
    struct list workers;          /* links to smtpd processes (workers.c) */
    struct list stock;            /* segments ready and not handed out yet */
    unsigned asked[4];            /* by spool_kind: segments asked of the store and not come yet */
    struct local *local;          /* link to the deliverer (jobs.c) */
    struct os_link *local_link;   /* the same before the spool is open: nothing is read from it yet */
    bool opened, stopping;        /* opened: recovery is done, the queue is whole */
    struct os_task work;          /* gives out jobs at the end of the turn */
};

/* workers.c: smtpd processes get segments and tell what is durable in them. */
void workers_link(struct qmgr *qmgr, uint32_t instance, struct os_link *link);
bool workers_told(const struct qmgr *qmgr); /* all have said which segments they hold */
size_t workers_held(const struct qmgr *qmgr, struct spool_held *held, size_t max);
void workers_segment(void *qmgr, enum spool_kind kind, uint64_t number, uint64_t nonce, uint64_t size, struct os_file *file);
void workers_opened(struct qmgr *qmgr);     /* the store is there: what was asked before is asked now */
void workers_free(struct qmgr *qmgr);

/* jobs.c: what is ready goes to the deliverer; its results become events in the spool. */
void jobs_link(struct qmgr *qmgr, struct os_link *link);
void jobs_opened(struct qmgr *qmgr);        /* the store is there */
void jobs_work(void *qmgr);
void jobs_free(struct qmgr *qmgr);

void qmgr_open_store(struct qmgr *qmgr); /* once started and once all workers have told what they hold */
void qmgr_arm(struct qmgr *qmgr);
void qmgr_message_done(struct qmgr *qmgr, struct queue_message *message); /* nobody needs its content any more */

#endif
