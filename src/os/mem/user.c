/* Accounts of a host. */
#include "os/mem/world.h"

#include <stdlib.h>
#include <string.h>

void mem_host_add_user(struct mem_host *host, const struct os_user *user)
{
    host->users = realloc(host->users, (host->user_count + 1) * sizeof *host->users);
    if (!host->users)
        abort();
    host->users[host->user_count++] = (struct mem_user){ *user, false };
}

void mem_host_fail_users(struct mem_host *host, bool fail)
{
    host->users_fail = fail;
}

void mem_host_fail_user(struct mem_host *host, const char *name, bool fail)
{
    for (size_t i = 0; i < host->user_count; i++)
        if (strcmp(host->users[i].user.name, name) == 0)
            host->users[i].fails = fail;
}

void mem_users_free(struct mem_host *host)
{
    free(host->users);
}

enum os_status os_user_find(struct os *os, struct view name, struct os_user *user)
{
    *user = (struct os_user){ .user = 0 };
    if (os->host->users_fail)
        return OS_AGAIN;
    for (size_t i = 0; i < os->host->user_count; i++) {
        if (!view_equal(view_of(os->host->users[i].user.name), name))
            continue;
        if (os->host->users[i].fails)
            return OS_AGAIN;
        *user = os->host->users[i].user;
        return OS_OK;
    }
    return OS_NOT_FOUND;
}

bool os_is_root(struct os *os)
{
    return os->user == 0;
}

unsigned os_core_count(struct os *os)
{
    return os->host->core_count;
}

void mem_host_set_cores(struct mem_host *host, unsigned count)
{
    host->core_count = count;
}
