#include "deliver/maildir.h"

#include "deliver/box.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_MODE   0600
#define OPS_PER_JOB 4 /* open, write, sync, close */
#define OPS_MAX     ((size_t)3 * DELIVER_TURN_JOBS_MAX * OPS_PER_JOB + DELIVER_VOLUMES_MAX)

static struct deliver_job *job_of(struct list *link)
{
    return list_entry(link, struct deliver_job, link);
}

bool deliver_maildir_init(struct deliver_maildir *m, struct deliver *deliver)
{
    *m = (struct deliver_maildir){ .deliver = deliver };
    struct list *lists[] = { &m->ready, &m->durable, &m->spoiled, &m->writing, &m->linking, &m->undoing };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
    return os_random(deliver->os, &m->random, sizeof m->random);
}

void deliver_maildir_free(struct deliver_maildir *m)
{
    for (size_t i = 0; i < m->volume_count; i++)
        os_dir_close(m->volumes[i].dir);
    free(m->ops);
}

struct deliver_volume *deliver_maildir_volume(struct deliver_maildir *m, uint64_t device, struct os_dir **dir)
{
    for (size_t i = 0; i < m->volume_count; i++)
        if (m->volumes[i].device == device)
            return &m->volumes[i];
    if (m->volume_count == DELIVER_VOLUMES_MAX)
        return NULL;
    struct deliver_volume *volume = &m->volumes[m->volume_count++];
    *volume = (struct deliver_volume){ .device = device, .dir = *dir };
    *dir = NULL;
    return volume;
}

/* ---- names ---- */

static void base36(uint32_t number, char text[8])
{
    char digits[8];
    size_t count = 0;
    do
        digits[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
    while (number /= 36);
    for (size_t i = 0; i < count; i++)
        text[i] = digits[count - 1 - i];
    text[count] = '\0';
}

/* <seconds>.<id><recipient>.<host>: the time is that of the id, so that every attempt makes the same name; ids are
 * unique whatever the clock does (H152). In new/ the size follows, which saves readers a look at the file. */
static void make_names(struct deliver_maildir *m, struct deliver_job *job)
{
    char id[MAIL_ID_TEXT_SIZE + 1], recipient[8];
    const char *host = m->deliver->hostname;
    unsigned long long seconds = mail_id_time_us(&job->id) / 1000000, serial = ++m->serial, random = m->random;
    mail_id_text(&job->id, id);
    base36(job->recipient, recipient);
    snprintf(job->new_name, sizeof job->new_name, "%llu.%s%s.%s,S=%llu", seconds, id, recipient, host,
             (unsigned long long)job->size);
    if (!job->in_tmp)
        snprintf(job->tmp_name, sizeof job->tmp_name, "%llu.%s%s_%016llx_%llu.%s", seconds, id, recipient, random,
                 serial, host);
}

/* ---- the operations of a turn ---- */

static struct os_op *add_op(struct deliver_maildir *m, const struct os_op *op)
{
    m->ops[m->count] = *op;
    return &m->ops[m->count++];
}

static bool is_singly(const struct deliver_job *job)
{
    return !job->box->volume || job->box->volume->singly;
}

static struct os_op open_tmp(struct deliver_job *job)
{
    return (struct os_op){
        .kind = OS_OPEN,
        .dir = job->box->tmp,
        .name = job->tmp_name,
        .flags = OS_FOR_WRITE | OS_CREATE | OS_EXCLUSIVE | OS_NO_FOLLOW,
        .mode = FILE_MODE,
        .file = &job->file,
    };
}

/* Each operation but the last runs only after the one before it. */
static void add_write_ops(struct deliver_maildir *m, struct deliver_job *job)
{
    const struct os_op *last = NULL;
    job->ops = &m->ops[m->count];
    if (!job->copy) {
        struct os_op open = open_tmp(job);
        job->slice = (struct os_slice){ job->letter.text, job->letter.text_len };
        last = add_op(m, &open);
        last = add_op(
            m, &(struct os_op){
                   .kind = OS_WRITE, .file = &job->file, .slices = &job->slice, .slice_count = 1, .after = last });
    }
    if (is_singly(job))
        add_op(m, &(struct os_op){ .kind = OS_SYNC, .file = &job->file, .after = last });
    add_op(m, &(struct os_op){ .kind = OS_CLOSE, .file = &job->file });
}

static void add_link_ops(struct deliver_maildir *m, struct deliver_job *job)
{
    struct deliver_box *box = job->box;
    const struct os_op *link = add_op(m, &(struct os_op){
                                             .kind = job->replace ? OS_RENAME : OS_LINK,
                                             .dir = box->tmp,
                                             .name = job->tmp_name,
                                             .to_dir = box->new,
                                             .to_name = job->new_name,
                                         });
    job->ops = &m->ops[m->count - 1];
    if (!job->replace)
        add_op(m, &(struct os_op){ .kind = OS_UNLINK, .dir = box->tmp, .name = job->tmp_name, .after = link });
}

static void add_undo_ops(struct deliver_maildir *m, struct deliver_job *job)
{
    add_op(m, &(struct os_op){ .kind = OS_CLOSE, .file = &job->file });
    if (job->in_tmp)
        add_op(m, &(struct os_op){ .kind = OS_UNLINK, .dir = job->box->tmp, .name = job->tmp_name });
    if (job->in_new)
        add_op(m, &(struct os_op){ .kind = OS_UNLINK, .dir = job->box->new, .name = job->new_name });
}

static void add_volume_barriers(struct deliver_maildir *m, const struct list *jobs)
{
    list_each(link, jobs)
    {
        struct deliver_volume *volume = job_of(link)->box->volume;
        if (volume && !volume->singly && !volume->sync)
            volume->sync = add_op(m, &(struct os_op){ .kind = OS_SYNC_FS, .dir = volume->dir });
    }
}

/* The names in new/ where there is no barrier for the whole file system. */
static void add_directory_barriers(struct deliver_maildir *m)
{
    list_each(link, &m->linking)
    {
        struct deliver_box *box = job_of(link)->box;
        if (is_singly(job_of(link)) && !box->sync)
            box->sync = add_op(m, &(struct os_op){ .kind = OS_SYNC_DIR, .dir = box->new });
    }
}

static void take_some(struct list *to, struct list *from)
{
    for (unsigned n = 0; n < DELIVER_TURN_JOBS_MAX && !list_empty(from); n++)
        list_append(to, list_pop(from));
}

static void forget_barriers(struct deliver_maildir *m)
{
    uint64_t now = os_now_us(m->deliver->os);
    for (size_t i = 0; i < m->volume_count; i++) {
        struct deliver_volume *volume = &m->volumes[i];
        volume->singly = volume->unsupported || now < volume->singly_until_us;
        volume->sync = NULL;
    }
    list_each(link, &m->linking) job_of(link)->box->sync = NULL;
}

static void on_turn(void *ctx);

static void turn(struct deliver_maildir *m)
{
    if (m->turning || (list_empty(&m->ready) && list_empty(&m->durable) && list_empty(&m->spoiled)))
        return;
    take_some(&m->linking, &m->durable);
    take_some(&m->undoing, &m->spoiled);
    take_some(&m->writing, &m->ready);
    forget_barriers(m);
    m->count = 0;
    list_each(link, &m->linking) add_link_ops(m, job_of(link));
    list_each(link, &m->undoing) add_undo_ops(m, job_of(link));
    list_each(link, &m->writing) add_write_ops(m, job_of(link));
    add_directory_barriers(m);
    add_volume_barriers(m, &m->linking);
    add_volume_barriers(m, &m->writing);
    m->turning = true;
    m->started_us = os_now_us(m->deliver->os);
    m->request = (struct os_request){ m->ops, m->count, on_turn, m, NULL };
    os_submit(m->deliver->writer, &m->request);
}

/* ---- what came of a turn ---- */

static void spoil(struct deliver_maildir *m, struct deliver_job *job, enum os_status status, const char *act)
{
    deliver_result_trouble(&job->result, status, act, job->base, job->rest);
    list_append(&m->spoiled, &job->link);
}

static enum os_status barrier_status(const struct deliver_job *job)
{
    const struct os_op *sync = is_singly(job) ? job->box->sync : job->box->volume->sync;
    return sync->status;
}

/* There already, or a file system without hard links: then rename, which is safe since the name is this message's. */
static bool wants_rename(enum os_status status)
{
    return status == OS_EXISTS || status == OS_DENIED || status == OS_UNSUPPORTED;
}

static void look_at_linked(struct deliver_maildir *m, struct deliver_job *job)
{
    enum os_status status = job->ops[0].status;
    if (wants_rename(status) && !job->replace) {
        job->replace = true;
        list_append(&m->durable, &job->link);
        return;
    }
    if (status != OS_OK) {
        spoil(m, job, status, "deliver to");
        return;
    }
    job->in_new = true;
    job->in_tmp = !job->replace && job->ops[1].status != OS_OK;
    if (barrier_status(job) != OS_OK) {
        spoil(m, job, barrier_status(job), "make durable");
        return;
    }
    deliver_result_set(&job->result, IPC_DELIVERED, 250, 0, 0, "delivered to maildir %s%s%s as %s", job->base,
                       *job->base ? "/" : "", job->rest, job->new_name);
    deliver_done(m->deliver, job);
}

static enum os_status write_status(const struct deliver_job *job)
{
    size_t count = (job->copy ? 1 : 3) + (is_singly(job) ? 1 : 0);
    for (size_t i = 0; i < count; i++)
        if (job->ops[i].status != OS_OK)
            return job->ops[i].status;
    return OS_OK;
}

static uint64_t failures_of(const struct deliver_job *job)
{
    return job->box->volume ? job->box->volume->failures : 0;
}

/* A barrier failed while it was copied: some of its bytes may be lost although a later sync succeeds. */
static bool has_lost(const struct deliver_job *job)
{
    return job->copy && job->failures != failures_of(job);
}

static void look_at_written(struct deliver_maildir *m, struct deliver_job *job)
{
    enum os_status status = write_status(job);
    job->in_tmp = job->copy || job->ops[0].status == OS_OK;
    if (status != OS_OK)
        spoil(m, job, status, "write to");
    else if (!is_singly(job) && barrier_status(job) != OS_OK)
        spoil(m, job, barrier_status(job), "make durable");
    else if (has_lost(job))
        spoil(m, job, OS_IO, "make durable");
    else
        list_append(&m->durable, &job->link);
}

static void judge_volumes(struct deliver_maildir *m)
{
    uint64_t now = os_now_us(m->deliver->os);
    for (size_t i = 0; i < m->volume_count; i++) {
        struct deliver_volume *volume = &m->volumes[i];
        if (!volume->sync)
            continue;
        if (volume->sync->status == OS_UNSUPPORTED)
            volume->unsupported = true;
        if (volume->sync->status != OS_OK)
            volume->failures++;
        if (volume->sync->status != OS_OK || now - m->started_us > DELIVER_TURN_US_MAX)
            volume->singly_until_us = now + DELIVER_SINGLY_US;
    }
}

static void on_turn(void *ctx)
{
    struct deliver_maildir *m = ctx;
    struct list linked = LIST_INIT(linked), written = LIST_INIT(written), undone = LIST_INIT(undone);
    list_move_all(&linked, &m->linking);
    list_move_all(&written, &m->writing);
    list_move_all(&undone, &m->undoing);
    judge_volumes(m);
    for (struct list *link; (link = list_pop(&linked));)
        look_at_linked(m, job_of(link));
    for (struct list *link; (link = list_pop(&written));)
        look_at_written(m, job_of(link));
    for (struct list *link; (link = list_pop(&undone));)
        deliver_done(m->deliver, job_of(link));
    m->turning = false;
    turn(m);
}

/* ---- coming in ---- */

static void enter(struct deliver_maildir *m, struct deliver_job *job)
{
    make_names(m, job);
    list_append(&m->ready, &job->link);
    turn(m);
}

static void on_copied(void *ctx)
{
    struct deliver_job *job = ctx;
    struct deliver_maildir *m = &job->box->deliver->maildir;
    job->size = job->copy->offset;
    if (deliver_copy_good(job->copy)) {
        enter(m, job);
        return;
    }
    deliver_copy_failed(m->deliver, job);
    list_append(&m->spoiled, &job->link);
    turn(m);
}

static void on_tmp_open(void *ctx)
{
    struct deliver_job *job = ctx;
    struct deliver *deliver = job->box->deliver;
    enum os_status status = job->copy->ops[0].status;
    job->in_tmp = status == OS_OK;
    if (status == OS_OK && !deliver_copy_start(job->copy, deliver->reader, &job->letter, job->content, &job->file, 0,
                                               os_wall_us(deliver->os), on_copied, job))
        status = OS_NO_MEMORY;
    if (status == OS_OK)
        return;
    spoil(&deliver->maildir, job, status, "write to");
    turn(&deliver->maildir);
}

/* A large message is copied to tmp/ before its turn, so that no turn takes long. */
static void start_copy(struct deliver_maildir *m, struct deliver_job *job)
{
    struct deliver_copy *copy = job->copy = calloc(1, sizeof *copy);
    if (!copy) {
        spoil(m, job, OS_NO_MEMORY, "write to");
        turn(m);
        return;
    }
    make_names(m, job);
    job->failures = failures_of(job);
    copy->ops[0] = open_tmp(job);
    copy->request = (struct os_request){ copy->ops, 1, on_tmp_open, job, NULL };
    os_submit(m->deliver->reader, &copy->request);
}

void deliver_maildir_add(struct deliver_maildir *m, struct deliver_job *job)
{
    if (!m->ops && !(m->ops = calloc(OPS_MAX, sizeof *m->ops))) {
        deliver_result_trouble(&job->result, OS_NO_MEMORY, "write to", job->base, job->rest);
        deliver_done(m->deliver, job);
    } else if (job->letter.text) {
        job->size = job->letter.text_len;
        enter(m, job);
    } else {
        start_copy(m, job);
    }
}
