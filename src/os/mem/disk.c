#include "os/mem/disk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

uint64_t mem_name_hash(struct view name)
{
    uint64_t hash = mem_hash(0xcbf29ce484222325, name.at, name.len);
    hash ^= hash >> 29;
    return hash >> 1; /* so that one more than a hash is still a position */
}

size_t mem_names_place(const struct names *names, uint64_t hash)
{
    size_t from = 0, to = names->count;
    while (from < to) {
        size_t middle = (from + to) / 2;
        if (names->at[middle].hash < hash)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static bool is_here(const struct names *names, size_t place, struct view name)
{
    return place < names->count && view_equal(view_of(names->at[place].text), name);
}

struct inode *mem_names_find(const struct names *names, struct view name)
{
    size_t place = mem_names_place(names, mem_name_hash(name));
    return is_here(names, place, name) ? names->at[place].inode : NULL;
}

static struct name *insert(struct names *names, size_t place)
{
    if (names->count == names->cap) {
        names->cap = names->cap ? names->cap * 2 : 8;
        names->at = realloc(names->at, names->cap * sizeof(names->at[0]));
        if (!names->at)
            abort();
    }
    memmove(&names->at[place + 1], &names->at[place], (names->count++ - place) * sizeof(names->at[0]));
    return &names->at[place];
}

void mem_names_set(struct names *names, struct view name, struct inode *inode)
{
    uint64_t hash = mem_name_hash(name);
    size_t place = mem_names_place(names, hash);
    mem_inode_hold(inode);
    if (is_here(names, place, name)) {
        struct inode *old = names->at[place].inode;
        names->at[place].inode = inode;
        mem_inode_drop(old);
        return;
    }
    assert(place == names->count || names->at[place].hash != hash);
    *insert(names, place) = (struct name){ hash, mem_copy_text(name), inode };
}

void mem_names_remove(struct names *names, struct view name)
{
    size_t place = mem_names_place(names, mem_name_hash(name));
    if (!is_here(names, place, name))
        return;
    struct name gone = names->at[place];
    memmove(&names->at[place], &names->at[place + 1], (--names->count - place) * sizeof(names->at[0]));
    free(gone.text);
    mem_inode_drop(gone.inode);
}

void mem_names_free(struct names *names)
{
    while (names->count > 0) {
        struct name gone = names->at[--names->count];
        free(gone.text);
        mem_inode_drop(gone.inode);
    }
    free(names->at);
    *names = (struct names){ NULL, 0, 0 };
}

/* ---- inodes ---- */

struct inode *mem_inode_new(struct mem_disk *disk, enum inode_kind kind, const struct attributes *attributes)
{
    struct inode *inode = mem_take(sizeof(*inode));
    inode->disk = disk;
    inode->kind = kind;
    inode->number = ++disk->inode_count;
    inode->cached.attributes = inode->durable.attributes = *attributes;
    list_init(&inode->units);
    list_append(&disk->inodes, &inode->in_disk);
    return inode;
}

void mem_inode_hold(struct inode *inode)
{
    inode->refs++;
}

void mem_inode_drop(struct inode *inode)
{
    assert(inode->refs > 0);
    if (--inode->refs > 0)
        return;
    list_each_safe(link, &inode->units) mem_unit_free(list_entry(link, struct unit, in_inode));
    content_free(&inode->cached.content);
    content_free(&inode->durable.content);
    mem_names_free(&inode->cached.names);
    mem_names_free(&inode->durable.names);
    list_remove(&inode->in_disk);
    free(inode->target);
    free(inode);
}

/* A file without a name counts as long as somebody has it open. */
static uint64_t used(const struct mem_disk *disk)
{
    uint64_t bytes = 0;
    list_each(link, &disk->inodes)
    {
        const struct inode *inode = list_entry(link, struct inode, in_disk);
        bytes += inode->links || inode->handles ? inode->cached.content.size : 0;
    }
    return bytes;
}

uint64_t mem_disk_room(const struct mem_disk *disk)
{
    uint64_t taken = disk->size == UINT64_MAX ? 0 : used(disk);
    return disk->size > taken ? disk->size - taken : 0;
}

void mem_disk_set_room(struct mem_disk *disk, uint64_t bytes)
{
    disk->size = used(disk) + bytes;
}

/* ---- disks ---- */

static struct mem_disk *empty_disk(void)
{
    struct mem_disk *disk = mem_take(sizeof(*disk));
    list_init(&disk->inodes);
    list_init(&disk->units);
    disk->size = disk->cut_at = UINT64_MAX;
    return disk;
}

struct mem_disk *mem_disk_new(void)
{
    struct mem_disk *disk = empty_disk();
    disk->root = mem_inode_new(disk, INODE_DIR, &(struct attributes){ .mode = 0755 });
    disk->root->links = 1;
    mem_inode_hold(disk->root);
    return disk;
}

void mem_disk_hold_all(struct mem_disk *disk)
{
    list_each(link, &disk->inodes) mem_inode_hold(list_entry(link, struct inode, in_disk));
}

/* Safe although one that goes may take others along: those still to come are held. */
void mem_disk_drop_all(struct mem_disk *disk)
{
    list_each_safe(link, &disk->inodes) mem_inode_drop(list_entry(link, struct inode, in_disk));
}

static void free_units(struct mem_disk *disk)
{
    list_each_safe(link, &disk->units) mem_unit_free(list_entry(link, struct unit, in_disk));
}

void mem_disk_free(struct mem_disk *disk)
{
    if (!disk)
        return;
    assert(disk->handles == 0);
    mem_disk_hold_all(disk);
    free_units(disk);
    mem_inode_drop(disk->root);
    mem_disk_drop_all(disk);
    assert(list_empty(&disk->inodes));
    free(disk);
}

static void copy_names(struct names *to, const struct names *from, bool twins)
{
    for (size_t i = 0; i < from->count; i++) {
        struct inode *inode = from->at[i].inode;
        mem_names_set(to, view_of(from->at[i].text), twins ? inode->twin : inode);
    }
}

static void clone_inode(struct mem_disk *disk, struct inode *from)
{
    struct inode *to = mem_inode_new(disk, from->kind, &from->cached.attributes);
    to->durable.attributes = from->durable.attributes;
    to->number = from->number;
    to->links = from->links;
    content_copy(&to->cached.content, &from->cached.content);
    content_copy(&to->durable.content, &from->durable.content);
    to->target = from->target ? mem_copy_text(view_of(from->target)) : NULL;
    mem_inode_hold(to); /* until all names are there */
    from->twin = to;
}

static void clone_unit(struct mem_disk *disk, struct unit *from)
{
    size_t size = sizeof(*from) + (from->kind == UNIT_SECTOR ? MEM_SECTOR : 0);
    struct unit *to = mem_take(size);
    memcpy(to, from, size);
    to->inode = from->inode->twin;
    to->name = from->name ? mem_copy_text(view_of(from->name)) : NULL;
    to->to_name = from->to_name ? mem_copy_text(view_of(from->to_name)) : NULL;
    if (from->child)
        mem_inode_hold(to->child = from->child->twin);
    to->pair = NULL;
    if (from->pair && from->kind == UNIT_REMOVE) { /* the ADD came before it */
        to->pair = from->pair->twin;
        to->pair->pair = to;
    }
    list_append(&disk->units, &to->in_disk);
    list_append(&to->inode->units, &to->in_inode);
    from->twin = to;
}

struct mem_disk *mem_disk_clone(const struct mem_disk *disk)
{
    struct mem_disk *clone = empty_disk();
    list_each(link, &disk->inodes) clone_inode(clone, list_entry(link, struct inode, in_disk));
    list_each(link, &disk->inodes)
    {
        struct inode *from = list_entry(link, struct inode, in_disk);
        copy_names(&from->twin->cached.names, &from->cached.names, true);
        copy_names(&from->twin->durable.names, &from->durable.names, true);
    }
    list_each(link, &disk->units) clone_unit(clone, list_entry(link, struct unit, in_disk));
    clone->root = disk->root->twin;
    mem_inode_hold(clone->root);
    clone->inode_count = disk->inode_count;
    clone->cut = disk->cut;
    mem_disk_drop_all(clone); /* what only a handle on the old disk kept goes here */
    return clone;
}

/* ---- a crash ---- */

static bool survives(const struct mem_choice *choice, size_t unit, struct mem_random *random, uint64_t of_eight)
{
    switch (choice->how) {
    case MEM_KEEP_NONE:
        return false;
    case MEM_KEEP_ALL:
        return true;
    case MEM_KEEP_SET:
        return unit < 64 && (choice->value >> unit & 1);
    case MEM_KEEP_FIRST:
        return unit < choice->value;
    case MEM_KEEP_ALL_BUT:
        return unit != choice->value;
    case MEM_KEEP_RANDOM:
        return mem_random_between(random, 0, 7) < of_eight;
    }
    return false;
}

static void keep_chosen(struct mem_disk *disk, const struct mem_choice *choice)
{
    struct mem_random random;
    mem_random_seed(&random, choice->value);
    uint64_t of_eight = mem_random_between(&random, 0, 8); /* some crashes lose nearly all, some nearly nothing */
    size_t unit = 0;
    list_each(link, &disk->units) if (survives(choice, unit++, &random, of_eight))
        mem_unit_keep(list_entry(link, struct unit, in_disk));
}

static void forget_cache(struct inode *inode)
{
    content_cut_tail(&inode->durable.content);
    content_free(&inode->cached.content);
    content_copy(&inode->cached.content, &inode->durable.content);
    inode->cached.attributes = inode->durable.attributes;
    mem_names_free(&inode->cached.names);
    copy_names(&inode->cached.names, &inode->durable.names, false);
    inode->locked = NULL;
    inode->range_locked = NULL;
}

static void count_links(struct mem_disk *disk)
{
    list_each(link, &disk->inodes) list_entry(link, struct inode, in_disk)->links = 0;
    disk->root->links = 1;
    list_each(link, &disk->inodes)
    {
        const struct names *names = &list_entry(link, struct inode, in_disk)->cached.names;
        for (size_t i = 0; i < names->count; i++)
            names->at[i].inode->links++;
    }
}

void mem_disk_crash(struct mem_disk *disk, struct mem_choice choice)
{
    mem_disk_hold_all(disk);
    keep_chosen(disk, &choice);
    free_units(disk);
    list_each(link, &disk->inodes) forget_cache(list_entry(link, struct inode, in_disk));
    mem_disk_drop_all(disk);
    count_links(disk);
    disk->boots++;
    disk->cut = false;
    disk->cut_at = UINT64_MAX;
}
