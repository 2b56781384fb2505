/* For tests of delivery: one host with a disk, messages in its spool, and a process that delivers them. */
#ifndef DELIVER_SCENE_TEST_H
#define DELIVER_SCENE_TEST_H

#include "base/arena.h"
#include "deliver/deliver.h"
#include "deliver/stored_test.h"
#include "os/mem/os_mem.h"

#define SCENE_JOBS_MAX 8

struct scene_job {
    struct deliver_job job;
    struct deliver_result result;
    uint64_t reported_us;
    unsigned reports;
};

/* One host with a disk: /spool/1, and /home/joe of user 1000; messages are prepared, then delivered by a process of
 * joe. */
struct scene {
    struct mem_world *world;
    struct mem_host *host;
    struct os *os;
    struct os_file *segment;
    uint64_t end;
    struct stored stored[SCENE_JOBS_MAX];
    struct deliver *deliver;
    struct scene_job jobs[SCENE_JOBS_MAX];
    unsigned reported, alarms;
    struct arena texts; /* what was read */
};

void scene_open(struct scene *scene, uint64_t seed);
/* The same world with another disk put in, on which a scene was prepared before; takes it over. */
void scene_open_on(struct scene *scene, uint64_t seed, struct mem_disk *disk, const struct scene *prepared);
void scene_close(struct scene *scene);
void scene_store(struct scene *scene, unsigned n, struct view reverse_path, struct view front, struct view content,
                 enum stored_form form);
void scene_sync(struct scene *scene); /* everything so far is durable */
/* Begins to deliver stored message n. */
void scene_start(struct scene *scene);
void scene_add(struct scene *scene, unsigned n, bool mbox, const char *base, const char *rest);
bool scene_run(struct scene *scene); /* until nothing happens any more; false: it never ends */
/* The whole of a file; VIEW_NONE when it is not there. It lives until the scene is closed. */
struct view scene_read(struct scene *scene, const char *path);
/* Calls on() for each name in a directory; the number of names, or 0 when there is no such directory. */
unsigned scene_list(struct scene *scene, const char *path, void (*on)(void *ctx, const char *name), void *ctx);

#endif
