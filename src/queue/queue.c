#include "queue/queue.h"

#include <stdlib.h>
#include <string.h>

#define MINUTE (60 * UINT64_C(1000000))

/* Gaps between attempts; the last one repeats. */
static const uint64_t gaps_us[] = { MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 60 * MINUTE };

void queue_init(struct queue *q, const uint8_t seed[16])
{
    map_init(&q->messages, seed);
    list_init(&q->ready);
    heap_init(&q->waiting);
}

static void free_message(struct queue_message *m)
{
    free(m);
}

void queue_free(struct queue *q)
{
    for (struct map_item *item; (item = map_next(&q->messages, NULL));) {
        map_remove(&q->messages, item);
        free_message(map_entry(item, struct queue_message, by_id));
    }
    map_free(&q->messages);
    heap_free(&q->waiting);
}

static struct view id_key(const struct mail_id *id)
{
    return (struct view){ (const char *)id->at, MAIL_ID_SIZE };
}

struct queue_message *queue_find(const struct queue *q, const struct mail_id *id)
{
    struct map_item *item = map_find(&q->messages, id_key(id));
    return item ? map_entry(item, struct queue_message, by_id) : NULL;
}

static void measure(struct view envelope, uint32_t *count, size_t *bytes)
{
    uint16_t tag;
    struct view value;
    *count = 0;
    *bytes = 0;
    while (spool_tag_next(&envelope, &tag, &value))
        if (tag == SPOOL_TAG_RECIPIENT) {
            *count += 1;
            *bytes += value.len;
        }
}

static struct view keep(char **at, struct view text)
{
    struct view kept = { *at, text.len };
    if (text.len)
        memcpy(*at, text.at, text.len);
    *at += text.len;
    return kept;
}

/* One allocation holds the message, its recipients and their texts. */
static struct queue_message *new_message(const struct spool_message *stored)
{
    uint32_t count, number = 0;
    size_t bytes;
    uint16_t tag;
    struct view rest = stored->envelope, value, path, action;
    measure(rest, &count, &bytes);
    struct queue_message *m = malloc(sizeof *m + count * sizeof(struct queue_recipient) + bytes);
    if (!m)
        return NULL;
    *m = (struct queue_message){ .id = stored->id, .place = stored->place, .recipient_count = count, .open_count = count,
                                 .recipients = (struct queue_recipient *)(m + 1) };
    char *texts = (char *)(m->recipients + count);
    while (spool_tag_next(&rest, &tag, &value)) {
        if (tag != SPOOL_TAG_RECIPIENT)
            continue;
        if (!spool_tag_find(value, SPOOL_RECIPIENT_PATH, &path))
            path = VIEW_NONE;
        if (!spool_tag_find(value, SPOOL_RECIPIENT_ACTION, &action))
            action = VIEW_NONE;
        struct queue_recipient *r = &m->recipients[number++];
        *r = (struct queue_recipient){ .message = m, .path = keep(&texts, path), .action = keep(&texts, action) };
        list_init(&r->link);
    }
    return m;
}

struct queue_message *queue_add(struct queue *q, const struct spool_message *stored, bool *known)
{
    *known = queue_find(q, &stored->id) != NULL;
    struct queue_message *m = *known ? NULL : new_message(stored);
    if (!m)
        return NULL;
    m->by_id.key = id_key(&m->id);
    if (!map_add(&q->messages, &m->by_id)) {
        free_message(m);
        return NULL;
    }
    for (uint32_t i = 0; i < m->recipient_count; i++)
        list_append(&q->ready, &m->recipients[i].link);
    return m;
}

void queue_set(struct queue *q, struct queue_recipient *r, enum queue_state state)
{
    list_remove(&r->link);
    heap_remove(&q->waiting, &r->timer);
    if (state == QUEUE_READY)
        list_append(&q->ready, &r->link);
    if (state == QUEUE_DONE && r->state != QUEUE_DONE)
        r->message->open_count--;
    r->state = (uint8_t)state;
}

void queue_defer(struct queue *q, struct queue_recipient *r, uint64_t now_us, uint64_t random)
{
    size_t last = sizeof gaps_us / sizeof gaps_us[0] - 1;
    uint64_t gap = gaps_us[r->attempts < last ? r->attempts : last];
    queue_set(q, r, QUEUE_WAITING);
    r->attempts += r->attempts < UINT16_MAX;
    /* A quarter of the gap at random, so that what was deferred together does not come back together. */
    if (!heap_set(&q->waiting, &r->timer, now_us + gap - gap / 8 + random % (gap / 4)))
        queue_set(q, r, QUEUE_READY);
}

uint64_t queue_tick(struct queue *q, uint64_t now_us)
{
    struct heap_item *item;
    while ((item = heap_first(&q->waiting)) && item->key <= now_us)
        queue_set(q, heap_entry(item, struct queue_recipient, timer), QUEUE_READY);
    return item ? item->key : UINT64_MAX;
}

struct queue_recipient *queue_next(const struct queue *q)
{
    return list_empty(&q->ready) ? NULL : list_entry(q->ready.next, struct queue_recipient, link);
}

uint32_t queue_number(const struct queue_recipient *r)
{
    return (uint32_t)(r - r->message->recipients);
}

void queue_remove(struct queue *q, struct queue_message *m)
{
    for (uint32_t i = 0; i < m->recipient_count; i++) {
        list_remove(&m->recipients[i].link);
        heap_remove(&q->waiting, &m->recipients[i].timer);
    }
    map_remove(&q->messages, &m->by_id);
    free_message(m);
}
