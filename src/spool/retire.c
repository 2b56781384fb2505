/* Forgetting. The order is what makes it safe (H139, H140): the final events are durable; then the segment's file
 * leaves segments/; then the directories are synced; only then may the events that spoke of it go. */
#include <stdlib.h>

#include "spool/store_inner.h"

static bool annuls_somebody(const struct spool_store *store, const struct segment *segment)
{
    for (size_t i = 0; i < segment->annuls.count; i++) {
        const struct segment *dead = store_find(store, segment->annuls.at[i]);
        if (dead && dead->state != SEGMENT_MOVED && dead->state != SEGMENT_GONE)
            return true;
    }
    return segment->keep;
}

static bool may_leave(const struct spool_store *store, const struct segment *segment)
{
    return segment->state == SEGMENT_SEALED && !segment->reading && segment->walk.pos >= segment->upto &&
           segment->live == 0 && segment->about.count == 0 && !annuls_somebody(store, segment);
}

/* It is certain now that no crash brings it back. */
static void gone(struct spool_store *store, struct segment *segment)
{
    uint64_t number = segment->number;
    for (struct segment *old = NULL; (old = store_next_segment(store, old));)
        if (old->moved_to == segment) {
            store_drop_segment(store, old);
            old = NULL;
        }
    store_drop_segment(store, segment);
    for (struct segment *log = NULL; (log = store_next_segment(store, log));)
        set_remove(&log->about, number);
    store->fill_refused = false;
    store_look_soon(store);
}

static void left(struct job *job, bool ok)
{
    struct spool_store *store = job->store;
    struct segment *segment = job->segment;
    if (!ok) {
        store_alarm(store, "segment %016llx cannot be removed: %s", (unsigned long long)segment->number,
                    os_status_text(job_status(job)));
        /* The name is changed but perhaps not durably, and no later sync would say so: what speaks of it must stay. */
        if (job->ops[0].status == OS_OK)
            return;
        segment->state = SEGMENT_SEALED;
        store_retry_later(store);
        return;
    }
    uint64_t number = segment->number;
    bool moved = segment->moved_to != NULL;
    if (moved) {
        segment->state = job->ops[0].to_dir == store->quarantine_dir ? SEGMENT_MOVED : SEGMENT_GONE;
        store_look_soon(store);
    } else {
        gone(store, segment);
    }
    if (job->stock)
        prepare_stock(store, number);
}

/* to: NULL: unlinked. */
static void leave(struct spool_store *store, struct segment *segment, struct os_dir *to, bool stock)
{
    struct job *job = job_new(store, left);
    if (!job) {
        store_retry_later(store);
        return;
    }
    job->segment = segment;
    job->stock = stock;
    segment_name(job->name, segment->number);
    struct os_op *op = job_op(job, to ? OS_RENAME : OS_UNLINK);
    op->dir = store->segments_dir;
    op->name = job->name;
    op->to_dir = to;
    op->to_name = job->name;
    if (to)
        job_op(job, OS_SYNC_DIR)->dir = to;
    job_op(job, OS_SYNC_DIR)->dir = store->segments_dir;
    store_close_file(store, segment);
    segment->state = SEGMENT_LEAVING;
    job_submit(job, store->names_queue);
}

void retire_to_quarantine(struct spool_store *store, struct segment *segment)
{
    leave(store, segment, store->quarantine_dir, false);
}

static bool goes_to_stock(const struct spool_store *store, const struct segment *segment)
{
    return segment->header.size == store->limits.segment_size && !segment->failed && !segment->unlink &&
           store->stock.count < store->limits.free_max;
}

/* Its messages are elsewhere. Jobs that were given out before may still read here. */
static void retire_moved(struct spool_store *store, struct segment *segment)
{
    bool evacuated = segment->moved_to->header.kind == SPOOL_LARGE;
    if (!evacuated && store->owner.in_use && store->owner.in_use(store->owner.ctx, segment->number)) {
        store_retry_later(store);
        return;
    }
    bool keep = evacuated || segment->damaged, stock = !keep && goes_to_stock(store, segment);
    leave(store, segment, keep ? store->quarantine_dir : stock ? store->free_dir : NULL, stock);
}

void retire_if_done(struct spool_store *store, struct segment *segment)
{
    if (store->opening || store->closing || segment->users)
        return;
    if (segment->state == SEGMENT_SEALED && segment->moved_to) {
        retire_moved(store, segment);
        return;
    }
    if (!may_leave(store, segment))
        return;
    if (segment->damaged) {
        retire_to_quarantine(store, segment);
        return;
    }
    bool stock = goes_to_stock(store, segment);
    leave(store, segment, stock ? store->free_dir : NULL, stock);
}

void retire_all(struct spool_store *store)
{
    for (struct segment *segment = NULL; (segment = store_next_segment(store, segment));)
        retire_if_done(store, segment);
}
