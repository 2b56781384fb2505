/* What a manager of services (systemd) and its service say to each other, see sd_notify(3), sd_listen_fds(3) and
 * sd_watchdog_enabled(3): one datagram for each state, and environment variables. */
#include "os/linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD       3 /* of those handed over */
#define HANDED_FDS_MAX 1000

/* ---- states ---- */

/* A name that begins with @ has no file. */
static socklen_t name_of(const char *text, struct sockaddr_un *to)
{
    size_t len = strlen(text);
    *to = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (len < 2 || len >= sizeof to->sun_path || (text[0] != '/' && text[0] != '@'))
        return 0;
    memcpy(to->sun_path, text, len);
    if (text[0] == '@')
        to->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

void os_service(struct os *os, struct view state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to;
    socklen_t len = name ? name_of(name, &to) : 0;
    int fd = len ? socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    (void)os;
    if (fd < 0)
        return;
    (void)!sendto(fd, state.at, state.len, MSG_NOSIGNAL, (const struct sockaddr *)&to, len);
    close(fd);
}

/* ---- numbers ---- */

/* The variable `whose` names the process that `name` is meant for; without it everybody. */
static uint64_t number_for_us(const char *name, const char *whose)
{
    const char *pid = getenv(whose), *text = getenv(name);
    uint64_t number = 0, ours = 0;
    if (!text || (pid && (!view_to_u64(view_of(pid), UINT64_MAX, &ours) || ours != (uint64_t)getpid())))
        return 0;
    return view_to_u64(view_of(text), UINT64_MAX, &number) ? number : 0;
}

uint64_t os_watchdog_us(struct os *os)
{
    (void)os;
    return number_for_us("WATCHDOG_USEC", "WATCHDOG_PID");
}

/* ---- sockets that were opened for us ---- */

void os_linux_handed_init(struct os *os)
{
    uint64_t count = getenv("LISTEN_PID") ? number_for_us("LISTEN_FDS", "LISTEN_PID") : 0;
    os->handed.count = count < HANDED_FDS_MAX ? (int)count : HANDED_FDS_MAX;
    for (int i = 0; i < os->handed.count; i++)
        fcntl(FIRST_FD + i, F_SETFD, FD_CLOEXEC);
}

static bool listens(int fd)
{
    int value = 0, type = 0;
    socklen_t len = sizeof value, type_len = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 && value &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 && type == SOCK_STREAM;
}

/* :: and 0.0.0.0 both stand for "*". */
static bool is_any(const struct address *a)
{
    static const uint8_t zero[16], v4[16] = { [10] = 0xff, [11] = 0xff };
    return memcmp(a->ip, zero, sizeof zero) == 0 || memcmp(a->ip, v4, sizeof v4) == 0;
}

int os_linux_handed(struct os *os, const struct address *at)
{
    for (int fd = FIRST_FD; fd < FIRST_FD + os->handed.count; fd++) {
        struct address here = listens(fd) ? os_linux_socket_name(fd) : (struct address){ .set = false };
        bool same = memcmp(here.ip, at->ip, sizeof here.ip) == 0 || (is_any(&here) && is_any(at));
        int on = 1, copy = here.set && same && here.port == at->port ? fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD) : -1;
        if (copy < 0)
            continue;
        fcntl(copy, F_SETFL, O_NONBLOCK);
        setsockopt(copy, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return copy;
    }
    return -1;
}
