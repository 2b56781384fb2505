/* How a command becomes a server: where it works, as whom, and by which program. */
#include "os/linux/os_linux.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static_assert(OS_LINUX_PATH_SIZE >= PATH_MAX, "realpath writes as much");

static bool say(const char *what, const char *name)
{
    fprintf(stderr, "gonets: cannot %s %s: %s\n", what, name, strerror(errno));
    return false;
}

static bool become(const struct passwd *account)
{
    if (setgroups(0, NULL) != 0 || setresgid(account->pw_gid, account->pw_gid, account->pw_gid) != 0 ||
        setresuid(account->pw_uid, account->pw_uid, account->pw_uid) != 0 || setuid(0) == 0)
        return say("become the account", account->pw_name);
    return true;
}

bool os_linux_enter(const char *dir, const char *account)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam(account) : NULL;
    if (geteuid() == 0 && (!user || user->pw_uid == 0)) {
        fprintf(stderr, "gonets: root works here as the account %s, which there is not\n", account);
        return false;
    }
    bool made = mkdir(dir, 0755) == 0;
    if (!made && errno != EEXIST)
        return say("make the folder", dir);
    /* A folder that was there before keeps its owner: whoever named it may not have meant to give it away. */
    if (made && user && chown(dir, user->pw_uid, user->pw_gid) != 0)
        return say("give away the folder", dir);
    if (chdir(dir) != 0)
        return say("work in the folder", dir);
    if (user && !become(user))
        return false;
    if (access(".", R_OK | W_OK | X_OK) != 0)
        return say("write into the folder", dir);
    return true;
}

const char *os_linux_command(const char *typed, char whole[OS_LINUX_PATH_SIZE])
{
    return strchr(typed, '/') && realpath(typed, whole) ? whole : typed;
}

/* execv does not change what argv points to; its type is older than const. */
static void start(const char *path, const char *const argv[])
{
    union {
        const char *const *in;
        char *const *out;
    } arguments = { argv };
    execv(path, arguments.out);
}

void os_linux_exec(const char *otherwise, const char *const argv[])
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    char *slash = NULL;
    if (len > 0) {
        path[len] = 0;
        slash = strrchr(path, '/');
    }
    if (slash && (size_t)(slash + 1 - path) + strlen(argv[0]) < sizeof path) {
        strcpy(slash + 1, argv[0]);
        start(path, argv);
    }
    if (snprintf(path, sizeof path, "%s/%s", otherwise, argv[0]) < (int)sizeof path)
        start(path, argv);
    say("start the program", path);
}
