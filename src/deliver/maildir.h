/* Maildirs, durable in batches. Everything goes round in turns; a turn is one request:
 *
 *   link to new/ what the turn before has written, and remove it from tmp/   (it was made durable by that turn's
 * barrier) write to tmp/ what has come meanwhile barrier: one syncfs of the file system
 *
 * So one barrier is the second of one batch (its names in new/) and the first of the next (its bytes). When nothing
 * more comes the next turn follows at once and has only links: nobody waits for company.
 *
 * Where syncfs does not tell of errors (OS_UNSUPPORTED), has failed or is slow because of others on the same file
 * system, files are synced one by one and then each new/. After a barrier that failed nothing counts: what was written
 * is removed, names that had been made too, and the jobs are deferred. A reader who saw such a message keeps it, so it
 * may come twice: one of the uncertain windows, like a crash between the link and the durable mark of the queue.
 *
 * The name in new/ is made from the message's id and the number of the recipient alone. When it is there already, it
 * was put there by an attempt that nobody heard the end of: the fresh copy takes its place. */
#ifndef DELIVER_MAILDIR_H
#define DELIVER_MAILDIR_H

#include "base/list.h"
#include "os/os.h"

#define DELIVER_TURN_JOBS_MAX 128
#define DELIVER_VOLUMES_MAX   8                /* file systems with a barrier of their own; more: synced file by file */
#define DELIVER_TURN_US_MAX   2000000          /* a turn with syncfs that takes longer is slow: */
#define DELIVER_SINGLY_US     (60 * 1000000ul) /* so long files are synced one by one */

struct deliver;
struct deliver_box;
struct deliver_job;

/* A file system. Its handle was opened before the first write: a syncfs on it tells of every failure since. */
struct deliver_volume {
    uint64_t device;
    struct os_dir *dir;
    bool probed, unsupported; /* whether syncfs is of use here */
    uint64_t singly_until_us;
    uint64_t failures;        /* of its barriers */
    bool singly;              /* in the present turn */
    const struct os_op *sync; /* barrier of the present turn; NULL: not needed */
};

struct deliver_maildir {
    struct deliver *deliver;
    uint64_t random, serial; /* for names in tmp/, which no two attempts share */
    struct deliver_volume volumes[DELIVER_VOLUMES_MAX];
    size_t volume_count;
    /* jobs between turns */
    struct list ready;   /* to be written; large ones are copied already */
    struct list durable; /* whole in tmp/: to be linked */
    struct list spoiled; /* failed: what they left is to be removed */
    /* jobs of the present turn */
    struct list writing, linking, undoing;
    struct os_op *ops;
    size_t count;
    uint64_t started_us;
    struct os_request request;
    bool turning;
};

bool deliver_maildir_init(struct deliver_maildir *maildir, struct deliver *deliver);
void deliver_maildir_free(struct deliver_maildir *maildir);
/* The job's box is open. */
void deliver_maildir_add(struct deliver_maildir *maildir, struct deliver_job *job);
/* The volume of a device; a new one takes `dir` over (*dir becomes NULL). NULL: too many. */
struct deliver_volume *deliver_maildir_volume(struct deliver_maildir *maildir, uint64_t device, struct os_dir **dir);

#endif
