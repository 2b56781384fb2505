#include "deliver/scene_test.h"

#include "base/test.h"

#include <string.h>

static void make_dir(struct os *os, struct os_dir *root, const char *name, unsigned mode)
{
    struct os_op op = { .kind = OS_MAKE_DIR, .dir = root, .name = name, .mode = mode };
    os_run_ops(os, &op, 1);
    assert_int_equal(op.status, OS_OK);
}

static void open_segment(struct scene *scene)
{
    enum os_status status;
    struct os_dir *root = os_dir_path(scene->os, "/", &status);
    struct os_op op = { .kind = OS_OPEN, .dir = root, .name = "spool/1", .file = &scene->segment };
    op.flags = OS_FOR_READ | OS_FOR_WRITE | OS_CREATE;
    op.mode = 0666;
    os_run_ops(scene->os, &op, 1);
    assert_int_equal(op.status, OS_OK);
    os_dir_close(root);
}

void scene_open(struct scene *scene, uint64_t seed)
{
    enum os_status status;
    *scene = (struct scene){ .world = mem_world_new(seed) };
    arena_init(&scene->texts, 4096, 64u << 20);
    scene->host = mem_host_new(scene->world, "mx");
    scene->os = mem_process_new(scene->host);
    struct os_dir *root = os_dir_path(scene->os, "/", &status);
    make_dir(scene->os, root, "spool", 0777);
    make_dir(scene->os, root, "home", 0755);
    make_dir(scene->os, root, "var", 0755);
    make_dir(scene->os, root, "var/mail", 02775);
    make_dir(scene->os, root, "home/joe", 0777);
    os_dir_close(root);
    open_segment(scene);
}

void scene_open_on(struct scene *scene, uint64_t seed, struct mem_disk *disk, const struct scene *prepared)
{
    *scene = (struct scene){ .world = mem_world_new(seed), .end = prepared->end };
    memcpy(scene->stored, prepared->stored, sizeof scene->stored);
    arena_init(&scene->texts, 4096, 64u << 20);
    scene->host = mem_host_new(scene->world, "mx");
    mem_disk_free(mem_host_swap_disk(scene->host, disk));
    scene->os = mem_process_new(scene->host);
    open_segment(scene);
}

void scene_close(struct scene *scene)
{
    if (scene->deliver)
        deliver_free(scene->deliver);
    mem_world_free(scene->world);
    arena_reset(&scene->texts);
}

void scene_store(struct scene *scene, unsigned n, struct view reverse_path, struct view front, struct view content,
                 enum stored_form form)
{
    scene->stored[n] = stored_put(scene->os, scene->segment, &scene->end, reverse_path, front, content, form);
}

void scene_sync(struct scene *scene)
{
    enum os_status status;
    struct os_dir *root = os_dir_path(scene->os, "/", &status);
    struct os_op op = { .kind = OS_SYNC_FS, .dir = root };
    os_run_ops(scene->os, &op, 1);
    os_dir_close(root);
}

static void on_done(void *ctx, struct deliver_job *job)
{
    struct scene *scene = ctx;
    struct scene_job *j = list_entry(job, struct scene_job, job);
    j->result = job->result;
    if (!job->result.outcome)
        return;
    j->reports++;
    j->reported_us = mem_world_now_us(scene->world);
    scene->reported++;
}

static void on_alarm(void *ctx, struct view text)
{
    struct scene *scene = ctx;
    (void)text;
    scene->alarms++;
}

void scene_start(struct scene *scene)
{
    scene->deliver = deliver_new(scene->os, &(struct deliver_owner){ scene, on_done, on_alarm },
                                 &(struct deliver_settings){ VIEW("mx.example.org"), NULL, 0660 });
    assert_non_null(scene->deliver);
}

void scene_add(struct scene *scene, unsigned n, bool mbox, const char *base, const char *rest)
{
    struct deliver_job *job = &scene->jobs[n].job;
    *job = (struct deliver_job){ .id = scene->stored[n].id, .place = scene->stored[n].place };
    job->content = scene->segment;
    job->mbox = mbox;
    job->owner = DELIVER_ANY_USER;
    job->base = base;
    job->rest = rest;
    deliver_add(scene->deliver, job);
}

bool scene_run(struct scene *scene)
{
    return mem_world_run(scene->world, UINT64_C(3600) * 1000000);
}

struct view scene_read(struct scene *scene, const char *path)
{
    struct os *os = scene->os;
    enum os_status status;
    struct os_stat stat;
    struct os_file *file = NULL;
    struct os_dir *root = os_dir_path(os, "/", &status);
    struct os_op open[] = { { .kind = OS_OPEN, .dir = root, .name = path + 1, .flags = OS_FOR_READ, .file = &file },
                            { .kind = OS_STAT, .file = &file, .stat = &stat } };
    os_run_ops(os, open, 2);
    os_dir_close(root);
    if (open[1].status != OS_OK)
        return VIEW_NONE;
    char *memory = arena_alloc(&scene->texts, stat.size + 1);
    assert_non_null(memory);
    struct os_op read = { .kind = OS_READ, .file = &file, .buf = memory, .len = stat.size };
    os_run_ops(os, &read, 1);
    os_file_close(file);
    return (struct view){ memory, read.value };
}

unsigned scene_list(struct scene *scene, const char *path, void (*on)(void *ctx, const char *name), void *ctx)
{
    enum os_status status;
    unsigned count = 0;
    char names[4096];
    struct os *os = scene->os;
    struct os_dir *dir = os_dir_path(os, path, &status);
    if (!dir)
        return 0;
    struct os_op list = { .kind = OS_LIST, .dir = dir, .buf = names, .len = sizeof names };
    for (os_run_ops(os, &list, 1); list.status == OS_OK && list.value; os_run_ops(os, &list, 1))
        for (size_t at = 0; at < list.value; at += strlen(names + at) + 1, count++)
            if (on)
                on(ctx, names + at);
    os_dir_close(dir);
    return count;
}
