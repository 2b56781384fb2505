#include "gonetsd/conf_file.h"

static const char *read_open(struct conf_files *files, struct os_file **file, struct arena *arena, struct view *text)
{
    struct os_stat stat = { 0 };
    struct os_op look = { .kind = OS_STAT, .file = file, .stat = &stat };
    os_run_ops(files->os, &look, 1);
    if (look.status != OS_OK)
        return os_status_text(look.status);
    if (!stat.regular)
        return "not a file";
    if (stat.size > CONF_FILES_MAX - files->size)
        return "all files together are longer than 16M";
    files->size += stat.size;
    char *memory = arena_alloc(arena, stat.size + 1);
    if (!memory)
        return os_status_text(OS_NO_MEMORY);
    struct os_op read = { .kind = OS_READ, .file = file, .buf = memory, .len = stat.size };
    os_run_ops(files->os, &read, 1);
    *text = (struct view){ memory, read.status == OS_OK ? read.value : 0 };
    return read.status == OS_OK ? NULL : os_status_text(read.status);
}

/* What is wrong, in words; NULL: nothing. */
static const char *read_named(struct conf_files *files, const char *name, struct arena *arena, struct view *text)
{
    enum os_status status;
    struct os_file *file = NULL;
    /* An absolute name is found from anywhere: openat(2) does not look at the directory then. */
    struct os_dir *here = os_dir_path(files->os, ".", &status);
    if (!here)
        return os_status_text(status);
    struct os_op open = { .kind = OS_OPEN, .dir = here, .name = name, .flags = OS_FOR_READ, .file = &file };
    os_run_ops(files->os, &open, 1);
    const char *error = open.status == OS_OK ? read_open(files, &file, arena, text) : os_status_text(open.status);
    if (file)
        os_file_close(file);
    os_dir_close(here);
    return error;
}

static bool read_file(void *ctx, struct view path, struct arena *arena, struct view *text, struct view *error)
{
    struct view name = arena_copy(arena, path);
    const char *wrong = name.at ? read_named(ctx, name.at, arena, text) : os_status_text(OS_NO_MEMORY);
    if (wrong)
        *error = view_of(wrong);
    return !wrong;
}

struct conf_source conf_files_source(struct conf_files *files)
{
    return (struct conf_source){ files, read_file };
}
