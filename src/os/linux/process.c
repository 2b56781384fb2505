/* Processes: a role is this program, executed again, with the link to us at descriptor 3 and nothing else of ours.
 *
 * All that needs memory or a look-up is done before the fork; the child makes only calls that are allowed when other
 * threads may have held a lock. */
#include "os/linux/linux.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct os_child {
    struct list link;
    pid_t pid;
    void (*on_exit)(void *ctx, int code);
    void *ctx;
};

struct birth {
    const char *program;
    const char *argv[8];
    const char *environment[12];
    int link;
    pid_t parent;
    bool changes_user;
    uid_t user;
    gid_t group;
    rlim_t files_max;
};

/* ---- before the fork ---- */

/* The whole environment of a role (H34): nothing in it comes from a message. What is taken over is what the
 * administrator set for the service, or a developer for a test, with values as they are. */
static void set_environment(struct birth *b)
{
    static const char *const taken_over[] = { "TZ=", "LD_PRELOAD=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=",
                                              "LSAN_OPTIONS=" };
    size_t n = 0;
    b->environment[n++] = "PATH=/usr/bin:/bin";
    b->environment[n++] = "LANG=C";
    for (size_t i = 0; i < sizeof taken_over / sizeof *taken_over; i++)
        for (char **e = environ; e && *e; e++)
            if (strncmp(*e, taken_over[i], strlen(taken_over[i])) == 0) {
                b->environment[n++] = *e;
                break;
            }
    assert(n < sizeof b->environment / sizeof *b->environment);
}

static void set_arguments(struct birth *b, const struct os *os, const char *role)
{
    size_t n = 0;
    b->program = os->processes.program ? os->processes.program : "/proc/self/exe";
    b->argv[n++] = "gonetsd";
    b->argv[n++] = "--role";
    b->argv[n++] = role;
    if (os->resolver.forwarder) {
        b->argv[n++] = "--dns";
        b->argv[n++] = os->resolver.forwarder;
    }
    if (os->resolver.anchors) {
        b->argv[n++] = "--dns-anchors";
        b->argv[n++] = os->resolver.anchors;
    }
    assert(n < sizeof b->argv / sizeof *b->argv);
}

/* An account that is root, or in its group, is no account to be less than root (H159). */
static enum os_status set_user(struct birth *b, struct os *os, const char *name, const char *group)
{
    struct os_user user;
    if (!name)
        return OS_OK;
    enum os_status status = os_user_find(os, view_of(name), &user);
    if (status == OS_OK && group)
        status = os_linux_group_find(group, &user.group);
    if (status != OS_OK)
        return status;
    if (user.user == 0 || user.group == 0)
        return OS_DENIED;
    b->user = user.user;
    b->group = user.group;
    b->changes_user = os_is_root(os);
    return b->changes_user || (user.user == geteuid() && user.group == getegid()) ? OS_OK : OS_DENIED;
}

const struct os_role *os_linux_find_role(const struct os *os, const char *name)
{
    for (size_t i = 0; i < os->processes.role_count; i++)
        if (strcmp(os->processes.roles[i].name, name) == 0)
            return &os->processes.roles[i];
    return NULL;
}

/* ---- in the child ---- */

/* Handlers of our libraries would write into pipes that we share with the parent. */
static void reset_signals(void)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL)
            signal(number, SIG_DFL);
    }
}

static bool keep_only_link(int link)
{
    bool moved =
        link == OS_LINUX_LINK_FD ? fcntl(link, F_SETFD, 0) == 0 : dup2(link, OS_LINUX_LINK_FD) == OS_LINUX_LINK_FD;
    return moved && close_range(OS_LINUX_LINK_FD + 1, ~0U, 0) == 0;
}

static bool limit_files(rlim_t files_max)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    if (files_max && files_max < limit.rlim_max)
        limit.rlim_max = files_max;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* It is not enough that the calls succeed: nothing of what we were may be left, and no way back (H159). */
static bool become(uid_t user, gid_t group)
{
    uid_t real, effective, saved;
    gid_t real_group, effective_group, saved_group;
    if (setgroups(1, &group) != 0 || setresgid(group, group, group) != 0 || setresuid(user, user, user) != 0)
        return false;
    if (getresuid(&real, &effective, &saved) != 0 || getresgid(&real_group, &effective_group, &saved_group) != 0)
        return false;
    if (real != user || effective != user || saved != user)
        return false;
    if (real_group != group || effective_group != group || saved_group != group)
        return false;
    return setuid(0) != 0 && setgid(0) != 0 && seteuid(0) != 0 && setegid(0) != 0;
}

/* The parent may have died before we asked to be told. A change of user forgets the request, so it comes after. */
static bool die_with(pid_t parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent;
}

static _Noreturn void run_child(const struct birth *b)
{
    reset_signals();
    if (!keep_only_link(b->link) || !limit_files(b->files_max))
        _exit(OS_LINUX_EXIT_NO_ACCOUNT);
    if (b->changes_user && !become(b->user, b->group))
        _exit(OS_LINUX_EXIT_NO_ACCOUNT);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !die_with(b->parent))
        _exit(OS_LINUX_EXIT_NO_ACCOUNT);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(b->program, os_linux_unconst(b->argv), os_linux_unconst(b->environment));
    _exit(OS_LINUX_EXIT_NO_PROGRAM);
}

/* ---- in the parent ---- */

static pid_t fork_child(const struct birth *b)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        run_child(b);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

static void on_ended(uv_signal_t *handle, int number)
{
    struct os *os = handle->data;
    (void)number;
    if (os->turns.over)
        return;
    list_each_safe(link, &os->processes.children)
    {
        struct os_child *child = list_entry(link, struct os_child, link);
        int status;
        if (waitpid(child->pid, &status, WNOHANG) != child->pid)
            continue;
        list_remove(&child->link);
        child->pid = 0;
        child->on_exit(child->ctx, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
        free(child);
    }
}

static bool listen_for_ends(struct os *os)
{
    os->processes.ended.data = os;
    return uv_signal_start(&os->processes.ended, on_ended, SIGCHLD) == 0;
}

/* Takes ends[0] over in any case. */
static enum os_status give_birth(struct os *os, struct birth *b, int end, struct os_child *child, struct os_link **link)
{
    *link = os_linux_link_new(os, end);
    if (!*link || !listen_for_ends(os))
        return OS_NO_MEMORY;
    child->pid = fork_child(b);
    if (child->pid > 0)
        return OS_OK;
    return errno == EAGAIN ? OS_TOO_MANY : os_linux_status(errno);
}

enum os_status os_spawn(struct os *os, const struct os_spawn *what, struct os_link **link, struct os_child **child,
                        void (*on_exit)(void *ctx, int code), void *ctx)
{
    struct birth birth = { .parent = getpid(), .files_max = what->files_max };
    int ends[2];
    *link = NULL;
    *child = NULL;
    if (!os_linux_find_role(os, what->role))
        return OS_NOT_FOUND;
    enum os_status status = set_user(&birth, os, what->user, what->group);
    if (status != OS_OK)
        return status;
    set_environment(&birth);
    set_arguments(&birth, os, what->role);
    struct os_child *born = malloc(sizeof *born);
    if (!born)
        return OS_NO_MEMORY;
    *born = (struct os_child){ .on_exit = on_exit, .ctx = ctx };
    if (!os_linux_link_sockets(ends)) {
        status = os_linux_status(errno);
        free(born);
        return status;
    }
    birth.link = ends[1];
    status = give_birth(os, &birth, ends[0], born, link);
    close(ends[1]);
    if (status == OS_OK) {
        list_append(&os->processes.children, &born->link);
        *child = born;
        return OS_OK;
    }
    if (*link)
        os_link_close(*link);
    *link = NULL;
    free(born);
    return status;
}

void os_child_kill(struct os_child *child)
{
    if (child->pid > 0) /* else it has ended, and the number may be somebody else's */
        kill(child->pid, SIGKILL);
}

uint64_t os_child_number(struct os_child *child)
{
    return (uint64_t)child->pid;
}

void os_linux_set_program(struct os *os, const char *path)
{
    os->processes.program = path;
}

void os_linux_processes_free(struct os *os)
{
    for (struct list *link; (link = list_pop(&os->processes.children));)
        free(list_entry(link, struct os_child, link));
}
