/* A disk that refuses: failing operations, power cut, no room, read-only. */
#include "base/test.h"
#include "os/mem/script_test.h"

#include <string.h>

struct fixture {
    struct mem_world *world;
    struct mem_host *host;
    struct mem_disk *disk;
    struct os *os;
};

static struct fixture begin(void)
{
    struct fixture f = { .world = mem_world_new(1) };
    f.host = mem_host_new(f.world, "a");
    f.disk = mem_host_disk(f.host);
    f.os = mem_process_new(f.host);
    return f;
}

static void assert_tree(struct fixture *f, const char *expected)
{
    char text[256];
    struct buffer tree = BUFFER_OF(text);
    script_tree(f->os, &tree);
    assert_string_equal(text, expected);
}

static void crash(struct fixture *f, enum mem_survival how)
{
    mem_disk_crash(f->disk, (struct mem_choice){ how, 0 });
}

/* The sync after the one that failed reports success, and the bytes may be lost all the same. */
static void test_failed_sync(void **state)
{
    (void)state;
    static const char *const syncs[] = { "commit a 0 hello", "w a 0 hello; fsync a", "w a 0 hello; fdatasync a",
                                         "w a 0 hello; syncfs" };
    for (size_t i = 0; i < 4; i++) {
        for (enum mem_survival how = MEM_KEEP_NONE; how <= MEM_KEEP_ALL; how++) {
            struct fixture f = begin();
            script_run(f.os, "w a 0 .; syncdir /");
            mem_disk_fail_at(f.disk, &(struct mem_fault){ .kinds = MEM_SYNCS, .times = 1, .status = OS_IO });
            assert_int_equal(script_run(f.os, syncs[i]), OS_IO);
            assert_int_equal(script_run(f.os, "fsync a; syncfs"), OS_OK);
            assert_tree(&f, "a=hello"); /* the cache has it */
            crash(&f, how);
            assert_tree(&f, how == MEM_KEEP_ALL ? "a=hello" : "a=.....");
            mem_world_free(f.world);
        }
    }
}

/* Writing a sector again after the failed sync makes it dirty again, and then a sync helps. */
static void test_written_again(void **state)
{
    (void)state;
    for (enum mem_survival how = MEM_KEEP_NONE; how <= MEM_KEEP_ALL; how++) {
        struct fixture f = begin();
        mem_disk_fail_at(f.disk, &(struct mem_fault){ .kinds = MEM_OP(OS_COMMIT), .times = 1, .status = OS_IO });
        assert_int_equal(script_run(f.os, "commit a 0 hello"), OS_IO);
        assert_int_equal(script_run(f.os, "commit a 0 J; syncdir /"), OS_OK);
        crash(&f, how);
        assert_tree(&f, "a=Jello");
        mem_world_free(f.world);
    }
}

static void test_nth(void **state)
{
    (void)state;
    struct fixture f = begin();
    mem_disk_fail_at(f.disk, &(struct mem_fault){ MEM_OP(OS_WRITE), 2, 2, OS_QUOTA, 1 });
    assert_int_equal(script_run(f.os, "w a 0 xx; fsync a; w b 0 xx"), OS_OK);
    assert_int_equal(script_run(f.os, "w c 0 xx"), OS_QUOTA);
    assert_int_equal(script_run(f.os, "commit d 0 xx"), OS_QUOTA);
    assert_int_equal(script_run(f.os, "w e 0 xx"), OS_OK);
    assert_tree(&f, "a=xx b=xx c=x d=x e=xx");
    mem_disk_fail_at(f.disk, &(struct mem_fault){ .times = UINT64_MAX, .status = OS_DENIED });
    assert_int_equal(script_run(f.os, "w f 0 xx"), OS_DENIED);
    mem_disk_heal(f.disk);
    assert_int_equal(script_run(f.os, "w f 0 xx"), OS_OK);
    mem_world_free(f.world);
}

static void test_full(void **state)
{
    (void)state;
    struct fixture f = begin();
    assert_int_equal(script_run(f.os, "w a 0 0123456789"), OS_OK);
    mem_disk_set_room(f.disk, 4);
    assert_int_equal(script_run(f.os, "w a 8 abc"), OS_OK); /* grows by 1 */
    assert_int_equal(script_run(f.os, "w b 0 hello"), OS_NO_SPACE);
    assert_tree(&f, "a=01234567abc b=hel");
    assert_int_equal(script_run(f.os, "w c 0 hello"), OS_NO_SPACE);
    assert_int_equal(script_run(f.os, "mkdir d"), OS_NO_SPACE);
    assert_int_equal(script_run(f.os, "w a 0 ABC; rm b; w c 0 hel"), OS_OK); /* writing over needs no room */
    assert_tree(&f, "a=ABC34567abc c=hel");
    crash(&f, MEM_KEEP_NONE);
    assert_int_equal(script_run(f.os, "w a 0 01234567890123"), OS_OK);
    assert_int_equal(script_run(f.os, "w b 0 x"), OS_NO_SPACE);
    mem_world_free(f.world);
}

static void test_read_only(void **state)
{
    (void)state;
    static const char *const changes[] = { "w b 0 x", "mv a b", "rm a", "ln a b", "mkdir d", "cut a 0" };
    struct fixture f = begin();
    script_run(f.os, "commit a 0 x; syncdir /");
    mem_disk_set_read_only(f.disk, true);
    for (size_t i = 0; i < ROWS(changes); i++)
        assert_int_equal(script_run(f.os, changes[i]), OS_READ_ONLY);
    assert_tree(&f, "a=x");
    mem_world_free(f.world);
}

/* With the power cut before operation n, exactly the first n have an effect; one that has two steps is cut between. */
static void test_cut(void **state)
{
    (void)state;
    static const char script[] = "commit a 0 x; mv a b; rm b";
    static const char *const after[] = { "", "", "a=", "a=x", "a=x", "b=x", "" };
    struct fixture whole = begin();
    script_run(whole.os, script);
    uint64_t ops = mem_disk_op_count(whole.disk);
    mem_world_free(whole.world);
    assert_int_equal(ops, 6); /* open /; open, write, sync; rename; unlink: closing a handle that way is none */
    for (uint64_t n = 0; n <= ops; n++) {
        struct fixture f = begin();
        mem_disk_cut_at(f.disk, n);
        assert_int_equal(script_run(f.os, script), n < ops ? OS_IO : OS_OK);
        assert_int_equal(mem_disk_is_cut(f.disk), n < ops);
        if (n < ops)
            assert_int_equal(script_run(f.os, "w z 0 z"), OS_IO);
        crash(&f, MEM_KEEP_ALL);
        assert_tree(&f, after[n]);
        mem_world_free(f.world);
    }
}

struct watcher {
    uint64_t numbers, refused;
    char last_name[16];
};

static enum os_status before(void *ctx, const struct mem_disk_op *op)
{
    struct watcher *w = ctx;
    assert_int_equal(op->number, w->numbers++);
    if (op->name)
        strcpy(w->last_name, op->name);
    return op->kind == OS_UNLINK ? (w->refused++, OS_DENIED) : OS_OK;
}

static void test_hook(void **state)
{
    (void)state;
    struct fixture f = begin();
    struct watcher w = { 0 };
    mem_disk_on_op(f.disk, before, &w);
    assert_int_equal(script_run(f.os, "commit a 0 x; rm a"), OS_DENIED);
    mem_disk_on_op(f.disk, NULL, NULL);
    assert_int_equal(w.numbers, mem_disk_op_count(f.disk));
    assert_int_equal(w.refused, 1);
    assert_string_equal(w.last_name, "a");
    assert_tree(&f, "a=x");
    mem_world_free(f.world);
}

static void test_rot(void **state)
{
    (void)state;
    struct fixture f = begin();
    script_run(f.os, "commit a 0 hello; syncdir /");
    assert_false(mem_disk_rot(f.disk, "/b", 0, 1));
    assert_false(mem_disk_rot(f.disk, "/a", 5, 1));
    assert_true(mem_disk_rot(f.disk, "/a", 4, 0x20));
    assert_tree(&f, "a=hellO");
    crash(&f, MEM_KEEP_NONE);
    assert_tree(&f, "a=hellO");
    mem_world_free(f.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failed_sync), cmocka_unit_test(test_written_again), cmocka_unit_test(test_nth),
        cmocka_unit_test(test_full),        cmocka_unit_test(test_read_only),     cmocka_unit_test(test_cut),
        cmocka_unit_test(test_hook),        cmocka_unit_test(test_rot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
