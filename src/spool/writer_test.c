/* Limits of memory, spilling and holding back; and the parser of envelopes against what it must not believe. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spool/message.h"
#include "spool/rig_test.h"

/* ---- memory ---- */

static struct rig rig;

static void start(size_t memory_max, size_t large_min)
{
    rig = (struct rig){ .story = "writer", .memory_max = memory_max, .large_min = large_min, .segment_size = 1 << 20 };
    rig_start(&rig, NULL);
    assert_true(rig_open(&rig));
}

static enum spool_taken fill(struct spool_entry *entry, size_t size)
{
    static char bytes[4096];
    enum spool_taken taken = SPOOL_TAKEN;
    for (size_t at = 0; at < size && taken == SPOOL_TAKEN; at += sizeof(bytes))
        taken = spool_entry_add(entry, (struct view){ bytes, sizeof(bytes) });
    return taken;
}

/* As a session does: held back, it waits. */
static enum spool_taken fill_patiently(struct spool_entry *entry, size_t size)
{
    enum spool_taken taken = SPOOL_TAKEN;
    for (size_t at = 0; at < size && taken == SPOOL_TAKEN; at += 4096) {
        taken = fill(entry, 4096);
        if (taken == SPOOL_HOLD) {
            rig_run(&rig);
            taken = fill(entry, 4096);
        }
    }
    return taken;
}

/* A commit waits for as much company as its owner wants, or until it is told that nobody else comes. */
static void test_company(void **state)
{
    (void)state;
    start(1 << 20, 0);
    rig.company = 3;
    rig_play(&rig, "m100 m100");
    assert_int_equal(rig.letters[0].promise, NOTHING);
    rig_play(&rig, "m100");
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig.letters[i].promise, KEPT);
    rig_play(&rig, "m100");
    assert_int_equal(rig.letters[3].promise, NOTHING);
    spool_writer_go(rig.writer);
    rig_run(&rig);
    assert_int_equal(rig.letters[3].promise, KEPT);
    rig_play(&rig, "m100"); /* it held for that one commit */
    assert_int_equal(rig.letters[4].promise, NOTHING);
    rig_stop(&rig);
}

/* H90: no segments come. What waits for one since the call before is refused; when they come again all is well. */
static void test_starve(void **state)
{
    const struct mem_fault fault = { .kinds = MEM_OP(OS_RENAME), .times = 1000, .status = OS_NO_SPACE };
    (void)state;
    rig = (struct rig){ .story = "starve" };
    rig_start(&rig, NULL);
    assert_true(rig_open(&rig));
    assert_false(spool_writer_starve(rig.writer));
    mem_disk_fail_at(rig_disk(&rig), &fault);
    rig_play(&rig, "m30000 m30000 m30000");
    assert_int_equal(rig.letters[1].promise, KEPT);
    assert_int_equal(rig.letters[2].promise, NOTHING);
    assert_true(spool_writer_starve(rig.writer));
    rig_run(&rig);
    assert_int_equal(rig.letters[2].promise, NOTHING);
    assert_true(spool_writer_starve(rig.writer));
    rig_run(&rig);
    assert_int_equal(rig.letters[2].promise, REFUSED);
    assert_false(spool_writer_ready(rig.writer));
    mem_disk_heal(rig_disk(&rig));
    rig_run(&rig);
    assert_false(spool_writer_starve(rig.writer));
    rig_play(&rig, "m100");
    assert_int_equal(rig.letters[3].promise, KEPT);
    rig_play(&rig, "n");
    rig_judge(&rig);
    rig_stop(&rig);
}

/* H90: at the limit a message is refused, and when it is gone there is room again. */
static void test_memory_is_full(void **state)
{
    struct spool_entry *entries[100];
    size_t count = 0;
    (void)state;
    start(64 << 10, 32 << 10);
    while (count < 100) {
        entries[count] = spool_entry_new(rig.writer);
        if (!entries[count] || fill(entries[count++], 4096) != SPOOL_TAKEN)
            break;
    }
    assert_in_range(count, 4, 20);
    spool_entry_drop(entries[--count]);
    while (count)
        spool_entry_drop(entries[--count]);
    rig_play(&rig, "m100");
    assert_int_equal(rig.letters[0].promise, KEPT);
    rig_stop(&rig);
}

/* At 75 % the largest goes to a segment of its own, and all of it comes out again. */
static void test_largest_spills(void **state)
{
    (void)state;
    start(256 << 10, 200 << 10);
    size_t before = rig_count(&rig, "segments");
    struct spool_entry *large = spool_entry_new(rig.writer);
    assert_int_equal(fill_patiently(large, 120 << 10), SPOOL_TAKEN);
    struct spool_entry *small = spool_entry_new(rig.writer);
    assert_int_equal(fill_patiently(small, 60 << 10), SPOOL_TAKEN);
    rig_run(&rig);
    assert_true(rig_count(&rig, "segments") > before);
    assert_int_equal(fill_patiently(large, 120 << 10), SPOOL_TAKEN);
    spool_entry_drop(large);
    spool_entry_drop(small);
    rig_run(&rig);
    rig_play(&rig, "m100 m300000");
    rig_judge(&rig);
    rig_compare(&rig);
    rig_stop(&rig);
}

/* A large message that comes faster than the disk takes it is held back, not kept in memory. */
static void test_disk_is_behind(void **state)
{
    (void)state;
    start(16 << 20, 32 << 10);
    struct spool_entry *entry = spool_entry_new(rig.writer);
    assert_int_equal(fill(entry, 64 << 20), SPOOL_HOLD);
    rig_run(&rig);
    assert_int_equal(fill(entry, 256 << 10), SPOOL_TAKEN);
    spool_entry_drop(entry);
    rig_run(&rig);
    rig_stop(&rig);
}

static void test_no_segment(void **state)
{
    (void)state;
    rig = (struct rig){ .story = "no segment" };
    rig_start(&rig, NULL);
    assert_true(rig_open(&rig));
    rig_play(&rig, "m10");
    mem_disk_set_room(rig_disk(&rig), 0);
    for (int i = 0; i < 20; i++)
        rig_play(&rig, "m30000");
    assert_false(spool_writer_ready(rig.writer));
    assert_null(spool_entry_new(rig.writer));
    assert_true(rig.alarms > 0);
    mem_disk_heal(rig_disk(&rig));
    rig_run(&rig);
    assert_true(spool_writer_ready(rig.writer));
    rig_play(&rig, "n");
    rig_judge(&rig);
    rig_stop(&rig);
}

/* Dropped at any moment: nothing of it is left over. */
static void test_drop(void **state)
{
    static const size_t sizes[] = { 0, 1, 4096, 40000, 400000 };
    (void)state;
    start(4 << 20, 32 << 10);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct spool_entry *entry = spool_entry_new(rig.writer);
        assert_int_equal(fill(entry, sizes[i]), SPOOL_TAKEN);
        spool_entry_drop(entry);
        rig_run(&rig);
    }
    assert_in_range(rig_count(&rig, "segments"), 6, 8); /* held ones only: up to 4 for large messages */
    rig_stop(&rig);
}

/* ---- envelopes ---- */

static bool parse(struct view tags, uint64_t body, struct spool_message *message)
{
    struct record_header record = { .place = 3 * SPOOL_BLOCK, .head_size = (uint32_t)tags.len, .body_size = body };
    return message_of_record(5, &record, tags, message);
}

enum { ID = 1, PATH = 2, RECIPIENT_WITHOUT_PATH = 4, UNKNOWN_MAY = 8, UNKNOWN_MUST = 16, CUT = 32 };

static const struct {
    const char *name;
    unsigned what;
    enum piece_kind kind;
    uint64_t from, len;
    bool good;
} rows[] = {
    { "all of the body", ID | PATH, PIECE_BODY, 0, 100, true },
    { "none of it", ID | PATH, PIECE_BODY, 100, 0, true },
    { "no id", PATH, PIECE_BODY, 0, 100, false },
    { "past the body", ID | PATH, PIECE_BODY, 1, 100, false },
    { "sum overflows", ID | PATH, PIECE_BODY, 50, UINT64_MAX - 10, false },
    { "begins past the body", ID | PATH, PIECE_BODY, 101, 0, false },
    { "before in the segment", ID | PATH, PIECE_SEGMENT, DATA_START, SPOOL_BLOCK, true },
    { "in the segment's header", ID | PATH, PIECE_SEGMENT, 0, 10, false },
    { "over its own record", ID | PATH, PIECE_SEGMENT, DATA_START, SPOOL_BLOCK + 1, false },
    { "segment range overflows", ID | PATH, PIECE_SEGMENT, DATA_START, UINT64_MAX, false },
    { "unknown kind of piece", ID | PATH, (enum piece_kind)9, 0, 1, false },
    { "recipient without a path", ID | RECIPIENT_WITHOUT_PATH, PIECE_BODY, 0, 1, false },
    { "tag that may be ignored", ID | PATH | UNKNOWN_MAY, PIECE_BODY, 0, 1, true },
    { "tag that must be understood", ID | PATH | UNKNOWN_MUST, PIECE_BODY, 0, 1, false },
    { "cut off", ID | PATH | CUT, PIECE_BODY, 0, 1, false },
};

static struct view build(struct buffer *tags, size_t row)
{
    unsigned what = rows[row].what;
    if (what & ID)
        spool_tag_add(tags, SPOOL_TAG_ID, VIEW("fifteen bytes.."));
    if (what & UNKNOWN_MAY)
        spool_tag_add(tags, 1234, VIEW("?"));
    if (what & UNKNOWN_MUST)
        spool_tag_add(tags, SPOOL_MUST | 1234, VIEW("?"));
    size_t place = spool_tag_open(tags, SPOOL_TAG_RECIPIENT);
    if (what & PATH)
        spool_tag_add(tags, SPOOL_RECIPIENT_PATH, VIEW("user@example.org"));
    spool_tag_close(tags, place);
    place = spool_tag_open(tags, SPOOL_TAG_PIECES);
    piece_add_insert(tags, VIEW("Received: x\r\n"));
    piece_add_range(tags, rows[row].kind, rows[row].from, rows[row].len, 0);
    spool_tag_close(tags, place);
    return view_slice(buffer_view(tags), 0, tags->len - (what & CUT ? 1 : 0));
}

/* H33 */
static void test_envelopes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char memory[512];
        struct buffer tags = BUFFER_OF(memory);
        struct spool_message message;
        if (parse(build(&tags, i), 100, &message) != rows[i].good)
            fail_msg("row %zu: %s", i, rows[i].name);
        if (rows[i].good)
            assert_int_equal(spool_message_size(&message), rows[i].len + 13);
    }
}

/* Every prefix of an envelope is refused, and none makes the reader read past it. */
static void test_every_prefix(void **state)
{
    char memory[512];
    struct buffer tags = BUFFER_OF(memory);
    struct view whole = build(&tags, 0);
    (void)state;
    for (size_t len = 0; len < whole.len; len++) {
        struct spool_message message;
        char *exact = malloc(len ? len : 1); /* for the sanitizer */
        memcpy(exact, whole.at, len);
        bool good = parse((struct view){ exact, len }, 100, &message);
        struct spool_reader reader;
        struct spool_span span;
        spool_reader_init(&reader, &message, VIEW_NONE);
        while (spool_reader_next(&reader, &span))
            ;
        /* Only a prefix that ends between two tags is an envelope. */
        if (good && len < MAIL_ID_SIZE + 6)
            fail_msg("a prefix of %zu bytes was taken for an envelope", len);
        free(exact);
    }
}

static void test_reader(void **state)
{
    char memory[512];
    struct buffer tags = BUFFER_OF(memory);
    struct spool_message message;
    struct spool_reader reader;
    struct spool_span span;
    (void)state;
    assert_true(parse(build(&tags, 0), 100, &message));
    assert_int_equal(message.recipient_count, 1);
    spool_reader_init(&reader, &message, VIEW("Return-Path: <>\r\n"));
    assert_true(spool_reader_next(&reader, &span));
    assert_true(view_equal(span.bytes, VIEW("Return-Path: <>\r\n")));
    assert_true(spool_reader_next(&reader, &span));
    assert_true(view_equal(span.bytes, VIEW("Received: x\r\n")));
    assert_true(spool_reader_next(&reader, &span));
    assert_null(span.bytes.at);
    assert_int_equal(span.offset, message.body_offset);
    assert_int_equal(span.len, 100);
    assert_false(spool_reader_next(&reader, &span));
    assert_false(reader.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_company),        cmocka_unit_test(test_memory_is_full),
        cmocka_unit_test(test_largest_spills), cmocka_unit_test(test_disk_is_behind),
        cmocka_unit_test(test_no_segment),     cmocka_unit_test(test_drop),
        cmocka_unit_test(test_envelopes),      cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_reader),         cmocka_unit_test(test_starve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
