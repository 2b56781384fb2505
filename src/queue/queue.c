#include "queue/queue.h"

#include <stdlib.h>
#include <string.h>

#include "queue/inner.h"

#define SECOND_US UINT64_C(1000000)

bool queue_init(struct queue *q, const uint8_t seed[16], const struct queue_settings *settings)
{
    *q = (struct queue){ .settings = *settings };
    memcpy(&q->seed, seed, sizeof q->seed);
    index_init(&q->messages);
    pool_init(&q->cells, sizeof(struct queue_message));
    map_init(&q->destinations, seed);
    for (int kind = 0; kind < QUEUE_KINDS; kind++)
        list_init(&q->turns[kind]);
    list_init(&q->walks);
    heap_init(&q->waiting);
    heap_init(&q->pauses);
    q->self = queue_destination(q, QUEUE_SELF, VIEW_NONE, VIEW_NONE);
    if (q->self)
        q->self->users = 1; /* it stays */
    return q->self != NULL;
}

static void free_texts(struct queue_message *m)
{
    free(m->warm);
    message_forget_texts(m);
    if (m->recipients != &m->only)
        free(m->recipients);
}

void queue_free(struct queue *q)
{
    struct queue_message *m;
    for (size_t place = 0; (m = index_chain(&q->messages, &place));)
        for (; m; m = m->item.next)
            free_texts(m);
    index_free(&q->messages);
    pool_free(&q->cells);
    destination_free_all(q);
    heap_free(&q->waiting);
    heap_free(&q->pauses);
}

/* ---- time ---- */

uint32_t queue_clock(uint64_t now_us)
{
    return (uint32_t)(now_us / SECOND_US) + CLOCK_BASE;
}

static uint64_t time_of(uint32_t clock_s)
{
    return (uint64_t)(clock_s - CLOCK_BASE) * SECOND_US;
}

uint64_t queue_age_us(const struct queue_message *m, uint64_t now_us)
{
    return (queue_clock(now_us) - m->born_s) * SECOND_US;
}

void queue_set_age(struct queue_message *m, uint64_t now_us, uint64_t age_us)
{
    uint64_t age_s = age_us / SECOND_US;
    m->born_s = queue_clock(now_us) - (uint32_t)(age_s < CLOCK_BASE ? age_s : CLOCK_BASE);
}

bool queue_expired(const struct queue *q, const struct queue_message *m, uint64_t now_us)
{
    return q->settings.expire_us && queue_age_us(m, now_us) >= q->settings.expire_us;
}

bool queue_warns(const struct queue *q, const struct queue_message *m, uint64_t now_us)
{
    return q->settings.warn_us && m->warned == QUEUE_NOT_WARNED && queue_age_us(m, now_us) >= q->settings.warn_us;
}

uint64_t mix(uint64_t n)
{
    n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
    return n ^ n >> 31;
}

/* Seven to nine eighths of the gap. */
uint64_t gap_us(const struct queue *q, unsigned attempts, uint64_t chance)
{
    unsigned last = q->settings.gap_count - 1;
    uint64_t gap = q->settings.gaps_us[attempts < last ? attempts : last];
    return gap - gap / 8 + chance % (gap / 4 + 1);
}

/* ---- messages ---- */

struct queue_message *queue_find(const struct queue *q, const struct mail_id *id)
{
    return index_find(&q->messages, id);
}

static void new_recipients(struct queue_message *m, uint32_t from)
{
    for (uint32_t i = from; i < m->recipient_count; i++) {
        m->recipients[i] = (struct queue_recipient){ .message = m, .state = QUEUE_NEW };
        list_init(&m->recipients[i].link);
    }
}

static struct queue_message *new_message(struct queue *q, const struct spool_message *stored)
{
    struct queue_message *m = pool_take(&q->cells);
    if (!m)
        return NULL;
    *m = (struct queue_message){ .item.id = stored->id,
                                 .place = stored->place,
                                 .recipient_count = stored->recipient_count,
                                 .promised = stored->recipient_count,
                                 .open_count = stored->recipient_count,
                                 .busy_count = stored->recipient_count,
                                 .recipients = &m->only };
    if (m->recipient_count > 1)
        m->recipients = calloc(m->recipient_count, sizeof *m->recipients);
    if (m->recipients && m->recipient_count && index_add(&q->messages, m))
        return m;
    if (m->recipients != &m->only)
        free(m->recipients);
    pool_give(&q->cells, m);
    return NULL;
}

struct queue_message *queue_add(struct queue *q, const struct spool_message *stored, uint64_t now_us, uint64_t age_us,
                                bool *known)
{
    *known = queue_find(q, &stored->id) != NULL;
    struct queue_message *m = *known ? NULL : new_message(q, stored);
    if (!m)
        return NULL;
    queue_set_age(m, now_us, age_us);
    new_recipients(m, 0);
    q->open += m->recipient_count;
    return m;
}

void queue_remove(struct queue *q, struct queue_message *m)
{
    for (uint32_t i = 0; i < m->recipient_count; i++) {
        queue_set(q, &m->recipients[i], QUEUE_DONE);
        queue_aim(q, &m->recipients[i], NULL);
        list_remove(&m->recipients[i].link);
    }
    queue_cool(q, m);
    heap_remove(&q->waiting, &m->timer);
    index_remove(&q->messages, m);
    free_texts(m);
    pool_give(&q->cells, m);
}

/* ---- recipients ---- */

struct queue_recipient *queue_recipient(const struct queue *q, const struct mail_id *id, uint32_t number)
{
    struct queue_message *m = queue_find(q, id);
    return m && number < m->recipient_count ? &m->recipients[number] : NULL;
}

uint32_t queue_number(const struct queue_recipient *r)
{
    return (uint32_t)(r - r->message->recipients);
}

static bool is_busy(unsigned state)
{
    return state <= QUEUE_MARKING;
}

static void change(struct queue *q, struct queue_recipient *r, enum queue_state state, bool first)
{
    struct queue_message *m = r->message;
    enum queue_state before = (enum queue_state)r->state;
    if (before == QUEUE_READY)
        destination_leave(q, r);
    list_remove(&r->link);
    r->state = (uint8_t)state;
    m->busy_count += (uint32_t)is_busy(state) - (uint32_t)is_busy(before);
    m->open_count += (uint32_t)(before == QUEUE_DONE) - (uint32_t)(state == QUEUE_DONE);
    q->open += (uint64_t)(before == QUEUE_DONE) - (uint64_t)(state == QUEUE_DONE);
    q->working += (uint64_t)(state == QUEUE_WORKING) - (uint64_t)(before == QUEUE_WORKING);
    if (state == QUEUE_READY)
        destination_line_up(q, r, first);
    if (m->busy_count == 0)
        queue_cool(q, m);
}

void queue_set(struct queue *q, struct queue_recipient *r, enum queue_state state)
{
    change(q, r, state, false);
}

void queue_set_first(struct queue *q, struct queue_recipient *r)
{
    change(q, r, QUEUE_READY, true);
}

uint64_t queue_due_us(const struct queue_recipient *r)
{
    return time_of(r->due_s);
}

void queue_wait(struct queue *q, struct queue_recipient *r, uint16_t attempts, uint64_t due_us)
{
    struct queue_message *m = r->message;
    r->due_s = queue_clock(due_us + SECOND_US - 1);
    r->attempts = attempts;
    queue_set(q, r, QUEUE_WAITING);
    uint64_t due = time_of(r->due_s);
    /* Without memory it would never come back by itself: better at once. */
    if ((m->timer.place == 0 || m->timer.key > due) && !heap_set(&q->waiting, &m->timer, due))
        queue_set(q, r, QUEUE_READY);
}

static uint64_t chance_of(const struct queue *q, const struct queue_message *m, unsigned attempts)
{
    uint64_t random;
    memcpy(&random, m->item.id.at + MAIL_ID_SIZE - sizeof random, sizeof random);
    return mix(random ^ q->seed ^ (uint64_t)attempts << 48);
}

void queue_defer(struct queue *q, struct queue_recipient *r, uint64_t now_us)
{
    uint64_t gap = gap_us(q, r->attempts, chance_of(q, r->message, r->attempts));
    queue_wait(q, r, r->attempts < UINT16_MAX ? r->attempts + 1 : r->attempts, now_us + gap);
}

/* Those that are due soon come along; the timer is set for the first of the others. */
static void wake_up(struct queue *q, struct queue_message *m, uint32_t clock_s)
{
    uint32_t next = UINT32_MAX;
    heap_remove(&q->waiting, &m->timer);
    for (uint32_t i = 0; i < m->recipient_count; i++) {
        struct queue_recipient *r = &m->recipients[i];
        if (r->state != QUEUE_WAITING)
            continue;
        if (r->due_s <= clock_s + QUEUE_TOGETHER_S)
            queue_set(q, r, QUEUE_READY);
        else if (r->due_s < next)
            next = r->due_s;
    }
    if (next != UINT32_MAX)
        heap_set(&q->waiting, &m->timer, time_of(next));
}

bool queue_tick(struct queue *q, uint64_t now_us, unsigned max)
{
    struct heap_item *item;
    while ((item = heap_first(&q->pauses)) && item->key <= now_us && max > 0) {
        struct queue_destination *d = heap_entry(item, struct queue_destination, pause);
        heap_remove(&q->pauses, item);
        queue_end(q, d, QUEUE_ENDED_SO);
        max--;
    }
    while ((item = heap_first(&q->waiting)) && item->key <= now_us && max > 0) {
        wake_up(q, heap_entry(item, struct queue_message, timer), queue_clock(now_us));
        max--;
    }
    return max == 0;
}

uint64_t queue_deadline(const struct queue *q)
{
    const struct heap_item *waiting = heap_first(&q->waiting), *pause = heap_first(&q->pauses);
    uint64_t due = waiting ? waiting->key : UINT64_MAX;
    return pause && pause->key < due ? pause->key : due;
}

/* ---- the administrator's ---- */

bool queue_hold(struct queue *q, struct queue_recipient *r)
{
    if (r->state != QUEUE_READY && r->state != QUEUE_WAITING)
        return false;
    queue_set(q, r, QUEUE_HELD);
    return true;
}

bool queue_release(struct queue *q, struct queue_recipient *r, uint64_t now_us)
{
    if (r->state != QUEUE_HELD)
        return false;
    queue_wait(q, r, r->attempts, now_us);
    return true;
}

bool queue_retry(struct queue *q, struct queue_recipient *r, uint64_t now_us)
{
    struct queue_destination *d = r->destination;
    if (r->state != QUEUE_WAITING && r->state != QUEUE_READY)
        return false;
    if (d && queue_paused(d)) {
        d->walk_left = 0;
        heap_set(&q->pauses, &d->pause, now_us);
    }
    if (r->state == QUEUE_WAITING)
        queue_wait(q, r, r->attempts, now_us);
    return true;
}
