#include "ipc/ipc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A packet of several frames: this byte, then the frames, each as pack_view() writes it. */
#define BUNDLE     255
#define BUNDLE_MAX 32768

struct waiting {
    struct list link;
    size_t len;
    char frame[];
};

static void on_event(void *ctx, unsigned events);

static void watch(struct ipc *ipc)
{
    unsigned wanted = OS_READABLE | (list_empty(&ipc->waiting) && !ipc->wants_room ? 0u : OS_WRITABLE);
    os_link_watch(ipc->link, wanted, on_event, ipc);
}

static void drop_waiting(struct ipc *ipc)
{
    for (struct list *link; (link = list_pop(&ipc->waiting));)
        free(list_entry(link, struct waiting, link));
    ipc->waiting_bytes = 0;
}

static void drop_bundle(struct ipc *ipc)
{
    free(ipc->bundle.at);
    ipc->bundle = (struct buffer){ 0 };
    ipc->bundled = 0;
}

static void shut(struct ipc *ipc)
{
    if (!ipc->link)
        return;
    os_link_close(ipc->link);
    ipc->link = NULL;
    drop_waiting(ipc);
    drop_bundle(ipc);
}

static void tell_gone(void *ctx)
{
    struct ipc *ipc = ctx;
    if (!ipc->ended)
        return;
    ipc->ended = false;
    shut(ipc);
    ipc->owner.gone(ipc->owner.ctx);
}

void ipc_open(struct ipc *ipc, struct os *os, struct os_link *link, const struct ipc_owner *owner)
{
    *ipc = (struct ipc){ .os = os, .link = link, .owner = *owner, .end_task = { tell_gone, ipc, NULL, false } };
    list_init(&ipc->waiting);
    watch(ipc);
}

void ipc_close(struct ipc *ipc)
{
    ipc->ended = false;
    shut(ipc);
}

struct os_link *ipc_detach(struct ipc *ipc)
{
    struct os_link *link = ipc_is_open(ipc) ? ipc->link : NULL;
    if (!link)
        return NULL;
    os_link_watch(link, 0, NULL, NULL);
    ipc->link = NULL;
    drop_waiting(ipc);
    drop_bundle(ipc);
    return link;
}

bool ipc_is_open(const struct ipc *ipc)
{
    return ipc->link && !ipc->ended;
}

bool ipc_ready(const struct ipc *ipc)
{
    return ipc_is_open(ipc) && list_empty(&ipc->waiting);
}

void ipc_end(struct ipc *ipc)
{
    if (!ipc_is_open(ipc))
        return;
    ipc->ended = true;
    os_link_watch(ipc->link, 0, NULL, NULL);
    os_later(ipc->os, &ipc->end_task);
}

static bool keep(struct ipc *ipc, struct view frame)
{
    struct waiting *w = ipc->waiting_bytes + frame.len <= IPC_QUEUE_MAX ? malloc(sizeof *w + frame.len) : NULL;
    if (!w) {
        ipc_end(ipc);
        return false;
    }
    w->len = frame.len;
    memcpy(w->frame, frame.at, frame.len);
    list_append(&ipc->waiting, &w->link);
    ipc->waiting_bytes += frame.len;
    watch(ipc);
    return true;
}

static bool send_packet(struct ipc *ipc, struct view frame)
{
    if (!ipc_is_open(ipc))
        return false;
    if (!list_empty(&ipc->waiting))
        return keep(ipc, frame);
    enum os_status status = os_link_send(ipc->link, frame, NULL);
    if (status == OS_AGAIN)
        return keep(ipc, frame);
    if (status != OS_OK)
        ipc_end(ipc);
    return status == OS_OK;
}

void ipc_flush(struct ipc *ipc)
{
    struct view packet = buffer_view(&ipc->bundle);
    if (ipc->bundled == 1)
        packet = view_slice(packet, 1 + sizeof(uint32_t), packet.len); /* alone it goes as it is */
    if (ipc->bundled)
        send_packet(ipc, packet);
    buffer_clear(&ipc->bundle);
    ipc->bundled = 0;
}

bool ipc_send(struct ipc *ipc, struct view frame)
{
    assert(frame.len > 0 && frame.len <= OS_FRAME_MAX);
    ipc_flush(ipc);
    return send_packet(ipc, frame);
}

bool ipc_add(struct ipc *ipc, struct view frame)
{
    size_t room = 1 + sizeof(uint32_t) + frame.len;
    assert(frame.len > 0);
    if (!ipc_is_open(ipc))
        return false;
    if (!ipc->bundle.at && room <= BUNDLE_MAX)
        buffer_init(&ipc->bundle, malloc(BUNDLE_MAX), BUNDLE_MAX);
    if (room > buffer_room(&ipc->bundle))
        ipc_flush(ipc);
    if (room > BUNDLE_MAX || !ipc->bundle.at)
        return ipc_send(ipc, frame);
    if (ipc->bundled++ == 0)
        pack_u8(&ipc->bundle, BUNDLE);
    pack_view(&ipc->bundle, frame);
    return true;
}

bool ipc_send_handle(struct ipc *ipc, struct view frame, const struct os_handle *handle)
{
    ipc_flush(ipc);
    if (!ipc_is_open(ipc))
        return false;
    enum os_status status = list_empty(&ipc->waiting) ? os_link_send(ipc->link, frame, handle) : OS_AGAIN;
    if (status == OS_AGAIN) {
        ipc->wants_room = true;
        watch(ipc);
    } else if (status != OS_OK) {
        ipc_end(ipc);
    }
    return status == OS_OK;
}

static void flush(struct ipc *ipc)
{
    bool wanted = ipc->wants_room || !list_empty(&ipc->waiting);
    while (ipc_is_open(ipc) && !list_empty(&ipc->waiting)) {
        struct waiting *w = list_entry(ipc->waiting.next, struct waiting, link);
        enum os_status status = os_link_send(ipc->link, (struct view){ w->frame, w->len }, NULL);
        if (status == OS_AGAIN)
            return;
        if (status != OS_OK) {
            ipc_end(ipc);
            return;
        }
        ipc->waiting_bytes -= w->len;
        list_remove(&w->link);
        free(w);
    }
    if (!ipc_is_open(ipc))
        return;
    ipc->wants_room = false;
    watch(ipc);
    if (wanted && ipc->owner.room)
        ipc->owner.room(ipc->owner.ctx);
}

static void take_frame(struct ipc *ipc, struct view frame, struct os_handle *handle)
{
    struct unpack body = unpack_of(frame);
    uint8_t type = unpack_u8(&body);
    ipc->owner.frame(ipc->owner.ctx, type, &body, handle);
}

static void take_packet(struct ipc *ipc, struct view packet, struct os_handle *handle)
{
    struct unpack bundle = unpack_of(packet);
    struct os_handle none = { .kind = OS_HANDLE_NONE };
    if (unpack_u8(&bundle) != BUNDLE) {
        take_frame(ipc, packet, handle);
        return;
    }
    while (bundle.rest.len && ipc_is_open(ipc)) {
        struct view frame = unpack_view(&bundle);
        if (bundle.bad)
            ipc_end(ipc);
        else
            take_frame(ipc, frame, &none);
    }
}

static bool receive(struct ipc *ipc, char *memory)
{
    struct buffer frame;
    struct os_handle handle = { .kind = OS_HANDLE_NONE };
    buffer_init(&frame, memory, OS_FRAME_MAX);
    enum os_status status = os_link_receive(ipc->link, &frame, &handle);
    if (status == OS_AGAIN)
        return false;
    if (status != OS_OK) {
        ipc_end(ipc);
        return false;
    }
    take_packet(ipc, buffer_view(&frame), &handle);
    if (handle.kind != OS_HANDLE_NONE)
        os_handle_close(&handle);
    return true;
}

/* A neighbour that talks without end must not keep the loop: so many frames, then the others' turn. */
#define FRAMES_PER_TURN 64

static void on_event(void *ctx, unsigned events)
{
    struct ipc *ipc = ctx;
    char memory[OS_FRAME_MAX];
    if (events & OS_WRITABLE)
        flush(ipc);
    if (events & OS_READABLE)
        for (int i = 0; i < FRAMES_PER_TURN && ipc_is_open(ipc) && receive(ipc, memory); i++)
            ;
}
