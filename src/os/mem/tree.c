/* Operations on names and directories. */
#include "os/mem/file.h"

#include <stdlib.h>
#include <string.h>

/* ---- handles ---- */

static struct os_dir *dir_handle(struct mem_world *world, struct os *os, struct inode *inode, uint64_t boot);

static struct handle *copy_dir(struct handle *handle)
{
    struct os_dir *dir = (struct os_dir *)handle;
    struct os_dir *copy = dir_handle(handle->world, NULL, dir->inode, dir->boot);
    copy->sync_errors = dir->sync_errors;
    return &copy->handle;
}

static void cut_dir(struct handle *handle)
{
    struct os_dir *dir = (struct os_dir *)handle;
    if (!dir->inode)
        return;
    dir->inode->disk->handles--;
    dir->inode->handles--;
    mem_inode_drop(dir->inode);
    dir->inode = NULL;
}

static const struct handle_type dir_type = { OS_HANDLE_DIR, copy_dir, cut_dir };

static struct os_dir *dir_handle(struct mem_world *world, struct os *os, struct inode *inode, uint64_t boot)
{
    struct os_dir *dir = mem_take(sizeof(*dir));
    dir->inode = inode;
    dir->boot = boot;
    if (inode) {
        mem_inode_hold(inode);
        inode->disk->handles++;
        inode->handles++;
        dir->sync_errors = inode->disk->sync_errors;
    }
    mem_handle_init(&dir->handle, &dir_type, world, os);
    return dir;
}

struct inode *mem_dir_inode(const struct os_dir *dir)
{
    return dir->inode && dir->boot == dir->inode->disk->boots ? dir->inode : NULL;
}

void os_dir_close(struct os_dir *dir)
{
    if (dir)
        mem_handle_free(&dir->handle);
}

static enum os_status open_dir(struct os *os, struct inode *from, const char *path, bool follow, struct os_dir **dir)
{
    struct place place;
    enum os_status status = mem_walk(os, from, path, follow, &place);
    if (status != OS_OK)
        return status;
    if (!place.inode)
        return OS_NOT_FOUND;
    if (place.inode->kind != INODE_DIR)
        return place.inode->kind == INODE_LINK ? OS_IS_LINK : OS_NOT_DIR;
    if (!mem_may(os, place.inode, MAY_READ))
        return OS_DENIED;
    if (mem_handles_full(os))
        return OS_TOO_MANY;
    *dir = dir_handle(os->world, os, place.inode, place.inode->disk->boots);
    return OS_OK;
}

enum os_status mem_op_open_dir(struct os *os, struct os_op *op)
{
    return open_dir(os, mem_dir_inode(op->dir), op->name, false, op->opened_dir);
}

struct os_dir *os_dir_path(struct os *os, const char *path, enum os_status *status)
{
    struct mem_disk *disk = os->host->disk;
    struct os_dir *dir = NULL;
    uint64_t written;
    *status = os->cut ? OS_IO : mem_disk_begin(disk, OS_OPEN_DIR, path, &written);
    if (*status == OS_OK)
        *status = open_dir(os, disk->root, path, true, &dir);
    return dir;
}

enum os_status os_disk_free(struct os_dir *dir, uint64_t *bytes, uint64_t *files)
{
    if (!mem_dir_inode(dir) || dir->inode->disk->cut)
        return OS_IO;
    *bytes = mem_disk_room(dir->inode->disk);
    *files = *bytes > 0 ? UINT32_MAX : 0;
    return OS_OK;
}

/* ---- names ---- */

static enum os_status find(const struct os *os, const struct os_op *op, bool follow, struct place *place)
{
    enum os_status status = mem_walk(os, mem_dir_inode(op->dir), op->name, follow, place);
    return status == OS_OK && !place->inode ? OS_NOT_FOUND : status;
}

static enum os_status find_to(const struct os *os, const struct os_op *op, struct place *place)
{
    struct inode *to_dir = mem_dir_inode(op->to_dir);
    if (!to_dir)
        return OS_IO;
    if (to_dir->disk != op->dir->inode->disk)
        return OS_INVALID;
    return mem_walk(os, to_dir, op->to_name, false, place);
}

static enum os_status may_remove(const struct os *os, const struct place *place)
{
    if (place->inode == place->dir)
        return OS_INVALID;
    return mem_may(os, place->dir, MAY_WRITE | MAY_SEARCH) ? OS_OK : OS_DENIED;
}

enum os_status mem_op_link(struct os *os, struct os_op *op)
{
    struct place from, to;
    enum os_status status = find(os, op, false, &from);
    if (status == OS_OK)
        status = find_to(os, op, &to);
    if (status == OS_OK)
        status = mem_may_add(os, &to);
    if (status == OS_OK && from.inode->kind == INODE_DIR)
        status = OS_DENIED;
    if (status == OS_OK)
        mem_add_name(&to, from.inode);
    return status;
}

static enum os_status may_replace(const struct os *os, const struct place *from, const struct place *to)
{
    bool is_dir = from->inode->kind == INODE_DIR;
    if (is_dir && from->dir != to->dir)
        return OS_UNSUPPORTED; /* nobody moves directories about; and none could end up below itself */
    if (!to->inode)
        return mem_may_add(os, to);
    if (is_dir || to->inode->kind == INODE_DIR)
        return is_dir ? OS_EXISTS : OS_IS_DIR;
    return may_remove(os, to);
}

enum os_status mem_op_rename(struct os *os, struct os_op *op)
{
    struct place from, to;
    enum os_status status = find(os, op, false, &from);
    if (status == OS_OK)
        status = find_to(os, op, &to);
    if (status == OS_OK)
        status = may_remove(os, &from);
    if (status == OS_OK && from.inode == to.inode)
        return OS_OK; /* POSIX: two names of one file stay */
    if (status == OS_OK)
        status = may_replace(os, &from, &to);
    if (status != OS_OK)
        return status;
    if (to.inode)
        to.inode->links--;
    mem_unit_renamed(from.dir, from.name, to.dir, to.name, from.inode);
    mem_names_set(&to.dir->cached.names, to.name, from.inode);
    mem_names_remove(&from.dir->cached.names, from.name);
    return OS_OK;
}

static void take_name(const struct place *place)
{
    place->inode->links--;
    mem_unit_name(UNIT_REMOVE, place->dir, place->name, NULL);
    mem_names_remove(&place->dir->cached.names, place->name);
}

enum os_status mem_op_unlink(struct os *os, struct os_op *op)
{
    struct place place;
    enum os_status status = find(os, op, false, &place);
    if (status == OS_OK)
        status = place.inode->kind == INODE_DIR ? OS_IS_DIR : may_remove(os, &place);
    if (status == OS_OK)
        take_name(&place);
    return status;
}

enum os_status mem_op_remove_dir(struct os *os, struct os_op *op)
{
    struct place place;
    enum os_status status = find(os, op, false, &place);
    if (status == OS_OK)
        status = place.inode->kind != INODE_DIR ? OS_NOT_DIR : may_remove(os, &place);
    if (status == OS_OK && place.inode->cached.names.count > 0)
        status = OS_EXISTS;
    if (status == OS_OK)
        take_name(&place);
    return status;
}

enum os_status mem_op_make_dir(struct os *os, struct os_op *op)
{
    struct place place;
    enum os_status status = mem_walk(os, mem_dir_inode(op->dir), op->name, false, &place);
    if (status == OS_OK)
        status = mem_may_add(os, &place);
    if (status == OS_OK && mem_disk_room(place.dir->disk) == 0)
        status = OS_NO_SPACE;
    if (status != OS_OK)
        return status;
    uint64_t now = os_wall_us(os);
    const struct attributes attributes = { op->mode, os->user, os->group, now, now };
    mem_add_name(&place, mem_inode_new(place.dir->disk, INODE_DIR, &attributes));
    return OS_OK;
}

enum os_status mem_op_sync_dir(struct os *os, struct os_op *op)
{
    (void)os;
    mem_sync_inode(op->dir->inode, true);
    return OS_OK;
}

/* Each handle is told once of what failed since it was opened, whosever sync it was. */
enum os_status mem_op_sync_fs(struct os *os, struct os_op *op)
{
    struct mem_disk *disk = op->dir->inode->disk;
    bool failed = op->dir->sync_errors != disk->sync_errors;
    (void)os;
    mem_sync_all(disk);
    op->dir->sync_errors = disk->sync_errors;
    return failed ? OS_IO : OS_OK;
}

/* ---- looking ---- */

enum os_status mem_op_stat(struct os *os, struct os_op *op)
{
    struct place place = { .inode = op->file ? (*op->file)->open->inode : op->dir->inode };
    if (!op->file && op->name) {
        enum os_status status = find(os, op, !(op->flags & OS_NO_FOLLOW), &place);
        if (status != OS_OK)
            return status;
    }
    const struct inode *inode = place.inode;
    const struct attributes *a = &inode->cached.attributes;
    *op->stat = (struct os_stat){
        .size = inode->cached.content.size,
        .inode = inode->number,
        .device = 1,
        .modified_us = a->modified_us,
        .accessed_us = a->accessed_us,
        .mode = a->mode,
        .links = inode->links,
        .user = a->user,
        .group = a->group,
        .regular = inode->kind == INODE_FILE,
        .directory = inode->kind == INODE_DIR,
    };
    return OS_OK;
}

/* The position is one past the hash of the last name that was given. */
enum os_status mem_op_list(struct os *os, struct os_op *op)
{
    (void)os;
    const struct names *names = &op->dir->inode->cached.names;
    for (size_t i = mem_names_place(names, op->offset); i < names->count; i++) {
        size_t size = strlen(names->at[i].text) + 1;
        if (size > op->len - op->value)
            return op->value > 0 ? OS_OK : OS_TOO_LARGE;
        memcpy((char *)op->buf + op->value, names->at[i].text, size);
        op->value += size;
        op->offset = names->at[i].hash + 1;
    }
    return OS_OK;
}

/* ---- scenes, and looking on ---- */

/* The world's own hand: it may do everything and changes no clock. */
static const struct os nobody_else = { .user = 0 };

static struct inode *inode_at(const struct mem_disk *disk, const char *path, enum inode_kind kind)
{
    struct place place;
    enum os_status status = mem_walk(&nobody_else, disk->root, path, true, &place);
    return status == OS_OK && place.inode && place.inode->kind == kind ? place.inode : NULL;
}

bool mem_disk_names(const struct mem_disk *disk, const char *path, void (*on)(void *ctx, const char *name), void *ctx)
{
    const struct inode *dir = inode_at(disk, path, INODE_DIR);
    for (size_t i = 0; dir && i < dir->cached.names.count; i++)
        on(ctx, dir->cached.names.at[i].text);
    return dir;
}

char *mem_disk_read(const struct mem_disk *disk, const char *path, size_t *len)
{
    const struct inode *file = inode_at(disk, path, INODE_FILE);
    if (!file)
        return NULL;
    char *bytes = mem_take(file->cached.content.size);
    *len = content_read(&file->cached.content, 0, bytes, file->cached.content.size);
    return bytes;
}

bool mem_disk_symlink(struct mem_disk *disk, const char *path, const char *target)
{
    struct place place;
    if (mem_walk(&nobody_else, disk->root, path, false, &place) != OS_OK || place.inode)
        return false;
    struct inode *link = mem_inode_new(disk, INODE_LINK, &(struct attributes){ .mode = 0777 });
    link->target = mem_copy_text(view_of(target));
    link->links = 1;
    mem_names_set(&place.dir->cached.names, place.name, link);
    mem_names_set(&place.dir->durable.names, place.name, link);
    return true;
}

static void flip_byte(struct content *content, uint64_t offset, uint8_t flip)
{
    uint8_t byte;
    content_get(content, offset, &byte, 1);
    byte ^= flip;
    content_put(content, offset, &byte, 1);
}

bool mem_disk_rot(struct mem_disk *disk, const char *path, uint64_t offset, uint8_t flip)
{
    struct inode *file = inode_at(disk, path, INODE_FILE);
    if (!file || offset >= file->cached.content.size)
        return false;
    flip_byte(&file->cached.content, offset, flip);
    flip_byte(&file->durable.content, offset, flip);
    return true;
}
