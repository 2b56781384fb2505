#include "deliver/folder.h"

#include <assert.h>
#include <string.h>

#define FOLDER_MODE 0700

static void on_done(void *ctx);

/* What is there may have been made by somebody who ended before its name was durable: so it is synced each time. */
static void submit(struct deliver_folder *f, bool making)
{
    struct os_op *make = &f->ops[0], *open = &f->ops[1], *sync = &f->ops[2];
    *make = (struct os_op){ .kind = OS_MAKE_DIR, .dir = f->at, .name = f->part, .mode = FOLDER_MODE };
    *open = (struct os_op){ .kind = OS_OPEN_DIR, .dir = f->at, .name = f->part, .opened_dir = &f->next };
    *sync = (struct os_op){ .kind = OS_SYNC_DIR, .dir = f->at, .after = open };
    f->making = making;
    f->request = (struct os_request){ making ? make : open, making ? 3 : 2, on_done, f, NULL };
    os_submit(f->queue, &f->request);
}

static void next_part(struct deliver_folder *f)
{
    struct view part;
    bool last;
    bool good = deliver_place_part(&f->rest, &part, &last);
    assert(good);
    memcpy(f->part, part.at, part.len);
    f->part[part.len] = '\0';
    submit(f, false);
}

static void leave(struct deliver_folder *f)
{
    if (f->at && f->at != f->base)
        os_dir_close(f->at);
    f->at = NULL;
}

/* Somebody else may have made it just now: that is as good. */
static enum os_status outcome(const struct deliver_folder *f)
{
    const struct os_op *make = &f->ops[0], *open = &f->ops[1], *sync = &f->ops[2];
    if (f->making && make->status != OS_OK && make->status != OS_EXISTS)
        return make->status;
    return open->status != OS_OK ? open->status : sync->status;
}

static void on_done(void *ctx)
{
    struct deliver_folder *f = ctx;
    enum os_status status = outcome(f);
    if (status == OS_NOT_FOUND && !f->making) {
        submit(f, true);
        return;
    }
    leave(f);
    f->at = f->next;
    f->next = NULL;
    if (status == OS_OK && f->rest.len) {
        next_part(f);
        return;
    }
    if (status != OS_OK && f->at) {
        os_dir_close(f->at);
        f->at = NULL;
    }
    struct os_dir *dir = f->at;
    f->at = NULL;
    f->done(f->ctx, dir, status);
}

void deliver_folder_open(struct deliver_folder *f, struct os_queue *queue, struct os_dir *base, struct view rest,
                         void (*done)(void *ctx, struct os_dir *dir, enum os_status status), void *ctx)
{
    *f = (struct deliver_folder){ .queue = queue, .base = base, .at = base, .rest = rest, .done = done, .ctx = ctx };
    next_part(f);
}

void deliver_folder_close(struct deliver_folder *f)
{
    if (f->next)
        os_dir_close(f->next);
    leave(f);
}
