#include "deliver/mbox.h"

#include "deliver/box.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCK_MODE    0644
#define PAUSE_US_MIN 100000
#define PAUSE_US_MAX 1000000

/* What we write into NAME.lock. Whoever holds the fcntl lock and finds it knows that its maker is dead, since that one
 * held the fcntl lock as long as it lived. */
#define LOCK_TEXT "gonets\n"

static void start(struct deliver_mbox *mbox);
static void write_some(struct deliver_mbox *mbox);

static struct deliver_job *job_of(struct list *link)
{
    return list_entry(link, struct deliver_job, link);
}

void deliver_mbox_init(struct deliver_mbox *mbox, struct deliver_box *box, const char *name)
{
    *mbox = (struct deliver_mbox){ .box = box, .name = name };
    snprintf(mbox->lock_name, sizeof mbox->lock_name, "%s.lock", name);
    list_init(&mbox->waiting);
    list_init(&mbox->taken);
    list_init(&mbox->written);
}

static void on_request(void *ctx)
{
    struct deliver_mbox *mbox = ctx;
    mbox->next(mbox);
}

static void submit(struct deliver_mbox *mbox, size_t count, void (*next)(struct deliver_mbox *mbox))
{
    mbox->next = next;
    mbox->request = (struct os_request){ mbox->ops, count, on_request, mbox, NULL };
    os_submit(mbox->box->deliver->reader, &mbox->request);
}

/* ---- the end: locks go, and what then ---- */

static void report_all(struct deliver_mbox *mbox, struct list *jobs, enum os_status status, const char *act)
{
    for (struct list *link; (link = list_pop(jobs));) {
        struct deliver_job *job = job_of(link);
        if (status == OS_OK)
            deliver_result_set(&job->result, IPC_DELIVERED, 250, 0, 0, "delivered to mbox %s%s%s", job->base,
                               *job->base ? "/" : "", job->rest);
        else
            deliver_result_trouble(&job->result, status, act, job->base, job->rest);
        deliver_done(mbox->box->deliver, job);
    }
}

static void report_untried(struct deliver_mbox *mbox)
{
    for (struct list *link; (link = list_pop(&mbox->waiting));)
        deliver_done(mbox->box->deliver, job_of(link));
}

static void rest(struct deliver_mbox *mbox)
{
    mbox->next = NULL;
    mbox->first_try_us = mbox->pause_us = 0;
    deliver_box_release(mbox->box);
}

static void pause_or_give_up(struct deliver_mbox *mbox)
{
    struct deliver *deliver = mbox->box->deliver;
    uint64_t now = os_now_us(deliver->os);
    mbox->retry = false;
    mbox->next = NULL;
    mbox->pause_us = mbox->pause_us ? 2 * mbox->pause_us : PAUSE_US_MIN;
    if (mbox->pause_us > PAUSE_US_MAX)
        mbox->pause_us = PAUSE_US_MAX;
    if (deliver->stopping)
        report_untried(mbox);
    else if (now - mbox->first_try_us > DELIVER_MBOX_LOCK_US_MAX)
        report_all(mbox, &mbox->waiting, OS_LOCKED, "lock");
    else if (!heap_set(&deliver->timers, &mbox->timer, now + mbox->pause_us))
        report_all(mbox, &mbox->waiting, OS_NO_MEMORY, "lock");
    deliver_arm(deliver);
    if (list_empty(&mbox->waiting))
        rest(mbox);
}

static void on_released(struct deliver_mbox *mbox)
{
    mbox->locked = false;
    if (mbox->retry) {
        pause_or_give_up(mbox);
        return;
    }
    mbox->first_try_us = mbox->pause_us = 0;
    if (mbox->box->deliver->stopping)
        report_untried(mbox);
    if (list_empty(&mbox->waiting))
        rest(mbox);
    else
        start(mbox);
}

/* NAME.lock goes before the fcntl lock: see LOCK_TEXT. */
static void release(struct deliver_mbox *mbox)
{
    size_t count = 0;
    list_move_all(&mbox->taken, &mbox->waiting);
    list_move_all(&mbox->waiting, &mbox->taken);
    if (mbox->locked)
        mbox->ops[count++] = (struct os_op){ .kind = OS_UNLINK, .dir = mbox->box->dir, .name = mbox->lock_name };
    mbox->ops[count++] = (struct os_op){ .kind = OS_CLOSE, .file = &mbox->file };
    submit(mbox, count, on_released);
}

static void try_again(struct deliver_mbox *mbox)
{
    mbox->retry = true;
    release(mbox);
}

static void give_up(struct deliver_mbox *mbox, enum os_status status, const char *act)
{
    report_all(mbox, &mbox->waiting, status, act);
    release(mbox);
}

/* ---- bytes are in the file ---- */

static void on_undone(struct deliver_mbox *mbox)
{
    report_all(mbox, &mbox->written, OS_IO, "make durable");
    release(mbox);
}

static void on_synced(struct deliver_mbox *mbox)
{
    bool named = mbox->old_size || mbox->ops[2].status == OS_OK;
    if (mbox->ops[1].status == OS_OK && named) {
        report_all(mbox, &mbox->written, OS_OK, NULL);
        release(mbox);
        return;
    }
    mbox->ops[0] = (struct os_op){ .kind = OS_TRUNCATE, .file = &mbox->file, .offset = mbox->old_size };
    mbox->ops[1] = (struct os_op){ .kind = OS_SYNC, .file = &mbox->file };
    submit(mbox, 2, on_undone);
}

/* Whoever made an empty file may not have lived to make its name durable.
 * The file looks read before it was written: that is how shells find that there is new mail. */
static void sync_all(struct deliver_mbox *mbox)
{
    uint64_t before = os_wall_us(mbox->box->deliver->os) - 1000000;
    uint64_t accessed = mbox->stat.accessed_us < before ? mbox->stat.accessed_us : before;
    mbox->ops[0] = (struct os_op){ .kind = OS_SET_TIMES, .file = &mbox->file, .time = { accessed, OS_NEVER } };
    mbox->ops[1] = (struct os_op){ .kind = OS_SYNC, .file = &mbox->file };
    mbox->ops[2] = (struct os_op){ .kind = OS_SYNC_DIR, .dir = mbox->box->dir };
    submit(mbox, mbox->old_size ? 2 : 3, on_synced);
}

static void cut(struct deliver_mbox *mbox)
{
    mbox->ops[0] = (struct os_op){ .kind = OS_TRUNCATE, .file = &mbox->file, .offset = mbox->end };
    submit(mbox, 1, sync_all);
}

/* The first of `taken` has failed; those behind it are tried again. */
static void first_failed(struct deliver_mbox *mbox)
{
    deliver_done(mbox->box->deliver, job_of(list_pop(&mbox->taken)));
    cut(mbox);
}

static void first_written(struct deliver_mbox *mbox, uint64_t end)
{
    struct list *link = list_pop(&mbox->taken);
    job_of(link)->start = mbox->end;
    job_of(link)->size = end - mbox->end;
    list_append(&mbox->written, link);
    mbox->end = end;
}

static void on_copied(void *ctx)
{
    struct deliver_mbox *mbox = ctx;
    struct deliver_job *job = job_of(mbox->taken.next);
    if (deliver_copy_good(job->copy)) {
        first_written(mbox, job->copy->offset);
        write_some(mbox);
        return;
    }
    deliver_copy_failed(mbox->box->deliver, job);
    first_failed(mbox);
}

static void copy_large(struct deliver_mbox *mbox, struct deliver_job *job)
{
    struct deliver *deliver = mbox->box->deliver;
    job->copy = calloc(1, sizeof *job->copy);
    if (job->copy && deliver_copy_start(job->copy, deliver->reader, &job->letter, job->content, &mbox->file, mbox->end,
                                        os_wall_us(deliver->os), on_copied, mbox))
        return;
    deliver_result_trouble(&job->result, OS_NO_MEMORY, "write to", job->base, job->rest);
    first_failed(mbox);
}

static void on_written(struct deliver_mbox *mbox)
{
    for (size_t i = 0; i < mbox->request.count; i++) {
        struct deliver_job *job = job_of(mbox->taken.next);
        if (mbox->ops[i].status != OS_OK) {
            deliver_result_trouble(&job->result, mbox->ops[i].status, "write to", job->base, job->rest);
            first_failed(mbox);
            return;
        }
        first_written(mbox, mbox->ops[i].offset + mbox->slices[i].len);
    }
    write_some(mbox);
}

/* Small messages that follow each other go with one request, a large one by itself. */
static void write_some(struct deliver_mbox *mbox)
{
    size_t count = 0;
    uint64_t at = mbox->end;
    list_each(link, &mbox->taken)
    {
        struct deliver_job *job = job_of(link);
        if (!job->letter.text)
            break;
        mbox->slices[count] = (struct os_slice){ job->letter.text, job->letter.text_len };
        mbox->ops[count] = (struct os_op){ .kind = OS_WRITE,
                                           .file = &mbox->file,
                                           .offset = at,
                                           .slices = &mbox->slices[count],
                                           .slice_count = 1,
                                           .after = count ? &mbox->ops[count - 1] : NULL };
        at += job->letter.text_len;
        count++;
    }
    if (count)
        submit(mbox, count, on_written);
    else if (!list_empty(&mbox->taken))
        copy_large(mbox, job_of(mbox->taken.next));
    else
        sync_all(mbox);
}

/* ---- the file is ours ---- */

static void on_led(struct deliver_mbox *mbox)
{
    if (mbox->ops[0].status != OS_OK) {
        report_all(mbox, &mbox->taken, mbox->ops[0].status, "write to");
        cut(mbox);
        return;
    }
    mbox->end += mbox->slices[0].len;
    write_some(mbox);
}

/* A last message that was torn by a crash, or left without its empty line, must not run into ours. */
static void on_tail(struct deliver_mbox *mbox)
{
    if (mbox->ops[0].status != OS_OK) {
        give_up(mbox, mbox->ops[0].status, "read");
        return;
    }
    for (unsigned n = 0; n < DELIVER_MBOX_JOBS_MAX && !list_empty(&mbox->waiting); n++)
        list_append(&mbox->taken, list_pop(&mbox->waiting));
    bool line = mbox->tail[1] == '\n', empty_line = line && mbox->tail[0] == '\n';
    if (empty_line) {
        write_some(mbox);
        return;
    }
    mbox->slices[0] = (struct os_slice){ "\n\n", line ? 1 : 2 };
    mbox->ops[0] = (struct os_op){
        .kind = OS_WRITE, .file = &mbox->file, .offset = mbox->end, .slices = mbox->slices, .slice_count = 1
    };
    submit(mbox, 1, on_led);
}

static void read_tail(struct deliver_mbox *mbox)
{
    size_t len = mbox->stat.size < 2 ? (size_t)mbox->stat.size : 2;
    mbox->old_size = mbox->end = mbox->stat.size;
    memset(mbox->tail, '\n', sizeof mbox->tail);
    mbox->ops[0] = (struct os_op){
        .kind = OS_READ, .file = &mbox->file, .offset = mbox->end - len, .buf = mbox->tail + 2 - len, .len = len
    };
    if (len == 0)
        mbox->ops[0] = (struct os_op){ .kind = OS_STAT, .file = &mbox->file, .stat = &mbox->stat };
    submit(mbox, 1, on_tail);
}

static bool is_owners(const struct deliver_mbox *mbox)
{
    uint32_t owner = job_of(mbox->waiting.next)->owner;
    return owner == DELIVER_ANY_USER || owner == mbox->stat.user;
}

static void on_checked(struct deliver_mbox *mbox)
{
    const struct os_stat *file = &mbox->stat, *name = &mbox->name_stat;
    if (mbox->ops[0].status != OS_OK)
        give_up(mbox, mbox->ops[0].status, "open");
    else if (mbox->ops[1].status != OS_OK || file->inode != name->inode || file->device != name->device)
        try_again(mbox); /* somebody has put another file there */
    else if (!file->regular || file->links != 1 || !is_owners(mbox))
        give_up(mbox, OS_DENIED, "trust the file");
    else
        read_tail(mbox);
}

static void check(struct deliver_mbox *mbox)
{
    mbox->ops[0] = (struct os_op){ .kind = OS_STAT, .file = &mbox->file, .stat = &mbox->stat };
    mbox->ops[1] =
        (struct os_op){ .kind = OS_STAT, .dir = mbox->box->dir, .name = mbox->name, .stat = &mbox->name_stat };
    submit(mbox, 2, on_checked);
}

/* ---- locks ---- */

/* The stale lock is gone, or somebody else was quicker; both are seen at the next try. */
static void on_lock_seen(struct deliver_mbox *mbox)
{
    const struct os_op *open = &mbox->ops[0], *read = &mbox->ops[1], *stat = &mbox->ops[2];
    uint64_t now = os_wall_us(mbox->box->deliver->os), made = mbox->lock_stat.modified_us;
    bool ours = open->status == OS_OK && read->status == OS_OK &&
                view_equal((struct view){ mbox->lock_text, (size_t)read->value }, VIEW(LOCK_TEXT));
    bool old = stat->status == OS_OK && now > made && now - made > DELIVER_MBOX_LOCK_STALE_US;
    if (!ours && !old) {
        try_again(mbox);
        return;
    }
    mbox->ops[0] = (struct os_op){ .kind = OS_UNLINK, .dir = mbox->box->dir, .name = mbox->lock_name };
    submit(mbox, 1, try_again);
}

static void look_at_lock(struct deliver_mbox *mbox)
{
    struct os_op *open = &mbox->ops[0];
    *open = (struct os_op){ .kind = OS_OPEN, .dir = mbox->box->dir, .name = mbox->lock_name, .file = &mbox->lock };
    open->flags = OS_FOR_READ | OS_NO_FOLLOW;
    mbox->ops[1] =
        (struct os_op){ .kind = OS_READ, .file = &mbox->lock, .buf = mbox->lock_text, .len = sizeof mbox->lock_text };
    mbox->ops[2] =
        (struct os_op){ .kind = OS_STAT, .dir = mbox->box->dir, .name = mbox->lock_name, .stat = &mbox->lock_stat };
    mbox->ops[3] = (struct os_op){ .kind = OS_CLOSE, .file = &mbox->lock };
    submit(mbox, 4, on_lock_seen);
}

static void on_created(struct deliver_mbox *mbox)
{
    const struct os_op *open = &mbox->ops[0];
    if (open->status == OS_OK || open->status == OS_EXISTS)
        start(mbox);
    else
        give_up(mbox, open->status, "create");
}

static void create(struct deliver_mbox *mbox)
{
    struct os_op *open = &mbox->ops[0];
    *open = (struct os_op){ .kind = OS_OPEN, .dir = mbox->box->dir, .name = mbox->name, .file = &mbox->file };
    open->flags = OS_FOR_WRITE | OS_CREATE | OS_EXCLUSIVE | OS_NO_FOLLOW;
    open->mode = mbox->box->deliver->settings.mbox_mode;
    mbox->ops[1] = (struct os_op){ .kind = OS_CLOSE, .file = &mbox->file };
    submit(mbox, 2, on_created);
}

static void on_opened(struct deliver_mbox *mbox)
{
    enum os_status open = mbox->ops[0].status, range = mbox->ops[1].status, lock = mbox->ops[2].status;
    mbox->locked = lock == OS_OK;
    if (open == OS_NOT_FOUND)
        create(mbox);
    else if (open != OS_OK)
        give_up(mbox, open, "open");
    else if (range == OS_LOCKED)
        try_again(mbox);
    else if (range != OS_OK)
        give_up(mbox, range, "lock");
    else if (lock == OS_EXISTS)
        look_at_lock(mbox);
    else if (lock == OS_OK || lock == OS_DENIED || lock == OS_READ_ONLY)
        check(mbox); /* without NAME.lock where we cannot make it: then nobody else can, who is not above us */
    else
        give_up(mbox, lock, "lock");
}

static void start(struct deliver_mbox *mbox)
{
    static const struct os_slice lock_text = { LOCK_TEXT, sizeof LOCK_TEXT - 1 };
    struct os_dir *dir = mbox->box->dir;
    struct os_op *ops = mbox->ops;
    if (!mbox->first_try_us)
        mbox->first_try_us = os_now_us(mbox->box->deliver->os);
    ops[0] = (struct os_op){ .kind = OS_OPEN, .dir = dir, .name = mbox->name, .file = &mbox->file };
    ops[0].flags = OS_FOR_READ | OS_FOR_WRITE | OS_NO_FOLLOW;
    ops[1] = (struct os_op){ .kind = OS_LOCK_RANGE, .file = &mbox->file };
    ops[2] = (struct os_op){ .kind = OS_OPEN, .dir = dir, .name = mbox->lock_name, .file = &mbox->lock };
    ops[2].flags = OS_FOR_WRITE | OS_CREATE | OS_EXCLUSIVE | OS_NO_FOLLOW;
    ops[2].mode = LOCK_MODE;
    ops[2].after = &ops[1];
    ops[3] = (struct os_op){ .kind = OS_WRITE, .file = &mbox->lock, .slices = &lock_text, .slice_count = 1 };
    ops[4] = (struct os_op){ .kind = OS_CLOSE, .file = &mbox->lock };
    submit(mbox, 5, on_opened);
}

/* ---- from outside ---- */

void deliver_mbox_add(struct deliver_box *box, struct deliver_job *job)
{
    struct deliver_mbox *mbox = &box->session;
    bool idle = !mbox->next && list_empty(&mbox->waiting);
    list_append(&mbox->waiting, &job->link);
    if (!idle)
        return;
    deliver_box_hold(box);
    start(mbox);
}

void deliver_mbox_timer(struct deliver_mbox *mbox)
{
    start(mbox);
}

void deliver_mbox_stop(struct deliver_mbox *mbox)
{
    report_untried(mbox);
    rest(mbox);
}

void deliver_mbox_close(struct deliver_mbox *mbox)
{
    if (mbox->file)
        os_file_close(mbox->file);
    if (mbox->lock)
        os_file_close(mbox->lock);
    heap_remove(&mbox->box->deliver->timers, &mbox->timer);
}
