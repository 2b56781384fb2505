/* Units: what was done to the cache and is not durable, one by one. */
#include "os/mem/disk.h"

#include <stdlib.h>
#include <string.h>

#define ZEROS_STEP 65536 /* OS_FILL goes to the device in pieces of this size */

static struct unit *new_unit(enum unit_kind kind, struct inode *inode, size_t bytes)
{
    struct unit *unit = mem_take(sizeof(*unit) + bytes);
    unit->kind = kind;
    unit->inode = inode;
    list_append(&inode->disk->units, &unit->in_disk);
    list_append(&inode->units, &unit->in_inode);
    return unit;
}

void mem_unit_free(struct unit *unit)
{
    list_remove(&unit->in_disk);
    list_remove(&unit->in_inode);
    if (unit->pair)
        unit->pair->pair = NULL;
    if (unit->child)
        mem_inode_drop(unit->child);
    free(unit->name);
    free(unit->to_name);
    free(unit);
}

/* A sector goes to the disk as it stands in the cache: with what earlier writes put into it. */
void mem_unit_written(struct inode *file, uint64_t offset, uint64_t len)
{
    if (len == 0)
        return;
    for (uint64_t sector = offset / MEM_SECTOR; sector <= (offset + len - 1) / MEM_SECTOR; sector++) {
        struct unit *unit = new_unit(UNIT_SECTOR, file, MEM_SECTOR);
        unit->offset = sector * MEM_SECTOR;
        unit->len = MEM_SECTOR;
        content_get(&file->cached.content, unit->offset, unit->bytes, MEM_SECTOR);
    }
}

void mem_unit_zeroed(struct inode *file, uint64_t offset, uint64_t len)
{
    for (uint64_t end = offset + len; offset < end; offset += ZEROS_STEP) {
        struct unit *unit = new_unit(UNIT_ZEROS, file, 0);
        unit->offset = offset;
        unit->len = end - offset < ZEROS_STEP ? end - offset : ZEROS_STEP;
    }
}

void mem_unit_sized(struct inode *file, enum unit_kind growth_or_cut)
{
    new_unit(growth_or_cut, file, 0)->offset = file->cached.content.size;
}

void mem_unit_attributes(struct inode *inode)
{
    new_unit(UNIT_ATTRIBUTES, inode, 0)->attributes = inode->cached.attributes;
}

struct unit *mem_unit_name(enum unit_kind add_or_remove, struct inode *dir, struct view name, struct inode *child)
{
    struct unit *unit = new_unit(add_or_remove, dir, 0);
    unit->name = mem_copy_text(name);
    unit->child = child;
    if (child)
        mem_inode_hold(child);
    return unit;
}

void mem_unit_renamed(struct inode *dir, struct view name, struct inode *to_dir, struct view to_name,
                      struct inode *child)
{
    if (dir == to_dir) {
        mem_unit_name(UNIT_RENAME, dir, name, child)->to_name = mem_copy_text(to_name);
        return;
    }
    struct unit *add = mem_unit_name(UNIT_ADD, to_dir, to_name, child);
    struct unit *remove = mem_unit_name(UNIT_REMOVE, dir, name, NULL);
    add->pair = remove;
    remove->pair = add;
}

/* ---- making it durable ---- */

void mem_unit_keep(struct unit *unit)
{
    struct state *durable = &unit->inode->durable;
    switch (unit->kind) {
    case UNIT_SECTOR:
        content_put(&durable->content, unit->offset, unit->bytes, MEM_SECTOR);
        break;
    case UNIT_ZEROS:
        content_zero(&durable->content, unit->offset, unit->len);
        break;
    case UNIT_GROWTH:
        if (durable->content.size < unit->offset)
            content_resize(&durable->content, unit->offset);
        break;
    case UNIT_CUT:
        content_resize(&durable->content, unit->offset);
        content_cut_tail(&durable->content);
        break;
    case UNIT_ATTRIBUTES:
        durable->attributes = unit->attributes;
        break;
    case UNIT_ADD:
        mem_names_set(&durable->names, view_of(unit->name), unit->child);
        break;
    case UNIT_REMOVE:
        if (!unit->pair || unit->pair->kept)
            mem_names_remove(&durable->names, view_of(unit->name));
        break;
    case UNIT_RENAME:
        mem_names_set(&durable->names, view_of(unit->to_name), unit->child);
        mem_names_remove(&durable->names, view_of(unit->name));
        break;
    }
    unit->kept = true;
}

static bool is_bytes(const struct unit *unit)
{
    return unit->kind == UNIT_SECTOR || unit->kind == UNIT_ZEROS;
}

/* A sector that looked clean and was written again later: what it held before does not come back. */
static void forget_older(struct inode *file, const struct unit *newer)
{
    list_each_safe(link, &file->units)
    {
        struct unit *unit = list_entry(link, struct unit, in_inode);
        if (unit == newer)
            return;
        bool under = unit->offset >= newer->offset && unit->offset + unit->len <= newer->offset + newer->len;
        if (is_bytes(unit) && (newer->kind == UNIT_CUT ? unit->offset >= newer->offset : is_bytes(newer) && under))
            mem_unit_free(unit);
    }
}

static void sync_unit(struct unit *unit)
{
    struct unit *pair = unit->kind == UNIT_REMOVE ? unit->pair : NULL;
    if (pair) {
        mem_unit_keep(pair);
        mem_unit_free(pair);
    }
    mem_unit_keep(unit);
    forget_older(unit->inode, unit);
    mem_unit_free(unit);
}

void mem_sync_inode(struct inode *inode, bool attributes_too)
{
    list_each_safe(link, &inode->units)
    {
        struct unit *unit = list_entry(link, struct unit, in_inode);
        if (!unit->clean && (attributes_too || unit->kind != UNIT_ATTRIBUTES))
            sync_unit(unit);
    }
    if (attributes_too)
        inode->durable.attributes = inode->cached.attributes;
}

void mem_sync_all(struct mem_disk *disk)
{
    mem_disk_hold_all(disk);
    list_each(link, &disk->inodes) mem_sync_inode(list_entry(link, struct inode, in_disk), true);
    mem_disk_drop_all(disk);
}

void mem_sync_failed(struct inode *file)
{
    bool lost = false;
    list_each(link, &file->units)
    {
        struct unit *unit = list_entry(link, struct unit, in_inode);
        lost = lost || (is_bytes(unit) && !unit->clean);
        unit->clean = unit->clean || is_bytes(unit);
    }
    file->sync_errors += lost;
}

/* ---- telling ---- */

size_t mem_disk_unsynced_count(const struct mem_disk *disk)
{
    size_t count = 0;
    list_each(link, &disk->units) count++;
    return count;
}

static const char *const unit_text[] = {
    [UNIT_SECTOR] = "sector",         [UNIT_ZEROS] = "zeros", [UNIT_GROWTH] = "growth", [UNIT_CUT] = "cut",
    [UNIT_ATTRIBUTES] = "attributes", [UNIT_ADD] = "add",     [UNIT_REMOVE] = "remove", [UNIT_RENAME] = "rename",
};

void mem_disk_describe(const struct mem_disk *disk, size_t number, struct buffer *to)
{
    list_each(link, &disk->units)
    {
        if (number-- > 0)
            continue;
        const struct unit *unit = list_entry(link, struct unit, in_disk);
        buffer_addf(to, "%s in inode %llu", unit_text[unit->kind], (unsigned long long)unit->inode->number);
        if (unit->name)
            buffer_addf(to, " %s", unit->name);
        if (unit->to_name)
            buffer_addf(to, " to %s", unit->to_name);
        if (unit->kind <= UNIT_CUT)
            buffer_addf(to, " at %llu", (unsigned long long)unit->offset);
        if (unit->clean)
            buffer_add_text(to, ", looks clean");
        return;
    }
}
