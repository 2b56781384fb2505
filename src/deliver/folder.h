/* Opens a directory below another, part by part and never through a symbolic link (H155), and makes what is missing
 * (mode 0700) with its name durable. */
#ifndef DELIVER_FOLDER_H
#define DELIVER_FOLDER_H

#include "deliver/place.h"
#include "os/os.h"

struct deliver_folder {
    struct os_queue *queue;
    struct os_dir *base; /* borrowed */
    struct os_dir *at;   /* reached so far; the base, or owned */
    struct os_dir *next;
    struct view rest;
    char part[DELIVER_NAME_MAX + 1];
    bool making;
    struct os_op ops[3];
    struct os_request request;
    void (*done)(void *ctx, struct os_dir *dir, enum os_status status);
    void *ctx;
};

/* rest: as deliver_place_part() takes it, not empty; must live until done. done comes once, later: dir is the
 * receiver's, NULL unless status is OS_OK. */
void deliver_folder_open(struct deliver_folder *folder, struct os_queue *queue, struct os_dir *base, struct view rest,
                         void (*done)(void *ctx, struct os_dir *dir, enum os_status status), void *ctx);

/* At the end of the process. */
void deliver_folder_close(struct deliver_folder *folder);

#endif
