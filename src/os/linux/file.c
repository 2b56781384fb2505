/* File operations, each the errno of one system call or of a few. They run on the thread of a queue or in place, touch
 * nothing but the operation, and are called from one place, which skips, repeats what a signal interrupted, and
 * turns the error into a status (H136). */
#include "os/linux/linux.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SLICES_AT_ONCE  256 /* of one pwritev; the stack of a queue is small */
#define FILL_PIECE      (1u << 20)
#define DIRECT_ALIGN    4096u /* offsets and lengths for O_DIRECT on any disk */
#define LIST_PIECE      8192  /* directory entries read at once */
#define NAME_LENGTH_MAX 255

struct os_file *os_linux_file_new(int fd)
{
    struct os_file *file = malloc(sizeof *file);
    if (file)
        file->fd = fd;
    else
        close(fd);
    return file;
}

struct os_dir *os_linux_dir_new(int fd)
{
    struct os_dir *dir = malloc(sizeof *dir);
    if (dir)
        dir->fd = fd;
    else
        close(fd);
    return dir;
}

static int result(long returned)
{
    return returned < 0 ? errno : 0;
}

static int fd_of(const struct os_op *op)
{
    return (*op->file)->fd;
}

/* ---- opening and closing ---- */

/* O_NONBLOCK: a FIFO that somebody puts in the place of a mailbox must not hold the queue. */
static int open_flags(unsigned flags)
{
    int mode = flags & OS_FOR_WRITE ? (flags & OS_FOR_READ ? O_RDWR : O_WRONLY) : O_RDONLY;
    return mode | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (flags & OS_CREATE ? O_CREAT : 0) |
           (flags & OS_EXCLUSIVE ? O_EXCL : 0) | (flags & OS_TRUNCATED ? O_TRUNC : 0) |
           (flags & OS_NO_FOLLOW ? O_NOFOLLOW : 0);
}

static int do_open(struct os_op *op)
{
    int fd = openat(op->dir->fd, op->name, open_flags(op->flags), (mode_t)op->mode);
    if (fd < 0)
        return errno;
    *op->file = os_linux_file_new(fd);
    return *op->file ? 0 : ENOMEM;
}

/* With O_DIRECTORY the kernel calls a symbolic link "not a directory"; ours is told apart. */
static int why_no_dir(const struct os_op *op, int error)
{
    struct stat st;
    if (error == ENOTDIR && fstatat(op->dir->fd, op->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
        return ELOOP;
    return error;
}

static int do_open_dir(struct os_op *op)
{
    int fd = openat(op->dir->fd, op->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return why_no_dir(op, errno);
    *op->opened_dir = os_linux_dir_new(fd);
    return *op->opened_dir ? 0 : ENOMEM;
}

static int do_close(struct os_op *op)
{
    int fd = fd_of(op);
    free(*op->file);
    *op->file = NULL;
    return result(close(fd));
}

/* ---- bytes ---- */

static int do_read(struct os_op *op)
{
    op->value = 0;
    while (op->value < op->len) {
        ssize_t n = pread(fd_of(op), (char *)op->buf + op->value, op->len - op->value, (off_t)(op->offset + op->value));
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        op->value += (uint64_t)n;
    }
    return 0;
}

/* File systems that cannot tell say so, and have to be asked elsewhere. */
static int do_read_cached(struct os_op *op)
{
    struct iovec iov = { op->buf, op->len };
    ssize_t n = preadv2(fd_of(op), &iov, 1, (off_t)op->offset, RWF_NOWAIT);
    op->value = n > 0 ? (uint64_t)n : 0;
    if (n == (ssize_t)op->len)
        return 0;
    return n >= 0 || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINTR ? EAGAIN : errno;
}

/* The part of the slices behind the first `done` bytes, at most SLICES_AT_ONCE of them. */
static int rest_of(const struct os_op *op, uint64_t done, struct iovec iov[SLICES_AT_ONCE])
{
    int count = 0;
    for (size_t i = 0; i < op->slice_count && count < SLICES_AT_ONCE; i++) {
        struct os_slice s = op->slices[i];
        size_t skip = done < s.len ? (size_t)done : s.len;
        done -= skip;
        if (skip < s.len)
            iov[count++] = (struct iovec){ (char *)os_linux_unconst(s.at) + skip, s.len - skip };
    }
    return count;
}

static int do_write(struct os_op *op)
{
    struct iovec iov[SLICES_AT_ONCE];
    op->value = 0;
    for (int count; (count = rest_of(op, op->value, iov)) > 0;) {
        ssize_t n = pwritev(fd_of(op), iov, count, (off_t)(op->offset + op->value));
        if (n < 0)
            return errno;
        if (n == 0)
            return EIO;
        op->value += (uint64_t)n;
    }
    return 0;
}

static int do_sync_data(struct os_op *op)
{
    return result(fdatasync(fd_of(op)));
}

static int do_commit(struct os_op *op)
{
    int error;
    do
        error = do_write(op);
    while (error == EINTR); /* here and not by the caller: the sync is never tried twice (H135) */
    return error ? error : do_sync_data(op);
}

static int do_sync(struct os_op *op)
{
    return result(fsync(fd_of(op)));
}

static int do_sync_dir(struct os_op *op)
{
    return result(fsync(op->dir->fd));
}

/* Before Linux 5.8 syncfs() said 0 whatever became of the data, and few file systems note the errors since. */
static bool syncfs_tells_errors(int fd)
{
    struct utsname name;
    int major = 0, minor = 0;
    struct statfs fs;
    if (uname(&name) != 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2 || fstatfs(fd, &fs) != 0)
        return false;
    bool is_new = major > 5 || (major == 5 && minor >= 8);
    unsigned long type = (unsigned long)fs.f_type;
    return is_new && (type == EXT4_SUPER_MAGIC || type == XFS_SUPER_MAGIC || type == BTRFS_SUPER_MAGIC);
}

static int do_sync_fs(struct os_op *op)
{
    return syncfs_tells_errors(op->dir->fd) ? result(syncfs(op->dir->fd)) : EOPNOTSUPP;
}

static int do_truncate(struct os_op *op)
{
    return result(ftruncate(fd_of(op), (off_t)op->offset));
}

static int do_allocate(struct os_op *op)
{
    return op->offset ? posix_fallocate(fd_of(op), 0, (off_t)op->offset) : 0;
}

static int write_zeros(const struct os_op *op, const void *zeros)
{
    for (uint64_t done = 0; done < op->len;) {
        uint64_t rest = op->len - done;
        ssize_t n = pwrite(fd_of(op), zeros, rest < FILL_PIECE ? (size_t)rest : FILL_PIECE, (off_t)(op->offset + done));
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0)
            done += (uint64_t)n;
    }
    return 0;
}

/* Past the page cache where the file system can; else through it, and thrown out after the sync. O_DIRECT belongs to
 * the open file, so nobody else may be using it while it is filled. */
static int do_fill(struct os_op *op)
{
    void *zeros = mmap(NULL, FILL_PIECE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (zeros == MAP_FAILED)
        return ENOMEM;
    int fd = fd_of(op), flags = fcntl(fd, F_GETFL);
    bool direct = (op->offset | op->len) % DIRECT_ALIGN == 0 && fcntl(fd, F_SETFL, flags | O_DIRECT) == 0;
    int error = write_zeros(op, zeros);
    if (direct)
        fcntl(fd, F_SETFL, flags);
    if (direct && error == EINVAL) /* its blocks are larger than ours */
        error = write_zeros(op, zeros);
    munmap(zeros, FILL_PIECE);
    if (error == 0)
        error = do_sync_data(op);
    posix_fadvise(fd, (off_t)op->offset, (off_t)op->len, POSIX_FADV_DONTNEED);
    return error;
}

/* ---- names ---- */

static uint64_t to_us(struct timespec t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int do_stat(struct os_op *op)
{
    struct stat st;
    int flags = op->name ? 0 : AT_EMPTY_PATH;
    if (op->flags & OS_NO_FOLLOW)
        flags |= AT_SYMLINK_NOFOLLOW;
    if ((op->file ? fstat(fd_of(op), &st) : fstatat(op->dir->fd, op->name ? op->name : "", &st, flags)) != 0)
        return errno;
    *op->stat = (struct os_stat){
        .size = (uint64_t)st.st_size,
        .inode = st.st_ino,
        .device = st.st_dev,
        .modified_us = to_us(st.st_mtim),
        .accessed_us = to_us(st.st_atim),
        .mode = st.st_mode & 07777,
        .links = (uint32_t)st.st_nlink,
        .user = st.st_uid,
        .group = st.st_gid,
        .regular = S_ISREG(st.st_mode),
        .directory = S_ISDIR(st.st_mode),
    };
    return 0;
}

static int do_link(struct os_op *op)
{
    return result(linkat(op->dir->fd, op->name, op->to_dir->fd, op->to_name, 0));
}

static int do_rename(struct os_op *op)
{
    return result(renameat(op->dir->fd, op->name, op->to_dir->fd, op->to_name));
}

static int do_unlink(struct os_op *op)
{
    return result(unlinkat(op->dir->fd, op->name, 0));
}

static int do_remove_dir(struct os_op *op)
{
    return result(unlinkat(op->dir->fd, op->name, AT_REMOVEDIR));
}

static int do_make_dir(struct os_op *op)
{
    return result(mkdirat(op->dir->fd, op->name, (mode_t)op->mode));
}

/* Copies names until one does not fit; op->offset is the place behind the last that did. False: stop here. */
static bool add_names(struct os_op *op, const char *entries, size_t len)
{
    for (size_t at = 0; at < len;) {
        const struct dirent64 *e = (const struct dirent64 *)(const void *)(entries + at);
        size_t size = strlen(e->d_name) + 1;
        at += e->d_reclen;
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            if (size > op->len - op->value)
                return false;
            memcpy((char *)op->buf + op->value, e->d_name, size);
            op->value += size;
        }
        op->offset = (uint64_t)e->d_off;
    }
    return true;
}

/* The directory is opened anew, since the place of reading belongs to the open file, and others may read the same. */
static int do_list(struct os_op *op)
{
    _Alignas(struct dirent64) char entries[LIST_PIECE];
    op->value = 0;
    if (op->len <= NAME_LENGTH_MAX)
        return EINVAL;
    int fd = openat(op->dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = result(lseek(fd, (off_t)op->offset, SEEK_SET));
    for (bool more = error == 0; more;) {
        ssize_t n = getdents64(fd, entries, sizeof entries);
        error = result(n);
        more = n > 0 && add_names(op, entries, (size_t)n);
    }
    close(fd);
    return error;
}

/* ---- locks, times, owners ---- */

/* EBUSY is what our table of errors calls OS_LOCKED. */
static int lock_result(int returned)
{
    int error = result(returned);
    return error == EAGAIN || error == EACCES ? EBUSY : error;
}

#define LOCK_PAUSE_US 10000

static int do_lock(struct os_op *op)
{
    const struct timespec pause = { .tv_nsec = LOCK_PAUSE_US * 1000 };
    uint64_t left_us = op->offset;
    int error;
    while ((error = lock_result(flock(fd_of(op), LOCK_EX | LOCK_NB))) == EBUSY && left_us) {
        nanosleep(&pause, NULL);
        left_us -= left_us < LOCK_PAUSE_US ? left_us : LOCK_PAUSE_US;
    }
    return error;
}

/* Tied to the open file too: it excludes the record locks of other programs (F_SETLK), but is not lost when somebody
 * in our process closes another descriptor of the same mailbox. */
static int do_lock_range(struct os_op *op)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    return lock_result(fcntl(fd_of(op), F_OFD_SETLK, &whole));
}

static struct timespec to_timespec(uint64_t us)
{
    if (us == OS_NEVER)
        return (struct timespec){ .tv_nsec = UTIME_OMIT };
    return (struct timespec){ .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
}

static int do_set_times(struct os_op *op)
{
    struct timespec times[] = { to_timespec(op->time[0]), to_timespec(op->time[1]) };
    return result(futimens(fd_of(op), times));
}

static int do_chown(struct os_op *op)
{
    return result(fchown(fd_of(op), op->owner.user, op->owner.group));
}

/* ---- programs of operations ---- */

static const struct {
    int (*run)(struct os_op *op);
    bool needs_file; /* skipped when there is none */
    bool once;       /* not tried again after a signal: it is done, or its failure counts */
} kinds[] = {
    [OS_OPEN] = { do_open, false, false },
    [OS_OPEN_DIR] = { do_open_dir, false, false },
    [OS_CLOSE] = { do_close, true, true },
    [OS_READ] = { do_read, true, false },
    [OS_READ_CACHED] = { do_read_cached, true, false },
    [OS_WRITE] = { do_write, true, false },
    [OS_COMMIT] = { do_commit, true, true },
    [OS_SYNC_DATA] = { do_sync_data, true, true },
    [OS_SYNC] = { do_sync, true, true },
    [OS_SYNC_DIR] = { do_sync_dir, false, true },
    [OS_SYNC_FS] = { do_sync_fs, false, true },
    [OS_TRUNCATE] = { do_truncate, true, false },
    [OS_ALLOCATE] = { do_allocate, true, false },
    [OS_FILL] = { do_fill, true, true },
    [OS_STAT] = { do_stat, false, false },
    [OS_LINK] = { do_link, false, false },
    [OS_RENAME] = { do_rename, false, false },
    [OS_UNLINK] = { do_unlink, false, false },
    [OS_REMOVE_DIR] = { do_remove_dir, false, false },
    [OS_MAKE_DIR] = { do_make_dir, false, false },
    [OS_LIST] = { do_list, false, false },
    [OS_LOCK] = { do_lock, true, false },
    [OS_LOCK_RANGE] = { do_lock_range, true, false },
    [OS_SET_TIMES] = { do_set_times, true, false },
    [OS_CHOWN] = { do_chown, true, false },
};

static bool is_skipped(const struct os_op *op)
{
    if (op->after && op->after->status != OS_OK)
        return true;
    bool needs_file = kinds[op->kind].needs_file || (op->kind == OS_STAT && op->file);
    return needs_file && !*op->file;
}

void os_run_ops(struct os *os, struct os_op *ops, size_t count)
{
    (void)os;
    for (struct os_op *op = ops; op < ops + count; op++) {
        assert((size_t)op->kind < sizeof kinds / sizeof *kinds);
        if (is_skipped(op)) {
            op->status = OS_SKIPPED;
            continue;
        }
        int error;
        do
            error = kinds[op->kind].run(op);
        while (error == EINTR && !kinds[op->kind].once);
        op->status = os_linux_status(error);
    }
}

/* ---- handles ---- */

struct os_dir *os_dir_path(struct os *os, const char *path, enum os_status *status)
{
    (void)os;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        *status = os_linux_status(errno);
        return NULL;
    }
    struct os_dir *dir = os_linux_dir_new(fd);
    *status = dir ? OS_OK : OS_NO_MEMORY;
    return dir;
}

void os_dir_close(struct os_dir *dir)
{
    close(dir->fd);
    free(dir);
}

void os_file_close(struct os_file *file)
{
    close(file->fd);
    free(file);
}

enum os_status os_disk_free(struct os_dir *dir, uint64_t *bytes, uint64_t *files)
{
    struct statvfs fs;
    if (fstatvfs(dir->fd, &fs) != 0)
        return os_linux_status(errno);
    *bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    *files = fs.f_files ? fs.f_favail : UINT64_MAX; /* btrfs does not count them */
    return OS_OK;
}
