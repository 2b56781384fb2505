/* What a store refuses to open, what it locks, and what it never does twice. */
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "spool/format.h"
#include "spool/rig_test.h"

static void write_at(struct rig *rig, const char *name, uint64_t offset, const void *bytes, size_t len)
{
    struct os_file *file = NULL;
    struct os_slice slice = { bytes, len };
    struct os_op ops[3] = { { .kind = OS_OPEN, .dir = rig->dir, .name = name, .file = &file, .flags = OS_FOR_WRITE },
                            { .kind = OS_COMMIT, .file = &file, .offset = offset, .slices = &slice, .slice_count = 1 },
                            { .kind = OS_CLOSE, .file = &file } };
    os_run_ops(rig->os, ops, 3);
    assert_int_equal(ops[1].status, OS_OK);
}

static void remove_file(struct rig *rig, const char *name)
{
    struct os_op op = { .kind = OS_UNLINK, .dir = rig->dir, .name = name };
    os_run_ops(rig->os, &op, 1);
    assert_int_equal(op.status, OS_OK);
}

static void expect_refusal(struct rig *rig, const char *word)
{
    uint64_t before = mem_disk_unsynced_count(rig_disk(rig));
    if (rig_open(rig))
        fail_msg("it was opened: %s", rig->story);
    if (!strstr(rig->error, word))
        fail_msg("\"%s\" does not speak of \"%s\"", rig->error, word);
    assert_int_equal(mem_disk_unsynced_count(rig_disk(rig)), before);
    rig_stop(rig);
}

/* A spool with one message; nobody has it open. */
static void start(struct rig *rig, const char *story)
{
    *rig = (struct rig){ .story = story };
    rig_start(rig, NULL);
    assert_true(rig_open(rig));
    rig_play(rig, "m100");
    struct mem_disk *disk = rig_take_disk(rig);
    rig_start(rig, disk);
}

/* H148 */
static void test_absent_marker(void **state)
{
    struct rig rig;
    (void)state;
    start(&rig, "no marker");
    remove_file(&rig, "spool");
    struct spool_locks locks;
    assert_int_equal(spool_lock(rig.os, rig.dir, &locks), OS_NOT_FOUND);
    /* Nor does anybody make a new spool over the old one. */
    assert_int_equal(spool_create(rig.os, rig.dir), OS_EXISTS);
    expect_refusal(&rig, "mounted");
}

/* H148 */
static void test_foreign_marker(void **state)
{
    struct rig rig;
    char bytes[MARKER_SIZE];
    struct marker marker = { .id = "somebody else's", .number_limit = 1000000 };
    (void)state;
    start(&rig, "foreign marker");
    marker_put(bytes, &marker);
    write_at(&rig, "spool", 0, bytes, sizeof(bytes));
    expect_refusal(&rig, "another spool");
}

/* H149 */
static void test_unknown_version(void **state)
{
    struct rig rig;
    char version[4] = { FORMAT_VERSION + 1 };
    (void)state;
    start(&rig, "marker of another version");
    write_at(&rig, "spool", 8, version, 4);
    write_at(&rig, "spool", SPOOL_BLOCK + 8, version, 4);
    expect_refusal(&rig, "another version");
    start(&rig, "segment of another version");
    write_at(&rig, "segments/0000000000000001", 8, version, 4);
    write_at(&rig, "segments/0000000000000001", SEGMENT_HEADER_COPY + 8, version, 4);
    expect_refusal(&rig, "another version");
}

/* What cannot be read goes to quarantine/; when that cannot be, nobody says that it did. */
static void test_damaged_header(void **state)
{
    static const char zeros[SPOOL_BLOCK];
    static const struct mem_fault fault = { .kinds = MEM_OP(OS_RENAME), .times = 1, .status = OS_IO };
    struct rig rig;
    (void)state;
    for (int refused = 0; refused < 2; refused++) {
        start(&rig, "damaged header");
        write_at(&rig, "segments/0000000000000001", 0, zeros, sizeof(zeros));
        if (refused)
            mem_disk_fail_at(rig_disk(&rig), &fault);
        rig.alarms = 0;
        assert_true(rig_open(&rig));
        assert_int_equal(rig.alarms, 1);
        assert_int_equal(rig.left_alone, refused);
        assert_int_equal(rig_count(&rig, "quarantine"), !refused);
        rig_stop(&rig);
    }
}

static void test_read_only(void **state)
{
    struct rig rig;
    (void)state;
    start(&rig, "read-only");
    mem_disk_set_read_only(rig_disk(&rig), true);
    assert_false(rig_open(&rig));
    assert_non_null(strstr(rig.error, "cannot be written"));
    mem_disk_set_read_only(rig_disk(&rig), false);
    assert_true(rig_open(&rig));
    rig_judge(&rig);
    rig_stop(&rig);
}

/* H141: ten at once; the one that has it dies, and exactly one other gets it. */
static void test_lock(void **state)
{
    struct rig rig;
    struct os *processes[10];
    (void)state;
    start(&rig, "locks");
    for (int round = 0; round < 3; round++) {
        int winner = -1;
        for (int i = 0; i < 10; i++) {
            enum os_status status;
            processes[i] = mem_process_new(rig.host);
            struct spool_locks locks;
            struct os_dir *dir = os_dir_path(processes[i], "/spool", &status);
            status = spool_lock(processes[i], dir, &locks);
            assert_int_equal(status, winner < 0 ? OS_OK : OS_LOCKED);
            if (status == OS_OK)
                winner = i;
        }
        for (int i = 0; i < 10; i++)
            mem_process_kill(processes[i]);
    }
    rig_stop(&rig);
}

static void test_create(void **state)
{
    struct rig rig = { .story = "create" };
    (void)state;
    rig_start(&rig, NULL);
    assert_int_equal(spool_create(rig.os, rig.dir), OS_EXISTS);
    /* An attempt that was cut short does not hinder the next. */
    remove_file(&rig, "spool");
    assert_int_equal(spool_create(rig.os, rig.dir), OS_OK);
    remove_file(&rig, "spool");
    struct os_op op = { .kind = OS_MAKE_DIR, .dir = rig.dir, .name = "mail", .mode = 0700 };
    os_run_ops(rig.os, &op, 1);
    assert_int_equal(spool_create(rig.os, rig.dir), OS_EXISTS);
    rig_stop(&rig);
}

/* H146: whatever ends and begins anew, no segment number comes twice. */
static void test_numbers(void **state)
{
    struct rig rig = { .story = "numbers" };
    uint64_t last = 0;
    (void)state;
    rig_start(&rig, NULL);
    assert_true(rig_open(&rig));
    for (int i = 0; i < 20; i++) {
        rig_play(&rig, "m10");
        uint64_t number = rig.letters[i].place.segment;
        assert_true(number > last);
        last = number;
        rig_finish_all(&rig);
        rig_play(&rig, "n");
    }
    rig_stop(&rig);
}

/* A record in a segment, written over by one with another head of the same size and right checksums. */
static void put_head(struct rig *rig, const struct letter *letter, void (*change)(char *head, size_t len))
{
    char path[64], bytes[4096];
    struct os_file *file = NULL;
    snprintf(path, sizeof(path), "segments/%016llx", (unsigned long long)letter->place.segment);
    struct os_op ops[3] = { { .kind = OS_OPEN, .dir = rig->dir, .name = path, .file = &file, .flags = OS_FOR_READ },
                            { .kind = OS_READ,
                              .file = &file,
                              .offset = letter->place.offset,
                              .buf = bytes,
                              .len = letter->place.head_size },
                            { .kind = OS_CLOSE, .file = &file } };
    os_run_ops(rig->os, ops, 3);
    struct record_header record;
    size_t len = letter->place.head_size - RECORD_HEADER_SIZE;
    assert_true(record_header_read((struct view){ bytes, sizeof(bytes) }, letter->place.segment, letter->place.offset,
                                   &record));
    change(bytes + RECORD_HEADER_SIZE, len);
    record.head_crc = crc32c(0, (struct view){ bytes + RECORD_HEADER_SIZE, len });
    record_header_put(bytes, letter->place.segment, get_u64(bytes), &record);
    write_at(rig, path, letter->place.offset, bytes, letter->place.head_size);
}

static void unknown_must(char *head, size_t len)
{
    struct view rest = { head, len }, value;
    uint16_t tag;
    while (spool_tag_next(&rest, &tag, &value))
        if (tag == SPOOL_TAG_HELLO) {
            char *at = head + (value.at - head) - 6;
            at[0] = 77;
            at[1] = (char)0x80;
        }
}

static void unknown_may(char *head, size_t len)
{
    unknown_must(head, len);
    for (size_t i = 0; i + 1 < len; i++)
        if (head[i] == 77 && head[i + 1] == (char)0x80)
            head[i + 1] = 0;
}

/* H149: what must be understood and is not keeps its message in quarantine; what may be ignored is. */
static void test_unknown_tags(void **state)
{
    struct rig rig;
    (void)state;
    start(&rig, "unknown tag that may be ignored");
    put_head(&rig, &rig.letters[0], unknown_may);
    assert_true(rig_open(&rig));
    assert_int_equal(rig.letters[0].seen, 1);
    assert_int_equal(rig.alarms, 0);
    rig_stop(&rig);
    start(&rig, "unknown tag that must be understood");
    put_head(&rig, &rig.letters[0], unknown_must);
    assert_true(rig_open(&rig));
    assert_int_equal(rig.letters[0].seen, 0);
    assert_true(rig.alarms > 0);
    assert_true(rig_count(&rig, "quarantine") > 0);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent_marker),   cmocka_unit_test(test_foreign_marker),
        cmocka_unit_test(test_unknown_version), cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_damaged_header),  cmocka_unit_test(test_lock),
        cmocka_unit_test(test_create),          cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_unknown_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
