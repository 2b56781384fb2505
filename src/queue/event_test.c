#include "queue/event.h"

#include "base/test.h"

static const struct queue_event rows[] = {
    { 0 },
    { .code = 250,
      .status = { 2, 1, 5 },
      .text = { "2.1.5 ok", 8 },
      .remote = { "mx [192.0.2.1]:25", 17 },
      .phase = 7,
      .took_us = 12 },
    { .code = 450,
      .text = { "a\nb", 3 },
      .attempts = 65535,
      .next_wall_us = UINT64_MAX,
      .age_s = 5,
      .uncertain = true },
    { .first = 3, .report = { { 1, 2, 3 } } },
};

static bool same(const struct queue_event *a, const struct queue_event *b)
{
    return a->code == b->code && a->status[0] == b->status[0] && a->status[1] == b->status[1] &&
           a->status[2] == b->status[2] && view_equal(a->text, b->text) && view_equal(a->remote, b->remote) &&
           a->phase == b->phase && a->uncertain == b->uncertain && a->took_us == b->took_us &&
           a->next_wall_us == b->next_wall_us && a->age_s == b->age_s && a->attempts == b->attempts &&
           a->first == b->first && mail_id_compare(&a->report, &b->report) == 0;
}

static void test_round_trip(void **state)
{
    char memory[512];
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct buffer tags = BUFFER_OF(memory);
        struct queue_event event;
        queue_event_pack(&tags, &rows[i]);
        assert_false(tags.full);
        assert_true(tags.len <= QUEUE_EVENT_ROOM + rows[i].text.len + rows[i].remote.len);
        assert_true(queue_event_unpack(buffer_view(&tags), &event));
        assert_true(same(&event, &rows[i]));
    }
}

static void test_paths(void **state)
{
    char memory[512];
    struct buffer tags = BUFFER_OF(memory);
    struct queue_event event;
    struct view path;
    (void)state;
    queue_event_pack(&tags, &rows[1]);
    queue_event_add_path(&tags, VIEW("a@b"));
    spool_tag_add(&tags, 4711, VIEW("of a later version"));
    queue_event_add_path(&tags, VIEW("c@d"));
    assert_true(queue_event_unpack(buffer_view(&tags), &event));
    assert_int_equal(event.path_count, 2);
    assert_true(queue_event_path(&event.paths, &path) && view_equal(path, VIEW("a@b")));
    assert_true(queue_event_path(&event.paths, &path) && view_equal(path, VIEW("c@d")));
    assert_false(queue_event_path(&event.paths, &path));
}

/* Cut anywhere, or with numbers of another size: no event, or a shorter one. */
static void test_malformed(void **state)
{
    static const uint16_t numbers[] = { QUEUE_TAG_CODE,    QUEUE_TAG_STATUS,   QUEUE_TAG_PHASE,
                                        QUEUE_TAG_TOOK_US, QUEUE_TAG_ATTEMPTS, QUEUE_TAG_NEXT_WALL_US,
                                        QUEUE_TAG_AGE_S,   QUEUE_TAG_REPORT,   QUEUE_TAG_FIRST };
    char memory[512];
    struct queue_event event;
    (void)state;
    struct buffer tags = BUFFER_OF(memory);
    queue_event_pack(&tags, &rows[1]);
    for (size_t i = 0; i < tags.len; i++)
        (void)queue_event_unpack((struct view){ memory, i }, &event);
    assert_false(queue_event_unpack((struct view){ memory, tags.len - 1 }, &event));
    for (size_t i = 0; i < ROWS(numbers); i++) {
        struct buffer odd = BUFFER_OF(memory);
        spool_tag_add(&odd, numbers[i], VIEW("12345678901234567"));
        assert_false(queue_event_unpack(buffer_view(&odd), &event));
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(queue_event_name(QUEUE_EVENT_DELIVERED), "delivered");
    assert_string_equal(queue_event_name(QUEUE_EVENT_DEFERRED), "deferred");
    assert_string_equal(queue_event_name(QUEUE_EVENT_REPORTED), "report-written");
    assert_null(queue_event_name(99));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
