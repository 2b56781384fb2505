/* The control socket: where commands of the administrator reach a server. A SEQPACKET socket with a name in the file
 * system that only its owner and root may connect to; it is reached through the folder's descriptor, so that the name
 * may be as long as it likes. */
#include "os/linux/linux.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTROL_BACKLOG 16

static bool name_in(const struct os_dir *dir, const char *name, struct sockaddr_un *to)
{
    *to = (struct sockaddr_un){ .sun_family = AF_UNIX };
    int len = snprintf(to->sun_path, sizeof to->sun_path, "/proc/self/fd/%d/%s", dir->fd, name);
    return len > 0 && (size_t)len < sizeof to->sun_path;
}

static int open_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* The mode of the descriptor becomes the mode of the name (unix_bind in the kernel), so there is no moment at which
 * anybody else could connect. */
static int listen_at(const struct sockaddr_un *at)
{
    int fd = open_socket();
    if (fd >= 0 && fchmod(fd, 0600) == 0 && bind(fd, (const struct sockaddr *)at, sizeof *at) == 0 &&
        listen(fd, CONTROL_BACKLOG) == 0)
        return fd;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

static bool may_command(int fd)
{
    struct ucred who;
    socklen_t len = sizeof who;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && (who.uid == 0 || who.uid == geteuid());
}

static void on_connection(void *ctx, unsigned events)
{
    struct os *os = ctx;
    (void)events;
    int fd = accept4(os->control.listener->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (!may_command(fd)) {
        close(fd);
        return;
    }
    struct os_link *link = os_linux_link_new(os, fd);
    if (link)
        os->control.on(os->control.ctx, link);
}

enum os_status os_control(struct os *os, struct os_dir *dir, const char *name,
                          void (*on)(void *ctx, struct os_link *link), void *ctx)
{
    struct sockaddr_un at;
    if (!name_in(dir, name, &at))
        return OS_INVALID;
    if (unlinkat(dir->fd, name, 0) != 0 && errno != ENOENT)
        return os_linux_status(errno);
    int fd = listen_at(&at);
    if (fd < 0)
        return os_linux_status(errno);
    struct os_listener *listener = os_linux_listener_new(os, fd);
    if (!listener)
        return OS_NO_MEMORY;
    os->control = (struct control_socket){ listener, on, ctx };
    os_listener_watch(listener, true, on_connection, os);
    return OS_OK;
}

void os_control_end(struct os *os, struct os_dir *dir, const char *name)
{
    if (!os->control.listener)
        return;
    unlinkat(dir->fd, name, 0);
    os_listener_close(os->control.listener);
    os->control.listener = NULL;
}

enum os_status os_linux_control_reach(struct os *os, struct os_dir *dir, const char *name, struct os_link **link)
{
    struct sockaddr_un at;
    *link = NULL;
    int fd = name_in(dir, name, &at) ? open_socket() : -1;
    if (fd < 0)
        return OS_INVALID;
    if (connect(fd, (const struct sockaddr *)&at, sizeof at) != 0) {
        enum os_status status = os_linux_status(errno);
        close(fd);
        return status;
    }
    *link = os_linux_link_new(os, fd);
    return *link ? OS_OK : OS_NO_MEMORY;
}
