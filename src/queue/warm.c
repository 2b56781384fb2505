/* Envelopes in memory, and the texts of recipients that came from aliases. */
#include <stdlib.h>
#include <string.h>

#include "queue/inner.h"

bool queue_has_room(const struct queue *q)
{
    return q->warm_bytes < QUEUE_WARM_MAX;
}

static struct view keep(char **at, struct view text)
{
    struct view kept = { *at, text.len };
    if (text.len)
        memcpy(*at, text.at, text.len);
    *at += text.len;
    return kept;
}

/* The texts of the recipients and of the reverse-path; their number. */
static uint32_t measure(struct view envelope, size_t *bytes)
{
    uint16_t tag;
    uint32_t count = 0;
    struct view value;
    *bytes = 0;
    while (spool_tag_next(&envelope, &tag, &value))
        if (tag == SPOOL_TAG_RECIPIENT || tag == SPOOL_TAG_REVERSE_PATH) {
            count += tag == SPOOL_TAG_RECIPIENT;
            *bytes += value.len;
        }
    return count;
}

static void read_envelope(struct queue_warm *warm, struct view rest, char *texts)
{
    uint16_t tag;
    uint32_t number = 0;
    struct view value, path;
    while (spool_tag_next(&rest, &tag, &value)) {
        if (tag == SPOOL_TAG_REVERSE_PATH)
            warm->reverse_path = keep(&texts, value);
        else if (tag == SPOOL_TAG_CLIENT)
            warm->client.set = address_parse(value, &warm->client);
        else if (tag == SPOOL_TAG_RECIPIENT && spool_tag_find(value, SPOOL_RECIPIENT_PATH, &path))
            warm->slots[number++] = (struct queue_slot){ keep(&texts, path), NULL };
    }
}

bool queue_warm(struct queue *q, struct queue_message *m, const struct spool_message *stored)
{
    size_t bytes;
    uint32_t count = measure(stored->envelope, &bytes);
    if (m->warm)
        return true;
    if (count == 0 || count > m->recipient_count)
        return false;
    size_t size = sizeof(struct queue_warm) + count * sizeof(struct queue_slot) + bytes;
    struct queue_warm *warm = malloc(size);
    if (!warm)
        return false;
    *warm = (struct queue_warm){ .size = size,
                                 .slots = (struct queue_slot *)(warm + 1),
                                 .slot_count = count,
                                 .received_count = stored->facts.received_count };
    memset(warm->slots, 0, count * sizeof(struct queue_slot));
    read_envelope(warm, stored->envelope, (char *)(warm->slots + count));
    m->warm = warm;
    q->warm_bytes += size;
    return true;
}

void queue_cool(struct queue *q, struct queue_message *m)
{
    if (!m->warm)
        return;
    q->warm_bytes -= m->warm->size;
    free(m->warm);
    m->warm = NULL;
}

void message_forget_texts(struct queue_message *m)
{
    for (uint32_t i = 0; m->expanded && i < m->expanded->count; i++)
        free(m->expanded->at[i]);
    free(m->expanded);
    m->expanded = NULL;
}

/* Of those in order of their first numbers, the last that begins not behind `number`: its place and one. */
static uint32_t place_of(const struct queue_expansions *all, uint32_t number)
{
    uint32_t low = 0, high = all ? all->count : 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (all->at[middle]->first <= number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct queue_expansion *expansion_of(const struct queue_message *m, uint32_t number)
{
    uint32_t place = place_of(m->expanded, number);
    struct queue_expansion *e = place ? m->expanded->at[place - 1] : NULL;
    return e && number - e->first < e->count ? e : NULL;
}

struct queue_slot *queue_slot(const struct queue_message *m, uint32_t number)
{
    struct queue_expansion *e = expansion_of(m, number);
    if (e)
        return &e->slots[number - e->first];
    return m->warm && number < m->warm->slot_count ? &m->warm->slots[number] : NULL;
}

struct view queue_path(const struct queue_message *m, uint32_t number)
{
    const struct queue_slot *slot = queue_slot(m, number);
    return slot ? slot->path : VIEW_NONE;
}

uint32_t queue_parent(const struct queue_message *m, uint32_t number)
{
    const struct queue_expansion *e = expansion_of(m, number);
    return e ? e->parent : QUEUE_NO_PARENT;
}

/* ---- expansions ---- */

static struct queue_expansion *new_expansion(uint32_t parent, uint32_t first, const struct view *paths, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += paths[i].len;
    struct queue_expansion *e = malloc(sizeof *e + count * sizeof e->slots[0] + bytes);
    if (!e)
        return NULL;
    char *texts = (char *)(e->slots + count);
    *e = (struct queue_expansion){ .parent = parent, .first = first, .count = count };
    for (uint32_t i = 0; i < count; i++)
        e->slots[i] = (struct queue_slot){ keep(&texts, paths[i]), NULL };
    return e;
}

/* Who stands in a list stands there at the new place. */
static void move(struct queue_recipient *to, struct queue_recipient *from)
{
    *to = *from;
    list_init(&to->link);
    if (list_empty(&from->link))
        return;
    list_insert_after(&from->link, &to->link);
    list_remove(&from->link);
}

static bool grow(struct queue *q, struct queue_message *m, uint32_t count)
{
    struct queue_recipient *recipients = calloc(count, sizeof *recipients);
    if (!recipients)
        return false;
    for (uint32_t i = 0; i < m->recipient_count; i++)
        move(&recipients[i], &m->recipients[i]);
    if (m->recipients != &m->only)
        free(m->recipients);
    m->recipients = recipients;
    for (uint32_t i = m->recipient_count; i < count; i++) {
        recipients[i] = (struct queue_recipient){ .message = m, .state = QUEUE_NEW };
        list_init(&recipients[i].link);
    }
    uint32_t before = m->recipient_count, more = count - before;
    m->open_count += more;
    q->open += more;
    m->busy_count += more;
    m->recipient_count = count;
    for (uint32_t i = before; i < count; i++)
        queue_set(q, &recipients[i], QUEUE_DONE);
    return true;
}

static bool has_room_for_one(struct queue_message *m)
{
    uint32_t count = m->expanded ? m->expanded->count : 0;
    struct queue_expansions *all = realloc(m->expanded, sizeof *all + (count + 1) * sizeof all->at[0]);
    if (!all)
        return false;
    all->count = count;
    m->expanded = all;
    return true;
}

static void insert(struct queue_expansions *all, struct queue_expansion *e)
{
    uint32_t place = place_of(all, e->first);
    memmove(&all->at[place + 1], &all->at[place], (all->count - place) * sizeof all->at[0]);
    all->at[place] = e;
    all->count++;
}

static bool is_free(const struct queue_message *m, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count && i < m->recipient_count; i++)
        if (m->recipients[i].state != QUEUE_DONE || queue_slot(m, i))
            return false;
    return true;
}

bool queue_expand(struct queue *q, struct queue_message *m, uint32_t parent, uint32_t first, const struct view *paths,
                  uint32_t count)
{
    uint32_t end = first + count;
    if (parent >= m->recipient_count || count > QUEUE_RECIPIENTS_MAX || first > QUEUE_RECIPIENTS_MAX ||
        !is_free(m, first, count))
        return false;
    struct queue_expansion *e = new_expansion(parent, first, paths, count);
    if (!e || !has_room_for_one(m) || (end > m->recipient_count && !grow(q, m, end))) {
        free(e);
        return false;
    }
    insert(m->expanded, e);
    if (m->promised < end)
        m->promised = end;
    for (uint32_t i = first; i < end; i++)
        queue_set(q, &m->recipients[i], QUEUE_NEW);
    return true;
}
