/* Compaction: which segments are copied, and what happens when they were. See "Compaction" in ARCHITECTURE.md. */
#include "spool/compact.h"

#include <stdlib.h>
#include <string.h>

#define CHECK_US      UINT64_C(250000) /* from a reason to look until it is looked */
#define DEAD_SEGMENTS 4                 /* so many of dead bytes, beyond as much as is live, are left alone */
#define MOVES_SLICE   256               /* told in one turn */

/* ---- life ---- */

static void run(void *ctx)
{
    struct compaction *c = ctx;
    if (c->store->closing)
        store_end_if_quiet(c->store);
    else
        c->next(c);
}

void compact_later(struct compaction *c, void (*next)(struct compaction *c))
{
    c->next = next;
    os_later(c->store->os, &c->task);
}

static void close_files(struct compaction *c)
{
    if (c->file)
        os_file_close(c->file);
    if (c->source_file)
        os_file_close(c->source_file);
    c->file = c->source_file = NULL;
}

void compact_free(struct spool_store *store)
{
    struct compaction *c = store->compaction;
    store->compaction = NULL;
    if (!c)
        return;
    close_files(c);
    free(c->window);
    free(c->out);
    free(c->items);
    free(c->moves);
    free(c->ids.at);
    set_free(&c->listed);
    set_free(&c->tried);
    free(c);
}

bool compact_waits(const struct spool_store *store)
{
    return store->compaction && store->compaction->task.waiting;
}

uint64_t compact_deadline(const struct spool_store *store)
{
    return store->compaction ? store->compaction->at_us : store->compact_at;
}

void compact_note(struct spool_store *store)
{
    if (!store->owner.live || store->compaction || store->compact_at != OS_NEVER || store->opening || store->closing)
        return;
    store->compact_at = os_now_us(store->os) + CHECK_US;
    store->owner.deadline(store->owner.ctx);
}

/* ---- which ---- */

struct totals {
    uint64_t size, live;
};

static bool lies_still(const struct segment *segment)
{
    return segment->state == SEGMENT_SEALED && !segment->moved_to && segment->header.kind;
}

static struct totals sum_up(const struct spool_store *store, bool logs)
{
    struct totals totals = { 0 };
    for (struct segment *each = NULL; (each = store_next_segment(store, each));)
        if (lies_still(each) && (each->header.kind == SPOOL_LOG) == logs) {
            totals.size += segment_size(each);
            totals.live += each->live_bytes;
        }
    return totals;
}

static bool may_be_copied(const struct segment *segment)
{
    return lies_still(segment) && !segment->damaged && !segment->stays && !segment->keep && !segment->reading &&
           !segment->orphan && segment->users == 0 && segment->walk.pos >= segment->upto;
}

/* A large message is alone in its segment: there is nothing to gain. */
static bool is_sparse(const struct segment *segment)
{
    bool mail = segment->header.kind == SPOOL_MAIL || segment_is_copy(segment);
    return mail && segment->header.kind != SPOOL_LOG && may_be_copied(segment) && !segment->failed &&
           segment->seal_sound && segment->live && segment->live_bytes * 2 < segment_size(segment);
}

static double share(const struct segment *segment)
{
    return (double)segment->live_bytes / (double)segment_size(segment);
}

static int by_share(const void *a, const void *b)
{
    double x = share(*(struct segment *const *)a), y = share(*(struct segment *const *)b);
    return x < y ? -1 : x > y;
}

static int by_order(const void *a, const void *b)
{
    uint64_t x = segment_order(*(struct segment *const *)a), y = segment_order(*(struct segment *const *)b);
    return x < y ? -1 : x > y;
}

static bool is_log(const struct segment *segment)
{
    return segment->header.kind == SPOOL_LOG && (lies_still(segment) || segment->state == SEGMENT_LEAVING);
}

/* All that fit, sorted; NULL: none, or no memory. */
static struct segment **collect(const struct spool_store *store, bool (*fits)(const struct segment *segment),
                                int (*compare)(const void *a, const void *b), size_t *count)
{
    struct segment **all = calloc(store->segments.count + 1, sizeof(struct segment *));
    *count = 0;
    for (struct segment *each = NULL; all && (each = store_next_segment(store, each));)
        if (fits(each))
            all[(*count)++] = each;
    if (all)
        qsort(all, *count, sizeof(struct segment *), compare);
    return all;
}

/* The emptiest, as many as fill one segment; and no more than what is too much, for their files are to be written again
 * and only a few wait for that. */
static void choose_mail(struct compaction *c, uint64_t too_much)
{
    size_t count;
    uint64_t live = 0, freed = 0;
    struct segment **all = collect(c->store, is_sparse, by_share, &count);
    for (size_t i = 0; i < count && c->source_count < SOURCES_MAX; i++) {
        live += all[i]->live_bytes;
        if (c->source_count && (live > c->store->limits.segment_size || freed >= too_much))
            break;
        freed += segment_size(all[i]) - all[i]->live_bytes;
        c->sources[c->source_count++] = all[i];
    }
    free(all);
}

/* The oldest that lie one behind the other: the order of events must stay. */
static void choose_logs(struct compaction *c)
{
    size_t count;
    struct segment **all = collect(c->store, is_log, by_order, &count);
    for (size_t i = 0; i < count && c->source_count < SOURCES_MAX; i++) {
        if (may_be_copied(all[i]))
            c->sources[c->source_count++] = all[i];
        else if (c->source_count > 1)
            break;
        else
            c->source_count = 0;
    }
    free(all);
    if (c->source_count < 2)
        c->source_count = 0;
}

/* How many bytes too much there are. */
static uint64_t excess(const struct spool_store *store, uint64_t size, uint64_t live)
{
    uint64_t most = 2 * live + DEAD_SEGMENTS * store->limits.segment_size;
    return size > most ? size - most : 0;
}

/* How many bytes of events are needed nobody knows before the log was read. What was left the last time has lessened
 * since as the mail has. */
static uint64_t guess_events(const struct spool_store *store, uint64_t mail_live)
{
    if (mail_live >= store->mail_live_then)
        return store->events_then;
    return (uint64_t)((double)store->events_then * (double)mail_live / (double)store->mail_live_then);
}

static bool choose(struct compaction *c)
{
    struct spool_store *store = c->store;
    struct totals mail = sum_up(store, false), log = sum_up(store, true);
    uint64_t too_much = excess(store, mail.size, mail.live);
    if (too_much)
        choose_mail(c, too_much);
    if (c->source_count == 0 && excess(store, log.size, log.live + guess_events(store, mail.live))) {
        c->logs = true;
        choose_logs(c);
    }
    return c->source_count > 0;
}

/* ---- beginning and end ---- */

static struct segment *new_segment(struct compaction *c)
{
    struct spool_store *store = c->store;
    struct segment_header header = { .kind = c->logs ? SPOOL_LOG : SPOOL_COLD,
                                     .evacuates = segment_order(c->sources[0]),
                                     .created_us = os_wall_us(store->os) };
    memcpy(header.spool_id, store->marker.id, SPOOL_ID_SIZE);
    if (!os_random(store->os, &header.nonce, sizeof(header.nonce)) || !store_take_number(store, &header.number))
        return NULL;
    return store_add_segment(store, &header); /* SEGMENT_HELD: nobody touches it */
}

static void check(struct spool_store *store)
{
    struct compaction *c = calloc(1, sizeof(*c));
    if (!c)
        return;
    *c = (struct compaction){ .store = store, .at_us = OS_NEVER, .task = { .run = run, .ctx = c } };
    if (!choose(c) || !(c->to = new_segment(c))) {
        free(c);
        return;
    }
    store->compaction = c;
    for (size_t i = 0; i < c->source_count; i++)
        c->sources[i]->users++;
    copy_begin(c);
}

void compact_tick(struct spool_store *store)
{
    struct compaction *c = store->compaction;
    uint64_t now = os_now_us(store->os);
    if (c && now >= c->at_us) {
        c->at_us = OS_NEVER;
        c->next(c);
    } else if (!c && now >= store->compact_at) {
        store->compact_at = OS_NEVER;
        check(store);
    }
}

static void end(struct compaction *c, uint64_t again_us)
{
    struct spool_store *store = c->store;
    for (size_t i = 0; i < c->source_count; i++)
        c->sources[i]->users--;
    logs_unlist(c);
    compact_free(store);
    store->compact_at = os_now_us(store->os) + again_us;
    store->owner.deadline(store->owner.ctx);
    store_look_soon(store);
}

/* With a name that is perhaps not durable, a restart sees the copy or the sources: both must be right until then. */
void compact_failed(struct compaction *c, bool uncertain)
{
    struct spool_store *store = c->store;
    struct os_op remove = { .kind = OS_UNLINK, .dir = store->free_dir, .name = c->name };
    for (size_t i = 0; i < c->source_count; i++)
        c->sources[i]->keep = c->sources[i]->keep || uncertain;
    close_files(c);
    if (!uncertain)
        os_run_ops(store->os, &remove, 1);
    store_drop_segment(store, c->to);
    store_alarm(store, "segments that are mostly empty could not be put together; this is tried again");
    end(c, RETRY_US);
}

static void tell_moves(struct compaction *c)
{
    struct spool_store *store = c->store;
    for (int i = 0; i < MOVES_SLICE && c->told < c->move_count; i++, c->told++) {
        const struct compact_move *move = &c->moves[c->told];
        store->owner.moved(store->owner.ctx, &move->id, &move->from, &move->to);
    }
    if (c->told < c->move_count)
        compact_later(c, tell_moves);
    else
        end(c, CHECK_US);
}

/* Segments that are gone, and that nothing speaks of any more. */
static void drop_unnamed(struct spool_store *store, struct segment *to)
{
    for (struct segment *each = NULL; (each = store_next_segment(store, each));)
        if (each->state == SEGMENT_GONE && each->moved_to == to && !set_has(&to->annuls, each->number)) {
            store_drop_segment(store, each);
            each = NULL;
        }
}

/* From this turn on the copy is what counts. The sources go when everybody was told, and nobody reads there. */
void compact_copied(struct compaction *c)
{
    struct spool_store *store = c->store;
    struct segment *to = c->to;
    close_files(c);
    to->state = SEGMENT_SEALED;
    to->sealed = to->seal_sound = true;
    to->walk.pos = to->walk.upto = to->upto;
    free(to->footer);
    to->footer = NULL;
    to->footer_len = to->footer_cap = 0;
    for (size_t i = 0; i < c->source_count; i++)
        store_move_over(store, c->sources[i], to);
    drop_unnamed(store, to);
    if (c->logs) {
        store->events_then = to->upto - (to->live_bytes < to->upto ? to->live_bytes : 0);
        store->mail_live_then = sum_up(store, false).live;
    }
    tell_moves(c);
}
