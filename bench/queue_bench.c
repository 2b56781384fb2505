/* A million deferred messages in the index of the queue: what they cost, and how long the longest step takes.
 *
 *   queue-bench [MESSAGES [DESTINATIONS]]
 *
 * Senders and recipients are distinct, every tenth message has three recipients. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queue/queue.h"

#define SLICE 500 /* messages in one step, as in the server */

struct clock {
    uint64_t begun_ns, longest_ns, total_ns, steps;
};

/* Of this thread: what others do on the machine does not count. */
static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void begin(struct clock *c)
{
    c->begun_ns = now_ns();
}

static void end(struct clock *c)
{
    uint64_t took = now_ns() - c->begun_ns;
    c->total_ns += took;
    c->steps++;
    if (took > c->longest_ns)
        c->longest_ns = took;
}

static void say(const char *what, const struct clock *c, uint64_t operations)
{
    printf("%-34s %7.0f ns each, longest step %.3f ms\n", what, (double)c->total_ns / (double)operations,
           (double)c->longest_ns / 1e6);
}

static size_t memory_used(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* An envelope with `count` recipients, as reception writes it. */
static struct view envelope_of(char *memory, size_t size, uint64_t number, unsigned count)
{
    struct buffer to;
    buffer_init(&to, memory, size);
    char path[64];
    size_t len = (size_t)snprintf(path, sizeof path, "sender%llu@example.net", (unsigned long long)number);
    spool_tag_add(&to, SPOOL_TAG_REVERSE_PATH, (struct view){ path, len });
    for (unsigned i = 0; i < count; i++) {
        size_t place = spool_tag_open(&to, SPOOL_TAG_RECIPIENT);
        len = (size_t)snprintf(path, sizeof path, "recipient%llu.%u@example.org", (unsigned long long)number, i);
        spool_tag_add(&to, SPOOL_RECIPIENT_PATH, (struct view){ path, len });
        spool_tag_close(&to, place);
    }
    return buffer_view(&to);
}

static bool add_one(struct queue *q, struct mail_id_maker *ids, uint64_t number, unsigned destinations, uint64_t now_us)
{
    char memory[1024], domain[32];
    bool known;
    unsigned count = number % 10 == 0 ? 3 : 1;
    struct spool_message stored = { .id = mail_id_make(ids, now_us, number * UINT64_C(0x9e3779b97f4a7c15)),
                                    .place = { number / 10000, number % 10000 * 4096, 300, 2000 },
                                    .envelope = envelope_of(memory, sizeof memory, number, count),
                                    .recipient_count = count };
    struct queue_message *m = queue_add(q, &stored, now_us, 0, &known);
    if (!m || !queue_warm(q, m, &stored))
        return false;
    for (uint32_t i = 0; i < m->recipient_count; i++) {
        size_t len = (size_t)snprintf(domain, sizeof domain, "domain%llu.example",
                                      (unsigned long long)((number + i) * 7919 % destinations));
        struct queue_destination *d = queue_destination(q, QUEUE_RELAY, VIEW("out"), (struct view){ domain, len });
        if (!d)
            return false;
        queue_aim(q, &m->recipients[i], d);
        queue_set(q, &m->recipients[i], QUEUE_READY);
    }
    for (uint32_t i = 0; i < m->recipient_count; i++)
        queue_defer(q, &m->recipients[i], now_us);
    return true;
}

/* All come due, stand in line, are given out in turn and are deferred again. */
static void go_round(struct queue *q, uint64_t recipients, uint64_t now_us)
{
    struct clock tick = { 0 }, serve = { 0 };
    bool more = true;
    while (more) {
        begin(&tick);
        more = queue_tick(q, now_us, SLICE);
        end(&tick);
    }
    say("time has come", &tick, recipients);
    struct queue_recipient *r = queue_next(q, QUEUE_RELAY);
    while (r) {
        begin(&serve);
        for (unsigned i = 0; i < SLICE && r; i++, r = queue_next(q, QUEUE_RELAY)) {
            struct queue_destination *d = r->destination;
            queue_set(q, r, QUEUE_WORKING);
            queue_begin(q, d);
            queue_defer(q, r, now_us);
            queue_end(q, d, QUEUE_ENDED_SO);
        }
        end(&serve);
    }
    say("turn, attempt, deferred", &serve, recipients);
}

static void remove_all(struct queue *q, uint64_t count)
{
    struct clock clock = { 0 };
    struct queue_message *m;
    size_t place = 0;
    while ((m = index_chain(&q->messages, &place))) {
        begin(&clock);
        for (struct queue_message *next; m; m = next) {
            next = m->item.next;
            queue_remove(q, m);
        }
        end(&clock);
    }
    say("remove", &clock, count);
}

int main(int argc, char **argv)
{
    static const struct queue_settings settings = { .gaps_us = { 60000000 }, .gap_count = 1, .window_max = 20 };
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    unsigned destinations = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 50000;
    struct queue q;
    struct mail_id_maker ids = { 0 };
    struct clock add = { 0 };
    uint64_t recipients = count + count / 10 * 2, now_us = 1000000;
    size_t before = memory_used();
    if (destinations == 0 || !queue_init(&q, (const uint8_t *)"0123456789abcdef", &settings))
        return 1;
    for (uint64_t i = 0; i < count;) {
        begin(&add);
        for (unsigned n = 0; n < SLICE && i < count; n++, i++)
            if (!add_one(&q, &ids, i, destinations, now_us + i))
                return 1;
        end(&add);
    }
    say("add and defer", &add, count);
    printf("%zu bytes, %.0f per message\n", memory_used() - before, (double)(memory_used() - before) / (double)count);
    go_round(&q, recipients, now_us + 7200 * UINT64_C(1000000));
    printf("%zu bytes, %.0f per message after a round\n", memory_used() - before,
           (double)(memory_used() - before) / (double)count);
    remove_all(&q, count);
    printf("%zu bytes left\n", memory_used() - before);
    queue_free(&q);
    return 0;
}
