#include <stdio.h>
#include <string.h>

#include "base/view.h"
#include "gonets/gonets.h"
#include "os/linux/os_linux.h"

static const char help[] = "usage: gonets try [--dir DIR] [--port N]\n\n"
                           "A mail server on 127.0.0.1 that takes mail for every address into DIR/Maildir.\n\n"
                           "  --dir DIR   where mail and spool lie (default gonets-mail)\n"
                           "  --port N    the port (default 2525)\n";

int gonets_try(int argc, char **argv)
{
    const char *dir = "gonets-mail", *port = "2525";
    char whole[OS_LINUX_PATH_SIZE];
    uint64_t number;
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            return GONETS_OK;
        }
        if (strcmp(argv[i], "--dir") != 0 && strcmp(argv[i], "--port") != 0)
            return gonets_wrong("try", "unknown option", argv[i]);
        if (i + 1 == argc)
            return gonets_wrong("try", "a value is missing after", argv[i]);
        *(strcmp(argv[i], "--dir") == 0 ? &dir : &port) = argv[i + 1];
    }
    if (!view_to_u64(view_of(port), 65535, &number))
        return gonets_wrong("try", "no port number", port);
    const char *const start[] = { "gonetsd", "try", dir, port, os_linux_command(argv[-1], whole), NULL };
    os_linux_exec(GONETS_LIBEXEC, start);
    return GONETS_OS;
}
