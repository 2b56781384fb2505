/* The queue in memory: states, lines, turns, pauses, time. */
#include "queue/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"

#define SECOND UINT64_C(1000000)
#define MINUTE (60 * SECOND)
#define NOW    (1000 * SECOND)

static const struct queue_settings settings = { .gaps_us = { MINUTE, 5 * MINUTE },
                                                .gap_count = 2,
                                                .expire_us = 3600 * SECOND,
                                                .warn_us = 600 * SECOND,
                                                .window_max = 20 };

struct desk {
    struct queue q;
    struct mail_id_maker ids;
    uint64_t seed;
};

static int open_desk(void **state)
{
    struct desk *desk = calloc(1, sizeof *desk);
    *state = desk;
    return queue_init(&desk->q, (const uint8_t *)"0123456789abcdef", &settings) ? 0 : -1;
}

static int close_desk(void **state)
{
    struct desk *desk = *state;
    queue_free(&desk->q);
    free(desk);
    return 0;
}

static struct queue_message *add(struct desk *desk, unsigned recipients)
{
    char memory[4096], path[32];
    struct buffer tags = BUFFER_OF(memory);
    bool known;
    spool_tag_add(&tags, SPOOL_TAG_REVERSE_PATH, VIEW("joe@sender.example"));
    spool_tag_add(&tags, SPOOL_TAG_CLIENT, VIEW("192.0.2.9:25"));
    for (unsigned i = 0; i < recipients; i++) {
        size_t place = spool_tag_open(&tags, SPOOL_TAG_RECIPIENT);
        snprintf(path, sizeof path, "r%u@far.example", i);
        spool_tag_add(&tags, SPOOL_RECIPIENT_PATH, view_of(path));
        spool_tag_close(&tags, place);
    }
    assert_false(tags.full);
    const struct spool_message stored = { .id = mail_id_make(&desk->ids, NOW, test_random(&desk->seed)),
                                          .envelope = buffer_view(&tags),
                                          .recipient_count = recipients };
    struct queue_message *m = queue_add(&desk->q, &stored, NOW, 0, &known);
    assert_non_null(m);
    assert_null(queue_add(&desk->q, &stored, NOW, 0, &known));
    assert_true(known);
    assert_true(queue_warm(&desk->q, m, &stored));
    return m;
}

/* With one recipient, in line at that domain. */
static struct queue_recipient *line_up(struct desk *desk, const char *domain)
{
    struct queue_recipient *r = add(desk, 1)->recipients;
    queue_aim(&desk->q, r, queue_destination(&desk->q, QUEUE_RELAY, VIEW("out"), view_of(domain)));
    queue_set(&desk->q, r, QUEUE_READY);
    return r;
}

static struct queue_recipient *begin(struct desk *desk)
{
    struct queue_recipient *r = queue_next(&desk->q, QUEUE_RELAY);
    if (!r)
        return NULL;
    queue_set(&desk->q, r, QUEUE_WORKING);
    queue_begin(&desk->q, r->destination);
    return r;
}

static void end(struct desk *desk, struct queue_recipient *r, enum queue_ended how)
{
    queue_end(&desk->q, r->destination, how);
    queue_remove(&desk->q, r->message);
}

/* ---- what it costs ---- */

static void test_size(void **state)
{
    (void)state;
    assert_true(sizeof(struct queue_message) <= 184);
    assert_true(sizeof(struct queue_recipient) <= 48);
}

static void test_pool(void **state)
{
    enum { COUNT = 20000 };
    struct pool pool;
    char **cells = calloc(COUNT, sizeof *cells);
    (void)state;
    pool_init(&pool, 184);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            assert_non_null(cells[i] = pool_take(&pool));
            memset(cells[i], i, 184);
        }
        assert_true(pool.slabs * 65536 < COUNT * 192 * 102 / 100);
        for (int i = 0; i < COUNT; i++) {
            int at = i * 7919 % COUNT;
            assert_int_equal((uint8_t)cells[at][183], (uint8_t)at);
            pool_give(&pool, cells[at]);
        }
        assert_int_equal(pool.slabs, 0);
    }
    pool_free(&pool);
    free(cells);
}

/* H91: many messages are found whatever their ids have in common. */
static void test_index(void **state)
{
    struct desk *desk = *state;
    static struct mail_id ids[30000];
    size_t place = 0, count = 0;
    for (size_t i = 0; i < ROWS(ids); i++)
        ids[i] = add(desk, 1)->item.id; /* all of one µs: counted up */
    for (size_t i = 0; i < ROWS(ids); i++)
        assert_non_null(queue_find(&desk->q, &ids[i]));
    for (struct queue_message *m; (m = index_chain(&desk->q.messages, &place));) {
        size_t chain = 0;
        for (; m; m = m->item.next)
            chain++;
        assert_true(chain < 32);
        count += chain;
    }
    assert_int_equal(count, ROWS(ids));
    for (size_t i = 0; i < ROWS(ids); i += 2)
        queue_remove(&desk->q, queue_find(&desk->q, &ids[i]));
    for (size_t i = 0; i < ROWS(ids); i++)
        assert_int_equal(queue_find(&desk->q, &ids[i]) != NULL, i % 2);
    assert_int_equal(desk->q.open, ROWS(ids) / 2);
}

static void test_warm_and_cold(void **state)
{
    struct desk *desk = *state;
    struct queue_message *m = add(desk, 3);
    assert_true(view_equal(m->warm->reverse_path, VIEW("joe@sender.example")));
    assert_true(m->warm->client.set);
    assert_true(view_equal(queue_path(m, 2), VIEW("r2@far.example")));
    assert_true(desk->q.warm_bytes > 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_non_null(m->warm);
        queue_aim(&desk->q, &m->recipients[i], desk->q.self);
        queue_wait(&desk->q, &m->recipients[i], 1, NOW + MINUTE);
    }
    assert_null(m->warm);
    assert_int_equal(desk->q.warm_bytes, 0);
    assert_int_equal(queue_path(m, 2).len, 0);
}

/* ---- turns ---- */

/* H92: one who waits for a quiet destination does not wait for what stands in the long line of another. */
static void test_fair(void **state)
{
    struct desk *desk = *state;
    for (int i = 0; i < 1000; i++) {
        line_up(desk, "long.example");
        line_up(desk, "also.example");
    }
    struct queue_recipient *lone = line_up(desk, "lone.example");
    assert_ptr_not_equal(begin(desk), lone);
    assert_ptr_not_equal(begin(desk), lone);
    assert_ptr_equal(begin(desk), lone);
}

/* First come, first served within a line. */
static void test_order(void **state)
{
    struct desk *desk = *state;
    struct queue_recipient *r[4];
    for (int i = 0; i < 4; i++)
        r[i] = line_up(desk, "far.example");
    assert_ptr_equal(begin(desk), r[0]);
    queue_set_first(&desk->q, r[0]);
    assert_ptr_equal(begin(desk), r[0]);
    assert_ptr_equal(begin(desk), r[1]);
    queue_set(&desk->q, r[1], QUEUE_READY);
    assert_ptr_equal(begin(desk), r[2]);
}

static unsigned fill(struct desk *desk, struct queue_recipient **working)
{
    unsigned count = 0;
    while ((working[count] = begin(desk)))
        count++;
    return count;
}

static void test_window(void **state)
{
    static const struct {
        enum queue_ended how;
        unsigned most; /* at a time, after all that were begun have ended so */
    } rows[] = { { QUEUE_ENDED_SO, 5 },    { QUEUE_ENDED_WELL, 6 }, { QUEUE_ENDED_WELL, 7 }, { QUEUE_ENDED_BADLY, 1 },
                 { QUEUE_ENDED_BADLY, 1 }, { QUEUE_ENDED_WELL, 2 }, { QUEUE_ENDED_WELL, 3 } };
    struct desk *desk = *state;
    struct queue_recipient *working[64];
    for (int i = 0; i < 100; i++)
        line_up(desk, "far.example");
    assert_int_equal(fill(desk, working), QUEUE_WINDOW);
    unsigned count = QUEUE_WINDOW;
    for (size_t i = 0; i < ROWS(rows); i++) {
        for (unsigned n = 0; n < count; n++)
            end(desk, working[n], rows[i].how);
        count = fill(desk, working);
        assert_int_equal(count, rows[i].most);
    }
}

static void test_window_has_a_limit(void **state)
{
    struct desk *desk = *state;
    struct queue_recipient *working[64];
    unsigned count = 0;
    for (int i = 0; i < 2000; i++)
        line_up(desk, "far.example");
    for (int round = 0; round < 40; round++) {
        count = fill(desk, working);
        assert_true(count <= settings.window_max);
        for (unsigned n = 0; n < count; n++)
            end(desk, working[n], QUEUE_ENDED_WELL);
    }
    assert_int_equal(count, settings.window_max);
}

/* ---- pauses ---- */

static void test_pause(void **state)
{
    struct desk *desk = *state;
    for (int i = 0; i < 10; i++)
        line_up(desk, "far.example");
    struct queue_recipient *first = begin(desk), *second = begin(desk);
    struct queue_destination *d = first->destination;
    assert_true(queue_unreached(&desk->q, d, VIEW("time out"), NOW));
    queue_end(&desk->q, d, QUEUE_ENDED_SO);
    assert_false(queue_unreached(&desk->q, d, VIEW("time out"), NOW)); /* the second one counts no more */
    queue_end(&desk->q, d, QUEUE_ENDED_SO);
    queue_defer(&desk->q, first, NOW);
    queue_defer(&desk->q, second, NOW);
    assert_string_equal(d->trouble, "time out");
    assert_null(begin(desk));
    uint64_t due = queue_deadline(&desk->q);
    assert_in_range(due, NOW + MINUTE - MINUTE / 8, NOW + MINUTE + MINUTE / 8);
    queue_tick(&desk->q, NOW + MINUTE + MINUTE / 8 + SECOND, 100);
    first = begin(desk);
    assert_non_null(first);
    assert_null(begin(desk)); /* one tries */
    queue_end(&desk->q, d, QUEUE_ENDED_WELL);
    assert_null(d->trouble);
    assert_non_null(begin(desk));
    assert_non_null(begin(desk));
}

static void test_walk(void **state)
{
    struct desk *desk = *state;
    unsigned budget = 4, seen = 0;
    for (int i = 0; i < 10; i++)
        line_up(desk, "far.example");
    struct queue_recipient *r = begin(desk), *head = queue_next(&desk->q, QUEUE_RELAY);
    queue_unreached(&desk->q, r->destination, VIEW("no"), NOW);
    assert_null(queue_walk(&desk->q, NOW, &budget));
    assert_int_equal(budget, 0);
    budget = 100;
    assert_null(queue_walk(&desk->q, NOW, &budget));
    assert_int_equal(budget, 100 - 5); /* nine stand in line */
    assert_ptr_equal(list_entry(r->destination->ready.next, struct queue_recipient, link), head);
    assert_int_equal(head->attempts, 1);
    assert_null(head->message->warm);
    /* Later: all are to be told of, and then given up. */
    queue_retry(&desk->q, head, NOW);
    queue_tick(&desk->q, NOW + 601 * SECOND, 100);
    queue_unreached(&desk->q, r->destination, VIEW("no"), NOW + 601 * SECOND);
    while ((r = queue_walk(&desk->q, NOW + 601 * SECOND, &budget))) {
        assert_true(queue_warns(&desk->q, r->message, NOW + 601 * SECOND));
        assert_false(queue_expired(&desk->q, r->message, NOW + 601 * SECOND));
        r->message->warned = QUEUE_WARNED;
        seen++;
    }
    assert_int_equal(seen, 9);
    assert_true(queue_expired(&desk->q, head->message, NOW + 3600 * SECOND));
}

/* What is known of a destination that cannot be reached outlives its last recipient, until the pause is over. */
static void test_destination_goes(void **state)
{
    struct desk *desk = *state;
    size_t before = desk->q.destinations.count;
    struct queue_recipient *r = line_up(desk, "far.example");
    begin(desk);
    queue_unreached(&desk->q, r->destination, VIEW("no"), NOW);
    end(desk, r, QUEUE_ENDED_SO);
    assert_int_equal(desk->q.destinations.count, before + 1);
    queue_tick(&desk->q, NOW + 2 * MINUTE, 10);
    assert_int_equal(desk->q.destinations.count, before);
}

/* ---- time ---- */

/* H128: later attempts have longer gaps; what was deferred together is spread, a message keeps together. */
static void test_defer(void **state)
{
    struct desk *desk = *state;
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < 200; i++) {
        struct queue_message *m = add(desk, 2);
        for (uint32_t n = 0; n < 2; n++) {
            queue_aim(&desk->q, &m->recipients[n], desk->q.self);
            queue_defer(&desk->q, &m->recipients[n], NOW);
        }
        uint64_t due = queue_due_us(&m->recipients[0]);
        assert_int_equal(due, queue_due_us(&m->recipients[1]));
        assert_int_equal(m->timer.key, due);
        least = due < least ? due : least;
        most = due > most ? due : most;
        queue_defer(&desk->q, &m->recipients[0], NOW);
        queue_defer(&desk->q, &m->recipients[0], NOW);
        assert_int_equal(m->recipients[0].attempts, 3);
        assert_in_range(queue_due_us(&m->recipients[0]), NOW + 262 * SECOND, NOW + 339 * SECOND);
        assert_int_equal(m->timer.key, due); /* of the other one */
    }
    assert_in_range(least, NOW + 52 * SECOND, NOW + 56 * SECOND);
    assert_in_range(most, NOW + 64 * SECOND, NOW + 69 * SECOND);
}

static void test_tick_in_slices(void **state)
{
    struct desk *desk = *state;
    for (int i = 0; i < 100; i++)
        queue_wait(&desk->q, line_up(desk, "far.example"), 1, NOW + MINUTE);
    assert_null(queue_next(&desk->q, QUEUE_RELAY));
    assert_false(queue_tick(&desk->q, NOW + MINUTE - SECOND, 30));
    assert_null(queue_next(&desk->q, QUEUE_RELAY));
    unsigned slices = 0;
    while (queue_tick(&desk->q, NOW + MINUTE, 30))
        slices++;
    assert_int_equal(slices, 3);
    assert_int_equal(queue_next(&desk->q, QUEUE_RELAY)->destination->ready_count, 100);
    assert_int_equal(queue_deadline(&desk->q), UINT64_MAX);
}

static void test_due_together(void **state)
{
    struct desk *desk = *state;
    struct queue_message *m = add(desk, 3);
    static const uint64_t due_s[] = { 60, 63, 90 };
    for (uint32_t i = 0; i < 3; i++) {
        queue_aim(&desk->q, &m->recipients[i], desk->q.self);
        queue_wait(&desk->q, &m->recipients[i], 1, NOW + due_s[i] * SECOND);
    }
    queue_tick(&desk->q, NOW + 60 * SECOND, 10);
    assert_int_equal(m->recipients[0].state, QUEUE_READY);
    assert_int_equal(m->recipients[1].state, QUEUE_READY);
    assert_int_equal(m->recipients[2].state, QUEUE_WAITING);
    assert_int_equal(queue_deadline(&desk->q), NOW + 90 * SECOND);
}

/* ---- expansions ---- */

static void test_expand(void **state)
{
    static const struct view late[] = { { "x@a", 3 }, { "y@a", 3 } }, early[] = { { "z@a", 3 } };
    struct desk *desk = *state;
    struct queue_message *m = add(desk, 2);
    for (uint32_t i = 0; i < 2; i++) {
        queue_aim(&desk->q, &m->recipients[i], desk->q.self);
        queue_set(&desk->q, &m->recipients[i], QUEUE_MARKING);
    }
    assert_true(queue_expand(&desk->q, m, 1, 3, late, 2)); /* became durable before 2 did */
    assert_int_equal(m->recipient_count, 5);
    assert_int_equal(m->recipients[2].state, QUEUE_DONE);
    assert_int_equal(m->open_count, 4);
    assert_true(queue_expand(&desk->q, m, 0, 2, early, 1));
    assert_int_equal(m->open_count, 5);
    assert_false(queue_expand(&desk->q, m, 0, 2, early, 1));
    assert_false(queue_expand(&desk->q, m, 9, 5, early, 1));
    assert_true(view_equal(queue_path(m, 2), VIEW("z@a")));
    assert_true(view_equal(queue_path(m, 4), VIEW("y@a")));
    assert_int_equal(queue_parent(m, 4), 1);
    assert_int_equal(queue_parent(m, 2), 0);
    assert_int_equal(queue_parent(m, 1), QUEUE_NO_PARENT);
    assert_int_equal(desk->q.open, 5);
}

/* Who stands in a line keeps his place when the message gets more recipients. */
static void test_expand_in_line(void **state)
{
    static const struct view paths[] = { { "x@a", 3 } };
    struct desk *desk = *state;
    struct queue_recipient *before = line_up(desk, "far.example"), *r = line_up(desk, "far.example"),
                           *after = line_up(desk, "far.example");
    struct queue_message *m = r->message;
    assert_true(queue_expand(&desk->q, m, 0, 1, paths, 1));
    assert_ptr_equal(begin(desk), before);
    assert_ptr_equal(begin(desk), &m->recipients[0]);
    assert_ptr_equal(begin(desk), after);
}

/* ---- the administrator's ---- */

/* H150: what is being served cannot be held or released; everything else at once. */
static void test_orders(void **state)
{
    static const struct {
        enum queue_state state;
        bool hold, release, retry;
    } rows[] = { { QUEUE_READY, true, false, true },     { QUEUE_WAITING, true, false, true },
                 { QUEUE_HELD, false, true, false },     { QUEUE_WORKING, false, false, false },
                 { QUEUE_MARKING, false, false, false }, { QUEUE_FETCHING, false, false, false },
                 { QUEUE_DONE, false, false, false } };
    struct desk *desk = *state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct queue_recipient *r = line_up(desk, "far.example");
        queue_set(&desk->q, r, rows[i].state);
        assert_int_equal(queue_retry(&desk->q, r, NOW), rows[i].retry);
        queue_set(&desk->q, r, rows[i].state);
        assert_int_equal(queue_release(&desk->q, r, NOW), rows[i].release);
        queue_set(&desk->q, r, rows[i].state);
        assert_int_equal(queue_hold(&desk->q, r), rows[i].hold);
        queue_remove(&desk->q, r->message);
    }
}

static void test_retry_past_a_pause(void **state)
{
    struct desk *desk = *state;
    struct queue_recipient *r = line_up(desk, "far.example");
    begin(desk);
    queue_unreached(&desk->q, r->destination, VIEW("no"), NOW);
    queue_end(&desk->q, r->destination, QUEUE_ENDED_SO);
    queue_defer(&desk->q, r, NOW);
    assert_true(queue_retry(&desk->q, r, NOW));
    queue_tick(&desk->q, NOW + SECOND, 10);
    assert_ptr_equal(begin(desk), r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_desk, close_desk)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_pool),
        TEST(test_index),
        TEST(test_warm_and_cold),
        TEST(test_fair),
        TEST(test_order),
        TEST(test_window),
        TEST(test_window_has_a_limit),
        TEST(test_pause),
        TEST(test_walk),
        TEST(test_destination_goes),
        TEST(test_defer),
        TEST(test_tick_in_slices),
        TEST(test_due_together),
        TEST(test_expand),
        TEST(test_expand_in_line),
        TEST(test_orders),
        TEST(test_retry_past_a_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
