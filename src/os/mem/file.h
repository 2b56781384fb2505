/* File operations over a simulated disk. */
#ifndef OS_MEM_FILE_H
#define OS_MEM_FILE_H

#include "os/mem/disk.h"
#include "os/mem/handle.h"

/* What the copies of a file handle share; locks are tied to it. */
struct open_file {
    unsigned refs;
    struct inode *inode;
    uint64_t boot; /* of the disk: after a crash it is good for nothing */
    bool reads, writes;
    uint64_t sync_errors; /* of the inode, as have been told here */
};

struct os_file {
    struct handle handle;
    struct open_file *open; /* NULL: cut */
};

struct os_dir {
    struct handle handle;
    struct inode *inode; /* NULL: cut */
    uint64_t boot;
    uint64_t sync_errors; /* of the disk, as this handle has seen them */
};

/* The end of a path: the directory, the last name in it, and what it stands for (NULL: nothing). */
struct place {
    struct inode *dir;
    struct view name;
    struct inode *inode;
};

enum { MAY_READ = 4, MAY_WRITE = 2, MAY_SEARCH = 1 };

bool mem_may(const struct os *os, const struct inode *inode, unsigned what);
/* OS_OK also when only the last part is missing. The name in *place lives as long as the path, or as the link it was
 * read from. */
enum os_status mem_walk(const struct os *os, struct inode *dir, const char *path, bool follow, struct place *place);
struct inode *mem_dir_inode(const struct os_dir *dir);    /* NULL: cut, or from before a crash */
struct inode *mem_file_inode(const struct os_file *file); /* the same */
/* May a new name be put into this place? */
enum os_status mem_may_add(const struct os *os, const struct place *place);
/* Puts it there, in the cache and as a unit. */
void mem_add_name(const struct place *place, struct inode *inode);

/* Each does the whole of one operation on the cache; `written` as mem_disk_begin() gave it. */
enum os_status mem_op_open(struct os *os, struct os_op *op);
enum os_status mem_op_open_dir(struct os *os, struct os_op *op);
enum os_status mem_op_close(struct os *os, struct os_op *op);
enum os_status mem_op_read(struct os *os, struct os_op *op);
enum os_status mem_op_read_cached(struct os *os, struct os_op *op);
enum os_status mem_op_write(struct os *os, struct os_op *op);
void mem_write_part(struct os *os, struct os_op *op, uint64_t written);
enum os_status mem_op_zeros(struct os *os, struct os_op *op);
enum os_status mem_op_truncate(struct os *os, struct os_op *op);
enum os_status mem_op_allocate(struct os *os, struct os_op *op);
enum os_status mem_op_sync_data(struct os *os, struct os_op *op);
enum os_status mem_op_sync(struct os *os, struct os_op *op);
enum os_status mem_op_lock(struct os *os, struct os_op *op);
enum os_status mem_op_lock_range(struct os *os, struct os_op *op);
enum os_status mem_op_set_times(struct os *os, struct os_op *op);
enum os_status mem_op_chown(struct os *os, struct os_op *op);

enum os_status mem_op_sync_dir(struct os *os, struct os_op *op);
enum os_status mem_op_sync_fs(struct os *os, struct os_op *op);
enum os_status mem_op_stat(struct os *os, struct os_op *op);
enum os_status mem_op_link(struct os *os, struct os_op *op);
enum os_status mem_op_rename(struct os *os, struct os_op *op);
enum os_status mem_op_unlink(struct os *os, struct os_op *op);
enum os_status mem_op_remove_dir(struct os *os, struct os_op *op);
enum os_status mem_op_make_dir(struct os *os, struct os_op *op);
enum os_status mem_op_list(struct os *os, struct os_op *op);

/* One step of an operation (most have one; OS_COMMIT and OS_FILL have two, counted from 0). True: it has its outcome.
 */
bool mem_op_step(struct os *os, struct os_op *op, unsigned step);
bool mem_op_is_sync(const struct os_op *op, unsigned step);

#endif
