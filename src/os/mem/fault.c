/* What can go wrong with a disk before an operation has its effect. */
#include "os/mem/disk.h"

#include <assert.h>

#define CHANGING                                                                                                       \
    (MEM_OP(OS_WRITE) | MEM_OP(OS_COMMIT) | MEM_OP(OS_TRUNCATE) | MEM_OP(OS_ALLOCATE) | MEM_OP(OS_FILL) |              \
     MEM_OP(OS_LINK) | MEM_OP(OS_RENAME) | MEM_OP(OS_UNLINK) | MEM_OP(OS_REMOVE_DIR) | MEM_OP(OS_MAKE_DIR) |           \
     MEM_OP(OS_SET_TIMES) | MEM_OP(OS_CHOWN))

static enum os_status fault_of(struct mem_disk *disk, enum os_op_kind kind, uint64_t *written)
{
    enum os_status status = OS_OK;
    for (size_t i = 0; i < disk->fault_count; i++) {
        struct fault *f = &disk->faults[i];
        if (f->fault.kinds && !(f->fault.kinds & MEM_OP(kind)))
            continue;
        uint64_t seen = f->seen++;
        if (status == OS_OK && seen >= f->fault.nth && seen - f->fault.nth < f->fault.times) {
            status = f->fault.status;
            *written = f->fault.written;
        }
    }
    return status;
}

enum os_status mem_disk_begin(struct mem_disk *disk, enum os_op_kind kind, const char *name, uint64_t *written)
{
    uint64_t number = disk->op_count++;
    *written = 0;
    if (number >= disk->cut_at)
        disk->cut = true;
    if (disk->cut)
        return OS_IO;
    enum os_status status = fault_of(disk, kind, written);
    if (disk->before && status == OS_OK)
        status = disk->before(disk->before_ctx, &(struct mem_disk_op){ number, kind, name });
    if (disk->cut)
        return OS_IO;
    if (status == OS_OK && disk->read_only && (MEM_OP(kind) & CHANGING))
        status = OS_READ_ONLY;
    return status;
}

uint64_t mem_disk_op_count(const struct mem_disk *disk)
{
    return disk->op_count;
}

void mem_disk_cut_at(struct mem_disk *disk, uint64_t nth)
{
    disk->cut_at = nth < UINT64_MAX - disk->op_count ? disk->op_count + nth : UINT64_MAX;
}

bool mem_disk_is_cut(const struct mem_disk *disk)
{
    return disk->cut;
}

void mem_disk_fail_at(struct mem_disk *disk, const struct mem_fault *fault)
{
    assert(disk->fault_count < MEM_FAULTS_MAX && fault->status != OS_OK);
    disk->faults[disk->fault_count++] = (struct fault){ *fault, 0 };
}

void mem_disk_heal(struct mem_disk *disk)
{
    disk->fault_count = 0;
    disk->read_only = false;
    disk->size = UINT64_MAX;
}

void mem_disk_set_read_only(struct mem_disk *disk, bool read_only)
{
    disk->read_only = read_only;
}

void mem_disk_on_op(struct mem_disk *disk, enum os_status (*before)(void *ctx, const struct mem_disk_op *op), void *ctx)
{
    disk->before = before;
    disk->before_ctx = ctx;
}
