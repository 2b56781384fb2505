#include "os/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG        4096
#define FIRST_TRIES    25
#define FIRST_PAUSE_NS 20000000
#define PAUSE_MS       100 /* without any descriptor: so long nobody is told of new connections */

static const struct address any_v4 = { .ip = { [10] = 0xff, [11] = 0xff }, .set = true };

static bool is_any_v6(const struct address *a)
{
    static const uint8_t zero[16];
    return memcmp(a->ip, zero, sizeof zero) == 0;
}

struct os_listener *os_linux_listener_new(struct os *os, int fd)
{
    struct os_listener *listener = malloc(sizeof *listener);
    if (!listener) {
        close(fd);
        return NULL;
    }
    os_linux_watch_init(&listener->watch, os, fd);
    list_init(&listener->paused);
    listener->wanted = false;
    return listener;
}

static void set_on(int fd, int level, int option)
{
    int on = 1;
    setsockopt(fd, level, option, &on, sizeof on);
}

/* SO_REUSEPORT shares with every listener of our user that has it too, also with a second start of ourselves. So the
 * first one binds without it, which fails when anybody has the address, and gets it afterwards, for the further ones.
 * TCP_NODELAY is inherited by what is accepted. */
static int bind_and_listen(const struct address *at, bool first)
{
    struct sockaddr_storage name;
    socklen_t len = os_linux_to_sockaddr(at, &name);
    int v6_only = !is_any_v6(at);
    int fd = socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (name.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
    set_on(fd, IPPROTO_TCP, TCP_NODELAY);
    set_on(fd, SOL_SOCKET, SO_REUSEADDR);
    if (!first)
        set_on(fd, SOL_SOCKET, SO_REUSEPORT);
    bool bound = bind(fd, (struct sockaddr *)&name, len) == 0;
    if (first)
        set_on(fd, SOL_SOCKET, SO_REUSEPORT);
    if (bound && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Without IPv6 (not built in, or switched off for every interface) :: means all of IPv4. */
static int open_listener(const struct address *at, bool first)
{
    int fd = bind_and_listen(at, first);
    if (fd >= 0 || !is_any_v6(at) || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
        return fd;
    struct address v4 = any_v4;
    v4.port = at->port;
    return bind_and_listen(&v4, first);
}

/* The processes of a server that was just killed let go of the spool's lock a moment before their sockets: both are
 * closed at their end, one after the other. So an address that is taken is asked for again for a moment; only at a
 * server's start. */
static int open_first(const struct address *at)
{
    const struct timespec pause = { 0, FIRST_PAUSE_NS };
    int fd = open_listener(at, true);
    for (int tries = 1; fd < 0 && errno == EADDRINUSE && tries < FIRST_TRIES; tries++) {
        nanosleep(&pause, NULL);
        fd = open_listener(at, true);
    }
    return fd;
}

enum os_status os_listen(struct os *os, const struct address *at, bool first, struct os_listener **listener,
                         struct address *bound)
{
    *listener = NULL;
    int fd = os_linux_handed(os, at);
    if (fd < 0)
        fd = first ? open_first(at) : open_listener(at, false);
    if (fd < 0)
        return os_linux_status(errno);
    if (bound)
        *bound = os_linux_socket_name(fd);
    *listener = os_linux_listener_new(os, fd);
    return *listener ? OS_OK : OS_NO_MEMORY;
}

/* ---- no descriptors left (H88) ---- */

static void on_pause_end(uv_timer_t *timer)
{
    struct os *os = timer->data;
    for (struct list *link; (link = list_pop(&os->accepting.paused));) {
        struct os_listener *l = list_entry(link, struct os_listener, paused);
        os_linux_watch_set(&l->watch, l->wanted ? OS_READABLE : 0, l->watch.on, l->watch.ctx);
    }
}

static void pause_listener(struct os_listener *listener)
{
    struct os *os = listener->watch.os;
    if (!list_empty(&listener->paused))
        return;
    list_append(&os->accepting.paused, &listener->paused);
    os_linux_watch_set(&listener->watch, 0, listener->watch.on, listener->watch.ctx);
    uv_timer_start(&os->accepting.pause, on_pause_end, PAUSE_MS, 0);
}

void os_linux_listeners_init(struct os *os, int reserve)
{
    os->accepting.reserve = reserve;
    list_init(&os->accepting.paused);
    uv_timer_init(&os->loop, &os->accepting.pause);
    os->accepting.pause.data = os;
}

/* The connection that has come is taken with the reserve and closed: its client learns at once, and the listener does
 * not stay readable for ever. Where that does not work either, we look away for a while. */
static void turn_away(struct os_listener *listener)
{
    struct accepting *a = &listener->watch.os->accepting;
    int fd = -1;
    if (a->reserve >= 0) {
        close(a->reserve);
        fd = accept4(listener->watch.fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
    }
    a->reserve = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0 || a->reserve < 0)
        pause_listener(listener);
}

/* accept(2) also reports what became of a connection before we got it; then it is the next one's turn. */
static bool was_its_own_fault(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO || error == EPERM || error == ENETDOWN ||
           error == ENOPROTOOPT || error == EHOSTDOWN || error == ENONET || error == EHOSTUNREACH ||
           error == ENETUNREACH;
}

enum os_status os_accept(struct os_listener *listener, struct os_stream **stream)
{
    struct sockaddr_storage name = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof name;
    int fd;
    *stream = NULL;
    do
        fd = accept4(listener->watch.fd, (struct sockaddr *)&name, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && was_its_own_fault(errno));
    if (fd < 0) {
        enum os_status status = os_linux_status(errno);
        if (status == OS_TOO_MANY || status == OS_NO_MEMORY)
            turn_away(listener);
        return status;
    }
    struct address peer = os_linux_from_sockaddr(&name);
    *stream = os_linux_stream_new(listener->watch.os, fd, &peer);
    return *stream ? OS_OK : OS_NO_MEMORY;
}

void os_listener_watch(struct os_listener *listener, bool wanted, os_event *on, void *ctx)
{
    listener->wanted = wanted;
    bool now = wanted && list_empty(&listener->paused);
    os_linux_watch_set(&listener->watch, now ? OS_READABLE : 0, on, ctx);
}

void os_listener_close(struct os_listener *listener)
{
    list_remove(&listener->paused);
    os_linux_watch_close(&listener->watch);
}
