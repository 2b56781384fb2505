/* The main program of a process that os_spawn started. */
#include "os/linux/linux.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The socket pair was made by the supervisor and says who that was. */
static bool is_other_user(int link)
{
    struct ucred maker;
    socklen_t len = sizeof maker;
    return getsockopt(link, SOL_SOCKET, SO_PEERCRED, &maker, &len) != 0 || maker.uid != geteuid();
}

static bool is_link(int fd)
{
    int type;
    socklen_t len = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

/* exec made us open to ptrace and core dumps of our new user, whom others may be. Ctrl-C reaches the whole process
 * group, but it is the supervisor who says when to stop. */
static void settle(const char *role)
{
    prctl(PR_SET_NAME, role, 0, 0, 0);
    if (is_other_user(OS_LINUX_LINK_FD))
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    fcntl(OS_LINUX_LINK_FD, F_SETFD, FD_CLOEXEC);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
}

static const char *argument(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return NULL;
}

static int run_role(struct os *os, const struct os_role *role)
{
    int code = OS_LINUX_EXIT_NO_START;
    struct os_link *supervisor = os_linux_link_new(os, OS_LINUX_LINK_FD);
    if (!supervisor)
        return code;
    os_linux_watch_for_end(&supervisor->watch);
    void *object = role->start(os, supervisor);
    if (!object)
        return code;
    code = os_linux_run(os);
    role->stop(object);
    return code;
}

int os_linux_role_main(const struct os_role *roles, size_t count, int argc, char **argv)
{
    const char *name = argument(argc, argv, "--role");
    if (!name || !is_link(OS_LINUX_LINK_FD))
        return OS_LINUX_EXIT_USAGE;
    struct os *os = os_linux_new(roles, count);
    if (!os)
        return OS_LINUX_EXIT_NO_START;
    settle(name);
    os_linux_set_dns(os, argument(argc, argv, "--dns"));
    os_linux_set_dns_anchors(os, argument(argc, argv, "--dns-anchors"));
    const struct os_role *role = os_linux_find_role(os, name);
    int code = role ? run_role(os, role) : OS_LINUX_EXIT_USAGE;
    os_linux_free(os);
    return code;
}
