/* Operations on files and names, as os.h says they are. */
#include "base/test.h"
#include "os/mem/script_test.h"

#include <stdio.h>
#include <string.h>

struct fixture {
    struct mem_world *world;
    struct mem_host *host;
    struct os *os;
    struct os_dir *root;
};

static struct fixture begin(const char *script)
{
    enum os_status status;
    struct fixture f = { .world = mem_world_new(1) };
    f.host = mem_host_new(f.world, "a");
    f.os = mem_process_new(f.host);
    assert_int_equal(script_run(f.os, script), OS_OK);
    f.root = os_dir_path(f.os, "/", &status);
    assert_non_null(f.root);
    return f;
}

static void end(struct fixture *f)
{
    os_dir_close(f->root);
    assert_int_equal(mem_world_open_handles(f->world), 0);
    mem_world_free(f->world);
}

static enum os_status run(struct os *os, struct os_op op)
{
    os_run_ops(os, &op, 1);
    return op.status;
}

static enum os_status open_as(struct os *os, struct os_dir *dir, const char *name, unsigned flags,
                              struct os_file **file)
{
    return run(os,
               (struct os_op){ .kind = OS_OPEN, .dir = dir, .name = name, .flags = flags, .mode = 0640, .file = file });
}

static void test_open(void **state)
{
    (void)state;
    enum { R = OS_FOR_READ, W = OS_FOR_WRITE, C = OS_CREATE, X = OS_EXCLUSIVE, T = OS_TRUNCATED, N = OS_NO_FOLLOW };
    static const struct {
        const char *name;
        unsigned flags;
        enum os_status status;
        const char *tree;
    } table[] = {
        { "a", R, OS_OK, NULL },
        { "none", R, OS_NOT_FOUND, NULL },
        { "none", W | C, OS_OK, "a=text d/ d/b=text e/ none=" },
        { "a", W | C, OS_OK, NULL },
        { "a", W | C | X, OS_EXISTS, NULL },
        { "a", W | T, OS_OK, "a= d/ d/b=text e/" },
        { "d", R, OS_IS_DIR, NULL },
        { "d/b", R, OS_OK, NULL },
        { "./d//b", R, OS_OK, NULL },
        { "a/b", R, OS_NOT_DIR, NULL },
        { "x/b", W | C, OS_NOT_FOUND, NULL },
        { "d/../a", R, OS_DENIED, NULL },
        { "link", R, OS_OK, NULL },
        { "link", R | N, OS_IS_LINK, NULL },
        { "link", W | C | X, OS_EXISTS, NULL },
        { "dirlink/b", R | N, OS_OK, NULL },
        { "loop", R, OS_IS_LINK, NULL },
        { "nowhere", R, OS_NOT_FOUND, NULL },
    };
    for (size_t i = 0; i < ROWS(table); i++) {
        char text[256];
        struct buffer tree = BUFFER_OF(text);
        struct os_file *file = NULL;
        struct fixture f = begin("w a 0 text; mkdir d; w d/b 0 text; mkdir e");
        mem_disk_symlink(mem_host_disk(f.host), "/link", "d/b");
        mem_disk_symlink(mem_host_disk(f.host), "/dirlink", "/d");
        mem_disk_symlink(mem_host_disk(f.host), "/loop", "loop");
        mem_disk_symlink(mem_host_disk(f.host), "/nowhere", "gone");
        enum os_status status = open_as(f.os, f.root, table[i].name, table[i].flags, &file);
        if (status != table[i].status || !file != (status != OS_OK))
            fail_msg("row %zu, %s: %s", i, table[i].name, os_status_text(status));
        os_file_close(file);
        script_run(f.os, "rm link; rm dirlink; rm loop; rm nowhere");
        script_tree(f.os, &tree);
        assert_string_equal(text, table[i].tree ? table[i].tree : "a=text d/ d/b=text e/");
        end(&f);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        enum os_status status;
        const char *tree;
    } table[] = {
        { "ln a b", OS_EXISTS, "a=1 b=2 d/ d/x=3 e/" },
        { "ln a d/a", OS_OK, "a=1 b=2 d/ d/a=1 d/x=3 e/" },
        { "ln d c", OS_DENIED, "a=1 b=2 d/ d/x=3 e/" },
        { "ln c a", OS_NOT_FOUND, "a=1 b=2 d/ d/x=3 e/" },
        { "mv a b", OS_OK, "b=1 d/ d/x=3 e/" },
        { "mv a d/x", OS_OK, "b=2 d/ d/x=1 e/" },
        { "mv a a", OS_OK, "a=1 b=2 d/ d/x=3 e/" },
        { "ln a c; mv a c", OS_OK, "a=1 b=2 c=1 d/ d/x=3 e/" },
        { "mv a d", OS_IS_DIR, "a=1 b=2 d/ d/x=3 e/" },
        { "mv d e", OS_EXISTS, "a=1 b=2 d/ d/x=3 e/" },
        { "mv d f", OS_OK, "a=1 b=2 e/ f/ f/x=3" },
        { "mv c a", OS_NOT_FOUND, "a=1 b=2 d/ d/x=3 e/" },
        { "rm a", OS_OK, "b=2 d/ d/x=3 e/" },
        { "rm c", OS_NOT_FOUND, "a=1 b=2 d/ d/x=3 e/" },
        { "rm d", OS_IS_DIR, "a=1 b=2 d/ d/x=3 e/" },
        { "rmdir d", OS_EXISTS, "a=1 b=2 d/ d/x=3 e/" },
        { "rmdir e", OS_OK, "a=1 b=2 d/ d/x=3" },
        { "rmdir a", OS_NOT_DIR, "a=1 b=2 d/ d/x=3 e/" },
        { "mkdir d", OS_EXISTS, "a=1 b=2 d/ d/x=3 e/" },
        { "mkdir c/d", OS_NOT_FOUND, "a=1 b=2 d/ d/x=3 e/" },
    };
    for (size_t i = 0; i < ROWS(table); i++) {
        char text[256];
        struct buffer tree = BUFFER_OF(text);
        struct fixture f = begin("w a 0 1; w b 0 2; mkdir d; w d/x 0 3; mkdir e");
        enum os_status status = script_run(f.os, table[i].script);
        script_tree(f.os, &tree);
        if (status != table[i].status || strcmp(text, table[i].tree) != 0)
            fail_msg("row %zu, %s: %s, '%s'", i, table[i].script, os_status_text(status), text);
        end(&f);
    }
}

/* A program of operations: open, write, close in one go; what comes after a failure says so. */
static void test_program(void **state)
{
    (void)state;
    for (unsigned fails = 0; fails < 2; fails++) {
        struct fixture f = begin("");
        struct os_file *file = NULL;
        const struct os_slice text[] = { { "hel", 3 }, { "lo", 2 } };
        struct os_op ops[4] = {
            { .kind = OS_OPEN,
              .dir = f.root,
              .name = fails ? "no/a" : "a",
              .flags = OS_FOR_WRITE | OS_CREATE,
              .file = &file },
            { .kind = OS_COMMIT, .file = &file, .slices = text, .slice_count = 2 },
            { .kind = OS_CLOSE, .file = &file },
            { .kind = OS_LINK, .dir = f.root, .name = "a", .to_dir = f.root, .to_name = "b", .after = &ops[1] },
        };
        os_run_ops(f.os, ops, 4);
        assert_null(file);
        assert_int_equal(ops[0].status, fails ? OS_NOT_FOUND : OS_OK);
        for (size_t i = 1; i < 4; i++)
            assert_int_equal(ops[i].status, fails ? OS_SKIPPED : OS_OK);
        assert_int_equal(ops[1].value, fails ? 0 : 5);
        end(&f);
    }
}

static void test_read_and_stat(void **state)
{
    (void)state;
    struct fixture f = begin("w a 4000 0123456789; w a 8190 xyz; ln a b; mkdir d");
    struct os_file *file = NULL;
    struct os_stat stat;
    char text[32];
    assert_int_equal(open_as(f.os, f.root, "a", OS_FOR_READ, &file), OS_OK);
    struct os_op read = { .kind = OS_READ, .file = &file, .offset = 3999, .buf = text, .len = 5 };
    os_run_ops(f.os, &read, 1);
    assert_int_equal(read.value, 5);
    assert_memory_equal(text,
                        "\0"
                        "0123",
                        5);
    read.offset = 8191;
    os_run_ops(f.os, &read, 1);
    assert_int_equal(read.value, 2);
    assert_memory_equal(text, "yz", 2);
    read.offset = 8193;
    os_run_ops(f.os, &read, 1);
    assert_int_equal(read.value, 0);
    assert_int_equal(run(f.os, (struct os_op){ .kind = OS_TRUNCATE, .file = &file }), OS_DENIED);
    assert_int_equal(run(f.os, (struct os_op){ .kind = OS_STAT, .file = &file, .stat = &stat }), OS_OK);
    assert_int_equal(stat.size, 8193);
    assert_int_equal(stat.links, 2);
    assert_true(stat.regular && !stat.directory);
    uint64_t inode = stat.inode;
    assert_int_equal(run(f.os, (struct os_op){ .kind = OS_STAT, .dir = f.root, .name = "b", .stat = &stat }), OS_OK);
    assert_int_equal(stat.inode, inode);
    assert_int_equal(stat.modified_us, os_wall_us(f.os));
    assert_int_equal(run(f.os, (struct os_op){ .kind = OS_STAT, .dir = f.root, .name = "d", .stat = &stat }), OS_OK);
    assert_true(stat.directory);
    assert_int_equal(run(f.os, (struct os_op){ .kind = OS_STAT, .dir = f.root, .stat = &stat }), OS_OK);
    assert_int_equal(stat.inode, 1);
    mem_disk_symlink(mem_host_disk(f.host), "/link", "b");
    struct os_op link = { .kind = OS_STAT, .dir = f.root, .name = "link", .stat = &stat };
    assert_int_equal(run(f.os, link), OS_OK);
    assert_int_equal(stat.inode, inode);
    link.flags = OS_NO_FOLLOW;
    assert_int_equal(run(f.os, link), OS_OK);
    assert_false(stat.regular || stat.directory);
    assert_int_equal(run(f.os, (struct os_op){ .kind = OS_STAT, .dir = f.root, .name = "c", .stat = &stat }),
                     OS_NOT_FOUND);
    script_run(f.os, "rm a; rm b"); /* an open file lives on without a name */
    read.offset = 8191;
    os_run_ops(f.os, &read, 1);
    assert_int_equal(read.value, 2);
    os_file_close(file);
    end(&f);
}

/* All names come once, with any room for the answer, also when names go meanwhile. */
static void test_list(void **state)
{
    (void)state;
    for (size_t room = 4; room < 64; room += 5) {
        struct fixture f = begin("");
        char list[64], name[16], script[32];
        unsigned seen[40] = { 0 };
        for (unsigned i = 0; i < 40; i++) {
            snprintf(script, sizeof(script), "w f%u 0 x", i);
            script_run(f.os, script);
        }
        struct os_op op = { .kind = OS_LIST, .dir = f.root, .buf = list, .len = room };
        for (os_run_ops(f.os, &op, 1); op.value > 0; os_run_ops(f.os, &op, 1)) {
            assert_int_equal(op.status, OS_OK);
            for (size_t at = 0; at < op.value; at += strlen(list + at) + 1) {
                unsigned number = 0;
                assert_int_equal(sscanf(list + at, "f%u", &number), 1);
                seen[number]++;
                snprintf(name, sizeof(name), "rm f%u", number);
                script_run(f.os, name);
            }
        }
        assert_int_equal(op.status, OS_OK);
        for (unsigned i = 0; i < 40; i++)
            assert_int_equal(seen[i], 1);
        end(&f);
    }
}

static void test_permissions(void **state)
{
    (void)state;
    struct fixture f = begin("w a 0 x");
    struct os *other = mem_process_new(f.host);
    struct os_file *file = NULL;
    mem_process_set_user(other, 1000, 1000);
    assert_false(os_is_root(other));
    assert_int_equal(open_as(other, f.root, "a", OS_FOR_READ, &file), OS_DENIED); /* root's, 0600 */
    assert_int_equal(script_run(f.os, "own a 1000"), OS_OK);
    assert_int_equal(open_as(other, f.root, "a", OS_FOR_READ, &file), OS_OK);
    assert_int_equal(run(other, (struct os_op){ .kind = OS_CHOWN, .file = &file }), OS_DENIED);
    assert_int_equal(open_as(other, f.root, "b", OS_FOR_WRITE | OS_CREATE, &file), OS_DENIED); /* / is root's, 0755 */
    assert_int_equal(script_run(other, "rm a"), OS_DENIED);
    os_file_close(file);
    end(&f);
}

/* The lock is tied to the open file, and goes with its last handle; a copy keeps it. */
static void test_locks(void **state)
{
    (void)state;
    struct fixture f = begin("w a 0 x");
    struct os *other = mem_process_new(f.host);
    struct os_file *first = NULL, *second = NULL;
    open_as(f.os, f.root, "a", OS_FOR_WRITE, &first);
    open_as(other, f.root, "a", OS_FOR_WRITE, &second);
    for (enum os_op_kind lock = OS_LOCK; lock <= OS_LOCK_RANGE; lock++) {
        assert_int_equal(run(f.os, (struct os_op){ .kind = lock, .file = &first }), OS_OK);
        assert_int_equal(run(f.os, (struct os_op){ .kind = lock, .file = &first }), OS_OK);
        assert_int_equal(run(other, (struct os_op){ .kind = lock, .file = &second }), OS_LOCKED);
    }
    os_file_close(first);
    for (enum os_op_kind lock = OS_LOCK; lock <= OS_LOCK_RANGE; lock++)
        assert_int_equal(run(other, (struct os_op){ .kind = lock, .file = &second }), OS_OK);
    mem_process_kill(other);
    first = NULL;
    open_as(f.os, f.root, "a", OS_FOR_WRITE, &first);
    for (enum os_op_kind lock = OS_LOCK; lock <= OS_LOCK_RANGE; lock++)
        assert_int_equal(run(f.os, (struct os_op){ .kind = lock, .file = &first }), OS_OK);
    os_file_close(first);
    end(&f);
}

static void test_stale(void **state)
{
    (void)state;
    struct fixture f = begin("commit a 0 x; syncdir /");
    struct os_file *file = NULL;
    char byte;
    open_as(f.os, f.root, "a", OS_FOR_READ, &file);
    mem_disk_crash(mem_host_disk(f.host), (struct mem_choice){ MEM_KEEP_ALL, 0 });
    assert_int_equal(run(f.os, (struct os_op){ .kind = OS_READ, .file = &file, .buf = &byte, .len = 1 }), OS_IO);
    assert_int_equal(run(f.os, (struct os_op){ .kind = OS_SYNC_DIR, .dir = f.root }), OS_IO);
    assert_int_equal(run(f.os, (struct os_op){ .kind = OS_CLOSE, .file = &file }), OS_IO);
    assert_null(file);
    end(&f);
}

static void test_times(void **state)
{
    (void)state;
    struct fixture f = begin("w a 0 x; syncfs");
    struct os_file *file = NULL;
    struct os_stat stat;
    open_as(f.os, f.root, "a", OS_FOR_READ, &file);
    assert_int_equal(run(f.os, (struct os_op){ .kind = OS_SET_TIMES, .file = &file, .time = { 5, OS_NEVER } }), OS_OK);
    run(f.os, (struct os_op){ .kind = OS_STAT, .file = &file, .stat = &stat });
    assert_int_equal(stat.accessed_us, 5);
    assert_int_equal(stat.modified_us, os_wall_us(f.os));
    os_file_close(file);
    mem_disk_crash(mem_host_disk(f.host), (struct mem_choice){ MEM_KEEP_NONE, 0 });
    os_dir_close(f.root);
    enum os_status status;
    f.root = os_dir_path(f.os, "/", &status);
    run(f.os, (struct os_op){ .kind = OS_STAT, .dir = f.root, .name = "a", .stat = &stat });
    assert_int_not_equal(stat.accessed_us, 5);
    uint64_t bytes, files;
    mem_disk_set_room(mem_host_disk(f.host), 77);
    assert_int_equal(os_disk_free(f.root, &bytes, &files), OS_OK);
    assert_int_equal(bytes, 77);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),          cmocka_unit_test(test_names), cmocka_unit_test(test_program),
        cmocka_unit_test(test_read_and_stat), cmocka_unit_test(test_list),  cmocka_unit_test(test_permissions),
        cmocka_unit_test(test_locks),         cmocka_unit_test(test_stale), cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
