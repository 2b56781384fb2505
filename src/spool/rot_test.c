/* Damage that no crash makes: flipped bits, cut and zeroed files. Nothing crashes, nobody else's message suffers, what
 * is damaged is in quarantine/ and an alarm was given. */
#include "spool/rig_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sealed segments with and without footer, a log, a large message, and segments that were just being written. */
static const char script[] = "m9000 m100,m120,m140 e0 m4000 n m200 m40000 e1,d2 m300,m10";

#define FILES_MAX 16

struct files {
    char path[FILES_MAX][64];
    uint64_t size[FILES_MAX];
    size_t count;
};

static void list_folder(struct rig *rig, const char *folder, struct files *files)
{
    struct os_dir *dir = NULL;
    char names[2048];
    struct os_op open = { .kind = OS_OPEN_DIR, .dir = rig->dir, .name = folder, .opened_dir = &dir };
    os_run_ops(rig->os, &open, 1);
    struct os_op list = { .kind = OS_LIST, .dir = dir, .buf = names, .len = sizeof(names) };
    os_run_ops(rig->os, &list, 1);
    for (struct view rest = { names, (size_t)list.value }; rest.len && files->count < FILES_MAX; files->count++) {
        struct os_stat stat = { 0 };
        struct view name = view_take_until(&rest, 0);
        struct os_op look = { .kind = OS_STAT, .dir = dir, .name = name.at, .stat = &stat };
        os_run_ops(rig->os, &look, 1);
        snprintf(files->path[files->count], sizeof(files->path[0]), "/spool/%s/%.*s", folder, VIEW_FORMAT(name));
        files->size[files->count] = stat.size;
    }
    os_dir_close(dir);
}

/* Plays the script, and leaves the disk as the end of all processes leaves it. */
static struct mem_disk *make(struct rig *ledger, struct files *files)
{
    struct rig rig = { .story = "rot", .segment_size = 32 << 10, .large_min = 16 << 10 };
    rig_start(&rig, NULL);
    assert_true(rig_open(&rig));
    rig_play(&rig, script);
    files->count = 0;
    list_folder(&rig, "segments", files);
    snprintf(files->path[files->count], sizeof(files->path[0]), "/spool/spool");
    files->size[files->count++] = 8192;
    *ledger = rig;
    return rig_take_disk(&rig);
}

static void reopen(struct rig *rig, const struct rig *ledger, struct mem_disk *disk)
{
    *rig = *ledger;
    rig->world = NULL;
    rig->os = NULL;
    rig->dir = NULL;
    rig->writer = NULL;
    rig->store = NULL;
    rig->alarms = 0;
    rig->tolerant = true;
    rig_start(rig, disk);
    if (!rig_open(rig))
        fail_msg("refused: %s: %s", rig->error, rig->story);
}

/* Returns how many messages are missing. None may be of another segment, and unless the damage cannot be seen there was
 * an alarm and something is in quarantine. */
static size_t survivors(struct rig *rig, const char *path, size_t missing_max, bool can_be_seen)
{
    size_t missing = 0;
    rig_compare(rig);
    for (size_t i = 0; i < rig->letter_count; i++) {
        const struct letter *letter = &rig->letters[i];
        if (letter->seen > 1)
            fail_msg("message %zu came twice: %s", i, rig->story);
        if (letter->promise != KEPT || letter->forgotten || letter->seen)
            continue;
        missing++;
        if (strtoull(strrchr(path, '/') + 1, NULL, 16) != letter->place.segment)
            fail_msg("message %zu is lost, of another segment: %s", i, rig->story);
    }
    if (missing && can_be_seen && (!rig->alarms || !rig_count(rig, "quarantine")))
        fail_msg("%zu messages are lost without a word: %s", missing, rig->story);
    if (missing > missing_max)
        fail_msg("%zu messages are lost: %s", missing, rig->story);
    rig_play(rig, "m77 n");
    if (!rig->letters[rig->letter_count - 1].seen)
        fail_msg("no mail is taken: %s", rig->story);
    return missing;
}

static void no_line(void *ctx, struct view text)
{
    (void)ctx;
    (void)text;
}

/* `gonets spool check` on the same disk: it survives whatever it reads, and changes nothing. */
static uint64_t look(const struct mem_disk *disk)
{
    struct rig rig = { .story = "look" };
    const struct spool_look look = { NULL, no_line, true };
    rig_start(&rig, mem_disk_clone(disk));
    uint64_t faults = spool_look_at(rig.os, rig.dir, &look);
    assert_int_equal(mem_disk_unsynced_count(rig_disk(&rig)), 0);
    rig_stop(&rig);
    return faults;
}

/* H138 H33: a flipped bit costs one message at most; in the last group of a segment that nobody sealed, the group,
 * since what is damaged there was perhaps never acknowledged. */
static void test_flipped_bits(void **state)
{
    struct rig ledger;
    struct files files;
    struct mem_disk *disk = make(&ledger, &files);
    uint64_t step = getenv("GONETS_DEEP") ? 1 : 41, tried = 0, lost = 0, faults = 0;
    (void)state;
    for (size_t f = 0; f < files.count; f++)
        for (uint64_t at = f; at < files.size[f] && at < 60000; at += step, tried++) {
            char story[128];
            struct rig rig;
            struct mem_disk *copy = mem_disk_clone(disk);
            mem_disk_crash(copy, (struct mem_choice){ MEM_KEEP_ALL, 0 });
            assert_true(mem_disk_rot(copy, files.path[f], at, (uint8_t)(1 << (at / step % 8))));
            snprintf(story, sizeof(story), "bit flipped in %s at %llu", files.path[f], (unsigned long long)at);
            ledger.story = story;
            faults += look(copy) != 0;
            reopen(&rig, &ledger, copy);
            lost += survivors(&rig, files.path[f], 2, true) != 0;
            rig_stop(&rig);
        }
    mem_disk_free(disk);
    printf("spool: %llu bits flipped, %llu cost a message, check sees %llu\n", (unsigned long long)tried,
           (unsigned long long)lost, (unsigned long long)faults);
    assert_true(faults > lost);
}

static void spoil(struct rig *rig, const char *path, uint64_t from, uint64_t to, bool cut)
{
    static char zeros[65536];
    struct os_file *file = NULL;
    struct os_slice slice = { zeros, to - from < sizeof(zeros) ? to - from : sizeof(zeros) };
    struct os_op ops[3] = {
        { .kind = OS_OPEN, .dir = rig->dir, .name = path + strlen("/spool/"), .file = &file, .flags = OS_FOR_WRITE },
        { .kind = OS_WRITE, .file = &file, .offset = from, .slices = &slice, .slice_count = 1 },
        { .kind = OS_SYNC, .file = &file },
    };
    if (cut)
        ops[1] = (struct os_op){ .kind = OS_TRUNCATE, .file = &file, .offset = from };
    os_run_ops(rig->os, ops, 3);
    os_file_close(file);
}

/* H137: every file of segments/ cut off, and zeroed from there or for one sector, at every 512 bytes. A segment that
 * nobody sealed and that is now zeros looks like one that was never written. */
static void test_cut_and_zeroed(void **state)
{
    static const char *const ways[] = { "cut off", "zeroed to the end", "one sector zeroed" };
    struct rig ledger;
    struct files files;
    struct mem_disk *disk = make(&ledger, &files);
    uint64_t tried = 0;
    (void)state;
    for (size_t f = 0; f + 1 < files.count; f++)
        for (uint64_t at = 0; at < files.size[f]; at += 512)
            for (int way = 0; way < 3; way++, tried++) {
                char story[128];
                struct rig rig;
                struct mem_disk *copy = mem_disk_clone(disk);
                mem_disk_crash(copy, (struct mem_choice){ MEM_KEEP_ALL, 0 });
                snprintf(story, sizeof(story), "%s %s at %llu", files.path[f], ways[way], (unsigned long long)at);
                struct rig helper = { .story = story };
                rig_start(&helper, copy);
                spoil(&helper, files.path[f], at, way == 1 ? files.size[f] : at + 512, way == 0);
                copy = rig_take_disk(&helper);
                ledger.story = story;
                reopen(&rig, &ledger, copy);
                survivors(&rig, files.path[f], way == 2 ? 2 : rig.letter_count, way == 2);
                rig_stop(&rig);
            }
    mem_disk_free(disk);
    printf("spool: %llu times cut or zeroed\n", (unsigned long long)tried);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_cut_and_zeroed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
