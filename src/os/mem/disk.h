/* The simulated disk from inside: inodes, names, and the units of what is not yet durable (see os_mem.h). */
#ifndef OS_MEM_DISK_H
#define OS_MEM_DISK_H

#include "os/mem/content.h"
#include "os/mem/world.h"

struct open_file;
struct inode;

/* Names of a directory, in the order of a hash of the name, as real directories are: nobody may count on it. */
struct name {
    uint64_t hash;
    char *text;
    struct inode *inode; /* one reference held */
};

struct names {
    struct name *at;
    size_t count, cap;
};

uint64_t mem_name_hash(struct view name);
size_t mem_names_place(const struct names *names, uint64_t hash); /* first one with this hash or a greater one */
struct inode *mem_names_find(const struct names *names, struct view name);
void mem_names_set(struct names *names, struct view name, struct inode *inode);
void mem_names_remove(struct names *names, struct view name);
void mem_names_free(struct names *names);

struct attributes {
    uint32_t mode, user, group;
    uint64_t modified_us, accessed_us;
};

enum inode_kind { INODE_FILE, INODE_DIR, INODE_LINK };

struct state {
    struct attributes attributes;
    struct content content; /* of a file */
    struct names names;     /* of a directory */
};

struct inode {
    struct list in_disk, units;
    struct mem_disk *disk;
    enum inode_kind kind;
    unsigned refs;  /* by names in either state, units about names, handles */
    unsigned links; /* names in the cache */
    unsigned handles;
    uint64_t number;
    struct state cached, durable;
    uint64_t sync_errors;           /* so many syncs of its bytes have failed */
    char *target;                   /* of a symbolic link */
    struct open_file *locked;       /* flock */
    struct open_file *range_locked; /* fcntl */
    struct inode *twin;             /* while cloning */
};

enum unit_kind { UNIT_SECTOR, UNIT_ZEROS, UNIT_GROWTH, UNIT_CUT, UNIT_ATTRIBUTES, UNIT_ADD, UNIT_REMOVE, UNIT_RENAME };

struct unit {
    struct list in_disk, in_inode;
    enum unit_kind kind;
    bool clean;           /* a sync of it failed: no later one will make it durable */
    bool kept;            /* applied to the durable state */
    struct inode *inode;  /* the file, or the directory of the name */
    uint64_t offset, len; /* SECTOR and ZEROS: where; GROWTH and CUT: offset is the new size */
    struct attributes attributes;
    char *name, *to_name; /* ADD, REMOVE: name; RENAME: name becomes to_name */
    struct inode *child;  /* ADD, RENAME; one reference held */
    struct unit *pair;    /* a rename between directories: the REMOVE's ADD and the other way round */
    struct unit *twin;    /* while cloning */
    char bytes[];         /* SECTOR */
};

struct fault {
    struct mem_fault fault;
    uint64_t seen;
};

struct mem_disk {
    struct list inodes, units;
    struct inode *root;
    uint64_t inode_count, op_count, boots;
    uint64_t size; /* all files together, at most */
    uint64_t cut_at;
    bool cut, read_only;
    uint64_t sync_errors; /* so many syncs have failed */
    size_t handles;
    struct fault faults[MEM_FAULTS_MAX];
    size_t fault_count;
    enum os_status (*before)(void *ctx, const struct mem_disk_op *op);
    void *before_ctx;
};

struct inode *mem_inode_new(struct mem_disk *disk, enum inode_kind kind, const struct attributes *attributes);
void mem_inode_hold(struct inode *inode);
void mem_inode_drop(struct inode *inode); /* may free it */
/* Around work on all of them that may let go of some. */
void mem_disk_hold_all(struct mem_disk *disk);
void mem_disk_drop_all(struct mem_disk *disk);
uint64_t mem_disk_room(const struct mem_disk *disk);

/* Puts down, as units, what was just done to the cached state. */
void mem_unit_written(struct inode *file, uint64_t offset, uint64_t len); /* its sectors, as they now are */
void mem_unit_zeroed(struct inode *file, uint64_t offset, uint64_t len);
void mem_unit_sized(struct inode *file, enum unit_kind growth_or_cut);
void mem_unit_attributes(struct inode *inode);
struct unit *mem_unit_name(enum unit_kind add_or_remove, struct inode *dir, struct view name, struct inode *child);
void mem_unit_renamed(struct inode *dir, struct view name, struct inode *to_dir, struct view to_name,
                      struct inode *child);

void mem_unit_free(struct unit *unit);
void mem_unit_keep(struct unit *unit); /* applies it to the durable state */

void mem_sync_inode(struct inode *inode,
                    bool attributes_too); /* bytes and size of a file, or the names of a directory */
void mem_sync_all(struct mem_disk *disk);
void mem_sync_failed(struct inode *file); /* its sectors look clean from now on; whoever has it open is told by its next sync */

/* Counts one operation and lets power cut, hook and faults have their say. *written: bytes that a failing write puts.
 */
enum os_status mem_disk_begin(struct mem_disk *disk, enum os_op_kind kind, const char *name, uint64_t *written);

#endif
