/* Next hops: who stands in line there, how many jobs at a time it bears, and when it is left alone. */
#include <stdlib.h>
#include <string.h>

#include "queue/inner.h"

#define NAME_MAX    1024
#define TROUBLE_MAX 300 /* bytes kept of why it is paused */

static bool may_go(const struct queue_destination *d)
{
    return d->ready_count > 0 && d->jobs < d->window && !queue_paused(d);
}

/* Whose line or window has changed takes turns or does not; its place among the others stays. */
static void place(struct queue *q, struct queue_destination *d)
{
    bool in = !list_empty(&d->turn);
    if (may_go(d) && !in)
        list_append(&q->turns[d->kind], &d->turn);
    else if (in && !may_go(d))
        list_remove(&d->turn);
}

static struct view name_of(const struct queue_destination *d)
{
    return (struct view){ d->name, (size_t)d->action_len + d->domain_len + 2 };
}

struct view queue_destination_action(const struct queue_destination *d)
{
    return (struct view){ d->name + 1, d->action_len };
}

struct view queue_destination_domain(const struct queue_destination *d)
{
    return (struct view){ d->name + 2 + d->action_len, d->domain_len };
}

static struct queue_destination *new_destination(struct queue *q, enum queue_kind kind, struct view name,
                                                 struct view action)
{
    struct queue_destination *d = calloc(1, sizeof *d + name.len);
    if (!d)
        return NULL;
    memcpy(d->name, name.at, name.len);
    d->kind = (uint8_t)kind;
    d->action_len = (uint16_t)action.len;
    d->domain_len = (uint16_t)(name.len - action.len - 2);
    d->window = kind == QUEUE_RELAY ? QUEUE_WINDOW : UINT16_MAX;
    if (kind == QUEUE_RELAY && d->window > q->settings.window_max)
        d->window = (uint16_t)q->settings.window_max;
    d->worker = UINT16_MAX;
    list_init(&d->ready);
    list_init(&d->turn);
    list_init(&d->walk);
    d->by_name.key = name_of(d);
    if (map_add(&q->destinations, &d->by_name))
        return d;
    free(d);
    return NULL;
}

struct queue_destination *queue_destination(struct queue *q, enum queue_kind kind, struct view action,
                                            struct view domain)
{
    char memory[NAME_MAX];
    struct buffer name = BUFFER_OF(memory);
    buffer_add_char(&name, (char)('0' + kind));
    buffer_add(&name, action);
    buffer_add_char(&name, 0);
    for (size_t i = 0; i < domain.len; i++)
        buffer_add_char(&name, ascii_lower(domain.at[i]));
    if (name.full)
        return NULL;
    struct map_item *item = map_find(&q->destinations, buffer_view(&name));
    return item ? map_entry(item, struct queue_destination, by_name)
                : new_destination(q, kind, buffer_view(&name), action);
}

static void free_destination(struct queue *q, struct queue_destination *d)
{
    list_remove(&d->turn);
    list_remove(&d->walk);
    heap_remove(&q->pauses, &d->pause);
    map_remove(&q->destinations, &d->by_name);
    free(d->trouble);
    free(d);
}

/* What is known of one that cannot be reached is kept until its pause ends. */
static void free_if_unused(struct queue *q, struct queue_destination *d)
{
    if (d->users == 0 && d->jobs == 0 && !queue_paused(d))
        free_destination(q, d);
}

void destination_free_all(struct queue *q)
{
    for (struct map_item *item; (item = map_next(&q->destinations, NULL));)
        free_destination(q, map_entry(item, struct queue_destination, by_name));
    map_free(&q->destinations);
}

void queue_aim(struct queue *q, struct queue_recipient *r, struct queue_destination *d)
{
    struct queue_destination *before = r->destination;
    r->destination = d;
    if (d)
        d->users++;
    if (before) {
        before->users--;
        free_if_unused(q, before);
    }
}

void destination_line_up(struct queue *q, struct queue_recipient *r, bool first)
{
    struct queue_destination *d = r->destination;
    if (first)
        list_prepend(&d->ready, &r->link);
    else
        list_append(&d->ready, &r->link);
    d->ready_count++;
    place(q, d);
}

void destination_leave(struct queue *q, struct queue_recipient *r)
{
    list_remove(&r->link);
    r->destination->ready_count--;
    place(q, r->destination);
}

/* ---- turns ---- */

bool queue_paused(const struct queue_destination *d)
{
    return d->pause.place != 0;
}

struct queue_recipient *queue_next(const struct queue *q, enum queue_kind kind)
{
    const struct list *turns = &q->turns[kind];
    if (list_empty(turns))
        return NULL;
    const struct queue_destination *d = list_entry(turns->next, struct queue_destination, turn);
    return list_entry(d->ready.next, struct queue_recipient, link);
}

void queue_begin(struct queue *q, struct queue_destination *d)
{
    d->jobs++;
    list_remove(&d->turn);
    place(q, d);
}

void queue_end(struct queue *q, struct queue_destination *d, enum queue_ended how)
{
    d->jobs -= d->jobs > 0;
    if (how == QUEUE_ENDED_WELL) {
        d->failures = 0;
        free(d->trouble);
        d->trouble = NULL;
        /* One more at a time after as many good ones as there may be: it doubles with each round. */
        if (++d->good >= d->window && d->kind == QUEUE_RELAY && d->window < q->settings.window_max) {
            d->window++;
            d->good = 0;
        }
    } else if (how == QUEUE_ENDED_BADLY && d->kind == QUEUE_RELAY) {
        d->window = d->window > 1 ? d->window / 2 : 1;
        d->good = 0;
    }
    place(q, d);
    free_if_unused(q, d);
}

bool queue_unreached(struct queue *q, struct queue_destination *d, struct view why, uint64_t now_us)
{
    if (queue_paused(d) || d->kind != QUEUE_RELAY)
        return false;
    uint64_t gap = gap_us(q, d->failures, mix(q->seed ^ now_us ^ (uint64_t)(uintptr_t)d));
    if (!heap_set(&q->pauses, &d->pause, now_us + gap))
        return false;
    why = view_slice(why, 0, TROUBLE_MAX);
    free(d->trouble);
    d->trouble = malloc(why.len + 1);
    if (d->trouble) {
        memcpy(d->trouble, why.len ? why.at : "", why.len);
        d->trouble[why.len] = 0;
    }
    d->failures += d->failures < UINT8_MAX;
    d->window = 1;
    d->good = 0;
    d->walk_left = d->ready_count;
    list_remove(&d->walk);
    list_append(&q->walks, &d->walk);
    place(q, d);
    return true;
}

/* ---- looking through a line ---- */

static bool is_pinned(const struct queue_message *m)
{
    for (uint32_t i = 0; i < m->recipient_count; i++)
        if (m->recipients[i].state >= QUEUE_FETCHING && m->recipients[i].state <= QUEUE_MARKING)
            return true;
    return false;
}

/* The first goes to the end; after as many steps as there were recipients the order is as before. */
static struct queue_recipient *step(struct queue *q, struct queue_destination *d)
{
    struct list *link = list_pop(&d->ready);
    struct queue_recipient *r = list_entry(link, struct queue_recipient, link);
    list_append(&d->ready, link);
    d->walk_left--;
    r->attempts += r->attempts < UINT16_MAX;
    if (!is_pinned(r->message))
        queue_cool(q, r->message);
    return r;
}

struct queue_recipient *queue_walk(struct queue *q, uint64_t now_us, unsigned *budget)
{
    while (!list_empty(&q->walks) && *budget > 0) {
        struct queue_destination *d = list_entry(q->walks.next, struct queue_destination, walk);
        if (d->walk_left == 0 || d->ready_count == 0 || !queue_paused(d)) {
            list_remove(&d->walk);
            continue;
        }
        struct queue_recipient *r = step(q, d);
        --*budget;
        if (queue_expired(q, r->message, now_us) || queue_warns(q, r->message, now_us))
            return r;
    }
    return NULL;
}
