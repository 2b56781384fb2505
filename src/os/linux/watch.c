/* Descriptors in the loop.
 *
 * libuv pays two epoll_ctl for every change of a mask, also for a stop. So what is no longer wanted is not taken away
 * at once but when it first happens unwanted; a session that stops reading while it waits for a decision, and then
 * reads on, costs nothing at all. */
#include "os/linux/linux.h"

#include <stdlib.h>
#include <unistd.h>

#define BOTH ((unsigned)(OS_READABLE | OS_WRITABLE))
_Static_assert((int)OS_READABLE == (int)UV_READABLE && (int)OS_WRITABLE == (int)UV_WRITABLE,
               "events are handed on as they are");

static void on_poll(uv_poll_t *poll, int status, int events);

static void arm(struct watch *w)
{
    unsigned mask = w->wanted | (w->ends_process ? (unsigned)UV_DISCONNECT : 0);
    if (!w->known || mask == w->armed)
        return;
    w->armed = (uint8_t)mask;
    if (mask)
        uv_poll_start(&w->poll, (int)mask, on_poll);
    else
        uv_poll_stop(&w->poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *w = (struct watch *)poll;
    struct turns *turns = &w->os->turns;
    if (turns->over)
        return;
    bool failed = status < 0; /* an error on the socket; libuv has stopped looking */
    unsigned seen = (unsigned)events & BOTH;
    if (failed)
        w->armed = 0;
    if (failed || seen == 0)
        seen = BOTH;
    if (w->ends_process && (failed || events & UV_DISCONNECT))
        os_stop(w->os, 0);
    unsigned wanted = seen & w->wanted;
    if (wanted)
        w->on(w->ctx, wanted);
    if (!w->closed && (failed || !wanted))
        arm(w);
}

/* Neither may the owner wait for ever: it finds the end of the stream. */
static void tell_failed(void *ctx)
{
    struct watch *w = ctx;
    if (w->closed)
        free(w);
    else if (w->wanted)
        w->on(w->ctx, w->wanted);
}

static void fail(struct watch *w)
{
    shutdown(w->fd, SHUT_RDWR);
    os_later(w->os, &w->failed);
}

void os_linux_watch_init(struct watch *w, struct os *os, int fd)
{
    *w = (struct watch){ .os = os, .fd = fd, .failed = { tell_failed, w, NULL, false } };
    w->poll.data = w;
}

static void start(struct watch *w)
{
    if (!w->known)
        w->known = uv_poll_init(&w->os->loop, &w->poll, w->fd) == 0;
    if (w->known)
        arm(w);
    else
        fail(w);
}

void os_linux_watch_set(struct watch *w, unsigned wanted, os_event *on, void *ctx)
{
    w->on = on;
    w->ctx = ctx;
    w->wanted = (uint8_t)wanted;
    if (wanted & ~(unsigned)w->armed)
        start(w);
}

void os_linux_watch_for_end(struct watch *w)
{
    w->ends_process = true;
    start(w);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

void os_linux_watch_close(struct watch *w)
{
    w->closed = true;
    if (w->known)
        uv_close((uv_handle_t *)&w->poll, on_closed); /* also takes it out of the epoll set, before the close */
    close(w->fd);
    if (!w->known && !w->failed.waiting)
        free(w);
}

bool os_linux_watch_is(const uv_handle_t *handle)
{
    return handle->type == UV_POLL && handle->data == handle;
}
