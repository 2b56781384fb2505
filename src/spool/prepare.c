/* New segments for the writers and the log. A file is made ready in free/ - header written and synced - and only then
 * gets its name in segments/. Files that were written before are kept there, because writing into them again costs one
 * sync where a file that grows or was merely allocated costs two. */
#include <stdlib.h>
#include <string.h>

#include "spool/store_inner.h"

#define STOCK_WANTED 1 /* files filled ahead of need */

static void fill_ahead(struct spool_store *store);

void prepare_stock(struct spool_store *store, uint64_t number)
{
    if (!set_add(&store->stock, number)) {
        char name[SEGMENT_NAME_SIZE];
        segment_name(name, number);
        struct os_op op = { .kind = OS_UNLINK, .dir = store->free_dir, .name = name };
        os_run_ops(store->os, &op, 1);
    }
}

/* ---- one segment ---- */

static void hand_over(struct spool_store *store, struct segment *segment, struct os_file *file)
{
    const struct segment_header *header = &segment->header;
    if (header->kind != SPOOL_LOG) {
        store->owner.segment(store->owner.ctx, header->kind, header->number, header->nonce, header->size, file);
        return;
    }
    struct journal_segment *own = journal_segment_new(header->number, header->nonce, header->size, file);
    if (own)
        journal_give(&store->journal, own);
    else
        os_file_close(file);
}

static void say_no_space(struct spool_store *store, enum os_status status)
{
    if (!store->said_no_space)
        store_alarm(store, "no new segment can be made in the spool: %s", os_status_text(status));
    store->said_no_space = true;
}

/* Whatever name the file has now, it goes; the attempt is made again later. */
static void clear_away(struct spool_store *store, const struct job *job)
{
    struct os_op ops[2] = { { .kind = OS_UNLINK, .dir = store->free_dir, .name = job->name },
                            { .kind = OS_UNLINK, .dir = store->segments_dir, .name = job->to_name } };
    os_run_ops(store->os, ops, 2);
}

static void prepared(struct job *job, bool ok)
{
    struct spool_store *store = job->store;
    store->preparing = false;
    struct segment_header header = { .number = job->number,
                                     .nonce = job->nonce,
                                     .kind = job->kind,
                                     .size = job->kind == SPOOL_LARGE ? 0 : store->limits.segment_size };
    struct segment *segment = ok ? store_add_segment(store, &header) : NULL;
    if (segment) {
        struct os_file *file = job->file;
        job->file = NULL;
        store->said_no_space = false;
        hand_over(store, segment, file);
        prepare_next(store);
        return;
    }
    if (job->ops[1].status == OS_UNSUPPORTED)
        store->no_allocate = true;
    else
        say_no_space(store, job_status(job));
    clear_away(store, job);
    store->owed[job->kind]++;
    store_retry_later(store);
}

static bool put_header(struct spool_store *store, struct job *job, struct os_op *op)
{
    struct segment_header header = { .number = job->number,
                                     .nonce = job->nonce,
                                     .kind = job->kind,
                                     .size = job->kind == SPOOL_LARGE ? 0 : store->limits.segment_size,
                                     .created_us = os_wall_us(store->os) };
    memcpy(header.spool_id, store->marker.id, SPOOL_ID_SIZE);
    job->memory = malloc(DATA_START);
    if (!job->memory)
        return false;
    segment_header_put(job->memory, &header);
    job->slices[0] = (struct os_slice){ job->memory, DATA_START };
    op->slices = job->slices;
    op->slice_count = 1;
    return true;
}

static void names_of(struct spool_store *store, struct job *job)
{
    uint64_t from = job->number;
    job->stock = job->kind != SPOOL_LARGE && store->stock.count;
    if (job->stock) {
        from = store->stock.at[0];
        set_remove(&store->stock, from);
    }
    segment_name(job->name, from);
    segment_name(job->to_name, job->number);
}

static bool build(struct spool_store *store, struct job *job)
{
    names_of(store, job);
    struct os_op *op = job_op(job, OS_OPEN);
    op->dir = store->free_dir;
    op->name = job->name;
    op->mode = FILE_MODE;
    op->flags = OS_FOR_WRITE | OS_NO_FOLLOW | (job->stock ? 0 : OS_CREATE | OS_TRUNCATED);
    if (!job->stock && job->kind != SPOOL_LARGE) {
        op = job_op(job, store->no_allocate ? OS_FILL : OS_ALLOCATE);
        op->offset = store->no_allocate ? 0 : store->limits.segment_size;
        op->len = store->limits.segment_size;
    }
    if (!put_header(store, job, job_op(job, OS_COMMIT)))
        return false;
    op = job_op(job, OS_RENAME);
    op->dir = store->free_dir;
    op->name = job->name;
    op->to_dir = store->segments_dir;
    op->to_name = job->to_name;
    job_op(job, OS_SYNC_DIR)->dir = store->segments_dir;
    job_op(job, OS_SYNC_DIR)->dir = store->free_dir;
    return true;
}

static void prepare(struct spool_store *store, enum spool_kind kind)
{
    uint64_t number, nonce;
    if (!os_random(store->os, &nonce, sizeof(nonce)) || !store_take_number(store, &number))
        return;
    struct job *job = job_new(store, prepared);
    if (!job) {
        store_retry_later(store);
        return;
    }
    job->kind = kind;
    job->number = number;
    job->nonce = nonce;
    if (!build(store, job)) {
        free(job);
        store_retry_later(store);
        return;
    }
    store->owed[kind]--;
    store->preparing = true;
    job_submit(job, store->names_queue);
}

/* Mail must leave room on the disk; the log need not: without it nothing could be forgotten, and no room be made. */
static bool has_room(struct spool_store *store)
{
    uint64_t bytes, files;
    if (os_disk_free(store->dir, &bytes, &files) != OS_OK || bytes >= store->limits.disk_free_min)
        return true;
    if (!store->said_no_space)
        store_alarm(store, "no new segment is made in the spool: only %zu MiB are free on its disk",
                    (size_t)(bytes >> 20));
    store->said_no_space = true;
    store_retry_later(store);
    return false;
}

/* One at a time. The log first. */
void prepare_next(struct spool_store *store)
{
    static const enum spool_kind order[] = { SPOOL_LOG, SPOOL_MAIL, SPOOL_LARGE };
    if (store->closing)
        return;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && !store->preparing; i++)
        if (store->owed[order[i]] && (order[i] == SPOOL_LOG || has_room(store)))
            prepare(store, order[i]);
    if (!store->preparing && !store->opening)
        fill_ahead(store);
}

/* ---- files ahead of need ---- */

static void filled(struct job *job, bool ok)
{
    struct spool_store *store = job->store;
    store->filling = false;
    if (ok) {
        prepare_stock(store, job->number);
        return;
    }
    struct os_op op = { .kind = OS_UNLINK, .dir = store->free_dir, .name = job->name };
    os_run_ops(store->os, &op, 1);
    store->fill_refused = true; /* it was only for speed: tried again with the next tick */
}

static void fill_ahead(struct spool_store *store)
{
    uint64_t number;
    if (store->filling || store->fill_refused || store->limits.free_max == 0 || store->stock.count >= STOCK_WANTED ||
        !has_room(store) || !store_take_number(store, &number))
        return;
    struct job *job = job_new(store, filled);
    if (!job)
        return;
    job->number = number;
    segment_name(job->name, number);
    struct os_op *op = job_op(job, OS_OPEN);
    op->dir = store->free_dir;
    op->name = job->name;
    op->mode = FILE_MODE;
    op->flags = OS_FOR_WRITE | OS_CREATE | OS_TRUNCATED | OS_NO_FOLLOW;
    op = job_op(job, OS_FILL);
    op->len = store->limits.segment_size;
    job_op(job, OS_CLOSE);
    store->filling = true;
    job_submit(job, store->fill_queue);
}
