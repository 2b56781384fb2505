#include "os/mem/handle.h"

#include <stdlib.h>

void mem_handle_init(struct handle *handle, const struct handle_type *type, struct mem_world *world, struct os *os)
{
    handle->type = type;
    handle->world = world;
    list_init(&handle->in_process);
    mem_handle_give(handle, os);
    world->handles++;
}

void mem_handle_give(struct handle *handle, struct os *os)
{
    handle->os = os;
    if (!os)
        return;
    list_append(&os->handles, &handle->in_process);
    os->handle_count++;
}

bool mem_handles_full(const struct os *os)
{
    return os->handle_count >= os->handles_max;
}

void mem_handle_free(struct handle *handle)
{
    handle->type->cut(handle);
    list_remove(&handle->in_process);
    if (handle->os)
        handle->os->handle_count--;
    handle->world->handles--;
    free(handle);
}

/* Every handle of os.h is a struct that begins with its struct handle. */
struct handle *mem_handle_of(const struct os_handle *handle)
{
    switch (handle->kind) {
    case OS_HANDLE_NONE:
        break;
    case OS_HANDLE_STREAM:
        return (struct handle *)handle->stream;
    case OS_HANDLE_LISTENER:
        return (struct handle *)handle->listener;
    case OS_HANDLE_LINK:
        return (struct handle *)handle->link;
    case OS_HANDLE_FILE:
        return (struct handle *)handle->file;
    case OS_HANDLE_DIR:
        return (struct handle *)handle->dir;
    }
    return NULL;
}

struct os_handle mem_handle_as(struct handle *handle)
{
    struct os_handle as = { .kind = handle->type->kind };
    switch (as.kind) {
    case OS_HANDLE_NONE:
        break;
    case OS_HANDLE_STREAM:
        as.stream = (struct os_stream *)handle;
        break;
    case OS_HANDLE_LISTENER:
        as.listener = (struct os_listener *)handle;
        break;
    case OS_HANDLE_LINK:
        as.link = (struct os_link *)handle;
        break;
    case OS_HANDLE_FILE:
        as.file = (struct os_file *)handle;
        break;
    case OS_HANDLE_DIR:
        as.dir = (struct os_dir *)handle;
        break;
    }
    return as;
}

void os_handle_close(struct os_handle *handle)
{
    struct handle *inner = mem_handle_of(handle);
    if (inner)
        mem_handle_free(inner);
    handle->kind = OS_HANDLE_NONE;
}
