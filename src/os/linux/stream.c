#include "os/linux/linux.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define SLICES_MAX 64

static struct address peer_of(int fd)
{
    struct sockaddr_storage name = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof name;
    getpeername(fd, (struct sockaddr *)&name, &len);
    return os_linux_from_sockaddr(&name);
}

struct os_stream *os_linux_stream_new(struct os *os, int fd, const struct address *peer)
{
    struct os_stream *stream = malloc(sizeof *stream);
    if (!stream) {
        close(fd);
        return NULL;
    }
    os_linux_watch_init(&stream->watch, os, fd);
    stream->peer = peer ? *peer : peer_of(fd);
    return stream;
}

/* MSG_DONTWAIT although the sockets are non-blocking: another process of ours that holds a copy could change that,
 * and we must not stop because it does (H161). */
enum os_status os_stream_read(struct os_stream *stream, void *to, size_t max, size_t *got)
{
    *got = 0;
    for (;;) {
        ssize_t n = recv(stream->watch.fd, to, max, MSG_DONTWAIT);
        if (n > 0) {
            *got = (size_t)n;
            return OS_OK;
        }
        if (n == 0)
            return OS_END;
        if (errno != EINTR)
            return os_linux_status(errno);
    }
}

enum os_status os_stream_write(struct os_stream *stream, const struct os_slice *slices, size_t count, size_t *put)
{
    struct iovec iov[SLICES_MAX];
    assert(count <= SLICES_MAX);
    for (size_t i = 0; i < count; i++)
        iov[i] = (struct iovec){ os_linux_unconst(slices[i].at), slices[i].len };
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = count };
    *put = 0;
    for (;;) {
        ssize_t n = sendmsg(stream->watch.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            *put = (size_t)n;
            return OS_OK;
        }
        if (errno != EINTR)
            return os_linux_status(errno);
    }
}

void os_stream_watch(struct os_stream *stream, unsigned wanted, os_event *on, void *ctx)
{
    os_linux_watch_set(&stream->watch, wanted, on, ctx);
}

struct address os_stream_peer(struct os_stream *stream)
{
    return stream->peer;
}

struct address os_stream_local(struct os_stream *stream)
{
    return os_linux_socket_name(stream->watch.fd);
}

void os_stream_shutdown(struct os_stream *stream)
{
    shutdown(stream->watch.fd, SHUT_WR);
}

void os_stream_close(struct os_stream *stream)
{
    os_linux_tidy_later(stream->watch.os);
    os_linux_watch_close(&stream->watch);
}

/* The port is chosen at connect, when the other side is known: else a host would have 28000 connections in all, not
 * to each. */
static bool bind_source(int fd, const struct address *from)
{
    struct sockaddr_storage name;
    int on = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    socklen_t len = os_linux_to_sockaddr(from, &name);
    return bind(fd, (struct sockaddr *)&name, len) == 0;
}

static bool begin_connect(int fd, const struct address *to, const struct address *from)
{
    struct sockaddr_storage name;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (from && !bind_source(fd, from))
        return false;
    socklen_t len = os_linux_to_sockaddr(to, &name);
    return connect(fd, (struct sockaddr *)&name, len) == 0 || errno == EINPROGRESS || errno == EINTR;
}

enum os_status os_connect(struct os *os, const struct address *to, const struct address *from,
                          struct os_stream **stream)
{
    *stream = NULL;
    int family = address_is_v4(to) ? AF_INET : AF_INET6;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return os_linux_status(errno);
    if (!begin_connect(fd, to, from)) {
        enum os_status status = os_linux_status(errno);
        close(fd);
        return status == OS_AGAIN ? OS_TOO_MANY : status; /* EAGAIN of connect: no free port */
    }
    *stream = os_linux_stream_new(os, fd, to);
    return *stream ? OS_OK : OS_NO_MEMORY;
}
