#include "os/mem/watch.h"

/* The next look is planned before the callback, which may close the handle. */
static void look(struct mem_event *event)
{
    struct watch *watch = list_entry(event, struct watch, event);
    struct mem_world *world = watch->handle->world;
    unsigned events = watch->wanted & watch->ready(watch->handle);
    if (!events)
        return;
    mem_event_set(world, event, world->now_us + 1);
    mem_trace(world, event->os, "ready", watch->handle->type->kind, events);
    watch->on(watch->ctx, events);
}

void mem_watch_init(struct watch *watch, struct handle *handle, unsigned (*ready)(struct handle *handle))
{
    *watch = (struct watch){ .event = { .run = look }, .handle = handle, .ready = ready };
}

void mem_watch_set(struct watch *watch, unsigned wanted, os_event *on, void *ctx)
{
    watch->wanted = wanted;
    watch->on = on;
    watch->ctx = ctx;
    mem_watch_wake(watch);
}

void mem_watch_wake(struct watch *watch)
{
    struct handle *handle = watch->handle;
    watch->event.os = handle->os;
    if (!handle->os || handle->os->cut || mem_event_waits(&watch->event))
        return;
    if (watch->wanted & watch->ready(handle))
        mem_event_set(handle->world, &watch->event, handle->world->now_us);
}

void mem_watch_end(struct watch *watch)
{
    watch->wanted = 0;
    mem_event_cancel(watch->handle->world, &watch->event);
}
