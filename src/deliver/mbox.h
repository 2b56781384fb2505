/* An mbox: many messages under one lock, in the order that Debian's programs expect (Debian Policy, section 11.6):
 * first the fcntl lock, then NAME.lock, which is left out where its directory is not ours to write to. Nothing is
 * waited for while a lock is held: what cannot be had is given up and tried again, for half a minute.
 *
 *   OPENING   open the file, fcntl lock, NAME.lock
 *   CHECKING  is it still the file of that name, regular, with one name, and its owner's (H155); how does it end
 *   WRITING   messages behind its end
 *   CUTTING   a write has failed: back to the end of the last whole message
 *   SYNCING   times and bytes durable
 *   CLOSING   NAME.lock and the file go
 *
 * A message counts when the sync has succeeded. When it fails the file is cut to its old size and all are deferred.
 * A crash can leave a torn message at the end; the next one starts behind an empty line, so nothing else is harmed
 * (H153). A crash between the sync and the queue's durable mark brings a message twice, which an mbox has no name to
 * tell by. */
#ifndef DELIVER_MBOX_H
#define DELIVER_MBOX_H

#include "base/heap.h"
#include "base/list.h"
#include "os/os.h"

#define DELIVER_MBOX_JOBS_MAX    64               /* messages under one lock */
#define DELIVER_MBOX_LOCK_US_MAX (30 * 1000000ul) /* how long a lock is tried */
#define DELIVER_MBOX_LOCK_STALE_US                                                                                     \
    (300 * 1000000ul) /* a NAME.lock of this age is nobody's any more, as in liblockfile */

struct deliver_box;
struct deliver_job;

struct deliver_mbox {
    struct deliver_box *box;
    const char *name; /* of the file in the box's directory */
    char lock_name[256];
    void (*next)(struct deliver_mbox *mbox); /* what to do when the present request is done; NULL: idle or waiting */
    struct list waiting;                     /* jobs that are not begun */
    struct list taken;                       /* jobs of this lock, not yet written */
    struct list written;
    struct os_file *file, *lock;
    bool locked;    /* NAME.lock is ours */
    bool lead_line; /* the file does not end with an empty line */
    bool retry;     /* a lock was not to be had */
    bool synced;
    struct os_stat stat, name_stat, lock_stat;
    char tail[2], lock_text[16];
    uint64_t old_size, end; /* before we came; behind the last whole message */
    uint64_t first_try_us, pause_us;
    struct heap_item timer;
    struct os_slice slices[DELIVER_MBOX_JOBS_MAX + 1];
    struct os_op ops[DELIVER_MBOX_JOBS_MAX + 1];
    struct os_request request;
};

void deliver_mbox_init(struct deliver_mbox *mbox, struct deliver_box *box, const char *name);
void deliver_mbox_add(struct deliver_box *box, struct deliver_job *job);
void deliver_mbox_timer(struct deliver_mbox *mbox); /* the time of its timer has come */
void deliver_mbox_stop(struct deliver_mbox *mbox); /* waits for no lock any more; jobs not begun are reported untried */
void deliver_mbox_close(struct deliver_mbox *mbox); /* at the end of the process */

#endif
