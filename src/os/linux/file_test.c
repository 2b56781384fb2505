#define _GNU_SOURCE
#undef _FORTIFY_SOURCE /* its inline pread would stand in the way of ours */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/linux/test_loop.h"

/* ---- a kernel that fails: these stand in the place of the C library's ---- */

static struct {
    int error;      /* what the next call says */
    unsigned times; /* how often; then all goes well */
    unsigned syncs; /* calls of fdatasync that came through */
    bool halves;    /* reads and writes do half of what they are asked */
} fault;

static bool fails(void)
{
    if (fault.times == 0)
        return false;
    fault.times--;
    errno = fault.error;
    return true;
}

int openat(int dir, const char *name, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return fails() ? -1 : (int)syscall(SYS_openat, dir, name, flags, mode);
}

int close(int fd)
{
    int result = (int)syscall(SYS_close, fd);
    return fd > 2 && fails() ? -1 : result;
}

ssize_t pread(int fd, void *to, size_t len, off_t offset)
{
    return fails() ? -1 : syscall(SYS_pread64, fd, to, fault.halves ? (len + 1) / 2 : len, offset);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    if (fails())
        return -1;
    if (fault.halves)
        return syscall(SYS_pwrite64, fd, iov[0].iov_base, (iov[0].iov_len + 1) / 2, offset);
    return syscall(SYS_pwritev, fd, iov, count, offset, 0);
}

int fdatasync(int fd)
{
    fault.syncs++;
    return fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t size)
{
    return fails() ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int linkat(int from, const char *name, int to, const char *to_name, int flags)
{
    return fails() ? -1 : (int)syscall(SYS_linkat, from, name, to, to_name, flags);
}

int renameat(int from, const char *name, int to, const char *to_name)
{
    return fails() ? -1 : (int)syscall(SYS_renameat2, from, name, to, to_name, 0);
}

int unlinkat(int dir, const char *name, int flags)
{
    return fails() ? -1 : (int)syscall(SYS_unlinkat, dir, name, flags);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
    return fails() ? -1 : (int)syscall(SYS_mkdirat, dir, name, mode);
}

int flock(int fd, int how)
{
    return fails() ? -1 : (int)syscall(SYS_flock, fd, how);
}

/* ---- a directory of our own ---- */

struct place {
    struct os *os;
    struct os_dir *dir;
    char path[64];
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    enum os_status status;
    strcpy(p->path, "/tmp/gonets-file-test-XXXXXX");
    assert_non_null(mkdtemp(p->path));
    p->os = os_linux_new(NULL, 0);
    p->dir = os_dir_path(p->os, p->path, &status);
    assert_int_equal(status, OS_OK);
    fault.times = fault.syncs = 0;
    fault.halves = false;
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    char command[128];
    os_dir_close(p->dir);
    os_linux_free(p->os);
    snprintf(command, sizeof command, "rm -r %s", p->path);
    assert_int_equal(system(command), 0);
    free(p);
    return 0;
}

static enum os_status run(struct place *p, struct os_op *op)
{
    os_run_ops(p->os, op, 1);
    return op->status;
}

static struct os_file *open_file(struct place *p, const char *name, unsigned flags)
{
    struct os_file *file = NULL;
    struct os_op op = { .kind = OS_OPEN, .dir = p->dir, .name = name, .flags = flags, .mode = 0640, .file = &file };
    assert_int_equal(run(p, &op), OS_OK);
    return file;
}

static void put_file(struct place *p, const char *name, const char *text)
{
    struct os_file *file = open_file(p, name, OS_FOR_WRITE | OS_CREATE | OS_TRUNCATED);
    const struct os_slice slice = { text, strlen(text) };
    struct os_op op = { .kind = OS_WRITE, .file = &file, .slices = &slice, .slice_count = 1 };
    assert_int_equal(run(p, &op), OS_OK);
    os_file_close(file);
}

static struct os_stat stat_of(struct place *p, const char *name, unsigned flags)
{
    struct os_stat st = { 0 };
    struct os_op op = { .kind = OS_STAT, .dir = p->dir, .name = name, .flags = flags, .stat = &st };
    assert_int_equal(run(p, &op), OS_OK);
    return st;
}

/* ---- names ---- */

/* f: a file; d: a directory with f in it; e: an empty directory; l: a link to f; ld: a link to d; loop: a link to
 * itself. */
static void fill_place(struct place *p)
{
    put_file(p, "f", "12345");
    struct os_op ops[] = {
        { .kind = OS_MAKE_DIR, .dir = p->dir, .name = "d", .mode = 0700 },
        { .kind = OS_MAKE_DIR, .dir = p->dir, .name = "e", .mode = 0777 },
    };
    os_run_ops(p->os, ops, ROWS(ops));
    assert_int_equal(ops[0].status, OS_OK);
    put_file(p, "d/f", "");
    assert_int_equal(symlinkat("f", p->dir->fd, "l"), 0);
    assert_int_equal(symlinkat("d", p->dir->fd, "ld"), 0);
    assert_int_equal(symlinkat("loop", p->dir->fd, "loop"), 0);
    assert_int_equal(mkfifoat(p->dir->fd, "fifo", 0600), 0);
}

static void test_names(void **state)
{
    enum { NEW = OS_FOR_WRITE | OS_CREATE | OS_EXCLUSIVE };
    static char long_name[300];
    memset(long_name, 'x', sizeof long_name - 1);
    const struct {
        enum os_op_kind kind;
        const char *name, *to_name;
        unsigned flags;
        enum os_status status;
    } rows[] = {
        { OS_OPEN, "f", NULL, OS_FOR_READ, OS_OK },
        { OS_OPEN, "none", NULL, OS_FOR_READ, OS_NOT_FOUND },
        { OS_OPEN, "none/f", NULL, OS_FOR_READ, OS_NOT_FOUND },
        { OS_OPEN, "f/f", NULL, OS_FOR_READ, OS_NOT_DIR },
        { OS_OPEN, "d", NULL, OS_FOR_WRITE, OS_IS_DIR },
        { OS_OPEN, "f", NULL, NEW, OS_EXISTS },
        { OS_OPEN, "l", NULL, NEW, OS_EXISTS },
        { OS_OPEN, "l", NULL, OS_FOR_READ, OS_OK },
        { OS_OPEN, "l", NULL, OS_FOR_READ | OS_NO_FOLLOW, OS_IS_LINK },
        { OS_OPEN, "l", NULL, OS_FOR_WRITE | OS_CREATE | OS_NO_FOLLOW, OS_IS_LINK },
        { OS_OPEN, "loop", NULL, OS_FOR_READ, OS_IS_LINK },
        { OS_OPEN, long_name, NULL, NEW, OS_INVALID },
        { OS_OPEN, "fifo", NULL, OS_FOR_READ, OS_OK },       /* at once */
        { OS_OPEN, "fifo", NULL, OS_FOR_WRITE, OS_INVALID }, /* nobody reads */
        { OS_OPEN_DIR, "d", NULL, 0, OS_OK },
        { OS_OPEN_DIR, "f", NULL, 0, OS_NOT_DIR },
        { OS_OPEN_DIR, "ld", NULL, 0, OS_IS_LINK },
        { OS_OPEN_DIR, "l", NULL, 0, OS_IS_LINK },
        { OS_OPEN_DIR, "none", NULL, 0, OS_NOT_FOUND },
        { OS_MAKE_DIR, "d", NULL, 0, OS_EXISTS },
        { OS_MAKE_DIR, "none/d", NULL, 0, OS_NOT_FOUND },
        { OS_REMOVE_DIR, "d", NULL, 0, OS_EXISTS },
        { OS_REMOVE_DIR, "f", NULL, 0, OS_NOT_DIR },
        { OS_REMOVE_DIR, "none", NULL, 0, OS_NOT_FOUND },
        { OS_UNLINK, "none", NULL, 0, OS_NOT_FOUND },
        { OS_UNLINK, "d", NULL, 0, OS_IS_DIR },
        { OS_LINK, "none", "g", 0, OS_NOT_FOUND },
        { OS_LINK, "f", "d", 0, OS_EXISTS },
        { OS_LINK, "f", "l", 0, OS_EXISTS },
        { OS_LINK, "d", "g", 0, OS_DENIED },
        { OS_RENAME, "none", "g", 0, OS_NOT_FOUND },
        { OS_RENAME, "f", "d", 0, OS_IS_DIR },
        { OS_RENAME, "e", "d", 0, OS_EXISTS },
        { OS_RENAME, "d", "d/d", 0, OS_INVALID },
        { OS_LINK, "f", "g", 0, OS_OK },
        { OS_LINK, "l", "gl", 0, OS_OK },
        { OS_RENAME, "g", "f2", 0, OS_OK },
        { OS_UNLINK, "f2", NULL, 0, OS_OK },
        { OS_REMOVE_DIR, "e", NULL, 0, OS_OK },
        { OS_STAT, "none", NULL, 0, OS_NOT_FOUND },
        { OS_STAT, "loop", NULL, 0, OS_IS_LINK },
    };
    struct place *p = *state;
    fill_place(p);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct os_file *file = NULL;
        struct os_dir *dir = NULL;
        struct os_stat st;
        struct os_op op = { .kind = rows[i].kind, .name = rows[i].name, .to_name = rows[i].to_name, .mode = 0600 };
        op.flags = rows[i].flags;
        op.dir = op.to_dir = p->dir;
        op.file = op.kind == OS_STAT ? NULL : &file;
        op.opened_dir = &dir;
        op.stat = &st;
        if (run(p, &op) != rows[i].status)
            fail_msg("row %zu (%s): %s", i, rows[i].name, os_status_text(op.status));
        assert_int_equal(op.kind == OS_OPEN && op.status == OS_OK, file != NULL);
        assert_int_equal(op.kind == OS_OPEN_DIR && op.status == OS_OK, dir != NULL);
        if (file)
            os_file_close(file);
        if (dir)
            os_dir_close(dir);
    }
    assert_true(stat_of(p, "gl", OS_NO_FOLLOW).links == 2); /* the link itself got a second name */
}

static void test_stat(void **state)
{
    struct place *p = *state;
    fill_place(p);
    struct os_stat f = stat_of(p, "f", 0), l = stat_of(p, "l", 0), link = stat_of(p, "l", OS_NO_FOLLOW);
    struct os_stat dir = stat_of(p, NULL, 0), e = stat_of(p, "e", 0);
    assert_true(f.regular && !f.directory && f.size == 5 && f.mode == 0640 && f.links == 1 && f.user == geteuid());
    assert_true(l.inode == f.inode && link.inode != f.inode && !link.regular && !link.directory);
    assert_true(dir.directory && e.directory && e.mode == 0777); /* no umask of somebody's */
    assert_true(f.modified_us / 1000000 >= os_wall_us(p->os) / 1000000 - 5);
}

static void test_list(void **state)
{
    enum { NAMES = 1500 };
    static bool seen[NAMES];
    struct place *p = *state;
    char buf[1000], name[32];
    unsigned count = 0;
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "%d.some-name", i);
        put_file(p, name, "");
    }
    struct os_op op = { .kind = OS_LIST, .dir = p->dir, .buf = buf, .len = sizeof buf };
    while (run(p, &op) == OS_OK && op.value) {
        assert_true(op.value <= sizeof buf && buf[op.value - 1] == '\0');
        for (const char *at = buf; at < buf + op.value; at += strlen(at) + 1) {
            int number = atoi(at);
            assert_false(seen[number]);
            seen[number] = true;
            count++;
        }
    }
    assert_int_equal(op.status, OS_OK);
    assert_int_equal(count, NAMES);
    op.len = 255;
    assert_int_equal(run(p, &op), OS_INVALID);
}

/* ---- bytes ---- */

static void check_content(struct place *p, struct os_file *file, const char *bytes, size_t len)
{
    char *buf = malloc(len + 10);
    struct os_op op = { .kind = OS_READ, .file = &file, .buf = buf, .len = len + 10 };
    assert_int_equal(run(p, &op), OS_OK);
    assert_int_equal(op.value, len); /* fewer only at the end */
    assert_memory_equal(buf, bytes, len);
    free(buf);
}

/* More slices than one call takes, empty ones among them, whole and in halves. */
static void test_write_and_read(void **state)
{
    enum { SLICES = 3000, SIZE = 20000 };
    static struct os_slice slices[SLICES];
    static char bytes[SIZE];
    struct place *p = *state;
    size_t at = 0;
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 7);
    for (size_t i = 0; i < SLICES; i++) {
        size_t len = i + 1 < SLICES ? i % 13 : SIZE - at;
        slices[i] = (struct os_slice){ bytes + at, len };
        at += len;
    }
    static const enum os_op_kind kinds[] = { OS_WRITE, OS_COMMIT };
    for (int round = 0; round < 4; round++) {
        fault.halves = round & 1;
        fault.syncs = 0;
        struct os_file *file = open_file(p, "w", OS_FOR_READ | OS_FOR_WRITE | OS_CREATE | OS_TRUNCATED);
        struct os_op op = { .kind = kinds[round / 2], .file = &file, .slices = slices, .slice_count = SLICES };
        assert_int_equal(run(p, &op), OS_OK);
        assert_int_equal(op.value, SIZE);
        assert_int_equal(fault.syncs, op.kind == OS_COMMIT);
        check_content(p, file, bytes, SIZE);
        op = (struct os_op){ .kind = OS_WRITE, .file = &file, .slices = slices, .slice_count = 9, .offset = SIZE + 5 };
        assert_int_equal(run(p, &op), OS_OK); /* leaves a hole */
        assert_int_equal(stat_of(p, "w", 0).size, SIZE + 5 + op.value);
        os_file_close(file);
    }
}

/* All of it, or the disk would have to be asked: never a part. */
static void test_read_cached(void **state)
{
    struct place *p = *state;
    char buf[32] = "";
    const struct os_slice slice = { "0123456789", 10 };
    struct os_file *file = open_file(p, "c", OS_FOR_READ | OS_FOR_WRITE | OS_CREATE);
    struct os_op op = { .kind = OS_WRITE, .file = &file, .slices = &slice, .slice_count = 1 };
    assert_int_equal(run(p, &op), OS_OK);
    op = (struct os_op){ .kind = OS_READ_CACHED, .file = &file, .offset = 2, .buf = buf, .len = 8 };
    if (run(p, &op) != OS_AGAIN) { /* a file system that cannot tell */
        assert_int_equal(op.status, OS_OK);
        assert_string_equal(buf, "23456789");
    }
    op.len = 9;
    assert_int_equal(run(p, &op), OS_AGAIN);
    os_file_close(file);
}

static void test_limits_of_size(void **state)
{
    static const char bytes[3000] = { 1 };
    struct os_slice slices[] = { { bytes, sizeof bytes }, { bytes, sizeof bytes }, { bytes, sizeof bytes } };
    struct place *p = *state;
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    struct os_file *file = open_file(p, "w", OS_FOR_WRITE | OS_CREATE);
    limit.rlim_cur = 8192;
    setrlimit(RLIMIT_FSIZE, &limit);
    struct os_op op = { .kind = OS_WRITE, .file = &file, .slices = slices, .slice_count = 3 };
    assert_int_equal(run(p, &op), OS_TOO_LARGE); /* and SIGXFSZ has not killed us */
    assert_int_equal(op.value, 8192);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    os_file_close(file);

    enum os_status status;
    struct os_dir *dev = os_dir_path(p->os, "/dev", &status);
    struct os_op ops[] = {
        { .kind = OS_OPEN, .dir = dev, .name = "full", .flags = OS_FOR_WRITE, .file = &file },
        { .kind = OS_COMMIT, .file = &file, .slices = slices, .slice_count = 1 },
        { .kind = OS_CLOSE, .file = &file },
    };
    os_run_ops(p->os, ops, ROWS(ops));
    assert_int_equal(ops[1].status, OS_NO_SPACE);
    assert_int_equal(ops[2].status, OS_OK);
    os_dir_close(dev);
}

static void test_fill_allocate_truncate(void **state)
{
    static const struct {
        uint64_t offset;
        size_t len;
    } rows[] = { { 0, 4096 }, { 4096, 3u << 20 }, { 0, (1u << 20) + 4096 }, { 100, 5000 }, { 4096, 1 } };
    static char zeros[4u << 20], ones[4u << 20];
    struct place *p = *state;
    memset(ones, 1, sizeof ones);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct os_file *file = open_file(p, "w", OS_FOR_READ | OS_FOR_WRITE | OS_CREATE | OS_TRUNCATED);
        const struct os_slice slice = { ones, rows[i].offset + rows[i].len + 7 };
        struct os_op ops[] = {
            { .kind = OS_WRITE, .file = &file, .slices = &slice, .slice_count = 1 },
            { .kind = OS_FILL, .file = &file, .offset = rows[i].offset, .len = rows[i].len },
        };
        fault.syncs = 0;
        os_run_ops(p->os, ops, ROWS(ops));
        assert_int_equal(ops[1].status, OS_OK);
        assert_int_equal(fault.syncs, 1);
        memcpy(zeros, ones, slice.len);
        memset(zeros + rows[i].offset, 0, rows[i].len);
        check_content(p, file, zeros, slice.len); /* unaligned bytes: O_DIRECT is off again */
        os_file_close(file);
    }
    struct os_file *file = open_file(p, "a", OS_FOR_WRITE | OS_CREATE);
    struct os_op op = { .kind = OS_ALLOCATE, .file = &file, .offset = 1000000 };
    assert_int_equal(run(p, &op), OS_OK);
    assert_int_equal(stat_of(p, "a", 0).size, 1000000);
    op = (struct os_op){ .kind = OS_TRUNCATE, .file = &file, .offset = 17 };
    assert_int_equal(run(p, &op), OS_OK);
    assert_int_equal(stat_of(p, "a", 0).size, 17);
    os_file_close(file);
}

static void test_syncs(void **state)
{
    struct place *p = *state;
    struct statfs fs;
    enum os_status status;
    struct os_file *file = open_file(p, "w", OS_FOR_WRITE | OS_CREATE);
    struct os_op ops[] = {
        { .kind = OS_SYNC_DATA, .file = &file },
        { .kind = OS_SYNC, .file = &file },
        { .kind = OS_SYNC_DIR, .dir = p->dir },
    };
    os_run_ops(p->os, ops, ROWS(ops));
    for (size_t i = 0; i < ROWS(ops); i++)
        assert_int_equal(ops[i].status, OS_OK);
    os_file_close(file);
    struct os_op op = { .kind = OS_SYNC_FS, .dir = p->dir };
    if (statfs(p->path, &fs) == 0 && fs.f_type == 0xEF53)
        assert_int_equal(run(p, &op), OS_OK);
    struct os_dir *proc = os_dir_path(p->os, "/proc", &status);
    op.dir = proc;
    assert_int_equal(run(p, &op), OS_UNSUPPORTED);
    os_dir_close(proc);
}

/* ---- locks, times, owners ---- */

static void test_locks(void **state)
{
    static const enum os_op_kind kinds[] = { OS_LOCK, OS_LOCK_RANGE };
    struct place *p = *state;
    put_file(p, "f", "x");
    for (size_t i = 0; i < ROWS(kinds); i++) {
        struct os_file *a = open_file(p, "f", OS_FOR_WRITE), *b = open_file(p, "f", OS_FOR_WRITE);
        struct os_op lock_a = { .kind = kinds[i], .file = &a }, lock_b = { .kind = kinds[i], .file = &b };
        assert_int_equal(run(p, &lock_a), OS_OK);
        assert_int_equal(run(p, &lock_a), OS_OK); /* again is no harm */
        assert_int_equal(run(p, &lock_b), OS_LOCKED);
        struct os_file *c = open_file(p, "f", OS_FOR_WRITE);
        os_file_close(c);
        assert_int_equal(run(p, &lock_b), OS_LOCKED); /* another's close does not free it */
        os_file_close(a);
        assert_int_equal(run(p, &lock_b), OS_OK);
        os_file_close(b);
    }
}

/* Mail readers lock with F_SETLK. */
static void test_lock_of_another_program(void **state)
{
    struct place *p = *state;
    int ready[2];
    char byte;
    put_file(p, "f", "x");
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        int fd = openat(p->dir->fd, "f", O_WRONLY);
        byte = fcntl(fd, F_SETLK, &whole) == 0;
        (void)!write(ready[1], &byte, 1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    struct os_file *file = open_file(p, "f", OS_FOR_WRITE);
    struct os_op op = { .kind = OS_LOCK_RANGE, .file = &file };
    assert_int_equal(run(p, &op), OS_LOCKED);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(run(p, &op), OS_OK);
    os_file_close(file);
    close(ready[0]);
    close(ready[1]);
}

static void test_times_and_owner(void **state)
{
    struct place *p = *state;
    struct os_file *file = open_file(p, "f", OS_FOR_WRITE | OS_CREATE);
    struct os_op ops[] = {
        { .kind = OS_SET_TIMES, .file = &file, .time = { 1000000001, 4102444800000000 } },
        { .kind = OS_SET_TIMES, .file = &file, .time = { OS_NEVER, 4102444800000001 } },
        { .kind = OS_CHOWN, .file = &file, .owner = { geteuid() == 0 ? 12345 : geteuid(), getegid() } },
    };
    os_run_ops(p->os, ops, ROWS(ops));
    struct os_stat st = { 0 };
    struct os_op op = { .kind = OS_STAT, .file = &file, .stat = &st };
    assert_int_equal(run(p, &op), OS_OK);
    assert_int_equal(st.accessed_us, 1000000001);
    assert_int_equal(st.modified_us, 4102444800000001); /* the year 2100 (H169) */
    assert_int_equal(ops[2].status, OS_OK);
    assert_int_equal(st.user, ops[2].owner.user);
    os_file_close(file);
}

static void test_disk_free(void **state)
{
    struct place *p = *state;
    uint64_t bytes = 0, files = 0;
    assert_int_equal(os_disk_free(p->dir, &bytes, &files), OS_OK);
    assert_true(bytes > 0 && files > 0);
    enum os_status status;
    assert_null(os_dir_path(p->os, "/none", &status));
    assert_int_equal(status, OS_NOT_FOUND);
    assert_null(os_dir_path(p->os, "/dev/null", &status));
    assert_int_equal(status, OS_NOT_DIR);
}

/* ---- programs ---- */

static void test_program_with_skips(void **state)
{
    struct place *p = *state;
    struct os_file *a = NULL, *b = NULL;
    const struct os_slice slice = { "x", 1 };
    struct os_op ops[] = {
        { .kind = OS_OPEN, .dir = p->dir, .name = "a", .flags = OS_FOR_WRITE | OS_CREATE, .mode = 0600, .file = &a },
        { .kind = OS_OPEN, .dir = p->dir, .name = "no/b", .flags = OS_FOR_WRITE | OS_CREATE, .file = &b },
        { .kind = OS_WRITE, .file = &a, .slices = &slice, .slice_count = 1, .after = &ops[0] },
        { .kind = OS_WRITE, .file = &b, .slices = &slice, .slice_count = 1 }, /* there is no b */
        { .kind = OS_RENAME, .dir = p->dir, .name = "a", .to_dir = p->dir, .to_name = "c", .after = &ops[3] },
        { .kind = OS_UNLINK, .dir = p->dir, .name = "a", .after = &ops[4] },
        { .kind = OS_CLOSE, .file = &a },
        { .kind = OS_CLOSE, .file = &b },
        { .kind = OS_CLOSE, .file = &a }, /* has gone */
        { .kind = OS_SYNC_DIR, .dir = p->dir, .after = &ops[6] },
    };
    static const enum os_status expected[] = { OS_OK,      OS_NOT_FOUND, OS_OK,      OS_SKIPPED, OS_SKIPPED,
                                               OS_SKIPPED, OS_OK,        OS_SKIPPED, OS_SKIPPED, OS_OK };
    os_run_ops(p->os, ops, ROWS(ops));
    for (size_t i = 0; i < ROWS(ops); i++)
        if (ops[i].status != expected[i])
            fail_msg("operation %zu: %s", i, os_status_text(ops[i].status));
    assert_null(a);
    assert_int_equal(stat_of(p, "a", 0).size, 1);
}

static void prepare(struct place *p, struct os_op *op, struct os_file **file)
{
    static const struct os_slice slice = { "12345678", 8 };
    static char buf[1024];
    *file = op->kind == OS_OPEN ? NULL : open_file(p, "f", OS_FOR_READ | OS_FOR_WRITE | OS_CREATE);
    op->dir = op->to_dir = p->dir;
    op->name = op->kind == OS_REMOVE_DIR ? "e" : op->kind == OS_MAKE_DIR ? "new" : "f";
    op->to_name = "g";
    op->flags = OS_FOR_READ | OS_FOR_WRITE | OS_CREATE;
    op->mode = 0700;
    op->file = file;
    op->slices = &slice;
    op->slice_count = 1;
    op->buf = buf;
    op->len = sizeof buf;
}

/* Every call with every error: what a signal interrupted is done again, except where that could hide a loss; all
 * else is told as it is, and nothing stays open. */
/* H136 */
static void test_failing_calls(void **state)
{
    static const struct {
        enum os_op_kind kind;
        bool once;
    } kinds[] = {
        { OS_OPEN, false },     { OS_CLOSE, true },     { OS_READ, false },       { OS_WRITE, false },
        { OS_COMMIT, false },   { OS_SYNC_DATA, true }, { OS_SYNC, true },        { OS_SYNC_DIR, true },
        { OS_TRUNCATE, false }, { OS_LINK, false },     { OS_RENAME, false },     { OS_UNLINK, false },
        { OS_LOCK, false },     { OS_LIST, false },     { OS_REMOVE_DIR, false }, { OS_MAKE_DIR, false },
    };
    static const struct {
        int error;
        enum os_status status;
    } errors[] = {
        { EINTR, OS_OK },        { EAGAIN, OS_AGAIN },    { EDQUOT, OS_QUOTA },  { ENOSPC, OS_NO_SPACE },
        { EIO, OS_IO },          { EROFS, OS_READ_ONLY }, { ESTALE, OS_IO },     { ENOMEM, OS_NO_MEMORY },
        { EMFILE, OS_TOO_MANY }, { ENFILE, OS_TOO_MANY }, { EACCES, OS_DENIED },
    };
    struct place *p = *state;
    for (size_t i = 0; i < ROWS(kinds); i++)
        for (size_t j = 0; j < ROWS(errors); j++) {
            struct os_op op = { .kind = kinds[i].kind };
            struct os_file *file;
            put_file(p, "f", "12345678");
            mkdirat(p->dir->fd, "e", 0700);
            unlinkat(p->dir->fd, "g", 0);
            unlinkat(p->dir->fd, "new", AT_REMOVEDIR);
            prepare(p, &op, &file);
            enum os_status expected = errors[j].status;
            if (errors[j].error == EINTR && kinds[i].once)
                expected = OS_IO;
            if (op.kind == OS_LOCK && (errors[j].error == EAGAIN || errors[j].error == EACCES))
                expected = OS_LOCKED;
            fault.error = errors[j].error;
            fault.times = errors[j].error == EINTR && !kinds[i].once ? 3 : 1;
            if (run(p, &op) != expected)
                fail_msg("operation %d, %s: %s", (int)op.kind, strerror(errors[j].error), os_status_text(op.status));
            assert_int_equal(fault.times, 0);
            assert_int_equal(op.kind == OS_CLOSE || (op.kind == OS_OPEN && expected != OS_OK), file == NULL);
            if (file)
                os_file_close(file);
        }
}

/* A sync that failed is never tried again on its own: the second would say that all is well (H135). */
static void test_failed_sync_is_told_once(void **state)
{
    static const int errors[] = { EIO, ENOSPC, EDQUOT, EINTR };
    struct place *p = *state;
    const struct os_slice slice = { "x", 1 };
    for (size_t i = 0; i < ROWS(errors); i++) {
        struct os_file *file = open_file(p, "f", OS_FOR_WRITE | OS_CREATE);
        struct os_op op = { .kind = OS_COMMIT, .file = &file };
        fault.syncs = 0;
        fault.error = errors[i];
        fault.times = 1;
        assert_true(run(p, &op) != OS_OK); /* nothing to write, so the fault meets the sync */
        assert_int_equal(fault.syncs, 1);
        op.slices = &slice;
        op.slice_count = 1;
        assert_int_equal(run(p, &op), OS_OK);
        os_file_close(file);
    }
}

int main(void)
{
#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_PLACE(test_names),
        WITH_PLACE(test_stat),
        WITH_PLACE(test_list),
        WITH_PLACE(test_write_and_read),
        WITH_PLACE(test_read_cached),
        WITH_PLACE(test_limits_of_size),
        WITH_PLACE(test_fill_allocate_truncate),
        WITH_PLACE(test_syncs),
        WITH_PLACE(test_locks),
        WITH_PLACE(test_lock_of_another_program),
        WITH_PLACE(test_times_and_owner),
        WITH_PLACE(test_disk_free),
        WITH_PLACE(test_program_with_skips),
        WITH_PLACE(test_failing_calls),
        WITH_PLACE(test_failed_sync_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
