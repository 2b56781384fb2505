/* A mailbox that is open: shared by the jobs that go into it, closed when it has none. Under a steady stream it is
 * opened anew every second, so that a mailbox that its owner has renamed or replaced is not written to for long. */
#ifndef DELIVER_BOX_H
#define DELIVER_BOX_H

#include "deliver/deliver.h"
#include "deliver/folder.h"
#include "deliver/mbox.h"

#define DELIVER_BOX_US_MAX 1000000

struct deliver_box {
    struct map_item key; /* kind, base and rest */
    struct list all;
    struct deliver *deliver;
    struct list waiting; /* jobs, until it is open */
    unsigned users;      /* jobs, and whoever else needs it */
    bool open, mbox;
    uint64_t since_us;
    const char *base, *rest; /* behind the key */
    struct os_dir *base_dir; /* owned unless it is the mail directory */
    struct deliver_folder folder;
    struct os_dir *dir;       /* the Maildir, or the directory of the mbox */
    struct os_dir *tmp, *new; /* of a Maildir */
    struct deliver_volume *volume;
    struct os_dir *volume_dir;
    struct os_stat stat;
    struct os_op ops[8];
    struct os_request request;
    const struct os_op *sync; /* of new, in the present turn; see maildir.c */
    struct deliver_mbox session;
    char text[]; /* the key: kind, base, NUL, rest, NUL */
};

/* The job's message is read: finds or opens its mailbox, and gives the job to it. */
void deliver_box_enter(struct deliver *deliver, struct deliver_job *job);
void deliver_box_close(struct deliver_box *box); /* at the end of the process, whoever uses it */
void deliver_box_hold(struct deliver_box *box);
void deliver_box_release(struct deliver_box *box); /* the last one closes and frees it */

#endif
