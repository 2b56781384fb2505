/* Accounts, and what we may do. */
#include "os/linux/linux.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRY_MIN 1024
#define ENTRY_MAX (1u << 20) /* an account with a longer entry counts as trouble, not as absent */

static enum os_status take(struct os_user *user, const struct passwd *found)
{
    if (strlen(found->pw_name) >= sizeof user->name || strlen(found->pw_dir) >= sizeof user->home)
        return OS_INVALID;
    user->user = found->pw_uid;
    user->group = found->pw_gid;
    strcpy(user->name, found->pw_name);
    strcpy(user->home, found->pw_dir);
    return OS_OK;
}

enum os_status os_user_find(struct os *os, struct view name, struct os_user *user)
{
    (void)os;
    *user = (struct os_user){ 0 };
    if (name.len == 0 || name.len >= sizeof user->name || view_has(name, '\0'))
        return OS_NOT_FOUND;
    char text[sizeof user->name];
    memcpy(text, name.at, name.len);
    text[name.len] = '\0';

    enum os_status status = OS_AGAIN;
    int error = ERANGE;
    for (size_t size = ENTRY_MIN; error == ERANGE && size <= ENTRY_MAX; size *= 4) {
        struct passwd entry, *found = NULL;
        char *memory = malloc(size);
        if (!memory)
            return OS_NO_MEMORY;
        do
            error = getpwnam_r(text, &entry, memory, size, &found);
        while (error == EINTR);
        if (found)
            status = take(user, found);
        else if (error == 0 || error == ENOENT || error == ESRCH)
            status = OS_NOT_FOUND;
        free(memory);
    }
    return status;
}

enum os_status os_linux_group_find(const char *name, uint32_t *group)
{
    struct group entry, *found = NULL;
    char *memory = malloc(ENTRY_MAX);
    if (!memory)
        return OS_NO_MEMORY;
    int error = getgrnam_r(name, &entry, memory, ENTRY_MAX, &found);
    if (found)
        *group = found->gr_gid;
    free(memory);
    if (found)
        return OS_OK;
    return error == 0 || error == ENOENT || error == ESRCH ? OS_NOT_FOUND : OS_AGAIN;
}

bool os_is_root(struct os *os)
{
    (void)os;
    return geteuid() == 0;
}

unsigned os_core_count(struct os *os)
{
    (void)os;
    cpu_set_t allowed; /* those that we may use, which in a container are fewer than there are */
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        return (unsigned)CPU_COUNT(&allowed);
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned)count : 1;
}
