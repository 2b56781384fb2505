/* What a disk remembers after a crash. */
#include "base/test.h"
#include "os/mem/script_test.h"

#include <stdio.h>
#include <string.h>

#define ALL       MEM_KEEP_ALL, 0
#define NONE      MEM_KEEP_NONE, 0
#define SET(bits) MEM_KEEP_SET, bits

static const struct {
    const char *script;
    size_t units;
    struct mem_choice choice;
    const char *tree;
} rows[] = {
    /* bytes, size and name are three things */
    { "w a 0 hello", 3, { NONE }, "" },
    { "w a 0 hello", 3, { ALL }, "a=hello" },
    { "w a 0 hello", 3, { SET(0x1) }, "a=" },
    { "w a 0 hello", 3, { SET(0x3) }, "a=....." },
    { "w a 0 hello", 3, { SET(0x5) }, "a=" },
    { "w a 0 hello", 3, { SET(0x6) }, "" },
    { "w a 0 hello; fsync a", 1, { NONE }, "" },
    { "w a 0 hello; fsync a", 1, { ALL }, "a=hello" },
    { "w a 0 hello; syncdir /", 2, { NONE }, "a=" },
    { "w a 0 hello; fdatasync a; syncdir /", 0, { NONE }, "a=hello" },
    { "commit a 0 hello; syncdir /", 0, { NONE }, "a=hello" },
    { "w a 0 hello; mkdir b; w b/c 0 x; syncfs", 0, { NONE }, "a=hello b/ b/c=x" },
    { "fill a 10; syncdir /", 0, { NONE }, "a=.........." },
    /* writing over */
    { "commit a 0 hello; syncdir /; w a 1 EL", 1, { NONE }, "a=hello" },
    { "commit a 0 hello; syncdir /; w a 1 EL", 1, { ALL }, "a=hELlo" },
    { "commit a 0 hello; syncdir /; w a 0 J; w a 4 Y", 2, { SET(0x1) }, "a=Jello" },
    { "commit a 0 hello; syncdir /; w a 0 J; w a 4 Y", 2, { SET(0x2) }, "a=JellY" },
    /* growth: units are growth, sector, growth, sector */
    { "syncfs; w a 0 ab; syncdir /; w a 2 cd", 4, { SET(0x4) }, "a=...." },
    { "syncfs; w a 0 ab; syncdir /; w a 2 cd", 4, { SET(0x2) }, "a=" },
    { "syncfs; w a 0 ab; syncdir /; w a 2 cd", 4, { SET(0x3) }, "a=ab" },
    { "syncfs; w a 0 ab; syncdir /; w a 2 cd", 4, { SET(0x6) }, "a=ab.." },
    { "syncfs; w a 0 ab; syncdir /; w a 2 cd", 4, { SET(0x9) }, "a=ab" },
    /* cutting */
    { "commit a 0 hello; syncdir /; cut a 2", 1, { NONE }, "a=hello" },
    { "commit a 0 hello; syncdir /; cut a 2", 1, { ALL }, "a=he" },
    { "commit a 0 hello; syncdir /; cut a 2; cut a 4", 2, { ALL }, "a=he.." },
    { "commit a 0 hello; syncdir /; cut a 2; cut a 4", 2, { SET(0x1) }, "a=he" },
    { "commit a 0 hello; syncdir /; cut a 2; fsync a", 0, { NONE }, "a=he" },
    /* names */
    { "commit a 0 x; syncdir /; rm a", 1, { NONE }, "a=x" },
    { "commit a 0 x; syncdir /; rm a", 1, { ALL }, "" },
    { "commit a 0 x; syncdir /; rm a; syncdir /", 0, { NONE }, "" },
    { "commit a 0 x; syncdir /; mv a b", 1, { NONE }, "a=x" },
    { "commit a 0 x; syncdir /; mv a b", 1, { ALL }, "b=x" },
    { "commit a 0 x; commit b 0 y; syncdir /; mv a b", 1, { NONE }, "a=x b=y" },
    { "commit a 0 x; commit b 0 y; syncdir /; mv a b", 1, { ALL }, "b=x" },
    { "commit a 0 x; syncdir /; ln a b; rm a", 2, { SET(0x1) }, "a=x b=x" },
    { "commit a 0 x; syncdir /; ln a b; rm a", 2, { SET(0x2) }, "" },
    { "commit a 0 x; syncdir /; ln a b; rm a", 2, { SET(0x3) }, "b=x" },
    { "mkdir d; commit d/a 0 x", 2, { SET(0x2) }, "" },
    { "mkdir d; commit d/a 0 x", 2, { SET(0x1) }, "d/" },
    { "mkdir d; commit d/a 0 x; syncdir d", 1, { NONE }, "" },
    { "mkdir d; commit d/a 0 x; syncdir d", 1, { ALL }, "d/ d/a=x" },
    { "mkdir d; commit d/a 0 x; syncdir /", 1, { NONE }, "d/" },
    { "mkdir d; syncdir /; rmdir d", 1, { NONE }, "d/" },
    /* a rename between directories: the new name, then the old one */
    { "mkdir d; commit a 0 x; syncfs; mv a d/b", 2, { NONE }, "a=x d/" },
    { "mkdir d; commit a 0 x; syncfs; mv a d/b", 2, { SET(0x1) }, "a=x d/ d/b=x" },
    { "mkdir d; commit a 0 x; syncfs; mv a d/b", 2, { SET(0x2) }, "a=x d/" },
    { "mkdir d; commit a 0 x; syncfs; mv a d/b", 2, { SET(0x3) }, "d/ d/b=x" },
    { "mkdir d; commit a 0 x; syncfs; mv a d/b; syncdir d", 1, { NONE }, "a=x d/ d/b=x" },
    { "mkdir d; commit a 0 x; syncfs; mv a d/b; syncdir /", 0, { NONE }, "d/ d/b=x" },
    /* what has no durable name and no unit that could bring it back leaves none behind */
    { "w a 0 x; rm a; syncdir /", 0, { ALL }, "" },
    { "w a 0 x; rm a", 4, { SET(0x1) }, "a=" },
    { "commit a 0 x; syncfs; own a 7", 1, { ALL }, "a=x" },
};

struct fixture {
    struct mem_world *world;
    struct mem_host *host;
    struct os *os;
};

static struct fixture begin(void)
{
    struct fixture f = { .world = mem_world_new(1) };
    f.host = mem_host_new(f.world, "a");
    f.os = mem_process_new(f.host);
    return f;
}

static void test_crash(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct fixture f = begin();
        struct mem_disk *disk = mem_host_disk(f.host);
        char text[256];
        struct buffer tree = BUFFER_OF(text);
        enum os_status status = script_run(f.os, rows[i].script);
        size_t units = mem_disk_unsynced_count(disk);
        mem_disk_crash(disk, rows[i].choice);
        script_tree(f.os, &tree);
        if (status != OS_OK || units != rows[i].units || strcmp(text, rows[i].tree) != 0)
            fail_msg("row %zu: %s: %s, %zu units, tree '%s' instead of '%s'", i, rows[i].script, os_status_text(status),
                     units, text, rows[i].tree);
        assert_int_equal(mem_disk_unsynced_count(disk), 0);
        assert_int_equal(mem_world_open_handles(f.world), 0);
        mem_world_free(f.world);
    }
}

/* Every subset of the units gives a tree; each is branched off by a clone, and the first disk is not touched. */
static void test_subsets(void **state)
{
    (void)state;
    static const char script[] = "w a 0 one; commit a 0 two; w b 0 x; mv b c; mkdir d; mv c d/e; w a 511 ZZ";
    struct fixture f = begin();
    char text[256], before[256], trees[128][256];
    struct buffer tree = BUFFER_OF(text), first = BUFFER_OF(before);
    size_t count = 0;
    assert_int_equal(script_run(f.os, script), OS_OK);
    script_tree(f.os, &first);
    size_t units = mem_disk_unsynced_count(mem_host_disk(f.host));
    assert_int_equal(units, 11);
    for (uint64_t set = 0; set < 1u << units; set++) {
        struct mem_disk *disk = mem_disk_clone(mem_host_disk(f.host));
        struct mem_disk *whole = mem_host_swap_disk(f.host, disk);
        mem_disk_crash(disk, (struct mem_choice){ MEM_KEEP_SET, set });
        script_tree(f.os, &tree);
        size_t i = 0;
        while (i < count && strcmp(trees[i], text) != 0)
            i++;
        if (i == count)
            memcpy(trees[count++], text, sizeof(text));
        mem_disk_free(mem_host_swap_disk(f.host, whole));
    }
    script_tree(f.os, &tree);
    assert_string_equal(text, before);
    assert_int_equal(mem_disk_unsynced_count(mem_host_disk(f.host)), units);
    assert_int_equal(count, 69); /* 3 of a, times 7 places of the other file in 3 states, and 2 without it */
    mem_world_free(f.world);
}

static void crash_of(enum mem_survival how, uint64_t value, struct buffer *tree)
{
    struct fixture f = begin();
    assert_int_equal(script_run(f.os, "w a 0 1; w b 0 2; w c 0 3; w d 0 4; fsync a; fsync b; fsync c; fsync d"), OS_OK);
    mem_disk_crash(mem_host_disk(f.host), (struct mem_choice){ how, value });
    script_tree(f.os, tree);
    mem_world_free(f.world);
}

static void test_choices(void **state)
{
    (void)state;
    char text[64], again[64];
    struct buffer tree = BUFFER_OF(text), other = BUFFER_OF(again);
    crash_of(MEM_KEEP_FIRST, 2, &tree);
    assert_string_equal(text, "a=1 b=2");
    crash_of(MEM_KEEP_ALL_BUT, 1, &tree);
    assert_string_equal(text, "a=1 c=3 d=4");
    unsigned kept = 0;
    for (uint64_t seed = 0; seed < 64; seed++) {
        crash_of(MEM_KEEP_RANDOM, seed, &tree);
        crash_of(MEM_KEEP_RANDOM, seed, &other);
        assert_string_equal(text, again);
        kept |= 1u << ((strstr(text, "a=") ? 1 : 0) + (strstr(text, "c=") ? 2 : 0));
    }
    assert_int_equal(kept, 15);
}

static void test_describe(void **state)
{
    (void)state;
    struct fixture f = begin();
    char text[128];
    struct buffer to = BUFFER_OF(text);
    script_run(f.os, "w a 600 x; mv a b");
    for (size_t i = 0; i < mem_disk_unsynced_count(mem_host_disk(f.host)); i++) {
        mem_disk_describe(mem_host_disk(f.host), i, &to);
        buffer_add_char(&to, ';');
    }
    buffer_add_char(&to, 0);
    assert_string_equal(text,
                        "add in inode 1 a;growth in inode 2 at 601;sector in inode 2 at 512;rename in inode 1 a to b;");
    mem_world_free(f.world);
}

/* Content is shared between clones until one of them writes. */
static void test_clone(void **state)
{
    (void)state;
    struct fixture f = begin();
    char text[64];
    struct buffer tree = BUFFER_OF(text);
    script_run(f.os, "commit a 0 one; syncdir /; w a 3 two");
    struct mem_disk *clone = mem_disk_clone(mem_host_disk(f.host));
    script_run(f.os, "commit a 0 X; rm a");
    struct mem_disk *first = mem_host_swap_disk(f.host, clone);
    script_tree(f.os, &tree);
    assert_string_equal(text, "a=onetwo");
    mem_disk_crash(clone, (struct mem_choice){ MEM_KEEP_NONE, 0 });
    script_tree(f.os, &tree);
    assert_string_equal(text, "a=one");
    mem_disk_free(first);
    script_tree(f.os, &tree);
    assert_string_equal(text, "a=one");
    mem_world_free(f.world);
}

/* A segment of 64 MiB costs nothing until it is written, and little when it is cloned. */
static void test_large(void **state)
{
    (void)state;
    struct fixture f = begin();
    char text[64];
    struct buffer tree = BUFFER_OF(text);
    assert_int_equal(script_run(f.os, "fill a 67108864; syncdir /; commit a 33554432 middle"), OS_OK);
    for (unsigned i = 0; i < 500; i++) {
        struct mem_disk *first = mem_host_swap_disk(f.host, mem_disk_clone(mem_host_disk(f.host)));
        mem_disk_free(first);
    }
    mem_disk_crash(mem_host_disk(f.host), (struct mem_choice){ MEM_KEEP_NONE, 0 });
    script_run(f.os, "cut a 33554438; ");
    script_tree(f.os, &tree);
    assert_string_equal(text, "a=<33554438>");
    mem_world_free(f.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash),    cmocka_unit_test(test_subsets), cmocka_unit_test(test_choices),
        cmocka_unit_test(test_describe), cmocka_unit_test(test_clone),   cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
