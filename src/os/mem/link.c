#include "os/mem/link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW       262144 /* bytes waiting in one direction: several full frames */
#define FRAME_COST   256    /* that every frame takes of it besides its own */
#define DELAY_US_MAX 50

struct frame {
    struct list in_end;
    uint64_t arrives_us;
    struct handle *handle; /* NULL: none */
    size_t len;
    char bytes[];
};

struct link_end {
    struct mem_world *world;
    struct link_end *other; /* NULL: closed */
    struct list handles;    /* in_end of each struct os_link */
    unsigned refs;
    struct mem_event arrive;
    struct list on_way, arrived; /* frames for this end */
    size_t used;                 /* of the window */
    bool finished;               /* the other side is closed, and its last frame has arrived */
};

static void wake(struct link_end *end)
{
    if (!end)
        return;
    list_each(link, &end->handles) mem_watch_wake(&list_entry(link, struct os_link, in_end)->watch);
}

static void plan(struct link_end *end)
{
    struct mem_world *world = end->world;
    if (mem_event_waits(&end->arrive))
        return;
    if (!list_empty(&end->on_way))
        mem_event_set(world, &end->arrive, list_entry(end->on_way.next, struct frame, in_end)->arrives_us);
    else if (!end->other && !end->finished)
        mem_event_set(world, &end->arrive, world->now_us + mem_random_between(&world->random, 1, DELAY_US_MAX));
}

/* The other side is gone for good; who lives by this link alone ends as well. */
static void finish(struct link_end *end)
{
    end->finished = true;
    list_each(link, &end->handles)
    {
        struct os_link *handle = list_entry(link, struct os_link, in_end);
        if (handle->ends_process && handle->handle.os)
            os_stop(handle->handle.os, 0);
    }
}

static void on_arrive(struct mem_event *event)
{
    struct link_end *end = list_entry(event, struct link_end, arrive);
    if (list_empty(&end->on_way))
        finish(end);
    while (!list_empty(&end->on_way)) {
        struct frame *frame = list_entry(end->on_way.next, struct frame, in_end);
        if (frame->arrives_us > end->world->now_us)
            break;
        mem_trace(end->world, NULL, "frame", frame->len, mem_hash(0, frame->bytes, frame->len));
        list_remove(&frame->in_end);
        list_append(&end->arrived, &frame->in_end);
    }
    wake(end);
    plan(end);
}

static struct link_end *new_end(struct mem_world *world)
{
    struct link_end *end = mem_take(sizeof(*end));
    end->world = world;
    end->refs = 1;
    end->arrive.run = on_arrive;
    list_init(&end->handles);
    list_init(&end->on_way);
    list_init(&end->arrived);
    return end;
}

static void free_frames(struct list *frames)
{
    for (struct list *link; (link = list_pop(frames));) {
        struct frame *frame = list_entry(link, struct frame, in_end);
        if (frame->handle)
            mem_handle_free(frame->handle);
        free(frame);
    }
}

static void drop_end(struct link_end *end)
{
    if (--end->refs > 0)
        return;
    struct link_end *other = end->other;
    mem_event_cancel(end->world, &end->arrive);
    free_frames(&end->on_way);
    free_frames(&end->arrived);
    free(end);
    if (!other)
        return;
    other->other = NULL;
    plan(other);
    wake(other); /* sending is over at once */
}

/* ---- handles ---- */

static unsigned ready(struct handle *handle)
{
    const struct link_end *end = ((struct os_link *)handle)->end;
    if (!end)
        return 0;
    unsigned readable = !list_empty(&end->arrived) || end->finished ? OS_READABLE : 0;
    bool writable = !end->other || end->other->used + OS_FRAME_MAX + FRAME_COST <= WINDOW;
    return readable | (writable ? OS_WRITABLE : 0);
}

static struct os_link *new_link(struct mem_world *world, struct os *os, struct link_end *end);

static struct handle *copy_link(struct handle *handle)
{
    struct link_end *end = ((struct os_link *)handle)->end;
    if (end)
        end->refs++;
    return &new_link(handle->world, NULL, end)->handle;
}

static void cut_link(struct handle *handle)
{
    struct os_link *link = (struct os_link *)handle;
    struct link_end *end = link->end;
    mem_watch_end(&link->watch);
    list_remove(&link->in_end);
    link->end = NULL;
    if (end)
        drop_end(end);
}

static const struct handle_type link_type = { OS_HANDLE_LINK, copy_link, cut_link };

static struct os_link *new_link(struct mem_world *world, struct os *os, struct link_end *end)
{
    struct os_link *link = mem_take(sizeof(*link));
    link->end = end;
    mem_handle_init(&link->handle, &link_type, world, os);
    mem_watch_init(&link->watch, &link->handle, ready);
    list_init(&link->in_end);
    if (end)
        list_append(&end->handles, &link->in_end);
    return link;
}

void mem_link_pair(struct os *a_os, struct os *b_os, struct os_link **a, struct os_link **b)
{
    struct link_end *a_end = new_end(a_os->world), *b_end = new_end(a_os->world);
    a_end->other = b_end;
    b_end->other = a_end;
    *a = new_link(a_os->world, a_os, a_end);
    *b = new_link(a_os->world, b_os, b_end);
}

/* ---- os.h ---- */

enum os_status os_link_pair(struct os *os, struct os_link **a, struct os_link **b)
{
    *a = *b = NULL;
    if (os->cut || os->handle_count + 2 > os->handles_max)
        return OS_TOO_MANY;
    mem_link_pair(os, os, a, b);
    return OS_OK;
}

enum os_status os_link_send(struct os_link *link, struct view frame, const struct os_handle *handle)
{
    struct link_end *to = link->end ? link->end->other : NULL;
    if (frame.len > OS_FRAME_MAX)
        return OS_TOO_LARGE;
    if (!to)
        return OS_END;
    if (to->used + frame.len + FRAME_COST > WINDOW)
        return OS_AGAIN;
    struct mem_world *world = to->world;
    struct handle *inner = handle ? mem_handle_of(handle) : NULL;
    struct frame *f = mem_take(sizeof(*f) + frame.len);
    f->len = frame.len;
    if (frame.len)
        memcpy(f->bytes, frame.at, frame.len);
    f->handle = inner ? inner->type->copy(inner) : NULL;
    f->arrives_us = world->now_us + mem_random_between(&world->random, 1, DELAY_US_MAX);
    if (!list_empty(&to->on_way)) { /* frames do not overtake each other */
        const struct frame *before = list_entry(to->on_way.prev, struct frame, in_end);
        f->arrives_us = before->arrives_us > f->arrives_us ? before->arrives_us : f->arrives_us;
    }
    list_append(&to->on_way, &f->in_end);
    to->used += frame.len + FRAME_COST;
    plan(to);
    return OS_OK;
}

static enum os_status take_handle(struct os *os, struct frame *frame, struct os_handle *handle)
{
    if (!frame->handle)
        return OS_OK;
    if (mem_handles_full(os)) {
        mem_handle_free(frame->handle);
        return OS_TOO_MANY;
    }
    mem_handle_give(frame->handle, os);
    *handle = mem_handle_as(frame->handle);
    return OS_OK;
}

enum os_status os_link_receive(struct os_link *link, struct buffer *to, struct os_handle *handle)
{
    struct link_end *end = link->end;
    assert(to->cap >= OS_FRAME_MAX);
    buffer_clear(to);
    handle->kind = OS_HANDLE_NONE;
    struct list *first = end ? list_pop(&end->arrived) : NULL;
    if (!first)
        return !end || end->finished ? OS_END : OS_AGAIN;
    struct frame *frame = list_entry(first, struct frame, in_end);
    enum os_status status = take_handle(link->handle.os, frame, handle);
    if (status == OS_OK)
        buffer_add(to, (struct view){ frame->bytes, frame->len });
    end->used -= frame->len + FRAME_COST;
    free(frame);
    wake(end->other);
    return status;
}

void os_link_watch(struct os_link *link, unsigned wanted, os_event *on, void *ctx)
{
    mem_watch_set(&link->watch, wanted, on, ctx);
}

void os_link_close(struct os_link *link)
{
    mem_handle_free(&link->handle);
}
