/* The long part of recovery, in slices at the ends of turns: where every segment ends, then all messages, then all
 * events, in the order of segments. Messages of sealed segments come from their footers, which are read off the loop,
 * one ahead; everything else is walked through group by group. */
#include <stdlib.h>

#include "spool/store_inner.h"

#define SLICE 256 /* records in one turn: well under 2 ms */

enum phase { FIND_ENDS, MESSAGES, EVENTS };

/* A footer on its way into memory, or there. */
struct footer {
    struct segment *segment; /* NULL: none */
    char *memory;            /* NULL: still being read, or it could not be */
    bool busy;
};

struct replay {
    struct spool_store *store;
    struct os_task task;
    enum phase phase;
    struct segment **all; /* in order: those that were there at the start */
    size_t count, at;
    struct footer footers[2]; /* of all[at] and the one after it */
    /* the segment at hand */
    bool begun, walking;
    struct view rest; /* of its footer */
    struct source source;
};

static void go_on(struct replay *replay)
{
    os_later(replay->store->os, &replay->task);
}

static struct segment *at_hand(const struct replay *replay)
{
    return replay->all[replay->at];
}

static bool is_log(const struct segment *segment)
{
    return segment->header.kind == SPOOL_LOG;
}

/* ---- the end ---- */

static void refuse(struct replay *replay, const char *text)
{
    char memory[256];
    struct buffer error = BUFFER_OF(memory);
    struct spool_store *store = replay->store;
    buffer_addf(&error, "segments/%016llx %s", (unsigned long long)at_hand(replay)->number, text);
    store->owner.opened(store->owner.ctx, false, buffer_view(&error));
}

/* A segment that cannot be read now must not look like an empty one, and its messages must not come after their events:
 * better no start than a wrong one. */
static void refuse_unreadable(struct replay *replay)
{
    refuse(replay, "cannot be read; to go on without it, move it out of the spool");
}

void replay_free(struct spool_store *store)
{
    struct replay *replay = store->replay;
    store->replay = NULL;
    if (!replay)
        return;
    for (int i = 0; i < 2; i++)
        free(replay->footers[i].memory);
    source_free(&replay->source);
    free(replay->all);
    free(replay);
}

bool replay_waits(const struct spool_store *store)
{
    return store->replay && store->replay->task.waiting;
}

static void all_done(struct replay *replay)
{
    struct spool_store *store = replay->store;
    store->opening = false;
    replay_free(store);
    store->owner.opened(store->owner.ctx, true, VIEW_NONE);
    for (struct segment *segment = NULL; (segment = store_next_segment(store, segment));)
        if (segment->walk.pos < segment->upto)
            frontier_read(store, segment);
    store_look_soon(store);
}

/* ---- footers ---- */

static struct footer *slot_of(struct replay *replay, size_t at)
{
    return &replay->footers[at % 2];
}

static void footer_loaded(struct job *job, bool ok)
{
    struct replay *replay = job->store->replay;
    for (int i = 0; i < 2; i++) {
        struct footer *footer = &replay->footers[i];
        if (footer->segment != job->segment || !footer->busy)
            continue;
        footer->busy = false;
        if (ok && job->ops[1].value == job->ops[1].len) {
            footer->memory = job->memory;
            job->memory = NULL;
        }
    }
    go_on(replay);
}

/* Not of what is annulled, and not of what was found to be shorter than its seal says. */
static bool has_footer(const struct segment *segment)
{
    return segment->sealed && segment->seal.footer && segment->upto == segment->seal.end;
}

static void load_footer(struct replay *replay, size_t at)
{
    struct segment *segment = at < replay->count ? replay->all[at] : NULL;
    struct footer *footer = slot_of(replay, at);
    if (!segment || footer->segment == segment)
        return;
    *footer = (struct footer){ .segment = segment };
    struct job *job = has_footer(segment) ? job_new(replay->store, footer_loaded) : NULL;
    if (!job)
        return;
    job->memory = malloc(segment->seal.footer_size + 1);
    if (!job->memory) {
        free(job);
        return;
    }
    job->segment = segment;
    segment_name(job->name, segment->number);
    struct os_op *op = job_op(job, OS_OPEN);
    op->dir = replay->store->segments_dir;
    op->name = job->name;
    op->flags = OS_FOR_READ | OS_NO_FOLLOW;
    op = job_op(job, OS_READ);
    op->offset = segment->seal.end;
    op->buf = job->memory;
    op->len = segment->seal.footer_size;
    footer->busy = true;
    job_submit(job, replay->store->read_queue);
}

/* ---- one segment ---- */

static bool start_walking(struct replay *replay)
{
    struct segment *segment = at_hand(replay);
    struct os_file *file = store_open_segment(replay->store, segment);
    if (!file)
        return false;
    walk_init(&segment->walk, segment->number, segment->header.nonce, DATA_START, segment->upto);
    segment->walk.skip_content = true;
    source_init(&replay->source, replay->store->os, file);
    replay->walking = true;
    return true;
}

/* False: its footer is still being read. */
static bool find_footer(struct replay *replay, bool *sound)
{
    struct segment *segment = at_hand(replay);
    struct footer *footer = slot_of(replay, replay->at);
    load_footer(replay, replay->at);
    if (footer->busy)
        return false;
    load_footer(replay, replay->at + 1);
    replay->rest = (struct view){ footer->memory, segment->seal.footer_size };
    *sound = footer->memory && footer_is_sound(segment, replay->rest);
    return true;
}

/* False: not now. */
static bool begin_segment(struct replay *replay)
{
    struct segment *segment = at_hand(replay);
    bool sound = false;
    if (replay->phase == MESSAGES && !find_footer(replay, &sound))
        return false;
    if (!sound && !start_walking(replay)) {
        refuse_unreadable(replay);
        return false;
    }
    /* What has no footer gets one: its messages are noted as they come, its events change nothing. */
    if (!sound && replay->phase == MESSAGES)
        segment->sealed = segment->seal_sound = false;
    replay->begun = true;
    return true;
}

static void end_segment(struct replay *replay)
{
    struct segment *segment = at_hand(replay);
    struct footer *footer = slot_of(replay, replay->at);
    if (replay->walking)
        source_free(&replay->source);
    else
        segment->walk.pos = segment->walk.upto = segment->upto;
    free(footer->memory);
    *footer = (struct footer){ 0 };
    /* While it was read more may have become durable: the frontier goes on there. */
    bool whole = segment->state == SEGMENT_SEALED && segment->walk.pos >= segment->upto;
    if (whole && (!is_log(segment) || replay->phase == EVENTS))
        seal_segment(replay->store, segment);
    replay->begun = replay->walking = false;
    replay->at++;
}

/* In a log messages and events lie side by side: it is read for the one, and again for the other. */
static bool is_wanted(const struct replay *replay, enum walk_step step)
{
    const struct segment *segment = at_hand(replay);
    if (!is_log(segment))
        return true;
    if (step != WALK_RECORD)
        return replay->phase == EVENTS;
    return (segment->walk.record.type == RECORD_EVENT) == (replay->phase == EVENTS);
}

static bool walk_slice(struct replay *replay)
{
    struct segment *segment = at_hand(replay);
    for (int i = 0; i < SLICE; i++) {
        enum walk_step step = source_walk(&replay->source, &segment->walk);
        if (step == WALK_END)
            return false;
        if (is_wanted(replay, step))
            frontier_step(replay->store, segment, step, step == WALK_RECORD ? segment->walk.raw : VIEW_NONE);
    }
    return true;
}

static bool footer_slice(struct replay *replay)
{
    struct segment *segment = at_hand(replay);
    struct view raw;
    for (int i = 0; i < SLICE && replay->rest.len; i++) {
        if (!footer_next(segment, &replay->rest, &segment->walk.record, &raw))
            return false;
        frontier_step(replay->store, segment, WALK_RECORD, raw);
    }
    return replay->rest.len > 0;
}

/* False: nothing to be done before a footer is there, or ever. */
static bool give_slice(struct replay *replay)
{
    if (!replay->begun && !begin_segment(replay))
        return false;
    if (replay->walking ? walk_slice(replay) : footer_slice(replay))
        return true;
    if (replay->source.no_memory) {
        refuse(replay, "needs more memory than there is");
        return false;
    }
    end_segment(replay);
    return true;
}

/* ---- all of them ---- */

static bool find_end(struct replay *replay)
{
    if (!recover_end_of(replay->store, at_hand(replay))) {
        refuse_unreadable(replay);
        return false;
    }
    replay->at++;
    return true;
}

/* Only logs hold events. */
static bool skip_segment(struct replay *replay)
{
    if (replay->phase != EVENTS || is_log(at_hand(replay)))
        return false;
    replay->at++;
    return true;
}

static void run(void *ctx)
{
    struct replay *replay = ctx;
    if (replay->store->closing) {
        store_end_if_quiet(replay->store);
        return;
    }
    while (replay->at < replay->count && skip_segment(replay))
        ;
    if (replay->at < replay->count) {
        if (replay->phase == FIND_ENDS ? find_end(replay) : give_slice(replay))
            go_on(replay);
        return;
    }
    replay->at = 0;
    if (replay->phase == FIND_ENDS)
        recover_annulments(replay->store);
    if (replay->phase++ == EVENTS)
        all_done(replay);
    else
        go_on(replay);
}

static int by_order(const void *a, const void *b)
{
    const struct segment *const *x = a, *const *y = b;
    return segment_order(*x) < segment_order(*y) ? -1 : segment_order(*x) > segment_order(*y);
}

bool replay_begin(struct spool_store *store)
{
    struct replay *replay = calloc(1, sizeof(*replay));
    if (!replay)
        return false;
    store->replay = replay;
    replay->store = store;
    replay->task = (struct os_task){ .run = run, .ctx = replay };
    replay->all = calloc(store->segments.count + 1, sizeof(struct segment *));
    if (!replay->all)
        return false;
    for (struct segment *segment = NULL; (segment = store_next_segment(store, segment));)
        replay->all[replay->count++] = segment;
    qsort(replay->all, replay->count, sizeof(struct segment *), by_order);
    go_on(replay);
    return true;
}
