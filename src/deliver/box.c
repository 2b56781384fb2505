#include "deliver/box.h"

#include <stdlib.h>
#include <string.h>

#define FOLDER_MODE 0700

/* ---- life ---- */

static void forget(struct deliver_box *box)
{
    if (box->key.key.at)
        map_remove(&box->deliver->boxes, &box->key);
    box->key.key = VIEW_NONE;
}

void deliver_box_hold(struct deliver_box *box)
{
    box->users++;
}

void deliver_box_release(struct deliver_box *box)
{
    if (--box->users == 0)
        deliver_box_close(box);
}

void deliver_box_close(struct deliver_box *box)
{
    forget(box);
    list_remove(&box->all);
    deliver_folder_close(&box->folder);
    if (box->mbox)
        deliver_mbox_close(&box->session);
    struct os_dir *dirs[] = { box->tmp, box->new, box->volume_dir, box->dir == box->base_dir ? NULL : box->dir };
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        if (dirs[i])
            os_dir_close(dirs[i]);
    if (box->base_dir && box->base_dir != box->deliver->settings.mail_dir)
        os_dir_close(box->base_dir);
    free(box);
}

static void fail_all(struct deliver_box *box, enum os_status status)
{
    deliver_box_hold(box);
    forget(box);
    for (struct list *link; (link = list_pop(&box->waiting));) {
        struct deliver_job *job = list_entry(link, struct deliver_job, link);
        deliver_result_trouble(&job->result, status, "open", job->base, job->rest);
        deliver_done(box->deliver, job);
    }
    deliver_box_release(box);
}

static void give(struct deliver_box *box, struct deliver_job *job)
{
    if (box->mbox)
        deliver_mbox_add(box, job);
    else
        deliver_maildir_add(&box->deliver->maildir, job);
}

static void opened(struct deliver_box *box)
{
    deliver_box_hold(box);
    box->open = true;
    for (struct list *link; (link = list_pop(&box->waiting));)
        give(box, list_entry(link, struct deliver_job, link));
    deliver_box_release(box);
}

/* ---- a Maildir ---- */

enum { MAKE_CUR, MAKE_NEW, MAKE_TMP, SYNC_MADE, OPEN_TMP, OPEN_NEW, OPEN_VOLUME, STAT_NEW };

static enum os_status maildir_status(const struct deliver_box *box)
{
    for (int i = MAKE_CUR; i <= MAKE_TMP; i++)
        if (box->ops[i].status != OS_OK && box->ops[i].status != OS_EXISTS)
            return box->ops[i].status;
    for (int i = SYNC_MADE; i <= STAT_NEW; i++)
        if (box->ops[i].status != OS_OK)
            return box->ops[i].status;
    return OS_OK;
}

static void on_probed(void *ctx)
{
    struct deliver_box *box = ctx;
    box->volume->probed = true;
    box->volume->unsupported = box->ops[0].status == OS_UNSUPPORTED;
    opened(box);
}

static void on_maildir(void *ctx)
{
    struct deliver_box *box = ctx;
    enum os_status status = maildir_status(box);
    if (status != OS_OK) {
        fail_all(box, status);
        return;
    }
    box->volume = deliver_maildir_volume(&box->deliver->maildir, box->stat.device, &box->volume_dir);
    if (!box->volume || box->volume->probed) {
        opened(box);
        return;
    }
    box->ops[0] = (struct os_op){ .kind = OS_SYNC_FS, .dir = box->volume->dir };
    box->request = (struct os_request){ box->ops, 1, on_probed, box, NULL };
    os_submit(box->deliver->reader, &box->request);
}

/* What is there may have been made by somebody who ended before its name was durable: so they are synced each time. */
static void open_maildir(struct deliver_box *box)
{
    static const char *const names[] = { "cur", "new", "tmp" };
    for (int i = 0; i < 3; i++)
        box->ops[i] = (struct os_op){ .kind = OS_MAKE_DIR, .dir = box->dir, .name = names[i], .mode = FOLDER_MODE };
    box->ops[SYNC_MADE] = (struct os_op){ .kind = OS_SYNC_DIR, .dir = box->dir };
    box->ops[OPEN_TMP] = (struct os_op){ .kind = OS_OPEN_DIR, .dir = box->dir, .name = "tmp", .opened_dir = &box->tmp };
    box->ops[OPEN_NEW] = (struct os_op){ .kind = OS_OPEN_DIR, .dir = box->dir, .name = "new", .opened_dir = &box->new };
    box->ops[OPEN_VOLUME] = box->ops[OPEN_NEW];
    box->ops[OPEN_VOLUME].opened_dir = &box->volume_dir;
    box->ops[STAT_NEW] = (struct os_op){ .kind = OS_STAT, .dir = box->dir, .name = "new", .stat = &box->stat };
    box->request = (struct os_request){ box->ops, STAT_NEW + 1, on_maildir, box, NULL };
    os_submit(box->deliver->reader, &box->request);
}

/* ---- both ---- */

static void on_folder(void *ctx, struct os_dir *dir, enum os_status status)
{
    struct deliver_box *box = ctx;
    box->dir = dir;
    if (status != OS_OK)
        fail_all(box, status);
    else if (box->mbox)
        opened(box);
    else
        open_maildir(box);
}

/* Folders are opened one below the other; an mbox's last part is the file. */
static void open_folders(struct deliver_box *box)
{
    struct view rest = view_of(box->rest);
    if (box->mbox) {
        size_t slash = view_find_last(rest, '/');
        rest.len = slash < rest.len ? slash : 0;
    }
    if (rest.len)
        deliver_folder_open(&box->folder, box->deliver->reader, box->base_dir, rest, on_folder, box);
    else
        on_folder(box, box->base_dir, OS_OK);
}

static void open_base(struct deliver_box *box)
{
    enum os_status status = OS_OK;
    if (*box->base)
        box->base_dir = os_dir_path(box->deliver->os, box->base, &status);
    else
        box->base_dir = box->deliver->settings.mail_dir;
    if (box->base_dir)
        open_folders(box);
    else
        fail_all(box, status == OS_OK ? OS_NOT_FOUND : status);
}

static size_t write_key(char *text, const struct deliver_job *job)
{
    size_t base = strlen(job->base) + 1, rest = strlen(job->rest) + 1;
    if (text) {
        text[0] = job->mbox ? 'b' : 'd';
        memcpy(text + 1, job->base, base);
        memcpy(text + 1 + base, job->rest, rest);
    }
    return 1 + base + rest;
}

static struct deliver_box *box_new(struct deliver *deliver, const struct deliver_job *job, struct view key)
{
    struct deliver_box *box = calloc(1, sizeof *box + key.len);
    if (!box)
        return NULL;
    memcpy(box->text, key.at, key.len);
    box->deliver = deliver;
    box->mbox = job->mbox;
    box->since_us = os_now_us(deliver->os);
    box->base = box->text + 1;
    box->rest = box->base + strlen(box->base) + 1;
    list_init(&box->waiting);
    if (box->mbox) {
        size_t slash = view_find_last(view_of(box->rest), '/');
        deliver_mbox_init(&box->session, box, box->rest[slash] ? box->rest + slash + 1 : box->rest);
    }
    box->key.key = (struct view){ box->text, key.len };
    if (map_add(&deliver->boxes, &box->key)) {
        list_append(&deliver->all_boxes, &box->all);
        return box;
    }
    free(box);
    return NULL;
}

static struct deliver_box *find(struct deliver *deliver, struct view key)
{
    struct map_item *item = map_find(&deliver->boxes, key);
    struct deliver_box *box = item ? map_entry(item, struct deliver_box, key) : NULL;
    bool old = box && box->open && !box->mbox && os_now_us(deliver->os) - box->since_us > DELIVER_BOX_US_MAX;
    if (old)
        forget(box);
    return old ? NULL : box;
}

void deliver_box_enter(struct deliver *deliver, struct deliver_job *job)
{
    char text[2 * DELIVER_PATH_MAX + 1];
    struct view key = { text, write_key(text, job) };
    struct deliver_box *found = find(deliver, key);
    struct deliver_box *box = found ? found : box_new(deliver, job, key);
    if (!box) {
        deliver_result_trouble(&job->result, OS_NO_MEMORY, "open", job->base, job->rest);
        deliver_done(deliver, job);
        return;
    }
    job->box = box;
    deliver_box_hold(box);
    if (box->open) {
        give(box, job);
        return;
    }
    list_append(&box->waiting, &job->link);
    if (!found)
        open_base(box);
}
