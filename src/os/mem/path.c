/* From a path to a place on the disk. */
#include "os/mem/file.h"

#define NAME_MAX_LEN   255
#define LINKS_DEEP_MAX 8

bool mem_may(const struct os *os, const struct inode *inode, unsigned what)
{
    const struct attributes *a = &inode->cached.attributes;
    unsigned shift = os->user == a->user ? 6 : os->group == a->group ? 3 : 0;
    return os->user == 0 || (a->mode >> shift & what) == what;
}

static enum os_status walk(const struct os *os, struct inode *dir, struct view path, bool follow, unsigned deep,
                           struct place *place);

/* Goes on where a symbolic link points to. */
static enum os_status follow_link(const struct os *os, struct inode *dir, unsigned deep, struct place *place)
{
    struct view target = view_of(place->inode->target);
    if (deep == LINKS_DEEP_MAX)
        return OS_IS_LINK;
    return walk(os, view_starts(target, VIEW("/")) ? dir->disk->root : dir, target, true, deep + 1, place);
}

static enum os_status walk(const struct os *os, struct inode *dir, struct view path, bool follow, unsigned deep,
                           struct place *place)
{
    *place = (struct place){ dir, VIEW("."), dir };
    while (path.len > 0) {
        struct view name = view_take_until(&path, '/');
        if (name.len == 0 || view_equal(name, VIEW(".")))
            continue;
        if (name.len > NAME_MAX_LEN)
            return OS_INVALID;
        if (!place->inode)
            return OS_NOT_FOUND;
        if (place->inode->kind != INODE_DIR)
            return OS_NOT_DIR;
        dir = place->inode;
        if (view_equal(name, VIEW("..")) || !mem_may(os, dir, MAY_SEARCH))
            return OS_DENIED;
        *place = (struct place){ dir, name, mem_names_find(&dir->cached.names, name) };
        if (place->inode && place->inode->kind == INODE_LINK && (follow || path.len > 0)) {
            enum os_status status = follow_link(os, dir, deep, place);
            if (status != OS_OK)
                return status;
        }
    }
    return OS_OK;
}

enum os_status mem_walk(const struct os *os, struct inode *dir, const char *path, bool follow, struct place *place)
{
    return walk(os, dir, view_of(path), follow, 0, place);
}

enum os_status mem_may_add(const struct os *os, const struct place *place)
{
    if (place->inode)
        return OS_EXISTS;
    if (place->dir->links == 0)
        return OS_NOT_FOUND; /* the directory itself has been removed */
    return mem_may(os, place->dir, MAY_WRITE | MAY_SEARCH) ? OS_OK : OS_DENIED;
}

void mem_add_name(const struct place *place, struct inode *inode)
{
    mem_names_set(&place->dir->cached.names, place->name, inode);
    inode->links++;
    mem_unit_name(UNIT_ADD, place->dir, place->name, inode);
}
