/* Links: SOCK_SEQPACKET pairs. A packet is one byte, the kind of the handle that goes with it, and the frame; the
 * handle itself is one descriptor in SCM_RIGHTS. Whoever is at the other end may have been taken over, so nothing of
 * what comes is believed: kinds are checked against the descriptor, and every descriptor that we do not want is
 * closed (H161). */
#include "os/linux/linux.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Room for several full frames, whatever the default of the machine. */
#define SEND_BUFFER (256 * 1024)

struct os_link *os_linux_link_new(struct os *os, int fd)
{
    struct os_link *link = malloc(sizeof *link);
    if (!link) {
        close(fd);
        return NULL;
    }
    os_linux_watch_init(&link->watch, os, fd);
    return link;
}

bool os_linux_link_sockets(int ends[2])
{
    int size = SEND_BUFFER;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return true;
}

enum os_status os_link_pair(struct os *os, struct os_link **a, struct os_link **b)
{
    int ends[2];
    *a = *b = NULL;
    if (!os_linux_link_sockets(ends))
        return os_linux_status(errno);
    *a = os_linux_link_new(os, ends[0]);
    *b = os_linux_link_new(os, ends[1]);
    if (*a && *b)
        return OS_OK;
    if (*a)
        os_link_close(*a);
    if (*b)
        os_link_close(*b);
    *a = *b = NULL;
    return OS_NO_MEMORY;
}

void os_link_watch(struct os_link *link, unsigned wanted, os_event *on, void *ctx)
{
    os_linux_watch_set(&link->watch, wanted, on, ctx);
}

void os_link_close(struct os_link *link)
{
    os_linux_watch_close(&link->watch);
}

void os_handle_close(struct os_handle *handle)
{
    switch (handle->kind) {
    case OS_HANDLE_NONE:
        break;
    case OS_HANDLE_STREAM:
        os_stream_close(handle->stream);
        break;
    case OS_HANDLE_LISTENER:
        os_listener_close(handle->listener);
        break;
    case OS_HANDLE_LINK:
        os_link_close(handle->link);
        break;
    case OS_HANDLE_FILE:
        os_file_close(handle->file);
        break;
    case OS_HANDLE_DIR:
        os_dir_close(handle->dir);
        break;
    }
    handle->kind = OS_HANDLE_NONE;
}

/* ---- sending ---- */

static int descriptor_of(const struct os_handle *handle)
{
    switch (handle->kind) {
    case OS_HANDLE_STREAM:
        return handle->stream->watch.fd;
    case OS_HANDLE_LISTENER:
        return handle->listener->watch.fd;
    case OS_HANDLE_LINK:
        return handle->link->watch.fd;
    case OS_HANDLE_FILE:
        return handle->file->fd;
    case OS_HANDLE_DIR:
        return handle->dir->fd;
    case OS_HANDLE_NONE:
        break;
    }
    return -1;
}

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static void attach(struct msghdr *message, union control *control, int fd)
{
    memset(control, 0, sizeof *control);
    message->msg_control = control;
    message->msg_controllen = sizeof *control;
    control->header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof fd),
        .cmsg_level = SOL_SOCKET,
        .cmsg_type = SCM_RIGHTS,
    };
    memcpy(CMSG_DATA(&control->header), &fd, sizeof fd);
}

enum os_status os_link_send(struct os_link *link, struct view frame, const struct os_handle *handle)
{
    if (frame.len > OS_FRAME_MAX)
        return OS_TOO_LARGE;
    uint8_t kind = handle ? (uint8_t)handle->kind : OS_HANDLE_NONE;
    struct iovec iov[] = { { &kind, 1 }, { os_linux_unconst(frame.at), frame.len } };
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
    union control control;
    if (kind != OS_HANDLE_NONE)
        attach(&message, &control, descriptor_of(handle));
    while (sendmsg(link->watch.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN ? OS_END : os_linux_status(errno);
    return OS_OK;
}

/* ---- receiving ---- */

static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

static bool is_file_type(int fd, mode_t type)
{
    struct stat st;
    return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

static bool is_of_kind(int fd, unsigned kind)
{
    switch (kind) {
    case OS_HANDLE_STREAM:
        return socket_option(fd, SO_TYPE) == SOCK_STREAM && socket_option(fd, SO_ACCEPTCONN) == 0;
    case OS_HANDLE_LISTENER:
        return socket_option(fd, SO_TYPE) == SOCK_STREAM && socket_option(fd, SO_ACCEPTCONN) == 1;
    case OS_HANDLE_LINK:
        return socket_option(fd, SO_TYPE) == SOCK_SEQPACKET && socket_option(fd, SO_DOMAIN) == AF_UNIX;
    case OS_HANDLE_FILE:
        return is_file_type(fd, S_IFREG);
    case OS_HANDLE_DIR:
        return is_file_type(fd, S_IFDIR);
    default:
        return false;
    }
}

/* accept4() has no MSG_DONTWAIT, so here the descriptor itself must not block. */
static void never_block(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static enum os_status make_handle(struct os *os, int fd, unsigned kind, struct os_handle *handle)
{
    if (!is_of_kind(fd, kind)) {
        close(fd);
        return OS_INVALID;
    }
    void *made = NULL;
    switch (kind) {
    case OS_HANDLE_STREAM:
        made = handle->stream = os_linux_stream_new(os, fd, NULL);
        break;
    case OS_HANDLE_LISTENER:
        never_block(fd);
        made = handle->listener = os_linux_listener_new(os, fd);
        break;
    case OS_HANDLE_LINK:
        made = handle->link = os_linux_link_new(os, fd);
        break;
    case OS_HANDLE_FILE:
        made = handle->file = os_linux_file_new(fd);
        break;
    case OS_HANDLE_DIR:
        made = handle->dir = os_linux_dir_new(fd);
        break;
    }
    handle->kind = made ? (enum os_handle_kind)kind : OS_HANDLE_NONE;
    return made ? OS_OK : OS_NO_MEMORY;
}

/* The descriptor that came, or -1 unless it is just one; any others are closed. */
static int take_descriptor(struct msghdr *message)
{
    int fd = -1, count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++, count++) {
            if (fd >= 0)
                close(fd);
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
        }
    }
    if (count > 1) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The kernel keeps an end with unread frames from us as an error in front of the frames that it still holds for us;
 * asking again gets them. */
static ssize_t receive_packet(int fd, struct msghdr *message)
{
    ssize_t n;
    do
        n = recvmsg(fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && (errno == EINTR || errno == ECONNRESET));
    return n;
}

static enum os_status check_packet(struct os *os, const struct msghdr *message, unsigned kind, int fd,
                                   struct os_handle *handle)
{
    bool cut = message->msg_flags & MSG_CTRUNC;
    if (!(message->msg_flags & MSG_TRUNC)) {
        if (fd >= 0 && !cut && kind != OS_HANDLE_NONE)
            return make_handle(os, fd, kind, handle);
        if (fd < 0 && !cut && kind == OS_HANDLE_NONE)
            return OS_OK;
        if (fd < 0 && cut && kind != OS_HANDLE_NONE)
            return OS_TOO_MANY; /* we had no descriptor free for it */
    }
    if (fd >= 0)
        close(fd);
    return OS_INVALID;
}

enum os_status os_link_receive(struct os_link *link, struct buffer *to, struct os_handle *handle)
{
    assert(to->cap >= OS_FRAME_MAX);
    uint8_t kind = OS_HANDLE_NONE;
    union control control;
    struct iovec iov[] = { { &kind, 1 }, { to->at, OS_FRAME_MAX } };
    /* Just the room for one: the kernel closes what is over. CMSG_SPACE would let in a second. */
    struct msghdr message = {
        .msg_iov = iov, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(int))
    };
    buffer_clear(to);
    handle->kind = OS_HANDLE_NONE;
    ssize_t n = receive_packet(link->watch.fd, &message);
    if (n < 0)
        return errno == ENOTCONN ? OS_END : os_linux_status(errno);
    int fd = take_descriptor(&message);
    if (n == 0) {
        if (fd >= 0)
            close(fd);
        return OS_END; /* an empty packet is none of ours, and is the end as well */
    }
    enum os_status status = check_packet(link->watch.os, &message, kind, fd, handle);
    to->len = status == OS_OK ? (size_t)n - 1 : 0;
    return status;
}
