/* The marker file `spool`, the lock, and the numbers of segments. */
#include <stdlib.h>

#include "spool/marker.h"
#include "spool/store_inner.h"

#define MARKER_NAME "spool"
#define MARKER_NEW  "spool.new"

#define MARKER_COPIES 2
#define MARKER_FILE   (MARKER_COPIES * SPOOL_BLOCK)

#define LOCK_US_MAX UINT64_C(10000000) /* a process that was killed ends when its last write to the disk has */

static enum os_status first_failure(const struct os_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i].status != OS_OK)
            return ops[i].status;
    return OS_OK;
}

/* Over the older of the two copies, in place: a full disk does not hinder it, and the other copy survives whatever
 * happens. */
static void raise_ops(struct os_op ops[2], struct os_dir *dir, const struct marker *marker, struct os_file **file,
                      struct os_slice *slice)
{
    ops[0] = (struct os_op){ .kind = OS_OPEN, .dir = dir, .name = MARKER_NAME, .file = file };
    ops[0].flags = OS_FOR_WRITE | OS_NO_FOLLOW;
    ops[1] = (struct os_op){ .kind = OS_COMMIT, .file = file, .slices = slice, .slice_count = 1, .after = &ops[0] };
    ops[1].offset = marker->copy * SPOOL_BLOCK;
}

static struct marker raised_marker(const struct spool_store *store)
{
    struct marker marker = store->marker;
    marker.number_limit += NUMBERS_AT_ONCE;
    marker.copy = (marker.copy + 1) % MARKER_COPIES;
    return marker;
}

enum os_status marker_read(struct os *os, struct os_dir *dir, struct marker *marker, enum format_result *result)
{
    char bytes[MARKER_FILE] = { 0 };
    struct os_file *file = NULL;
    struct os_op ops[2];
    ops[0] = (struct os_op){ .kind = OS_OPEN, .dir = dir, .name = MARKER_NAME, .file = &file };
    ops[0].flags = OS_FOR_READ | OS_NO_FOLLOW;
    ops[1] = (struct os_op){ .kind = OS_READ, .file = &file, .buf = bytes, .len = sizeof(bytes), .after = &ops[0] };
    os_run_ops(os, ops, 2);
    if (file)
        os_file_close(file);
    *result = FORMAT_BAD;
    *marker = (struct marker){ 0 };
    for (unsigned copy = 0; copy < MARKER_COPIES; copy++) {
        struct marker found = { .copy = copy };
        enum format_result one = marker_get((struct view){ bytes + copy * SPOOL_BLOCK, MARKER_SIZE }, &found);
        if (one == FORMAT_OK && found.number_limit > marker->number_limit)
            *marker = found;
        if (one == FORMAT_OK || (one == FORMAT_VERSION_UNKNOWN && *result == FORMAT_BAD))
            *result = one;
    }
    return first_failure(ops, 2);
}

/* ---- a new spool, and its lock ---- */

static const char *const folders[] = { "segments", "free", "quarantine" };
enum { FOLDERS = 3 };

static enum os_status folder_is_empty(struct os *os, struct os_dir *dir, const char *name)
{
    char names[512];
    struct os_dir *folder = NULL;
    struct os_op open = { .kind = OS_OPEN_DIR, .dir = dir, .name = name, .opened_dir = &folder };
    os_run_ops(os, &open, 1);
    if (open.status != OS_OK)
        return open.status;
    struct os_op list = { .kind = OS_LIST, .dir = folder, .buf = names, .len = sizeof(names) };
    os_run_ops(os, &list, 1);
    os_dir_close(folder);
    return list.status == OS_OK && list.value ? OS_EXISTS : list.status;
}

static bool may_be_there(struct view name)
{
    static const char *const others[] = { "lock", MARKER_NEW };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (view_equal(name, view_of(others[i])))
            return true;
    for (int i = 0; i < FOLDERS; i++)
        if (view_equal(name, view_of(folders[i])))
            return true;
    return false;
}

/* What an earlier attempt left behind is no hindrance; anything else is (H148). */
static enum os_status must_be_empty(struct os *os, struct os_dir *dir)
{
    char names[512];
    struct os_op op = { .kind = OS_LIST, .dir = dir, .buf = names, .len = sizeof(names) };
    os_run_ops(os, &op, 1);
    if (op.status != OS_OK)
        return op.status;
    for (struct view rest = { names, (size_t)op.value }; rest.len;)
        if (!may_be_there(view_take_until(&rest, 0)))
            return OS_EXISTS;
    return OS_OK;
}

static enum os_status make_folder(struct os *os, struct os_dir *dir, const char *name)
{
    struct os_op op = { .kind = OS_MAKE_DIR, .dir = dir, .name = name, .mode = FOLDER_MODE };
    os_run_ops(os, &op, 1);
    return op.status == OS_EXISTS ? folder_is_empty(os, dir, name) : op.status;
}

static enum os_status make_lock(struct os *os, struct os_dir *dir)
{
    struct os_file *file = NULL;
    struct os_op ops[2];
    ops[0] = (struct os_op){ .kind = OS_OPEN, .dir = dir, .name = "lock", .file = &file, .mode = FILE_MODE };
    ops[0].flags = OS_FOR_WRITE | OS_CREATE | OS_NO_FOLLOW;
    ops[1] = (struct os_op){ .kind = OS_CLOSE, .file = &file, .after = &ops[0] };
    os_run_ops(os, ops, 2);
    return first_failure(ops, 2);
}

/* The marker's name comes last: from then on it is a spool. */
static enum os_status make_marker(struct os *os, struct os_dir *dir)
{
    enum { OPS = 5 };
    char bytes[MARKER_FILE] = { 0 };
    struct os_slice slice = { bytes, sizeof(bytes) };
    struct marker marker = { .number_limit = 1 };
    struct os_file *file = NULL;
    struct os_op ops[OPS];
    if (!os_random(os, marker.id, sizeof(marker.id)))
        return OS_IO;
    for (unsigned copy = 0; copy < MARKER_COPIES; copy++)
        marker_put(bytes + copy * SPOOL_BLOCK, &marker);
    ops[0] = (struct os_op){ .kind = OS_OPEN, .dir = dir, .name = MARKER_NEW, .file = &file, .mode = FILE_MODE };
    ops[0].flags = OS_FOR_WRITE | OS_CREATE | OS_TRUNCATED | OS_NO_FOLLOW;
    ops[1] = (struct os_op){ .kind = OS_COMMIT, .file = &file, .slices = &slice, .slice_count = 1 };
    ops[2] = (struct os_op){ .kind = OS_CLOSE, .file = &file };
    ops[3] = (struct os_op){ .kind = OS_RENAME, .dir = dir, .name = MARKER_NEW, .to_dir = dir, .to_name = MARKER_NAME };
    ops[4] = (struct os_op){ .kind = OS_SYNC_DIR, .dir = dir };
    for (int i = 1; i < OPS; i++)
        ops[i].after = &ops[i - 1];
    os_run_ops(os, ops, OPS);
    if (file)
        os_file_close(file);
    return first_failure(ops, OPS);
}

enum os_status spool_create(struct os *os, struct os_dir *dir)
{
    enum os_status status = must_be_empty(os, dir);
    for (int i = 0; i < FOLDERS && status == OS_OK; i++)
        status = make_folder(os, dir, folders[i]);
    if (status != OS_OK)
        return status;
    status = make_lock(os, dir);
    return status == OS_OK ? make_marker(os, dir) : status;
}

static struct os_op open_lock(struct os_dir *dir, struct os_file **file)
{
    return (struct os_op){ .kind = OS_OPEN,
                           .dir = dir,
                           .name = "lock",
                           .file = file,
                           .mode = FILE_MODE,
                           .flags = OS_FOR_WRITE | OS_CREATE | OS_NO_FOLLOW };
}

/* Who finds the supervisor's lock taken has met a living server, and goes at once. When only the server's is taken, the
 * supervisor is dead and its last processes are just ending: that is waited for (H142). */
enum os_status spool_lock(struct os *os, struct os_dir *dir, struct spool_locks *locks)
{
    struct marker marker;
    enum format_result result;
    *locks = (struct spool_locks){ 0 };
    enum os_status status = marker_read(os, dir, &marker, &result);
    if (status != OS_OK)
        return status;
    struct os_op ops[4];
    ops[0] = open_lock(dir, &locks->supervisor);
    ops[1] = (struct os_op){ .kind = OS_LOCK_RANGE, .file = &locks->supervisor, .after = &ops[0] };
    ops[2] = open_lock(dir, &locks->server);
    ops[2].after = &ops[1];
    ops[3] = (struct os_op){ .kind = OS_LOCK, .file = &locks->server, .offset = LOCK_US_MAX, .after = &ops[2] };
    os_run_ops(os, ops, 4);
    status = first_failure(ops, 4);
    if (status != OS_OK)
        spool_unlock(locks);
    return status;
}

void spool_unlock(struct spool_locks *locks)
{
    if (locks->supervisor)
        os_file_close(locks->supervisor);
    if (locks->server)
        os_file_close(locks->server);
    *locks = (struct spool_locks){ 0 };
}

/* ---- numbers ---- */

bool store_raise_limit_now(struct spool_store *store)
{
    char bytes[MARKER_SIZE];
    struct os_slice slice = { bytes, sizeof(bytes) };
    struct os_file *file = NULL;
    struct os_op ops[2];
    struct marker marker = raised_marker(store);
    if (store->raising)
        return false;
    marker_put(bytes, &marker);
    raise_ops(ops, store->dir, &marker, &file, &slice);
    os_run_ops(store->os, ops, 2);
    if (file)
        os_file_close(file);
    if (first_failure(ops, 2) != OS_OK)
        return false;
    store->marker = marker;
    return true;
}

static void raised(struct job *job, bool ok)
{
    struct spool_store *store = job->store;
    store->raising = false;
    if (ok) {
        store->marker = raised_marker(store);
        prepare_next(store);
    } else {
        store_retry_later(store);
    }
}

static void raise_limit(struct spool_store *store)
{
    struct marker marker = raised_marker(store);
    struct job *job = store->raising ? NULL : job_new(store, raised);
    if (!job)
        return;
    job->memory = malloc(MARKER_SIZE);
    if (!job->memory) {
        free(job);
        return;
    }
    marker_put(job->memory, &marker);
    job->slices[0] = (struct os_slice){ job->memory, MARKER_SIZE };
    raise_ops(job->ops, store->dir, &marker, &job->file, &job->slices[0]);
    job->count = 2;
    store->raising = true;
    job_submit(job, store->names_queue);
}

bool store_take_number(struct spool_store *store, uint64_t *number)
{
    if (store->next_number >= store->marker.number_limit) {
        raise_limit(store);
        return false;
    }
    *number = store->next_number++;
    return true;
}
