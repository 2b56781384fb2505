/* Who called the command, and what they left for it in the environment. */
#include "os/linux/os_linux.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRY_MAX (64u << 10)

/* The first part of the GECOS field is the name of the person. */
static void take_entry(struct os_linux_invoker *who, const struct passwd *entry)
{
    size_t len = strcspn(entry->pw_gecos ? entry->pw_gecos : "", ",");
    if (strlen(entry->pw_name) < sizeof who->user)
        strcpy(who->user, entry->pw_name);
    if (len < sizeof who->full_name)
        memcpy(who->full_name, entry->pw_gecos ? entry->pw_gecos : "", len);
}

bool os_linux_invoker(struct os_linux_invoker *who)
{
    struct passwd entry, *found = NULL;
    char *memory = malloc(ENTRY_MAX);
    *who = (struct os_linux_invoker){ 0 };
    if (!memory)
        return false;
    snprintf(who->user, sizeof who->user, "uid%lu", (unsigned long)getuid()); /* it may have no entry */
    if (getpwuid_r(getuid(), &entry, memory, ENTRY_MAX, &found) == 0 && found)
        take_entry(who, found);
    free(memory);
    return gethostname(who->host, sizeof who->host - 1) == 0;
}

const char *os_linux_variable(const char *name)
{
    return getenv(name);
}
