#include <stdio.h>
#include <string.h>

#include "gonets/gonets.h"
#include "os/linux/os_linux.h"

static const char help[] = "usage: gonets serve -c FILE\n\nThe mail server, in the foreground. See gonets-serve(8) and "
                           "gonets.conf(5).\n";

int gonets_serve(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return GONETS_OK;
    }
    if (argc >= 2 && strcmp(argv[1], "-c") != 0)
        return gonets_wrong("serve", "unknown option", argv[1]);
    if (argc != 3)
        return gonets_wrong("serve", "one configuration is needed:", "-c FILE");
    const char *const start[] = { "gonetsd", "serve", argv[2], NULL };
    os_linux_exec(GONETS_LIBEXEC, start);
    return GONETS_OS;
}
