/* Role qmgr: owns the spool, keeps the queue, gives out jobs. No network. */
#ifndef GONETSD_QMGR_H
#define GONETSD_QMGR_H

#include "gonetsd/event.h"
#include "gonetsd/role.h"
#include "queue/event.h"
#include "queue/queue.h"
#include "queue/route.h"

#define QMGR_FETCHES_MAX 64 /* envelopes being read at a time */

struct qmgr {
    struct os *os;
    struct role role;
    struct event_log log;
    struct os_dir *spool;
    struct spool_store *store; /* NULL until workers have told what they hold */
    struct queue queue;
    struct list workers;      /* links to smtpd processes (workers.c) */
    struct list stock;        /* segments ready and not handed out yet */
    unsigned asked[4];        /* by spool_kind: segments asked of the store and not come yet */
    struct list deliverers;   /* links to local and smtp processes (deliverer.c) */
    struct list reports;      /* to senders, under way (reports.c) */
    struct list commanders; /* links to commands of the administrator (orders.c) */
    struct list finished;     /* at recovery: first recipients of messages that are done */
    struct mail_id_maker ids; /* of reports */
    unsigned fetches;
    uint64_t wall_ahead_us; /* wall clock less monotonic clock, as last seen */
    bool has_queue, stopping;
    bool opened; /* recovery is done, the queue is whole */
    struct os_task flush;
    struct os_task work; /* gives out jobs at the end of the turn */
};

/* workers.c: smtpd processes get segments and tell what is durable in them. */
void workers_link(struct qmgr *qmgr, uint32_t instance, struct os_link *link);
bool workers_told(const struct qmgr *qmgr); /* all have said which segments they hold */
size_t workers_held(const struct qmgr *qmgr, struct spool_held *held, size_t max);
void workers_segment(void *qmgr, enum spool_kind kind, uint64_t number, uint64_t nonce, uint64_t size,
                     struct os_file *file);
void workers_opened(struct qmgr *qmgr); /* the store is there: what was asked before is asked now */
void workers_free(struct qmgr *qmgr);

/* deliverer.c: a process that delivers: local, or one of smtp. */
struct deliverer {
    struct list link;
    struct qmgr *qmgr;
    struct ipc ipc;
    struct os_link *unopened; /* before the spool is open: nothing is read from it yet */
    enum ipc_role role;
    uint32_t instance;
    uint32_t credit;      /* recipients that it still takes */
    struct list contents; /* segments that it has a handle of */
    size_t content_count;
    struct list jobs; /* struct job, given out */
    bool gone;
};
/* Recipients of one message that are with a deliverer; ends with the last result. */
struct job {
    struct list link;
    struct deliverer *by;
    struct queue_destination *destination;
    uint64_t segment;       /* as it was when the job was given */
    struct list recipients; /* QUEUE_WORKING */
    uint64_t begun_us;
    bool bad;  /* fewer jobs at a time would be better */
    bool well; /* somebody answered sensibly */
};

void deliverer_link(struct qmgr *qmgr, enum ipc_role role, uint32_t instance, struct os_link *link);
void deliverers_opened(struct qmgr *qmgr); /* the store is there */
void deliverers_flush(void *qmgr);         /* task: what they are told goes out, many frames in a packet */
bool deliverers_use(const struct qmgr *qmgr, uint64_t segment); /* a job reads from it */
void deliverers_free(struct qmgr *qmgr);
struct deliverer *deliverer_find(struct qmgr *qmgr, enum ipc_role role, uint32_t instance);
bool deliverer_ready(const struct deliverer *deliverer);
/* Who should have the next job there: who had the last one, unless busy. NULL: nobody takes jobs now. */
struct deliverer *deliverer_choose(struct qmgr *qmgr, enum ipc_role role, uint32_t last);
/* Sends a job's frame, with the segment's handle before if needed; NULL: not now. */
struct job *deliverer_give(struct deliverer *deliverer, const struct spool_place *place, struct view frame);
void deliverer_end(struct qmgr *qmgr, struct job *job); /* all results are there */
/* The result is durable; from: who said it. */
void deliverer_kept(struct qmgr *qmgr, enum ipc_role role, uint32_t instance, const struct mail_id *id,
                    uint32_t recipient);

/* jobs.c: whose turn it is goes to a deliverer; what comes back becomes an event in the spool. */
void jobs_work(void *qmgr);
bool jobs_result(struct deliverer *deliverer, struct unpack *body);
void jobs_route(struct qmgr *qmgr, struct queue_message *message); /* its new recipients stand in line */

/* self.c: recipients that need no deliverer: aliases, what is thrown away or held, what no rule takes. */
void self_attempt(struct qmgr *qmgr, struct queue_recipient *recipient, const struct queue_route *route);

/* marks.c: events on their way to the disk. */
struct mark_from {
    enum ipc_role role;
    uint32_t instance;
}; /* role 0: nobody waits for it */
/* Logs it; the recipient of a final one is QUEUE_MARKING until it is durable, then done. false: no memory, nothing
 * changed. */
bool mark(struct qmgr *qmgr, struct queue_recipient *recipient, unsigned kind, const struct queue_event *event,
          struct view paths, struct mark_from from);
/* What a durable event means for the queue: when it has become durable, and at recovery. */
void mark_apply(struct qmgr *qmgr, const struct spool_event *event);
/* One line of the log for an event. */
void mark_log(struct qmgr *qmgr, const struct queue_recipient *recipient, unsigned kind,
              const struct queue_event *event);

/* reports.c: failures and delays are told to the sender. */
/* The recipient failed for good: one report for all of its message in this turn, durable together with the marks. */
void report_failed(struct qmgr *qmgr, struct queue_recipient *recipient, const struct queue_event *reply,
                   struct mark_from from);
void report_delayed(struct qmgr *qmgr, struct queue_message *message, const struct queue_recipient *recipient,
                    const struct queue_event *reply);
bool reports_room(const struct qmgr *qmgr); /* for reports that can wait */
void reports_work(struct qmgr *qmgr);
uint64_t reports_deadline(const struct qmgr *qmgr);
void reports_free(struct qmgr *qmgr);

/* orders.c: what the administrator wants done with recipients. */
void orders_link(struct qmgr *qmgr, struct os_link *link);
void orders_free(struct qmgr *qmgr);

void qmgr_open_store(struct qmgr *qmgr); /* once started and once all workers have told what they hold */
void qmgr_arm(struct qmgr *qmgr);
/* Time between two looks at the wall clock; 0 when that cannot be believed. */
uint64_t qmgr_passed_us(uint64_t wall_us, uint64_t since_us);
/* The recipient is done; with the last one the message is forgotten. */
void qmgr_done(struct qmgr *qmgr, struct queue_recipient *recipient);

#endif
