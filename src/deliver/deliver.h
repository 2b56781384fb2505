/* Delivery into mailboxes: the engine of role mailbox, which runs as the user the mailboxes belong to.
 *
 *   deliver.c   takes jobs, reads their messages, reports what came of them; memory is bounded
 *   box.c       opens mailboxes: a struct deliver_box lives while it has jobs
 *   maildir.c   Maildirs: many messages between two barriers
 *   mbox.c      mboxes: many messages under one lock
 *
 * A job is reported once, when its message is durable in the mailbox or will not be there. */
#ifndef DELIVER_DELIVER_H
#define DELIVER_DELIVER_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "deliver/copy.h"
#include "deliver/letter.h"
#include "deliver/maildir.h"
#include "deliver/result.h"

#define DELIVER_MEMORY_MAX (16u << 20) /* of messages on their way; one message is taken whatever its size */
#define DELIVER_READS_MAX  64          /* messages read with one request */
#define DELIVER_ANY_USER   UINT32_MAX
#define DELIVER_NAME_SIZE  256 /* of a file in a Maildir */

struct deliver_box;

struct deliver_job {
    struct list link; /* of whoever has it at the moment */
    struct list all;
    /* what the caller says */
    struct mail_id id;
    uint32_t recipient;
    struct spool_place place;
    struct os_file *content; /* of the segment: borrowed, open until the job is done */
    bool mbox;
    uint32_t owner;          /* to whom an mbox must belong; or DELIVER_ANY_USER */
    const char *base, *rest; /* struct deliver_place; they live as long as the job */
    /* what came of it; outcome 0: not tried, since we stop */
    struct deliver_result result;
    /* on its way */
    struct deliver_box *box;
    struct deliver_letter letter;
    size_t memory;             /* counted for it */
    struct deliver_copy *copy; /* of a large message */
    struct os_file *file;      /* Maildir: what is being written */
    struct os_slice slice;
    struct os_op *ops;            /* its operations in the present turn */
    bool in_tmp, in_new, replace; /* Maildir: see maildir.c */
    uint64_t failures;            /* of barriers of its file system, when its copy began */
    uint64_t start, size;         /* of the text; start: in an mbox */
    char tmp_name[DELIVER_NAME_SIZE], new_name[DELIVER_NAME_SIZE];
};

struct deliver_settings {
    struct view hostname;    /* for names in a Maildir; copied */
    struct os_dir *mail_dir; /* what jobs without a base lie below; borrowed; or NULL */
    unsigned mbox_mode;      /* of an mbox that is made: 0660 for a process of group mail, else 0600 */
};

struct deliver_owner {
    void *ctx;
    void (*done)(void *ctx, struct deliver_job *job); /* the job is the caller's again; its result is set */
    void (*alarm)(void *ctx, struct view text);       /* an administrator must know */
};

struct deliver {
    struct os *os;
    struct deliver_owner owner;
    struct deliver_settings settings;
    struct os_queue *reader, *writer; /* reader: everything but the turns of the Maildirs */
    struct list all_jobs, all_boxes;
    struct list arrivals; /* jobs whose messages are not read yet */
    struct list reading;
    struct os_op reads[DELIVER_READS_MAX];
    struct os_request read_request;
    struct os_task fetch; /* reads what has arrived, or got room, in this turn */
    size_t memory, jobs;
    bool stopping;
    struct map boxes;
    struct heap timers; /* of locks that are waited for; the process's alarm is ours */
    struct deliver_maildir maildir;
    char hostname[64];
};

/* NULL: no memory, no thread or no randomness. */
struct deliver *deliver_new(struct os *os, const struct deliver_owner *owner, const struct deliver_settings *settings);
/* At the end of the process: jobs that are still there are reported untried, wherever they were. */
void deliver_free(struct deliver *deliver);
void deliver_add(struct deliver *deliver, struct deliver_job *job);
/* Nothing new is begun: what was not begun is reported untried, what is under way is finished. */
void deliver_stop(struct deliver *deliver);

/* ---- for the files of this folder ---- */

void deliver_done(struct deliver *deliver, struct deliver_job *job);
void deliver_arm(struct deliver *deliver); /* the alarm follows the heap of timers */
/* What went wrong with a copy becomes the job's result. */
void deliver_copy_failed(struct deliver *deliver, struct deliver_job *job);

#endif
