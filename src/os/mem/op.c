/* Running the operations of a request, one step at a time. */
#include "os/mem/file.h"

/* What an operation works on: it must be there, and be of this life of the disk. */
enum needs { NEEDS_FILE, NEEDS_DIR };

static const struct {
    enum needs needs;
    enum os_status (*run)(struct os *os, struct os_op *op);
} ops[] = {
    [OS_OPEN] = { NEEDS_DIR, mem_op_open },
    [OS_OPEN_DIR] = { NEEDS_DIR, mem_op_open_dir },
    [OS_CLOSE] = { NEEDS_FILE, mem_op_close },
    [OS_READ] = { NEEDS_FILE, mem_op_read },
    [OS_READ_CACHED] = { NEEDS_FILE, mem_op_read_cached },
    [OS_WRITE] = { NEEDS_FILE, mem_op_write },
    [OS_COMMIT] = { NEEDS_FILE, mem_op_sync_data },
    [OS_SYNC_DATA] = { NEEDS_FILE, mem_op_sync_data },
    [OS_SYNC] = { NEEDS_FILE, mem_op_sync },
    [OS_SYNC_DIR] = { NEEDS_DIR, mem_op_sync_dir },
    [OS_SYNC_FS] = { NEEDS_DIR, mem_op_sync_fs },
    [OS_TRUNCATE] = { NEEDS_FILE, mem_op_truncate },
    [OS_ALLOCATE] = { NEEDS_FILE, mem_op_allocate },
    [OS_FILL] = { NEEDS_FILE, mem_op_sync_data },
    [OS_STAT] = { NEEDS_DIR, mem_op_stat },
    [OS_LINK] = { NEEDS_DIR, mem_op_link },
    [OS_RENAME] = { NEEDS_DIR, mem_op_rename },
    [OS_UNLINK] = { NEEDS_DIR, mem_op_unlink },
    [OS_REMOVE_DIR] = { NEEDS_DIR, mem_op_remove_dir },
    [OS_MAKE_DIR] = { NEEDS_DIR, mem_op_make_dir },
    [OS_LIST] = { NEEDS_DIR, mem_op_list },
    [OS_LOCK] = { NEEDS_FILE, mem_op_lock },
    [OS_LOCK_RANGE] = { NEEDS_FILE, mem_op_lock_range },
    [OS_SET_TIMES] = { NEEDS_FILE, mem_op_set_times },
    [OS_CHOWN] = { NEEDS_FILE, mem_op_chown },
};

static bool has_two_steps(const struct os_op *op)
{
    return op->kind == OS_COMMIT || op->kind == OS_FILL;
}

static bool is_on_file(const struct os_op *op)
{
    return ops[op->kind].needs == NEEDS_FILE || (op->kind == OS_STAT && op->file);
}

static bool is_skipped(const struct os_op *op)
{
    if (op->after && op->after->status != OS_OK)
        return true;
    return is_on_file(op) ? !*op->file : !op->dir;
}

bool mem_op_is_sync(const struct os_op *op, unsigned step)
{
    return (MEM_SYNCS & MEM_OP(op->kind) && step == has_two_steps(op)) || op->kind == OS_SYNC_DIR;
}

static void sync_failed(struct os_op *op)
{
    if (is_on_file(op)) {
        struct open_file *open = (*op->file)->open;
        mem_sync_failed(open->inode);
        open->sync_errors = open->inode->sync_errors;
        open->inode->disk->sync_errors++;
        return;
    }
    list_each(link, &op->dir->inode->disk->inodes) mem_sync_failed(list_entry(link, struct inode, in_disk));
    op->dir->sync_errors = ++op->dir->inode->disk->sync_errors;
}

/* An operation that was begun and refused: some leave traces all the same. */
static void failed(struct os *os, struct os_op *op, unsigned step, uint64_t written)
{
    if (MEM_SYNCS & MEM_OP(op->kind) && mem_op_is_sync(op, step))
        sync_failed(op);
    else if (op->kind == OS_WRITE || op->kind == OS_COMMIT)
        mem_write_part(os, op, written);
    else if (op->kind == OS_CLOSE)
        mem_op_close(os, op); /* close(2): the descriptor is gone whatever it says */
}

static enum os_status run(struct os *os, struct os_op *op, unsigned step)
{
    struct inode *inode = is_on_file(op) ? mem_file_inode(*op->file) : mem_dir_inode(op->dir);
    if (os->cut || !inode) {
        if (op->kind == OS_CLOSE)
            mem_op_close(os, op);
        return OS_IO;
    }
    bool first_of_two = has_two_steps(op) && step == 0;
    uint64_t written;
    enum os_status status = mem_disk_begin(inode->disk, first_of_two ? OS_WRITE : op->kind, op->name, &written);
    if (inode->disk->cut && op->kind != OS_CLOSE)
        return OS_IO;
    if (status != OS_OK) {
        if (status != OS_UNSUPPORTED) /* then it was not even begun */
            failed(os, op, step, written);
        return status;
    }
    if (!first_of_two)
        return ops[op->kind].run(os, op);
    return op->kind == OS_COMMIT ? mem_op_write(os, op) : mem_op_zeros(os, op);
}

bool mem_op_step(struct os *os, struct os_op *op, unsigned step)
{
    if (step == 0)
        op->value = 0;
    op->status = step == 0 && is_skipped(op) ? OS_SKIPPED : run(os, op, step);
    mem_trace(os->world, os, "operation", op->kind, op->status);
    return op->status != OS_OK || !has_two_steps(op) || step == 1;
}

void os_run_ops(struct os *os, struct os_op *op, size_t count)
{
    for (; count > 0; count--, op++)
        for (unsigned step = 0; !mem_op_step(os, op, step); step++)
            ;
}
