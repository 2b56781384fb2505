/* Operations on open files. */
#include "os/mem/file.h"

#include <assert.h>
#include <stdlib.h>

/* ---- handles ---- */

static struct os_file *file_handle(struct mem_world *world, struct os *os, struct open_file *open);

static struct handle *copy_file(struct handle *handle)
{
    struct os_file *file = (struct os_file *)handle;
    if (file->open)
        file->open->refs++;
    return &file_handle(handle->world, NULL, file->open)->handle;
}

static void cut_file(struct handle *handle)
{
    struct os_file *file = (struct os_file *)handle;
    struct open_file *open = file->open;
    file->open = NULL;
    if (!open)
        return;
    struct inode *inode = open->inode;
    if (--open->refs > 0)
        return;
    if (inode->locked == open)
        inode->locked = NULL;
    if (inode->range_locked == open)
        inode->range_locked = NULL;
    inode->disk->handles--;
    inode->handles--;
    mem_inode_drop(inode);
    free(open);
}

static const struct handle_type file_type = { OS_HANDLE_FILE, copy_file, cut_file };

static struct os_file *file_handle(struct mem_world *world, struct os *os, struct open_file *open)
{
    struct os_file *file = mem_take(sizeof(*file));
    file->open = open;
    mem_handle_init(&file->handle, &file_type, world, os);
    return file;
}

static struct os_file *open_inode(struct os *os, struct inode *inode, unsigned flags)
{
    struct open_file *open = mem_take(sizeof(*open));
    *open = (struct open_file){ 1, inode, inode->disk->boots, flags & OS_FOR_READ, flags & OS_FOR_WRITE,
                                inode->sync_errors };
    mem_inode_hold(inode);
    inode->disk->handles++;
    inode->handles++;
    return file_handle(os->world, os, open);
}

struct inode *mem_file_inode(const struct os_file *file)
{
    struct open_file *open = file->open;
    return open && open->boot == open->inode->disk->boots ? open->inode : NULL;
}

void os_file_close(struct os_file *file)
{
    if (file)
        mem_handle_free(&file->handle);
}

/* ---- opening and closing ---- */

static enum os_status create(struct os *os, const struct os_op *op, struct place *place)
{
    struct mem_disk *disk = place->dir->disk;
    enum os_status status = mem_may_add(os, place);
    if (status != OS_OK)
        return status;
    if (disk->read_only)
        return OS_READ_ONLY;
    if (mem_disk_room(disk) == 0)
        return OS_NO_SPACE;
    uint64_t now = os_wall_us(os);
    place->inode = mem_inode_new(disk, INODE_FILE, &(struct attributes){ op->mode, os->user, os->group, now, now });
    mem_add_name(place, place->inode);
    return OS_OK;
}

static enum os_status check_open(struct os *os, const struct os_op *op, const struct inode *inode)
{
    if ((op->flags & OS_CREATE) && (op->flags & OS_EXCLUSIVE))
        return OS_EXISTS;
    if (inode->kind != INODE_FILE)
        return inode->kind == INODE_LINK ? OS_IS_LINK : OS_IS_DIR;
    if (inode->disk->read_only && (op->flags & (OS_FOR_WRITE | OS_TRUNCATED)))
        return OS_READ_ONLY;
    unsigned what = (op->flags & OS_FOR_READ ? MAY_READ : 0) | (op->flags & OS_FOR_WRITE ? MAY_WRITE : 0);
    return mem_may(os, inode, what) ? OS_OK : OS_DENIED;
}

static void resize(struct os *os, struct inode *inode, uint64_t size)
{
    uint64_t old = inode->cached.content.size;
    if (size == old)
        return;
    content_resize(&inode->cached.content, size);
    mem_unit_sized(inode, size > old ? UNIT_GROWTH : UNIT_CUT);
    inode->cached.attributes.modified_us = os_wall_us(os);
}

enum os_status mem_op_open(struct os *os, struct os_op *op)
{
    struct place place;
    bool follow = !(op->flags & OS_NO_FOLLOW) && !((op->flags & OS_CREATE) && (op->flags & OS_EXCLUSIVE));
    enum os_status status = mem_walk(os, mem_dir_inode(op->dir), op->name, follow, &place);
    if (status == OS_OK && !place.inode)
        status = op->flags & OS_CREATE ? create(os, op, &place) : OS_NOT_FOUND;
    else if (status == OS_OK)
        status = check_open(os, op, place.inode);
    if (status != OS_OK)
        return status;
    if (mem_handles_full(os))
        return OS_TOO_MANY;
    if (op->flags & OS_TRUNCATED)
        resize(os, place.inode, 0);
    *op->file = open_inode(os, place.inode, op->flags);
    return OS_OK;
}

enum os_status mem_op_close(struct os *os, struct os_op *op)
{
    (void)os;
    os_file_close(*op->file);
    *op->file = NULL;
    return OS_OK;
}

/* ---- bytes ---- */

enum os_status mem_op_read(struct os *os, struct os_op *op)
{
    const struct open_file *open = (*op->file)->open;
    if (!open->reads)
        return OS_DENIED;
    op->value = content_read(&open->inode->cached.content, op->offset, op->buf, op->len);
    open->inode->cached.attributes.accessed_us = os_wall_us(os);
    return OS_OK;
}

/* It is in the cache, or it is not. */
enum os_status mem_op_read_cached(struct os *os, struct os_op *op)
{
    return mem_random_between(&os->world->random, 0, 1) ? mem_op_read(os, op) : OS_AGAIN;
}

static uint64_t slices_len(const struct os_op *op)
{
    uint64_t len = 0;
    for (size_t i = 0; i < op->slice_count; i++)
        len += op->slices[i].len;
    return len;
}

/* How many of len bytes from offset on the disk has room for. */
static uint64_t room_for(const struct inode *inode, uint64_t offset, uint64_t len)
{
    uint64_t size = inode->cached.content.size, room = mem_disk_room(inode->disk);
    if (offset + len <= size || offset + len - size <= room)
        return len;
    return size + room > offset ? size + room - offset : 0;
}

void mem_write_part(struct os *os, struct os_op *op, uint64_t written)
{
    struct inode *inode = (*op->file)->open->inode;
    uint64_t at = op->offset, end = op->offset + written;
    if (written == 0)
        return;
    if (end > inode->cached.content.size)
        resize(os, inode, end);
    for (size_t i = 0; i < op->slice_count && at < end; i++) {
        size_t len = op->slices[i].len < end - at ? op->slices[i].len : (size_t)(end - at);
        content_put(&inode->cached.content, at, op->slices[i].at, len);
        at += len;
    }
    mem_unit_written(inode, op->offset, written);
    inode->cached.attributes.modified_us = os_wall_us(os);
}

enum os_status mem_op_write(struct os *os, struct os_op *op)
{
    const struct open_file *open = (*op->file)->open;
    if (!open->writes)
        return OS_DENIED;
    uint64_t len = slices_len(op), fits = room_for(open->inode, op->offset, len);
    mem_write_part(os, op, fits);
    op->value = fits;
    return fits == len ? OS_OK : OS_NO_SPACE;
}

enum os_status mem_op_zeros(struct os *os, struct os_op *op)
{
    const struct open_file *open = (*op->file)->open;
    if (!open->writes)
        return OS_DENIED;
    uint64_t fits = room_for(open->inode, op->offset, op->len);
    if (op->offset + fits > open->inode->cached.content.size)
        resize(os, open->inode, op->offset + fits);
    content_zero(&open->inode->cached.content, op->offset, fits);
    mem_unit_zeroed(open->inode, op->offset, fits);
    return fits == op->len ? OS_OK : OS_NO_SPACE;
}

enum os_status mem_op_truncate(struct os *os, struct os_op *op)
{
    const struct open_file *open = (*op->file)->open;
    if (!open->writes)
        return OS_DENIED;
    resize(os, open->inode, op->offset);
    return OS_OK;
}

enum os_status mem_op_allocate(struct os *os, struct os_op *op)
{
    const struct open_file *open = (*op->file)->open;
    if (!open->writes)
        return OS_DENIED;
    if (room_for(open->inode, 0, op->offset) < op->offset)
        return OS_NO_SPACE;
    if (op->offset > open->inode->cached.content.size)
        resize(os, open->inode, op->offset);
    return OS_OK;
}

/* Who has opened the file is told once of what failed since, whosever sync it was. */
static enum os_status sync(struct open_file *open, bool attributes_too)
{
    bool failed = open->sync_errors != open->inode->sync_errors;
    open->sync_errors = open->inode->sync_errors;
    mem_sync_inode(open->inode, attributes_too);
    return failed ? OS_IO : OS_OK;
}

enum os_status mem_op_sync_data(struct os *os, struct os_op *op)
{
    (void)os;
    return sync((*op->file)->open, false);
}

enum os_status mem_op_sync(struct os *os, struct os_op *op)
{
    (void)os;
    return sync((*op->file)->open, true);
}

/* ---- locks and attributes ---- */

static enum os_status lock(struct open_file **holder, struct open_file *open)
{
    if (*holder && *holder != open)
        return OS_LOCKED;
    *holder = open;
    return OS_OK;
}

enum os_status mem_op_lock(struct os *os, struct os_op *op)
{
    (void)os;
    return lock(&(*op->file)->open->inode->locked, (*op->file)->open);
}

enum os_status mem_op_lock_range(struct os *os, struct os_op *op)
{
    (void)os;
    struct open_file *open = (*op->file)->open;
    return open->writes ? lock(&open->inode->range_locked, open) : OS_DENIED;
}

enum os_status mem_op_set_times(struct os *os, struct os_op *op)
{
    struct inode *inode = (*op->file)->open->inode;
    struct attributes *a = &inode->cached.attributes;
    if (os->user != 0 && os->user != a->user)
        return OS_DENIED;
    if (op->time[0] != OS_NEVER)
        a->accessed_us = op->time[0];
    if (op->time[1] != OS_NEVER)
        a->modified_us = op->time[1];
    mem_unit_attributes(inode);
    return OS_OK;
}

enum os_status mem_op_chown(struct os *os, struct os_op *op)
{
    struct inode *inode = (*op->file)->open->inode;
    if (os->user != 0)
        return OS_DENIED;
    inode->cached.attributes.user = op->owner.user;
    inode->cached.attributes.group = op->owner.group;
    mem_unit_attributes(inode);
    return OS_OK;
}
